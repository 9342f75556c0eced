package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"showrunner/problem"
)

// transport carries a request to the first region that answers it.
//
// A request is sent again elsewhere when that cannot do harm: when nothing of
// it was sent, or when its method (or an Idempotency-Key) says that repeating
// is harmless and its body can be sent again.
type transport struct {
	table *table
	base  *http.Transport
}

// replayLimit is how much of a request's body is kept so that it can be sent again.
const replayLimit = 1 << 20

func newTransport(t *table) *transport {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}
	return &transport{table: t, base: &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 512, MaxIdleConns: 2048, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true, ResponseHeaderTimeout: 0, ExpectContinueTimeout: time.Second, MaxResponseHeaderBytes: 256 << 10,
	}}
}

// unknownHost says that every region was asked and none knows the host.
type unknownHost struct{ host string }

func (u *unknownHost) Error() string { return "no region knows " + u.host }

// retryable says whether sending the request twice does no harm.
func retryable(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return r.Header.Get("Upgrade") == ""
	}
	return r.Header.Get("Idempotency-Key") != ""
}

// body is a request's body that can be sent again as long as little enough of it has been read.
type body struct {
	source io.Reader
	kept   bytes.Buffer
	over   bool // more was read than is kept
	read   bool // anything was read
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	b.read = b.read || n > 0
	if b.kept.Len()+n > replayLimit {
		b.over = true
		b.kept = bytes.Buffer{}
	}
	if !b.over {
		b.kept.Write(p[:n])
	}
	return n, err
}

// again returns a reader of the whole body, and whether that is possible.
func (b *body) again() (io.Reader, bool) {
	if b == nil {
		return nil, true
	}
	if b.over {
		return nil, false
	}
	rest := *b
	b.source = io.MultiReader(bytes.NewReader(bytes.Clone(rest.kept.Bytes())), rest.source)
	b.kept = bytes.Buffer{}
	return b, true
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var kept *body
	if r.Body != nil && r.Body != http.NoBody {
		defer r.Body.Close()
		kept = &body{source: r.Body}
	}
	choices := t.table.choices(chance)
	if len(choices) == 0 {
		return nil, problem.New(problem.Unavailable, "edge", "no region is known yet")
	}
	var last error
	unknown := 0
	for i, c := range choices {
		res, sent, err := t.try(r, c, kept)
		final := i == len(choices)-1
		_, replay := kept.again()
		switch {
		case err == nil && res.StatusCode == http.StatusNotFound && res.Header.Get("X-Showrunner-Unknown-Host") != "":
			unknown++
			res.Body.Close()
			last = &unknownHost{r.Host}
			if !replay {
				return nil, last
			}
			continue
		case err == nil && !final && gatewayFailure(res.StatusCode) && retryable(r) && replay:
			t.table.count(c.name, true)
			res.Body.Close()
			last = errors.New(c.name + " answered " + res.Status)
			continue
		case err == nil:
			t.table.count(c.name, res.StatusCode >= 500)
			return res, nil
		}
		t.table.count(c.name, true)
		last = err
		if r.Context().Err() != nil || !replay || sent && !retryable(r) {
			return nil, err
		}
	}
	return nil, last
}

func gatewayFailure(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}

// try asks one region; sent says whether anything of the request may have reached it.
func (t *transport) try(r *http.Request, c choice, kept *body) (res *http.Response, sent bool, err error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	// Until the answer begins, the region's death ends the wait; afterwards the answer's body does.
	unhook := context.AfterFunc(c.alive, func() {
		if retryable(r) {
			cancel(errors.New(c.name + " went down"))
		}
	})
	out := r.Clone(ctx)
	out.URL.Host = c.address
	out.Body = http.NoBody
	if kept != nil {
		out.Body = io.NopCloser(kept)
	} else if r.Body == nil {
		out.Body = nil
	}
	res, err = t.base.RoundTrip(out)
	unhook()
	if err != nil {
		cancel(err)
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			t.table.refused(c.name, c.address)
			return nil, false, err
		}
		return nil, true, err
	}
	res.Body = endWith(res.Body, cancel)
	return res, true, nil
}

// endWith releases the attempt's context once the answer's body is closed.
func endWith(b io.ReadCloser, cancel context.CancelCauseFunc) io.ReadCloser {
	if rw, ok := b.(io.ReadWriteCloser); ok { // a tunnel after an upgrade
		return &tunnel{rw, cancel}
	}
	return &answer{b, cancel}
}

type answer struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
}

func (a *answer) Close() error {
	defer a.cancel(nil)
	return a.ReadCloser.Close()
}

type tunnel struct {
	io.ReadWriteCloser
	cancel context.CancelCauseFunc
}

func (t *tunnel) Close() error {
	defer t.cancel(nil)
	return t.ReadWriteCloser.Close()
}
