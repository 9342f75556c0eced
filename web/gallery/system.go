package gallery

import (
	"context"
	"fmt"
	"slices"
	"time"

	"showrunner/canary"
	"showrunner/canary/judge/sequential"
	"showrunner/chaos/monkey"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/store/record"
)

var regions = []string{"us-west-2", "us-east-1", "eu-west-1"}

// answer is a list, nothing in the empty state, and an error in the error state.
func answer[T any](c *canned, list ...T) ([]T, error) {
	switch c.state {
	case Error:
		return nil, errAway(c.state)
	case Empty:
		return nil, nil
	}
	return list, nil
}

func (c *canned) Applications(context.Context, control.Principal) ([]control.Application, error) {
	s := c.state
	list := []control.Application{
		{Name: appName(s, "storefront"), Version: 7, Updated: *c.ago(26 * time.Hour), By: text(s, 1, "mia"), Pipelines: []pipeline.Pipeline{*c.definition(), {Name: "nightly", Stages: c.definition().Stages[:2]}}},
		{Name: appName(s, "search"), Version: 2, Updated: *c.ago(300 * time.Hour), Pipelines: []pipeline.Pipeline{{Name: "release"}}},
	}
	if s == Huge {
		for i := range 298 {
			list = append(list, control.Application{Name: fmt.Sprintf("application-%03d", i), Pipelines: []pipeline.Pipeline{{Name: "release"}}})
		}
	}
	return answer(c, list...)
}

func (c *canned) Triggers(_ context.Context, _ control.Principal, _, _ string) ([]control.TriggerStatus, error) {
	s := c.state
	return answer(c,
		control.TriggerStatus{Application: appName(s, "storefront"), Pipeline: "release", Kind: "push", Trigger: text(s, 1, "https://git.example/shop main"), Addresses: []string{"http://127.0.0.1:7070/hooks/github/storefront", "http://127.0.0.1:7070/hooks/gitlab/storefront"}},
		control.TriggerStatus{Application: appName(s, "storefront"), Pipeline: "nightly", Kind: "schedule", Trigger: "0 3 * * *", Next: c.now().Add(4 * time.Hour), Last: *c.ago(20 * time.Hour), Execution: "ex0002"},
		control.TriggerStatus{Application: appName(s, "search"), Pipeline: "release", Kind: "poll", Trigger: text(s, 2, "/srv/git/search.git"), Next: c.now().Add(time.Minute), Error: text(s, 0, "git: repository not found"), Failures: 3, Failing: *c.ago(time.Hour)})
}

func (c *canned) Regions(context.Context, control.Principal) ([]control.RegionStatus, error) {
	var list []control.RegionStatus
	for _, name := range regions {
		list = append(list, control.RegionStatus{Account: "local", Region: cloud.Region{Name: name, Zones: []string{name + "a", name + "b", name + "c"}, Healthy: c.state != Partial || name != "eu-west-1", Since: *c.ago(3 * time.Hour), Address: "127.0.0.1:31001", Processes: 12}})
	}
	if c.state == Empty {
		return list, nil
	}
	return answer(c, list...)
}

func (c *canned) Missing(context.Context, control.Principal, string) ([]control.Missing, error) {
	if c.state != Partial && c.state != Hostile {
		return answer[control.Missing](c)
	}
	return answer(c, control.Missing{Subject: control.Subject{Kind: control.KindRegion, Name: "eu-west-1"}, Region: "eu-west-1", Why: text(c.state, 0, "it was stopped by mia: maintenance"), Help: "run `showrunner regions start eu-west-1`"})
}

// change has instances of a group change their health one after the other, churn a second
// in all of the cluster: each time of a clock has one state.
func (c *canned) change(g *cloud.ServerGroup, seq int) {
	steps := int(c.now().Sub(c.began).Seconds() * float64(c.churn))
	for i := range g.Instances {
		at := (i*7 + seq*333 + slices.Index(regions, g.Region)*111) % instancesChanging
		if flips := (steps - at + instancesChanging) / instancesChanging; flips%2 == 1 {
			g.Instances[i].Healthy = false
		}
	}
}

// instancesChanging is about how many instances the huge state has.
const instancesChanging = 1000

