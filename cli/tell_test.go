package cli

import (
	"slices"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/pipeline"
)

// The demo tells of instances that are missing and back again, and of regions
// that are unreachable; a new version that is still growing is no trouble.
func TestFleetChanges(t *testing.T) {
	t.Parallel()
	group := func(name string, serving int) cloud.ServerGroup {
		g := cloud.ServerGroup{Name: name, Region: "eu", Weight: 100, Capacity: pipeline.Capacity{Desired: 2}}
		for range serving {
			g.Instances = append(g.Instances, cloud.Instance{Lifecycle: cloud.InService, Healthy: true})
		}
		return g
	}
	cluster := func(groups ...cloud.ServerGroup) control.Cluster {
		return control.Cluster{Name: "shop", Groups: groups}
	}
	killed := group("v2", 2)
	killed.LastFailure = &cloud.InstanceFailure{Code: "EXITED", Cause: "signal: killed", At: time.Unix(1, 0)}
	unreachable := cluster()
	unreachable.Unreachable = map[string]string{"us": "no answer"}
	f := newFleetWatch()
	for i, step := range []struct {
		now  control.Cluster
		want []string
	}{
		{cluster(group("v1", 1)), nil}, // it grows
		{cluster(group("v1", 2)), nil},
		{cluster(group("v1", 1)), []string{"v1 in eu: 1 of 2 instances serve"}},
		{cluster(group("v1", 1)), nil}, // said once
		{cluster(group("v1", 2)), []string{"v1 in eu: 2 of 2 instances serve again"}},
		{cluster(group("v1", 2), group("v2", 0)), nil},
		{cluster(group("v2", 2)), nil},                                                                    // v1 is gone, on purpose
		{cluster(killed), []string{"v2 in eu: an instance failed, EXITED: signal: killed; 2 of 2 serve"}}, // replaced between two looks
		{cluster(killed), nil},
		{unreachable, []string{"shop in us: the region is unreachable; the edge serves from the others"}},
		{cluster(killed), []string{"shop in us: the region answers again"}},
	} {
		if got := f.changes([]control.Cluster{step.now}); !slices.Equal(got, step.want) {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
	}
}
