package rollout

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/stage"
)

// confidence is the normal quantile of the judge's interval, which holds 99.8 %
// (each of its bounds 99.9 %). It is that high because the judge tests many
// times.
const (
	confidence      = 3.09
	confidenceLevel = "99.8%"
)

// leastErrors is how many errors suffice for a verdict before minRequests have
// been counted.
const leastErrors = 5

// leastLatencies is how many requests a p99 needs.
const leastLatencies = 100

// verdict asks the strategy's judge whether a step may end. It uses the load
// balancer's raw counts since the step's weights had settled. A version never
// passes without data unless the file allows it. After the counters restarted
// nothing is guessed: the judge starts again with the new counts.
func (d *decider) verdict(region string, o Region, rs *RegionState, s step, last bool) bool {
	if d.shape.judge == nil || len(rs.PreviousGroups) == 0 || rs.Reused || last {
		return true
	}
	if begin := d.settled(region, rs).Add(d.delay(region)); d.now.Before(begin) {
		d.note(region, "waits at %g%% for the traffic to settle", s.Weight)
		d.waits(begin)
		return false
	}
	if rs.Counted.IsZero() {
		rs.BaselineCounts, rs.Counted = o.Counts, d.now
	}
	isOld := func(g string) bool {
		return slices.ContainsFunc(rs.PreviousGroups, func(b Snapshot) bool { return b.Name == g })
	}
	if countersRestarted(o.Counts, rs.BaselineCounts, func(g string) bool { return g == rs.New || isOld(g) }) {
		rs.BaselineCounts, rs.Counted = o.Counts, d.now
		d.note(region, "the counts began anew: the judge begins again")
	}
	j := *d.shape.judge
	d.until(d.now.Add(countInterval))
	fresh := sample(o.Counts, rs.BaselineCounts, func(g string) bool { return g == rs.New })
	old := sample(o.Counts, rs.BaselineCounts, isOld)
	if f := judge(j, region, rs.New, fresh, old); f != nil {
		f.Evidence = append(f.Evidence, "instances of the new version: "+strings.Join(instancesOf(o.Groups, rs.New), ", "))
		d.fail(region, *f)
		return false
	}
	if what := lacks(j, fresh, old); what != "" && j.WhenNoData == "pass" {
		if !d.now.Before(d.ends(region, rs, s)) {
			rs.Unjudged = append(rs.Unjudged, fmt.Sprintf("%g%%: %s", s.Weight, what))
		}
	} else if what != "" {
		deadline := latest(rs.WeightsSetAt, rs.Counted).Add(max(d.spec.Timeout, s.Pause) + d.delay(region))
		d.note(region, "%s at %g%%; without them the rollout fails at %s", what, s.Weight, deadline.UTC().Format("15:04:05 MST"))
		if !d.now.Before(deadline) {
			d.fail(region, stage.Failure{Code: "CANARY_NO_DATA", Cause: fmt.Sprintf("%s: too few requests for a verdict on %s at %g%%: %s", region, rs.New, s.Weight, what),
				Help: noDataHelp(region)})
		}
		d.until(deadline)
		return false
	}
	return true
}

// noDataHelp says what to do when a region has too little traffic for a verdict.
func noDataHelp(region string) string {
	return fmt.Sprintf("send traffic to %s (`showrunner edge weights` divides requests over regions); when it has some, lower judge.minRequests or raise the step; when it is to have none, judge.whenNoData: pass lets the rollout go on without a verdict", region)
}

// instancesOf names the instances of a group, so that people can find their
// output.
func instancesOf(groups []cloud.ServerGroup, name string) []string {
	g, _ := find(groups, name)
	var ids []string
	for _, i := range g.Instances {
		ids = append(ids, i.ID)
	}
	return ids
}

// WithoutVerdict says how many of the judged steps passed without a verdict, in
// all regions; empty when none did.
func WithoutVerdict(spec Spec, st State) string {
	without, of, steps := 0, 0, len(shapeOf(spec.Strategy).steps)-1
	for _, rs := range st.Regions {
		if len(rs.PreviousGroups) > 0 && !rs.Reused {
			without, of = without+len(rs.Unjudged), of+steps
		}
	}
	if without == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d steps without a verdict", without, of)
}

// lacks says which data a verdict lacks; empty when there is enough. A judge
// without a fixed limit compares with the old version, so it needs data of the
// old version too.
func lacks(j pipeline.Judge, fresh, old counts) string {
	need := uint64(max(j.MinRequests, 1))
	if j.MaxP99 > 0 {
		need = max(need, leastLatencies)
	}
	switch {
	case fresh.requests < need:
		return fmt.Sprintf("%d of %d requests to the new version counted", fresh.requests, need)
	case j.MaxErrorRate == 0 && old.requests < uint64(max(j.MinRequests, 1)):
		return fmt.Sprintf("%d of %d requests to the old version counted, which the new one is compared with", old.requests, max(j.MinRequests, 1))
	}
	return ""
}

