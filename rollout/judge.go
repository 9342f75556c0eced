package rollout

import (
	"fmt"
	"math"
	"slices"
	"time"

	"showrunner/canary"
	"showrunner/canary/judge/sequential"
	"showrunner/cloud"
	"showrunner/pipeline"
)

// The names of the judge's metrics.
const (
	metricErrors  = "errors against the old version"
	metricRate    = "error rate"
	metricP99     = "p99"
	metricLatency = "latency against the old version"
)

// p99Share is the share of requests that may take longer than judge.maxP99.
const p99Share = 0.01

// JudgeConfig is how a judge compares two groups: one region's part of a rollout over
// so many regions, which share alpha. exact says that the weights alone divide the
// requests between the two.
func JudgeConfig(j pipeline.Judge, facts cloud.Facts, exact bool, regions int) sequential.Config {
	orDefault := func(v, otherwise float64) float64 {
		if v == 0 {
			return otherwise
		}
		return v
	}
	c := sequential.Config{Alpha: orDefault(j.Alpha, sequential.DefaultAlpha) / float64(max(regions, 1)), Beta: orDefault(j.Beta, sequential.DefaultBeta),
		LeastRequests: uint64(max(j.MinRequests, 1)), WarmUpSeconds: time.Duration(j.WarmUp).Seconds(), Bounds: cloud.LatencyBounds}
	if exact {
		c.SplitAlpha = sequential.DefaultSplitAlpha
	}
	compares := j.MaxErrorRate == 0 || j.MaxErrorRatio > 0
	c.Metrics = []sequential.Metric{{Name: metricErrors, Kind: sequential.ErrorRatio, Gate: compares, Limit: orDefault(j.MaxErrorRatio, 1), Accept: j.PassErrorRatio}}
	if !compares {
		c.Metrics[0].Accept = 0
	}
	if j.MaxErrorRate > 0 {
		c.Metrics = append(c.Metrics, sequential.Metric{Name: metricRate, Kind: sequential.ErrorRate, Gate: true, Limit: j.MaxErrorRate})
	}
	if facts.Counts == nil || !facts.Counts.Latencies {
		c.Bounds = nil
		return c
	}
	if j.MaxP99 > 0 {
		c.Metrics = append(c.Metrics, sequential.Metric{Name: metricP99, Kind: sequential.SlowRate, Gate: true, Limit: p99Share, Bound: boundAbove(time.Duration(j.MaxP99))})
	}
	c.Metrics = append(c.Metrics, sequential.Metric{Name: metricLatency, Kind: sequential.Distribution, Gate: j.Latency == "fail"})
	return c
}

// judgeConfig is how a region's canary is judged.
func (d *decider) judgeConfig(region string) sequential.Config {
	regions := 0
	for _, w := range d.spec.Waves {
		regions += len(w.Regions)
	}
	return JudgeConfig(*d.shape.judge, d.facts(region), d.dividesExactly(region), regions)
}

// dividesExactly says whether each request of a region is given to a version by the
// weights alone. Where clients stay with a version, choose one, or where the cloud only
// comes near the weights, another share proves nothing.
func (d *decider) dividesExactly(region string) bool {
	g := d.spec.Group
	return !g.Sticky && (g.Traffic == nil || !g.Traffic.VersionHeader) && !d.facts(region).SharesOnly
}

// boundAbove is the lowest bound of the histogram that is not below a limit.
func boundAbove(limit time.Duration) int {
	for i, b := range cloud.LatencyBounds {
		if b >= limit.Seconds() {
			return i
		}
	}
	return len(cloud.LatencyBounds) - 1
}

// count takes the counts since the newest interval as the next one, when there are any
// and an interval is over. After the counters restarted the requests in between are
// unknown, and nothing is guessed: the next interval begins with the new counts.
func (d *decider) count(region string, o Region, rs *RegionState, s step) {
	isOld := rs.comparesWith
	isNew := func(g string) bool { return g == rs.New }
	rs.JudgedStep, rs.JudgedWeight = rs.Step+1, s.Weight
	if rs.Counted.IsZero() {
		rs.Counted = d.now
		if rs.Judge == nil {
			config := d.judgeConfig(region)
			rs.Judge, rs.Analysis = &config, &sequential.Analysis{}
		}
		rs.Analysis = rs.Analysis.Clone()
		rs.Analysis.Mark(seconds(d.now))
		d.countFrom(o, rs)
		return
	}
	if rs.Judge == nil { // an earlier version of this program began the step
		config := d.judgeConfig(region)
		rs.Judge, rs.Analysis, rs.LastCounted = &config, &sequential.Analysis{}, rs.Counted
	}
	if CountersRestarted(o.Counts, rs.LastCounts, func(g string) bool { return isNew(g) || isOld(g) }) {
		d.note(region, "the counts began anew: the requests until now are unknown")
		d.countFrom(o, rs)
		return
	}
	if d.now.Sub(rs.LastCounted) < countInterval && !d.now.Before(rs.LastCounted) {
		return
	}
	i := sequential.Interval{Start: seconds(rs.LastCounted), End: seconds(d.now), Share: d.share(o, rs),
		Baseline: Sample(o.Counts, rs.LastCounts, isOld), Canary: Sample(o.Counts, rs.LastCounts, isNew)}
	if i.Baseline.Requests == 0 && i.Canary.Requests == 0 {
		return // late counts come in lumps: each is one interval
	}
	if rs.Uneven {
		i.Share = 0
	}
	rs.Analysis = rs.Analysis.Clone()
	// A clock that was set back would make an interval look as if it had been counted.
	i.Start = max(i.Start, rs.Analysis.Until)
	i.End = max(i.End, i.Start)
	rs.Analysis.Add(*rs.Judge, i)
	d.countFrom(o, rs)
}

