// Package replay owns the question whether a request may be sent again, and a
// request body that can be.
package replay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
)

// Limit is how much of a body is kept so that it can be sent again, in bytes.
const Limit = 1 << 20

// Harmless says whether sending the request twice does no harm: by its method
// (RFC 9110, section 9.2.2) or because it carries an Idempotency-Key. What opens
// a tunnel is not sent twice.
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

// GatewayFailure says whether a status means that whoever answered could not
// serve now, so that another may.
func GatewayFailure(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// Body is a request's body that can be sent again while no more than Limit of
// it has been read. A nil *Body is no body.
type Body struct {
	source io.Reader
	mu     sync.Mutex // of what follows: Whole may be asked while somebody reads
	kept   bytes.Buffer
	over   bool          // more was read than is kept
	lent   chan struct{} // closed when whoever ReadCloser gave it to has closed it
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

// Again makes the next reading begin at the beginning, and says whether that is
// possible. Nobody may be reading.
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

// ReadCloser is the body as a client's request wants it. Before anybody else reads
// it, it must be Settled.
func (b *Body) ReadCloser() io.ReadCloser {
	if b == nil {
		return http.NoBody
	}
	lent := make(chan struct{})
	b.lent = lent
	return &reading{b, sync.OnceFunc(func() { close(lent) })}
}

// Settled waits until the body that ReadCloser returned is closed: a transport may
// read it after it has answered. It says whether that was before ctx ended.
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

// OnClose calls f once the answer's body is closed; a tunnel stays one.
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

// CloseWrite ends one side alone. Errors: errors.ErrUnsupported, the connection's.
func (t *tunnel) CloseWrite() error {
	if c, ok := t.ReadWriteCloser.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return errors.ErrUnsupported
}
