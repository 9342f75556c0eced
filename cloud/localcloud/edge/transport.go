package edge

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"sync"
	"time"

	"showrunner/cloud/localcloud/balancer/upstream"
	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/internal/rpc"
	"showrunner/problem"
)

// transport carries a request to the first region that answers it.
//
// A request is sent again elsewhere when that cannot do harm: when nothing of
// it was sent, or when its method (or an Idempotency-Key) says that repeating
// is harmless and its body can be sent again.
type transport struct {
	table *table
	cloud Regions
	base  *http.Transport // upgrades
	rpc   *http.Transport // gRPC, which is HTTP/2 all the way

	mu    sync.Mutex
	pools map[string]*upstream.Pool // by address: everything else, without a goroutine more
}

func newTransport(t *table, c Regions) *transport {
	dialer := &net.Dialer{Timeout: 2 * time.Second, KeepAlive: 15 * time.Second}
	base := &http.Transport{
		DialContext: dialer.DialContext, MaxIdleConnsPerHost: 512, MaxIdleConns: 2048, IdleConnTimeout: 90 * time.Second,
		DisableCompression: true, ResponseHeaderTimeout: 0, ExpectContinueTimeout: time.Second, MaxResponseHeaderBytes: 256 << 10,
	}
	rpc := base.Clone()
	rpc.Protocols = new(http.Protocols)
	rpc.Protocols.SetUnencryptedHTTP2(true)
	return &transport{table: t, cloud: c, base: base, rpc: rpc, pools: map[string]*upstream.Pool{}}
}

// tend closes connections that are not used any more, until ctx ends.
func (t *transport) tend(ctx context.Context) {
	tick := time.NewTicker(upstream.IdleTimeout / 4)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			t.mu.Lock()
			pools := slices.Collect(maps.Values(t.pools))
			t.mu.Unlock()
			for _, p := range pools {
				p.Prune(now)
			}
		case <-ctx.Done():
			return
		}
	}
}

func (t *transport) pool(address string) *upstream.Pool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.pools[address]
	if p == nil {
		p = upstream.NewPool(address)
		t.pools[address] = p
	}
	return p
}

// unknownHost says that every region was asked and none knows the host.
type unknownHost struct{ host string }

func (u *unknownHost) Error() string { return "no region knows " + u.host }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	kept := replay.Of(r) // whoever asked closes it: the answer may begin before its end
	t.table.ensure(r.Context(), t.cloud)
	choices := t.table.choices(chance)
	if len(choices) == 0 {
		return nil, problem.New(problem.Unavailable, "edge", "no region is known yet")
	}
	var last error          // of a region that may know the host, else that none does
	var held *http.Response // of a region that could not, for when no other can
	failed := func() (*http.Response, error) {
		if held != nil {
			return held, nil
		}
		return nil, last
	}
	for i, c := range choices {
		res, sent, err := t.try(r, c, kept)
		final := i == len(choices)-1
		mayRepeat := !sent || replay.Harmless(r) || err == nil && res.Header.Get(notSentHeader) != ""
		switch {
		case err == nil && res.StatusCode == http.StatusNotFound && res.Header.Get("X-Showrunner-Unknown-Host") != "":
			res.Body.Close()
			if last == nil {
				last = &unknownHost{r.Host}
			}
		case err == nil && !final && replay.GatewayFailure(res.StatusCode) && mayRepeat && kept.Whole():
			t.table.count(c.name, true)
			held, last = hold(res), errors.New(c.name+" answered "+res.Status)
		case err == nil:
			t.table.count(c.name, res.StatusCode >= 500)
			res.Header.Del(notSentHeader)
			res.Request = r
			return res, nil
		case !mayRepeat:
			t.table.count(c.name, true)
			return nil, err
		default:
			t.table.count(c.name, true)
			last = err
		}
		if !kept.Settled(r.Context()) || r.Context().Err() != nil || !kept.Again() {
			return failed()
		}
	}
	return failed()
}

// mostHeld bounds the body of an answer that is held, in bytes.
const mostHeld = 64 << 10