// countFrom begins the next interval.
func (d *decider) countFrom(o Region, rs *RegionState) {
	rs.LastCounts, rs.LastCounted, rs.Uneven = GroupsAlone(o.Counts), d.now, false
}

// GroupsAlone leaves out the counts of single instances.
func GroupsAlone(all []cloud.Counts) []cloud.Counts {
	return slices.DeleteFunc(slices.Clone(all), func(c cloud.Counts) bool { return c.Instance != "" })
}

func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

// share is the new group's part of the weights of the groups that are compared.
func (d *decider) share(o Region, rs *RegionState) float64 {
	fresh, total := 0.0, 0.0
	for _, g := range o.Groups {
		switch {
		case g.Name == rs.New:
			fresh, total = g.Weight, total+g.Weight
		case rs.comparesWith(g.Name):
			total += g.Weight
		}
	}
	if total == 0 {
		return 0
	}
	return fresh / total
}

// Sample is what the chosen groups did between two readings of the same epoch.
func Sample(now, before []cloud.Counts, chosen func(group string) bool) sequential.Side {
	total := sequential.Side{Buckets: make([]uint64, len(cloud.LatencyBounds)+1)}
	latencies := false
	add := func(all []cloud.Counts, sign int64) {
		for _, c := range all {
			if c.Instance != "" || !chosen(c.ServerGroup) {
				continue
			}
			total.Requests += uint64(sign) * c.Requests // wraps around and back
			total.Failures += uint64(sign) * c.Errors
			total.Started += sign * (int64(c.Requests) + int64(c.InFlight) - int64(c.Hedged) - int64(c.Retried))
			for i, n := range c.Buckets {
				if i < len(total.Buckets) {
					latencies, total.Buckets[i] = true, total.Buckets[i]+uint64(sign)*n
				}
			}
		}
	}
	add(now, 1)
	add(before, -1)
	if !latencies {
		total.Buckets = nil
	}
	return total
}

// Report is what a canary's judge found in one region.
type Report struct {
	Region      string   `json:"region"`
	ServerGroup string   `json:"serverGroup"`
	Against     []string `json:"against"` // the groups it was compared with
	// BaselineOf is the group in traffic of which Against is a fresh copy; empty when the
	// groups in traffic were compared with themselves.
	BaselineOf string             `json:"baselineOf,omitempty"`
	Step       int                `json:"step"`   // from 1
	Weight     float64            `json:"weight"` // percent, at that step
	Verdict    sequential.Verdict `json:"verdict"`
	// Analysis is the newest judgement of the metrics; nil without an analysis, and
	// before the first one.
	Analysis *canary.Report `json:"analysis,omitempty"`
	// Logs are what instances of the new version wrote last, with their counts, when the
	// rollout failed in this region.
	Logs []string `json:"logs,omitempty"`
	// Series are moments of the analysis, for a chart.
	Series []sequential.Point `json:"series"`
}

// Reports are the judge's findings so far, by region; nil for a rollout without a
// judge, or before counting begins.
func Reports(st State) map[string]Report {
	var all map[string]Report
	for region, rs := range st.Regions {
		if rs.Judge == nil && rs.Analyzed == nil {
			continue
		}
		r := Report{Region: region, ServerGroup: rs.New, Step: rs.JudgedStep, Weight: rs.JudgedWeight, Analysis: rs.Analyzed, Logs: rs.Logs, Series: []sequential.Point{}}
		r.Against, r.BaselineOf = rs.compared(), rs.BaselineOf
		if rs.Judge != nil {
			r.Verdict, r.Series = rs.Analysis.Verdict(*rs.Judge, false), rs.Analysis.Points
		}
		if rs.Verdict != nil {
			r.Verdict = *rs.Verdict
		}
		if all == nil {
			all = map[string]Report{}
		}
		all[region] = r
	}
	return all
}

// explainAlpha says what of alpha a metric may spend, for the evidence of a failure.
func explainAlpha(v sequential.Verdict, r sequential.MetricResult) string {
	return fmt.Sprintf("alpha %.3g for this region, %.3g of it for this metric; evidence %.3g, it fails at %.3g (p %.2g at all looks together)", v.Alpha, r.Alpha, r.LogE, r.Stop, math.Min(r.P, 1))
}
