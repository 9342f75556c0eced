package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Drift is what runs of one cluster, or what a website serves, against what was last deployed.
type Drift struct {
	Cluster     string `json:"cluster,omitempty"`
	Site        string `json:"site,omitempty"`
	Account     string `json:"account"`
	Application string `json:"application"`
	// Execution is the newest one that deployed it or rolled it back; empty when none is known any more.
	Execution string `json:"execution,omitempty"`
	Version   string `json:"version,omitempty"`
	// Busy is an execution that changes it at this moment: what differs may be its doing.
	Busy        string       `json:"busy,omitempty"`
	Differences []Difference `json:"differences"`
}

// DifferenceKind says in what way something differs.
type DifferenceKind string

const (
	DriftTraffic  DifferenceKind = "traffic"   // other versions than the one deployed have traffic
	DriftGone     DifferenceKind = "gone"      // the server group deployed is not there
	DriftCapacity DifferenceKind = "capacity"  // its capacity was changed
	DriftPaused   DifferenceKind = "suspended" // processes that keep it healthy are suspended
	DriftLeft     DifferenceKind = "left"      // a deployment that failed left a server group behind
	DriftUnknown  DifferenceKind = "unknown"   // the region cannot be asked
	// Of websites.
	DriftDeployment DifferenceKind = "deployment" // another deployment than the last is live
	DriftObjects    DifferenceKind = "objects"    // objects were replaced or removed by hand
)

// Difference is one thing that is not as it was deployed.
type Difference struct {
	Kind        DifferenceKind     `json:"kind"`
	Region      string             `json:"region"`
	ServerGroup string             `json:"serverGroup,omitempty"`
	Deployment  string             `json:"deployment,omitempty"` // of a website, the one that was deployed last
	Objects     []cloud.SiteChange `json:"objects,omitempty"`    // of DriftObjects
	Deployed    string             `json:"deployed"`
	Runs        string             `json:"runs"`
	// Repair says what a repair would do; empty when nothing but a person or a new run can.
	Repair string `json:"repair,omitempty"`
	Help   string `json:"help,omitempty"` // without Repair: what to do

	group    cloud.ServerGroup
	capacity pipeline.Capacity
}

// deployed is what a deploy or rollback stage left in one region.
type deployed struct {
	execution, serverGroup, version string
	coexist                         bool // strategy none: earlier versions keep their traffic
	capacity                        pipeline.Capacity
}

// Drift compares every cluster and website (of an application, or one by name)
// with what was last deployed. Regions that are away are told, not waited for.
func (s *Service) Drift(ctx context.Context, p Principal, account, application, cluster, site string) ([]Drift, error) {
	list := []Drift{}
	if site == "" {
		clusters, err := s.Clusters(ctx, p, account, application, cluster)
		if err != nil {
			return nil, err
		}
		for _, c := range clusters {
			d, err := s.driftOf(ctx, c)
			if err != nil {
				return nil, err
			}
			list = append(list, d)
		}
	}
	if cluster != "" {
		return list, nil
	}
	sites, err := s.siteDrift(ctx, p, account, application, site)
	return append(list, sites...), err
}

func (s *Service) driftOf(ctx context.Context, c Cluster) (Drift, error) {
	d := Drift{Cluster: c.Name, Account: c.Account, Application: c.Application, Differences: []Difference{}}
	candidates, err := s.deployments(ctx, c)
	if err != nil {
		return d, err
	}
	want := map[string]deployed{}
	failed := map[string]bool{} // executions whose deployment of this cluster failed
	for _, e := range candidates {
		for _, st := range e.Stages {
			if st.Kind != "deploy" && st.Kind != "rollback" {
				continue
			}
			if !st.Status.Complete() && e.Status == execution.Running && st.Phase != execution.PhaseHeld && st.Status != execution.NotStarted && clusterOf(e, st) == c.Name {
				d.Busy = e.ID
			}
			if st.Status == execution.Terminal && st.Kind == "deploy" && clusterOf(e, st) == c.Name {
				failed[e.ID] = true
			}
			for region, w := range deployedBy(e, st, c) {
				if _, newer := want[region]; !newer {
					want[region] = w
				}
				if d.Execution == "" {
					d.Execution, d.Version = e.ID, w.version
				}
			}
		}
	}
	d.Differences = append(d.Differences, compare(c, want, failed)...)
	return d, nil
}

// deployments are the executions that may have changed the cluster last, newest
// first: those that its server groups name, their rollbacks, and the newest of its application.
func (s *Service) deployments(ctx context.Context, c Cluster) ([]execution.Execution, error) {
	ids := map[string]bool{}
	for _, g := range c.Groups {
		if g.Spec.Execution != "" {
			ids[g.Spec.Execution] = true
		}
	}
	return s.executionsOf(ctx, c.Application, ids)
}

