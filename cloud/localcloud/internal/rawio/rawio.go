//go:build unix

// Package rawio reads and writes non-blocking descriptors without waiting; its
// callers wait elsewhere.
package rawio

import (
	"io"
	"syscall"
)

// Read reads the available data. Errors: syscall.EAGAIN when there is none, and
// the system's errors; 0 bytes without an error are the end.
func Read(fd uintptr, p []byte) (int, error) { return call(syscall.Read, fd, p) }

// WriteAll writes p. The part that does not fit into the socket's buffer is
// written through w, which waits for room; w is the same connection.
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
