package deploy

import (
	"context"
	"fmt"
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
type Rollback struct{ *Rollouts }

// NewRollback makes the kind.
func NewRollback(r *Rollouts) *Rollback { return &Rollback{r} }

// Name implements stage.Kind.
func (*Rollback) Name() string { return "rollback" }

// Version implements stage.Kind.
func (*Rollback) Version() int { return 1 }

// Tasks implements stage.Kind.
func (k *Rollback) Tasks() []stage.Task {
	return []stage.Task{{Name: "restore", Run: k.run, Resume: k.run, Cancel: k.cancel, Watches: true}}
}

// cancel returns a cluster's traffic to its state before the rollback. The
// rollback of a website is short and switches each region in one step, so
// finished regions stay switched.
func (k *Rollback) cancel(ctx context.Context, in *stage.Input) error {
	c := in.Config.(pipeline.Rollback)
	if c.Site != "" || in.State == nil {
		return nil
	}
	account, err := k.Accounts.Account(accountOrLocal(c.Account))
	if err != nil {
		return err
	}
	st, err := loadState(ctx, in, account, nil)
	if err != nil {
		return err
	}
	if st.Rollout.Version == 0 {
		return nil // it was waiting for another rollout
	}
	to, _, failure, err := k.target(ctx, account, c, st)
	if err != nil {
		return err
	}
	if failure != nil {
		return problem.New(problem.Precondition, "rollback.cancel", "%s", failure.Cause)
	}
	return k.job(in, account, to.spec(c, st.Waves)).stop(ctx, st)
}

func (k *Rollback) run(ctx context.Context, in *stage.Input) (stage.Result, error) {
	c := in.Config.(pipeline.Rollback)
	account, err := k.Accounts.Account(accountOrLocal(c.Account))
	if err != nil {
		return stage.Result{}, err
	}
	if c.Site != "" {
		return k.site(ctx, in, account, c)
	}
	return k.cluster(ctx, in, account, c)
}

func (k *Rollback) cluster(ctx context.Context, in *stage.Input, account *cloud.Account, c pipeline.Rollback) (stage.Result, error) {
	st, err := loadState(ctx, in, account, nil)
	if err != nil {
		return stage.Result{}, err
	}
	// Until the rollback has its claim, each call chooses the target anew from
	// the present state of the cloud; afterwards the saved state names the
	// target.
	if st.Rollout.Version == 0 && len(st.Claimed) == 0 {
		if st.Claimed, err = regionsToAsk(ctx, account, c); err != nil {
			return stage.Result{}, err
		}
	}
	to, unreachable, failure, err := k.target(ctx, account, c, st)
	if err != nil || failure != nil {
		return stage.FailIf(failure), err
	}
	if st.Rollout.Version == 0 {
		st.Waves = []pipeline.Wave{{Regions: sortedRegions(to.Groups)}}
		st.Unreachable = unreachable
	}
	j := k.job(in, account, to.spec(c, st.Waves))
	if answer, err := k.begin(ctx, in, j.subject(st), &st); err != nil || answer != nil {
		return answer.OrNone(), err
	}
	st.Target = &to
	result, err := j.carry(ctx, st, func(r rollout.State) map[string]any {
		return outputsOf(r, c.Account, c.Cluster, j.spec, map[string]any{"regions": toAny(waveRegions(st.Waves))})
	})
	if err == nil && result.Outcome == stage.Done && len(st.Unreachable) > 0 {
		partly := stage.Fail(partialRollback(c, to, st))
		partly.Outputs = result.Outputs
		return partly, nil
	}
	return result, err
}

// partly is the failure of a rollback that was done only in the regions that
// could be reached.
func partialRollback(c pipeline.Rollback, to target, st serviceState) stage.Failure {
	f := stage.Failure{Code: "ROLLED_BACK_PARTLY", Retryable: true,
		Cause: fmt.Sprintf("%s is back at %s in %s; %s could not be asked and may come back with the version that was rolled back", c.Cluster, to.Version,
			strings.Join(waveRegions(st.Waves), ", "), strings.Join(sortedRegions(st.Unreachable), ", ")),
		Help: fmt.Sprintf("once it answers: showrunner rollback %s --to %s --region %s", c.Cluster, to.Version, strings.Join(sortedRegions(st.Unreachable), ","))}
	for _, region := range sortedRegions(st.Unreachable) {
		f.Evidence = append(f.Evidence, region+": "+st.Unreachable[region])
	}
	return f
}

// target is the version and the groups that a rollback returns to.
type target struct {
	Groups   map[string]string `json:"groups"` // by region
	Version  string            `json:"version"`
	Capacity pipeline.Capacity `json:"capacity"` // that the version was created with
}

// spec is the rollout that returns to the target.
func (t target) spec(c pipeline.Rollback, waves []pipeline.Wave) rollout.Spec {
	return rollout.Spec{Group: cloud.ServerGroupSpec{Cluster: c.Cluster, Version: t.Version, Capacity: t.Capacity}, Waves: waves, Restore: t.Groups,
		Strategy: pipeline.Strategy{RedBlack: &pipeline.RedBlack{Keep: keepAll}}, Undo: "all", Timeout: 2 * time.Minute}
}

// target returns the target that the rollback's state names. Before there is one,
// it chooses in every region the group to return to. When no version is asked
// for, only regions that serve the newest version are changed: the others already
// serve an earlier one. away are the unreachable regions, with the reason.
func (k *Rollback) target(ctx context.Context, account *cloud.Account, c pipeline.Rollback, st serviceState) (t target, unreachable map[string]string, failure *stage.Failure, err error) {
	if st.Target != nil {
		return *st.Target, nil, nil, nil
	}
	t, unreachable = target{Groups: map[string]string{}}, map[string]string{}
	regions := st.Claimed
	if st.Rollout.Version != 0 { // begun by an earlier version of this program, which saved no target
		regions = waveRegions(st.Waves)
	}
	observed := map[string][]cloud.ServerGroup{}
	for _, region := range regions {
		if r := st.Rollout.Regions[region]; r != nil && r.New != "" {
			t.Groups[region] = r.New
		}
		groups, err := account.ServerGroups(ctx, region, c.Cluster)
		if err != nil {
			unreachable[region] = problem.Text(err)
		} else if len(groups) > 0 {
			observed[region] = groups
		}
	}
	if len(observed) == 0 && len(unreachable) > 0 {
		return t, nil, nil, problem.New(problem.Unavailable, "rollback", "no region could be asked: %s", strings.Join(sortedRegions(unreachable), ", "))
	}
	chosen, missing := rollout.Restorable(observed, c.To, t.Groups)
	for _, region := range sortedRegions(chosen) {
		t.Groups[region], t.Version, t.Capacity = chosen[region].Name, chosen[region].Spec.Version, chosen[region].Spec.Capacity
	}
	switch {
	case len(missing) > 0:
		return t, nil, &stage.Failure{Code: "NO_EARLIER_VERSION",
			Cause: fmt.Sprintf("%s keeps no %s in %s", c.Cluster, orPrevious(c.To), strings.Join(missing, ", ")),
			Help:  fmt.Sprintf("`showrunner rollback %s --list` lists the versions that are kept; to deliver an older version again, run its pipeline at that commit", c.Cluster)}, nil
	case len(t.Groups) == 0:
		return t, nil, &stage.Failure{Code: "NO_CLUSTER", Cause: fmt.Sprintf("no region has the cluster %s", c.Cluster), Help: "showrunner clusters lists them"}, nil
	}
	return t, unreachable, nil, nil
}

// regionsToAsk are the regions that the stage names, otherwise all of the
// account's.
func regionsToAsk(ctx context.Context, account *cloud.Account, c pipeline.Rollback) ([]string, error) {
	if len(c.Regions) > 0 {
		return c.Regions, nil
	}
	known, err := account.Regions(ctx)
	if err != nil {
		return nil, err
	}
	regions := make([]string, len(known))
	for i, r := range known {
		regions[i] = r.Name
	}
	return regions, nil
}

// keepAll keeps every old group: a rollback destroys no group.
const keepAll = 1000

func orPrevious(to string) string {
	if to == "" {
		return "earlier version"
	}
	return fmt.Sprintf("version %q", to)
}

func sortedRegions[V any](m map[string]V) []string {
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
