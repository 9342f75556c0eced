package upstream

import (
	"bufio"
	"bytes"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

var answers = []string{
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX-A: 1\r\nx-a: 2\r\nConnection: keep-alive\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
	"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhi",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
	"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi",
	"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi",
	"HTTP/1.1 200 OK\r\nX: a\r\n Content-Length: 2\r\n\r\nhi",
	"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi\r\n\r\n",
	"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.1 100 Continue\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
	"HTTP/1.1 200 OK\r\n\r\nhi",
	"HTTP/1.1 200 \r\nContent-Length: 3\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\nhi!rest",
}

func readPlain(text []byte) (*http.Response, []byte, error, bool) {
	in := bufio.NewReader(bytes.NewReader(text))
	if _, err := in.Peek(1); err != nil {
		return nil, nil, nil, false
	}
	p := plainHead{header: http.Header{"Left": {"over"}}}
	var res http.Response
	if !p.read(in, &res) {
		return nil, nil, nil, false
	}
	body, err := io.ReadAll(&plainBody{in, res.ContentLength})
	return &res, body, err, true
}

// FuzzAnswersReadAsNetHTTP holds that whatever is taken for plain means the same
// to net/http, body and all.
func FuzzAnswersReadAsNetHTTP(f *testing.F) {
	for _, s := range answers {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, body, cut, ok := readPlain(text)
		if !ok {
			return // net/http's
		}
		want, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(text)), nil)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", text, err)
		}
		wantBody, wantCut := io.ReadAll(want.Body)
		want.Header.Del("Connection")
		if got.StatusCode != want.StatusCode || got.ContentLength != want.ContentLength || want.Close || len(want.TransferEncoding) > 0 || want.Trailer != nil ||
			!bytes.Equal(body, wantBody) || cut != wantCut || !maps.EqualFunc(got.Header, want.Header, slices.Equal) {
			t.Errorf("%q: read as %+v %q %v, by net/http as %+v %q %v", text, got, body, cut, want, wantBody, wantCut)
		}
	})
}

func TestWhatAnswersArePlain(t *testing.T) {
	var taken []int
	for i, s := range answers {
		if _, _, _, ok := readPlain([]byte(s)); ok {
			taken = append(taken, i)
		}
	}
	if !slices.Equal(taken, []int{0, 1, 2, 17}) {
		t.Errorf("plain are %v", taken)
	}
	many := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n" + strings.Repeat("X-A: 1\r\n", mostFields) + "\r\nhi"
	if _, _, _, ok := readPlain([]byte(many)); ok {
		t.Error("more fields than there is room for")
	}
}
