package plain

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// MostHead bounds a plain request, in bytes; longer ones are net/http's.
	MostHead   = 8 << 10
	mostFields = 64
)

// ErrOther is a request that is not plain.
var ErrOther = errors.New("not a plain request")

// Reader reads plain requests from one connection into one request value.
type Reader struct {
	in     *bufio.Reader // of MostHead bytes at least
	taken  int           // the length of the request that was read
	values [mostFields]string
}

// NewReader reads from in, whose buffer must hold MostHead bytes.
func NewReader(in *bufio.Reader) *Reader { return &Reader{in: in} }

// Read reads a request into to, whose header map is used again. It takes no byte
// away: Done does. After the connection's errors it may be called again.
// Errors: ErrOther, and the connection's.
func (r *Reader) Read(to *http.Request) error {
	for n := 1; ; {
		if _, err := r.in.Peek(n); err != nil {
			return err
		}
		seen, _ := r.in.Peek(r.in.Buffered()) // what is there
		if end := bytes.Index(seen, []byte("\r\n\r\n")); end >= 0 {
			r.taken = end + 4
			return r.parse(string(seen[:end+2]), to)
		}
		if n = len(seen) + 1; n > MostHead || !couldBe(seen) {
			return ErrOther
		}
	}
}

// couldBe says whether more bytes may make a plain request of these: what is
// none for certain is not waited for.
func couldBe(seen []byte) bool {
	for _, m := range methods {
		if k := min(len(m), len(seen)); string(seen[:k]) == m[:k] {
			return !bareLineFeed(seen)
		}
	}
	return false
}

func bareLineFeed(seen []byte) bool {
	for i, c := range seen {
		if c == '\n' && (i == 0 || seen[i-1] != '\r') {
			return true
		}
	}
	return false
}

// Reset forgets the connection, and reads from another one.
func (r *Reader) Reset(from io.Reader) {
	r.in.Reset(from)
	r.taken = 0
	clear(r.values[:])
}

// Done takes the request that was read away.
func (r *Reader) Done() { _, _ = r.in.Discard(r.taken) } // it was peeked at

// Buffered is how many bytes were read ahead.
func (r *Reader) Buffered() int { return r.in.Buffered() }

// Rest is what was read ahead and belongs to whoever takes the connection over.
func (r *Reader) Rest() []byte {
	rest, _ := r.in.Peek(r.in.Buffered())
	return bytes.Clone(rest)
}

// methods are those of requests without a body, each with the space after it.
var methods = []string{"GET ", "HEAD ", "OPTIONS ", "DELETE "}

func (r *Reader) parse(head string, to *http.Request) error {
	line, fields, _ := strings.Cut(head, "\r\n")
	method, target := "", ""
	for _, m := range methods {
		if rest, ok := strings.CutPrefix(line, m); ok {
			method, target = m[:len(m)-1], rest
		}
	}
	target, ok := strings.CutSuffix(target, " HTTP/1.1")
	if !ok || method == "" || !validTarget(target) {
		return ErrOther
	}
	to.Method, to.RequestURI, to.Host, to.Close = method, target, "", false
	clear(to.Header)
	for n := 0; fields != ""; n++ {
		line, fields, _ = strings.Cut(fields, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || n == mostFields || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return ErrOther
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Content-Length", "Transfer-Encoding", "Trailer", "Expect", "Upgrade", "Http2-Settings", "Proxy-Connection":
			return ErrOther
		case "Connection":
			switch {
			case strings.EqualFold(value, "close") && r.in.Buffered() == r.taken: // what comes after it is net/http's to read away
				to.Close = true
			case !strings.EqualFold(value, "keep-alive"):
				return ErrOther
			}
			continue
		case "Host":
			if to.Host != "" || value == "" || !httpguts.ValidHostHeader(value) {
				return ErrOther
			}
			to.Host = value
			continue
		}
		if before := to.Header[name]; before != nil {
			to.Header[name] = append(before, value)
			continue
		}
		r.values[n] = value
		to.Header[name] = r.values[n : n+1 : n+1]
	}
	if to.Host == "" {
		return ErrOther
	}
	return nil
}

// validTarget says whether a target is a path of visible characters that every reader sees alike.
func validTarget(s string) bool {
	if s == "" || s[0] != '/' {
		return false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c <= ' ' || c >= 0x7f || c == '#':
			return false
		case c == '%':
			if i+2 >= len(s) || !hex(s[i+1]) || !hex(s[i+2]) {
				return false
			}
		}
	}
	return true
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}
