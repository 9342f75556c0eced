package control

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/problem"
)

// siteSeen is a website as its regions tell it.
type siteSeen struct {
	name, account string
	regions       []string                          // of the account
	history       map[string][]cloud.SiteDeployment // by region, newest first
	changes       map[string][]cloud.SiteChange     // by region
	unreachable   map[string]string                 // regions that cannot be asked, with the reason
	unknown       map[string]bool                   // executions that this control plane knows nothing of
	restored      time.Time                         // of the state, from a backup; zero: never
}

// siteDrift compares websites that are there, and those that should be: of an
// application, or one by name.
func (s *Service) siteDrift(ctx context.Context, p Principal, account, application, site string, restored time.Time) ([]Drift, error) {
	all, err := s.Sites(ctx, p)
	if err != nil {
		return nil, err
	}
	kept, err := s.deployed(ctx, KindSite, "", "")
	if err != nil {
		return nil, err
	}
	want := map[[2]string][]Deployed{} // by account and site
	for _, d := range kept {
		id := [2]string{d.Account, d.Name}
		want[id] = append(want[id], d)
		if !slices.ContainsFunc(all, func(st SiteStatus) bool { return st.Account == d.Account && st.Name == d.Name }) {
			all = append(all, SiteStatus{Account: d.Account, Name: d.Name})
		}
	}
	var list []Drift
	for _, st := range all {
		if account != "" && st.Account != account || site != "" && st.Name != site {
			continue
		}
		of := want[[2]string{st.Account, st.Name}]
		d, err := s.driftOfSite(ctx, st, of, restored)
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
	seen := siteSeen{name: st.Name, account: st.Account, history: map[string][]cloud.SiteDeployment{}, changes: map[string][]cloud.SiteChange{}, unreachable: map[string]string{}}
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
	for _, r := range regions {
		seen.regions = append(seen.regions, r.Name)
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
				seen.unreachable[r.Name] = unreachableText(err)
				return
			}
			seen.history[r.Name], seen.changes[r.Name] = history, changes
		})
	}
	wg.Wait()
	return seen, nil
}

// driftOfSite compares a site with what was last put into traffic of it.
func (s *Service) driftOfSite(ctx context.Context, st SiteStatus, want []Deployed, restored time.Time) (Drift, error) {
	d := Drift{Site: st.Name, Account: st.Account, Differences: []Difference{}}
	seen, err := s.seeSite(ctx, st)
	if err != nil {
		return d, err
	}
	seen.restored = restored
	var newest Deployed
	for _, w := range want {
		if newest.Execution == "" || w.after(newest) {
			newest = w
		}
	}
	d.Execution, d.Version, d.Application = newest.Execution, newest.Version, newest.Application
	if seen.unknown, err = s.unknownExecutions(ctx, &d, seen); err != nil {
		return d, err
	}
	if d.Busy, err = s.changesSite(ctx, d.Application, st.Name); err != nil {
		return d, err
	}
	d.Differences = append(d.Differences, compareSite(seen, want)...)
	return d, nil
}

// unknownExecutions are those that put live deployments of the site there and are
// not known here. Where nothing is kept of the site, a known one names its application.
func (s *Service) unknownExecutions(ctx context.Context, d *Drift, seen siteSeen) (map[string]bool, error) {
	unknown, asked := map[string]bool{}, map[string]bool{}
	for _, history := range seen.history {
		for _, x := range history {
			if !x.Current || x.Execution == "" || asked[x.Execution] {
				continue
			}
			asked[x.Execution] = true
			e, err := s.Engine.Get(ctx, x.Execution)
			switch {
			case problem.CodeOf(err) == problem.NotFound:
				unknown[x.Execution] = true
			case err != nil:
				return nil, err
			case d.Application == "":
				d.Application = e.Application
			}
		}
	}
	return unknown, nil
}

// changesSite is the running execution of an application that changes a site now; "" without one.
func (s *Service) changesSite(ctx context.Context, application, site string) (string, error) {
	if application == "" {
		return "", nil
	}
	page, err := s.Engine.List(ctx, execution.Query{Application: application, Statuses: []execution.Status{execution.Running}, Limit: 100})
	if err != nil {
		return "", err
	}
	for _, head := range page.Executions {
		e, err := s.Engine.Get(ctx, head.ID)
		if problem.CodeOf(err) == problem.NotFound {
			continue
		}
		if err != nil {
			return "", err
		}
		for _, st := range e.Stages {
			begun := !st.Status.Complete() && st.Status != execution.NotStarted && st.Phase != execution.PhaseHeld
			if name, _, _ := siteOf(e, st); begun && (st.Kind == "deploy-site" || st.Kind == "rollback") && name == site {
				return e.ID, nil
			}
		}
	}
	return "", nil
}

// compareSite is the pure part: what differs, region by region.
func compareSite(seen siteSeen, want []Deployed) []Difference {
	var list []Difference
	for _, w := range want {
		if x, differs := comparePart(seen, w); differs {
			list = append(list, x)
		}
	}
	slices.SortFunc(list, func(a, b Difference) int {
		return strings.Compare(a.Region+"\x00"+a.Deployment, b.Region+"\x00"+b.Deployment)
	})
	return list
}

func comparePart(seen siteSeen, w Deployed) (Difference, bool) {
	named := w.Deployment + " (" + w.Version + ")"
	x := Difference{Region: w.Region, Deployment: w.Deployment, Deployed: named}
	history := seen.history[w.Region]
	live := slices.IndexFunc(history, func(d cloud.SiteDeployment) bool {
		return d.Current && d.Prefix == w.Prefix && d.Archive == w.Archive
	})
	why, unreachable := seen.unreachable[w.Region]
	if !slices.Contains(seen.regions, w.Region) {
		why, unreachable = "it is no region of this control plane", true
	}
	orForget := "or say that it is gone on purpose: showrunner drift --site " + w.Name + " --forget"
	switch {
	case unreachable:
		x.Kind, x.Runs, x.Help = DriftUnknown, "cannot be asked: "+why, "bring the region back and ask again, "+orForget
		return x, true
	case live >= 0 && history[live].ID == w.Deployment:
		x = changedObjects(x, seen.changes[w.Region])
		return x, len(x.Objects) > 0
	}
	x.Kind, x.Runs, x.Lost = DriftDeployment, "nothing is live", live < 0
	if live >= 0 {
		x.Runs = history[live].ID + " (" + history[live].Version + ")"
		if x.Help = seen.doubt(w, history[live]); x.Help != "" {
			x.Kind = DriftNewer
			return x, true
		}
	}
	if slices.ContainsFunc(history, func(d cloud.SiteDeployment) bool { return d.ID == w.Deployment }) {
		x.Repair = "return to " + named
	} else {
		x.Help = "the region does not keep the deployment: run its pipeline again, " + orForget
	}
	return x, true
}

// doubt says why what is live instead of the deployment expected may be right: then
// nothing is repaired. Empty: nothing speaks for it.
func (seen siteSeen) doubt(w Deployed, live cloud.SiteDeployment) string {
	at, err := time.Parse(time.RFC3339Nano, live.At)
	switch {
	case seen.unknown[live.Execution] && (err != nil || at.After(w.At)):
		return "execution " + live.Execution + " put it there, and is not known to this control plane: run the pipeline, or roll back, to say what is right"
	case w.At.Before(seen.restored):
		return "this control plane was restored from a backup at " + seen.restored.Format(time.RFC3339) + " and does not know what was published shortly before: run the pipeline, or roll back, to say what is right"
	}
	return ""
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
