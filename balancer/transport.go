package balancer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"showrunner/internal/replay"
)

// attempts bounds how often one request is sent.
const attempts = 4

// ejectAfter failures in a row leave a target alone for a while, doubled each
// time from firstEjection to lastEjection.
const (
	ejectAfter    = 3
	firstEjection = time.Second
	lastEjection  = 30 * time.Second
)

// roundTripper sends a request to a target of its cluster, and to another one
// when that does no harm: when nothing of it was sent, or when the request says
// that repeating is harmless and its body can be sent again.
type roundTripper struct{ b *Balancer }

// RoundTrip implements http.RoundTripper.
func (t roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	b := t.b
	name, _ := r.Context().Value(clusterKey{}).(string)
	body := replay.Of(r)
	if body != nil {
		defer r.Body.Close()
	}
	var tried []*target
	var last error
	for n := 1; ; n++ {
		chosen, sums, err := b.wait(r.Context(), name, r, tried)
		if err != nil {
			if last != nil {
				return nil, last
			}
			return nil, err
		}
		res, sent, err := b.try(r, chosen, sums, body)
		if err == nil && !replay.GatewayFailure(res.StatusCode) {
			chosen.well()
			return res, nil
		}
		again := n < attempts && r.Context().Err() == nil && body.Again() && (!sent || replay.Harmless(r) && b.budget.retry(time.Now()))
		if err == nil {
			if again = again && b.another(name, r, append(tried, chosen)); !again {
				return res, nil // it is the application's own answer
			}
			res.Body.Close()
			err = fmt.Errorf("%s answered %s", chosen.id, res.Status)
		} else {
			b.blame(chosen, sent, err)
		}
		if last = err; !again {
			return nil, err
		}
		tried = append(tried, chosen)
	}
}

// another says whether a target that has not been tried could take the request.
func (b *Balancer) another(name string, r *http.Request, tried []*target) bool {
	t, _, err := b.choose(name, r, tried, time.Now())
	if err == nil {
		t.release()
	}
	return err == nil
}

// wait chooses a target; when there is none it waits for the table to change,
// so that a moment without instances fails no request. Targets that were tried
// are tried again only after such a change.
func (b *Balancer) wait(ctx context.Context, name string, r *http.Request, tried []*target) (*target, *sums, error) {
	var patience <-chan time.Time
	for {
		b.mu.RLock()
		changed := b.changed
		b.mu.RUnlock()
		t, s, err := b.choose(name, r, tried, time.Now())
		if err == nil {
			return t, s, nil
		}
		if patience == nil {
			clock := time.NewTimer(b.config.Patience)
			defer clock.Stop()
			patience = clock.C
		}
		select {
		case <-changed:
			tried = nil
		case <-patience:
			return nil, nil, err
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}

// try sends the request to one target; sent says whether anything of it may
// have arrived there. The target is released when the answer's body is closed.
func (b *Balancer) try(r *http.Request, t *target, group *sums, body *replay.Body) (res *http.Response, sent bool, err error) {
	began := time.Now()
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := func() bool { return true }
	if replay.Harmless(r) {
		stop = b.suspect(t, cancel)
	}
	out := r.Clone(ctx)
	out.URL.Host = t.address
	out.Body = body.ReadCloser()
	if body == nil {
		out.Body = nil
	}
	group.begin()
	t.sums.begin()
	var once sync.Once
	end := func(failed bool) {
		once.Do(func() {
			took := time.Since(began)
			group.end(took, failed)
			t.sums.end(took, failed)
			t.release()
			cancel(nil)
		})
	}
	res, err = b.base.RoundTrip(out)
	stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil && r.Context().Err() == nil {
			err = cause
		}
		end(r.Context().Err() == nil)
		var op *net.OpError
		return nil, !errors.As(err, &op) || op.Op != "dial", err
	}
	failed := res.StatusCode >= 500
	res.Header = res.Header.Clone()
	res.Header.Set(instanceHeader, t.id)
	res.Body = replay.OnClose(res.Body, func() { end(failed) })
	return res, true, nil
}

// instanceHeader tells which instance answered; the edge passes it on.
const instanceHeader = "X-Showrunner-Instance"

// stick sets the cookie of a sticky cluster.
func stick(res *http.Response) error {
	if sticky, _ := res.Request.Context().Value(stickyKey{}).(bool); sticky && res.StatusCode < 500 {
		cookie := http.Cookie{Name: stickyCookie, Value: res.Header.Get(instanceHeader), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
		res.Header.Add("Set-Cookie", cookie.String())
	}
	return nil
}

// stickyKey says in a request's context that its cluster is sticky.
type stickyKey struct{}

// suspect ends the wait for an answer of a target that has been taken out of
// service meanwhile, after a while: it drains, and then it answers soon, or it hangs.
func (b *Balancer) suspect(t *target, cancel context.CancelCauseFunc) (stop func() bool) {
	t.mu.Lock()
	out := t.out
	t.mu.Unlock()
	var mu sync.Mutex
	var clock *time.Timer
	stopOut := context.AfterFunc(out, func() {
		mu.Lock()
		defer mu.Unlock()
		clock = time.AfterFunc(b.config.Suspicion, func() { cancel(fmt.Errorf("%s was taken out of service and does not answer", t.id)) })
	})
	return func() bool {
		stopped := stopOut()
		mu.Lock()
		defer mu.Unlock()
		if clock != nil {
			clock.Stop()
		}
		return stopped
	}
}

// well forgets a target's failures.
func (t *target) well() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failures, t.until = 0, time.Time{}
}

// blame counts a failure against a target. A refused connection is enough to
// leave it alone: nobody listens there.
func (b *Balancer) blame(t *target, sent bool, err error) {
	t.mu.Lock()
	t.failures++
	eject := !sent || t.failures >= ejectAfter
	if eject {
		pause := firstEjection << min(max(t.failures-ejectAfter, 0), 10)
		t.until = time.Now().Add(min(pause, lastEjection))
	}
	t.mu.Unlock()
	if eject && b.config.OnEject != nil {
		b.config.OnEject(t.id, err.Error())
	}
}

// budget bounds how many requests are repeated, so that a failing service is
// not buried under retries: a fifth of the requests, and some.
type budget struct {
	mu       sync.Mutex
	window   time.Time
	requests [2]int // this window and the one before
	retries  [2]int
}

const (
	budgetWindow = 5 * time.Second
	budgetShare  = 0.2
	budgetFloor  = 100
)

func (b *budget) roll(now time.Time) {
	if now.Sub(b.window) < budgetWindow {
		return
	}
	b.window = now
	b.requests = [2]int{0, b.requests[0]}
	b.retries = [2]int{0, b.retries[0]}
}

func (b *budget) request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	b.requests[0]++
}

// retry says whether one more repetition is within the budget.
func (b *budget) retry(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	if float64(b.retries[0]+b.retries[1]) >= budgetFloor+budgetShare*float64(b.requests[0]+b.requests[1]) {
		return false
	}
	b.retries[0]++
	return true
}
