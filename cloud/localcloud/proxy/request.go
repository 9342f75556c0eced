package proxy

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/proxy/upstream"
)

// smallBody is the size up to which a body is read before the request is sent on,
// in bytes: no server waits for it, and no place there is taken meanwhile.
const smallBody = upstream.SmallBody

// answerGuard orders what is written before an answer: answers of the kind 1xx,
// which may come from the goroutine that reads the body, and then the answer.
type answerGuard struct {
	mu    sync.Mutex
	begun bool
	err   error
}

func (g *answerGuard) begin() { g.begun, g.err = false, nil }

// write writes an answer of the kind 1xx, unless the answer has begun.
func (g *answerGuard) write(f func() error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.begun && g.err == nil {
		g.err = f()
	}
	return g.err
}

// end is called when the answer begins. Errors: of what was written before it.
func (g *answerGuard) end() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.begun = true
	return g.err
}

// serveRequest serves the request that was read, whatever it is, and says whether
// the connection goes on.
func (c *client) serveRequest() bool {
	r := &c.request
	c.in.Done()
	c.answer.begin()
	var body *bodyReader
	if r.ContentLength != 0 {
		body = c.openBody()
		r.Body = body
		c.body.Store(body)
		defer c.body.Store(nil)
	}
	again := c.dispatch(body)
	r.Body, c.call.Body, c.call.reader, c.call.upgrade = http.NoBody, nil, nil, ""
	switch {
	case body != nil && !body.retire(), !again && c.in.Buffered() > 0:
		c.linger()
		return false
	case body != nil:
		_ = c.raw.SetReadDeadline(time.Time{}) // a connection that has ended says so when it is read
	}
	return again
}

// openBody begins to read the request's body.
func (c *client) openBody() *bodyReader {
	in := c.in.Body(&c.request)
	b := &bodyReader{in: in, ready: in.Ready, left: bodyAllowance, setDeadline: c.raw.SetReadDeadline}
	if len(c.request.Header["Expect"]) > 0 && !c.to.Old {
		b.sayContinue = func() error {
			return c.answer.write(func() error { return c.out.Inform(http.StatusContinue, nil) })
		}
	}
	return b
}

// dispatch has a service, or a handler of this process, answer the request.
func (c *client) dispatch(body *bodyReader) bool {
	r := &c.request
	switch {
	case r.Method == http.MethodConnect: // a tunnel to anywhere is not what this server is for
		c.to.Last = true
		return c.text(Answer{Status: http.StatusMethodNotAllowed, Text: "CONNECT is not for this server.\n"})
	case len(r.Header["Expect"]) > 0 && (len(r.Header["Expect"]) > 1 || !strings.EqualFold(r.Header["Expect"][0], "100-continue")):
		c.to.Last = true
		return c.text(Answer{Status: http.StatusExpectationFailed, Text: "Only 100-continue can be expected of this server.\n"})
	case isHealthCheck(r):
		return c.handle(http.HandlerFunc(healthCheck), body)
	}
	service, handler := c.server.config.Route(r)
	if service == nil {
		return c.handle(handler, body)
	}
	if body == nil {
		if c.call.upgrade = upgradeOf(r); c.call.upgrade != "" {
			return c.upgrade(service)
		}
		return c.carry(service)
	}
	c.call.reader = body
	if err := readAhead(r, body, service); err != nil {
		return c.failBody(err)
	}
	c.call.Body = replay.Of(r)
	return c.carryBody(service, body)
}

// readAhead reads a small body whole, so that only this server waits for it. A
// client that offers to wait for a word to send it is not waited for. For a Gatherer it
// reads as much of any body, and of all clients.
func readAhead(r *http.Request, body *bodyReader, service Service) error {
	small := r.ContentLength >= 0 && r.ContentLength <= smallBody
	if g, ok := service.(Gatherer); ok && g.Gathers() && (!small || len(r.Header["Expect"]) > 0) {
		return gather(r, body)
	}
	if !small || len(r.Header["Expect"]) > 0 {
		return nil
	}
	text := make([]byte, r.ContentLength)
	if _, err := io.ReadFull(body, text); err != nil {
		return err
	}
	if n, err := body.Read(make([]byte, 1)); n > 0 || err != io.EOF { // HTTP/2 may have said less than there is
		return errors.Join(err, errLongBody)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	return nil
}

// gather reads the first smallBody bytes of a body, or all of it when there are fewer.
func gather(r *http.Request, body *bodyReader) error {
	text := make([]byte, 0, smallBody)
	for len(text) < cap(text) {
		n, err := body.Read(text[len(text):cap(text)])
		text = text[:len(text)+n]
		if err == io.EOF {
			r.Body = io.NopCloser(bytes.NewReader(text))
			return nil
		}
		if err != nil {
			return err
		}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text), body), body}
	return nil
}

