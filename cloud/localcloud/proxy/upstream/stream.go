package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
)

// interruptReading ends a reading of the request's body that waits. When there is
// nothing more to read it does nothing: what comes next is another request.
func (x *exchange) interruptReading() {
	if x.interrupt != nil && !x.taken.Load() {
		x.interrupt()
	}
}

// stream writes the body as it comes.
func (x *exchange) stream(r Request) error {
	err := x.copy(r)
	if err == nil && r.Written != nil {
		r.Written()
	}
	var e *Error
	if errors.As(err, &e) && e.Client {
		x.conn.abort() // half a request must not be taken for a whole one
	}
	return err
}

func (x *exchange) copy(r Request) error {
	unknown := chunked(r.Request)
	buf := make([]byte, 32<<10)
	const room = 10 // for a chunk's size in hexadecimal, and its line end
	var sum int64
	for {
		n, err := r.Body.Read(buf[room : len(buf)-2])
		sum += int64(n)
		if err == io.EOF || !unknown && sum == r.ContentLength {
			x.taken.Store(true)
		}
		if n > 0 {
			piece := buf[room : room+n]
			if unknown {
				size := strconv.FormatInt(int64(n), 16) + "\r\n"
				copy(buf[room-len(size):], size)
				copy(buf[room+n:], "\r\n")
				piece = buf[room-len(size) : room+n+2]
			}
			if _, err := x.conn.raw.Write(piece); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF && (unknown || sum == r.ContentLength):
			if !unknown {
				return nil
			}
			end, err := trailers(r.Trailer)
			if err == nil {
				_, err = x.conn.raw.Write(end)
			}
			return err
		case err == io.EOF:
			err = io.ErrUnexpectedEOF
			fallthrough
		case err != nil:
			return &Error{Sent: true, Client: true, err: fmt.Errorf("reading the request's body: %w", err)}
		}
	}
}

// trailers is the last chunk and what follows it.
func trailers(t http.Header) ([]byte, error) {
	b := []byte("0\r\n")
	for name, values := range t {
		if HopByHop(name) || dropped(name) || Mistaken(name) {
			continue
		}
		for _, v := range values {
			if b = appendField(b, textproto.CanonicalMIMEHeaderKey(name), strings.TrimSpace(v)); b == nil {
				return nil, &Error{Sent: true, Client: true, err: errBadRequest}
			}
		}
	}
	return append(b, "\r\n"...), nil
}
