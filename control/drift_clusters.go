package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// expected is what a cluster is compared with.
type expected struct {
	by map[string]Deployed // by region
	// failed are executions whose deployment of the cluster failed; unknown are those
	// that this control plane knows nothing of (any more, or yet: it was restored).
	failed, unknown map[string]bool
	restored        time.Time // of the state, from a backup; zero: never
	regions         []string  // of the account
}

// clusterDrift compares the clusters that are there, and those that should be.
func (s *Service) clusterDrift(ctx context.Context, account, application, cluster string, restored time.Time) ([]Drift, error) {
	list := []Drift{}
	for _, name := range s.Accounts.Names() {
		if account != "" && account != name {
			continue
		}
		a, err := s.Accounts.Account(name)
		if err != nil {
			return nil, err
		}
		clusters, known, err := s.withMissing(ctx, a, cluster)
		if err != nil {
			return nil, err
		}
		for _, c := range clusters {
			if application != "" && c.Application != application {
				continue
			}
			known := known[c.Name]
			known.restored = restored
			d, err := s.compareWith(ctx, c, known)
			if err != nil {
				return nil, err
			}
			list = append(list, d)
		}
	}
	return list, nil
}

// withMissing observes an account's clusters, adds those that were deployed and are
// nowhere, and says what is expected of each.
func (s *Service) withMissing(ctx context.Context, a *cloud.Account, cluster string) ([]Cluster, map[string]expected, error) {
	found, err := observe(ctx, a, cluster)
	if err != nil {
		return nil, nil, err
	}
	kept, err := s.deployed(ctx, KindCluster, a.Name(), cluster)
	if err != nil {
		return nil, nil, err
	}
	want := map[string]expected{}
	for _, d := range kept {
		e, ok := want[d.Name]
		if !ok {
			e = expected{by: map[string]Deployed{}}
		}
		e.by[d.Region] = d
		want[d.Name] = e
		if !slices.ContainsFunc(found.clusters, func(c Cluster) bool { return c.Name == d.Name }) {
			found.clusters = append(found.clusters, Cluster{Name: d.Name, Account: a.Name(), Application: d.Application, Unreachable: found.unreachable})
		}
	}
	for _, c := range found.clusters {
		e := want[c.Name]
		e.regions = found.regions
		want[c.Name] = e
	}
	slices.SortFunc(found.clusters, func(x, y Cluster) int { return strings.Compare(x.Name, y.Name) })
	return found.clusters, want, nil
}

// compareWith asks for what a comparison needs besides, and compares.
func (s *Service) compareWith(ctx context.Context, c Cluster, want expected) (Drift, error) {
	d := Drift{Cluster: c.Name, Account: c.Account, Application: c.Application, Differences: []Difference{}}
	var newest Deployed
	for _, w := range want.by {
		if newest.Execution == "" || w.after(newest) {
			newest = w
		}
	}
	d.Execution, d.Version = newest.Execution, newest.Version
	want.failed, want.unknown = map[string]bool{}, map[string]bool{}
	for _, g := range c.Groups {
		id := g.Spec.Execution
		if id == "" || g.Name == want.by[g.Region].ServerGroup {
			continue
		}
		e, err := s.Engine.Get(ctx, id)
		switch {
		case problem.CodeOf(err) == problem.NotFound:
			want.unknown[id] = true
		case err != nil:
			return d, err
		default:
			want.failed[id] = failedToDeploy(e, c.Name)
		}
	}
	if s.Claims != nil {
		holder, _, err := s.Claims.Holder(ctx, c.Account, c.Name, regionsOf(c.Groups))
		if err != nil {
			return d, err
		}
		d.Busy = holder
	}
	d.Differences = append(d.Differences, compare(c, want)...)
	return d, nil
}

// failedToDeploy says whether a deployment of the cluster ended the execution badly.
func failedToDeploy(e execution.Execution, cluster string) bool {
	for _, st := range e.Stages {
		if st.Kind == "deploy" && st.Status == execution.Terminal && clusterOf(e, st) == cluster {
			return true
		}
	}
	return false
}

// clusterOf is the cluster that a stage is about, as far as it can be known before it has put anything out.
func clusterOf(e execution.Execution, st execution.StageState) string {
	if name, ok := st.Outputs["cluster"].(string); ok {
		return name
	}
	if e.Definition == nil {
		return ""
	}
	for _, def := range e.Definition.Stages {
		var with struct{ Cluster string }
		if def.Name == st.Name && json.Unmarshal(def.With, &with) == nil {
			return with.Cluster
		}
	}
	return ""
}

