package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"showrunner/api"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// troublesShown is how many lines the strip of problems has; the rest is a number.
const troublesShown = 30

// clustersView is the page of clusters: what needs attention first, then a grid
// for each cluster.
type clustersView struct {
	Clusters []clusterView
	// Missing is what should be there and is not; it comes first.
	Missing  []control.Missing
	Troubles []trouble
	More     int // troubles beyond those shown
	Serving  int // instances, of every cluster
	Wanted   int
	// Unreachable says that no region answers, so that nothing is known.
	Unreachable, Help string
	Query             string // what was searched for
	Hidden            int    // clusters that it leaves out
	// At is the revision of the picture that the page shows, and Application what narrows it.
	At, Application string
}

// trouble is one line of the strip of problems.
type trouble struct {
	Glyph, Class         string
	Cluster, Where, What string
	Version              string
	Cause, Probe         string
	Instance             string // empty: it is of a server group or a region
	Region, Group        string // of the instance
}

// clusterView is a cluster as a grid: versions down, regions across.
type clusterView struct {
	control.Cluster
	Regions         []regionColumn
	Versions        []versionView
	Serving, Wanted int
	Troubles        int
	MayRollBack     bool
}

// regionColumn is one region; Unreachable says why it cannot be asked.
type regionColumn struct{ Name, Unreachable string }

type versionView struct {
	Name, Version string
	Baseline      bool // in one region at least it is only compared with a canary
	Cells         []cell
}

// cell is one version in one region.
type cell struct {
	Region      string
	Unreachable bool
	Group       *cloud.ServerGroup // nil where it is not deployed, or not known
	Share       float64            // percent of the region's traffic
}

func (p *Pages) clusters(w http.ResponseWriter, r *http.Request) error {
	query := strings.TrimSpace(r.URL.Query().Get("q"))
	list, err := p.Control.Clusters(r.Context(), api.PrincipalOf(r), "", "", "")
	v := clustersView{Query: query, Application: r.URL.Query().Get("application")}
	if err == nil {
		v.At = p.picture.take(list, p.Now())
	}
	switch {
	case problem.CodeOf(err) == problem.Unavailable:
		v.Unreachable, v.Help = problem.Text(err), problem.HelpOf(err)
	case err != nil:
		return err
	}
	if v.Missing, err = p.Control.Missing(r.Context(), api.PrincipalOf(r), v.Application); err != nil {
		return err
	}
	v.addAll(list, v.Application)
	every := clustersEvery
	if v.Wanted > manyInstances {
		every = manyClustersEvery
	}
	return p.show(w, r, "clusters", view{Title: "Clusters", Nav: "clusters", Same: "showrunner clusters", Live: runEvents, Every: every, Pace: every, Data: v})
}

// clustersEvery is after how many seconds the whole page of clusters is asked for anew, and
// how often events may have it so. What instances do comes within a second, by clusters.js.
// With more than manyInstances the page is large, and asked for more seldom.
const clustersEvery, manyClustersEvery, manyInstances = 10, 60, 200

// addAll puts the clusters of an application, or of all, on the page that the query lets through.
func (v *clustersView) addAll(list []control.Cluster, application string) {
	for _, c := range list {
		switch {
		case application != "" && c.Application != application:
		case v.Query != "" && !strings.Contains(c.Name, v.Query):
			v.Hidden++
		default:
			v.add(c)
		}
	}
	if len(v.Troubles) > troublesShown {
		v.More = len(v.Troubles) - troublesShown
		v.Troubles = v.Troubles[:troublesShown]
	}
}

// add puts a cluster on the page.
func (v *clustersView) add(c control.Cluster) {
	grid, troubles := viewOf(c), troublesOf(c)
	grid.Troubles = len(troubles)
	v.Clusters = append(v.Clusters, grid)
	v.Troubles = append(v.Troubles, troubles...)
	v.Serving, v.Wanted = v.Serving+grid.Serving, v.Wanted+grid.Wanted
}

