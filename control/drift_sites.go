package control

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/problem"
)

// siteSeen is a website as its regions tell it.
type siteSeen struct {
	name, account, application string
	history                    map[string][]cloud.SiteDeployment // by region, newest first
	changes                    map[string][]cloud.SiteChange     // by region
	away                       map[string]string                 // regions that cannot be asked, with the reason
}

// part names the part of a site that a deployment replaces.
func part(d cloud.SiteDeployment) string { return d.Prefix + "\x00" + d.Archive }

// published is what a stage left of one part of a site in one region.
type published struct{ deployment, version string }

// siteDrift compares websites, of an application or one by name.
func (s *Service) siteDrift(ctx context.Context, p Principal, account, application, site string) ([]Drift, error) {
	all, err := s.Sites(ctx, p)
	if err != nil {
		return nil, err
	}
	var list []Drift
	for _, st := range all {
		if account != "" && st.Account != account || site != "" && st.Name != site {
			continue
		}
		seen, err := s.seeSite(ctx, st)
		if err != nil {
			return nil, err
		}
		d, err := s.driftOfSite(ctx, &seen)
		if err != nil {
			return nil, err
		}
		if application == "" || d.Application == application {
			list = append(list, d)
		}
	}
	return list, nil
}

// seeSite asks every region what it serves of a site.
func (s *Service) seeSite(ctx context.Context, st SiteStatus) (siteSeen, error) {
	seen := siteSeen{name: st.Name, account: st.Account, history: map[string][]cloud.SiteDeployment{}, changes: map[string][]cloud.SiteChange{}, away: map[string]string{}}
	a, err := s.Accounts.Account(st.Account)
	if err != nil {
		return seen, err
	}
	sites, err := a.Sites()
	if err != nil {
		return seen, err
	}
	regions, err := a.Regions(ctx)
	if err != nil {
		return seen, err
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, r := range regions {
		wg.Go(func() {
			ctx, cancel := asking(ctx, r)
			defer cancel()
			history, err := sites.Deployments(ctx, r.Name, st.Name)
			var changes []cloud.SiteChange
			if err == nil {
				changes, err = sites.Changes(ctx, r.Name, st.Name)
			}
			mu.Lock()
			defer mu.Unlock()
			if err != nil && problem.CodeOf(err) != problem.NotFound {
				seen.away[r.Name] = err.Error()
				return
			}
			seen.history[r.Name], seen.changes[r.Name] = history, changes
		})
	}
	wg.Wait()
	return seen, nil
}

// driftOfSite finds what was last deployed of a site, and compares.
func (s *Service) driftOfSite(ctx context.Context, seen *siteSeen) (Drift, error) {
	d := Drift{Site: seen.name, Account: seen.account, Differences: []Difference{}}
	ids := map[string]bool{}
	parts := map[string]cloud.SiteDeployment{} // by deployment
	for _, history := range seen.history {
		for _, x := range history {
			parts[x.ID] = x
			if x.Execution != "" {
				ids[x.Execution] = true
			}
		}
	}
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(ids))) { // the newest first
		e, err := s.Engine.Get(ctx, id)
		if problem.CodeOf(err) == problem.NotFound {
			continue // retention has removed it
		}
		if err != nil {
			return d, err
		}
		seen.application = e.Application
		break
	}
	d.Application = seen.application
	if seen.application == "" {
		return d, nil
	}
	executions, err := s.executionsOf(ctx, seen.application, ids)
	if err != nil {
		return d, err
	}
	want := map[string]map[string]published{}
	for _, e := range executions {
		for _, st := range e.Stages {
			if st.Kind != "deploy-site" && st.Kind != "rollback" {
				continue
			}
			if !st.Status.Complete() && e.Status == execution.Running && st.Phase != execution.PhaseHeld && st.Status != execution.NotStarted && siteOf(e, st) == seen.name {
				d.Busy = e.ID
			}
			if publishedBy(st, parts, want) && d.Execution == "" {
				d.Execution, d.Version = e.ID, fmt.Sprint(st.Outputs["version"])
			}
		}
	}
	d.Differences = append(d.Differences, compareSite(*seen, want)...)
	return d, nil
}

// siteOf is the site that a stage is about, as its definition has it.
func siteOf(e execution.Execution, st execution.StageState) string {
	if e.Definition == nil {
		return ""
	}
	for _, def := range e.Definition.Stages {
		var with struct{ Site string }
		if def.Name == st.Name && json.Unmarshal(def.With, &with) == nil {
			return with.Site
		}
	}
	return ""
}

// publishedBy adds what a stage that succeeded left of a site to what is wanted, by
// part and region, unless something newer is there. It says whether the stage is
// about the site at all.
func publishedBy(st execution.StageState, parts map[string]cloud.SiteDeployment, want map[string]map[string]published) bool {
	id, _ := st.Outputs["deployment"].(string)
	d, known := parts[id]
	regions, _ := st.Outputs["regions"].([]any)
	if !known || st.Status != execution.Succeeded {
		return false
	}
	if want[part(d)] == nil {
		want[part(d)] = map[string]published{}
	}
	for _, r := range regions {
		if _, newer := want[part(d)][fmt.Sprint(r)]; !newer {
			want[part(d)][fmt.Sprint(r)] = published{id, d.Version}
		}
	}
	return true
}

// compareSite is the pure part: what differs, region by region.
func compareSite(seen siteSeen, want map[string]map[string]published) []Difference {
	var list []Difference
	for of, regions := range want {
		for region, w := range regions {
			named := w.deployment + " (" + w.version + ")"
			x := Difference{Region: region, Deployment: w.deployment, Deployed: named}
			history := seen.history[region]
			live := slices.IndexFunc(history, func(d cloud.SiteDeployment) bool { return d.Current && part(d) == of })
			kept := slices.ContainsFunc(history, func(d cloud.SiteDeployment) bool { return d.ID == w.deployment })
			switch why, away := seen.away[region]; {
			case away:
				x.Kind, x.Runs, x.Help = DriftUnknown, "cannot be asked: "+why, "bring the region back and ask again"
			case live >= 0 && history[live].ID == w.deployment:
				if x = changedObjects(x, seen.changes[region]); len(x.Objects) == 0 {
					continue
				}
			default:
				x.Kind, x.Runs = DriftDeployment, "nothing is live"
				if live >= 0 {
					x.Runs = history[live].ID + " (" + history[live].Version + ")"
				}
				x.Repair = "return to " + named
				if !kept {
					x.Repair, x.Help = "", "run its pipeline again: the region does not keep the deployment"
				}
			}
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b Difference) int {
		return strings.Compare(a.Region+"\x00"+a.Deployment, b.Region+"\x00"+b.Deployment)
	})
	return list
}

// changedObjects adds the changes of a deployment's objects to a difference.
func changedObjects(x Difference, changes []cloud.SiteChange) Difference {
	const shown = 3
	var told []string
	for _, c := range changes {
		if c.Deployment != x.Deployment {
			continue
		}
		if x.Objects = append(x.Objects, c); len(told) < shown {
			told = append(told, c.Key+" "+c.Change)
		}
	}
	if more := len(x.Objects) - shown; more > 0 {
		told = append(told, fmt.Sprintf("%d more", more))
	}
	x.Kind, x.Runs, x.Repair = DriftObjects, strings.Join(told, ", "), "place the objects of "+x.Deployment+" again"
	return x
}

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
	found, err := s.siteDrift(ctx, p, r.Account, "", r.Site)
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
