package monkey

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Plan is an application with the clusters that a simulation gives it.
type Plan struct {
	Settings Settings
	Clusters []Cluster
}

// Simulated is one scheduled kill of a simulation and what became of it.
type Simulated struct {
	Entry
	Victim  Cluster // where the instance would be; the zero value when nothing ended
	DryRun  bool
	Skipped string // why nothing ended; "" for a kill
}

// Simulate yields the scheduled kills of some days in the order of their times, day
// by day: what would happen if the clusters stayed as they are and every other
// check allowed it. The same arguments yield the same kills.
func Simulate(plans []Plan, seed Seed, first Date, days int) iter.Seq[Simulated] {
	return func(yield func(Simulated) bool) {
		last := make([]map[Cluster]Kill, len(plans)) // the newest kill of each cluster
		for i := range plans {
			last[i] = map[Cluster]Kill{}
		}
		for n := range days {
			day := first.Add(n)
			for _, s := range simulateDay(plans, last, seed, day) {
				if !yield(s) {
					return
				}
			}
		}
	}
}

func simulateDay(plans []Plan, last []map[Cluster]Kill, seed Seed, day Date) []Simulated {
	var rows []Simulated
	for i, p := range plans {
		for _, e := range p.Settings.Schedule(seed, day, p.Clusters) {
			rows = append(rows, p.outcome(last[i], seed, e))
		}
	}
	slices.SortStableFunc(rows, func(a, b Simulated) int { return a.At.Compare(b.At) })
	return rows
}

// outcome decides a scheduled kill as the checks at its time would.
func (p Plan) outcome(last map[Cluster]Kill, seed Seed, e Entry) Simulated {
	s := Simulated{Entry: e, DryRun: p.Settings.DryRun}
	var eligible []Cluster
	instances := 0
	why := "the group has no instance"
	for _, c := range p.Clusters {
		if !e.Group.Has(c) || c.Instances < 1 {
			continue
		}
		if reason := p.Settings.Protected(c); reason != "" {
			why = fmt.Sprintf("no instance is eligible: %s: %s", c.Name, reason)
			continue
		}
		eligible = append(eligible, c)
		instances += c.Instances
	}
	if instances == 0 {
		s.Skipped = why
		return s
	}
	// Each instance is as likely as another: a big cluster is hit more often.
	n := seed.Chance(e.Day, e.Group.String(), "victim").IntN(instances)
	victim := eligible[0]
	for _, c := range eligible {
		if victim = c; n < c.Instances {
			break
		}
		n -= c.Instances
	}
	if k, refused := p.Settings.TooSoon(e.At, victim, slices.SortedFunc(maps.Values(last), func(a, b Kill) int { return b.At.Compare(a.At) })); refused {
		s.Skipped = fmt.Sprintf("less than %d working days after the kill of %s", p.Settings.Min, DateOf(k.At, p.Settings.Zone))
		return s
	}
	s.Victim = victim
	last[victim] = Kill{Cluster: victim, At: e.At, DryRun: s.DryRun}
	return s
}
