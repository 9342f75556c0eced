package control

import (
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/rollout"
	"showrunner/stage"
	"showrunner/stage/deploy"
)

// What becomes of a group is said of each group without traffic, as the clean-up
// itself would decide it now.
func TestGroupCleanUpsOf(t *testing.T) {
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	group := func(name string, weight float64, ended int) cloud.ServerGroup {
		g := cloud.ServerGroup{Name: name, Region: "r", Weight: weight, Capacity: pipeline.Capacity{Min: 1, Desired: 2, Max: 4}}
		if ended > 0 {
			g.TrafficUntil = now.Add(-time.Duration(ended) * time.Minute)
		}
		return g
	}
	oldest, old, current, next := group("v0", 0, 20), group("v1", 0, 5), group("v2", 100, 0), group("v3", 0, 0)
	going := oldest
	going.Destroying = true
	type fates map[string]string
	for name, c := range map[string]struct {
		u      deploy.CleanUp
		groups []cloud.ServerGroup
		want   fates
	}{
		"before it is due": {deploy.CleanUp{Leftovers: rollout.Leftovers{Current: "v2", Keep: 1, Shrink: true, Due: now.Add(time.Minute)}}, []cloud.ServerGroup{oldest, old, current, next},
			fates{"v0": "kept for rollback until 12:01", "v1": "kept for rollback until 12:01"}},
		"due": {deploy.CleanUp{Leftovers: rollout.Leftovers{Current: "v2", Keep: 1, Shrink: true, Due: now}}, []cloud.ServerGroup{oldest, old, current},
			fates{"v0": "being removed", "v1": "being shrunk to no instances"}},
		"kept for good": {deploy.CleanUp{Leftovers: rollout.Leftovers{Current: "v2", Keep: 1, Due: now.Add(time.Minute)}}, []cloud.ServerGroup{old, current},
			fates{"v1": "kept for rollback"}},
		"under way": {deploy.CleanUp{Leftovers: rollout.Leftovers{Current: "v2", Due: now.Add(-time.Minute)}}, []cloud.ServerGroup{going, current},
			fates{"v0": "being removed"}},
		"held": {deploy.CleanUp{Leftovers: rollout.Leftovers{Current: "v2", Due: now}, Held: &stage.Key{Execution: "e9"}}, []cloud.ServerGroup{old, current},
			fates{"v1": "kept while execution e9 changes the cluster"}},
		"failing": {deploy.CleanUp{Leftovers: rollout.Leftovers{Current: "v2", Due: now}, Tries: 7, Problem: "connection refused"}, []cloud.ServerGroup{old, current},
			fates{"v1": "being removed (7 attempts failed: connection refused)"}},
		"it serves again": {deploy.CleanUp{Leftovers: rollout.Leftovers{Current: "v2", Due: now}}, []cloud.ServerGroup{group("v1", 50, 0), group("v2", 50, 0)}, fates{}},
		"nobody knows":    {deploy.CleanUp{Leftovers: rollout.Leftovers{Current: "v9", Due: now}}, []cloud.ServerGroup{old, current}, fates{}},
	} {
		got := fates{}
		for _, f := range groupCleanUpsOf(c.u, c.groups, now) {
			got[f.ServerGroup] = f.Text
			if !f.Until.IsZero() {
				got[f.ServerGroup] += " until " + f.Until.Format("15:04")
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		for group, want := range c.want {
			if got[group] != want {
				t.Errorf("%s: %s is %q, want %q", name, group, got[group], want)
			}
		}
	}
}
