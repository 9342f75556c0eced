package web

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// follower is a page that keeps its squares in step as clusters.js does.
type follower struct {
	at     string
	groups map[string]map[string]square
	order  map[string][]string
	counts map[string][2]int
}

func (f *follower) load(p *picture, list []control.Cluster, now time.Time) {
	*f = follower{at: p.take(list, now), groups: map[string]map[string]square{}, order: map[string][]string{}, counts: map[string][2]int{}}
	for _, c := range list {
		for i := range c.Groups {
			g := &c.Groups[i]
			key := groupKey(c.Account, c.Name, g.Region, g.Name)
			f.groups[key], f.order[key] = map[string]square{}, []string{}
			f.counts[key] = [2]int{g.Serving(), g.Capacity.Desired}
			for _, s := range squares(g) {
				f.groups[key][s.key()] = s
				f.order[key] = append(f.order[key], s.key())
			}
		}
	}
}

// follow brings the page up to date; false: it has to be made anew.
func (f *follower) follow(p *picture) bool {
	changes, _ := p.since(f.at)
	if changes.Reset {
		return false
	}
	f.at = changes.At
	for key, c := range changes.Groups {
		f.counts[key] = [2]int{c.Serving, c.Desired}
		for _, s := range c.Set {
			s := square{ID: s[0].(string), Class: s[1].(string), Shape: s[2].(string), Label: s[3].(string), Times: s[4].(int)}
			key0 := s.key()
			if s.Times > 0 {
				s.ID = ""
			}
			f.groups[key][key0] = s
		}
		if c.Order != nil {
			f.order[key] = c.Order
			for id := range f.groups[key] {
				if !slices.Contains(c.Order, id) {
					delete(f.groups[key], id)
				}
			}
		}
	}
	return true
}

// A page that follows the changes shows what a page shows that is made anew, whatever
// instances did, and however many changes it has missed.
func TestAPageThatFollowsShowsWhatANewOneShows(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var p picture
		groups := rapid.IntRange(1, 3).Draw(t, "groups")
		list := []control.Cluster{{Name: "shop", Account: "local"}}
		for g := range groups {
			list[0].Groups = append(list[0].Groups, cloud.ServerGroup{Name: fmt.Sprint("g", g), Region: "r", Weight: 1})
		}
		launched := 0
		var f follower
		f.load(&p, list, now)
		for step := range rapid.IntRange(1, 25).Draw(t, "steps") {
			next := control.Cluster{Name: "shop", Account: "local"}
			for _, g := range list[0].Groups {
				g.Instances = slices.Clone(g.Instances)
				switch rapid.IntRange(0, 4).Draw(t, "what") {
				case 0, 1:
					for range rapid.IntRange(1, 9).Draw(t, "launch") {
						launched++
						g.Instances = append(g.Instances, cloud.Instance{ID: fmt.Sprint("i", launched), Lifecycle: cloud.InService, Healthy: true})
					}
				case 2:
					if n := len(g.Instances); n > 0 {
						g.Instances[rapid.IntRange(0, n-1).Draw(t, "ill")].Healthy = rapid.Bool().Draw(t, "healthy")
					}
				case 3:
					if n := len(g.Instances); n > 0 {
						at := rapid.IntRange(0, n-1).Draw(t, "ended")
						g.Instances = slices.Delete(g.Instances, at, at+1)
					}
				}
				g.Capacity.Desired = len(g.Instances)
				next.Groups = append(next.Groups, g)
			}
			list = []control.Cluster{next}
			p.take(list, now.Add(time.Duration(step)*time.Second))
			if rapid.Bool().Draw(t, "asks") && !f.follow(&p) {
				t.Fatal("the page has to be made anew although no server group came or went")
			}
		}
		f.follow(&p)
		var fresh follower
		fresh.load(&p, list, now)
		if fmt.Sprint(f.groups, f.order, f.counts) != fmt.Sprint(fresh.groups, fresh.order, fresh.counts) {
			t.Fatalf("it shows %v %v %v\na new one %v %v %v", f.groups, f.order, f.counts, fresh.groups, fresh.order, fresh.counts)
		}
		if again, stood := p.since(f.at); len(again.Groups) > 0 || stood {
			t.Fatalf("nothing has changed, and it is told %+v", again)
		}
		list[0].Groups = append(list[0].Groups, cloud.ServerGroup{Name: "new", Region: "r"})
		p.take(list, now)
		if f.follow(&p) {
			t.Fatal("a server group came, and the page is not made anew")
		}
	})
}

// changing is a system whose only instance is ill or not, or which does not answer.
type changing struct {
	Control
	ill, away bool
	asked     int
}

func (c *changing) Clusters(context.Context, control.Principal, string, string, string) ([]control.Cluster, error) {
	c.asked++
	if c.away {
		return nil, problem.New(problem.Unavailable, "", "no region answers")
	}
	i := cloud.Instance{ID: "i-1", Zone: "a1", Lifecycle: cloud.InService, Healthy: !c.ill}
	if c.ill {
		i.Failure = &cloud.InstanceFailure{Cause: hostile}
	}
	return []control.Cluster{{Name: "shop", Account: "local", Groups: []cloud.ServerGroup{{Name: "shop-v001", Region: "a", Weight: 1, Instances: []cloud.Instance{i}}}}}, nil
}

func (*changing) Missing(context.Context, control.Principal, string) ([]control.Missing, error) {
	return nil, nil
}
func (*changing) End(context.Context) (int64, error) { return 1, nil }

// The page is told what has changed as JSON; tabs that ask at the same time have the
// regions asked once; another control plane, and regions that do not answer, have the page
// made anew.
func TestChangesOfClusters(t *testing.T) {
	t.Parallel()
	c, at := &changing{}, now
	p := operatePages(c, func() time.Time { return at })
	_, _, doc := operate(t, p, "/clusters", nil)
	since := ""
	walk(doc, func(n *html.Node) {
		if n.Data == "cluster-live" {
			since = attr(n, "data-since")
		}
	})
	ask := func(since, query string) (changes clusterChanges) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "http://localhost/clusters/changes?since="+since+query, nil)
		r.Header.Set("Authorization", "Bearer secret")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		if err := json.NewDecoder(w.Body).Decode(&changes); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%d, %v", w.Code, err)
		}
		return changes
	}
	at = at.Add(time.Second)
	c.ill = true
	first := ask(since, "")
	change := first.Groups["local/shop/a/shop-v001"]
	if len(change.Set) != 1 || change.Set[0][1] != "fail" || change.Order != nil || !strings.Contains(first.Standing, "need attention") || strings.Contains(first.Standing, hostile) {
		t.Errorf("%+v", first)
	}
	if narrowed := ask(since, "&q=other"); strings.Contains(narrowed.Standing, "shop") {
		t.Errorf("what the filter leaves out is told: %s", narrowed.Standing)
	}
	if c.asked != 2 {
		t.Errorf("the regions were asked %d times", c.asked)
	}
	if again := ask(first.At, ""); len(again.Groups) > 0 || again.Standing != "" {
		t.Errorf("nothing has changed: %+v", again)
	}
	if !ask("other.1", "").Reset || !ask("", "").Reset {
		t.Error("a revision that is not known is followed")
	}
	at = at.Add(time.Second)
	c.away = true
	if !ask(first.At, "").Reset {
		t.Error("the regions do not answer, and the page stays")
	}
}
