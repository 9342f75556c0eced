package deploy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// gone returns an error for a region that is unreachable.
func (c *fleetCloud) gone(region string) error {
	if unreachable := c.unreachable.Load(); unreachable == region || unreachable == "every one" {
		return problem.New(problem.Unavailable, "test", "connection refused")
	}
	return nil
}

func (c *fleetCloud) CreateServerGroup(ctx context.Context, region string, spec cloud.ServerGroupSpec, key string) (cloud.ServerGroup, error) {
	if err := c.gone(region); err != nil {
		return cloud.ServerGroup{}, err
	}
	return c.Cloud.CreateServerGroup(ctx, region, spec, key)
}

func (c *fleetCloud) Resize(ctx context.Context, region, group string, to pipeline.Capacity, guard cloud.Guard, key string) error {
	if err := c.gone(region); err != nil {
		return err
	}
	return c.Cloud.Resize(ctx, region, group, to, guard, key)
}

func (c *fleetCloud) SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard cloud.Guard, key string) error {
	if err := c.gone(region); err != nil {
		return err
	}
	return c.Cloud.SetWeights(ctx, region, cluster, weights, guard, key)
}

func (c *fleetCloud) Destroy(ctx context.Context, region, group string, guard cloud.Guard, key string) error {
	if err := c.gone(region); err != nil {
		return err
	}
	return c.Cloud.Destroy(ctx, region, group, guard, key)
}

// ordersFixture is a cluster that several rollouts want to change, in any order.
type ordersFixture struct {
	*fleetCloud
	t    *rapid.T
	runs []*run // underWay way
	made int
	ends []string
}

// mixed are strategies that may follow each other in any order, whatever they
// keep.
var mixed = map[string]pipeline.Strategy{
	"none":       {None: &struct{}{}},
	"highlander": {Highlander: &struct{}{}},
	"keep 0":     {RedBlack: &pipeline.RedBlack{ScaleDownDelay: pipeline.Duration(time.Minute)}},
	"keep 1":     {RedBlack: &pipeline.RedBlack{Keep: 1, ScaleDownDelay: pipeline.Duration(5 * time.Minute)}},
	"keep 2":     {RedBlack: &pipeline.RedBlack{Keep: 2, ScaleDown: true}},
	"canary":     {Canary: &pipeline.Canary{Keep: 1, Steps: []float64{10, 50}, Pause: pipeline.Duration(5 * time.Second), ScaleDownDelay: pipeline.Duration(time.Minute)}},
}

func (w *ordersFixture) begin() {
	w.made++
	if w.made > 1 && rapid.IntRange(0, 2).Draw(w.t, "what") == 0 {
		w.runs = append(w.runs, w.back(fmt.Sprint("back-", w.made)))
		return
	}
	version := fmt.Sprint(rapid.SampledFrom([]string{"v", "v", "v", "bad"}).Draw(w.t, "version"), w.made)
	strategy := rapid.SampledFrom(slices.Sorted(maps.Keys(mixed))).Draw(w.t, "strategy")
	w.runs = append(w.runs, w.deployment(version, func(d *pipeline.Deploy) {
		d.Strategy = mixed[strategy]
		d.Scaling = []pipeline.ScalingPolicy{{Name: "cpu", Target: &pipeline.TargetTracking{Metric: "cpu", Value: .5}}}
	}))
}

// carry calls a run once. With kill its result is lost: the next call starts from
// the state saved before.
func (w *ordersFixture) carry(r *run, kill bool) {
	var err error
	var still *stage.Stopping
	if r.canceled {
		err = r.kind.Tasks()[0].Cancel(context.Background(), r.in)
		if s, ok := err.(*stage.Stopping); ok {
			still, err = s, nil
		}
	} else {
		r.last, err = r.kind.Tasks()[0].Run(context.Background(), r.in)
	}
	switch {
	case kill:
	case problem.CodeOf(err) == problem.Unavailable:
	case err != nil:
		w.t.Fatalf("%s: %v\n%s", r.in.Key.Execution, err, r.log.String())
	case still != nil:
		r.in.State = still.State
	case r.canceled:
		w.end(r, "canceled")
	case r.last.Outcome == stage.Again:
		r.in.State = r.last.State
	default:
		what := string(r.last.Outcome)
		if f := r.last.Failure; f != nil {
			what = f.Code
			if f.Code == "SERVER_GROUP_GONE" || f.Code == "CLOUD_REFUSED" {
				w.t.Fatalf("%s: the group that it should put into traffic was removed: %+v\n%s", r.in.Key.Execution, f, r.log.String())
			}
		}
		w.end(r, what)
	}
}

