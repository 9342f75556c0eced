package balancer

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"showrunner/cloud/localcloud/injection"
	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/proxy"
	"showrunner/cloud/localcloud/proxy/upstream"
)

// attempts bounds how often one request is tried, those included of which nothing
// reached an instance.
const attempts = 4

// ejectAfter failures in a row, or ejectAfterErrors answers of 500 and above,
// leave a target alone for a while, doubled each time from firstEjection to
// lastEjection. When all of a group are left alone, none is.
const (
	ejectAfter       = 3
	ejectAfterErrors = 5
	firstEjection    = time.Second
	lastEjection     = 30 * time.Second
)

// timing is what a cluster says of the time that answers take; 0 is no such limit.
type timing struct{ timeout, hedge time.Duration }

// attempt is how one attempt ended: with an answer or an error.
type attempt struct {
	target *target
	res    *http.Response
	sent   bool // something of it may have arrived
	err    error
}

// flight is one attempt of a request at one target.
type flight struct {
	target *target
	group  *sums
	call   *proxy.Call
	began  time.Time
	cancel upstream.Cancel
	status int // of the answer; 0 without one
	failed bool

	// Those that wait for an answer are listed at their target, and where places are
	// limited those that are being answered too; the target guards it. The ones that
	// wait and may be sent again are called off when the target is taken out of
	// service, and those whose client does nothing when others need their places.
	listed, repeats bool
	limited         bool // places are
	prev, next      *flight

	finish  func(cut bool) // end, made once
	written func()         // told when all of the request has been sent; nil: nobody asks
	done    func()         // called at the end; nil: nothing is to be done. Only attempts that are hedged have it
}

// begin makes f an attempt at a target, whatever it was before: that has ended.
// From then on only its cancel is looked at by others.
func (f *flight) begin(c *proxy.Call, t *target, group *sums, now time.Time) *flight {
	f.cancel.Reset()
	f.call, f.target, f.group, f.began, f.status, f.failed, f.written = c, t, group, now, 0, false, nil
	if f.finish == nil {
		f.finish = f.end
	}
	return f
}

// spareFlight is the flight that belongs to a client's connection, used for the
// attempts that are not hedged. It is free again once the answer is closed.
func spareFlight(c *proxy.Call) *flight {
	f, _ := c.State.(*flight)
	if f == nil {
		f = new(flight)
		c.State = f
	}
	return f
}

// Carry implements proxy.Service: it sends a request to a target of its cluster,
// and to another one when that does no harm: when nothing of it was sent, or when
// the request says that repeating is harmless and its body can be sent again. The edge
// is told how often a request without an answer was sent.
func (c *cluster) Carry(call *proxy.Call) (*http.Response, error) {
	b := c.balancer
	b.budget.request(time.Now())
	var shape injection.Effect
	if hit := b.faultsAhead(call, c.config.Name); len(hit) > 0 {
		shape = injection.Of(hit)
		if res, done, err := b.ahead(call.Request, shape); done {
			return res, err
		}
	}
	limit := c.timing()
	if call.Stream() {
		limit = timing{}
	}
	res, spent, err := b.carry(call, c.config.Name, limit)
	switch {
	case err != nil && call.Trusted:
		return nil, &unanswered{err, spent}
	case err == nil && call.Trusted && replay.GatewayFailure(res.StatusCode):
		res.Header[upstream.SpentHeader] = []string{strconv.Itoa(spent)}
	}
	if err == nil && c.config.Sticky {
		stick(res)
	}
	if err == nil {
		shape.Shape(res, call.Request.Context().Done())
	}
	return res, err
}

// unanswered is a request of the edge that no target has answered.
type unanswered struct {
	error
	spent int // how often it was sent
}

func (u *unanswered) Unwrap() error { return u.error }

// Gathers implements proxy.Gatherer.
func (c *cluster) Gathers() bool { return c.config.MaxInFlight > 0 }

