package balancer

import (
	"crypto/rand"
	"sort"
	"sync/atomic"
	"time"

	"showrunner/cloud/driver"
)

// sums are raw counts, added to without a lock.
type sums struct {
	epoch            string // names this life of the counts
	since            time.Time
	requests, errors atomic.Uint64
	statuses         [5]atomic.Uint64 // by class: 2xx, 3xx, 4xx, 5xx, none
	hedged           atomic.Uint64    // of requests
	retried          atomic.Uint64    // of requests
	inFlight         atomic.Int64
	buckets          [17]atomic.Uint64 // len(driver.LatencyBounds)+1; a test holds them together
}

func (s *sums) begin() { s.inFlight.Add(1) }

// newSums are counts that begin at 0.
func newSums() *sums { return &sums{epoch: rand.Text(), since: time.Now()} }

// end counts a request; status is that of its answer, 0 when it has no whole one.
func (s *sums) end(took time.Duration, status int, failed bool) {
	s.inFlight.Add(-1)
	s.requests.Add(1)
	s.statuses[class(status)].Add(1)
	if failed {
		s.errors.Add(1)
	}
	s.buckets[sort.SearchFloat64s(driver.LatencyBounds, took.Seconds())].Add(1)
}

// class is where a status is counted.
func class(status int) int {
	switch {
	case status == 0:
		return 4
	case status < 300:
		return 0
	}
	return min(status/100-2, 3)
}

func (s *sums) counts(group, instance string) driver.Counts {
	c := driver.Counts{ServerGroup: group, Instance: instance, Epoch: s.epoch, Since: s.since, Until: time.Now(), Requests: s.requests.Load(), Errors: s.errors.Load(), Hedged: s.hedged.Load(), Retried: s.retried.Load(),
		InFlight: int(max(s.inFlight.Load(), 0)), Buckets: make([]uint64, len(s.buckets))}
	c.Statuses = driver.StatusCounts{Success: s.statuses[0].Load(), Redirect: s.statuses[1].Load(), Client: s.statuses[2].Load(),
		Server: s.statuses[3].Load(), None: s.statuses[4].Load()}
	for i := range s.buckets {
		c.Buckets[i] = s.buckets[i].Load()
	}
	return c
}

// Counts reads a cluster's raw counts, one entry for each group and one for each instance.
func (b *Balancer) Counts(name string) []driver.Counts {
	b.mu.RLock()
	defer b.mu.RUnlock()
	c := b.clusters[name]
	if c == nil {
		return nil
	}
	var list []driver.Counts
	for _, g := range c.groups {
		list = append(list, c.sums[g.config.Name].counts(g.config.Name, ""))
		for _, t := range g.targets {
			list = append(list, t.sums.counts(g.config.Name, t.id))
		}
	}
	return list
}
