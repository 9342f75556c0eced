package fleet

import (
	"math"
	"slices"
	"testing"
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
)

// idleFleet is a fleet whose loop does not run: tests call the loop's functions.
func idleFleet(t *testing.T, spec driver.ServerGroupSpec) (*Fleet, *group, *time.Time, *fakeBalancer) {
	t.Helper()
	folder, err := openFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(folder.close)
	doc, err := folder.load()
	if err != nil {
		t.Fatal(err)
	}
	now, b := epoch, newFakeBalancer()
	config, err := Config{Region: "r", Dir: folder.path, Artifacts: selfArtifact{}, Balancer: b, Now: func() time.Time { return now }}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	f := &Fleet{config: config, folder: folder, wake: make(chan struct{}, 1), changed: make(chan struct{}),
		groups: map[string]*group{}, instances: map[string]*instance{}, revisions: map[string]uint64{}, doc: doc,
		addresses: &addresses{used: map[string]bool{}}}
	spec.Cluster = "app"
	r := record{Spec: spec, Capacity: spec.Capacity, Weight: spec.Weight, Created: now}
	f.doc.Groups["app-v000"] = r
	g := f.newGroup("app-v000", r, nil)
	f.groups[g.name] = g
	return f, g, &now, b
}

// serve makes the group have as many serving instances as it desires.
func serveDesired(f *Fleet, g *group, now time.Time) {
	for len(g.instances) < f.doc.Groups[g.name].Capacity.Desired {
		i := &instance{id: newID("i-"), group: g, lifecycle: driver.InService, running: true, ready: true, live: true, registered: true, served: true, launched: now, serving: now}
		g.instances[i.id], f.instances[i.id] = i, i
	}
	for id := range g.instances {
		if len(g.instances) <= f.doc.Groups[g.name].Capacity.Desired {
			break
		}
		delete(g.instances, id)
		delete(f.instances, id)
	}
}

// A load of 100/s for a target of 50 grows tenfold and then falls back. The group
// grows within seconds and shrinks slowly, and stays within its bounds.
func TestTargetTrackingFollowsASurge(t *testing.T) {
	f, g, now, b := idleFleet(t, driver.ServerGroupSpec{Weight: 1, Capacity: pipeline.Capacity{Min: 2, Desired: 2, Max: 30},
		Scaling: []pipeline.ScalingPolicy{{Name: "requests", Target: &pipeline.TargetTracking{Metric: metricRequests, Value: 50}}}})
	served := map[string]uint64{}
	second := func(rate int) int {
		serveDesired(f, g, *now)
		var counts []driver.Counts
		for id := range g.instances {
			served[id] += uint64(rate / len(g.instances))
			counts = append(counts, driver.Counts{ServerGroup: g.name, Instance: id, Requests: served[id]})
		}
		b.counts["app"] = counts
		*now = now.Add(time.Second)
		f.autoscale()
		return f.doc.Groups[g.name].Capacity.Desired
	}
	for range 60 {
		if n := second(100); n != 2 {
			t.Fatalf("a load on target changed the capacity to %d", n)
		}
	}
	took := 0
	for second(1000) < 20 {
		if took++; took > 10 {
			t.Fatal("ten seconds into the surge the group is too small")
		}
	}
	for range 60 {
		if n := second(1000); n != 20 {
			t.Fatalf("at the surge's height the capacity became %d", n)
		}
	}
	for n := range 14 {
		if size := second(100); size != 20 {
			t.Fatalf("%d s after the surge the group shrank to %d", n, size)
		}
	}
	for range 30 {
		second(100)
	}
	if n := second(100); n != 2 {
		t.Fatalf("long after the surge the capacity is %d", n)
	}
	f.doc.Groups[g.name] = with(f.doc.Groups[g.name], func(r *record) { r.Weight = 0 })
	for range 60 {
		if n := second(5000); n != 2 {
			t.Fatalf("a disabled group scaled to %d", n)
		}
	}
	f.doc.Groups[g.name] = with(f.doc.Groups[g.name], func(r *record) { r.Weight, r.Suspended = 1, []string{processAlarmNotification} })
	for range 60 {
		if n := second(5000); n != 2 {
			t.Fatalf("a suspended policy scaled to %d", n)
		}
	}
}

