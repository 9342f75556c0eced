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

// nothingToRead says whether a connection that does not block is open and silent.
func nothingToRead(fd uintptr, b []byte) bool {
	_, err := rawio.Read(fd, b)
	return err == syscall.EAGAIN
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
