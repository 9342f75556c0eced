//go:build unix && !linux

package rawio

import "syscall"

// Read reads at once what is there. Errors: syscall.EAGAIN when nothing is, and
// the system's; 0 bytes without one are the end.
func Read(fd uintptr, p []byte) (int, error) { return call(syscall.Read, fd, p) }

// Write writes at once what there is room for. Errors: syscall.EAGAIN when there
// is none, and the system's.
func Write(fd uintptr, p []byte) (int, error) { return call(syscall.Write, fd, p) }

func call(f func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := f(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
