package balancer

import (
	"context"
	"slices"
	"time"

	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/proxy"
)

// hedged sends a request without a body to one target and, when that takes its
// time, to another one: a hedged request of Dean and Barroso, "The Tail at
// Scale" (2013). The first answer that is one is returned, and the other attempt
// called off, which is no failure of its target. Where one fails the other is
// waited for. Answers of the kind 1xx are not passed on. The targets that failed
// are added to tried, the one of the attempt that is returned is not; sends is how
// often the request was sent.
func (b *Balancer) hedged(call *proxy.Call, name string, first *target, group *sums, tried []*target, limit timing) (a attempt, failed []*target, sends int) {
	r := call.Request
	shared := r.Clone(r.Context()) // what is called off may look at it for longer than the request lasts
	results := make(chan attempt, 2)
	stop := map[*target]context.CancelFunc{}
	launch := func(t *target, group *sums) {
		ctx, cancel := context.WithCancel(r.Context())
		stop[t] = cancel
		f := new(flight).begin(call, t, group, time.Now())
		left := context.AfterFunc(ctx, func() { f.cancel.Abort(context.Canceled) })
		f.done = func() { left(); cancel() }
		go func() { results <- b.try(shared.WithContext(ctx), f, limit.timeout) }()
	}
	launch(first, group)
	clock := time.NewTimer(limit.hedge)
	defer clock.Stop()
	select {
	case a = <-results:
		return a, tried, 1
	case <-clock.C:
	}
	tried = slices.Clip(tried)
	second, group, err := b.choose(name, call, append(tried, first), time.Now())
	if err != nil {
		return <-results, tried, 1
	}
	if !b.budget.retry(time.Now()) {
		second.release()
		return <-results, tried, 1
	}
	group.hedged.Add(1)
	second.sums.hedged.Add(1)
	launch(second, group)
	a = <-results
	if a.err == nil && !replay.GatewayFailure(a.res.StatusCode) {
		for t, cancel := range stop {
			if t != a.target {
				cancel()
			}
		}
		go func() {
			if other := <-results; other.res != nil {
				other.res.Body.Close()
			}
		}()
		return a, tried, 2
	}
	if a.err != nil {
		b.blame(a.target, a.sent, a.err)
	} else {
		a.target.judge(a.res)
		a.res.Body.Close()
	}
	tried = append(tried, a.target)
	return <-results, tried, 2
}
