package rollout

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"showrunner/canary"
	"showrunner/canary/judge/sequential"
	"showrunner/pipeline"
	"showrunner/stage"
)

// mostEarlier bounds the earlier judgements that are kept.
const mostEarlier = 200

// Due are the windows of the analysis of metrics whose points are there now, and that are
// not judged yet: the newest of each region. It is pure.
func Due(spec Spec, st State, now time.Time) map[string]canary.Window {
	analysis := shapeOf(spec.Strategy).analysis
	due := map[string]canary.Window{}
	if analysis == nil || st.Failure != nil {
		return due
	}
	for region, rs := range st.Regions {
		if rs.AnalysisBegan.IsZero() || rs.Phase != Stepping {
			continue
		}
		complete := int(now.Sub(rs.AnalysisBegan.Add(time.Duration(analysis.Delay))) / time.Duration(analysis.Interval))
		if complete > rs.analyzed() {
			due[region] = canary.WindowOf(*analysis, rs.AnalysisBegan, complete)
		}
	}
	return due
}

// analyzed is the index of the newest window that was judged.
func (rs *RegionState) analyzed() int {
	if rs.Analyzed == nil {
		return 0
	}
	return rs.Analyzed.Window.Index
}

// scopes are the two sides of a region's analysis.
func scopes(spec Spec, rs *RegionState, region string) (base, fresh canary.Scope) {
	base = canary.Scope{Cluster: spec.Group.Cluster, Region: region}
	base.Groups = rs.compared()
	for _, b := range rs.PreviousGroups {
		if rs.BaselineOf == "" || rs.BaselineOf == b.Name {
			base.Version = b.Version
		}
	}
	fresh = canary.Scope{Cluster: spec.Group.Cluster, Region: region, Version: spec.Group.Version, Groups: []string{rs.New}}
	return base, fresh
}

// metricsVerdict says whether the analysis of metrics lets a step end: with a judgement
// that passes, of a window that reaches to the end of the step's pause.
func (d *decider) metricsVerdict(region string, o Region, rs *RegionState, s step, last bool) bool {
	a := d.shape.analysis
	if a == nil || len(rs.PreviousGroups) == 0 || rs.Reused || last {
		return true
	}
	settled := d.settled(region, rs)
	if d.now.Before(settled) {
		d.note(region, "waits at %g%% for the traffic to settle", s.Weight)
		d.waits(settled)
		return false
	}
	if rs.AnalysisBegan.IsZero() {
		rs.AnalysisBegan = settled.Add(time.Duration(a.WarmUp)).Truncate(time.Millisecond)
		rs.JudgedStep, rs.JudgedWeight = rs.Step+1, s.Weight
	}
	d.judgeMeasured(region, o, rs, s)
	if d.st.Failure != nil {
		return false
	}
	ready := func(index int) time.Time {
		return canary.WindowOf(*a, rs.AnalysisBegan, index).End.Add(time.Duration(a.Delay))
	}
	if rs.SourceFailed != "" {
		d.until(d.now.Add(awayRetry))
	} else if next := ready(rs.analyzed() + 1); next.After(d.now) {
		d.until(next)
	}
	pause := latest(settled, rs.AnalysisBegan).Add(s.Pause)
	r := rs.Analyzed
	if r != nil && r.Decision == sequential.Pass && !r.Window.End.Before(pause) && rs.SourceFailed == "" {
		return true
	}
	// The first window that reaches to the end of the pause is judged before the deadline.
	first := int((pause.Sub(rs.AnalysisBegan)+time.Duration(a.Interval)-1)/time.Duration(a.Interval)) + 1
	deadline := latest(pause, ready(first)).Add(d.spec.Timeout)
	d.note(region, "%s", undecidedMetrics(rs, s))
	if d.now.Before(deadline) || a.WhenInconclusive == "wait" {
		d.until(latest(deadline, d.now.Add(time.Second)))
		return false
	}
	d.refuseMetrics(region, o, rs, s)
	return false
}

