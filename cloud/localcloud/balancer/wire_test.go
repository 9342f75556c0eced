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

	"showrunner/cloud/localcloud/balancer"
)

// An answer that is cut short must not look whole.
func TestNoSilentTruncation(t *testing.T) {
	for name, says := range map[string]string{
		"a length": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
		"chunks":   "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
				if _, err := head(in); err == nil {
					io.WriteString(c, says)
				}
			}))
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Host = "shop.localhost"
			res, err := http.DefaultClient.Do(req)
			if err == nil {
				_, err = io.ReadAll(res.Body)
				res.Body.Close()
			}
			if err == nil {
				t.Error("half an answer looks like a whole one")
			}
			if n := b.Counts("shop")[0].Errors; n != 1 {
				t.Errorf("%d errors counted", n)
			}
		})
	}
}

func TestWhatIsOfOneConnectionStaysThere(t *testing.T) {
	seen := make(chan http.Header, 1)
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) {
		seen <- r.Header
		w.Header().Set("Connection", "X-Mine")
		w.Header().Set("X-Mine", "1")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("Proxy-Authenticate", "Basic")
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "ok")
	}))
	_, _, answer := ask(t, http.MethodGet, address, "", "Connection", "X-Ours, X-Forwarded-For", "X-Ours", "1", "Keep-Alive", "300", "Te", "trailers, deflate",
		"Proxy-Authorization", "Basic eA==", "Proxy-Connection", "keep-alive", "X-Kept", "1", "Forwarded", "for=evil", "X-Forwarded-For", "192.0.2.1")
	h := <-seen
	for _, name := range []string{"X-Ours", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Forwarded", "Connection"} {
		if h.Get(name) != "" {
			t.Errorf("%s: %s reached the instance", name, h.Get(name))
		}
	}
	if h.Get("Te") != "trailers" || h.Get("X-Kept") != "1" || h.Get("X-Forwarded-Host") != "shop.localhost" || h.Get("X-Forwarded-Proto") != "http" || h.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("the instance got %v", h)
	}
	for _, name := range []string{"X-Mine", "Keep-Alive", "Proxy-Authenticate", "Content-Type"} {
		if answer.Get(name) != "" {
			t.Errorf("%s: %s reached the client", name, answer.Get(name))
		}
	}
	if answer.Get("X-Showrunner-Instance") != "a" {
		t.Errorf("the client got %v", answer)
	}
}

// What a request says of its client is believed with our edge's key alone, and the
// key reaches no instance.
func TestWhoIsBelieved(t *testing.T) {
	seen := make(chan http.Header, 1)
	b, address := start(t, balancer.Config{EdgeKey: "secret"})
	b.SetCluster(shop(handler(t, func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header })))
	said := []string{"X-Forwarded-For", "192.0.2.1", "X-Forwarded-Host", "shop.example", "X-Forwarded-Proto", "https"}
	for key, want := range map[string]string{"": "127.0.0.1 shop.localhost http", "Secret": "127.0.0.1 shop.localhost http", "secret": "192.0.2.1, 127.0.0.1 shop.example http"} {
		for _, body := range []string{"", "hi"} {
			header := said
			if key != "" {
				header = append(said, "X-Showrunner-Edge-Key", key)
			}
			ask(t, http.MethodPost, address, body, header...)
			h := <-seen
			if got := h.Get("X-Forwarded-For") + " " + h.Get("X-Forwarded-Host") + " " + h.Get("X-Forwarded-Proto"); got != want || h["X-Showrunner-Edge-Key"] != nil {
				t.Errorf("with %q the instance got %s: %v", key, got, h)
			}
		}
	}
}

// A HEAD has the length of the answer that a GET would get, and no body; the
// connection goes on.
func TestHead(t *testing.T) {
	_, address := one(t, handler(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "11")
		io.WriteString(w, "hello world")
	}))
	answer := speak(t, address, "HEAD / HTTP/1.1\r\nHost: shop.localhost\r\n\r\nGET / HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
	if strings.Count(answer, "Content-Length: 11") != 2 || strings.Count(answer, "hello world") != 1 || !strings.HasSuffix(answer, "hello world") {
		t.Errorf("%q", answer)
	}
}

