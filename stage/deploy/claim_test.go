package deploy

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

// run is a stage that a test advances call by call.
type run struct {
	kind stage.Kind
	in   *stage.Input
	log  bytes.Buffer
	last stage.Result
	// canceled makes later steps call Cancel.
	canceled bool
}

func (r *run) step(t *testing.T) stage.Result {
	t.Helper()
	var err error
	if r.last, err = r.kind.Tasks()[0].Run(t.Context(), r.in); err != nil {
		t.Fatal(err)
	}
	r.in.State = r.last.State
	return r.last
}

// until advances a stage while what holds does not.
func (r *run) until(t *testing.T, what func() bool) {
	t.Helper()
	for range 500 {
		if what() {
			return
		}
		if r.step(t).Outcome != stage.Again {
			t.Fatalf("it ended: %+v\n%s", r.last, r.log.String())
		}
	}
	t.Fatalf("it never came to that:\n%s", r.log.String())
}

func (r *run) end(t *testing.T, c *fleetCloud) stage.Result {
	t.Helper()
	for range 500 {
		if r.step(t).Outcome != stage.Again {
			c.ended[r.in.Key.Execution] = true
			return r.last
		}
	}
	t.Fatalf("it never ended:\n%s", r.log.String())
	return r.last
}

func (c *fleetCloud) deployment(version string, change func(*pipeline.Deploy)) *run {
	config := deployConfig()
	if change != nil {
		change(&config)
	}
	r := &run{kind: NewService(c.kinds)}
	r.in = fleetInput("deploy-"+version, version, config, &r.log)
	return r
}

func (c *fleetCloud) back(execution string) *run {
	r := &run{kind: NewRollback(c.kinds)}
	r.in = fleetInput(execution, "", pipeline.Rollback{Cluster: "api"}, &r.log)
	return r
}

// Two deployments from different pipelines change one cluster. The second waits
// until the first has ended, names the first while it waits, and then replaces
// the version of the first.
func TestASecondDeploymentOfAClusterWaits(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	first, second := c.deployment("v2", nil), c.deployment("v3", nil)
	first.step(t)
	for range 3 { // between the first's calls, at every stage of its progress
		first.step(t)
		if r := second.step(t); r.Outcome != stage.Again || r.After == 0 || strings.Count(second.log.String(), "waits for execution deploy-v2, whose stage service") != 1 {
			t.Fatalf("%+v\n%s", r, second.log.String())
		}
	}
	if r := first.end(t, c); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	if r := second.end(t, c); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	for _, region := range threeRegions {
		if got := c.weights(t, region); got != "v1=0 v2=0 v3=100" {
			t.Errorf("%s: %s", region, got)
		}
	}
}

// Deployments of a cluster in different regions do not wait for each other.
func TestDeploymentsInDifferentRegionsGoOn(t *testing.T) {
	c := newFleetCloud(t)
	first := c.deployment("v1", func(d *pipeline.Deploy) { d.Waves = []pipeline.Wave{{Regions: threeRegions[:1]}} })
	first.step(t)
	if r := c.deliver(t, "v2", threeRegions[1:]...); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
}

// A waiting rollout is canceled without any query or change.
func TestAWaitingRolloutIsCanceled(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v0")
	c.deliver(t, "v1")
	first, second := c.deployment("v2", nil), c.back("back")
	first.step(t)
	first.step(t)
	if r := second.step(t); r.Outcome != stage.Again {
		t.Fatalf("it does not wait: %+v", r)
	}
	c.unreachable.Store("every one")
	if err := second.kind.Tasks()[0].Cancel(t.Context(), second.in); err != nil {
		t.Fatal(err)
	}
}

// A rollback that has waited reads the cluster again: it changes only regions
// that now serve the newest version.
func TestARollbackThatHasWaitedLooksAnew(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.deliver(t, "v2")
	first, second := c.deployment("v3", func(d *pipeline.Deploy) { d.Waves = []pipeline.Wave{{Regions: threeRegions[:1]}} }), c.back("back")
	first.step(t)
	first.step(t)
	second.step(t)
	first.end(t, c)
	if r := second.end(t, c); r.Outcome != stage.Done || r.Outputs["version"] != "v2" {
		t.Fatalf("%+v", r)
	}
	for n, want := range []string{"v1=0 v2=100 v3=0", "v1=0 v2=100", "v1=0 v2=100"} {
		if got := c.weights(t, threeRegions[n]); got != want {
			t.Errorf("%s: %s, want %s", threeRegions[n], got, want)
		}
	}
}