// viewOf makes a cluster's grid. A region that cannot be asked keeps its column.
func viewOf(c control.Cluster) clusterView {
	v := clusterView{Cluster: c}
	total := map[string]float64{}
	column := func(region string) int {
		return slices.IndexFunc(v.Regions, func(x regionColumn) bool { return x.Name == region })
	}
	for _, g := range c.Groups {
		if column(g.Region) < 0 {
			v.Regions = append(v.Regions, regionColumn{Name: g.Region})
		}
		total[g.Region] += g.Weight
	}
	for _, region := range slices.Sorted(maps.Keys(c.Unreachable)) {
		v.Regions = append(v.Regions, regionColumn{Name: region, Unreachable: c.Unreachable[region]})
	}
	for i := range c.Groups {
		g := &c.Groups[i]
		at := slices.IndexFunc(v.Versions, func(x versionView) bool { return x.Name == g.Name })
		if at < 0 {
			row := versionView{Name: g.Name, Version: g.Spec.Version}
			for _, r := range v.Regions {
				row.Cells = append(row.Cells, cell{Region: r.Name, Unreachable: r.Unreachable != ""})
			}
			v.Versions, at = append(v.Versions, row), len(v.Versions)
		}
		v.Versions[at].Baseline = v.Versions[at].Baseline || g.IsBaseline()
		in := &v.Versions[at].Cells[column(g.Region)]
		if in.Group = g; total[g.Region] > 0 {
			in.Share = 100 * g.Weight / total[g.Region]
		}
		if g.Enabled() {
			v.Serving, v.Wanted = v.Serving+g.Serving(), v.Wanted+g.Capacity.Desired
		} else {
			v.MayRollBack = v.MayRollBack || !g.Destroying && !g.IsBaseline()
		}
	}
	slices.SortFunc(v.Versions, func(a, b versionView) int { return strings.Compare(b.Name, a.Name) })
	return v
}

// troublesOf lists what needs attention in a cluster: regions that cannot be
// asked, versions in traffic that serve with fewer than they should, instances
// that are ill.
func troublesOf(c control.Cluster) []trouble {
	var list []trouble
	for _, region := range slices.Sorted(maps.Keys(c.Unreachable)) {
		list = append(list, trouble{Glyph: "▲", Class: "wait", Cluster: c.Name, Where: region, What: "unreachable", Cause: c.Unreachable[region]})
	}
	for _, g := range c.Groups {
		ill := 0
		for _, i := range g.Instances {
			if i.Failure == nil || i.Serving() {
				continue
			}
			ill++
			list = append(list, trouble{Glyph: "✕", Class: "fail", Cluster: c.Name, Where: i.Zone, What: instanceWord(i), Version: g.Spec.Version, Cause: i.Failure.Cause, Probe: i.Failure.Probe, Instance: i.ID, Region: g.Region, Group: g.Name})
		}
		if short := g.Capacity.Desired - g.Serving(); short > 0 && ill == 0 && g.LastFailure != nil && !g.Destroying {
			list = append(list, trouble{Glyph: "◐", Class: "wait", Cluster: c.Name, Where: g.Region, What: fmt.Sprintf("%d of %d serve", g.Serving(), g.Capacity.Desired), Version: g.Spec.Version, Cause: g.LastFailure.Cause, Probe: g.LastFailure.Probe})
		}
	}
	return list
}

// change is what a person is about to do, as it is shown before it is done.
type change struct {
	Cluster, Account, Do, Region, Group string
	Desired                             int
	Instance                            string
	Title, Verb, Same                   string
	// Lines say what it does; Refused says why it would not be done now.
	Lines   []string
	Refused string
	// Of rollbacks: To is the version, empty for the one before; Kept are those that
	// can be returned to; Site is set in place of Cluster for a website.
	To   string
	Site string
	Kept []control.KeptVersion
}

