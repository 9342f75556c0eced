package server

import (
	"net"
	"strconv"
	"testing"

	"showrunner/problem"
)

// The endpoint listens where it was last, else where it is asked to, else at the next
// free port.
func TestWhereTheEndpointListens(t *testing.T) {
	hold := func(address string) net.Listener {
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Skip(err) // somebody else has the next port
		}
		t.Cleanup(func() { l.Close() })
		return l
	}
	taken := hold("127.0.0.1:0")
	port := taken.Addr().(*net.TCPAddr).Port
	at := func(n int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port+n)) }
	hold(at(1)).Close()

	next, err := listenAWS(at(0), "")
	if err != nil {
		t.Fatal(err)
	}
	if got := next.Addr().String(); got != at(1) {
		t.Errorf("beside a taken port it listens at %s, want %s", got, at(1))
	}
	next.Close()
	free := hold("127.0.0.1:0").Addr().String()
	if l, err := listenAWS(at(1), free); err != nil || l.Addr().String() == free {
		t.Errorf("what another program holds was taken: %v", err)
	} else {
		l.Close()
	}
	if l, err := listenAWS(at(0), at(1)); err != nil || l.Addr().String() != at(1) {
		t.Errorf("it does not listen where it was: %v", err)
	} else {
		l.Close()
	}
}

// What is no address is refused with what to give instead.
func TestAddressesOfTheEndpoint(t *testing.T) {
	for _, address := range []string{"", "off"} {
		if got, err := CheckAWS(address); err != nil || got != "" {
			t.Errorf("%q is %q, %v", address, got, err)
		}
	}
	for _, address := range []string{"on", "4566", "127.0.0.1:", "127.0.0.1:-1", "127.0.0.1:70000", "127.0.0.1:http"} {
		if _, err := CheckAWS(address); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%q: %v", address, err)
		}
	}
}
