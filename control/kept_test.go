package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/problem"
)

// What can be returned to is what a rollback would take: not what is being destroyed,
// each group once, with the regions that keep it, where it has traffic, and whether a
// rollback without a target takes it.
func TestWhatIsKeptIsWhatARollbackTakes(t *testing.T) {
	at := func(n int) time.Time { return time.Date(2026, 11, 30, 12, n, 0, 0, time.UTC) }
	group := func(n int, region string, weight float64) cloud.ServerGroup {
		return cloud.ServerGroup{Name: fmt.Sprintf("shop-v%03d", n), Region: region, Weight: weight, Created: at(n),
			Spec: cloud.ServerGroupSpec{Cluster: "shop", Version: fmt.Sprint("c", n), Execution: fmt.Sprint("e", n)}}
	}
	gone := group(0, "a", 0)
	gone.Destroying = true
	k := keptOfCluster(Cluster{Name: "shop", Groups: []cloud.ServerGroup{gone, group(1, "a", 0), group(2, "a", 100), group(1, "b", 100), group(2, "b", 0)}})
	var got []string
	for _, v := range k.Versions {
		got = append(got, fmt.Sprint(v.Name, v.Version, v.Execution, v.Regions, v.Live, v.Before))
	}
	want := "[shop-v002c2e2[a b] [a] [] shop-v001c1e1[a b] [b] [a]]"
	if fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}

	h := newHistory()
	h.start("e2", "deploy")
	h.executions["e2"].Number, h.executions["e2"].Revision = 2, &execution.Revision{Author: "Ada"}
	New(Deps{Engine: h, Now: time.Now}).describeKept(t.Context(), k.Versions)
	if v := k.Versions[0]; v.Number != 2 || v.Revision == nil || v.Revision.Author != "Ada" {
		t.Errorf("%+v", v)
	}
	if v := k.Versions[1]; v.Number != 0 || v.Revision != nil {
		t.Errorf("its execution is no longer kept: %+v", v)
	}
}

// The regions of a website answer in any order; the list has one.
func TestWhatIsKeptOfASite(t *testing.T) {
	in := func(region, id, previous string, current bool, at string) cloud.SiteDeployment {
		return cloud.SiteDeployment{ID: id, Region: region, Version: "c" + id, Execution: "e" + id, Current: current, Previous: previous, At: at}
	}
	deployments := []cloud.SiteDeployment{in("b", "d1", "d0", true, "2026-11-30T12:01:00Z"), in("a", "d1", "d0", true, "2026-11-30T12:01:01Z"),
		in("b", "d0", "", false, "2026-11-30T12:00:00Z"), in("a", "d0", "", false, "2026-11-30T12:00:01Z")}
	const want = "[d1 cd1 ed1 [a b] [a b] [] d0 cd0 ed0 [a b] [] [a b]]"
	for range 2 {
		var got []any
		for _, v := range keptOfSite(SiteStatus{Name: "shop"}, deployments).Versions {
			got = append(got, v.Name, v.Version, v.Execution, v.Regions, v.Live, v.Before)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%v, want %s", got, want)
		}
		slices.Reverse(deployments)
	}
}

// An error names the newest versions that can be returned to, and how many more there are.
func TestWhatCanBeReturnedToIsNamed(t *testing.T) {
	k := Kept{Kind: KindSite, Name: "shop"}
	for n := range 20 {
		k.Versions = append(k.Versions, KeptVersion{Name: fmt.Sprint("d", n), Version: fmt.Sprint("c", n), Regions: []string{"a"}})
	}
	k.Versions[0].Live = []string{"a"}
	err := refuseTarget(k, "unknown", nil, []string{"a"})
	if help := problem.HelpOf(err); problem.CodeOf(err) != problem.NotFound || !strings.HasPrefix(help, "it can be returned to: d1 (c1) in a; ") || strings.Contains(help, "d9 ") || !strings.Contains(help, "and 11 more (showrunner rollback shop --list)") {
		t.Errorf("%v: %s", err, help)
	}
	if err := refuseTarget(k, "", []string{"a"}, nil); err != nil {
		t.Error(err)
	}
}
