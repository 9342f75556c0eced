package deploy

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/canary"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage"
)

// Service deploys services: the stage kind "deploy".
type Service struct{ *Rollouts }

// NewService makes the kind.
func NewService(r *Rollouts) *Service { return &Service{r} }

// Name implements stage.Kind.
func (*Service) Name() string { return "deploy" }

// Version implements stage.Kind.
func (*Service) Version() int { return 1 }

// Tasks implements stage.Kind. One task carries out the whole rollout: every
// change has an idempotency key, and the state is saved between two changes.
func (k *Service) Tasks() []stage.Task {
	return []stage.Task{{Name: "rollout", Run: k.run, Resume: k.run, Cancel: k.cancel, Watches: true}}
}

// serviceState is the saved state of the task.
type serviceState struct {
	Waves   []pipeline.Wave `json:"waves"` // fixed when the rollout begins
	Rollout rollout.State   `json:"rollout"`
	// Target is the target of a rollback; Unreachable are the regions that it could not
	// reach when it began.
	Target      *target           `json:"target,omitempty"`
	Unreachable map[string]string `json:"unreachable,omitempty"`
	// Claimed are the regions that a rollback claims: all regions that it may
	// have to change.
	Claimed []string `json:"claimed,omitempty"`
	// Pinned are the groups whose minimum an earlier rollout has raised
	// (rollout.Spec).
	Pinned map[string]map[string]int `json:"pinned,omitempty"`
	// Claim is the state of the claim on the cluster; WaitsFor names the
	// execution that it waits for.
	Claim    string `json:"claim,omitempty"`
	WaitsFor string `json:"waitsFor,omitempty"`
}

func (k *Service) run(ctx context.Context, in *stage.Input) (stage.Result, error) {
	c := in.Config.(pipeline.Deploy)
	account, err := k.Accounts.Account(accountOrLocal(c.Account))
	if err != nil {
		return stage.Result{}, err
	}
	st, err := loadState(ctx, in, account, c.Waves)
	if err != nil {
		return stage.Result{}, err
	}
	spec, failure, err := specOf(ctx, in, c, st.Waves)
	if err != nil || failure != nil {
		return stage.FailIf(failure), err
	}
	if spec.Group.Fingerprint, err = account.Fingerprint(ctx, spec.Group); err != nil {
		return stage.Result{}, err
	}
	j := k.job(in, account, spec)
	if j.secrets, err = secretsIn(ctx, in, c.Env); err != nil {
		return stage.Result{}, err
	}
	if j.loop.Metrics, err = k.source(ctx, in, c.Strategy); err != nil {
		return stage.Result{}, err
	}
	if answer, err := k.begin(ctx, in, j.subject(st), &st); err != nil || answer != nil {
		return answer.OrNone(), err
	}
	return j.carry(ctx, st, func(r rollout.State) map[string]any {
		return outputsOf(r, c.Account, c.Cluster, spec, map[string]any{"url": account.ServiceURL(c.Cluster)})
	})
}

// source is the source of the metrics of a strategy's analysis, with its token.
func (k *Service) source(ctx context.Context, in *stage.Input, s pipeline.Strategy) (canary.Source, error) {
	if s.Canary == nil || s.Canary.Analysis == nil || k.Metrics == nil {
		return nil, nil
	}
	from := s.Canary.Analysis.Source
	if from == nil {
		return k.Metrics("", ""), nil
	}
	token, err := in.Secrets.Expand(ctx, from.Token)
	if err != nil {
		return nil, err
	}
	return k.Metrics(from.URL, token), nil
}

// loadState reads the saved state of the task; the first call fixes the waves.
func loadState(ctx context.Context, in *stage.Input, account *cloud.Account, waves []pipeline.Wave) (serviceState, error) {
	var st serviceState
	if in.State != nil {
		if err := json.Unmarshal(in.State, &st); err != nil {
			return st, problem.Wrap(err, problem.Internal, "deploy", "reading the rollout's state")
		}
		return st, nil
	}
	st.Waves = waves
	if len(waves) == 0 {
		regions, err := account.Regions(ctx)
		if err != nil {
			return st, err
		}
		all := pipeline.Wave{}
		for _, r := range regions {
			all.Regions = append(all.Regions, r.Name)
		}
		st.Waves = []pipeline.Wave{all}
	}
	return st, nil
}

