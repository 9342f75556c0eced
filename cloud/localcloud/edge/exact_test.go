package edge

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
)

// front is an edge before one region that answers with h.
func front(t *testing.T, h http.HandlerFunc) *served {
	t.Helper()
	region := httptest.NewServer(h)
	t.Cleanup(region.Close)
	return before(t, region.Listener.Addr().String())
}

// say sends bytes as they are and reads one answer; the end of the connection's
// own side comes with them.
func say(t *testing.T, e *served, text string) (*http.Response, string) {
	t.Helper()
	c := e.connect(t)
	io.WriteString(c, text)
	c.CloseWrite()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// A path and a query arrive as they were sent, whether or not they can be read
// as what they look like.
func TestTargetsArriveAsTheyWereSent(t *testing.T) {
	e := front(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	for _, target := range []string{"/", "/?", "/a?b=%20c&d=;e", "/a?q=a+b;c,d:e@f!$'()*", "/a?%zz", "/a?[x]={y}|z", "/{x}|\"y\"", "/a/../b//c/./", "/%2e%2e/%2F%2f", "//a//b/", "/a%00b", "/\u00fc", "/a;p=1/x:y@z"} {
		if _, got := say(t, e, "GET "+target+" HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"); got != target {
			t.Errorf("%s arrives as %s", target, got)
		}
	}
	if _, got := say(t, e, "GET http://shop.localhost/a?b;c HTTP/1.1\r\nHost: shop.localhost\r\n\r\n"); got != "/a?b;c" {
		t.Errorf("a target with a host arrives as %s", got)
	}
}

// What an instance does not say of its answer, the edge does not say for it.
func TestContentTypesAreNotGuessed(t *testing.T) {
	e := front(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		w.Header().Set("Link", "</a.css>")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "<html>")
	})
	if _, _, header := e.ask(t, http.MethodGet, ""); header["Content-Type"] != nil {
		said := header["Content-Type"]
		t.Errorf("the content is said to be %q", said)
	}
}

// answering is a region that answers each connection's first request with these
// bytes, and closes it.
func answering(t *testing.T, answer string) (address string) {
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
			if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
				io.WriteString(c, answer)
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

// The length of what has not changed goes through, by HTTP/1.1 and HTTP/2.
func TestNotModifiedKeepsItsLength(t *testing.T) {
	region := answering(t, "HTTP/1.1 304 Not Modified\r\nContent-Length: 1234\r\nConnection: close\r\n\r\n")
	e := before(t, region)
	for _, major := range []int{1, 2} {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetHTTP1(major == 1)
		transport.Protocols.SetUnencryptedHTTP2(major == 2)
		defer transport.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+e.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "shop.localhost"
		res, err := transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if got := res.Header.Get("Content-Length"); res.ProtoMajor != major || res.StatusCode != http.StatusNotModified || got != "1234" {
			t.Errorf("%s %s: the length is said to be %q", res.Proto, res.Status, got)
		}
	}
}

func TestTrailersGoBothWays(t *testing.T) {
	e := front(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Trailer)
		http.NewResponseController(w).Flush()
		w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
	})
	res, body := say(t, e, "POST / HTTP/1.1\r\nHost: shop.localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Up\r\n\r\n3\r\nabc\r\n0\r\nX-Up: 2\r\n\r\n")
	if body != "map[X-Up:[2]]" {
		t.Errorf("the region was sent the trailers %s", body)
	}
	if want := (http.Header{"X-Sum": {"1"}}); !reflect.DeepEqual(res.Trailer, want) {
		t.Errorf("the client was sent the trailers %v", res.Trailer)
	}
}

// Trailers that nobody announced, with an answer that comes in one piece.
func TestTrailersAtOnce(t *testing.T) {
	region := answering(t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n")
	res, body := say(t, before(t, region), "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	if want := (http.Header{"X-Sum": {"1", "2"}}); body != "abc" || !reflect.DeepEqual(res.Trailer, want) {
		t.Errorf("the client was sent %q and the trailers %v", body, res.Trailer)
	}
}

// A client that ends its side with its request, as nc -N does, gets its answer.
func TestAClientThatEndsItsSide(t *testing.T) {
	arrived, ended := make(chan struct{}), make(chan struct{})
	e := front(t, func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-ended
		io.WriteString(w, "served")
	})
	c := e.connect(t)
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n")
	<-arrived
	c.CloseWrite()
	time.AfterFunc(100*time.Millisecond, func() { close(ended) }) // until the edge has surely seen it; sooner proves less, and fails nothing
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(body) != "served" || err != nil {
		t.Errorf("%s %q %v", res.Status, body, err)
	}
}

// That a service exists in one region only does not make its failure there an
// unknown host.
func TestAFailureIsNotTakenForAnUnknownHost(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Of", "the application")
		http.Error(w, "closed for maintenance", http.StatusServiceUnavailable)
	})
	serves := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { answer(w, r) }))
	defer serves.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Showrunner-Unknown-Host", "1")
		http.NotFound(w, nil)
	}))
	defer other.Close()
	s := &fakeCloud{list: []cloud.Region{{Name: "a", Address: serves.Listener.Addr().String(), Healthy: true}, {Name: "b", Address: other.Listener.Addr().String(), Healthy: true}}}
	e := serve(t, s)
	for _, body := range []string{"", "put"} {
		code, text, header := e.ask(t, http.MethodPut, body)
		if code != http.StatusServiceUnavailable || text != "closed for maintenance\n" || header.Get("X-Of") == "" {
			t.Errorf("an application that says that it cannot: %d %.60s", code, text)
		}
	}
	answer = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	if code, body, _ := e.ask(t, http.MethodGet, ""); code != http.StatusBadGateway {
		t.Errorf("one that breaks off: %d %.60s", code, body)
	}
	s.list[0].Address = other.Listener.Addr().String()
	e.table.probe(t.Context(), s)
	if code, _, _ := e.ask(t, http.MethodGet, ""); code != http.StatusNotFound {
		t.Errorf("a host that nobody knows: %d", code)
	}
}

// A request of HTTP/1.0 need not say what host it is for: regions decide what that means.
func TestARequestWithoutAHost(t *testing.T) {
	region := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "here") }))
	defer region.Close()
	c := before(t, region.Listener.Addr().String()).connect(t)
	io.WriteString(c, "GET / HTTP/1.0\r\n\r\n")
	if text, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(text), "here") {
		t.Errorf("%q, %v", text, err)
	}
}
