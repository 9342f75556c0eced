package deploy

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage"
)

// Rollback returns services and websites to earlier versions: the stage kind "rollback".
type Rollback struct {
	accounts Accounts
	http     *http.Client
	now      func() time.Time
}

// NewRollback makes the kind.
func NewRollback(accounts Accounts, client *http.Client, now func() time.Time) *Rollback {
	return &Rollback{accounts: accounts, http: client, now: now}
}

// Name implements stage.Kind.
func (*Rollback) Name() string { return "rollback" }

// Version implements stage.Kind.
func (*Rollback) Version() int { return 1 }

// Tasks implements stage.Kind.
func (k *Rollback) Tasks() []stage.Task {
	return []stage.Task{{Name: "restore", Run: k.run, Resume: k.run}}
}

func (k *Rollback) run(ctx context.Context, in *stage.Input) (stage.Result, error) {
	c := in.Config.(pipeline.Rollback)
	account, err := k.accounts.Account(orLocal(c.Account))
	if err != nil {
		return stage.Result{}, err
	}
	if c.Site != "" {
		return k.site(ctx, in, account, c)
	}
	return k.cluster(ctx, in, account, c)
}

func (k *Rollback) cluster(ctx context.Context, in *stage.Input, account *cloud.Account, c pipeline.Rollback) (stage.Result, error) {
	// The targets are found anew at each call from what the cloud says, until the
	// first shift is written down; from then on the state names them.
	st, err := loadState(ctx, in, account, nil)
	if err != nil {
		return stage.Result{}, err
	}
	restore, spec, failure, err := k.targets(ctx, account, c, st)
	if err != nil || failure != nil {
		return failed(failure), err
	}
	if in.State == nil {
		st.Waves = []pipeline.Wave{{Regions: sortedRegions(restore)}}
	}
	spec.Waves, spec.Restore = st.Waves, restore
	return carry(ctx, in, loopOf(account, k.http, k.now, in), spec, st, func(r rollout.State) map[string]any {
		return map[string]any{"version": spec.Group.Version, "regions": toAny(waveRegions(st.Waves))}
	})
}

// targets chooses, in every region, the group to return to.
func (k *Rollback) targets(ctx context.Context, account *cloud.Account, c pipeline.Rollback, st serviceState) (map[string]string, rollout.Spec, *stage.Failure, error) {
	spec := rollout.Spec{Strategy: pipeline.Strategy{RedBlack: &pipeline.RedBlack{Keep: keepAll}}, Undo: "all", Timeout: 2 * time.Minute}
	regions := c.Regions
	if len(regions) == 0 {
		known, err := account.Regions(ctx)
		if err != nil {
			return nil, spec, nil, err
		}
		for _, r := range known {
			regions = append(regions, r.Name)
		}
	}
	restore := map[string]string{}
	var missing, away []string
	for _, region := range regions {
		if r := st.Rollout.Regions[region]; r != nil && r.New != "" {
			restore[region] = r.New
		}
		groups, err := account.ServerGroups(ctx, region, c.Cluster)
		if err != nil {
			away = append(away, fmt.Sprintf("%s: %v", region, err))
			continue
		}
		if len(groups) == 0 {
			continue // this region never had the cluster
		}
		target, ok := find(groups, restore[region])
		if !ok {
			target, ok = chooseTarget(groups, c.To)
		}
		if !ok {
			missing = append(missing, region)
			continue
		}
		restore[region] = target.Name
		spec.Group = target.Spec
		spec.Group.Capacity = restoredCapacity(target, groups)
	}
	switch {
	case len(missing) > 0:
		return nil, spec, &stage.Failure{Code: "NO_EARLIER_VERSION",
			Cause: fmt.Sprintf("%s keeps no %s in %s", c.Cluster, orPrevious(c.To), strings.Join(missing, ", ")),
			Help:  "showrunner clusters lists what is kept; to deliver an older version again, run its pipeline at that commit"}, nil
	case len(restore) == 0 && len(away) > 0:
		return nil, spec, nil, problem.New(problem.Unavailable, "rollback", "no region could be asked: %s", strings.Join(away, "; "))
	case len(restore) == 0:
		return nil, spec, &stage.Failure{Code: "NO_CLUSTER", Cause: fmt.Sprintf("no region has the cluster %s", c.Cluster), Help: "showrunner clusters lists them"}, nil
	}
	return restore, spec, nil, nil
}

// keepAll keeps every old group: a rollback destroys nothing.
const keepAll = 1000

func find(groups []cloud.ServerGroup, name string) (cloud.ServerGroup, bool) {
	for _, g := range groups {
		if g.Name == name && name != "" {
			return g, true
		}
	}
	return cloud.ServerGroup{}, false
}

// chooseTarget finds the group that to names (a version or a group), else the
// newest kept group that is older than the newest one in traffic. One that
// never served is no version to return to.
func chooseTarget(groups []cloud.ServerGroup, to string) (cloud.ServerGroup, bool) {
	present := -1
	for i, g := range groups {
		if g.Enabled() {
			present = i
		}
	}
	for i := len(groups) - 1; i >= 0; i-- {
		g := groups[i]
		if g.Destroying {
			continue
		}
		if to != "" {
			if g.Name == to || g.Spec.Version == to || strings.HasSuffix(g.Name, "-"+to) {
				return g, true
			}
			continue
		}
		if i < present || present < 0 {
			return g, true
		}
	}
	return cloud.ServerGroup{}, false
}

// restoredCapacity is what the group returns with: as much as serves now, so
// that the shift loses nothing, within what the group was made for.
func restoredCapacity(target cloud.ServerGroup, groups []cloud.ServerGroup) pipeline.Capacity {
	c := target.Spec.Capacity
	for _, g := range groups {
		if g.Enabled() {
			c.Desired = max(c.Desired, g.Capacity.Desired)
		}
	}
	c.Max = max(c.Max, c.Desired)
	return c
}

func orPrevious(to string) string {
	if to == "" {
		return "earlier version"
	}
	return "version " + to
}

func sortedRegions(m map[string]string) []string {
	list := make([]string, 0, len(m))
	for r := range m {
		list = append(list, r)
	}
	slices.Sort(list)
	return list
}

func toAny(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}
