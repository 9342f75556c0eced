package balancer

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"showrunner/cloud/localcloud/injection"
	"showrunner/cloud/localcloud/proxy"
)

// Fault is a fault of requests. One of an attempt is as if the instance behaved so:
// the balancer reacts with what it has against ill instances. One ahead of the
// balancer hits a request before it is sent to any instance, so that the caller sees
// it.
type Fault struct {
	injection.Fault
	Ahead bool
}

// faultSet are the faults of a while.
type faultSet struct {
	list    []Fault
	changed chan struct{} // closed when another set takes its place
}

// SetFaults replaces the faults.
func (b *Balancer) SetFaults(list []Fault) {
	old := b.faults.Swap(&faultSet{list: slices.Clone(list), changed: make(chan struct{})})
	if old != nil {
		close(old.changed)
	}
}

// faultsOf are the faults that hit an attempt.
func (b *Balancer) faultsOf(r *http.Request, t *target) (hit []injection.Fault) {
	set := b.faults.Load()
	if set == nil {
		return nil
	}
	for _, f := range set.list {
		// A server group is called as its cluster, with -v and three digits.
		if f.Ahead || f.Cluster != t.group[:max(0, strings.LastIndex(t.group, "-v"))] {
			continue
		}
		if (len(f.Instances) == 0 || slices.Contains(f.Instances, t.id)) && f.Matches(r) && f.Draw() {
			hit = append(hit, f.Fault)
		}
	}
	return hit
}

// faultsAhead are the faults that hit a request to a cluster before it is sent to any
// instance.
func (b *Balancer) faultsAhead(call *proxy.Call, name string) (hit []injection.Fault) {
	set := b.faults.Load()
	if set == nil {
		return nil
	}
	for _, f := range set.list {
		if !f.Ahead || f.Cluster != name || !f.Matches(call.Request) {
			continue
		}
		if f.From != "" && !b.callers.Find(call.Source()).Of(f.From) {
			continue
		}
		if f.Draw() {
			hit = append(hit, f.Fault)
		}
	}
	return hit
}

// still says whether one of these faults is there, and when that may change.
func (b *Balancer) still(ids []string) (bool, <-chan struct{}) {
	set := b.faults.Load()
	if set == nil {
		return false, nil
	}
	return slices.ContainsFunc(set.list, func(f Fault) bool { return slices.Contains(ids, f.ID) }), set.changed
}

// blackhole returns when none of the faults is there any more, or ended is closed.
func (b *Balancer) blackhole(ids []string, ended <-chan struct{}) {
	for {
		there, changed := b.still(ids)
		if !there {
			return
		}
		select {
		case <-changed:
		case <-ended:
			return
		}
	}
}

// ahead has faults act on a request before it is sent to any instance. It returns the
// answer where a fault answers; done is false where the request goes on. The caller of
// a request that is broken off sees its connection end.
func (b *Balancer) ahead(r *http.Request, e injection.Effect) (res *http.Response, done bool, err error) {
	ended := r.Context().Done()
	if e.Delay > 0 && !injection.Pause(e.Delay, ended) {
		return nil, true, r.Context().Err()
	}
	switch {
	case len(e.Blackhole) > 0:
		b.blackhole(e.Blackhole, ended)
		return nil, true, proxy.ErrBreakOff
	case e.Abort:
		return nil, true, proxy.ErrBreakOff
	case e.Status > 0:
		return injection.Answer(r, e.Status), true, nil
	}
	return nil, false, nil
}

// send makes the attempt's exchange, or what faults make of it: do is the exchange
// itself.
func (b *Balancer) send(r *http.Request, f *flight, do func() (*http.Response, bool, error)) (res *http.Response, sent bool, err error) {
	hit := b.faultsOf(r, f.target)
	if len(hit) == 0 {
		return do()
	}
	e := injection.Of(hit)
	replaced := len(e.Blackhole) > 0 || e.Abort || e.Status > 0
	if replaced && f.written != nil {
		f.written() // the time for an answer begins
	}
	switch {
	case len(e.Blackhole) > 0:
		err = f.until(r, func(ended <-chan struct{}) { b.blackhole(e.Blackhole, ended) })
		if err == nil {
			err = injection.Err
		}
		return nil, true, fmt.Errorf("%s: %w", f.target.id, err)
	case e.Abort:
		return nil, true, fmt.Errorf("%s: %w", f.target.id, injection.Err)
	case e.Status > 0:
		res, sent = injection.Answer(r, e.Status), true
	default:
		res, sent, err = do()
	}
	if err != nil {
		return res, sent, err
	}
	if e.Delay > 0 {
		if ended := f.until(r, func(ended <-chan struct{}) { injection.Pause(e.Delay, ended) }); ended != nil {
			res.Body.Close()
			return nil, true, ended
		}
	}
	e.Shape(res, r.Context().Done())
	return res, sent, nil
}

// until waits before an answer is passed on, for as long as wait does; ended is closed
// when the attempt is called off. Errors: why it was.
func (f *flight) until(r *http.Request, wait func(ended <-chan struct{})) error {
	ended := make(chan struct{})
	end := sync.OnceFunc(func() { close(ended) })
	if err := f.cancel.Ends(end); err != nil {
		return err
	}
	defer context.AfterFunc(r.Context(), end)()
	wait(ended)
	return f.cancel.Ends(nil)
}
