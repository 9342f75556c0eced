//go:build unix

package upstream

import (
	"io"
	"net"
	"syscall"

	"showrunner/cloud/localcloud/internal/rawio"
)

// polls says that waiting can be begun before what is waited for is asked for.
const polls = true

// lookAt says how it stands with a connection that does not block and on which nothing
// was asked. A server may say that it has waited for too long for a request before it
// ends a connection (RFC 9110, section 15.5.9).
func lookAt(fd uintptr, b []byte) standing {
	n, err := rawio.Read(fd, b)
	switch {
	case err == syscall.EAGAIN:
		return silent
	case n <= 0:
		return over
	}
	var text [len("HTTP/1.1 408")]byte
	more, _ := rawio.Read(fd, text[1:]) // what has come
	if text[0] = b[0]; n == 1 && more == len(text)-1 && string(text[:7]) == "HTTP/1." && string(text[8:]) == " 408" {
		return over
	}
	return spoken
}

// readNow reads what has come. Errors: io.EOF, errNotYet, the system's.
func readNow(fd uintptr, b []byte) (int, error) {
	n, err := rawio.Read(fd, b)
	switch {
	case err == syscall.EAGAIN:
		return 0, errNotYet
	case err == nil && n == 0:
		return 0, io.EOF
	}
	return n, err
}

// writeAll writes to a connection whose descriptor is at hand.
func writeAll(raw net.Conn, fd uintptr, b []byte) (int, error) { return rawio.WriteAll(raw, fd, b) }

// descriptors is how many descriptors the process may have.
func descriptors() int64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1 << 20
	}
	return int64(min(uint64(limit.Cur), 1<<20))
}
