package edge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// hasty is a region that answers each request before it reads the body, and
// notes the targets of the requests that it reads.
type hasty struct {
	mu      sync.Mutex
	targets []string
}

func (h *hasty) start(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.serve(c)
		}
	}()
	return l.Addr().String()
}

func (h *hasty) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		h.mu.Lock()
		h.targets = append(h.targets, r.Method+" "+r.RequestURI)
		h.mu.Unlock()
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nearly")
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return
		}
	}
}

func (h *hasty) seen() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.targets
}

// The end of a body whose request was answered, the next request's head and a part
// of its body come in one piece, the rest later: nobody else reads the connection
// meanwhile, and it ends.
func TestAnEarlyAnswerEndsTheConnection(t *testing.T) {
	region := &hasty{}
	e := before(t, region.start(t))
	head := func(n int) string {
		return fmt.Sprintf("POST /e HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: %d\r\n\r\n", n)
	}
	for range 20 {
		c := e.connect(t)
		io.WriteString(c, head(70_000)+strings.Repeat("x", 68_500))
		in := bufio.NewReader(c)
		res, err := http.ReadResponse(in, nil)
		if err != nil || !res.Close {
			t.Fatalf("%+v, %v", res, err)
		}
		io.WriteString(c, strings.Repeat("x", 1500)+head(80_000)+strings.Repeat("y", 100)) // it may be closed by now
		io.WriteString(c, strings.Repeat("y", 79_900))
		if rest, _ := io.ReadAll(in); bytes.Count(rest, []byte("HTTP/1.1")) > 0 { // a reset is an end as well
			t.Fatalf("after the answer comes %q", rest)
		}
		c.Close()
	}
}

// The data of a chunk that spells a request is a part of a body, whenever the answer comes.
func TestABodyIsNoRequest(t *testing.T) {
	region := &hasty{}
	e := before(t, region.start(t))
	for range 20 {
		c := e.connect(t)
		evil := "GET /evil HTTP/1.1\r\nHost: shop.localhost\r\nX: "
		data := evil + strings.Repeat("x", 0x4000-len(evil)-4) + "\r\n\r\n"
		io.WriteString(c, "POST /e HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n4010\r\n"+strings.Repeat("y", 16))
		in := bufio.NewReader(c)
		if _, err := http.ReadResponse(in, nil); err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, data[:4000]+"\r\n\r\n")
		if rest, _ := io.ReadAll(in); bytes.Contains(rest, []byte("HTTP/1.1")) {
			t.Fatalf("after the answer comes %q", rest)
		}
		c.Close()
	}
	for _, target := range region.seen() {
		if target != "POST /e" {
			t.Fatalf("the region was sent %s", target)
		}
	}
}

// CONNECT is refused here, and what follows it is no request.
func TestConnectIsRefused(t *testing.T) {
	region := &hasty{}
	e := before(t, region.start(t))
	evil := "GET /evil HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"
	for _, framing := range []string{
		"\r\n" + evil,
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(evil), evil),
		fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(evil), evil),
	} {
		c := e.connect(t)
		io.WriteString(c, "CONNECT shop.localhost:80 HTTP/1.1\r\nHost: shop.localhost\r\n"+framing)
		answer, _ := io.ReadAll(c)
		c.Close()
		if !bytes.HasPrefix(answer, []byte("HTTP/1.1 405 ")) || bytes.Count(answer, []byte("HTTP/1.1 ")) != 1 {
			t.Errorf("%q is answered %q", framing, answer)
		}
	}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodConnect, "http://"+e.address, strings.NewReader(evil))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "shop.localhost"
	res, err := transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.ProtoMajor != 2 || res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("%s %s", res.Proto, res.Status)
	}
	if seen := region.seen(); len(seen) > 0 {
		t.Errorf("the region was sent %q", seen)
	}
}
