package web

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/api"
	"showrunner/control"
	"showrunner/problem"
)

// pictureAge is how long an answer of the regions is used for the pages that ask what has
// changed: however many tabs are open, the regions are asked this often.
const pictureAge = 500 * time.Millisecond

// picture is the state of every instance as the pages of clusters show it. Each part
// carries the revision at which it changed last, so that a page which knows a revision is
// told what came after it, and nothing else.
type picture struct {
	mu       sync.Mutex
	name     string // of this picture; another one has other revisions
	revision int64
	at       time.Time // when the regions were asked
	list     []control.Cluster
	groups   map[string]*groupPicture
	formed   int64 // revision at which server groups came or went
	standing string
	stood    int64 // revision at which the strip of problems changed
}

// groupPicture is one server group; its counts, order and squares with their revisions.
type groupPicture struct {
	serving, desired   int
	share              string
	counted, reordered int64
	order              []string
	squares            map[string]squarePicture
}

type squarePicture struct {
	square
	changed int64
}

// groupChange is what has changed of a server group, as clusters.js reads it.
type groupChange struct {
	Serving int      `json:"serving"`
	Desired int      `json:"desired"`
	Share   string   `json:"share"`
	Set     [][5]any `json:"set,omitempty"`   // id, class, shape, label, times
	Order   []string `json:"order,omitempty"` // of all squares; left out when it is as it was
}

// clusterChanges is what has changed since a revision.
type clusterChanges struct {
	At       string                 `json:"at"`
	Reset    bool                   `json:"reset,omitempty"` // the page has to be asked for anew
	Groups   map[string]groupChange `json:"groups,omitempty"`
	Standing string                 `json:"standing,omitempty"` // HTML
}

// groupKey names a server group on the page.
func groupKey(account, cluster, region, group string) string {
	return account + "/" + cluster + "/" + region + "/" + group
}

// key names a square within its group.
func (s square) key() string {
	if s.Times > 0 {
		return "many"
	}
	return s.ID
}

// take notes what the regions have answered, and answers with its revision.
func (p *picture) take(list []control.Cluster, now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.groups == nil {
		p.name, p.groups = rand.Text()[:8], map[string]*groupPicture{}
	}
	p.at, p.list = now, list
	next, changed := p.revision+1, false
	seen := map[string]bool{}
	for _, c := range list {
		for i := range c.Groups {
			g := &c.Groups[i]
			key := groupKey(c.Account, c.Name, g.Region, g.Name)
			seen[key] = true
			known := p.groups[key]
			if known == nil {
				known = &groupPicture{squares: map[string]squarePicture{}}
				p.groups[key], p.formed = known, next
			}
			if known.take(g.Serving(), g.Capacity.Desired, shareText(c.Groups, *g), squares(g), next) {
				changed = true
			}
		}
	}
	for key := range p.groups {
		if !seen[key] {
			delete(p.groups, key)
			p.formed = next
		}
	}
	if standing := standingOf(list); standing != p.standing {
		p.standing, p.stood, changed = standing, next, true
	}
	if changed || p.formed == next {
		p.revision = next
	}
	return p.name + "." + strconv.FormatInt(p.revision, 10)
}

func (g *groupPicture) take(serving, desired int, share string, list []square, next int64) (changed bool) {
	if g.serving != serving || g.desired != desired || g.share != share {
		g.serving, g.desired, g.share, g.counted, changed = serving, desired, share, next, true
	}
	order := make([]string, 0, len(list))
	for _, s := range list {
		order = append(order, s.key())
		if known, ok := g.squares[s.key()]; !ok || known.square != s {
			g.squares[s.key()], changed = squarePicture{s, next}, true
		}
	}
	if !slices.Equal(order, g.order) {
		g.order, g.reordered, changed = order, next, true
		for key := range g.squares {
			if !slices.Contains(order, key) {
				delete(g.squares, key)
			}
		}
	}
	return changed
}

// standingOf tells two states apart in which the strip of problems differs.
func standingOf(list []control.Cluster) string {
	var b strings.Builder
	for _, c := range list {
		v := viewOf(c)
		fmt.Fprint(&b, c.Name, v.Serving, v.Wanted, troublesOf(c))
	}
	return b.String()
}

// since is what has changed after a revision; stood says whether the strip of problems has.
func (p *picture) since(at string) (c clusterChanges, stood bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.At = p.name + "." + strconv.FormatInt(p.revision, 10)
	name, number, _ := strings.Cut(at, ".")
	known, err := strconv.ParseInt(number, 10, 64)
	if err != nil || name != p.name || known > p.revision || p.formed > known {
		c.Reset = true
		return c, false
	}
	c.Groups = map[string]groupChange{}
	for key, g := range p.groups {
		change := groupChange{Serving: g.serving, Desired: g.desired, Share: g.share}
		for _, id := range g.order {
			if s := g.squares[id]; s.changed > known {
				change.Set = append(change.Set, [5]any{id, s.Class, s.Shape, s.Label, s.Times})
			}
		}
		if g.reordered > known {
			change.Order = g.order
		}
		if g.counted > known || g.reordered > known || len(change.Set) > 0 {
			c.Groups[key] = change
		}
	}
	return c, p.stood > known
}

// recent is the list that was taken within pictureAge; nil where there is none.
func (p *picture) recent(now time.Time) []control.Cluster {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.at) < pictureAge {
		return p.list
	}
	return nil
}

// clusterChanges answers a page of clusters with what has changed since it was made, as
// JSON: a page of a thousand instances is not sent again for one of them.
func (p *Pages) clusterChanges(w http.ResponseWriter, r *http.Request) error {
	list := p.picture.recent(p.Now())
	if list == nil {
		var err error
		list, err = p.Control.Clusters(r.Context(), api.PrincipalOf(r), "", "", "")
		if problem.CodeOf(err) == problem.Unavailable { // the whole page says why
			return writeJSON(w, clusterChanges{Reset: true})
		}
		if err != nil {
			return err
		}
		p.picture.take(list, p.Now())
	}
	q := r.URL.Query()
	changes, stood := p.picture.since(q.Get("since"))
	if stood {
		v := clustersView{Query: strings.TrimSpace(q.Get("q"))}
		v.addAll(list, q.Get("application"))
		var err error
		if v.Missing, err = p.Control.Missing(r.Context(), api.PrincipalOf(r), q.Get("application")); err != nil {
			return err
		}
		var b bytes.Buffer
		if err := p.templates.ExecuteTemplate(&b, "standing", v); err != nil {
			return err
		}
		changes.Standing = b.String()
	}
	return writeJSON(w, changes)
}

func writeJSON(w http.ResponseWriter, v any) error {
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(v)
}
