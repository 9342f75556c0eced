package http1_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"showrunner/cloud/localcloud/proxy/http1"
)

const post = "POST / HTTP/1.1\r\nHost: a\r\n"

// seeds are requests that are good, and such as are meant to be read differently by two readers.
var seeds = []struct {
	text   string
	status int // of the refusal; 0: it is read
}{
	{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"GET /a?b=%20 HTTP/1.1\r\nHost: a:80\r\nX-A: 1\r\nx-a: 2\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.1\r\n", 0},
	{"HEAD /a HTTP/1.1\r\nhost: a\r\nCookie: a=b\r\n\r\n", 0},
	{"GET / HTTP/1.1\nHost: a\n\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n\tb: c\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 0},
	{post + "Content-Length: 5\r\n\r\nhelloGET", 0},
	{post + "Content-Length : 5\r\n\r\nhello", 400},
	{post + "Content-Length:\t5 \r\n\r\nhello", 0},
	{post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400},
	{post + "Content-Length: 5, 5\r\n\r\nhello", 400},
	{post + "Content-Length: +5\r\n\r\nhello", 400},
	{post + "Content-Length: 0x5\r\n\r\nhello", 400},
	{post + "Content-Length: \r\n\r\n", 400},
	{post + "Content-Length: 99999999999999999999\r\n\r\n", 400},
	{post + "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\n\r\nGET", 0},
	{post + "Transfer-Encoding: Chunked\r\nTrailer: X-T\r\n\r\n0\r\nX-T: 1\r\nX-U: 2\r\n\r\nGET", 0},
	{post + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 501},
	{post + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
	{post + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello", 501},
	{post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
	{post + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400},
	{post + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400},
	{post + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 501},
	{post + "X: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{post + "Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n\r\n0\r\n\r\n", 400},
	{"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nX: a\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: a\r\nConnection: x-a, Close\r\nX-A: 1\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 0},
	{"GET http://b/c?d HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET http:/b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET //b/ HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET /\xc3\xbc?%zz HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
	{"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
	{"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
	{"GET / HTTP/01.1\r\nHost: a\r\n\r\n", 400},
	{"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET /\r\nHost: a\r\n\r\n", 400},
	{"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n", 400},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\r\n\r\n", 400},
	{"GET / HTTP/1.0\r\n\r\n", 0},
	{"CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 70) + "\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("b", 20<<10) + "\r\n\r\n", 0},
	{"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("b", http1.MaxHead) + "\r\n\r\n", 431},
}

func newRequest() *http.Request { return &http.Request{ProtoMajor: 1, Header: http.Header{}} }

func TestWhatIsRefused(t *testing.T) {
	for _, seed := range seeds {
		err := http1.NewReader(strings.NewReader(seed.text)).Read(newRequest())
		var refused *http1.Refusal
		if errors.As(err, &refused) {
			if refused.Status != seed.status {
				t.Errorf("%.80q is refused with %d (%s), want %d", seed.text, refused.Status, refused.Reason, seed.status)
			}
		} else if err != nil || seed.status != 0 {
			t.Errorf("%.80q: %v, want %d", seed.text, err, seed.status)
		}
	}
}

// read reads one request with its body, and what follows it.
func read(text []byte) (r *http.Request, body, rest []byte, err error) {
	from := bytes.NewReader(text)
	in := http1.NewReader(from)
	r = newRequest()
	r.Header["Left"] = []string{"over"}
	if err := in.Read(r); err != nil {
		return nil, nil, nil, err
	}
	in.Done()
	if r.ContentLength != 0 {
		if body, err = io.ReadAll(in.Body(r)); err != nil {
			return nil, nil, nil, err
		}
	}
	rest = in.Rest()
	more, err := io.ReadAll(from)
	return r, body, append(rest, more...), err
}

// FuzzReadsAsNetHTTP holds that whatever is accepted means the same to net/http,
// with the same body, and ends at the same byte.
func FuzzReadsAsNetHTTP(f *testing.F) {
	for _, seed := range seeds {
		f.Add([]byte(seed.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, body, rest, err := read(text)
		if err != nil || got.Method == http.MethodConnect {
			return
		}
		same := bufio.NewReader(bytes.NewReader(text))
		want, err := http.ReadRequest(same)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", text, err)
		}
		wantBody, err := io.ReadAll(want.Body)
		if err != nil {
			t.Fatalf("net/http refuses the body of %q: %v", text, err)
		}
		wantRest, err := io.ReadAll(same)
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range []http.Header{want.Header, got.Header} {
			h.Del("Connection")
			h.Del("Content-Length")
			h.Del("Trailer") // net/http keeps it where there can be none
		}
		if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || got.ContentLength != want.ContentLength ||
			want.Close && !got.Close || got.ProtoMinor != want.ProtoMinor || !bytes.Equal(body, wantBody) || !bytes.Equal(rest, wantRest) ||
			!maps.EqualFunc(got.Header, want.Header, slices.Equal) {
			t.Errorf("%q: read as %+v %q, by net/http as %+v %q", text, got, body, want, wantBody)
		}
		for name, values := range want.Trailer {
			if !slices.Equal(got.Trailer[name], values) {
				t.Errorf("%q: trailers %v, by net/http %v", text, got.Trailer, want.Trailer)
			}
		}
	})
}

// What cannot become a request is refused at once: nobody waits for the end of it.
func TestRefusesWithoutWaiting(t *testing.T) {
	for _, s := range []string{"GET / HTTP/1.1\nHost: a\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "\r\n", "G(T / HTTP/1.1\r\n", " GET", "\x16\x03\x01\x02"} {
		ours, theirs := net.Pipe()
		go io.WriteString(theirs, s)
		var refused *http1.Refusal
		if err := http1.NewReader(ours).Read(newRequest()); !errors.As(err, &refused) {
			t.Errorf("%q: %v", s, err)
		}
		ours.Close()
	}
}

// A connection of HTTP/2 is told from everything else, however it is cut.
func TestHTTP2IsTold(t *testing.T) {
	const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		for i := range preface {
			io.WriteString(theirs, preface[i:i+1])
		}
	}()
	r := http1.NewReader(ours)
	if err := r.Read(newRequest()); !errors.Is(err, http1.ErrHTTP2) || string(r.Rest()) != preface {
		t.Errorf("%v with %q", err, r.Rest())
	}
}

func TestBadBodies(t *testing.T) {
	for _, body := range []string{
		"zz\r\nabc\r\n0\r\n\r\n", "3\r\nabcd\r\n0\r\n\r\n", "3\nabc\n0\n\n", "-3\r\nabc\r\n0\r\n\r\n", "0x3\r\nabc\r\n0\r\n\r\n", " 3\r\nabc\r\n0\r\n\r\n",
		"ffffffffffffffff1\r\nabc\r\n0\r\n\r\n", "3\r\nabc\r\n", "3\r\nabc\r\n0\r\n", "3\r\nabc\r\n0\r\nX\r\n\r\n", "3\r\nabc\r\n0\r\nX : 1\r\n\r\n",
		"3\r\nabc\r\n0\r\n X: 1\r\n\r\n", "3\r\nabc\r\n0\r\nX: 1\n\r\n", "3\r\nabc\r\n0\r\nContent-Length: 1\r\n\r\n", "3\r\nabc\r\n0\r\nHost: b\r\n\r\n",
		"3\r\nabc\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", "3\r\nabc\r\n0\r\nX: " + strings.Repeat("x", 9<<10) + "\r\n\r\n", "\r\n3\r\nabc\r\n0\r\n\r\n",
	} {
		if _, got, _, err := read([]byte(post + "Transfer-Encoding: chunked\r\n\r\n" + body)); err == nil {
			t.Errorf("%q is read as %q", body, got)
		}
	}
	if _, _, _, err := read([]byte(post + "Content-Length: 5\r\n\r\nhell")); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half a body: %v", err)
	}
}