// specOf makes the rollout's specification from the stage's configuration.
// Secrets are resolved here, at the last moment, and stored nowhere.
func specOf(ctx context.Context, in *stage.Input, c pipeline.Deploy, waves []pipeline.Wave) (rollout.Spec, *stage.Failure, error) {
	ref, ok := in.Artifacts[c.Artifact]
	if !ok {
		return rollout.Spec{}, &stage.Failure{Code: "NO_ARTIFACT", Cause: fmt.Sprintf("no earlier stage made the artifact %q", c.Artifact),
			Help: "check the build's artifacts; a secondary one is named stage.identifier"}, nil
	}
	env := make(map[string]string, len(c.Env))
	for name, value := range c.Env {
		expanded, err := in.Secrets.Expand(ctx, value)
		if err != nil {
			return rollout.Spec{}, nil, err
		}
		env[name] = expanded
	}
	group := cloud.ServerGroupSpec{Application: in.Application, Cluster: c.Cluster, Version: in.Version,
		Workload: cloud.Workload{Process: &cloud.Process{Artifact: ref, Command: c.Command}}, Env: cloud.Values(env),
		Health: c.Health, Liveness: c.Liveness, Capacity: c.Capacity, Drain: time.Duration(c.Drain), StopTimeout: time.Duration(c.StopTimeout),
		Limits: c.Limits, Sticky: c.Sticky, Traffic: c.Traffic, Hooks: c.Hooks, Maintenance: c.Maintenance, Scaling: c.Scaling, Metrics: c.Metrics, Execution: in.Key.Execution}
	return rollout.Spec{Group: group, Strategy: c.Strategy, Waves: waves, Undo: c.OnFailure, Timeout: rollout.DefaultTimeout(c.Health, c.Hooks)}, nil, nil
}

// cancel undoes a running rollout.
func (k *Service) cancel(ctx context.Context, in *stage.Input) error {
	if in.State == nil {
		return nil // nothing was decided yet, so nothing was changed
	}
	c := in.Config.(pipeline.Deploy)
	account, err := k.Accounts.Account(accountOrLocal(c.Account))
	if err != nil {
		return err
	}
	st, err := loadState(ctx, in, account, c.Waves)
	if err != nil {
		return err
	}
	spec, failure, err := specOf(ctx, in, c, st.Waves)
	if err != nil || failure != nil {
		return err
	}
	if st.Rollout.Version == 0 {
		return nil // it was waiting for another rollout
	}
	return k.job(in, account, spec).stop(ctx, st)
}

// left describes what a rollout left in the cloud, as the stage's outputs: drift
// compares the cloud with them.
func outputsOf(st rollout.State, account, cluster string, spec rollout.Spec, more map[string]any) map[string]any {
	capacity := map[string]any{}
	for region, r := range st.Regions {
		capacity[region] = map[string]any{"min": r.FinalCapacity.Min, "desired": r.FinalCapacity.Desired, "max": r.FinalCapacity.Max}
	}
	out := map[string]any{"cluster": cluster, "account": accountOrLocal(account), "strategy": spec.Strategy.Name(), "version": spec.Group.Version,
		"serverGroups": groupsOf(st), "capacity": capacity}
	unjudged := map[string]any{}
	for region, r := range st.Regions {
		if len(r.Unjudged) > 0 {
			unjudged[region] = strings.Join(r.Unjudged, "; ")
		}
	}
	if len(unjudged) > 0 {
		out["unjudged"], out["withoutVerdict"] = unjudged, rollout.WithoutVerdict(spec, st)
	}
	maps.Copy(out, reportsOf(st))
	maps.Copy(out, more)
	return out
}

// groupsOf is the new server group of each region.
func groupsOf(st rollout.State) map[string]any {
	out := map[string]any{}
	for region, r := range st.Regions {
		out[region] = r.New
	}
	return out
}

// waveRegions lists the regions of waves in order.
func waveRegions(waves []pipeline.Wave) []string {
	var list []string
	for _, w := range waves {
		list = append(list, w.Regions...)
	}
	return slices.Clip(list)
}