// carry returns an answer, and how often the request was sent.
func (b *Balancer) carry(call *proxy.Call, name string, limit timing) (res *http.Response, spent int, err error) {
	r, body := call.Request, call.Body
	mayBeSent := attempts
	if call.Sends > 0 {
		mayBeSent = min(mayBeSent, call.Sends)
	}
	var tried []*target
	var last error
	for n := 1; ; n++ {
		chosen, sums, err := b.wait(r.Context(), name, call, tried)
		if err != nil {
			return nil, spent, cmp.Or(last, err)
		}
		if len(tried) > 0 {
			sums.retried.Add(1)
			chosen.sums.retried.Add(1)
		}
		var a attempt
		if limit.hedge > 0 && body == nil && replay.Harmless(r) && max(n, spent+1) < mayBeSent {
			var sends int
			a, tried, sends = b.hedged(call, name, chosen, sums, tried, limit)
			chosen, n, spent = a.target, n+sends-1, spent+sends-1
		} else {
			a = b.try(r, spareFlight(call).begin(call, chosen, sums, time.Now()), limit.timeout)
		}
		res, sent, err := a.res, a.sent, a.err
		if sent {
			spent++
		}
		if err == nil {
			chosen.judge(res)
			if !replay.GatewayFailure(res.StatusCode) {
				return res, spent, nil
			}
		}
		if err != nil && (clients(err) || upstream.Exhausted(err)) {
			return nil, spent, err // no target is to blame, and none can help
		}
		again := n < attempts && r.Context().Err() == nil && (err != nil || upstream.Sent(res)) && body.Settled(r.Context()) && body.Again() &&
			(!sent || spent < mayBeSent && replay.Harmless(r) && b.budget.retry(time.Now()))
		if err == nil {
			if again = again && b.another(name, call, append(tried, chosen)); !again {
				return res, spent, nil // it is the application's own answer
			}
			err = fmt.Errorf("%s answered %s", chosen.id, res.Status)
			res.Body.Close()
		} else {
			b.blame(chosen, sent, err)
		}
		if last = err; !again {
			return nil, spent, err
		}
		tried = append(tried, chosen)
	}
}

// another says whether a target that has not been tried could take the request.
func (b *Balancer) another(name string, c *proxy.Call, tried []*target) bool {
	t, _, err := b.choose(name, c, tried, time.Now())
	if err == nil {
		t.release()
	}
	return err == nil
}

// try sends the request to one target. The target is released when the answer's body is closed.
func (b *Balancer) try(r *http.Request, f *flight, timeout time.Duration) attempt {
	t := f.target
	var limit *deadline
	if timeout > 0 {
		limit = &deadline{after: b.config.after}
		f.written = func() {
			limit.begin(timeout, func() { f.cancel.Abort(fmt.Errorf("%s: %w within %v", t.id, errNoAnswer, timeout)) })
		}
	}
	f.depart(r)
	res, sent, err := b.send(r, f, func() (*http.Response, bool, error) {
		return f.call.Send(r, t.pool, proxy.Attempt{Cancel: &f.cancel, Beside: f.done != nil, Written: f.written})
	})
	if limit != nil && limit.answered() && err == nil { // the answer came with the end of its time
		res.Body.Close()
		sent, err = true, f.cancel.Err()
	}
	return f.arrive(r, res, sent, err)
}

// depart counts the attempt in.
func (f *flight) depart(r *http.Request) {
	f.repeats = replay.Harmless(r)
	f.target.list(f)
	f.group.begin()
	f.target.sums.begin()
}

// arrive is the attempt with its answer, or without one.
func (f *flight) arrive(r *http.Request, res *http.Response, sent bool, err error) attempt {
	t := f.target
	t.answered(f)
	if err != nil {
		f.failed = r.Context().Err() == nil && !clients(err) && !upstream.Exhausted(err)
		f.end(false)
		return attempt{t, nil, sent, err}
	}
	f.status, f.failed = res.StatusCode, res.StatusCode >= 500
	res.Header[instanceHeader] = t.idValues
	delete(res.Header, notSentHeader) // what an instance says to the edge is not believed
	delete(res.Header, unknownHostHeader)
	delete(res.Header, proxy.SlowBodyHeader)
	delete(res.Header, upstream.SpentHeader)
	upstream.OnClose(res, f.finish)
	return attempt{t, res, true, nil}
}

// clients says whether the client is to blame for an error.
func clients(err error) bool {
	if err == nil {
		return false
	}
	var broken *upstream.Error
	return errors.As(err, &broken) && broken.Client || errors.Is(err, proxy.ErrSlowBody)
}

