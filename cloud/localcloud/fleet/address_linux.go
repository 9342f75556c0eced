package fleet

import (
	"fmt"
	"net"
)

// claimNetwork takes 127.r.0.0/16 for this process until it ends, however it
// ends: the claim is a name in the abstract socket space, which is as wide as
// the loopback interface itself (one network namespace) and needs no file.
func claimNetwork(r int) (net.Listener, bool) {
	probe, err := net.Listen("tcp", fmt.Sprintf("127.%d.1.1:0", r))
	if err != nil {
		return nil, false
	}
	probe.Close()
	l, err := net.Listen("unix", fmt.Sprintf("@showrunner/loopback/127.%d", r))
	return l, err == nil
}