// hold ends an answer and keeps it. A longer body, or one of unknown length, is
// left out: waiting for its end would keep the request from the next region.
func hold(res *http.Response) *http.Response {
	defer res.Body.Close()
	var text []byte
	if res.ContentLength > 0 && res.ContentLength <= mostHeld {
		text = make([]byte, res.ContentLength)
		n, _ := io.ReadFull(res.Body, text) // as much as came
		text = text[:n]
	}
	kept := *res
	kept.Header.Del(notSentHeader)
	kept.ContentLength, kept.Body, kept.Trailer = int64(len(text)), io.NopCloser(bytes.NewReader(text)), nil
	if res.Request == nil || res.Request.Method != http.MethodHead {
		kept.Header.Set("Content-Length", strconv.Itoa(len(text)))
	}
	return &kept
}

// notSentHeader is a region's word that nothing of a request reached an instance.
const notSentHeader = "X-Showrunner-Not-Sent"

// try asks one region; sent says whether anything of the request may have reached it.
func (t *transport) try(r *http.Request, c choice, kept *replay.Body) (res *http.Response, sent bool, err error) {
	if len(r.Header["Upgrade"]) == 0 && !rpc.Is(r) {
		res, sent, err = t.ask(r, c, kept)
	} else {
		res, sent, err = t.pass(r, c, kept)
	}
	var op *net.OpError
	if err != nil && errors.As(err, &op) && op.Op == "dial" {
		t.table.refused(c.name, c.address)
		sent = false
	}
	return res, sent, err
}

// ask sends one exchange of HTTP/1.1.
func (t *transport) ask(r *http.Request, c choice, kept *replay.Body) (res *http.Response, sent bool, err error) {
	if v := r.Header["User-Agent"]; len(v) == 1 && v[0] == "" { // ReverseProxy's word for none
		r.Header.Del("User-Agent")
	}
	var cancel upstream.Cancel
	// Until the answer begins, the region's death ends the wait; afterwards the answer's body does.
	unhook := context.AfterFunc(c.alive, func() {
		if replay.Harmless(r) {
			cancel.Abort(errors.New(c.name + " went down"))
		}
	})
	left := context.AfterFunc(r.Context(), func() { cancel.Abort(r.Context().Err()) })
	if r.Host == "" { // HTTP/1.0 may leave it out
		named := *r
		named.Host, r = c.address, &named
	}
	request := upstream.Request{Request: r, Body: kept, Cancel: &cancel}
	if b := clientBodyOf(r); b != nil {
		request.Interrupt = b.stop
	}
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil && trace.Got1xxResponse != nil {
		request.Inform = func(status int, header http.Header) { _ = trace.Got1xxResponse(status, textproto.MIMEHeader(header)) } // of a client that has left: writing the answer fails too
	}
	res, err = t.pool(c.address).Send(request)
	if ended := !unhook(); ended && err == nil && replay.Harmless(r) { // both at once: the answer has begun, and its body ends with the wait
		res.Body.Close()
		err = cancel.Err()
	}
	if err != nil {
		left()
		var broken *upstream.Error
		if why := cancel.Err(); why != nil {
			err = why
		} else if errors.As(err, &broken) {
			return nil, broken.Sent, err
		}
		return nil, true, err
	}
	upstream.OnClose(res, func(bool) { left() })
	return res, true, nil
}

// pass sends what has a body, or is more than one exchange.
func (t *transport) pass(r *http.Request, c choice, kept *replay.Body) (res *http.Response, sent bool, err error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	unhook := context.AfterFunc(c.alive, func() {
		if replay.Harmless(r) {
			cancel(errors.New(c.name + " went down"))
		}
	})
	out := r.Clone(ctx)
	out.URL.Host = c.address
	out.Body, out.Trailer = kept.ReadCloser(), r.Trailer // which is filled in at the end of the body
	base := t.base
	if rpc.Is(r) {
		base = t.rpc
	}
	res, err = base.RoundTrip(out)
	if ended := !unhook(); ended && err == nil && replay.Harmless(r) {
		// Both at once: the answer has begun, and its body ends with the wait.
		res.Body.Close()
		err = errors.New(c.name + " went down")
	}
	if err != nil {
		cancel(err)
		return nil, true, err
	}
	if rpc.Is(r) {
		rpc.StatusLast(res)
	}
	res.Body = replay.OnClose(res.Body, func() { cancel(nil) })
	return res, true, nil
}
