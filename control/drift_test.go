package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
)

// restoredInTest is when the state of TestCompare was restored: before all but one deployment.
var restoredInTest = time.Unix(100, 0)

func TestCompare(t *testing.T) {
	capacity := pipeline.Capacity{Min: 1, Desired: 2, Max: 4}
	group := func(region, name string, weight float64, c pipeline.Capacity) cloud.ServerGroup {
		return cloud.ServerGroup{Name: name, Region: region, Weight: weight, Capacity: c, Spec: cloud.ServerGroupSpec{Cluster: "api", Version: "v" + name[len(name)-1:], Execution: "made-" + name}}
	}
	want := map[string]Deployed{"a": {Region: "a", ServerGroup: "api-v002", Version: "v2", At: time.Unix(1000, 0), Capacity: capacity}, "b": {Region: "b", ServerGroup: "api-v002", Version: "v2", At: time.Unix(1000, 0), Capacity: capacity}}
	good := func() []cloud.ServerGroup {
		return []cloud.ServerGroup{group("a", "api-v001", 0, pipeline.Capacity{Max: 4}), group("a", "api-v002", 100, capacity),
			group("b", "api-v001", 0, pipeline.Capacity{Max: 4}), group("b", "api-v002", 100, capacity)}
	}
	for name, c := range map[string]struct {
		change func(c *Cluster, want map[string]Deployed)
		want   []string // kind region server-group repairable
	}{
		"nothing":       {func(*Cluster, map[string]Deployed) {}, nil},
		"traffic moved": {func(c *Cluster, _ map[string]Deployed) { c.Groups[0].Weight, c.Groups[1].Weight = 100, 0 }, []string{"traffic a api-v002 true"}},
		"traffic split": {func(c *Cluster, _ map[string]Deployed) { c.Groups[2].Weight = 50 }, []string{"traffic b api-v002 true"}},
		"both, as wanted": {func(c *Cluster, w map[string]Deployed) {
			c.Groups[2].Weight = 50
			w["b"] = Deployed{Region: "b", ServerGroup: "api-v002", Capacity: capacity, Coexist: true}
		}, nil},
		"resized": {func(c *Cluster, _ map[string]Deployed) { c.Groups[1].Capacity.Desired = 3 }, []string{"capacity a api-v002 true"}},
		"scaled": {func(c *Cluster, _ map[string]Deployed) {
			c.Groups[1].Capacity.Desired = 3
			c.Groups[1].Spec.Scaling = []pipeline.ScalingPolicy{{Name: "p"}}
		}, nil},
		"bounds of scaled": {func(c *Cluster, _ map[string]Deployed) {
			c.Groups[1].Capacity.Max = 9
			c.Groups[1].Spec.Scaling = []pipeline.ScalingPolicy{{Name: "p"}}
		}, []string{"capacity a api-v002 true"}},
		"suspended":      {func(c *Cluster, _ map[string]Deployed) { c.Groups[3].Suspended = []string{"Launch"} }, []string{"suspended b api-v002 true"}},
		"gone":           {func(c *Cluster, _ map[string]Deployed) { c.Groups = c.Groups[:3] }, []string{"gone b api-v002 false"}},
		"region lost it": {func(c *Cluster, _ map[string]Deployed) { c.Groups = c.Groups[:2] }, []string{"gone b api-v002 false"}},
		"unreachable": {func(c *Cluster, _ map[string]Deployed) {
			c.Groups, c.Unreachable = c.Groups[:2], map[string]string{"b": "refused"}
		}, []string{"unknown b api-v002 false"}},
		"by an execution not known, later": {func(c *Cluster, w map[string]Deployed) {
			c.Groups[0].Weight, c.Groups[1].Weight, c.Groups[0].Created = 100, 0, time.Unix(2000, 0)
			c.Groups[0].Spec.Execution = "unknown"
			w["a"] = Deployed{Region: "a", ServerGroup: "api-v002", Version: "v2", At: time.Unix(1000, 0)}
		}, []string{"newer a api-v002 false"}},
		"by an execution not known, earlier": {func(c *Cluster, w map[string]Deployed) {
			c.Groups[0].Weight, c.Groups[1].Weight, c.Groups[0].Created = 100, 0, time.Unix(500, 0)
			c.Groups[0].Spec.Execution = "unknown"
			w["a"] = Deployed{Region: "a", ServerGroup: "api-v002", Version: "v2", At: time.Unix(1000, 0)}
		}, []string{"traffic a api-v002 true"}},
		"by a rollback before the state was restored": {func(c *Cluster, w map[string]Deployed) {
			c.Groups[0].Weight, c.Groups[1].Weight = 100, 0
			w["a"] = Deployed{Region: "a", ServerGroup: "api-v002", Version: "v2", At: restoredInTest.Add(-time.Hour)}
		}, []string{"newer a api-v002 false"}},
		"failed and left in traffic by its policy": {func(c *Cluster, _ map[string]Deployed) {
			c.Groups[0].Weight, c.Groups[1].Weight, c.Groups[0].Spec.Execution = 100, 0, "made-api-v003"
		}, []string{"newer a api-v002 false"}},
		"in a region that is none any more": {func(_ *Cluster, w map[string]Deployed) {
			w["c"] = Deployed{Region: "c", ServerGroup: "api-v002", Version: "v2"}
		}, []string{"unknown c api-v002 false"}},
		"left behind": {func(c *Cluster, _ map[string]Deployed) {
			c.Groups = append(c.Groups, group("b", "api-v003", 0, capacity))
		}, []string{"left b api-v003 true"}},
		"not known": {func(_ *Cluster, w map[string]Deployed) { clear(w) }, nil},
	} {
		cluster := Cluster{Name: "api", Groups: good()}
		w := map[string]Deployed{}
		for k, v := range want {
			w[k] = v
		}
		c.change(&cluster, w)
		var got []string
		for _, d := range compare(cluster, expected{by: w, failed: map[string]bool{"made-api-v003": true}, regions: []string{"a", "b"}, unknown: map[string]bool{"unknown": true}, restored: restoredInTest}) {
			got = append(got, fmt.Sprintf("%s %s %s %v", d.Kind, d.Region, d.ServerGroup, d.Repair != ""))
			if d.Repair == "" && d.Help == "" || d.Runs == "" || d.Deployed == "" {
				t.Errorf("%s: %+v says too little", name, d)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, "; "), strings.Join(c.want, "; "))
		}
	}
}
