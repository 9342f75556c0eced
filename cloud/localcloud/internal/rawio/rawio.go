//go:build unix

// Package rawio reads and writes descriptors that do not block, at once: whoever
// uses it waits elsewhere.
package rawio

import (
	"io"
	"syscall"
)

// Read reads what is there. Errors: syscall.EAGAIN when nothing is, and the
// system's; 0 bytes without one are the end.
func Read(fd uintptr, p []byte) (int, error) { return call(syscall.Read, fd, p) }

// WriteAll writes p, and what there is no room for through whoever waits for room:
// w is the same connection.
func WriteAll(w io.Writer, fd uintptr, p []byte) (int, error) {
	n, err := call(syscall.Write, fd, p)
	if n == len(p) || err != nil && err != syscall.EAGAIN {
		return n, err
	}
	rest, err := w.Write(p[n:])
	return n + rest, err
}

func call(f func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := f(int(fd), p)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
