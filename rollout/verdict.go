package rollout

import (
	"cmp"
	"fmt"
	"maps"
	"strings"

	"showrunner/canary/judge/sequential"
	"showrunner/cloud"
	"showrunner/stage"
)

// verdict asks the judge of the load balancer's counts, and the analysis of metrics,
// whether a step may end: both have to agree.
func (d *decider) verdict(region string, o Region, rs *RegionState, s step, last bool) bool {
	counts := d.countsVerdict(region, o, rs, s, last)
	if d.st.Failure != nil {
		return false
	}
	return d.metricsVerdict(region, o, rs, s, last) && counts
}

// countsVerdict asks the strategy's judge whether a step may end. It uses the load
// balancer's raw counts since the step's weights had settled. A version never
// passes without data unless the file allows it.
func (d *decider) countsVerdict(region string, o Region, rs *RegionState, s step, last bool) bool {
	if d.shape.judge == nil || len(rs.PreviousGroups) == 0 || rs.Reused || last {
		return true
	}
	if begin := d.settled(region, rs).Add(d.delay(region)); d.now.Before(begin) {
		d.note(region, "waits at %g%% for the traffic to settle", s.Weight)
		d.waits(begin)
		return false
	}
	d.count(region, o, rs, s)
	d.until(d.now.Add(countInterval))
	v := rs.Analysis.Verdict(*rs.Judge, false)
	if v.Decision == sequential.Pass {
		if rs.Verdict = nil; rs.Step == len(d.steps())-2 {
			rs.Verdict = &v
		}
		return true
	}
	if v.Decision == sequential.Fail {
		d.refuse(region, o, rs, s, v)
		return false
	}
	deadline := latest(rs.WeightsSetAt, rs.Counted).Add(max(d.spec.Timeout, s.Pause) + d.delay(region))
	policy := d.shape.judge.WhenInconclusive
	switch {
	case v.Lacking != "" && !v.Suspect:
		if policy = d.shape.judge.WhenNoData; policy != "pass" {
			d.note(region, "%s at %g%%; without them the rollout fails at %s", v.Lacking, s.Weight, deadline.UTC().Format("15:04:05 MST"))
		}
	case v.Suspect:
		if policy != "wait" {
			policy = "fail" // it is worse already, and only a guard holds the verdict back
		}
		d.note(region, "undecided at %g%%: the guard %s holds a verdict on %s back", s.Weight, v.Guard, v.Metric)
	case v.Guard != "":
		d.note(region, "undecided at %g%%: the guard %s allows no verdict", s.Weight, v.Guard)
	default: // no numbers, which would change all the time
		d.note(region, "undecided at %g%%: not shown yet to fail less than %g times as often as the old version", s.Weight, d.shape.judge.PassErrorRatio)
	}
	final := rs.Analysis.Verdict(*rs.Judge, true)
	switch {
	case policy == "pass":
		if !d.now.Before(d.ends(region, rs, s)) {
			rs.Unjudged = append(rs.Unjudged, fmt.Sprintf("%g%%: %s", s.Weight, cmp.Or(v.Lacking, v.Reason)))
			rs.Verdict = &final
		}
		return true
	case policy == "wait":
		return false
	case v.Decision == sequential.Inconclusive && v.Lacking == "" || !d.now.Before(deadline):
		d.refuse(region, o, rs, s, final)
		return false
	}
	d.until(deadline)
	return false
}

// refuse fails the rollout by a verdict.
func (d *decider) refuse(region string, o Region, rs *RegionState, s step, v sequential.Verdict) {
	rs.Verdict = &v
	f := stage.Failure{Code: "CANARY_INCONCLUSIVE", Cause: fmt.Sprintf("%s: no verdict on %s at %g%%: %s", region, rs.New, s.Weight, v.Reason),
		Help: "the verdict in the run (showrunner executions show) has every number; judge.whenInconclusive says what happens then"}
	switch {
	case v.Decision == sequential.Fail:
		f.Code, f.Cause = "CANARY_ERRORS", fmt.Sprintf("%s: %s is worse: %s", region, rs.New, v.Reason)
		f.Help = "showrunner logs INSTANCE shows what it wrote, even after it has ended (showrunner instances --ended); fix it and deliver again"
		if v.Metric == metricP99 || v.Metric == metricLatency {
			f.Code = "CANARY_SLOW"
		}
	case v.Lacking != "" && !v.Suspect:
		f.Code, f.Help = "CANARY_NO_DATA", noDataHelp(region)
		f.Cause = fmt.Sprintf("%s: too few requests for a verdict on %s at %g%%: %s", region, rs.New, s.Weight, v.Lacking)
	case v.Guard == sequential.GuardSplit:
		f.Help = "requests have to be divided by the weights alone; look for clients that choose an instance, and for instances that are full or unhealthy"
	}
	for _, m := range v.Metrics {
		f.Evidence = append(f.Evidence, m.Name+": "+m.Reason)
		if m.Name == v.Metric {
			f.Evidence = append(f.Evidence, explainAlpha(v, m))
		}
	}
	for _, g := range v.Guards {
		if g.Known {
			f.Evidence = append(f.Evidence, "guard "+g.Name+": "+g.Reason)
		}
	}
	f.Evidence = append(f.Evidence, "instances of the new version: "+strings.Join(instancesOf(o.Groups, rs.New), ", "))
	if rs.Baseline != "" {
		f.Evidence = append(f.Evidence, fmt.Sprintf("instances of the baseline %s: %s", rs.Baseline, strings.Join(instancesOf(o.Groups, rs.Baseline), ", ")))
	}
	d.fail(region, f)
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

// CountersRestarted says whether the counters have restarted since base: counters of a chosen
// group are of another epoch, are new, or are gone.
func CountersRestarted(now, base []cloud.Counts, chosen func(group string) bool) bool {
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