// executionsOf are the executions of these ids, their rollbacks, and the newest of an application, newest first.
func (s *Service) executionsOf(ctx context.Context, application string, ids map[string]bool) ([]execution.Execution, error) {
	queries := []execution.Query{{Application: application, Limit: 100}, {Application: application, Pipeline: RollbackPipeline, Limit: 20}}
	for id := range ids {
		queries = append(queries, execution.Query{RollbackOf: id, Limit: 10})
	}
	for _, q := range queries {
		page, err := s.Engine.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Executions {
			ids[e.ID] = true
		}
	}
	var list []execution.Execution
	for id := range ids {
		e, err := s.Engine.Get(ctx, id)
		if problem.CodeOf(err) == problem.NotFound {
			continue // retention has removed it
		}
		if err != nil {
			return nil, err
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(x, y execution.Execution) int { return y.Created.Compare(x.Created) })
	return list, nil
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

// deployedBy reads what a complete stage left of the cluster, by region.
func deployedBy(e execution.Execution, st execution.StageState, c Cluster) map[string]deployed {
	if !st.Status.Complete() || st.Outputs["cluster"] != c.Name || st.Outputs["account"] != c.Account {
		return nil
	}
	raw, err := json.Marshal(st.Outputs)
	var out struct {
		ServerGroups map[string]string
		Capacity     map[string]pipeline.Capacity
		Version      string
		Strategy     string
	}
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return nil
	}
	all := map[string]deployed{}
	for region, name := range out.ServerGroups {
		all[region] = deployed{execution: e.ID, serverGroup: name, version: out.Version, coexist: out.Strategy == "none", capacity: out.Capacity[region]}
	}
	return all
}

// compare is the pure part: what differs, region by region.
func compare(c Cluster, want map[string]deployed, failed map[string]bool) []Difference {
	var list []Difference
	regions := regionsOf(c.Groups)
	for region := range want {
		if !slices.Contains(regions, region) {
			regions = append(regions, region)
		}
	}
	slices.Sort(regions)
	for _, region := range regions {
		w, known := want[region]
		if why, away := c.Away[region]; away {
			if known {
				list = append(list, Difference{Kind: DriftUnknown, Region: region, ServerGroup: w.serverGroup, Deployed: w.serverGroup + " (" + w.version + ")", Runs: "cannot be asked: " + why,
					Help: "bring the region back and ask again"})
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
			list = append(list, compareRegion(region, w, here)...)
		}
		for _, g := range here {
			if failed[g.Spec.Execution] && !g.Enabled() && !g.Destroying && g.Name != w.serverGroup {
				list = append(list, Difference{Kind: DriftLeft, Region: region, ServerGroup: g.Name, Deployed: "undone", Runs: fmt.Sprintf("%s (%s) with %d instances", g.Name, g.Spec.Version, len(g.Instances)),
					Repair: "destroy " + g.Name, group: g})
			}
		}
	}
	return list
}

func compareRegion(region string, w deployed, here []cloud.ServerGroup) []Difference {
	i := slices.IndexFunc(here, func(g cloud.ServerGroup) bool { return g.Name == w.serverGroup && !g.Destroying })
	traffic := []string{}
	others := false
	for _, g := range here {
		if g.Enabled() {
			traffic = append(traffic, fmt.Sprintf("%s (%s) %s", g.Name, g.Spec.Version, shareOf(here, g)))
			others = others || g.Name != w.serverGroup
		}
	}
	runs := strings.Join(traffic, ", ")
	if runs == "" {
		runs = "nothing has traffic"
	}
	wanted := fmt.Sprintf("%s (%s)", w.serverGroup, w.version)
	if i < 0 {
		return []Difference{{Kind: DriftGone, Region: region, ServerGroup: w.serverGroup, Deployed: wanted, Runs: runs, Help: "run its pipeline again: the server group was destroyed"}}
	}
	g := here[i]
	var list []Difference
	if !g.Enabled() || others && !w.coexist {
		list = append(list, Difference{Kind: DriftTraffic, Region: region, ServerGroup: g.Name, Deployed: wanted, Runs: runs,
			Repair: "shift all traffic to " + g.Name + ", as an execution of its own", group: g})
	}
	if have, to := g.Capacity, w.capacity; to != (pipeline.Capacity{}) {
		if len(g.Spec.Scaling) > 0 {
			to.Desired = min(max(have.Desired, to.Min), to.Max) // scaling decides within the bounds
		}
		if have != to {
			list = append(list, Difference{Kind: DriftCapacity, Region: region, ServerGroup: g.Name, Deployed: capacityText(to), Runs: capacityText(have),
				Repair: "resize " + g.Name + " to " + capacityText(to), group: g, capacity: to})
		}
	}
	if len(g.Suspended) > 0 {
		list = append(list, Difference{Kind: DriftPaused, Region: region, ServerGroup: g.Name, Deployed: "no process suspended", Runs: strings.Join(g.Suspended, ", ") + " suspended",
			Repair: "resume " + strings.Join(g.Suspended, ", "), group: g})
	}
	return list
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

// RepairRequest asks for a cluster or a website to be put back to what was last deployed.
type RepairRequest struct {
	Account string `json:"account,omitempty"`
	Cluster string `json:"cluster,omitempty"`
	Site    string `json:"site,omitempty"`
	Key     string `json:"-"`
}

// Repaired is what a repair did and began.
type Repaired struct {
	Done      []string     `json:"done"`
	Execution string       `json:"execution,omitempty"` // shifts the traffic, when that differed
	Left      []Difference `json:"left,omitempty"`      // what a repair cannot do
}

// Repair puts a cluster or a website back to what was last deployed: capacities,
// suspended processes and websites at once, traffic by an execution of its own that
// waits for health before it shifts. Errors: invalid, not_found, conflict (a
// deployment is under way), denied.
func (s *Service) Repair(ctx context.Context, p Principal, r RepairRequest) (Repaired, error) {
	out := Repaired{Done: []string{}}
	if (r.Cluster == "") == (r.Site == "") {
		return out, problem.New(problem.Invalid, opRepair, "name a cluster or a site, not both")
	}
	if r.Site != "" {
		return s.repairSite(ctx, p, r)
	}
	a, c, unknown := s.cluster(ctx, p, r.Account, r.Cluster)
	err := s.perform(ctx, p, opRepair, clusterSubject(r.Account, r.Cluster, c), nil, func() (_ map[string]any, err error) {
		if unknown != nil {
			return nil, unknown
		}
		out, err = s.repairCluster(ctx, p, a, c, r)
		return map[string]any{"done": out.Done, "execution": out.Execution}, err
	})
	return out, err
}

func (s *Service) repairCluster(ctx context.Context, p Principal, a *cloud.Account, c Cluster, r RepairRequest) (Repaired, error) {
	out := Repaired{Done: []string{}}
	d, err := s.driftOf(ctx, c)
	if err != nil {
		return out, err
	}
	if d.Busy != "" {
		return out, problem.New(problem.Conflict, opRepair, "execution %s is changing %s", d.Busy, r.Cluster).WithHelp("wait until it has ended: showrunner executions watch %s", d.Busy)
	}
	astray := map[string][]string{} // server group to regions that need it back in traffic
	for _, x := range d.Differences {
		switch {
		case x.Repair == "":
			out.Left = append(out.Left, x)
		case x.Kind == DriftTraffic:
			astray[x.ServerGroup] = append(astray[x.ServerGroup], x.Region)
		default:
			if err = repairGroup(ctx, a, x, r.Key); err == nil {
				out.Done = append(out.Done, x.Region+": "+x.Repair)
			}
		}
		if err != nil {
			break
		}
	}
	if err == nil && len(astray) > 0 {
		out.Execution, err = s.returnTraffic(ctx, p, c, astray, r.Key)
	}
	return out, err
}

func repairGroup(ctx context.Context, a *cloud.Account, x Difference, key string) error {
	guard := cloud.Guard{LastOne: true}
	key = fmt.Sprintf("%s/%s/%s/%s", key, x.Kind, x.Region, x.ServerGroup)
	switch x.Kind {
	case DriftCapacity:
		return a.Resize(ctx, x.Region, x.ServerGroup, x.capacity, guard, key)
	case DriftLeft:
		return a.Destroy(ctx, x.Region, x.ServerGroup, guard, key)
	}
	return a.Resume(ctx, x.Region, x.ServerGroup, x.group.Suspended, key)
}

// returnTraffic starts an execution that shifts traffic back, a stage for each server group.
func (s *Service) returnTraffic(ctx context.Context, p Principal, c Cluster, astray map[string][]string, key string) (string, error) {
	var stages []pipeline.Stage
	for group, regions := range astray {
		with, err := json.Marshal(pipeline.Rollback{Account: c.Account, Cluster: c.Name, To: group, Regions: regions})
		if err != nil {
			return "", problem.Wrap(err, problem.Internal, opRepair, "encoding the stage")
		}
		stages = append(stages, pipeline.Stage{Name: "repair-" + group[strings.LastIndexByte(group, '-')+1:], Kind: "rollback", With: with})
	}
	slices.SortFunc(stages, func(x, y pipeline.Stage) int { return strings.Compare(x.Name, y.Name) })
	e, _, err := s.Engine.Start(ctx, execution.StartRequest{
		Application: c.Application, Pipeline: RepairPipeline,
		Definition: pipeline.Pipeline{Name: RepairPipeline, Description: "returns the traffic of " + c.Name + " to what was last deployed", Concurrency: pipeline.Queue, Stages: stages},
		Trigger:    map[string]any{"kind": "repair", "actor": p.Name, "subject": c.Name, "message": "repair " + c.Name},
		By:         p.Name, TriggerID: "repair/" + c.Name, EventID: key,
	})
	return e.ID, err
}

// RepairPipeline is the name of the pipeline that repairs of traffic run as.
const RepairPipeline = "repair"