// Two policies want to shrink a group at the same time: the one that leaves more
// instances acts, once. The other does not act on the same evidence a second
// later. The same holds for a policy that lost when the group grew.
func TestAPolicyThatLostDoesNotActOnTheSameEvidence(t *testing.T) {
	low, high := 0.0, 0.0
	steps := func(change int) []pipeline.Step { return []pipeline.Step{{Upper: &low, Change: change}} }
	up := func(change int) []pipeline.Step { return []pipeline.Step{{Lower: &high, Change: change}} }
	for what, c := range map[string]struct {
		policies []pipeline.ScalingPolicy
		rate     int
		periods  int // until there is evidence
		to       int
	}{
		"-3 and -25 % on 8": {[]pipeline.ScalingPolicy{
			{Name: "three", Step: &pipeline.StepScaling{Metric: metricRequests, Threshold: 50, Adjustment: "change", Steps: steps(-3)}},
			{Name: "quarter", Step: &pipeline.StepScaling{Metric: metricRequests, Threshold: 50, Adjustment: "percent", Steps: steps(-25)}},
		}, 8, 15, 6},
		"+1 and +2 on 8": {[]pipeline.ScalingPolicy{
			{Name: "one", Step: &pipeline.StepScaling{Metric: metricRequests, Threshold: 50, Adjustment: "change", Steps: up(1)}},
			{Name: "two", Step: &pipeline.StepScaling{Metric: metricRequests, Threshold: 50, Adjustment: "change", Steps: up(2)}},
		}, 8000, 3, 10},
	} {
		t.Run(what, func(t *testing.T) {
			f, g, now, b := idleFleet(t, driver.ServerGroupSpec{Weight: 1, Capacity: pipeline.Capacity{Min: 1, Desired: 8, Max: 30}, Scaling: c.policies})
			served := map[string]uint64{}
			second := func() int {
				serveDesired(f, g, *now)
				for _, i := range g.instances {
					i.serving = epoch.Add(-time.Hour) // instances are warm
				}
				var counts []driver.Counts
				for id := range g.instances {
					served[id] += uint64(c.rate / len(g.instances))
					counts = append(counts, driver.Counts{ServerGroup: g.name, Instance: id, Requests: served[id]})
				}
				b.counts["app"] = counts
				*now = now.Add(time.Second)
				f.autoscale()
				return f.doc.Groups[g.name].Capacity.Desired
			}
			at := 0
			for second() == 8 {
				if at++; at > 60 {
					t.Fatal("it never scaled")
				}
			}
			if n := f.doc.Groups[g.name].Capacity.Desired; n != c.to {
				t.Fatalf("it scaled to %d, want %d", n, c.to)
			}
			for n := range c.periods - 1 {
				if size := second(); size != c.to {
					t.Fatalf("%d s after the change to %d another policy made it %d", n+1, c.to, size)
				}
			}
			if second() == c.to {
				t.Errorf("no policy acts on new evidence: still %d", c.to)
			}
		})
	}
}

func with(r record, change func(*record)) record {
	change(&r)
	return r
}

func TestScheduledActions(t *testing.T) {
	n := func(n int) *int { return &n }
	// epoch is a Monday, 09:00 UTC: 10:00 in Paris.
	f, g, now, _ := idleFleet(t, driver.ServerGroupSpec{Weight: 1, Capacity: pipeline.Capacity{Min: 1, Desired: 1, Max: 3},
		Scaling: []pipeline.ScalingPolicy{
			{Name: "morning", Schedule: &pipeline.ScheduledScaling{Cron: "30 10 * * mon-fri", Zone: "Europe/Paris", Min: n(4), Max: n(8)}},
			{Name: "evening", Schedule: &pipeline.ScheduledScaling{Cron: "0 18 * * *", Min: n(0), Max: n(5), Desired: n(0)}},
		}})
	at := func(d time.Duration) pipeline.Capacity {
		*now = epoch.Add(d)
		f.autoscale()
		return f.doc.Groups[g.name].Capacity
	}
	for _, c := range []struct {
		at   time.Duration
		want pipeline.Capacity
	}{
		{29 * time.Minute, pipeline.Capacity{Min: 1, Desired: 1, Max: 3}},
		{30 * time.Minute, pipeline.Capacity{Min: 4, Desired: 4, Max: 8}},
		{9 * time.Hour, pipeline.Capacity{Min: 0, Desired: 0, Max: 5}},
	} {
		if got := at(c.at); got != c.want {
			t.Fatalf("at %s: %+v, want %+v", c.at, got, c.want)
		}
	}
	f.doc.Groups[g.name] = with(f.doc.Groups[g.name], func(r *record) { r.Suspended = []string{processScheduledActions} })
	at(24*time.Hour + 30*time.Minute)
	f.doc.Groups[g.name] = with(f.doc.Groups[g.name], func(r *record) { r.Suspended = nil })
	if got := at(25 * time.Hour); got.Desired != 0 {
		t.Fatalf("an action missed while suspended was made up for: %+v", got)
	}
}

