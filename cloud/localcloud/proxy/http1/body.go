package http1

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/http/httputil"
	"net/textproto"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// maxTrailers bounds what follows a body in chunks, in bytes.
const maxTrailers = 8 << 10

// Body is the body of the request that was read last.
type Body struct {
	r       *Reader
	chunks  io.Reader // nil: its length is known
	left    int64
	trailer http.Header // of the request, filled in before the end
	err     error
}

// Body reads the body that a request's head announces, after Done. It must be read
// to its end before the next request can be.
func (r *Reader) Body(of *http.Request) *Body {
	b := &Body{r: r, left: of.ContentLength, trailer: of.Trailer}
	if of.ContentLength < 0 {
		b.chunks = httputil.NewChunkedReader(r.in)
	}
	return b
}

// Ready says whether so many bytes of the body have been read ahead, or all of it.
func (b *Body) Ready(n int) bool {
	return b.chunks == nil && int64(b.r.in.Buffered()) >= min(int64(n), b.left)
}

// Read implements io.Reader. io.EOF comes with the last bytes where the length is
// known. Errors: *Refusal for a body that is malformed, and the connection's.
func (b *Body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	var n int
	if b.chunks != nil {
		if n, b.err = b.chunks.Read(p); b.err == io.EOF {
			if b.err = nil; n == 0 { // else what has come does not wait for them
				b.err = b.trailers()
			}
		}
	} else {
		if b.left == 0 {
			return 0, io.EOF
		}
		n, b.err = b.r.in.Read(p[:min(int64(len(p)), b.left)])
		if b.left -= int64(n); b.err == io.EOF {
			b.err = io.ErrUnexpectedEOF
		} else if b.err == nil && b.left == 0 {
			b.err = io.EOF
		}
	}
	return n, b.err
}

// trailers reads what follows the last chunk. Errors: io.EOF when all is well.
func (b *Body) trailers() error {
	for size := 0; ; {
		line, err := b.r.in.ReadSlice('\n')
		if size += len(line); size > maxTrailers || errors.Is(err, bufio.ErrBufferFull) {
			return refuse("the trailers are too long")
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		text, ok := strings.CutSuffix(string(line), "\r\n")
		if ok && text == "" {
			return io.EOF
		}
		name, value, colon := strings.Cut(text, ":")
		value = strings.Trim(value, " \t")
		if !ok || !colon || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return refuse("a trailer is malformed")
		}
		if name = textproto.CanonicalMIMEHeaderKey(name); !httpguts.ValidTrailerHeader(name) {
			return refuse("a trailer may not have this name")
		}
		b.trailer[name] = append(b.trailer[name], value)
	}
}
