package control

import (
	"cmp"
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
	d, err := s.driftForRepair(ctx, a, c)
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

// driftForRepair compares one cluster, from what is known now alone.
func (s *Service) driftForRepair(ctx context.Context, a *cloud.Account, c Cluster) (Drift, error) {
	if err := s.readDeployed(ctx); err != nil {
		return Drift{}, err
	}
	restored, err := s.restoredAt(ctx)
	if err != nil {
		return Drift{}, err
	}
	_, known, err := s.withMissing(ctx, a, c.Name)
	if err != nil {
		return Drift{}, err
	}
	want := known[c.Name]
	want.restored = restored
	return s.compareWith(ctx, c, want)
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

// repairSite returns a site to what was last deployed, region by region. Nothing travels.
func (s *Service) repairSite(ctx context.Context, p Principal, r RepairRequest) (Repaired, error) {
	out := Repaired{Done: []string{}}
	r.Account = cmp.Or(r.Account, DefaultAccount)
	err := s.perform(ctx, p, opRepair, Subject{Kind: KindSite, Name: r.Site, Account: r.Account}, nil, func() (_ map[string]any, err error) {
		out, err = s.returnSite(ctx, p, r)
		return map[string]any{"done": out.Done}, err
	})
	return out, err
}

func (s *Service) returnSite(ctx context.Context, p Principal, r RepairRequest) (Repaired, error) {
	out := Repaired{Done: []string{}}
	if err := s.readDeployed(ctx); err != nil {
		return out, err
	}
	restored, err := s.restoredAt(ctx)
	if err != nil {
		return out, err
	}
	found, err := s.siteDrift(ctx, p, r.Account, "", r.Site, restored)
	if err != nil {
		return out, err
	}
	if len(found) == 0 {
		return out, problem.New(problem.NotFound, opRepair, "there is no site %q in account %s", r.Site, r.Account).WithHelp("showrunner sites lists them")
	}
	d := found[0]
	if d.Busy != "" {
		return out, problem.New(problem.Conflict, opRepair, "execution %s is changing %s", d.Busy, r.Site).WithHelp("wait until it has ended: showrunner executions watch %s", d.Busy)
	}
	a, err := s.Accounts.Account(r.Account)
	if err != nil {
		return out, err
	}
	sites, err := a.Sites()
	if err != nil {
		return out, err
	}
	for _, x := range d.Differences {
		if x.Repair == "" {
			out.Left = append(out.Left, x)
			continue
		}
		if _, err = sites.Activate(ctx, x.Region, r.Site, x.Deployment, fmt.Sprintf("%s/%s/%s", r.Key, x.Region, x.Deployment)); err != nil {
			break
		}
		out.Done = append(out.Done, x.Region+": "+x.Repair)
	}
	return out, err
}
