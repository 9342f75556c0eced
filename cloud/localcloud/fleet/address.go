package fleet

import (
	"fmt"
	"hash/fnv"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"showrunner/problem"
)

// addresses gives every instance an address of its own. On Linux that is
// 127.R.Z.N: R belongs to one region process of the machine at a time, Z is the
// zone, N the instance. Elsewhere only 127.0.0.1 exists, and only the port
// distinguishes instances. The port is free on every address, so that a program
// that ignores HOST and listens on all addresses does not conflict with another.
type addresses struct {
	network int // R; 0: only 127.0.0.1
	claim   net.Listener
	zones   map[string]int
	used    map[string]bool
	next    map[string]int
	port    int
}

const (
	hostsPerNet = 254
	firstPort   = 10000
	ports       = 22000 // below the ports that systems give to outgoing connections
)

// openAddresses claims a network for the region. The search starts at a number
// that depends on the region's name, so that a region usually keeps its number.
func openAddresses(region string, zones []string) *addresses {
	a := &addresses{zones: map[string]int{}, used: map[string]bool{}, next: map[string]int{}}
	for i, z := range zones {
		a.zones[z] = i + 1
	}
	h := fnv.New32a()
	h.Write([]byte(region))
	seed := int(h.Sum32() % 200)
	for i := range 200 {
		r := 16 + (seed+i)%200
		if l, ok := claimNetwork(r); ok {
			a.network, a.claim = r, l
			break
		}
	}
	a.port = (seed*101 + a.network*97) % ports
	return a
}

func (a *addresses) close() {
	if a.claim != nil {
		a.claim.Close()
	}
}

// take returns an unused address, preferably one that was not used recently.
func (a *addresses) take(zone string) (host string, port int, err error) {
	z, ok := a.zones[zone]
	if !ok {
		return "", 0, problem.New(problem.NotFound, "fleet.address", "zone %s does not exist", zone)
	}
	host = "127.0.0.1"
	if a.network != 0 {
		if host, ok = a.host(zone, z); !ok {
			return "", 0, problem.New(problem.Unavailable, "fleet.address", "zone %s has no address left", zone)
		}
	}
	for range ports {
		a.port = (a.port + 1) % ports
		port := firstPort + a.port
		if portFree(port) {
			a.used[host] = a.network != 0
			return host, port, nil
		}
	}
	return "", 0, problem.New(problem.Unavailable, "fleet.address", "no port from %d to %d is free", firstPort, firstPort+ports-1)
}

func (a *addresses) host(zone string, z int) (string, bool) {
	nets := 255 / len(a.zones) // third octets that a zone may use
	for range nets * hostsPerNet {
		n := a.next[zone] % (nets * hostsPerNet)
		a.next[zone]++
		host := fmt.Sprintf("127.%d.%d.%d", a.network, z+n/hostsPerNet*len(a.zones), 1+n%hostsPerNet)
		if !a.used[host] {
			return host, true
		}
	}
	return "", false
}

func (a *addresses) give(host string) { delete(a.used, host) }

// portFree says whether the port is unused on every address. It does not listen
// on the port: that would block the port, for a moment, for an instance that is
// just starting to listen on it.
func portFree(port int) bool {
	syscall.ForkLock.RLock() // so that programs that start meanwhile do not inherit it
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return false
	}
	return unix.Bind(fd, &unix.SockaddrInet4{Port: port}) == nil
}
