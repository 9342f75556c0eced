package balancer_test

import (
	"bufio"
	"net"
	"runtime"
	"testing"

	"showrunner/cloud/localcloud/balancer"
)

// What plain requests leave behind is what the garbage collector runs for, and
// what runs meanwhile is slower.
func TestAPlainRequestLeavesLittleBehind(t *testing.T) {
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok")
	target := raw(t, func(c net.Conn, in *bufio.Reader) {
		var request [4 << 10]byte
		for n := 0; ; {
			k, err := in.Read(request[n:])
			if err != nil {
				return
			}
			if n += k; n < 4 || string(request[n-4:n]) != "\r\n\r\n" {
				continue
			}
			n = 0
			if _, err := c.Write(answer); err != nil {
				return
			}
		}
	})
	target.ID = "one"
	b, address := start(t, balancer.Config{})
	b.SetCluster(shop(target))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	request := []byte("GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	var got [4 << 10]byte
	ask := func() {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		for n := 0; n < 2 || string(got[n-2:n]) != "ok"; {
			k, err := c.Read(got[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
	}
	for range 2000 { // until there are as many connections as rest at a time
		ask()
	}
	const n = 2000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range n {
		ask()
	}
	runtime.ReadMemStats(&after)
	// The heads of the request and of its answer are one each; the rest is for what the process does beside.
	if each := float64(after.Mallocs-before.Mallocs) / n; each > 4 {
		t.Errorf("%.1f allocations, %.0f bytes a request", each, float64(after.TotalAlloc-before.TotalAlloc)/n)
	}
}
