package http1

import (
	"errors"
	"io"
	"net/http"
	"strconv"
)

// Response is an answer that a handler of this process writes. It is for one
// goroutine, and must be ended.
type Response struct {
	to     Reply
	w      *Writer
	direct io.ReaderFrom // the connection, for files
	header http.Header

	status int
	kept   []byte // of the body, while its length may become known
	begun  bool   // the head was written
	left   int64  // of a body whose length was said, else -1
	chunks bool
	err    error
}

// mostKept is how much of a body is kept until its length is known, in bytes.
const mostKept = 4 << 10

// NewResponse answers one request; direct may be nil.
func (w *Writer) NewResponse(to Reply, direct io.ReaderFrom) *Response {
	return &Response{to: to, w: w, direct: direct, header: http.Header{}, left: -1}
}

// Header implements http.ResponseWriter.
func (r *Response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *Response) WriteHeader(status int) {
	switch {
	case r.status != 0 || r.err != nil:
	case status < 200:
		if !r.to.Old {
			r.err = r.w.Inform(status, r.header)
		}
	default:
		r.status = status
	}
}

// Write implements io.Writer. Errors: http.ErrContentLength, http.ErrBodyNotAllowed
// and the connection's.
func (r *Response) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	switch {
	case r.err != nil:
		return 0, r.err
	case r.status == http.StatusNoContent || r.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case !r.begun && len(r.kept)+len(p) <= mostKept:
		r.kept = append(r.kept, p...)
		return len(p), nil
	}
	r.begin(-1)
	r.add(p)
	if r.err != nil {
		return 0, r.err
	}
	return len(p), nil
}

// begin writes the head, and what was kept. length is that of the whole body, -1
// when it is not known.
func (r *Response) begin(length int64) {
	if r.begun || r.err != nil {
		return
	}
	r.begun = true
	if said := r.header["Content-Length"]; len(said) == 1 {
		if n, err := strconv.ParseUint(said[0], 10, 62); err == nil {
			length = int64(n)
		}
	}
	w := r.w
	w.begin(r.status, "")
	w.fields(r.header)
	w.date(r.header)
	r.chunks = length < 0 && !r.to.Old && !r.bodiless()
	r.to.Last = r.to.Last || length < 0 && !r.chunks && !r.bodiless()
	w.last(r.to)
	switch {
	case r.chunks:
		w.out = append(w.out, "Transfer-Encoding: chunked\r\n"...)
	case length >= 0 && r.status != http.StatusNoContent && (r.status != http.StatusNotModified || r.header["Content-Length"] != nil):
		w.length(length)
	}
	w.out = append(w.out, "\r\n"...)
	r.left = length
	kept := r.kept
	r.kept = nil
	r.add(kept)
}

func (r *Response) bodiless() bool {
	return r.to.Method == http.MethodHead || r.status == http.StatusNoContent || r.status == http.StatusNotModified
}

// add writes some of the body.
func (r *Response) add(p []byte) {
	if r.err != nil || len(p) == 0 {
		return
	}
	if r.left >= 0 {
		if int64(len(p)) > r.left {
			r.err = http.ErrContentLength
			return
		}
		r.left -= int64(len(p))
	}
	if r.bodiless() {
		return
	}
	for len(p) > 0 && r.err == nil {
		n := min(len(p), piece)
		r.w.piece(p[:n], r.chunks)
		if p = p[n:]; len(r.w.out) >= piece {
			r.err = r.w.flush()
		}
	}
}

// ReadFrom lets the system copy a file whose length was said.
func (r *Response) ReadFrom(from io.Reader) (int64, error) {
	r.WriteHeader(http.StatusOK)
	if r.direct == nil || r.bodiless() || len(r.header["Content-Length"]) != 1 {
		return io.Copy(struct{ io.Writer }{r}, from)
	}
	r.begin(-1)
	if r.err == nil {
		r.err = r.w.flush()
	}
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.direct.ReadFrom(&io.LimitedReader{R: from, N: r.left})
	r.left -= n
	r.err = err
	return n, err
}

// FlushError sends what was written so far.
func (r *Response) FlushError() error {
	r.WriteHeader(http.StatusOK)
	r.begin(-1)
	if r.err == nil {
		r.err = r.w.flush()
	}
	return r.err
}

// Flush implements http.Flusher.
func (r *Response) Flush() { _ = r.FlushError() } // End says it again

// End writes what is outstanding, and says whether the connection may go on.
// Errors: the connection's, and of an answer that is not whole.
func (r *Response) End() (goesOn bool, err error) {
	r.WriteHeader(http.StatusOK)
	r.begin(int64(len(r.kept)))
	if r.err == nil && r.chunks {
		r.w.end(nil)
	}
	if r.err == nil {
		r.err = r.w.flush()
	}
	if r.err == nil && r.left > 0 && !r.bodiless() {
		r.err = errors.New("the handler wrote less than it said")
	}
	return r.err == nil && !r.to.Last, r.err
}