// group is a server group with n instances, of which the last is ill when ill is set.
func (c *canned) group(region string, seq int, weight float64, n int, ill bool) cloud.ServerGroup {
	s := c.state
	g := cloud.ServerGroup{Name: fmt.Sprintf("storefront-prod-v%03d", seq), Region: region, Weight: weight, Created: *c.ago(26 * time.Hour), Capacity: pipeline.Capacity{Min: 1, Desired: n, Max: 2 * n},
		Spec: cloud.ServerGroupSpec{Application: appName(s, "storefront"), Cluster: "storefront-prod", Version: text(s, seq, fmt.Sprintf("%07x", 0x4f1c2ab+seq))}}
	for i := range n {
		g.Instances = append(g.Instances, cloud.Instance{ID: fmt.Sprintf("i-%s-%d-%04d", region, seq, i), ServerGroup: g.Name, Version: g.Spec.Version, Region: region, Zone: region + string(rune('a'+i%3)), Address: fmt.Sprintf("127.10.1.%d:8080", i%250),
			PID: 41000 + i, Lifecycle: cloud.InService, Healthy: true, Launched: *c.ago(26 * time.Hour), ServingSince: *c.ago(25 * time.Hour), CPU: 0.2, Memory: 40 << 20})
	}
	if c.churn > 0 {
		c.change(&g, seq)
	}
	if !ill {
		return g
	}
	failure := &cloud.InstanceFailure{Code: "UNHEALTHY", Cause: text(s, 0, "3 checks in a row failed"), Probe: `GET /healthz: 503 {"db":"pool exhausted"}`, At: *c.ago(41 * time.Second), LastLog: []string{text(s, 4, "FATAL too many connections")}}
	g.Instances[n-1].Healthy, g.Instances[n-1].Failure, g.LastFailure = false, failure, failure
	ended := g.Instances[0]
	ended.ID, ended.Lifecycle, ended.Ended, ended.Failure, ended.Why = ended.ID+"-ended", cloud.Terminated, *c.ago(4 * time.Minute), failure, text(s, 2, "it failed its health checks")
	g.Ended, g.Crashes = []cloud.Instance{ended}, 1
	return g
}

func (c *canned) Clusters(_ context.Context, _ control.Principal, _, _, name string) ([]control.Cluster, error) {
	s := c.state
	per := 4
	if s == Huge {
		per = 166
	}
	shop := control.Cluster{Name: "storefront-prod", Application: appName(s, "storefront"), Account: "local"}
	for _, r := range regions {
		if s == Partial && r == "eu-west-1" {
			shop.Unreachable = map[string]string{r: "the region's process does not answer"}
			continue
		}
		shop.Groups = append(shop.Groups, c.group(r, 6, 0, 2, false), c.group(r, 7, 75, 2*per, false))
		if r == "us-west-2" {
			shop.Groups = append(shop.Groups, c.group(r, 8, 25, per, true))
		}
	}
	plain := control.Cluster{Name: "search", Application: appName(s, "search"), Account: "local", Groups: []cloud.ServerGroup{c.group("us-east-1", 1, 100, 2, false)}}
	plain.Groups[0].Suspended = []string{"Launch"}
	list, err := answer(c, shop, plain)
	if name != "" {
		list = slices.DeleteFunc(list, func(x control.Cluster) bool { return x.Name != name })
	}
	return list, err
}

func (c *canned) siteDeployment(region, id string, current bool, age time.Duration) cloud.SiteDeployment {
	return cloud.SiteDeployment{ID: id, Site: "storefront", Region: region, Version: text(c.state, 1, "4f1c2ab"), Execution: "ex0001", At: c.ago(age).Format(time.RFC3339Nano), Current: current, Uploaded: 12, Unchanged: 1988, Deleted: 3}
}

func (c *canned) Sites(context.Context, control.Principal) ([]control.SiteStatus, error) {
	site := control.SiteStatus{Name: "storefront", Account: "local", URL: "http://storefront.localhost:8080/", Application: appName(c.state, "storefront")}
	for _, r := range regions[:2] {
		site.Current = append(site.Current, c.siteDeployment(r, "d-2", true, time.Hour))
	}
	if c.state == Partial {
		site.Unreachable = map[string]string{"eu-west-1": "no answer"}
	} else {
		site.Current = append(site.Current, c.siteDeployment("eu-west-1", "d-1", true, 30*time.Hour))
	}
	return answer(c, site)
}

