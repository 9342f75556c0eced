package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store"
)

// WaitChanges fails while the region is unreachable.
func (c *fleetCloud) WaitChanges(ctx context.Context, region string, revision uint64) (cloud.Changes, error) {
	if err := c.gone(region); err != nil {
		return cloud.Changes{}, err
	}
	return c.Cloud.WaitChanges(ctx, region, revision)
}

// A caller that waits for a cluster is woken when that cluster changes, and not
// when other clusters change. All callers are woken when a region goes away or
// comes back.
func TestWatchersWakeThoseConcerned(t *testing.T) {
	c := newFleetCloud(t)
	account, _ := c.Account("")
	woken := make(chan string, 100)
	watch := func(cluster string) {
		c.kinds.Watchers.Watch(account, threeRegions[:1], cluster, "by "+cluster, func() { woken <- cluster })
	}
	change := func(cluster string) {
		t.Helper()
		spec := cloud.ServerGroupSpec{Cluster: cluster, Version: "1", Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:1", Command: []string{"./x"}}}, Health: pipeline.Health{TCP: true}}
		if _, err := c.Cloud.CreateServerGroup(t.Context(), threeRegions[0], spec, fmt.Sprint(cluster, time.Now().UnixNano())); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(when string, want ...string) {
		t.Helper()
		got := map[string]bool{}
		for range want {
			select {
			case cluster := <-woken:
				got[cluster] = true
			case <-t.Context().Done():
				t.Fatal("no caller was woken", when)
			}
		}
		for _, cluster := range want {
			if !got[cluster] {
				t.Errorf("%s: %v were woken, want %v", when, got, want)
			}
		}
	}
	watch("api")
	watch("web")
	expect("when watching begins", "api", "web")
	watch("api")
	watch("web")
	change("api")
	expect("when api changes", "api")
	change("web")
	expect("when web changes", "web")
	watch("api")
	c.unreachable.Store(threeRegions[0])
	change("other") // the running wait returns, and the next one fails
	expect("when the region goes", "api")
	watch("api")
	watch("web")
	c.unreachable.Store("")
	expect("when it is back", "api", "web")
}

// resolved is a Resolver for deploy stages that returns their configuration
// unchanged.
type resolved struct{ executiontest.Plain }

func (resolved) Config(s *pipeline.Stage, _ execution.Scope) (pipeline.Config, error) {
	var d pipeline.Deploy
	err := json.Unmarshal(s.With, &d)
	return d, err
}

// Two hundred rollouts that bake hold no goroutine each: one goroutine per region
// watches for all of them. The engine's calls all return, so other stages begin
// at once, and a version that fails while it bakes is undone at once.
func TestTwoHundredRolloutsBakeWithoutAGoroutine(t *testing.T) {
	const many = 200
	c := newFleetCloud(t)
	st, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "db"), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	source := executiontest.Kind{KindName: "source", List: []stage.Task{{Name: "t", Resume: stage.Repeat, Run: func(context.Context, *stage.Input) (stage.Result, error) {
		return stage.Result{Outcome: stage.Done, Artifacts: map[string]artifact.Ref{"": "sha256:0"}}, nil
	}}}}
	late := &lateWaker{}
	c.kinds.Waker, c.claims.Records = late, st
	c.kinds.CleanUps.Records = st
	c.claims.UnderWay = func(ctx context.Context, k stage.Key) (bool, error) { return true, nil }
	e, stop := executiontest.Start(t, execution.Config{Store: st, Kinds: []stage.Kind{source, NewService(c.kinds)}, Resolver: resolved{}, Log: slog.New(slog.DiscardHandler), Limits: execution.Limits{Tasks: 16}})
	defer stop()
	late.Waker = e
	start := func(n int) string {
		t.Helper()
		config := deployConfig()
		config.Cluster, config.Artifact = fmt.Sprintf("app%d", n), "build"
		config.Capacity = pipeline.Capacity{Min: 1, Desired: 1, Max: 1}
		config.Waves = []pipeline.Wave{{Regions: threeRegions, Bake: pipeline.Duration(time.Hour)}}
		with, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := e.Start(t.Context(), execution.StartRequest{Application: "app", Definition: pipeline.Pipeline{Name: fmt.Sprint("p", n), Concurrency: pipeline.Parallel,
			Stages: []pipeline.Stage{{Name: "build", Kind: "source"}, {Name: "service", Kind: "deploy", Needs: []string{"build"}, With: with}}}})
		if err != nil {
			t.Fatal(err)
		}
		return x.ID
	}
	baking := func(x execution.Execution) bool {
		s, _ := x.Stage("service")
		return s.Phase == execution.PhaseWaiting && strings.Contains(s.Reason, "baking") && s.WaitsUntil != nil
	}
	ids := make([]string, many)
	for n := range ids {
		ids[n] = start(n)
	}
	for _, id := range ids {
		executiontest.Until(t, e, id, baking)
	}
	var dump bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&dump, 2); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, stack := range strings.Split(dump.String(), "\n\n") {
		for what, in := range map[string]string{"watch a region": "(*Watchers).watch(", "carry a rollout": "deploy.job.", "call a task": "(*Engine).invoke("} {
			if strings.Contains(stack, in) {
				count[what]++
			}
		}
	}
	t.Logf("%d rollouts bake: %d goroutines in all, %v", many, strings.Count(dump.String(), "\n\n")+1, count)
	if count["watch a region"] != len(threeRegions) || count["carry a rollout"] > 0 || count["call a task"] > 0 {
		t.Errorf("with %d rollouts that bake, goroutines: %v", many, count)
	}
	// One of the versions fails: this is noticed long before its bake ends.
	account, _ := c.Account("")
	groups, err := account.ServerGroups(t.Context(), threeRegions[1], "app7")
	if err != nil || len(groups) != 1 {
		t.Fatal(groups, err)
	}
	if err := c.Cloud.Destroy(t.Context(), threeRegions[1], groups[0].Name, cloud.Guard{}, "by hand"); err != nil {
		t.Fatal(err)
	}
	x := executiontest.End(t, e, ids[7])
	if s, _ := x.Stage("service"); s.Failure == nil || s.Failure.Code != "SERVER_GROUP_GONE" {
		t.Errorf("%+v", s)
	}
	for _, id := range ids {
		if err := e.Cancel(t.Context(), id, "a person", "enough"); err != nil && problem.CodeOf(err) != problem.Precondition {
			t.Fatal(err)
		}
	}
	for _, id := range ids {
		executiontest.End(t, e, id)
	}
	for _, region := range threeRegions {
		if groups, err := c.Cloud.ServerGroups(t.Context(), region, ""); err != nil || len(groups) > 0 {
			t.Errorf("canceled, %d groups are left in %s, %v", len(groups), region, err)
		}
	}
}

// lateWaker gets the engine once it is made.
type lateWaker struct{ stage.Waker }
