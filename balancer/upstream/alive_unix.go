//go:build unix

package upstream

import "syscall"

// nothingToRead says whether a connection that does not block is open and silent.
func nothingToRead(fd uintptr, b []byte) bool {
	_, err := syscall.Read(int(fd), b)
	return err == syscall.EAGAIN
}
