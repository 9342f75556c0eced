package upstream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// talkative answers each request with its path, and half a millisecond later with
// more than was asked for, until the test ends.
func talkative(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	answer := func(text string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				for in := bufio.NewReader(c); ; {
					r, err := http.ReadRequest(in)
					if err != nil {
						return
					}
					io.WriteString(c, answer(r.URL.Path))
					time.AfterFunc(500*time.Microsecond, func() { io.WriteString(c, answer("/more")) })
				}
			}()
		}
	}()
	return l.Addr().String()
}

// An answer that nobody asked for is nobody's: not that of the next request, which
// comes at once.
func TestWhatComesAfterAnAnswerIsNotTheNextOne(t *testing.T) {
	t.Parallel()
	p := NewPool(talkative(t))
	defer p.Close()
	for i := range 200 {
		path := fmt.Sprint("/", i)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.Address()+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := p.Send(Request{Request: r, Cancel: &Cancel{}})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || strings.TrimSpace(string(text)) != path {
			t.Fatalf("%s was answered with %q, %v", path, text, err)
		}
	}
}
