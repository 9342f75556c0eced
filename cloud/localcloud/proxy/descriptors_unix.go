//go:build unix

package proxy

import "syscall"

// reserved descriptors are for everything but clients and what is done for them.
const reserved = 64

// clientsForDescriptors is how many clients there may be, so that each may have a
// connection to a server, and the process something beside.
func clientsForDescriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return mostClients
	}
	return int(min(max((int64(min(uint64(limit.Cur), 1<<40))-reserved)/2, 8), mostClients))
}

const mostClients = 1 << 20
