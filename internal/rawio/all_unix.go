//go:build unix

package rawio

import (
	"io"
	"syscall"
)

// WriteAll writes p to a descriptor, and what there is no room for through whoever
// waits for room: w is the same connection.
func WriteAll(w io.Writer, fd uintptr, p []byte) (int, error) {
	n, err := Write(fd, p)
	if n == len(p) || err != nil && err != syscall.EAGAIN {
		return n, err
	}
	rest, err := w.Write(p[n:])
	return n + rest, err
}
