package chaos

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/canary/judge/sequential"
	"showrunner/cloud"
	"showrunner/internal/httpcheck"
	"showrunner/pipeline"
	"showrunner/rollout"
)

// measure looks once: at the faults, the instances, the probes and the counts.
func (t *trial) measure(ctx context.Context) (time.Duration, error) {
	end := t.st.Began.Add(time.Duration(t.config.For))
	t.waits, t.until = "compares "+t.st.Test+", which meets the faults, with "+t.st.Control, end
	for _, f := range t.st.Planned {
		why, err := t.Faults.Over(ctx, f.ID)
		if err != nil {
			return 0, err
		}
		if why != "" {
			t.failed("CHAOS_STOPPED", fmt.Sprintf("fault %s ended before the comparison did: %s", f.ID, why), "run the pipeline again when chaos may run; showrunner chaos fault list shows how the fault ended")
			return immediately, nil
		}
	}
	groups, err := t.account.ServerGroups(ctx, t.st.Region, t.config.Cluster)
	if err != nil {
		return 0, err
	}
	counts, err := t.account.Counts(ctx, t.st.Region, t.config.Cluster)
	if err != nil {
		return 0, err
	}
	t.probe(ctx)
	for _, c := range t.config.Stops {
		if why := t.Faults.StopMet(ctx, c); why != "" && ctx.Err() == nil {
			t.failed("CHAOS_STOPPED", why, "look at the alarm or the query; the traffic returned at once")
			break
		}
	}
	if t.st.Failure == nil {
		t.compare(groups, counts, !t.Now().Before(end))
	}
	if t.st.Step != stepMeasure {
		return immediately, nil
	}
	return second, nil
}

// compare decides from the newest counts. last says that the time is over.
func (t *trial) compare(groups []cloud.ServerGroup, counts []cloud.Counts, last bool) {
	control, _ := find(groups, t.st.Control)
	test, _ := find(groups, t.st.Test)
	if broken := test.Crashes + test.Failures - control.Crashes - control.Failures; broken > 0 {
		t.notSurvived(fmt.Sprintf("%d instances ended or became unhealthy, and none of the control group did", broken), t.instances(test)...)
		return
	}
	t.count(counts)
	v := t.st.Analysis.Verdict(*t.st.Config, false)
	if v.Decision == sequential.Fail {
		t.decide(v, counts)
		return
	}
	if t.pilesUp(counts) {
		t.notSurvived("requests pile up without an answer", t.numbers(counts)...)
		return
	}
	if last {
		t.decide(t.st.Analysis.Verdict(*t.st.Config, true), counts)
	}
}

// count takes the counts since the last ones as the next interval. After the counters
// restarted the requests in between are unknown, and nothing is guessed.
func (t *trial) count(counts []cloud.Counts) {
	now := t.Now().UTC()
	ours := func(g string) bool { return g == t.st.Control || g == t.st.Test }
	if t.st.Analysis == nil {
		exact := t.config.Traffic == nil || !t.config.Traffic.VersionHeader
		config := rollout.JudgeConfig(t.judge, cloud.Facts{Counts: &cloud.CountFacts{Latencies: t.st.Latencies}}, exact, 1)
		t.st.Config, t.st.Analysis = &config, &sequential.Analysis{}
	} else if !rollout.CountersRestarted(counts, t.st.Last, ours) && now.After(t.st.LastAt) {
		i := sequential.Interval{Start: max(seconds(t.st.LastAt), t.st.Analysis.Until), End: seconds(now), Share: 0.5,
			Baseline: rollout.Sample(counts, t.st.Last, func(g string) bool { return g == t.st.Control }), Canary: rollout.Sample(counts, t.st.Last, func(g string) bool { return g == t.st.Test })}
		if i.Baseline.Requests > 0 || i.Canary.Requests > 0 {
			t.st.Analysis.Add(*t.st.Config, i)
		}
	}
	t.st.Last, t.st.LastAt = rollout.GroupsAlone(counts), now
}

func seconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }

// piled is for how long requests have to pile up.
const piled = 5 * time.Second

// pilesUp says whether requests have waited at the experiment group, for a while, in
// numbers that the control group does not know. Such requests have not ended, so the
// comparison of those that have cannot see them.
func (t *trial) pilesUp(counts []cloud.Counts) bool {
	control, test := 0, 0
	for _, c := range rollout.GroupsAlone(counts) {
		switch c.ServerGroup {
		case t.st.Control:
			control = c.InFlight
		case t.st.Test:
			test = c.InFlight
		}
	}
	if test < max(t.judge.MinRequests, 4*(control+1)) {
		t.st.PiledSince = time.Time{}
		return false
	}
	if t.st.PiledSince.IsZero() {
		t.st.PiledSince = t.Now().UTC()
	}
	return t.Now().Sub(t.st.PiledSince) >= piled
}

