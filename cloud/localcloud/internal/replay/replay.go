// Package replay decides whether a request may be sent again, and owns request
// bodies that can be sent again.
package replay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// Limit is how many bytes of a body are kept so that it can be sent again.
const Limit = 1 << 20

// Harmless says whether sending the request twice does no harm: by its method
// (RFC 9110, section 9.2.2) or because it has an Idempotency-Key. A request that
// opens a tunnel is not sent twice.
func Harmless(r *http.Request) bool {
	if r.Header.Get("Upgrade") != "" {
		return false
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return r.Header.Get("Idempotency-Key") != ""
}

// GatewayFailure says whether a status means that the instance could not serve
// now, so that another instance may.
func GatewayFailure(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// Body is a request's body that can be sent again while at most Limit bytes of it
// have been read. A nil *Body is an empty body.
type Body struct {
	source io.Reader
	mu     sync.Mutex // guards the fields below: Whole may be called during a read
	kept   bytes.Buffer
	over   bool          // more was read than is kept
	lent   chan struct{} // closed when the reader from ReadCloser has been closed
}

// Of takes over a request's body; nil when it has none.
func Of(r *http.Request) *Body {
	if r.Body == nil || r.Body == http.NoBody {
		return nil
	}
	return &Body{source: r.Body}
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.kept.Len()+n > Limit {
		b.over, b.kept = true, bytes.Buffer{}
	}
	if !b.over {
		b.kept.Write(p[:n])
	}
	return n, err
}

// Whole says whether the body can still be sent again.
func (b *Body) Whole() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.over
}

// Again restarts reading at the beginning, and says whether that is possible. No
// read may be running.
func (b *Body) Again() bool {
	if b == nil {
		return true
	}
	if !b.Whole() {
		return false
	}
	b.source = io.MultiReader(bytes.NewReader(bytes.Clone(b.kept.Bytes())), b.source)
	b.kept = bytes.Buffer{}
	return true
}

// ReadCloser is the body for a client's request. Settled has to be called before
// the body is read again.
func (b *Body) ReadCloser() io.ReadCloser {
	if b == nil {
		return http.NoBody
	}
	lent := make(chan struct{})
	b.lent = lent
	return &reading{b, sync.OnceFunc(func() { close(lent) })}
}

// Settled waits until the reader from ReadCloser is closed, since a transport may
// read it after it has returned the answer. It returns false when ctx ended
// first.
func (b *Body) Settled(ctx context.Context) bool {
	if b == nil || b.lent == nil {
		return true
	}
	select {
	case <-b.lent:
		return true
	case <-ctx.Done():
		return false
	}
}

type reading struct {
	*Body
	close func()
}

// Close implements io.Closer.
func (r *reading) Close() error {
	r.close()
	return nil
}

// OnClose calls f once the answer's body is closed; an answer that is a tunnel
// stays a tunnel.
func OnClose(body io.ReadCloser, f func()) io.ReadCloser {
	if rw, ok := body.(io.ReadWriteCloser); ok {
		return &tunnel{rw, f}
	}
	return &answer{body, f}
}

type answer struct {
	io.ReadCloser
	f func()
}

func (a *answer) Close() error {
	defer a.f()
	return a.ReadCloser.Close()
}

type tunnel struct {
	io.ReadWriteCloser
	f func()
}

func (t *tunnel) Close() error {
	defer t.f()
	return t.ReadWriteCloser.Close()
}

// CloseWrite closes one direction only. Errors: errors.ErrUnsupported, the
// connection's.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
