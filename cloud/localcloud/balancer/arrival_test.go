package balancer_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Whoever sends bodies in chunks keeps the connection: an instance answers as
// soon as it has seen the end, often before the writing of it has returned here.
func TestChunksKeepTheConnection(t *testing.T) {
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, "ok")
	}))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for n := range 1000 {
		if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"); err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("request %d: %v", n, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || string(body) != "ok" || res.Close {
			t.Fatalf("request %d: %s, %q, close %v: %v", n, res.Status, body, res.Close, err)
		}
	}
}

// However requests arrive, in one piece, in many or cut anywhere, each is answered,
// and a client that has ended its side with the last one is not kept waiting.
func TestHoweverRequestsArrive(t *testing.T) {
	const n = 300
	request := "GET / HTTP/1.1\r\nHost: shop.localhost\r\nX-Filler: " + strings.Repeat("a", 61) + "\r\n\r\n"
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") }))
	for name, size := range map[string]int{"in one piece": n * len(request), "cut anywhere": 97, "byte by byte": 1} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			go func() {
				all := strings.Repeat(request, n)
				for len(all) > 0 {
					k := min(size, len(all))
					if _, err := io.WriteString(c, all[:k]); err != nil {
						return // the answers tell
					}
					all = all[k:]
				}
				c.(*net.TCPConn).CloseWrite()
			}()
			c.SetReadDeadline(time.Now().Add(30 * time.Second)) // far below what an idle client is given
			text, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			if got := strings.Count(string(text), "HTTP/1.1 200 OK"); got != n {
				t.Errorf("%d of %d requests were answered", got, n)
			}
		})
	}
}
