package proxy

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/proxy/http1"
	"showrunner/cloud/localcloud/proxy/upstream"
)

// giveHTTP2 has net/http's server go on with a connection; false when it is closing.
func (s *Server) giveHTTP2(c *client) bool {
	return s.given.give(&prefixedConn{Conn: c.raw, ahead: c.in.Rest()})
}

// serveHTTP2 answers one request of HTTP/2.
func (s *Server) serveHTTP2(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	stream := &http2Writer{ResponseWriter: w, control: control}
	stream.waits.setDeadline = control.SetWriteDeadline
	w = stream
	if r.Method == http.MethodConnect { // as for HTTP/1
		http.Error(w, "CONNECT is not for this server.", http.StatusMethodNotAllowed)
		return
	}
	if !http1.CleanTarget(r.RequestURI) || !rightLength(r) {
		http.Error(w, "The target or the length of this request is malformed.", http.StatusBadRequest)
		return
	}
	trusted, sends, source := s.trusts(r)
	call := &Call{server: s, Request: r, Trusted: trusted, Sends: sends, said: source, grpc: isGRPC(r), writes: &stream.waits,
		inform: func(status int, header http.Header) { inform(w, status, header) }}
	var body *bodyReader
	if r.Body != nil && r.Body != http.NoBody {
		body = &bodyReader{in: r.Body, left: bodyAllowance, setDeadline: control.SetReadDeadline, stream: call.grpc}
		defer body.retire()
		r.Body, call.reader = body, body
	}
	if c, ok := r.Context().Value(connKey{}).(*prefixedConn); ok {
		defer c.begin(call)()
	}
	if isHealthCheck(r) {
		healthCheck(w, r)
		return
	}
	service, handler := s.config.Route(r)
	if service == nil {
		handler.ServeHTTP(w, r)
		return
	}
	defer context.AfterFunc(r.Context(), call.leave)()
	if body != nil && !call.grpc {
		if err := readAhead(r, body, service); err != nil {
			answer(w, call, err, Answer{Status: http.StatusBadRequest, Text: "The body of this request cannot be read.\n"})
			return
		}
	}
	call.Body = replay.Of(r)
	res, err := service.Carry(call)
	if err != nil {
		answer(w, call, err, service.Failure(r, err))
		return
	}
	defer res.Body.Close()
	writeHTTP2(w, res)
}

// rightLength says whether what a request of HTTP/2 says of the length of its body is
// one number, and the one that the server goes by: net/http takes a number that it
// cannot read, and any number where the stream ends with the head, for 0 (RFC 9113,
// section 8.1.1, has these be malformed).
func rightLength(r *http.Request) bool {
	said := r.Header["Content-Length"]
	if len(said) == 0 {
		return true
	}
	length, err := strconv.ParseUint(said[0], 10, 62)
	return len(said) == 1 && err == nil && int64(length) == r.ContentLength
}

// answer answers a request that was not carried: a is for what is not its client's fault.
func answer(w http.ResponseWriter, c *Call, err error, a Answer) {
	said, ours, silent := clientFailure(err, c.Trusted)
	if silent || c.Request.Context().Err() != nil {
		panic(http.ErrAbortHandler) // the client has gone; should it still read, this is no answer
	}
	if ours {
		a = said
	}
	h := w.Header()
	for name, values := range a.Header {
		h[name] = values
	}
	if h["Content-Type"] == nil {
		h["Content-Type"] = []string{"text/plain; charset=utf-8"}
		h["X-Content-Type-Options"] = []string{"nosniff"}
	}
	w.WriteHeader(a.Status)
	if c.Request.Method != http.MethodHead {
		_, _ = io.WriteString(w, a.Text) // the client may have gone
	}
}

// writeHTTP2 writes an answer.
func writeHTTP2(w http.ResponseWriter, res *http.Response) {
	h := w.Header()
	passHeader(h, res.Header)
	upstream.KeepLength(h, res.StatusCode)
	announced := announce(h, res.Trailer)
	w.WriteHeader(res.StatusCode)
	err := error(nil)
	if res.ContentLength < 0 && upstream.Pending(res) { // the body may take its time
		err = http.NewResponseController(w).Flush()
	}
	if err == nil {
		err = pass(w, res)
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client must see that the answer is not whole
	}
	passTrailer(w, res.Trailer, announced)
}

// http2Writer is a stream to a client of HTTP/2, which is not waited for for ever.
type http2Writer struct {
	http.ResponseWriter
	control *http.ResponseController
	limited time.Time // when the deadline was set
	waits   writeWait
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *http2Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements io.Writer.
func (w *http2Writer) Write(p []byte) (int, error) {
	if now := time.Now(); now.Sub(w.limited) > time.Second {
		w.limited = now
		if err := w.control.SetWriteDeadline(now.Add(writeLimit)); err != nil {
			return 0, err
		}
	}
	w.waits.begin()
	defer w.waits.end()
	return w.ResponseWriter.Write(p)
}

// FlushError sends what was written.
func (w *http2Writer) FlushError() error {
	w.waits.begin()
	defer w.waits.end()
	return w.control.Flush()
}

// inform passes an answer of the kind 1xx on.
func inform(w http.ResponseWriter, status int, header http.Header) {
	h := w.Header()
	passHeader(h, header)
	w.WriteHeader(status)
	clear(h)
}

// passHeader copies what is not about the connection to the target alone.
func passHeader(to, from http.Header) {
	if listed := from["Connection"]; len(listed) > 0 {
		for _, list := range listed {
			for name := range strings.SplitSeq(list, ",") {
				from.Del(strings.TrimSpace(name))
			}
		}
	}
	for name, values := range from {
		if !upstream.HopByHop(name) {
			to[name] = values
		}
	}
	if _, said := to["Content-Type"]; !said {
		to["Content-Type"] = nil // nobody guesses
	}
}

// announce names the trailers that the target announced.
func announce(h, trailer http.Header) int {
	for name := range trailer {
		h.Add("Trailer", name)
	}
	return len(trailer)
}

// passTrailer sends the trailers, those that were not announced too.
func passTrailer(w http.ResponseWriter, trailer http.Header, announced int) {
	h := w.Header()
	if len(trailer) != announced {
		_ = http.NewResponseController(w).Flush() // a short body would get a length otherwise, and no trailers
	}
	for name, values := range trailer {
		if len(trailer) != announced {
			name = http.TrailerPrefix + name
		}
		h[name] = values
	}
}

const pieceSize = 32 << 10

// pieces are what answers are copied in.
var pieces = sync.Pool{New: func() any { return new([pieceSize]byte) }}

// pass copies the answer's body, and sends on at once what has come whenever
// more may take its time. Errors are of either side.
func pass(w http.ResponseWriter, res *http.Response) error {
	if res.Body == http.NoBody {
		return nil
	}
	piece := pieces.Get().(*[pieceSize]byte)
	defer pieces.Put(piece)
	var control *http.ResponseController
	for {
		n, err := res.Body.Read(piece[:])
		if n > 0 {
			if _, err := w.Write(piece[:n]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if !upstream.Pending(res) {
			continue
		}
		if control == nil {
			control = http.NewResponseController(w)
		}
		if err := control.Flush(); err != nil {
			return err
		}
	}
}