// between calls a function after a claim was read and before it is written.
type between struct {
	*recordtest.Records
	happens func()
}

func (b *between) PutRecord(ctx context.Context, r record.Record, events ...record.Event) (record.Record, error) {
	if what := b.happens; what != nil {
		b.happens = nil
		what()
	}
	return b.Records.PutRecord(ctx, r, events...)
}

// Two attempts find a claim free at the same time: only one gets it. An attempt
// that yields twice does not yield the claim of the next attempt.
func TestAClaimThatIsTakenMeanwhile(t *testing.T) {
	records := &between{Records: &recordtest.Records{}}
	c := &Claims{Records: records, UnderWay: func(context.Context, stage.Key) (bool, error) { return true, nil }}
	a, b := stage.Key{Execution: "a"}, stage.Key{Execution: "b"}
	take := func(k stage.Key) {
		if _, other, err := c.Take(t.Context(), "local", "api", threeRegions[:1], k); other != nil || err != nil {
			t.Fatal(other, err)
		}
	}
	records.happens = func() { take(b) }
	if _, other, err := c.Take(t.Context(), "local", "api", threeRegions[:1], a); err != nil || other == nil || *other != b {
		t.Fatalf("b was faster, but the claim of a returned %v, %v", other, err)
	}
	if err := c.Yield(t.Context(), "local", "api", threeRegions[:1], b); err != nil {
		t.Fatal(err)
	}
	take(a)
	if err := c.Yield(t.Context(), "local", "api", threeRegions[:1], b); err != nil {
		t.Fatal(err)
	}
	if holder, _, err := c.Holder(t.Context(), "local", "api", threeRegions[:1]); err != nil || holder != "a" {
		t.Fatalf("b yielded the claim that a has taken: the holder is %q, %v", holder, err)
	}
}

// However attempts interleave, and whichever of their calls is lost, one attempt
// at a time has a region, and the last one gets it.
func TestOneAtATimeHasARegion(t *testing.T) {
	var mu sync.Mutex
	ended := map[string]bool{}
	c := &Claims{Records: &recordtest.Records{}, UnderWay: func(_ context.Context, k stage.Key) (bool, error) {
		mu.Lock()
		defer mu.Unlock()
		return !ended[k.Execution], nil
	}}
	inside := map[string]string{}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(n), 1))
			regions := threeRegions[rng.IntN(2) : 2+rng.IntN(2)]
			k := stage.Key{Execution: fmt.Sprint(n), Stage: "service", Attempt: 1, Task: "rollout"}
			for {
				_, other, err := c.Take(t.Context(), "local", "api", regions, k)
				if err != nil {
					t.Error(err)
					return
				}
				if other == nil {
					break
				}
			}
			mu.Lock()
			for _, r := range regions {
				if inside[r] != "" {
					t.Errorf("%s and %s have %s", inside[r], k.Execution, r)
				}
				inside[r] = k.Execution
			}
			mu.Unlock()
			if holder, _, err := c.Holder(t.Context(), "local", "api", regions); err != nil || holder != k.Execution {
				t.Errorf("%s has the claim, but the holder is %q, %v", k.Execution, holder, err)
			}
			mu.Lock()
			for _, r := range regions {
				inside[r] = ""
			}
			ended[k.Execution] = true
			mu.Unlock()
		})
	}
	wg.Wait()
}

// A claim counts when it is unknown whether its attempt is under way.
func TestAClaimThatCannotBeJudgedCounts(t *testing.T) {
	c := newFleetCloud(t)
	first, second := c.deployment("v1", nil), c.deployment("v2", nil)
	first.step(t)
	first.step(t)
	c.claims.UnderWay = func(context.Context, stage.Key) (bool, error) {
		return false, problem.New(problem.Unavailable, "test", "the database is unreachable")
	}
	if _, err := second.kind.Tasks()[0].Run(t.Context(), second.in); problem.CodeOf(err) != problem.Unavailable {
		t.Fatalf("it went on: %v", err)
	}
}
