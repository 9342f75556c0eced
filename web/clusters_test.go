package web

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/pipeline"
)

// a cluster in the middle of a canary: one region is unreachable, an instance is ill.
func canaryCluster() control.Cluster {
	group := func(region string, seq int, version string, weight float64, n int) cloud.ServerGroup {
		g := cloud.ServerGroup{Name: fmt.Sprintf("shop-v%03d", seq), Region: region, Weight: weight, Capacity: pipeline.Capacity{Min: 1, Desired: n, Max: 9}, Spec: cloud.ServerGroupSpec{Cluster: "shop", Version: version}}
		for i := range n {
			g.Instances = append(g.Instances, cloud.Instance{ID: fmt.Sprintf("i-%s-%d-%d", region, seq, i), Zone: region + "a", Lifecycle: cloud.InService, Healthy: true})
		}
		return g
	}
	ill := group("a", 1, "new", 20, 2)
	ill.Instances[1].Healthy = false
	ill.Instances[1].Failure = &cloud.InstanceFailure{Code: "UNHEALTHY", Cause: "3 checks in a row failed", Probe: "GET /healthz: 503"}
	return control.Cluster{Name: "shop", Account: "local", Groups: []cloud.ServerGroup{group("a", 0, "old", 80, 4), ill, group("b", 0, "old", 100, 1)}, Unreachable: map[string]string{"c": "no answer"}}
}

// The grid keeps a column for a region that cannot be asked, and the strip says
// what needs attention.
func TestClustersShowWhatNeedsAttention(t *testing.T) {
	v := clustersView{}
	v.add(canaryCluster())
	c := v.Clusters[0]
	if len(c.Regions) != 3 || c.Regions[2].Name != "c" || c.Regions[2].Unreachable == "" || !c.Versions[0].Cells[2].Unreachable {
		t.Errorf("regions %+v", c.Regions)
	}
	if c.Serving != 6 || c.Wanted != 7 || c.Versions[0].Version != "new" || c.Versions[0].Cells[0].Share != 20 || c.Versions[0].Cells[1].Group != nil {
		t.Errorf("grid %+v", c)
	}
	if len(v.Troubles) != 2 || v.Troubles[0].What != "unreachable" || v.Troubles[1].Instance != "i-a-1-1" || v.Troubles[1].Probe != "GET /healthz: 503" {
		t.Errorf("troubles %+v", v.Troubles)
	}
	var b bytes.Buffer
	if err := newPages().templates.ExecuteTemplate(&b, "clusters", view{Data: v}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"6 of 7 instances serve", "2 need attention", "▲ not known", "do=terminate&amp;instance=i-a-1-1&amp;region=a&amp;group=shop-v001"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

// What is about to be done is said with its numbers before it is done, and what
// the traffic guard would refuse cannot be asked for.
func TestChangesArePreviewed(t *testing.T) {
	for _, c := range []struct {
		ch      change
		says    string
		refused bool
	}{
		{change{Do: "disable", Region: "a", Group: "shop-v001"}, "instances in traffic in a: 5 now, 4 afterwards", false},
		{change{Do: "disable", Region: "b", Group: "shop-v000"}, "instances in traffic in b: 1 now, 0 afterwards", true},
		{change{Do: "destroy", Region: "a", Group: "shop-v000"}, "its 4 instances drain and end", false},
		{change{Do: "destroy", Region: "b", Group: "shop-v000"}, "", true},
		{change{Do: "resize", Region: "a", Group: "shop-v000", Desired: 2}, "instances in traffic in a: 5 now, 3 afterwards", false},
		{change{Do: "resize", Region: "b", Group: "shop-v000", Desired: 0}, "instances in traffic in b: 1 now, 0 afterwards", true},
		{change{Do: "resize", Region: "b", Group: "shop-v000", Desired: 10}, "then 10", true},
		{change{Do: "resize", Region: "b", Group: "shop-v000", Desired: 3}, "then 3", false},
		{change{Do: "enable", Region: "a", Group: "shop-v000"}, "equal share", false},
		{change{Do: "terminate", Region: "a", Group: "shop-v001", Instance: "i-a-1-1"}, "another takes its place", false},
	} {
		if err := c.ch.preview(canaryCluster()); err != nil {
			t.Errorf("%+v: %v", c.ch, err)
			continue
		}
		if lines := strings.Join(c.ch.Lines, "\n"); !strings.Contains(lines, c.says) || (c.ch.Refused != "") != c.refused || c.ch.Verb == "" || c.ch.Same == "" {
			t.Errorf("%s of %s in %s: refused %q:\n%s", c.ch.Do, c.ch.Group, c.ch.Region, c.ch.Refused, lines)
		}
	}
	for _, ch := range []change{{Do: "disable", Region: "a", Group: "gone"}, {Do: "nonsense", Region: "a", Group: "shop-v000"}} {
		if ch.preview(canaryCluster()) == nil {
			t.Errorf("%+v is no error", ch)
		}
	}
}

func TestInstancesSayWhatTheyWaitIn(t *testing.T) {
	g := cloud.ServerGroup{Instances: []cloud.Instance{
		{ID: "i-1", Zone: "a", Lifecycle: cloud.PendingWait, Hook: &cloud.HookState{Name: "launch", Wait: true}},
		{ID: "i-2", Zone: "b", Lifecycle: cloud.TerminatingWait, Hook: &cloud.HookState{Name: "terminate"}},
	}}
	var labels []string
	for _, s := range squares(&g) {
		labels = append(labels, s.Shape+" "+s.Label)
	}
	if got, want := strings.Join(labels, "; "), "◐ i-1 waits in its launch hook in a; ○ i-2 waits in its terminate hook in b"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