// An instance that closes a kept connection has done nothing wrong, and no
// request that it has not seen is lost with it.
func TestKeptConnectionsThatWereClosed(t *testing.T) {
	ended := make(chan struct{}, 100)
	b, address := start(t, balancer.Config{OnEject: func(id, why string) { t.Errorf("%s ejected: %s", id, why) }})
	target := raw(t, func(c net.Conn, in *bufio.Reader) {
		defer func() { ended <- struct{}{} }()
		lines, err := head(in)
		if err != nil {
			return
		}
		size := 0
		for _, line := range lines {
			fmt.Sscanf(line, "Content-Length: %d", &size)
		}
		if _, err := io.CopyN(io.Discard, in, int64(size)); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
		c.Close()
	})
	b.SetCluster(balancer.Cluster{Name: "shop", Groups: []balancer.Group{{Name: "g", Weight: 1, Targets: []balancer.Target{target}}}})
	for i := range 20 {
		method := []string{http.MethodGet, http.MethodPost}[i%2]
		if status, body, _ := ask(t, method, address, strings.Repeat("x", i%2)); status != http.StatusOK || body != "ok" {
			t.Fatalf("%d: %d %s", i, status, body)
		}
		<-ended
	}
	if n := b.Counts("shop")[0].Errors; n != 0 {
		t.Errorf("%d errors", n)
	}
}

// Bytes that nobody asked for on a kept connection are no answer to the next request.
func TestAnAnswerTooMany(t *testing.T) {
	_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
		for {
			if _, err := head(in); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}
	}))
	for range 10 {
		if _, body, _ := ask(t, http.MethodGet, address, ""); body != "ok" {
			t.Fatalf("%s", body)
		}
	}
}

// gRPC is spoken over HTTP/2 on both sides.
func TestRemoteProcedureCalls(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Grpc-Status")
		fmt.Fprintf(w, "HTTP/%d", r.ProtoMajor)
		w.Header().Set("Grpc-Status", "0")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	_, address := one(t, target("a", s))
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/", strings.NewReader("message"))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "shop.localhost"
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "HTTP/2" || res.ProtoMajor != 2 || res.Trailer.Get("Grpc-Status") != "0" {
		t.Errorf("HTTP/%d %q %v %v", res.ProtoMajor, body, res.Trailer, err)
	}
}

// What an instance says of the length of what has not changed is kept, whoever
// writes the answer; chunks would make it void.
func TestNotModifiedKeepsItsLength(t *testing.T) {
	for _, test := range []struct{ says, length string }{
		{"Content-Length: 1234\r\n", "1234"},
		{"Content-Length: 1234\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n", ""},
		{"", ""},
	} {
		_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
			for {
				if _, err := head(in); err != nil {
					return
				}
				io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nEtag: \"x\"\r\n"+test.says+"\r\n")
			}
		}))
		for _, request := range []string{"GET / HTTP/1.1\r\n", "HEAD / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nContent-Length: 0\r\n", "GET / HTTP/1.0\r\n"} {
			answer := speak(t, address, request+"Host: shop.localhost\r\nConnection: close\r\n\r\n")
			res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
			if err != nil {
				t.Fatalf("%q: %v in %q", request, err, answer)
			}
			if got := res.Header.Get("Content-Length"); res.StatusCode != http.StatusNotModified || res.Header.Get("Etag") != `"x"` || got != test.length || !strings.HasSuffix(answer, "\r\n\r\n") {
				t.Errorf("%q, %q: %q", request, test.says, answer)
			}
		}
	}
}

// A reason is the instance's own as long as it is one line.
func TestReasons(t *testing.T) {
	for says, want := range map[string]string{
		"200 Alles klar, Herr Kommissar": "200 Alles klar, Herr Kommissar",
		"404 Sch\u00f6n w\u00e4r's":      "404 Sch\u00f6n w\u00e4r's",
		"299 Nobody knows":               "299 Nobody knows",
		"200 ":                           "200 OK",
		"200":                            "200 OK",
		"200 A\rX-A: b":                  "200 OK",
	} {
		_, address := one(t, raw(t, func(c net.Conn, in *bufio.Reader) {
			lines, err := head(in)
			if err != nil {
				return
			}
			framing := "Content-Length: 2\r\n\r\nok"
			if strings.Contains(lines[0], "/chunks") {
				framing = "Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
			}
			io.WriteString(c, "HTTP/1.1 "+says+"\r\n"+framing)
		}))
		for _, path := range []string{"/", "/chunks"} {
			answer := speak(t, address, "GET "+path+" HTTP/1.1\r\nHost: shop.localhost\r\nConnection: close\r\n\r\n")
			if line, _, _ := strings.Cut(answer, "\r\n"); line != "HTTP/1.1 "+want {
				t.Errorf("%s of %q: %q", path, says, line)
			}
		}
	}
}
