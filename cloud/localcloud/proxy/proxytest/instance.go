package proxytest

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Instance is a server that does what a request's query asks for (mode), however
// badly that is, and names the request in its answer by the field X-Id.
type Instance struct {
	Address string

	mu   sync.Mutex
	seen []string // method, target and X-Id of each request that came whole
	held chan struct{}
}

// lateness is when after its answer an instance sends one too many.
const lateness = 20 * time.Millisecond

// Hold has requests that ask for it wait until release is called.
func (i *Instance) Hold() (release func()) {
	i.mu.Lock()
	defer i.mu.Unlock()
	held := make(chan struct{})
	i.held = held
	return func() { close(held) }
}

// NewInstance starts one that the test ends.
func NewInstance(t *testing.T) *Instance {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i := &Instance{Address: l.Addr().String()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]struct{}{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = struct{}{}
			mu.Unlock()
			wg.Go(func() {
				i.serve(c)
				mu.Lock()
				delete(open, c)
				mu.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for c := range open {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return i
}

// Forget begins a new list of requests.
func (i *Instance) Forget() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.seen = nil
}

// Seen lists the requests that have arrived.
func (i *Instance) Seen() []string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.seen)
}

func (i *Instance) serve(c net.Conn) {
	defer c.Close()
	for in := bufio.NewReader(c); ; {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if !i.answer(c, in, r) {
			return
		}
	}
}

// answer does what one request asks for, and says whether the connection goes on.
func (i *Instance) answer(c net.Conn, in *bufio.Reader, r *http.Request) bool {
	mode, id := r.URL.Query().Get("mode"), r.Header.Get("X-Id")
	say := func(status, header, body string) {
		fmt.Fprintf(c, "HTTP/1.1 %s\r\nX-Echo-Id: %s\r\n%s\r\n%s", status, id, header, body)
	}
	text := func(n int) string { return strings.Repeat("<"+id+">", n) }
	length := func(s string) string { return "Content-Length: " + strconv.Itoa(len(s)) + "\r\n" }
	switch mode { // before the body is read
	case "early":
		say("200 OK", length("early"), "early")
	case "earlyclose":
		say("413 Content Too Large", "Connection: close\r\n"+length("early"), "early")
		return false
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	i.mu.Lock()
	i.seen = append(i.seen, r.Method+" "+r.RequestURI+" "+id)
	held := i.held
	i.mu.Unlock()
	if mode == "hold" {
		<-held
	}
	switch mode {
	case "early":
	case "silent":
		return false
	case "reset":
		_ = c.(*net.TCPConn).SetLinger(0)
		return false
	case "half":
		say("200 OK", "Content-Le", "")
		return false
	case "short":
		say("200 OK", "Content-Length: 9999\r\n", text(5))
		return false
	case "close":
		say("200 OK", "Connection: close\r\n"+length(text(3)), text(3))
		return false
	case "eof":
		fmt.Fprintf(c, "HTTP/1.0 200 OK\r\nX-Echo-Id: %s\r\n\r\n%s", id, text(50))
		return false
	case "chunks":
		say("200 OK", "Transfer-Encoding: chunked\r\nTrailer: X-T\r\n", fmt.Sprintf("%x\r\n%s\r\n", len(text(20)), text(20)))
		fmt.Fprintf(c, "0\r\nX-T: %s\r\n\r\n", id)
	case "more": // an answer too many
		say("200 OK", length(text(2)), text(2)+"HTTP/1.1 200 OK\r\nX-Echo-Id: EXTRA\r\nContent-Length: 5\r\n\r\nEXTRA")
	case "late": // the same, some time after
		say("200 OK", length(text(2)), text(2))
		<-time.After(lateness)
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nX-Echo-Id: EXTRA\r\nContent-Length: 5\r\n\r\nEXTRA") // it may be closed by now
	case "hints":
		fmt.Fprintf(c, "HTTP/1.1 103 Early Hints\r\nX-Info-Id: %s\r\n\r\n", id)
		say("200 OK", length(text(2)), text(2))
	case "busy":
		say("503 Service Unavailable", "Content-Length: 0\r\n", "")
	case "lies": // what only a region may say
		say("404 Not Found", "X-Showrunner-Unknown-Host: 1\r\nX-Showrunner-Not-Sent: 1\r\nX-Showrunner-Slow-Body: 1\r\nContent-Length: 0\r\n", "")
	case "upgrade":
		say("101 Switching Protocols", "Connection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\n", "hello "+id+"\n")
		_, _ = io.Copy(c, in) // until either end leaves
		return false
	case "fields": // what it was sent
		var b strings.Builder
		_ = r.Header.Write(&b) // to memory
		say("200 OK", length(b.String()), b.String())
	case "huge":
		piece := make([]byte, 64<<10)
		say("200 OK", fmt.Sprintf("Content-Length: %d\r\n", 256*len(piece)), "")
		for range 256 {
			if _, err := c.Write(piece); err != nil {
				return false
			}
		}
	case "large":
		say("200 OK", length(text(30_000)), text(30_000))
	default:
		answer := fmt.Sprintf("%s %d", id, len(body))
		if r.Method == http.MethodHead {
			say("200 OK", length(answer), "")
			break
		}
		say("200 OK", length(answer), answer)
	}
	return true
}