// countersRestarted says whether the counters have restarted since base: counters of a chosen
// group are of another epoch, are new, or are gone.
func countersRestarted(now, base []cloud.Counts, chosen func(group string) bool) bool {
	epochs := func(all []cloud.Counts) map[string]string {
		m := map[string]string{}
		for _, c := range all {
			if c.Instance == "" && chosen(c.ServerGroup) {
				m[c.ServerGroup] = c.Epoch
			}
		}
		return m
	}
	return !maps.Equal(epochs(now), epochs(base))
}

// counts are the data that the judge compares.
type counts struct {
	requests, errors uint64
	buckets          []uint64
}

// sample sums the counts of the chosen groups and subtracts their counts at base,
// of the same epoch.
func sample(now, base []cloud.Counts, chosen func(group string) bool) counts {
	total := counts{buckets: make([]uint64, len(cloud.LatencyBounds)+1)}
	add := func(all []cloud.Counts, sign int) {
		for _, c := range all {
			if c.Instance != "" || !chosen(c.ServerGroup) {
				continue
			}
			total.requests += uint64(sign) * c.Requests // wraps around and back
			total.errors += uint64(sign) * c.Errors
			for i, n := range c.Buckets {
				if i < len(total.buckets) {
					total.buckets[i] += uint64(sign) * n
				}
			}
		}
	}
	add(now, 1)
	add(base, -1)
	return total
}

// judge returns a failure when the counts show that the new version is worse than
// allowed. Below minRequests one error proves little: leastErrors errors are
// needed.
func judge(j pipeline.Judge, region, group string, fresh, old counts) *stage.Failure {
	low, high := wilson(fresh.errors, fresh.requests)
	limit, than := j.MaxErrorRate, "the limit"
	if limit == 0 {
		_, limit = wilson(old.errors, old.requests)
		than = "what the old version can explain"
	}
	enough := fresh.requests >= uint64(max(j.MinRequests, 1)) || fresh.errors >= leastErrors
	if enough && low > limit {
		return &stage.Failure{Code: "CANARY_ERRORS",
			Cause: fmt.Sprintf("%s: %s answers %.2f%% of requests with errors (%s interval %.2f%% to %.2f%%), above %s, %.2f%%", region, group,
				100*float64(fresh.errors)/float64(fresh.requests), confidenceLevel, 100*low, 100*high, than, 100*limit),
			Evidence: []string{fmt.Sprintf("new: %d errors in %d requests", fresh.errors, fresh.requests), fmt.Sprintf("old: %d errors in %d requests", old.errors, old.requests)},
			Help:     "showrunner logs INSTANCE shows what it wrote, even after it has ended (showrunner instances --ended); fix it and deliver again"}
	}
	if p99 := quantileAbove(fresh, 0.99); j.MaxP99 > 0 && fresh.requests >= leastLatencies && p99 > time.Duration(j.MaxP99).Seconds() {
		return &stage.Failure{Code: "CANARY_SLOW",
			Cause:    fmt.Sprintf("%s: 1%% of requests to %s take more than %.4gs, the limit is %s", region, group, p99, time.Duration(j.MaxP99)),
			Evidence: []string{fmt.Sprintf("new: %d requests; old: p99 above %.4gs in %d requests", fresh.requests, quantileAbove(old, 0.99), old.requests)},
			Help:     "showrunner logs INSTANCE shows what it wrote, even after it has ended (showrunner instances --ended); fix it and deliver again"}
	}
	return nil
}

// wilson is Wilson's score interval of a proportion; without data it is [0, 1].
func wilson(k, n uint64) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	p, m, z2 := float64(k)/float64(n), float64(n), confidence*confidence
	centre := (p + z2/(2*m)) / (1 + z2/m)
	half := confidence / (1 + z2/m) * math.Sqrt(p*(1-p)/m+z2/(4*m*m))
	return max(0, centre-half), min(1, centre+half)
}

// quantileAbove is a lower bound, in seconds, of the q-quantile: the lower edge
// of its bucket.
func quantileAbove(c counts, q float64) float64 {
	var total uint64
	for _, n := range c.buckets {
		total += n
	}
	rank := uint64(math.Ceil(q * float64(total)))
	var seen uint64
	for i, n := range c.buckets {
		seen += n
		if seen >= rank && total > 0 {
			if i == 0 {
				return 0
			}
			return cloud.LatencyBounds[i-1]
		}
	}
	return 0
}
