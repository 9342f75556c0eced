package control

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"showrunner/cloud"
)

func TestCompareSite(t *testing.T) {
	at := func(id, prefix string, current bool) cloud.SiteDeployment {
		return cloud.SiteDeployment{ID: id, Version: "v-" + id, Prefix: prefix, Current: current}
	}
	good := func() siteSeen {
		return siteSeen{name: "shop", regions: []string{"a", "b"}, unreachable: map[string]string{}, changes: map[string][]cloud.SiteChange{}, history: map[string][]cloud.SiteDeployment{
			"a": {at("two", "", true), at("docs", "docs", true), at("one", "", false)},
			"b": {at("two", "", true), at("docs", "docs", true), at("one", "", false)},
		}}
	}
	for name, c := range map[string]struct {
		change func(*siteSeen)
		want   []string // kind region deployment repairable
	}{
		"nothing":       {func(*siteSeen) {}, nil},
		"another lives": {func(s *siteSeen) { s.history["b"][0].Current, s.history["b"][2].Current = false, true }, []string{"deployment b two true"}},
		"not kept": {func(s *siteSeen) {
			s.history["b"] = []cloud.SiteDeployment{at("docs", "docs", true), at("one", "", true)}
		}, []string{"deployment b two false"}},
		"a part is gone": {func(s *siteSeen) { s.history["b"] = s.history["b"][:1] }, []string{"deployment b docs false"}},
		"region lost it": {func(s *siteSeen) { delete(s.history, "b") }, []string{"deployment b docs false", "deployment b two false"}},
		"unreachable":    {func(s *siteSeen) { delete(s.history, "b"); s.unreachable["b"] = "refused" }, []string{"unknown b docs false", "unknown b two false"}},
		"changed by hand": {func(s *siteSeen) {
			s.changes["a"] = []cloud.SiteChange{{Key: "index.html", Deployment: "two", Change: "replaced"}, {Key: "app.js", Deployment: "two", Change: "removed"}}
		}, []string{"objects a two true"}},
		"changed, and not what was deployed": {func(s *siteSeen) {
			s.history["a"][0].Current, s.history["a"][2].Current = false, true
			s.changes["a"] = []cloud.SiteChange{{Key: "index.html", Deployment: "one", Change: "replaced"}}
		}, []string{"deployment a two true"}},
	} {
		seen := good()
		var want []Deployed
		for _, region := range []string{"a", "b"} {
			want = append(want, Deployed{Kind: KindSite, Name: "shop", Region: region, Deployment: "two", Version: "v-two"},
				Deployed{Kind: KindSite, Name: "shop", Region: region, Deployment: "docs", Version: "v-docs", Prefix: "docs"})
		}
		c.change(&seen)
		var got []string
		for _, d := range compareSite(seen, want) {
			got = append(got, fmt.Sprintf("%s %s %s %v", d.Kind, d.Region, d.Deployment, d.Repair != ""))
			if d.Repair == "" && d.Help == "" || d.Runs == "" || d.Deployed == "" {
				t.Errorf("%s: %+v says too little", name, d)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %s, want %s", name, strings.Join(got, "; "), strings.Join(c.want, "; "))
		}
	}
}
