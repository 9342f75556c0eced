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
	claims   *Claims
}

// NewRollback makes the kind.
func NewRollback(accounts Accounts, client *http.Client, now func() time.Time, claims *Claims) *Rollback {
	return &Rollback{accounts: accounts, http: client, now: now, claims: claims}
}

// Name implements stage.Kind.
func (*Rollback) Name() string { return "rollback" }

// Version implements stage.Kind.
func (*Rollback) Version() int { return 1 }

// Tasks implements stage.Kind.
func (k *Rollback) Tasks() []stage.Task {
	return []stage.Task{{Name: "restore", Run: k.run, Resume: k.run, Cancel: k.cancel}}
}

// cancel puts a cluster's traffic back to where it was. A website's restoring is
// short and switches each region in one step: what is done stays.
func (k *Rollback) cancel(ctx context.Context, in *stage.Input) error {
	c := in.Config.(pipeline.Rollback)
	if c.Site != "" || in.State == nil {
		return nil
	}
	account, err := k.accounts.Account(orLocal(c.Account))
	if err != nil {
		return err
	}
	st, err := loadState(ctx, in, account, nil)
	if err != nil {
		return err
	}
	if st.Rollout.Version == 0 {
		return nil // it waited for another
	}
	t, failure, err := k.targets(ctx, account, c, st)
	if err != nil || failure != nil {
		return err
	}
	t.spec.Waves = st.Waves
	return job{in: in, loop: loopOf(account, k.http, k.now, in), spec: t.spec}.abort(ctx, st)
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
	t, failure, err := k.targets(ctx, account, c, st)
	if err != nil || failure != nil {
		return stage.FailIf(failure), err
	}
	if st.Rollout.Version == 0 {
		st.Waves = []pipeline.Wave{{Regions: sortedRegions(t.spec.Restore)}}
		st.Away = t.away
	}
	t.spec.Waves = st.Waves
	if answer, err := k.claims.begin(ctx, in, orLocal(c.Account), c.Cluster, &st); err != nil || answer != nil {
		return answer.OrNone(), err
	}
	j := job{in: in, loop: loopOf(account, k.http, k.now, in), claims: k.claims, account: orLocal(c.Account), spec: t.spec}
	result, err := j.carry(ctx, st, func(r rollout.State) map[string]any {
		return left(r, c.Account, c.Cluster, t.spec, map[string]any{"regions": toAny(waveRegions(st.Waves))})
	})
	if err == nil && result.Outcome == stage.Done && len(st.Away) > 0 {
		partly := stage.Fail(partly(c, t, st))
		partly.Outputs = result.Outputs
		return partly, nil
	}
	return result, err
}

// partly is the failure of a rollback that is done where regions could be asked.
func partly(c pipeline.Rollback, t targets, st serviceState) stage.Failure {
	f := stage.Failure{Code: "ROLLED_BACK_PARTLY", Retryable: true,
		Cause: fmt.Sprintf("%s is back at %s in %s; %s could not be asked and may come back with the version that was rolled back", c.Cluster, t.spec.Group.Version,
			strings.Join(waveRegions(st.Waves), ", "), strings.Join(sortedRegions(st.Away), ", ")),
		Help: fmt.Sprintf("once it answers: showrunner rollback %s --to %s --region %s", c.Cluster, t.spec.Group.Version, strings.Join(sortedRegions(st.Away), ","))}
	for _, region := range sortedRegions(st.Away) {
		f.Evidence = append(f.Evidence, region+": "+st.Away[region])
	}
	return f
}

// targets are what a rollback returns to.
type targets struct {
	spec rollout.Spec
	away map[string]string // regions that could not be asked, with the reason
}

// targets chooses, in every region, the group to return to. Without a version
// asked for, only regions that serve the newest version are touched: the others
// are before it already.
func (k *Rollback) targets(ctx context.Context, account *cloud.Account, c pipeline.Rollback, st serviceState) (targets, *stage.Failure, error) {
	t := targets{away: map[string]string{}, spec: rollout.Spec{Strategy: pipeline.Strategy{RedBlack: &pipeline.RedBlack{Keep: keepAll}}, Undo: "all",
		Timeout: 2 * time.Minute, Restore: map[string]string{}}}
	regions := c.Regions
	if st.Rollout.Version != 0 {
		regions = waveRegions(st.Waves)
	} else if len(regions) == 0 {
		known, err := account.Regions(ctx)
		if err != nil {
			return t, nil, err
		}
		for _, r := range known {
			regions = append(regions, r.Name)
		}
	}
	observed := map[string][]cloud.ServerGroup{}
	for _, region := range regions {
		if r := st.Rollout.Regions[region]; r != nil && r.New != "" {
			t.spec.Restore[region] = r.New
		}
		groups, err := account.ServerGroups(ctx, region, c.Cluster)
		if err != nil {
			t.away[region] = err.Error()
		} else if len(groups) > 0 {
			observed[region] = groups
		}
	}
	if len(observed) == 0 && len(t.away) > 0 {
		return t, nil, problem.New(problem.Unavailable, "rollback", "no region could be asked: %s", strings.Join(sortedRegions(t.away), ", "))
	}
	chosen, missing := rollout.Restorable(observed, c.To, t.spec.Restore)
	for region, target := range chosen {
		t.spec.Restore[region] = target.Name
	}
	for _, region := range sortedRegions(chosen) {
		t.spec.Group = chosen[region].Spec
	}
	switch {
	case len(missing) > 0:
		return t, &stage.Failure{Code: "NO_EARLIER_VERSION",
			Cause: fmt.Sprintf("%s keeps no %s in %s", c.Cluster, orPrevious(c.To), strings.Join(missing, ", ")),
			Help:  "showrunner clusters lists what is kept; to deliver an older version again, run its pipeline at that commit"}, nil
	case len(t.spec.Restore) == 0:
		return t, &stage.Failure{Code: "NO_CLUSTER", Cause: fmt.Sprintf("no region has the cluster %s", c.Cluster), Help: "showrunner clusters lists them"}, nil
	}
	return t, nil, nil
}

// keepAll keeps every old group: a rollback destroys nothing.
const keepAll = 1000

func orPrevious(to string) string {
	if to == "" {
		return "earlier version"
	}
	return "version " + to
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