// previewChange says what a change would do to what is there now, before it is done.
func (p *Pages) previewChange(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	list, err := p.Control.Clusters(r.Context(), api.PrincipalOf(r), cmp.Or(q.Get("account"), control.DefaultAccount), "", r.PathValue("cluster"))
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return problem.New(problem.NotFound, "change", "there is no cluster %q", r.PathValue("cluster"))
	}
	c := list[0]
	ch := change{Cluster: c.Name, Account: c.Account, Do: q.Get("do"), Region: q.Get("region"), Group: q.Get("group"), Instance: q.Get("instance")}
	if _, err := fmt.Sscan(cmp.Or(q.Get("desired"), "0"), &ch.Desired); err != nil {
		return problem.New(problem.Invalid, "change", "%q is not a number of instances", q.Get("desired"))
	}
	if ch.Do == "rollback" {
		err = p.previewRollback(r, &ch)
	} else {
		err = ch.preview(c)
	}
	if err != nil {
		return err
	}
	return p.show(w, r, "change", view{Title: ch.Title, Nav: "clusters", Same: ch.Same, Data: ch})
}

// previewSiteRollback says what a rollback of a website would do, before it is done.
func (p *Pages) previewSiteRollback(w http.ResponseWriter, r *http.Request) error {
	ch := change{Site: r.PathValue("site"), Account: cmp.Or(r.URL.Query().Get("account"), control.DefaultAccount), Do: "rollback"}
	if err := p.previewRollback(r, &ch); err != nil {
		return err
	}
	return p.show(w, r, "change", view{Title: ch.Title, Nav: "sites", Same: ch.Same, Data: ch})
}

// previewRollback fills in what a rollback of the cluster or website would do, and which
// versions it could return to.
func (p *Pages) previewRollback(r *http.Request, ch *change) error {
	ch.To = r.URL.Query().Get("to")
	name, kind, flag := ch.Cluster, control.KindCluster, ""
	if ch.Site != "" {
		name, kind, flag = ch.Site, control.KindSite, "--site "
	}
	ch.Title, ch.Verb, ch.Same = "Roll back "+name, "Roll back", "showrunner rollback "+flag+name
	if ch.To != "" {
		ch.Title, ch.Same = ch.Title+" to "+ch.To, ch.Same+" --to "+ch.To
	}
	var err error
	ch.Lines, ch.Refused, err = p.Control.PreviewRollback(r.Context(), api.PrincipalOf(r), control.RollbackRequest{Account: ch.Account, Cluster: ch.Cluster, Site: ch.Site, To: ch.To})
	if err != nil {
		return err
	}
	if ch.Refused == "" {
		ch.Lines = append(ch.Lines, "it runs as an execution of its own; nothing is built or destroyed")
	}
	kept, err := p.Control.ListKept(r.Context(), api.PrincipalOf(r), ch.Account, name)
	if err != nil {
		return err
	}
	for _, k := range kept {
		if k.Kind == kind {
			ch.Kept = append(ch.Kept, k.Versions...)
		}
	}
	return nil
}