func (c *canned) SiteDeployments(context.Context, control.Principal, string, string) ([]cloud.SiteDeployment, error) {
	var list []cloud.SiteDeployment
	for _, r := range regions {
		list = append(list, c.siteDeployment(r, "d-2", r != "eu-west-1", time.Hour), c.siteDeployment(r, "d-1", r == "eu-west-1", 30*time.Hour))
	}
	return answer(c, list...)
}

func (c *canned) ListKept(_ context.Context, _ control.Principal, account, name string) ([]control.Kept, error) {
	kind := control.KindCluster
	if name == "storefront" {
		kind = control.KindSite
	}
	return answer(c, control.Kept{Kind: kind, Account: account, Name: name, Versions: []control.KeptVersion{
		{Name: "storefront-prod-v008", Version: text(c.state, 1, "4f1c2b3"), Created: *c.ago(5 * time.Minute), Regions: regions[:1], Live: regions[:1], Execution: "running", Number: 41, Pipeline: "release", Revision: c.revision(0)},
		{Name: "storefront-prod-v006", Version: text(c.state, 2, "4f1c2b1"), Created: *c.ago(50 * time.Hour), Regions: regions, Before: regions, Execution: "ex0006", Number: 35, Pipeline: "release", Revision: c.revision(6)}}})
}

func (c *canned) PreviewRollback(context.Context, control.Principal, control.RollbackRequest) ([]string, string, error) {
	if c.state == Error {
		return nil, "", errAway(c.state)
	}
	if c.state == Partial {
		return nil, "eu-west-1 cannot be asked, so what it would return to is not known", nil
	}
	return []string{text(c.state, 3, "us-west-2: storefront-prod-v006 gets all of the traffic, 2 of 2 instances serve"), "us-east-1: storefront-prod-v006 gets all of the traffic"}, "", nil
}

func (c *canned) Verdicts(_ context.Context, _ control.Principal, id, name string) (control.CanaryVerdicts, error) {
	if c.state == Error {
		return control.CanaryVerdicts{}, errAway(c.state)
	}
	v := control.CanaryVerdicts{Execution: id, Stage: name}
	config := sequential.Config{Alpha: 0.01 / 3, Beta: 0.05, LeastRequests: 20, SplitAlpha: sequential.DefaultSplitAlpha, Bounds: []float64{.01, .1},
		Metrics: []sequential.Metric{{Name: text(c.state, 0, "errors"), Kind: sequential.ErrorRatio, Gate: true, Limit: 1, Accept: 2}, {Name: "latency", Kind: sequential.Distribution}}}
	for i, r := range regions {
		var a sequential.Analysis
		for at := range 40 * i {
			a.Add(config, sequential.Interval{Start: float64(at), End: float64(at + 1), Share: 0.2,
				Canary:   sequential.Side{Requests: 20, Started: 20, Failures: uint64(6 * (i - 1)), Buckets: []uint64{18, 1, 1}},
				Baseline: sequential.Side{Requests: 80, Started: 80, Failures: 1, Buckets: []uint64{72, 4, 4}}})
		}
		v.Regions = append(v.Regions, control.CanaryReport{Region: r, ServerGroup: "storefront-prod-v008", Against: []string{"storefront-prod-v007"}, Step: 2, Weight: 25, Verdict: a.Verdict(config, false), Series: a.Points, Analysis: c.analysis(i)})
	}
	return v, nil
}

// analysis is a judgement of metrics; the first region has none yet.
func (c *canned) analysis(region int) *canary.Report {
	if region == 0 {
		return nil
	}
	config := pipeline.Analysis{Pass: 95, Marginal: 75, MinPoints: 8, Interval: pipeline.Duration(time.Minute), Step: pipeline.Duration(5 * time.Second), Metrics: []pipeline.AnalysisMetric{
		{Name: text(c.state, 1, "orders"), Query: "x", Direction: "decrease", Group: "metrics"}, {Name: "memory", Query: "x", Critical: true, Group: "metrics"}}}
	m := canary.Measured{Window: canary.WindowOf(config, c.now().Add(-time.Minute), 1), Baseline: map[string]canary.Side{}, Canary: map[string]canary.Side{}}
	for _, metric := range config.Metrics {
		base, fresh := make(canary.Values, 13), make(canary.Values, 13)
		for i := range base {
			base[i], fresh[i] = float64(10+i%3), float64(10+i%4+i*(region-1))
		}
		m.Baseline[metric.Name], m.Canary[metric.Name] = canary.Side{Values: base}, canary.Side{Values: fresh}
	}
	r := canary.Judge(config, m, len(regions))
	r.Source = "control's own metrics"
	return &r
}

