package fleet

import (
	"fmt"
	"net"
)

// claimNetwork claims 127.r.0.0/16 for this process until it ends in any way. The
// claim is a name in the abstract socket namespace. That namespace has the same
// scope as the loopback interface (one network namespace), and needs no file.
func claimNetwork(r int) (net.Listener, bool) {
	probe, err := net.Listen("tcp", fmt.Sprintf("127.%d.1.1:0", r))
	if err != nil {
		return nil, false
	}
	probe.Close()
	l, err := net.Listen("unix", fmt.Sprintf("@showrunner/loopback/127.%d", r))
	return l, err == nil
}
