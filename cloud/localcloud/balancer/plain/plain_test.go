package plain_test

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"showrunner/cloud/localcloud/balancer/plain"
)

// seeds are requests that are plain, nearly plain, and meant to be read differently by two readers.
var seeds = []string{
	"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /a?b=%20 HTTP/1.1\r\nHost: a:80\r\nX-A: 1\r\nx-a: 2\r\nConnection: keep-alive\r\n\r\nGET /b HTTP/1.1\r\n",
	"HEAD /a HTTP/1.1\r\nhost: a\r\nCookie: a=b\r\n\r\n",
	"GET / HTTP/1.1\nHost: a\n\n",
	"GET / HTTP/1.1\r\nHost: a\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello",
	"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
	"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET //b/ HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
	"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: b\r\n", 70) + "\r\n",
	"GET / HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("b", plain.MostHead) + "\r\n\r\n",
}

// FuzzReadsAsNetHTTP holds that whatever is taken for plain means the same to
// net/http, ends at the same byte and has no body there either.
func FuzzReadsAsNetHTTP(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := bufio.NewReaderSize(bytes.NewReader(text), plain.MostHead)
		r := plain.NewReader(in)
		got := http.Request{Header: http.Header{"Left": {"over"}}, URL: &url.URL{}}
		if err := r.Read(&got); err != nil {
			return // net/http's from the first byte on
		}
		r.Done()
		rest, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		source := bytes.NewReader(text)
		same := bufio.NewReader(source)
		want, err := http.ReadRequest(same)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", text, err)
		}
		wantRest, err := io.ReadAll(same)
		if err != nil {
			t.Fatal(err)
		}
		want.Header.Del("Connection")
		if got.Method != want.Method || got.RequestURI != want.RequestURI || got.Host != want.Host || want.Body != http.NoBody || want.ContentLength != 0 || got.Close != want.Close ||
			len(want.TransferEncoding) > 0 || want.Trailer != nil || !bytes.Equal(rest, wantRest) || !maps.EqualFunc(got.Header, want.Header, slices.Equal) {
			t.Errorf("%q: read as %+v, by net/http as %+v", text, got, want)
		}
	})
}

func TestWhatIsPlain(t *testing.T) {
	var taken []int
	for i, s := range seeds {
		got := http.Request{Header: http.Header{}, URL: &url.URL{}}
		if plain.NewReader(bufio.NewReaderSize(strings.NewReader(s), plain.MostHead)).Read(&got) == nil {
			taken = append(taken, i)
		}
	}
	if !slices.Equal(taken, []int{0, 1, 2, 12, 15}) {
		t.Errorf("plain are %v", taken)
	}
}

// What cannot become plain is handed over at once: nobody waits for the end of
// a head that another reader has seen already.
func TestHandsOverWithoutWaiting(t *testing.T) {
	for _, s := range []string{"POST / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "GET / HTTP/1.1\nHost: a\n", "GET / HTTP/1.1\r\nHost: a\n\r\n", "\r\n", "G(T / HTTP/1.1\r\n"} {
		ours, theirs := net.Pipe()
		go io.WriteString(theirs, s)
		got := http.Request{Header: http.Header{}, URL: &url.URL{}}
		if err := plain.NewReader(bufio.NewReaderSize(ours, plain.MostHead)).Read(&got); err != plain.ErrOther {
			t.Errorf("%q: %v", s, err)
		}
		ours.Close()
	}
}
