package web

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/api"
	"showrunner/control"
	"showrunner/problem"
)

// rates remembers the edge's counts of a moment ago, to say how many requests a second
// there are now.
type rates struct {
	mu     sync.Mutex
	at     time.Time
	before map[string]uint64 // requests, by region
	rate   map[string]float64
}

// ratePeriod is over how long a rate is measured at least; rateAge is when a count is
// too old to be compared with.
const ratePeriod, rateAge = 900 * time.Millisecond, time.Minute

// of says how many requests a second each region has; false while that is not known.
func (r *rates) of(now time.Time, list []control.EdgeRegion) (map[string]float64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	took := now.Sub(r.at)
	if took >= ratePeriod {
		rate := map[string]float64{}
		counts := map[string]uint64{}
		for _, e := range list {
			counts[e.Name] = e.Requests
			if before, ok := r.before[e.Name]; ok && e.Requests >= before { // else the edge was restarted
				rate[e.Name] = float64(e.Requests-before) / took.Seconds()
			}
		}
		if r.rate = rate; took > rateAge {
			r.rate = nil
		}
		r.at, r.before = now, counts
	}
	return r.rate, r.rate != nil
}

// trafficRow is a region as the edge sees it.
type trafficRow struct {
	control.EdgeRegion
	Rate    string // requests a second; empty: not known yet
	Errors  string
	Share   string // of the requests by their weights, "" without weights
	Meter   float64
	Kept    bool // weight 0: requests are kept away
	Serving int  // instances, of all clusters
	Wanted  int
}

func (p *Pages) traffic(w http.ResponseWriter, r *http.Request) error {
	rows, err := p.trafficRows(r)
	if err != nil {
		return err
	}
	return p.show(w, r, "traffic", view{Title: "Traffic", Nav: "traffic", Same: "showrunner edge weights", Live: "audit.edge.weights audit.region.stop audit.region.start", Every: 2, Data: rows})
}

func (p *Pages) trafficRows(r *http.Request) ([]trafficRow, error) {
	list, err := p.Control.EdgeRegions(r.Context(), api.PrincipalOf(r))
	if err != nil {
		return nil, err
	}
	rate, known := p.rates.of(p.Now(), list)
	clusters, _ := p.Control.Clusters(r.Context(), api.PrincipalOf(r), "", "", "") // a region that cannot be asked shows as such
	total, most := 0.0, 0.0
	for _, e := range list {
		if e.Weight != nil {
			total += *e.Weight
		}
		most = max(most, rate[e.Name])
	}
	var rows []trafficRow
	for _, e := range list {
		row := trafficRow{EdgeRegion: e, Kept: e.Weight != nil && *e.Weight == 0, Errors: "none"}
		if known {
			row.Rate = fmt.Sprintf("%.4g/s", rate[e.Name])
			if most > 0 {
				row.Meter = rate[e.Name] / most
			}
		}
		if e.Errors > 0 && e.Requests > 0 {
			row.Errors = fmt.Sprintf("%d (%.2g %%)", e.Errors, 100*float64(e.Errors)/float64(e.Requests))
		}
		if e.Weight != nil && total > 0 {
			row.Share = fmt.Sprintf("%.4g %%", 100**e.Weight/total)
		}
		row.Serving, row.Wanted = servingIn(clusters, e.Name)
		rows = append(rows, row)
	}
	return rows, nil
}

// servingIn counts the instances of a region that serve, and how many should.
func servingIn(clusters []control.Cluster, region string) (serving, wanted int) {
	for _, c := range clusters {
		for _, g := range c.Groups {
			if g.Region == region && g.Enabled() {
				serving, wanted = serving+g.Serving(), wanted+g.Capacity.Desired
			}
		}
	}
	return serving, wanted
}

// evacuation is what keeping requests away from a region would do.
type evacuation struct {
	Region  string
	Back    bool // requests return
	Lines   []string
	Refused string
}

// previewEvacuation says where the load of a region would go, before it goes.
func (p *Pages) previewEvacuation(w http.ResponseWriter, r *http.Request) error {
	ev, err := p.evacuation(r)
	if err != nil {
		return err
	}
	title, same := "Evacuate "+ev.Region, "showrunner edge weights "+ev.Region+"=0"
	if ev.Back {
		title, same = "Let requests return to "+ev.Region, "showrunner edge weights "+ev.Region+"=-"
	}
	return p.show(w, r, "evacuate", view{Title: title, Nav: "traffic", Same: same, Data: ev})
}

func (p *Pages) evacuation(r *http.Request) (*evacuation, error) {
	rows, err := p.trafficRows(r)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("region")
	at := slices.IndexFunc(rows, func(x trafficRow) bool { return x.Name == name })
	if at < 0 {
		return nil, problem.New(problem.NotFound, "page", "there is no region %q", name)
	}
	ev := &evacuation{Region: name, Back: rows[at].Kept}
	if ev.Back {
		ev.Lines = append(ev.Lines, fmt.Sprintf("requests come to %s again, where %d of %d instances serve", name, rows[at].Serving, rows[at].Wanted))
		return ev, nil
	}
	var others []string
	for i, o := range rows {
		if i != at && o.Healthy && !o.Kept {
			others = append(others, fmt.Sprintf("%s takes part of the load: %d of %d instances serve there, now with %s", o.Name, o.Serving, o.Wanted, orUnknown(o.Rate)))
		}
	}
	ev.Lines = append([]string{fmt.Sprintf("new requests are kept away from %s, which has %s now; those in flight end there", name, orUnknown(rows[at].Rate))}, others...)
	ev.Lines = append(ev.Lines, p.onlyIn(r, name)...)
	ev.Lines = append(ev.Lines, "its instances go on running: nothing is stopped, and requests can return at any time")
	if len(others) == 0 {
		ev.Refused = "No other region is up and takes requests."
	}
	return ev, nil
}

// onlyIn names the clusters that serve nowhere but in the region.
func (p *Pages) onlyIn(r *http.Request, region string) []string {
	clusters, err := p.Control.Clusters(r.Context(), api.PrincipalOf(r), "", "", "")
	if err != nil {
		return []string{"which clusters serve in this region alone is not known now: " + problem.Text(err)}
	}
	var list []string
	for _, c := range clusters {
		here, elsewhere := 0, 0
		for _, g := range c.Groups {
			if g.Region == region && g.Enabled() {
				here += g.Serving()
			} else if g.Enabled() {
				elsewhere += g.Serving()
			}
		}
		if here > 0 && elsewhere == 0 {
			list = append(list, c.Name+" serves in this region alone, and nobody else can answer its requests")
		}
	}
	return list
}

func orUnknown(rate string) string {
	if rate == "" {
		return "a rate that is not known yet"
	}
	return strings.TrimSuffix(rate, "/s") + " requests a second"
}

// evacuate does what was previewed.
func (p *Pages) evacuate(w http.ResponseWriter, r *http.Request) error {
	region := r.PathValue("region")
	weight := new(float64)
	if r.FormValue("back") != "" {
		weight = nil
	} else if r.FormValue("confirm") != region {
		return problem.New(problem.Invalid, "page", "to evacuate a region, its name has to be typed").WithHelp("go back and type %s", region)
	}
	if _, err := p.Control.SetEdgeWeights(r.Context(), api.PrincipalOf(r), map[string]*float64{region: weight}); err != nil {
		return err
	}
	return seeOther(w, r, "/traffic#"+url.PathEscape(region))
}
