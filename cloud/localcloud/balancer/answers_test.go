package balancer_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"showrunner/cloud/localcloud/balancer"
)

// An answer arrives however its instance cuts it, and what has come of a slow one
// is passed on before the rest does.
func TestHoweverAnswersArrive(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n0123456789"
	seen := make(chan struct{})
	_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
		for {
			lines, err := head(in)
			if err != nil {
				return
			}
			var cut int
			slow := strings.Contains(lines[0], "slow")
			fmt.Sscanf(strings.TrimPrefix(strings.Fields(lines[0])[1], "/"), "%d", &cut)
			io.WriteString(c, answer[:cut])
			if slow {
				<-seen // by whoever asked
			}
			io.WriteString(c, answer[cut:])
		}
	}))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for cut := range len(answer) {
		fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", cut)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || string(text) != "0123456789" || res.ContentLength != 10 {
			t.Fatalf("cut at %d: %q, %v", cut, text, err)
		}
	}
	fmt.Fprintf(c, "GET /%d?slow HTTP/1.1\r\nHost: shop.localhost\r\n\r\n", len(answer)-5)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	var half [5]byte
	if _, err := io.ReadFull(res.Body, half[:]); err != nil {
		t.Fatal(err)
	}
	close(seen)
	if rest, err := io.ReadAll(res.Body); err != nil || string(half[:])+string(rest) != "0123456789" {
		t.Errorf("%q and %q, %v", half, rest, err)
	}
}

// A client that asks much and reads nothing gets all its answers once it does,
// and holds nobody up.
func TestAClientThatReadsLate(t *testing.T) {
	body := strings.Repeat("x", 4<<10)
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body+r.URL.Path) }))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const n = 3000 // far beyond what the system keeps for who does not read
	var wg sync.WaitGroup
	wg.Go(func() {
		last := ""
		for i := range n {
			if i == n-1 {
				last = "Connection: close\r\n"
			}
			if _, err := fmt.Fprintf(c, "GET /%d HTTP/1.1\r\nHost: shop.localhost\r\n%s\r\n", i, last); err != nil {
				t.Error(err)
				return
			}
		}
	})
	for range 50 {
		if status, text, _ := ask(t, http.MethodGet, address, ""); status != http.StatusOK || text != body+"/" {
			t.Fatalf("another client: %d", status)
		}
	}
	in := bufio.NewReader(c)
	for i := range n {
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || string(text) != fmt.Sprintf("%s/%d", body, i) {
			t.Fatalf("answer %d: %d bytes, %v", i, len(text), err)
		}
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("after the last answer: %v", err)
	}
	wg.Wait()
}

// Answers of unknown length leave their connections to be used again: short connections of clients do not become as many to an instance.
func TestAnswersOfUnknownLengthKeepTheirConnections(t *testing.T) {
	var made atomic.Int64
	_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
		made.Add(1)
		for {
			if _, err := head(in); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n")
		}
	}))
	const n = 500
	for range n {
		if answer := speak(t, address, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n"); strings.Count(answer, "ok") != 2 {
			t.Fatalf("%q", answer)
		}
	}
	if k := made.Load(); k > n/10 {
		t.Errorf("%d connections to the instance for %d clients", k, n)
	}
}

// Requests for an instance where nobody listens any more go to another one, and
// are counted once each.
func TestNobodyListens(t *testing.T) {
	gone := backend(t, "gone")
	there := backend(t, "there")
	b, address := start(t, balancer.Config{})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target("gone", gone), target("there", there)}}}})
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	const n = 100
	for i := range n {
		if i == n/2 {
			gone.CloseClientConnections()
			gone.Close()
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || i >= n/2 && string(text) != "there" {
			t.Fatalf("%d: %d %q %v", i, res.StatusCode, text, err)
		}
	}
	for _, counts := range b.Counts("shop") {
		switch counts.Instance {
		case "there":
			if counts.Errors != 0 || counts.InFlight != 0 {
				t.Errorf("%+v", counts)
			}
		case "gone":
			if counts.InFlight != 0 || counts.Requests-counts.Errors > n/2 {
				t.Errorf("%+v", counts)
			}
		default:
			if counts.Requests < n || counts.InFlight != 0 {
				t.Errorf("%+v", counts)
			}
		}
	}
}