// decide ends the comparison by a verdict.
func (t *trial) decide(v sequential.Verdict, counts []cloud.Counts) {
	t.st.Verdict = &v
	t.st.Step = stepUndo
	switch {
	case v.Decision == sequential.Pass:
		t.say("it survived: %s", strings.Join(t.numbers(counts), "; "))
	case v.Decision == sequential.Fail:
		t.notSurvived(inWords(v), append(t.numbers(counts), metrics(v)...)...)
	case v.Lacking != "" && !v.Suspect && t.judge.WhenNoData == "pass", v.Lacking == "" && !v.Suspect && t.judge.WhenInconclusive == "pass":
		t.st.Note = "no verdict: " + cmp.Or(v.Lacking, v.Reason)
		t.say("%s; the judge lets it pass", t.st.Note)
	case v.Lacking != "" && !v.Suspect:
		t.failed("CHAOS_NO_DATA", fmt.Sprintf("%s: too few requests for a verdict: %s", t.st.Region, v.Lacking), "raise share or for, lower judge.minRequests, or send traffic to the region; judge.whenNoData: pass goes on without a verdict", t.numbers(counts)...)
	default:
		t.failed("CHAOS_INCONCLUSIVE", fmt.Sprintf("%s: no verdict: %s", t.st.Region, cmp.Or(v.Reason, v.Guard)), "the evidence names the guard that allows no verdict, or what was not shown; judge.whenInconclusive says what happens then", append(t.numbers(counts), metrics(v)...)...)
	}
}

// inWords is what a verdict says, with the names that the two groups have here.
func inWords(v sequential.Verdict) string {
	return strings.NewReplacer("the new version", "the experiment group", "the old version", "the control group", "the new one", "the experiment group", "the old one", "the control group").Replace(v.Reason)
}

func metrics(v sequential.Verdict) (list []string) {
	for _, m := range v.Metrics {
		list = append(list, m.Name+": "+m.Reason)
	}
	for _, g := range v.Guards {
		if g.Known {
			list = append(list, "guard "+g.Name+": "+g.Reason)
		}
	}
	return list
}

// numbers are what both groups did since they were made.
func (t *trial) numbers(counts []cloud.Counts) (list []string) {
	for name, group := range map[string]string{"control group " + t.st.Control: t.st.Control, "experiment group " + t.st.Test: t.st.Test} {
		for _, c := range rollout.GroupsAlone(counts) {
			if c.ServerGroup == group {
				list = append(list, fmt.Sprintf("%s: %d requests, %d failed, %d under way", name, c.Requests, c.Errors, c.InFlight))
			}
		}
	}
	slices.Sort(list)
	return list
}

func (t *trial) instances(g cloud.ServerGroup) (list []string) {
	if f := g.LastFailure; f != nil {
		list = append(append(list, f.Cause), f.LastLog...)
	}
	for _, i := range slices.Concat(g.Instances, g.Ended) {
		list = append(list, "showrunner logs "+i.ID)
	}
	return list
}

// notSurvived ends the experiment: the version does not survive the faults.
func (t *trial) notSurvived(why string, evidence ...string) {
	t.failed("CHAOS_NOT_SURVIVED", fmt.Sprintf("%s: version %s does not survive %s: %s", t.st.Region, t.in.Version, describe(t.config.Faults), why),
		"give each call to a dependency a timeout and an answer for when it fails; showrunner logs INSTANCE shows what the experiment group wrote, even after it has ended (showrunner instances --ended)", evidence...)
}

// describe says faults in words.
func describe(list []pipeline.ExperimentFault) string {
	var words []string
	for _, f := range list {
		text := f.Kind
		switch f.Kind {
		case "latency", "slow-close":
			text += " of " + f.Latency.String()
		case "errors":
			text = fmt.Sprintf("answers %d", f.Status)
		}
		if f.To != "" {
			text += " of its calls to " + f.To
		}
		words = append(words, text)
	}
	return strings.Join(words, " and ")
}

// mostMisses is how many answers to a probe in a row may be other than expected.
const mostMisses = 3

// probe asks every URL once.
func (t *trial) probe(ctx context.Context) {
	t.st.ProbeMisses = append(t.st.ProbeMisses, make([]int, len(t.config.Probes)-len(t.st.ProbeMisses))...)
	for n, p := range t.config.Probes {
		why := t.ask(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if t.st.ProbeMisses[n]++; why == "" {
			t.st.ProbeMisses[n] = 0
		}
		if t.st.ProbeMisses[n] >= mostMisses {
			t.notSurvived(fmt.Sprintf("the probe of %s is not met: %s", p.URL, why))
			return
		}
	}
}

// ask makes one request, and says why its answer is not as expected.
func (t *trial) ask(ctx context.Context, p pipeline.ExperimentProbe) string {
	header := make(map[string]string, len(p.Header))
	for _, h := range p.Header {
		name, value, _ := strings.Cut(h, ":")
		header[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return httpcheck.Ask(ctx, t.HTTP, httpcheck.Request{URL: p.URL, Header: header, Status: p.Status, Within: cmp.Or(time.Duration(p.Within), time.Second)})
}
