package deploy

import (
	"context"
	"slices"
	"sync"
	"time"

	"showrunner/cloud"
)

// Watchers notify callers that wait for a cluster when it has changed. One
// goroutine watches each region of an account, however many callers wait, and
// ends when nobody has waited for a while.
type Watchers struct {
	ctx context.Context
	end context.CancelFunc

	mu      sync.Mutex
	regions map[[2]string]*regionWatch // by account and region
	running sync.WaitGroup
}

// regionWatch holds the waiting callers of one region.
type regionWatch struct {
	account *cloud.Account
	region  string
	waiting map[string]map[string]func() // by cluster, then by the caller's name
	used    time.Time                    // when a caller last began to wait
}

// NewWatchers makes watchers, which Close ends.
func NewWatchers() *Watchers {
	w := &Watchers{regions: map[[2]string]*regionWatch{}}
	w.ctx, w.end = context.WithCancel(context.Background())
	return w
}

// Close ends all watches.
func (w *Watchers) Close() {
	w.end()
	w.running.Wait()
}

// Watch has wake called once, soon after the cluster has changed in one of the
// regions, or after one of the regions has gone away or come back. No change
// after Watch returned is missed; wake may also be called without a change. wake
// must not block. Watching again under the same name replaces the earlier watch.
// Watch says whether the account can be watched at all: where it cannot, the
// caller has to poll.
func (w *Watchers) Watch(a *cloud.Account, regions []string, cluster, name string, wake func()) bool {
	if !a.CanWatch() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, region := range regions {
		k := [2]string{a.Name(), region}
		r := w.regions[k]
		if r == nil {
			r = &regionWatch{account: a, region: region, waiting: map[string]map[string]func(){}}
			w.regions[k] = r
			w.running.Go(func() { w.watch(k, r) })
		}
		if r.waiting[cluster] == nil {
			r.waiting[cluster] = map[string]func(){}
		}
		r.waiting[cluster][name], r.used = wake, time.Now()
	}
	return true
}

// Forget ends what Watch began.
func (w *Watchers) Forget(a *cloud.Account, regions []string, cluster, name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, region := range regions {
		if r := w.regions[[2]string{a.Name(), region}]; r != nil {
			if delete(r.waiting[cluster], name); len(r.waiting[cluster]) == 0 {
				delete(r.waiting, cluster)
			}
		}
	}
}

// linger is how long a region is watched after the last caller began to wait. A
// woken caller soon waits again, and starting a new watch would wake all callers.
const linger = time.Minute

// The pause between two attempts to reach an unreachable region.
const (
	reachFirst = 50 * time.Millisecond
	reachLast  = time.Second
)

// watch follows the changes of one region while any caller waits for a change.
func (w *Watchers) watch(k [2]string, r *regionWatch) {
	revision, unreachable, pause := uint64(0), false, reachFirst
	for {
		now, err := r.account.WaitChanges(w.ctx, r.region, revision)
		if w.ctx.Err() != nil {
			return
		}
		switch {
		case err != nil && !unreachable:
			w.wake(r, nil) // the region has gone away
		case err == nil && (unreachable || now.All):
			w.wake(r, nil)
		case err == nil:
			w.wake(r, now.Clusters)
		}
		if revision, unreachable = now.Revision, err != nil; !unreachable {
			pause = reachFirst
		}
		if w.idle(k, r) {
			return
		}
		if unreachable {
			clock := time.NewTimer(pause)
			select {
			case <-clock.C:
			case <-w.ctx.Done():
				clock.Stop()
				return
			}
			revision, pause = 0, min(2*pause, reachLast)
		}
	}
}

// wake notifies the callers that wait for one of the clusters; nil means all
// clusters.
func (w *Watchers) wake(r *regionWatch, clusters []string) {
	var list []func()
	w.mu.Lock()
	for cluster, waiting := range r.waiting {
		if clusters != nil && !slices.Contains(clusters, cluster) {
			continue
		}
		for _, wake := range waiting {
			list = append(list, wake)
		}
		delete(r.waiting, cluster)
	}
	w.mu.Unlock()
	for _, wake := range list {
		wake()
	}
}

// idle ends the watch of a region for which nobody has waited for a while.
func (w *Watchers) idle(k [2]string, r *regionWatch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(r.waiting) > 0 || time.Since(r.used) < linger {
		return false
	}
	delete(w.regions, k)
	return true
}
