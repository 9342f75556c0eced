package control

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/rollout"
)

// Kept is a cluster or a website with the versions that a rollback of it can return to.
type Kept struct {
	Kind        SubjectKind   `json:"kind"` // cluster or site
	Account     string        `json:"account"`
	Name        string        `json:"name"`
	Application string        `json:"application,omitempty"`
	Versions    []KeptVersion `json:"versions"` // newest first
	// Unreachable names the regions that could not be asked, with the reason.
	Unreachable map[string]string `json:"unreachable,omitempty"`
}

// KeptVersion is one version that a rollback can return to.
type KeptVersion struct {
	// Name and Version are what a rollback takes as its target. Name is the server
	// group or the deployment, Version what it was made from; two groups may have one
	// version, of which a rollback takes the newer.
	Name    string    `json:"name"`
	Version string    `json:"version"`
	Created time.Time `json:"created"`
	Regions []string  `json:"regions"`        // that keep it
	Live    []string  `json:"live,omitempty"` // regions where it has traffic now
	// Before says that a rollback without a target returns to it, in these regions.
	Before []string `json:"before,omitempty"`
	// The execution that made it. Number, Pipeline and Revision are empty once the
	// execution is no longer kept.
	Execution string              `json:"execution,omitempty"`
	Number    int                 `json:"number,omitempty"`
	Pipeline  string              `json:"pipeline,omitempty"`
	Revision  *execution.Revision `json:"revision,omitempty"`
}

// ListKept lists what rollbacks can return to: of the cluster or website of a name, or
// of every one. An empty account is every account. Errors: not_found (there is neither a
// cluster nor a website of that name), denied, unavailable.
func (s *Service) ListKept(ctx context.Context, p Principal, account, name string) ([]Kept, error) {
	clusters, err := s.Clusters(ctx, p, account, "", name)
	if err != nil && (name == "" || problem.CodeOf(err) != problem.NotFound) {
		return nil, err
	}
	list := []Kept{}
	for _, c := range clusters {
		list = append(list, keptOfCluster(c))
	}
	sites, err := s.Sites(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, st := range sites {
		if name != "" && st.Name != name || account != "" && st.Account != account {
			continue
		}
		deployments, err := s.SiteDeployments(ctx, p, st.Account, st.Name)
		if err != nil {
			return nil, err
		}
		list = append(list, keptOfSite(st, deployments))
	}
	if name != "" && len(list) == 0 {
		return nil, problem.New(problem.NotFound, "rollback", "neither a cluster nor a website is called %s", name).
			WithHelp("showrunner clusters and showrunner sites list them")
	}
	for i := range list {
		s.describeKept(ctx, list[i].Versions)
	}
	return list, nil
}

// describeKept fills in the executions that made versions.
func (s *Service) describeKept(ctx context.Context, versions []KeptVersion) {
	for i := range versions {
		v := &versions[i]
		if e, err := s.Engine.Get(ctx, v.Execution); v.Execution != "" && err == nil { // else it is no longer kept
			v.Number, v.Pipeline, v.Revision = e.Number, e.Pipeline, e.Revision
		}
	}
}

// keptOfCluster asks the rollout's own rule which groups can be returned to.
func keptOfCluster(c Cluster) Kept {
	k := Kept{Kind: KindCluster, Account: c.Account, Name: c.Name, Application: c.Application, Unreachable: c.Unreachable, Versions: []KeptVersion{}}
	byRegion := map[string][]cloud.ServerGroup{}
	for _, g := range c.Groups {
		byRegion[g.Region] = append(byRegion[g.Region], g)
	}
	before, _ := rollout.Restorable(byRegion, "", nil)
	seen := map[string]bool{}
	for _, g := range c.Groups {
		if seen[g.Name] {
			continue
		}
		seen[g.Name] = true
		chosen, _ := rollout.Restorable(byRegion, g.Name, nil)
		if len(chosen) == 0 {
			continue
		}
		v := KeptVersion{Name: g.Name}
		for _, region := range slices.Sorted(maps.Keys(chosen)) {
			to := chosen[region]
			v.Version, v.Execution = to.Spec.Version, cmp.Or(v.Execution, to.Spec.Execution)
			v.Regions = append(v.Regions, region)
			if to.Created.After(v.Created) {
				v.Created = to.Created
			}
			if to.Enabled() {
				v.Live = append(v.Live, region)
			}
			if b, ok := before[region]; ok && b.Name == to.Name {
				v.Before = append(v.Before, region)
			}
		}
		k.Versions = append(k.Versions, v)
	}
	sortKept(k.Versions)
	return k
}

func keptOfSite(st SiteStatus, deployments []cloud.SiteDeployment) Kept {
	k := Kept{Kind: KindSite, Account: st.Account, Name: st.Name, Application: st.Application, Unreachable: st.Unreachable, Versions: []KeptVersion{}}
	before := map[string]string{} // by region
	for _, d := range deployments {
		if d.Current && d.Previous != "" {
			before[d.Region] = d.Previous
		}
	}
	for _, d := range deployments {
		i := slices.IndexFunc(k.Versions, func(v KeptVersion) bool { return v.Name == d.ID })
		if i < 0 {
			i = len(k.Versions)
			k.Versions = append(k.Versions, KeptVersion{Name: d.ID, Version: d.Version, Execution: d.Execution})
		}
		v := &k.Versions[i]
		if at, err := time.Parse(time.RFC3339, d.At); err == nil && at.After(v.Created) {
			v.Created = at
		}
		v.Regions = append(v.Regions, d.Region)
		if d.Current {
			v.Live = append(v.Live, d.Region)
		}
		if before[d.Region] == d.ID {
			v.Before = append(v.Before, d.Region)
		}
	}
	for _, v := range k.Versions { // regions answer in any order
		slices.Sort(v.Regions)
		slices.Sort(v.Live)
		slices.Sort(v.Before)
	}
	sortKept(k.Versions)
	return k
}

func sortKept(versions []KeptVersion) {
	slices.SortStableFunc(versions, func(a, b KeptVersion) int {
		return cmp.Or(b.Created.Compare(a.Created), strings.Compare(b.Name, a.Name))
	})
}
