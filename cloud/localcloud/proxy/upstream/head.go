package upstream

import (
	"errors"
	"net"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// errBadRequest is a request that cannot be written without changing its meaning.
var errBadRequest = errors.New("the request cannot be passed on")

// appendHead writes a request's line and header. Its framing is ours: what the
// client said about the length of the body was read and taken off by the
// server, so that no two readers can disagree about it.
func appendHead(b []byte, r Request) ([]byte, error) {
	target := r.RequestURI
	if r.ProtoMajor != 1 || !strings.HasPrefix(target, "/") {
		target = r.URL.RequestURI()
	}
	if !plain(target) || !plain(r.Host) || !httpguts.ValidHeaderFieldName(r.Method) || !httpguts.ValidHostHeader(r.Host) {
		return b, errBadRequest
	}
	b = append(b, r.Method...)
	b = append(b, ' ')
	b = append(b, target...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	b = append(b, "\r\n"...)
	listed := r.Header["Connection"]
	for name, values := range r.Header {
		if HopByHop(name) || dropped(name) || Mistaken(name) || len(listed) > 0 && httpguts.HeaderValuesContainsToken(listed, name) {
			continue
		}
		for _, v := range values {
			if b = appendField(b, name, v); b == nil {
				return nil, errBadRequest
			}
		}
	}
	if b = appendForwarded(b, r.Request, r.Trusted); b == nil {
		return nil, errBadRequest
	}
	if r.EdgeKey != "" {
		b = append(append(append(b, EdgeKeyHeader+": "...), r.EdgeKey...), "\r\n"...)
		if r.Sends > 0 {
			b = append(strconv.AppendInt(append(b, SendsHeader+": "...), int64(r.Sends), 10), "\r\n"...)
		}
		if r.Source {
			b = append(append(append(b, SourceHeader+": "...), r.RemoteAddr...), "\r\n"...)
		}
	}
	if r.Upgrade != "" {
		if b = appendField(append(b, "Connection: Upgrade\r\n"...), "Upgrade", r.Upgrade); b == nil {
			return nil, errBadRequest
		}
	}
	if te := r.Header["Te"]; len(te) > 0 && httpguts.HeaderValuesContainsToken(te, "trailers") {
		b = append(b, "Te: trailers\r\n"...)
	}
	b = appendFraming(b, r.Request)
	return append(b, "\r\n"...), nil
}

// appendField writes one line; nil when it would not be one.
func appendField(b []byte, name, value string) []byte {
	if !oneLine(value) || !httpguts.ValidHeaderFieldName(name) {
		return nil
	}
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

// appendForwarded names the client; nil when that would not be a line each. What
// the request says itself counts only when it comes from our own edge.
func appendForwarded(b []byte, r *http.Request, trusted bool) []byte {
	host, proto := r.Host, "http"
	if r.TLS != nil {
		proto = "https"
	}
	b = append(b, "X-Forwarded-For: "...)
	if trusted {
		for _, v := range r.Header["X-Forwarded-For"] {
			if !oneLine(v) {
				return nil
			}
			b = append(append(b, v...), ", "...)
		}
		if said := r.Header["X-Forwarded-Host"]; len(said) > 0 {
			if host = said[0]; !oneLine(host) {
				return nil
			}
		}
	}
	if client, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		b = append(b, client...)
	}
	b = append(b, "\r\nX-Forwarded-Host: "...)
	b = append(b, host...)
	b = append(b, "\r\nX-Forwarded-Proto: "...)
	b = append(b, proto...)
	return append(b, "\r\n"...)
}

// SetForwarded is appendForwarded for HTTP/2, where no field can be two.
func SetForwarded(h http.Header, r *http.Request, trusted bool) {
	host := r.Host
	var chain []string
	if trusted {
		chain = append(chain, r.Header["X-Forwarded-For"]...)
		if said := r.Header["X-Forwarded-Host"]; len(said) > 0 {
			host = said[0]
		}
	}
	if client, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		chain = append(chain, client)
	}
	proto := "http"
	if r.TLS != nil {
		proto = "https"
	}
	h["X-Forwarded-For"], h["X-Forwarded-Host"], h["X-Forwarded-Proto"] = []string{strings.Join(chain, ", ")}, []string{host}, []string{proto}
}

func appendFraming(b []byte, r *http.Request) []byte {
	switch {
	case chunked(r):
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
		for name := range r.Trailer {
			if httpguts.ValidTrailerHeader(name) {
				b = append(append(append(b, "Trailer: "...), name...), "\r\n"...)
			}
		}
	case r.ContentLength > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.ContentLength, 10)
		b = append(b, "\r\n"...)
	}
	return b
}

// chunked says whether the length of the body is not known before its end.
func chunked(r *http.Request) bool { return hasBody(r) && r.ContentLength < 0 }

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

func oneLine(s string) bool {
	for i := range len(s) {
		if s[i] == '\r' || s[i] == '\n' || s[i] == 0 {
			return false
		}
	}
	return true
}

// plain says whether s has no space or control character in it.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return s != ""
}

// HopByHop says whether a header is about one connection alone (RFC 9110,
// section 7.6.1), beside those that Connection names.
func HopByHop(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade":
		return true
	}
	return false
}

// KeepLength has net/http's server write the length that an answer says of what has
// not been modified. It takes that off by its usual name.
func KeepLength(h http.Header, status int) {
	if said := h["Content-Length"]; status == http.StatusNotModified && said != nil {
		delete(h, "Content-Length")
		h["content-length"] = said
	}
}

// EdgeKeyHeader carries the key by which a region knows its edge. It reaches no instance.
const EdgeKeyHeader = "X-Showrunner-Edge-Key"

// Mistaken says whether a field can be mistaken for one that is written here or not
// passed on: programs that get the fields as variables (CGI, WSGI, Rack) see no
// difference between "-" and "_". Other names with "_" are passed on.
func Mistaken(name string) bool {
	if strings.IndexByte(name, '_') < 0 {
		return false
	}
	name = textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(name, "_", "-"))
	return HopByHop(name) || dropped(name) || strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-Showrunner-")
}

const (
	// SendsHeader is how often a region may send a request to instances, where the edge
	// says so. It reaches no instance.
	SendsHeader = "X-Showrunner-Sends"
	// SourceHeader is the address that a request came from, where the edge says so. It
	// reaches no instance.
	SourceHeader = "X-Showrunner-Source"
	// SpentHeader tells the edge how often a region has sent a request that it could not
	// answer. It reaches no client.
	SpentHeader = "X-Showrunner-Spent"
)

// dropped are the headers that are written anew, or not at all.
func dropped(name string) bool {
	switch name {
	case "Host", "Content-Length", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", EdgeKeyHeader, SendsHeader, SourceHeader:
		return true
	}
	return false
}