// compare is the pure part: what differs, region by region.
func compare(c Cluster, want expected) []Difference {
	var list []Difference
	regions := regionsOf(c.Groups)
	for region := range want.by {
		if !slices.Contains(regions, region) {
			regions = append(regions, region)
		}
	}
	slices.Sort(regions)
	for _, region := range regions {
		w, known := want.by[region]
		why, unreachable := c.Unreachable[region]
		if known && !slices.Contains(want.regions, region) {
			why, unreachable = "it is no region of this control plane", true
		}
		if unreachable {
			if known {
				list = append(list, Difference{Kind: DriftUnknown, Region: region, ServerGroup: w.ServerGroup, Deployed: w.ServerGroup + " (" + w.Version + ")", Runs: "cannot be asked: " + why,
					Help: "bring the region back and ask again, " + orForget(c)})
			}
			continue
		}
		var here []cloud.ServerGroup
		for _, g := range c.Groups {
			if g.Region == region {
				here = append(here, g)
			}
		}
		if known {
			list = append(list, compareRegion(c, w, want, here)...)
		}
		for _, g := range here {
			if want.failed[g.Spec.Execution] && !g.Enabled() && !g.Destroying && g.Name != w.ServerGroup {
				list = append(list, Difference{Kind: DriftLeft, Region: region, ServerGroup: g.Name, Deployed: "undone", Runs: fmt.Sprintf("%s (%s) with %d instances", g.Name, g.Spec.Version, len(g.Instances)),
					Repair: "destroy " + g.Name, group: g})
			}
		}
	}
	return list
}

func orForget(c Cluster) string {
	return "or say that it is gone on purpose: showrunner drift --cluster " + c.Name + " --forget"
}

func compareRegion(c Cluster, w Deployed, want expected, here []cloud.ServerGroup) []Difference {
	i := slices.IndexFunc(here, func(g cloud.ServerGroup) bool { return g.Name == w.ServerGroup && !g.Destroying })
	traffic := []string{}
	var others []cloud.ServerGroup
	for _, g := range here {
		if g.Enabled() {
			traffic = append(traffic, fmt.Sprintf("%s (%s) %s", g.Name, g.Spec.Version, shareOf(here, g)))
			if g.Name != w.ServerGroup {
				others = append(others, g)
			}
		}
	}
	runs := strings.Join(traffic, ", ")
	if runs == "" {
		runs = "nothing has traffic"
	}
	x := Difference{Kind: DriftTraffic, Region: w.Region, ServerGroup: w.ServerGroup, Deployed: fmt.Sprintf("%s (%s)", w.ServerGroup, w.Version), Runs: runs}
	if x.Help = want.doubt(w, others); x.Help != "" && !w.Coexist {
		x.Kind = DriftNewer
		return []Difference{x}
	}
	if i < 0 {
		x.Kind, x.Help = DriftGone, "the server group was destroyed: run its pipeline again, "+orForget(c)
		return []Difference{x}
	}
	g := here[i]
	var list []Difference
	if !g.Enabled() || len(others) > 0 && !w.Coexist {
		x.Repair, x.group = "shift all traffic to "+g.Name+", as an execution of its own", g
		list = append(list, x)
	}
	if have, to := g.Capacity, w.Capacity; to != (pipeline.Capacity{}) {
		if len(g.Spec.Scaling) > 0 {
			to.Desired = min(max(have.Desired, to.Min), to.Max) // scaling decides within the bounds
		}
		if have != to {
			list = append(list, Difference{Kind: DriftCapacity, Region: w.Region, ServerGroup: g.Name, Deployed: capacityText(to), Runs: capacityText(have),
				Repair: "resize " + g.Name + " to " + capacityText(to), group: g, capacity: to})
		}
	}
	if len(g.Suspended) > 0 {
		list = append(list, Difference{Kind: DriftPaused, Region: w.Region, ServerGroup: g.Name, Deployed: "no process suspended", Runs: strings.Join(g.Suspended, ", ") + " suspended",
			Repair: "resume " + strings.Join(g.Suspended, ", "), group: g})
	}
	return list
}

// doubt says why what has traffic beside, or instead of, the version expected may be
// right: then nothing is repaired. Empty: nothing speaks for it.
func (want expected) doubt(w Deployed, others []cloud.ServerGroup) string {
	for _, g := range others {
		switch {
		case want.unknown[g.Spec.Execution] && g.Created.After(w.At):
			return "execution " + g.Spec.Execution + " put " + g.Name + " into traffic, and is not known to this control plane: run the pipeline, or roll back, to say what is right"
		case want.failed[g.Spec.Execution]:
			return "execution " + g.Spec.Execution + " failed and left " + g.Name + " in traffic, as its stage says (rollback: wave or none): run the pipeline again, or roll back"
		case w.At.Before(want.restored):
			return "this control plane was restored from a backup at " + want.restored.Format(time.RFC3339) + " and does not know what was put into traffic shortly before: run the pipeline, or roll back, to say what is right"
		}
	}
	return ""
}

func capacityText(c pipeline.Capacity) string {
	return fmt.Sprintf("%d instances (%d to %d)", c.Desired, c.Min, c.Max)
}

// shareOf is a group's part of its region's traffic, for people.
func shareOf(here []cloud.ServerGroup, g cloud.ServerGroup) string {
	total := 0.0
	for _, o := range here {
		total += o.Weight
	}
	return fmt.Sprintf("%.3g %%", 100*g.Weight/total)
}