// A group that is kept without traffic keeps its capacity whatever the schedule
// says, and missed actions are skipped.
func TestScheduledActionsSpareDisabledGroups(t *testing.T) {
	n := func(n int) *int { return &n }
	kept := pipeline.Capacity{Min: 0, Desired: 0, Max: 3}
	f, g, now, _ := idleFleet(t, driver.ServerGroupSpec{Weight: 0, Capacity: kept,
		Scaling: []pipeline.ScalingPolicy{{Name: "morning", Schedule: &pipeline.ScheduledScaling{Cron: "30 9 * * *", Min: n(2)}}}})
	at := func(d time.Duration) pipeline.Capacity {
		*now = epoch.Add(d)
		f.autoscale()
		return f.doc.Groups[g.name].Capacity
	}
	if got := at(time.Hour); got != kept {
		t.Fatalf("a disabled group was scaled: %+v", got)
	}
	f.doc.Groups[g.name] = with(f.doc.Groups[g.name], func(r *record) { r.Weight = 1 })
	if got := at(2 * time.Hour); got != kept {
		t.Fatalf("an action missed while disabled was made up for: %+v", got)
	}
	if got := at(25 * time.Hour); got.Min != 2 || got.Desired != 2 {
		t.Fatalf("enabled again, the next action did nothing: %+v", got)
	}
}

// An instance without measurements does not count as idle.
func TestUnsampledInstancesAreMissingData(t *testing.T) {
	a, b := &instance{id: "a", sampled: epoch, cpu: .8, memory: 100}, &instance{id: "b"}
	m := measure([]*instance{a, b}, nil, nil, time.Second)
	if m[metricCPU] != .8 || m[metricMemory] != 100 {
		t.Errorf("one that is not sampled counts: %v", m)
	}
	if m := measure([]*instance{b}, nil, nil, time.Second); !math.IsNaN(m[metricCPU]) || !math.IsNaN(m[metricMemory]) {
		t.Errorf("nothing is sampled: %v", m)
	}
}

// After a day without a successful launch, Launch is suspended. A successful
// launch, or a person who resumes Launch, begins another day.
func TestADayOfFailedLaunches(t *testing.T) {
	f, g, now, _ := idleFleet(t, driver.ServerGroupSpec{Capacity: pipeline.Capacity{Max: 1}})
	suspended := func() bool { return f.suspended(g, processLaunch) }
	for _, what := range []func(){func() { f.launched(g) }, func() {
		if err := f.Resume(t.Context(), "r", g.name, []string{processLaunch}, "resume"); err != nil {
			t.Fatal(err)
		}
	}} {
		f.launchFailed(g)
		*now = now.Add(launchFailureLimit - time.Second)
		f.launchFailed(g)
		if suspended() {
			t.Fatal("suspended within the day")
		}
		what()
		f.launchFailed(g)
		*now = now.Add(time.Minute)
		f.launchFailed(g)
		if suspended() {
			t.Fatal("the day did not begin anew")
		}
		f.launched(g)
	}
	f.launchFailed(g)
	*now = now.Add(launchFailureLimit)
	f.launchFailed(g)
	if !suspended() {
		t.Fatal("not suspended after a day")
	}
	kept, err := f.folder.load()
	if err != nil || !slices.Contains(kept.Groups[g.name].Suspended, processLaunch) {
		t.Fatalf("not recorded: %v, %v", kept.Groups[g.name].Suspended, err)
	}
}

func TestQuantile(t *testing.T) {
	empty := make([]uint64, len(driver.LatencyBounds)+1)
	if !math.IsNaN(quantile(empty, .99)) {
		t.Error("no requests have a latency")
	}
	one := make([]uint64, len(driver.LatencyBounds)+1)
	one[0], one[5] = 99, 1 // one in a hundred took up to 16 ms
	if got := quantile(one, .5); got <= 0 || got > driver.LatencyBounds[0] {
		t.Errorf("median %v", got)
	}
	if got := quantile(one, .995); got <= driver.LatencyBounds[4] || got > driver.LatencyBounds[5] {
		t.Errorf("the slowest %v", got)
	}
	one[len(one)-1] = 1000
	if got, last := quantile(one, .99), driver.LatencyBounds[len(driver.LatencyBounds)-1]; got != last {
		t.Errorf("beyond the last bound: %v, want %v", got, last)
	}
}