// undecidedMetrics says for people what the analysis waits for, without numbers that
// change all the time.
func undecidedMetrics(rs *RegionState, s step) string {
	switch r := rs.Analyzed; {
	case rs.SourceFailed != "":
		return fmt.Sprintf("the metrics' source has no answer at %g%%", s.Weight)
	case r == nil:
		return fmt.Sprintf("waits at %g%% for the first judgement of the metrics", s.Weight)
	case len(r.Lacking) > 0:
		return fmt.Sprintf("metrics have too little data at %g%%", s.Weight)
	case r.Decision == sequential.Pass:
		return fmt.Sprintf("waits at %g%% for the next judgement of the metrics", s.Weight)
	}
	return fmt.Sprintf("the metrics are undecided at %g%%", s.Weight)
}

// judgeMeasured judges what was measured, once for each window.
func (d *decider) judgeMeasured(region string, o Region, rs *RegionState, s step) {
	if o.Measured == nil || o.Measured.Window.Index <= rs.analyzed() {
		return
	}
	regions := 0
	for _, w := range d.spec.Waves {
		regions += len(w.Regions)
	}
	r := canary.Judge(*d.shape.analysis, *o.Measured, regions)
	r.Baseline, r.Canary = scopes(d.spec, rs, region)
	r.Source = sourceName(*d.shape.analysis)
	if before := rs.Analyzed; before != nil {
		r.Earlier = append(slices.Clone(before.Earlier), canary.Moment{Index: before.Window.Index, Decision: before.Decision, Score: before.Score})
		r.Earlier = r.Earlier[max(0, len(r.Earlier)-mostEarlier):]
	}
	rs.SourceFailed = ""
	if failed := o.Measured.Failed; len(failed) > 0 && r.Decision != sequential.Fail {
		name := slices.Min(slices.Collect(maps.Keys(failed)))
		rs.SourceFailed = name + ": " + failed[name] // the same window is asked for again
		return
	}
	rs.Analyzed, rs.JudgedStep, rs.JudgedWeight = &r, rs.Step+1, s.Weight
	if r.Decision == sequential.Fail {
		d.refuseMetrics(region, o, rs, s)
	}
}

// sourceName names the source of an analysis for people.
func sourceName(a pipeline.Analysis) string {
	if a.Source == nil {
		return "control's own metrics"
	}
	return a.Source.URL
}

// refuseMetrics fails the rollout by the analysis of metrics.
func (d *decider) refuseMetrics(region string, o Region, rs *RegionState, s step) {
	r := rs.Analyzed
	f := stage.Failure{Code: "CANARY_INCONCLUSIVE", Help: "the judgement in the run (showrunner executions show) has every number; showrunner canary analyze judges the same time again with an edited configuration"}
	switch {
	case r != nil && r.Decision == sequential.Fail:
		f.Code, f.Cause = "CANARY_METRICS", fmt.Sprintf("%s: metrics of %s are worse at %g%%: %s", region, rs.New, s.Weight, r.Reason)
	case rs.SourceFailed != "":
		f.Code, f.Cause = "CANARY_NO_DATA", fmt.Sprintf("%s: the metrics' source has no answer at %g%%: %s", region, s.Weight, rs.SourceFailed)
		f.Help = "without metrics no version passes; see whether the source is reachable from control, and try the query there"
		f.Retryable = true
	case r == nil:
		f.Code, f.Cause = "CANARY_NO_DATA", fmt.Sprintf("%s: no metrics of %s were judged at %g%%", region, rs.New, s.Weight)
	case len(r.Lacking) > 0:
		f.Code, f.Cause = "CANARY_NO_DATA", fmt.Sprintf("%s: too little data for a verdict on %s at %g%%: %s", region, rs.New, s.Weight, r.Reason)
		f.Help = "see whether the instances tell the metric (`up` is 1 then) and whether the query finds it; whenNoData: ignore leaves a metric out that may be missing"
	default:
		f.Cause = fmt.Sprintf("%s: no verdict on the metrics of %s at %g%%: %s", region, rs.New, s.Weight, r.Reason)
	}
	if r != nil {
		for _, m := range r.Metrics {
			f.Evidence = append(f.Evidence, m.Name+": "+string(m.Label)+": "+m.Reason)
		}
	}
	for _, i := range instancesOf(o.Groups, rs.New) {
		f.Evidence = append(f.Evidence, "instance of the new version: "+i)
	}
	d.fail(region, f)
}