// end counts the attempt; cut says that the target broke off.
func (f *flight) end(cut bool) {
	if f.done != nil {
		f.done()
	}
	took := time.Since(f.began)
	if cut {
		f.status, f.failed = 0, true
	}
	if f.listed {
		f.target.unlist(f)
	}
	f.group.end(took, f.status, f.failed)
	f.target.sums.end(took, f.status, f.failed)
	f.target.release()
}

// list notes an attempt that begins.
func (t *target) list(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f.listed, f.limited, f.next = true, t.most > 0, t.listed
	if f.next != nil {
		f.next.prev = f
	}
	t.listed = f
	if t.draining && f.repeats { // since it was chosen
		time.AfterFunc(t.suspicion, t.callOff)
	}
}

// answered notes that an attempt does not wait for its answer any more.
func (t *target) answered(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.repeats = false; !f.limited {
		t.remove(f)
	}
}

// unlist forgets an attempt that has ended.
func (t *target) unlist(f *flight) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.remove(f)
}

// remove takes an attempt off the list. The target is locked.
func (t *target) remove(f *flight) {
	if f.prev != nil {
		f.prev.next = f.next
	} else {
		t.listed = f.next
	}
	if f.next != nil {
		f.next.prev = f.prev
	}
	f.listed, f.prev, f.next = false, nil, nil
}

// callOff ends the wait for answers of a target that has been taken out of
// service, unless it came back: it drains, and then it answers soon, or it hangs.
func (t *target) callOff() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.draining {
		return
	}
	for f := t.listed; f != nil; f = f.next {
		if !f.repeats {
			continue
		}
		f.cancel.Abort(fmt.Errorf("%s was taken out of service and does not answer", t.id))
	}
}

// mostBehind is how far a client may be behind with the body of its request, or for how
// long it may take nothing of its answer, while others wait for the place that the
// request has.
const mostBehind = time.Second

// giveUpSlow ends the requests whose clients are too slow.
func (t *target) giveUpSlow(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for f := t.listed; f != nil; f = f.next {
		if f.call.Behind(now) > mostBehind {
			f.call.GiveUp()
		}
	}
}

// instanceHeader tells which instance answered; the edge passes it on.
const instanceHeader = "X-Showrunner-Instance"

// stick sets the cookie of a sticky cluster.
func stick(res *http.Response) {
	if res.StatusCode < 500 {
		cookie := http.Cookie{Name: stickyCookie, Value: res.Header.Get(instanceHeader), Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
		res.Header.Add("Set-Cookie", cookie.String())
	}
}

// judge counts an answer for or against a target. One that answers quickly that
// it cannot would draw requests otherwise: it always looks idle.
// Whether it is ill is for its own checks to say: it does answer.
func (t *target) judge(res *http.Response) {
	if res.StatusCode < 500 {
		t.forgetFailures()
		return
	}
	t.mu.Lock()
	t.failures, t.errors = 0, t.errors+1
	if t.errors >= ejectAfterErrors {
		t.leaveAlone(t.errors - ejectAfterErrors)
	}
	t.mu.Unlock()
}

// forgetFailures forgets a target's failures.
func (t *target) forgetFailures() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.failures > 0 || t.errors > 0 {
		t.failures, t.errors, t.until = 0, 0, time.Time{}
	}
}

// blame counts a failure against a target. A refused connection is enough to
// leave it alone: nobody listens there.
func (b *Balancer) blame(t *target, sent bool, err error) {
	t.mu.Lock()
	t.failures++
	ejected := (!sent || t.failures >= ejectAfter) && t.leaveAlone(max(t.failures-ejectAfter, 0))
	t.mu.Unlock()
	if ejected && b.config.OnEject != nil {
		b.config.OnEject(t.id, err.Error())
	}
}

// leaveAlone takes the target out of the choice for a while that doubles each
// time, and says whether it was in it. The target is locked.
func (t *target) leaveAlone(times int) bool {
	now := time.Now()
	was := !now.Before(t.until)
	t.until = now.Add(min(firstEjection<<min(times, 10), lastEjection))
	return was
}