func TestBackoff(t *testing.T) {
	var b backoff
	now := epoch
	var waits []time.Duration
	for range 9 {
		b.bump(now, now)
		b.bump(now.Add(-time.Second), now.Add(time.Millisecond)) // launched in the same round
		waits = append(waits, b.until.Sub(now))
		now = b.until
	}
	if waits[0] != firstBackoff || waits[1] != 2*firstBackoff || waits[8] != maxBackoff {
		t.Errorf("waits %v", waits)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{"512MiB": 512 << 20, "2GiB": 2 << 30, "1 KiB": 1024, "1.5G": 15e8, "100": 100, "64KB": 64000, "8Mi": 8 << 20,
		"": 0, "x": 0, "-1": 0, "0": 0, "5i": 0, "9999999TiB": 0} {
		got, err := parseSize(text)
		if (err == nil) != (want > 0) || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
}

func FuzzParseSize(f *testing.F) {
	for _, text := range []string{"512MiB", "1.5 G", "0", "9e9", "1TiB"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := parseSize(text); (err == nil) != (n > 0) || n > 1<<60 {
			t.Fatalf("%q is %d, %v", text, n, err)
		}
	})
}

func TestCheckSteps(t *testing.T) {
	step := func(low, high *float64) pipeline.Step { return pipeline.Step{Lower: low, Upper: high, Change: 1} }
	for name, c := range map[string]struct {
		steps []pipeline.Step
		ok    bool
	}{
		"none":                   {nil, false},
		"one":                    {[]pipeline.Step{step(bound(0), nil)}, true},
		"gap at the threshold":   {[]pipeline.Step{step(nil, bound(-10)), step(bound(10), nil)}, true},
		"in any order":           {[]pipeline.Step{step(bound(10), nil), step(bound(0), bound(10))}, true},
		"gap above":              {[]pipeline.Step{step(bound(0), bound(10)), step(bound(20), nil)}, false},
		"overlap":                {[]pipeline.Step{step(bound(0), bound(10)), step(bound(5), nil)}, false},
		"empty":                  {[]pipeline.Step{step(bound(5), bound(5))}, false},
		"gap below":              {[]pipeline.Step{step(bound(-30), bound(-20)), step(bound(-10), bound(0))}, false},
		"two without lower ends": {[]pipeline.Step{step(nil, bound(0)), step(nil, bound(5))}, false},
	} {
		if err := checkSteps(c.steps); (err == nil) != c.ok {
			t.Errorf("%s: %v, want ok %v", name, err, c.ok)
		}
	}
}

func TestResolve(t *testing.T) {
	f, _, _, b := idleFleet(t, driver.ServerGroupSpec{})
	for n, cluster := range []string{"shop-prod", "shop-test"} {
		r := record{Spec: driver.ServerGroupSpec{Cluster: cluster}, Order: uint64(10 + n)}
		f.doc.Groups[cluster+"-v000"] = r
		f.groups[cluster+"-v000"] = f.newGroup(cluster+"-v000", r, nil)
	}
	for name, want := range map[string]string{"app": "app", "shop": "shop-prod", "shop-test": "shop-test", "none": ""} {
		if got := f.Resolve(name); got != want {
			t.Errorf("%s resolves to %q, want %q", name, got, want)
		}
	}
	f.push("app")
	if c := b.clusters["app"]; len(c.Groups) != 1 || c.Groups[0].Name != "app-v000" {
		t.Errorf("the balancer knows %+v", c)
	}
}

// The balancer applies the newest version's traffic settings to the cluster.
func TestTheBalancerLearnsOfTraffic(t *testing.T) {
	f, _, _, b := idleFleet(t, driver.ServerGroupSpec{})
	f.push("app")
	if c := b.clusters["app"]; c.MaxInFlight != 0 || c.ResponseTimeout != 0 || c.HedgingDelay != 0 {
		t.Errorf("without a word: %+v", c)
	}
	traffic := &pipeline.Traffic{MaxInFlight: 8, ResponseTimeout: pipeline.Duration(time.Minute), HedgingDelay: pipeline.Duration(time.Second)}
	r := record{Spec: driver.ServerGroupSpec{Cluster: "app", Traffic: traffic}, Order: 1}
	f.doc.Groups["app-v001"] = r
	f.groups["app-v001"] = f.newGroup("app-v001", r, nil)
	f.push("app")
	if c := b.clusters["app"]; c.MaxInFlight != 8 || c.ResponseTimeout != time.Minute || c.HedgingDelay != time.Second {
		t.Errorf("the balancer knows %+v", c)
	}
}