func (c *canned) ChaosLever(context.Context, control.Principal) (control.ChaosLever, error) {
	switch c.state {
	case Error:
		return control.ChaosLever{}, errAway(c.state)
	case Partial, Hostile:
		return control.ChaosLever{Stopped: true, Reason: text(c.state, 0, "incident 7"), By: text(c.state, 1, "mia"), At: *c.ago(time.Hour)}, nil
	}
	return control.ChaosLever{}, nil
}

func (c *canned) Faults(context.Context, control.Principal) ([]control.ChaosFault, error) {
	fault := control.ChaosFault{Fault: cloud.Fault{ID: "latency-1", Kind: "latency", Cluster: "storefront-prod", Instances: []string{"i-us-west-2-7-0001"}}, Region: "us-west-2", State: control.FaultActive, By: text(c.state, 2, "mia"), Began: *c.ago(time.Minute), Until: c.now().Add(time.Minute)}
	failed := fault
	failed.ID, failed.State, failed.Reason, failed.Ended = "hang-1", control.FaultFailed, text(c.state, 3, "the instance had ended"), *c.ago(time.Hour)
	return answer(c, fault, failed)
}

func (c *canned) kill(outcome control.KillOutcome) control.ChaosKill {
	return control.ChaosKill{ID: "k1", Application: appName(c.state, "storefront"), Group: "storefront-prod us-west-2", Due: c.now().Add(2 * time.Hour), Outcome: outcome, Reason: text(c.state, 4, ""), Eligible: 8, Begun: *c.ago(20 * time.Hour), Ended: *c.ago(20 * time.Hour),
		Victim: monkey.Instance{ID: "i-us-west-2-7-0003"}}
}

func (c *canned) MonkeySchedule(context.Context, control.Principal, string) ([]control.MonkeyDay, error) {
	return answer(c, control.MonkeyDay{Application: appName(c.state, "storefront"), Day: monkey.DateOf(c.now(), time.UTC), Zone: "Europe/Berlin", Drawn: *c.ago(5 * time.Hour), Groups: 3, Kills: []control.ChaosKill{c.kill(control.KillScheduled)}})
}

func (c *canned) MonkeyHistory(context.Context, control.Principal, string, int) ([]control.ChaosKill, error) {
	return answer(c, c.kill(control.Killed), c.kill(control.KillRefused), c.kill(control.KillSkipped))
}

func (c *canned) Events(_ context.Context, _ control.Principal, _ int64, f record.Filter, _ int) (record.Slice, error) {
	if f.Execution != "" {
		events, err := answer(c, record.Event{Time: *c.ago(9 * time.Minute), Type: "execution.started", By: text(c.state, 1, "mia")}, record.Event{Time: *c.ago(8 * time.Minute), Type: "stage.succeeded", Stage: "source"})
		return record.Slice{Events: events}, err
	}
	if f.Types[0] == "audit.aws.call" {
		events, err := answer(c, c.audit(1, f.Types[0], "aws", "ecs", "done"), c.audit(2, f.Types[0], "aws", "cloudformation", "failed"))
		return record.Slice{Events: events, Next: 1000}, err
	}
	events, err := answer(c,
		c.audit(1, "audit.cluster.resize", "cluster", "storefront-prod", "done"), c.audit(2, "audit.execution.decide", "execution", "running", "failed"), c.audit(3, "audit.chaos.stop", "chaos", "", "done"))
	return record.Slice{Events: events, Next: 1000}, err
}

func (c *canned) audit(position int64, operation, kind, name, outcome string) record.Event {
	return record.Event{Position: position, Time: *c.ago(time.Duration(position) * time.Minute), Type: operation, By: text(c.state, int(position), "mia"),
		Data: []byte(fmt.Sprintf(`{"subject":{"kind":%q,"name":%q},"phase":%q,"details":{"operation":"CreateService","region":"us-west-2","caller":"arn:aws:iam::000000000000:user/mia","execution":%q},"error":%q}`, kind, name, outcome, "", map[string]string{"failed": text(c.state, 0, "somebody else decided first")}[outcome]))}
}
