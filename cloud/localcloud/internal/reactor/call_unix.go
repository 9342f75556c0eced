//go:build unix

package reactor

import (
	"syscall"
	"unsafe"
)

// Read reads what has come. Errors: syscall.EAGAIN when nothing has, and the
// system's; 0 bytes without one are the end.
func Read(fd uintptr, p []byte) (int, error) { return call(syscall.SYS_READ, fd, p) }

// Write writes as much as there is room for.
func Write(fd uintptr, p []byte) (int, error) { return call(syscall.SYS_WRITE, fd, p) }

// call makes a system call that does not wait. The scheduler is not told: the
// goroutine keeps its processor, as it would have without the call.
func call(number uintptr, fd uintptr, p []byte) (int, error) {
	for {
		n, _, err := syscall.RawSyscall(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if err == 0 {
			return int(n), nil
		}
		if err != syscall.EINTR {
			return 0, err
		}
	}
}
