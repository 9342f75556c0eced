package fleet

import (
	"fmt"
	"hash/fnv"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"showrunner/problem"
)

// addresses hands out an address of its own to every instance. On Linux that is
// 127.R.Z.N: R belongs to one region process of the machine at a time, Z tells
// the zone, N the instance. Elsewhere only 127.0.0.1 exists and the port alone
// tells instances apart. The port is free on every address, so that a program
// which ignores HOST and listens on all of them does not meet another.
type addresses struct {
	network int // R; 0: no addresses of our own
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

// openAddresses claims a network for the region, starting the search at a place
// that depends on its name so that a region tends to keep its numbers.
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

// take returns an address nobody has, preferring one that was not used lately.
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
	nets := 255 / len(a.zones) // third octets a zone may use
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

// portFree says whether nobody listens on the port, on any address. It asks
// without listening: that would refuse the port, for that moment, to an
// instance which is just starting to listen there on an address of its own.
func portFree(port int) bool {
	syscall.ForkLock.RLock() // no program that starts meanwhile inherits it
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