var errLongBody = errors.New("the request's body is longer than it was said to be")

// failBody answers a request whose body could not be read.
func (c *client) failBody(err error) bool {
	if c.ctx.Err() != nil || errors.Is(err, io.ErrUnexpectedEOF) { // the client has gone
		return false
	}
	c.to.Last = true
	a, ours, silent := clientFailure(err, c.call.Trusted)
	if silent {
		c.raw.Close()
		return false
	}
	if !ours {
		a = Answer{Status: http.StatusBadRequest, Text: "The body of this request cannot be read.\n"}
	}
	return c.text(a)
}

// carryBody is carry for a request with a body. When the answer comes before all of
// the body was read, the connection ends with it: the rest must not be taken for
// the next request.
func (c *client) carryBody(service Service, body *bodyReader) bool {
	res, err := service.Carry(&c.call)
	if !body.whole() {
		c.to.Last = true
	}
	if err != nil {
		return c.fail(service, err)
	}
	defer res.Body.Close()
	if c.answer.end() != nil {
		return false
	}
	return c.write(res)
}

// handle has a handler of this process answer.
func (c *client) handle(h http.Handler, body *bodyReader) bool {
	r := c.request.WithContext(c.ctx)
	if r.URL == nil || r.URL.Path == "" && r.URL.Host == "" {
		u, err := url.ParseRequestURI(r.RequestURI)
		if err != nil {
			c.to.Last = true
			return c.text(Answer{Status: http.StatusBadRequest, Text: "The target of this request is malformed.\n"})
		}
		r.URL = u
	}
	if body != nil && (r.ContentLength < 0 || r.ContentLength > smallBody || readAhead(r, body, nil) != nil) {
		c.to.Last = true // the handler may leave some of it
	}
	c.to.Last = c.to.Last || c.server.closing.Load()
	w := c.out.NewResponse(c.to, &c.conn)
	if !serveHTTP(h, w, r) {
		return false
	}
	again, err := w.End()
	return again && err == nil
}

// serveHTTP has a handler answer; false when it has ended the connection.
func serveHTTP(h http.Handler, w http.ResponseWriter, r *http.Request) (ok bool) {
	defer func() {
		if p := recover(); p == http.ErrAbortHandler {
			ok = false
		} else if p != nil {
			panic(p)
		}
	}()
	h.ServeHTTP(w, r)
	return true
}

// linger ends our side of the connection, and for a while reads away what still
// comes: the system would take back what the client has not read yet otherwise.
func (c *client) linger() {
	c.enter(closingPhase)
	closeWrite(c.raw)
	_ = c.raw.SetReadDeadline(time.Now().Add(lingerLimit)) // a connection that has ended says so when it is read
	piece := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(piece)
	for {
		if _, err := c.raw.Read(piece[:]); err != nil {
			return
		}
	}
}

// isHealthCheck says whether a request asks whether this process serves.
func isHealthCheck(r *http.Request) bool {
	path, _, _ := strings.Cut(r.RequestURI, "?")
	return path == "/_showrunner/healthz"
}

// healthCheck answers whether this process serves.
func healthCheck(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) }

// upgradeOf is the protocol that a request without a body asks for in place of
// HTTP; empty for none. HTTP/2 is not spoken for clients that ask for it so: the
// server behind would take its client's word for everything.
func upgradeOf(r *http.Request) string {
	said := r.Header["Upgrade"]
	if len(said) != 1 || r.ProtoMinor == 0 || !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") || strings.EqualFold(said[0], "h2c") {
		return ""
	}
	return said[0]
}
