package http1

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

const (
	// MaxHead bounds the head of a request, in bytes.
	MaxHead = 64 << 10
	// usualHead is what a connection has room for until a longer head comes.
	usualHead = 8 << 10
	// usualFields is for how many fields no memory is asked for.
	usualFields = 64
)

// ErrHTTP2 says that a connection begins as those of HTTP/2 do.
var ErrHTTP2 = errors.New("a connection of HTTP/2")

// Refusal is a request that is not carried on. The connection must end with its answer.
type Refusal struct {
	Status int
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

func refuse(reason string) *Refusal { return &Refusal{http.StatusBadRequest, reason} }

// Reader reads the requests of one connection into one request value.
type Reader struct {
	from   io.Reader
	in     *bufio.Reader
	taken  int // the length of the head that was read
	values [usualFields]string
}

// NewReader reads from a connection.
func NewReader(from io.Reader) *Reader {
	return &Reader{from: from, in: bufio.NewReaderSize(from, usualHead)}
}

// Read reads the head of the next request into to, whose header map is used
// again. It takes no byte away: Done does. After the connection's errors it may be
// called again. ContentLength is 0 without a body, and -1 when the body comes in
// chunks; Body is left alone. Trailer names the announced trailers, and is not nil
// when there may be some. URL is set unless the target is a plain path.
// Errors: ErrHTTP2, *Refusal, and the connection's.
func (r *Reader) Read(to *http.Request) error {
	for n := 1; ; {
		if _, err := r.in.Peek(n); err != nil {
			return err
		}
		seen, _ := r.in.Peek(r.in.Buffered()) // what is there
		if bytes.HasPrefix(seen, preface[:min(len(preface), len(seen))]) {
			if len(seen) >= len(preface) {
				return ErrHTTP2
			}
			n = len(seen) + 1
			continue
		}
		end := bytes.Index(seen, endOfHead)
		if end >= 0 {
			seen = seen[:end+len(endOfHead)]
		}
		if reason := hopeless(seen); reason != "" {
			return refuse(reason)
		}
		if end >= 0 {
			r.taken = len(seen)
			return r.parse(string(seen[:end+2]), to)
		}
		if n = len(seen) + 1; n > r.in.Size() {
			if n > MaxHead {
				return &Refusal{http.StatusRequestHeaderFieldsTooLarge, "the head is too long"}
			}
			r.in = bufio.NewReaderSize(io.MultiReader(bytes.NewReader(bytes.Clone(seen)), r.from), MaxHead)
		}
	}
}

var endOfHead = []byte("\r\n\r\n")

// preface is what connections of HTTP/2 begin with (RFC 9113, section 3.4).
var preface = []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

// hopeless says why no more bytes can make a request of these; empty when they may.
// What is none for certain is not waited for.
func hopeless(seen []byte) string {
	for i, c := range seen {
		switch {
		case c == '\n' && (i == 0 || seen[i-1] != '\r'):
			return "a line ends without a carriage return"
		case c == '\r' && i+1 < len(seen) && seen[i+1] != '\n':
			return "a carriage return stands alone"
		}
	}
	for i, c := range seen {
		switch {
		case c == ' ' && i > 0:
			return ""
		case !httpguts.IsTokenRune(rune(c)):
			return "the method is no token"
		}
	}
	return ""
}

// Done takes the head that was read away.
func (r *Reader) Done() { _, _ = r.in.Discard(r.taken) } // it was peeked at

// Buffered is how many bytes were read ahead.
func (r *Reader) Buffered() int { return r.in.Buffered() }

// Rest is what was read ahead, for the code that takes the connection over.
func (r *Reader) Rest() []byte {
	rest, _ := r.in.Peek(r.in.Buffered())
	return bytes.Clone(rest)
}

// framing is what a head says of its body.
type framing struct {
	length  string // of Content-Length
	lengths int
	chunked int // fields of Transfer-Encoding
	hosts   int
}

func (r *Reader) parse(head string, to *http.Request) error {
	line, fields, _ := strings.Cut(head, "\r\n")
	method, target, _ := strings.Cut(line, " ")
	target, version, _ := strings.Cut(target, " ")
	switch version {
	case "HTTP/1.1":
		to.Proto, to.ProtoMinor, to.Close = version, 1, false
	case "HTTP/1.0":
		to.Proto, to.ProtoMinor, to.Close = version, 0, true // it would have to be agreed that it goes on
	default:
		if strings.HasPrefix(version, "HTTP/") && len(version) == len("HTTP/1.1") {
			return &Refusal{http.StatusHTTPVersionNotSupported, "this version of HTTP is not spoken here"}
		}
		return refuse("the version is malformed")
	}
	to.Method, to.RequestURI, to.Host, to.ContentLength, to.Trailer, to.URL = method, target, "", 0, nil, noURL
	clear(to.Header)
	f, err := r.fields(fields, to)
	if err != nil {
		return err
	}
	if err := parseTarget(to); err != nil {
		return err
	}
	if to.ProtoMinor == 1 && f.hosts == 0 {
		return refuse("a Host field is missing")
	}
	return frame(f, to)
}

// noURL is the URL of requests for a plain path, which is not parsed.
var noURL = &url.URL{}

// fields reads the fields of a head.
func (r *Reader) fields(fields string, to *http.Request) (f framing, err error) {
	for n, line := 0, ""; fields != ""; n++ {
		line, fields, _ = strings.Cut(fields, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		value = strings.Trim(value, " \t")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return f, refuse("a header field is malformed")
		}
		switch name = textproto.CanonicalMIMEHeaderKey(name); name {
		case "Content-Length":
			f.length, f.lengths = value, f.lengths+1
			continue
		case "Transfer-Encoding":
			if f.chunked++; !strings.EqualFold(value, "chunked") {
				return f, &Refusal{http.StatusNotImplemented, "this transfer coding is not spoken here"}
			}
			continue
		case "Host":
			if f.hosts++; f.hosts > 1 || !httpguts.ValidHostHeader(value) {
				return f, refuse("the Host field is malformed or repeated")
			}
			to.Host = value
			continue
		case "Trailer":
			if err := announce(value, to); err != nil {
				return f, err
			}
			continue
		case "Connection":
			if strings.EqualFold(value, "keep-alive") {
				continue
			}
			if to.Close = to.Close || httpguts.HeaderValuesContainsToken([]string{value}, "close"); strings.EqualFold(value, "close") {
				continue
			}
		}
		switch before := to.Header[name]; {
		case before != nil:
			to.Header[name] = append(before, value)
		case n < usualFields:
			r.values[n] = value
			to.Header[name] = r.values[n : n+1 : n+1]
		default:
			to.Header[name] = []string{value}
		}
	}
	return f, nil
}

// announce notes the names of trailers.
func announce(list string, to *http.Request) error {
	for name := range strings.SplitSeq(list, ",") {
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		if !httpguts.ValidTrailerHeader(name) || !httpguts.ValidHeaderFieldName(name) {
			return refuse("a trailer may not have this name")
		}
		if to.Trailer == nil {
			to.Trailer = http.Header{}
		}
		to.Trailer[name] = nil
	}
	return nil
}

// frame finds out where the body ends. Whatever two readers could understand
// differently is refused (RFC 9112, section 6.3).
func frame(f framing, to *http.Request) error {
	switch {
	case f.chunked > 0 && f.lengths > 0:
		return refuse("Content-Length and Transfer-Encoding contradict each other")
	case f.chunked > 1:
		return refuse("Transfer-Encoding is repeated")
	case f.chunked > 0 && to.ProtoMinor == 0:
		return refuse("HTTP/1.0 has no Transfer-Encoding")
	case f.chunked > 0:
		to.ContentLength = -1
		if to.Trailer == nil {
			to.Trailer = http.Header{}
		}
		return nil
	}
	to.Trailer = nil
	if f.lengths == 0 {
		return nil
	}
	length, err := strconv.ParseUint(f.length, 10, 62)
	if err != nil || f.lengths > 1 {
		return refuse("the Content-Length is malformed or repeated")
	}
	to.ContentLength = int64(length)
	return nil
}

// parseTarget reads a target that is more than a plain path. A whole address
// counts before the Host field (RFC 9112, section 3.2.2).
func parseTarget(to *http.Request) error {
	if plainPath(to.RequestURI) {
		return nil
	}
	if !CleanTarget(to.RequestURI) {
		return refuse("the target is malformed")
	}
	if to.Method == http.MethodConnect {
		return nil // nobody asks where to
	}
	u, err := url.ParseRequestURI(to.RequestURI)
	switch {
	case err != nil, to.RequestURI == "*" && to.Method != http.MethodOptions:
		return refuse("the target is malformed")
	case u.Scheme == "" && (u.Path == "*" || strings.HasPrefix(to.RequestURI, "/")):
	case (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.Opaque == "" && httpguts.ValidHostHeader(u.Host):
		to.Host = u.Host
	default:
		return refuse("the target is malformed")
	}
	to.URL = u
	return nil
}

// CleanTarget says whether a target has neither spaces nor control characters nor a fragment.
func CleanTarget(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c == 0x7f || c == '#' {
			return false
		}
	}
	return true
}

// plainPath says whether a target is a path of visible characters that every reader sees alike.
func plainPath(s string) bool {
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
