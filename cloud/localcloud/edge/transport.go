package edge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/proxy"
	"showrunner/cloud/localcloud/proxy/upstream"
	"showrunner/problem"
)

// transport carries a request to the first region that answers it. It implements
// proxy.Service.
//
// A request is sent again elsewhere when that cannot do harm: when nothing of
// it was sent, or when its method (or an Idempotency-Key) says that repeating
// is harmless and its body can be sent again.
type transport struct {
	edge *Edge

	mu    sync.Mutex
	pools map[string]*upstream.Pool // by address
}

func newTransport(e *Edge) *transport {
	return &transport{edge: e, pools: map[string]*upstream.Pool{}}
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

// Carry implements proxy.Service.
func (t *transport) Carry(call *proxy.Call) (*http.Response, error) {
	r, body, table := call.Request, call.Body, t.edge.table
	table.ensure(r.Context(), t.edge.config.Cloud)
	choices := table.choices(chance)
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
	left, again := sendsInAll, false
	for i := 0; i < len(choices); i++ {
		c := choices[i]
		sends := 0 // as often as a region does
		if left < sendsInAll {
			sends = max(left, 1)
		}
		res, sent, err := t.try(call, c, sends)
		left -= spentOn(res, sent)
		if clients(err) {
			return nil, err // no region is to blame, and none can help
		}
		if err == nil && res.Header.Get(proxy.SlowBodyHeader) != "" {
			res.Body.Close()
			return nil, proxy.ErrSlowBody
		}
		if i == len(choices)-1 && !again && errors.Is(err, errWentDown) { // another region serves by now, maybe one that was tried before
			again = true
			choices = append(choices, table.choices(chance)...)
		}
		final := i == len(choices)-1
		mayRepeat := !sent || replay.Harmless(r) || err == nil && res.Header.Get(notSentHeader) != ""
		switch {
		case err == nil && res.StatusCode == http.StatusNotFound && res.Header.Get(unknownHostHeader) != "":
			upstream.LeaveBody(res)
			res.Body.Close()
			if last == nil {
				last = errUnknownHost
			}
		case err == nil && !final && replay.GatewayFailure(res.StatusCode) && mayRepeat && body.Whole():
			table.count(c.name, true)
			held, last = hold(res, r.Method), errors.New(c.name+" answered "+res.Status)
		case err == nil:
			table.count(c.name, res.StatusCode >= 500)
			res.Header.Del(notSentHeader)
			res.Header.Del(upstream.SpentHeader)
			return res, nil
		case upstream.Exhausted(err):
			last = err
		case !mayRepeat:
			table.count(c.name, true)
			return nil, err
		default:
			table.count(c.name, true)
			last = err
		}
		if !body.Settled(r.Context()) || r.Context().Err() != nil || !body.Again() {
			return failed()
		}
	}
	return failed()
}

// sendsInAll is how often a request is sent to instances, over all regions. Beyond that
// each further region may send it once: else a region that fails would fail the request.
const sendsInAll = 4

// spentOn is how often a region has sent a request to instances.
func spentOn(res *http.Response, sent bool) int {
	if res != nil {
		if n, err := strconv.Atoi(res.Header.Get(upstream.SpentHeader)); err == nil {
			return n
		}
	}
	if sent { // once at least: it did not get to say
		return 1
	}
	return 0
}

// clients says whether the client is to blame for an error.
func clients(err error) bool {
	var broken *upstream.Error
	return errors.As(err, &broken) && broken.Client || errors.Is(err, proxy.ErrSlowBody)
}

// errWentDown says that a region was given up while its answer was awaited.
var errWentDown = errors.New("went down")

// errUnknownHost says that every region was asked and none knows the host.
var errUnknownHost = errors.New("no region knows this host")

// Failure implements proxy.Service.
func (t *transport) Failure(r *http.Request, err error) proxy.Answer {
	t.edge.config.Log.Debug("not served", "host", r.Host, "error", err)
	switch {
	case errors.Is(err, errUnknownHost):
		return t.edge.directory(r)
	case upstream.Exhausted(err):
		return proxy.Answer{Status: http.StatusServiceUnavailable, Header: http.Header{"Retry-After": {"1"}}, Text: "The edge has too many connections at the moment.\n"}
	}
	return proxy.Answer{Status: http.StatusBadGateway, Header: http.Header{"Retry-After": {"1"}}, Text: "No region can answer this request now.\n"}
}

// mostHeld bounds the body of an answer that is held, in bytes.
const mostHeld = 64 << 10

// hold ends an answer and keeps it. A longer body, or one of unknown length, is
// left out: waiting for its end would keep the request from the next region.
func hold(res *http.Response, method string) *http.Response {
	defer res.Body.Close()
	upstream.LeaveBody(res)
	var text []byte
	if res.ContentLength > 0 && res.ContentLength <= mostHeld {
		text = make([]byte, res.ContentLength)
		n, _ := io.ReadFull(res.Body, text) // as much as came
		text = text[:n]
	}
	kept := *res
	kept.Header = res.Header.Clone() // its memory is used again
	kept.Header.Del(notSentHeader)
	kept.Header.Del(upstream.SpentHeader)
	kept.ContentLength, kept.Body, kept.Trailer = int64(len(text)), io.NopCloser(bytes.NewReader(text)), nil
	if method != http.MethodHead {
		kept.Header.Set("Content-Length", strconv.Itoa(len(text)))
	}
	return &kept
}

// Words of a region to its edge.
const (
	notSentHeader     = "X-Showrunner-Not-Sent"     // nothing of the request reached an instance
	unknownHostHeader = "X-Showrunner-Unknown-Host" // nothing is served at the host there
)

// try asks one region, which may send the request so often; sent says whether anything of the request may have reached it.
func (t *transport) try(call *proxy.Call, c choice, sends int) (res *http.Response, sent bool, err error) {
	r := call.Request
	if r.Host == "" { // HTTP/1.0 may leave it out
		named := *r
		named.Host, r = c.address, &named
	}
	cancel := new(upstream.Cancel)
	// Until the answer begins, the region's death ends the wait; afterwards the answer's body does.
	wentDown := fmt.Errorf("%s %w", c.name, errWentDown)
	unhook := context.AfterFunc(c.alive, func() {
		if replay.Harmless(r) {
			cancel.Abort(wentDown)
		}
	})
	faults, callers := t.edge.config.Cloud.EdgeFaults(c.name)
	shape, hit := faultsOn(r, faults)
	if hit {
		if res, sent, err, done := t.damage(r, c, shape); done {
			unhook()
			return res, sent, err
		}
	}
	res, sent, err = call.Send(r, t.pool(c.address), proxy.Attempt{Cancel: cancel, EdgeKey: t.edge.config.Cloud.EdgeKey(c.name), Sends: sends, Source: callers})
	if ended := !unhook(); ended && err == nil && replay.Harmless(r) { // both at once: the answer has begun, and its body ends with the wait
		res.Body.Close()
		sent, err = true, wentDown
	}
	if hit && err == nil {
		shape.Shape(res, r.Context().Done())
	}
	var op *net.OpError
	if err != nil && errors.As(err, &op) && op.Op == "dial" && !upstream.Exhausted(err) && r.Context().Err() == nil {
		t.edge.table.refused(c.name, c.address)
	}
	return res, sent, err
}
