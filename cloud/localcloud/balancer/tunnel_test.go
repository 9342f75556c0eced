package balancer_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// cleartext speaks HTTP/2 without TLS, and nothing else.
func cleartext() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// A gRPC call goes both ways at once, and an answer that is a status alone keeps it
// where it ends the call.
func TestCallsBothWaysAtOnce(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		if r.URL.Path != "/echo" {
			w.Header().Set("Grpc-Status", "12")
			w.Header().Set("Grpc-Message", "unknown method")
			return
		}
		w.Header().Set("Trailer", "Grpc-Status")
		control := http.NewResponseController(w)
		control.Flush()
		piece := make([]byte, 4)
		for {
			if _, err := io.ReadFull(r.Body, piece); err != nil {
				break
			}
			w.Write(piece)
			control.Flush()
		}
		w.Header().Set("Grpc-Status", "10")
	}))
	s.Config.Protocols = cleartext()
	s.Start()
	defer s.Close()
	_, address := one(t, target("a", s))
	transport := &http.Transport{Protocols: cleartext()}
	defer transport.CloseIdleConnections()
	call := func(path string, body io.Reader) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+path, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "shop.localhost"
		r.Header.Set("Content-Type", "application/grpc")
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	in, out := io.Pipe()
	res := call("/echo", in)
	defer res.Body.Close()
	piece := make([]byte, 4)
	for _, say := range []string{"one.", "two.", "more"} {
		if _, err := io.WriteString(out, say); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(res.Body, piece); err != nil || string(piece) != say {
			t.Fatalf("%q came back as %q: %v", say, piece, err)
		}
	}
	out.Close()
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil || res.Trailer.Get("Grpc-Status") != "10" {
		t.Errorf("at the end %q, %v, %v", rest, res.Trailer, err)
	}
	res = call("/nothing", strings.NewReader("x"))
	defer res.Body.Close()
	if rest, err := io.ReadAll(res.Body); len(rest) > 0 || err != nil || res.Trailer.Get("Grpc-Status") != "12" || res.Trailer.Get("Grpc-Message") != "unknown method" {
		t.Errorf("a status alone: %q, header %v, trailer %v, %v", rest, res.Header, res.Trailer, err)
	}
}

// An upgraded connection loses nothing at either end: neither what came together
// with the request nor what the instance says once the client has said its last.
func TestUpgradesLoseNothing(t *testing.T) {
	_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
		if _, err := head(in); err != nil {
			return
		}
		io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		all, err := io.ReadAll(in)
		fmt.Fprintf(c, "you said %s, %v", all, err)
	}))
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nearly ")
	in := bufio.NewReader(c)
	if lines, err := head(in); err != nil || !strings.Contains(lines[0], "101") {
		t.Fatalf("%q, %v", lines, err)
	}
	io.WriteString(c, "late")
	c.(*net.TCPConn).CloseWrite()
	if text, err := io.ReadAll(in); err != nil || string(text) != "you said early late, <nil>" {
		t.Errorf("%q, %v", text, err)
	}
}

// Trailers that nobody announced arrive after a short body too.
func TestTrailersThatNobodyAnnounced(t *testing.T) {
	_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
		for {
			lines, err := head(in)
			if err != nil {
				return
			}
			if strings.HasPrefix(lines[0], "POST") {
				io.ReadFull(in, make([]byte, 2))
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
		}
	}))
	for name, request := range map[string]string{
		"plain":    "GET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n",
		"net/http": "POST / HTTP/1.1\r\nHost: shop.localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
	} {
		if answer := speak(t, address, request); !strings.HasSuffix(answer, "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n") {
			t.Errorf("%s: %q", name, answer)
		}
	}
}