// preview fills in what the change would do.
func (ch *change) preview(c control.Cluster) error {
	serving, others := 0, 0 // in the region, in traffic: of this group, of others
	var g *cloud.ServerGroup
	for i := range c.Groups {
		switch x := &c.Groups[i]; {
		case x.Region != ch.Region:
		case x.Name == ch.Group:
			g = x
		case x.Enabled():
			others += x.Serving()
		}
	}
	if g == nil {
		return problem.New(problem.NotFound, "change", "there is no server group %s in %s", ch.Group, ch.Region).WithHelp("it may have been replaced meanwhile")
	}
	if g.Enabled() {
		serving = g.Serving()
	}
	now := fmt.Sprintf("%s in %s has version %s, %d of %d instances serve, with a share of %s of the region's traffic", g.Name, g.Region, g.Spec.Version, g.Serving(), g.Capacity.Desired, shareText(c.Groups, *g))
	after, flags := others, " --region "+ch.Region+" --server-group "+ch.Group
	switch ch.Do {
	case "disable":
		ch.Title, ch.Verb, ch.Same = "Take "+ch.Group+" out of traffic", "Take out of traffic", "showrunner disable "+ch.Cluster+flags
		ch.Lines = []string{now, fmt.Sprintf("its traffic goes to the %d other serving instances of the region; requests in flight end first", others), "its instances go on running and can be returned to"}
	case "enable":
		ch.Title, ch.Verb, ch.Same = "Give "+ch.Group+" traffic", "Give traffic", "showrunner enable "+ch.Cluster+flags
		after = others + g.Serving()
		ch.Lines = []string{now, fmt.Sprintf("it gets an equal share beside the %d instances that serve now", others)}
	case "destroy":
		ch.Title, ch.Verb, ch.Same = "Destroy "+ch.Group, "Destroy", "showrunner destroy "+ch.Cluster+flags
		ch.Lines = []string{now, fmt.Sprintf("its %d instances drain and end; it cannot be returned to afterwards", len(g.Instances))}
	case "resize":
		ch.Title, ch.Verb, ch.Same = fmt.Sprintf("Resize %s to %d", ch.Group, ch.Desired), "Resize", fmt.Sprintf("showrunner resize %s --desired %d%s", ch.Cluster, ch.Desired, flags)
		ch.Lines = []string{now, fmt.Sprintf("%d desired now, between %d and %d; then %d", g.Capacity.Desired, g.Capacity.Min, g.Capacity.Max, ch.Desired)}
		if ch.Desired < g.Capacity.Desired {
			ch.Lines = append(ch.Lines, fmt.Sprintf("%d instances drain and end, those of the fullest zone first", g.Capacity.Desired-ch.Desired))
		}
		if g.Enabled() {
			after = others + min(g.Serving(), ch.Desired)
		}
		if ch.Desired < g.Capacity.Min {
			ch.Refused = fmt.Sprintf("The minimum is %d; to lower it as well: %s --min %d", g.Capacity.Min, ch.Same, ch.Desired)
		} else if ch.Desired > g.Capacity.Max {
			ch.Refused = fmt.Sprintf("The maximum is %d; to raise it as well: %s --max %d", g.Capacity.Max, ch.Same, ch.Desired)
		}
	case "terminate":
		ch.Title, ch.Verb, ch.Same = "End "+ch.Instance, "End it", "showrunner terminate "+ch.Instance
		ch.Lines = []string{now, "the instance drains, ends, and another takes its place, in the zone that has the fewest"}
		after = serving + others // it is ill, or another takes its place
	default:
		return problem.New(problem.Invalid, "change", "there is no change %q", ch.Do)
	}
	ch.Lines = append(ch.Lines, fmt.Sprintf("instances in traffic in %s: %d now, %d afterwards", ch.Region, serving+others, after))
	if serving+others > 0 && after == 0 {
		ch.Refused = "It would take the last serving instance of the region, which is refused: give another version traffic first."
	}
	return nil
}

func shareText(groups []cloud.ServerGroup, g cloud.ServerGroup) string {
	total := 0.0
	for _, o := range groups {
		if o.Region == g.Region {
			total += o.Weight
		}
	}
	if total == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.4g %%", 100*g.Weight/total)
}

// changeCluster does what was previewed. The guard decides anew, on what is there then.
func (p *Pages) changeCluster(w http.ResponseWriter, r *http.Request) error {
	ch := control.ClusterChange{Account: r.FormValue("account"), Cluster: r.PathValue("cluster"), Region: r.FormValue("region"), ServerGroup: r.FormValue("group"), Key: r.FormValue("key")}
	switch do := r.FormValue("do"); do {
	case "disable":
		ch.Disable = true
	case "enable":
		ch.Enable = true
	case "destroy":
		ch.Destroy = true
	case "resize":
		var desired int
		if _, err := fmt.Sscan(r.FormValue("desired"), &desired); err != nil {
			return problem.New(problem.Invalid, "change", "%q is not a number of instances", r.FormValue("desired"))
		}
		ch.Capacity = &control.CapacityChange{Desired: &desired}
	default:
		return problem.New(problem.Invalid, "change", "there is no change %q", do)
	}
	if _, err := p.Control.ChangeCluster(r.Context(), api.PrincipalOf(r), ch); err != nil {
		return err
	}
	return seeOther(w, r, "/clusters#"+url.PathEscape(ch.Cluster))
}

func (p *Pages) terminate(w http.ResponseWriter, r *http.Request) error {
	err := p.Control.ChangeInstance(r.Context(), api.PrincipalOf(r), r.PathValue("id"), control.InstanceChange{Terminate: true, Key: r.FormValue("key")})
	if err != nil {
		return err
	}
	return seeOther(w, r, "/clusters#"+url.PathEscape(r.FormValue("cluster")))
}
