package balancer

import (
	"sort"
	"sync/atomic"
	"time"

	"showrunner/cloud"
)

// sums are raw counts, added to without a lock.
type sums struct {
	requests, errors atomic.Uint64
	hedged           atomic.Uint64 // of requests
	inFlight         atomic.Int64
	buckets          [17]atomic.Uint64 // len(cloud.LatencyBounds)+1; a test holds them together
}

func (s *sums) begin() { s.inFlight.Add(1) }

func (s *sums) end(took time.Duration, failed bool) {
	s.inFlight.Add(-1)
	s.requests.Add(1)
	if failed {
		s.errors.Add(1)
	}
	s.buckets[sort.SearchFloat64s(cloud.LatencyBounds, took.Seconds())].Add(1)
}

func (s *sums) counts(group, instance string) cloud.Counts {
	c := cloud.Counts{ServerGroup: group, Instance: instance, Requests: s.requests.Load(), Errors: s.errors.Load(), Hedged: s.hedged.Load(),
		InFlight: int(max(s.inFlight.Load(), 0)), Buckets: make([]uint64, len(s.buckets))}
	for i := range s.buckets {
		c.Buckets[i] = s.buckets[i].Load()
	}
	return c
}

// Counts reads a cluster's raw counts, one entry for each group and one for each instance.
func (b *Balancer) Counts(name string) []cloud.Counts {
	b.mu.RLock()
	defer b.mu.RUnlock()
	c := b.clusters[name]
	if c == nil {
		return nil
	}
	var list []cloud.Counts
	for _, g := range c.groups {
		list = append(list, c.sums[g.config.Name].counts(g.config.Name, ""))
		for _, t := range g.targets {
			list = append(list, t.sums.counts(g.config.Name, t.id))
		}
	}
	return list
}