// carryOn calls a run several times.
func (w *ordersFixture) carryOn(r *run) {
	for range rapid.IntRange(1, 12).Draw(w.t, "calls") {
		if w.ended[r.in.Key.Execution] {
			return
		}
		w.carry(r, rapid.IntRange(0, 9).Draw(w.t, "killed") == 0)
	}
}

func (w *ordersFixture) end(r *run, how string) {
	w.ended[r.in.Key.Execution] = true
	w.runs = slices.DeleteFunc(w.runs, func(x *run) bool { return x == r })
	w.ends = append(w.ends, r.in.Key.Execution+" "+how)
}

// serving counts the instances that serve in each region.
func (w *ordersFixture) serving() map[string]int {
	n := map[string]int{}
	for _, region := range threeRegions {
		groups, _ := w.Cloud.ServerGroups(context.Background(), region, "api")
		for _, g := range groups {
			if g.Enabled() {
				n[region] += g.Serving()
			}
		}
	}
	return n
}

// clean has the cleaner look at every region once; it must not remove a group
// that serves.
func (w *ordersFixture) clean() {
	before := w.serving()
	for _, region := range threeRegions {
		if _, err := w.fleetCloud.clean.step(context.Background(), claimKey("local", "api", region)); err != nil && problem.CodeOf(err) != problem.Unavailable {
			w.t.Fatal(err)
		}
	}
	if after := w.serving(); !maps.Equal(before, after) {
		w.t.Fatalf("cleaning up removed serving instances: %v, then %v", before, after)
	}
}

// Rollouts come in any order, with different strategies, rollbacks, cancels,
// killed control planes and cleaners, and an unreachable region. No serving group
// is cleaned up, no rollout loses the group it returns to, every rollout ends,
// and in the end no clean-up is left.
func TestRolloutsAndCleanUpsInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &ordersFixture{fleetCloud: newFleetCloud(t), t: t}
		served := false
		for range rapid.IntRange(10, 120).Draw(t, "moves") {
			switch rapid.IntRange(0, 9).Draw(t, "move") {
			case 0:
				if len(w.runs) < 3 {
					w.begin()
				}
			case 1:
				w.unreachable.Store(rapid.SampledFrom([]string{"", "", threeRegions[0], threeRegions[1]}).Draw(t, "unreachable"))
			case 2:
				w.skip(rapid.SampledFrom([]time.Duration{time.Second, 10 * time.Second, 2 * time.Minute}).Draw(t, "time"))
			case 3:
				if len(w.runs) > 0 && rapid.IntRange(0, 3).Draw(t, "canceled") == 0 {
					w.runs[rapid.IntRange(0, len(w.runs)-1).Draw(t, "run")].canceled = true
				}
			case 4: // a cleaner dies with its lease
				key := claimKey("local", "api", rapid.SampledFrom(threeRegions).Draw(t, "region"))
				if err := w.kinds.CleanUps.update(context.Background(), key, func(u *CleanUp) bool { u.Acting = w.now().Add(actingLease); return true }); err != nil {
					t.Fatal(err)
				}
			case 5, 6:
				w.clean()
			default:
				if len(w.runs) > 0 {
					w.carryOn(w.runs[rapid.IntRange(0, len(w.runs)-1).Draw(t, "run")])
				}
			}
			for region, n := range w.serving() {
				if served = served || n > 0; n == 0 && served && region != "" {
					t.Fatalf("nothing serves in %s", region)
				}
			}
		}
		w.settle()
	})
}

// settle runs everything to its end.
func (w *ordersFixture) settle() {
	w.unreachable.Store("")
	for range 2000 {
		if len(w.runs) == 0 {
			break
		}
		for _, r := range slices.Clone(w.runs) {
			w.carry(r, false)
		}
		w.clean()
		w.skip(time.Second)
	}
	for _, r := range w.runs {
		w.t.Errorf("%s never ends: canceled %v, %s\n%s\n%s", r.in.Key.Execution, r.canceled, r.last.Waits, r.in.State, r.log.String())
	}
	w.skip(time.Hour)
	for range 20 {
		w.clean()
		w.skip(time.Minute)
	}
	list, err := w.kinds.CleanUps.List(context.Background(), "", "")
	if err != nil || len(list) > 0 {
		w.t.Fatalf("still to be cleaned up: %+v, %v", list, err)
	}
	for _, region := range threeRegions {
		groups, _ := w.Cloud.ServerGroups(context.Background(), region, "api")
		for _, g := range groups {
			if g.Destroying || g.Capacity.Min > 1 || strings.HasPrefix(g.Spec.Version, "bad") {
				w.t.Fatalf("%s in %s is left with version %s, %+v, destroying %v; %v", g.Name, region, g.Spec.Version, g.Capacity, g.Destroying, w.ends)
			}
		}
	}
}
