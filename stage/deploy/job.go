package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"showrunner/rollout"
	"showrunner/stage"
)

// job is one rollout that a stage carries out.
type job struct {
	in      *stage.Input
	loop    *rollout.Loop
	claims  *Claims
	account string
	spec    rollout.Spec
}

// carry ticks until the rollout is done, or its state has to be written down.
func (j job) carry(ctx context.Context, st serviceState, outputs func(rollout.State) map[string]any) (stage.Result, error) {
	in, l, spec := j.in, j.loop, j.spec
	revisions := map[string]uint64{}
	if answer, err := j.resume(ctx, &st); err != nil || answer != nil {
		return answer.OrNone(), err
	}
	for {
		before, err := json.Marshal(st)
		if err != nil {
			return stage.Result{}, err
		}
		d, err := l.Tick(ctx, spec, st.Rollout, in.Key.String())
		if err != nil && len(d.Changes) == 0 {
			return stage.Result{}, err // nothing was done: the state is as it was
		}
		in.Progress("%s", d.Progress)
		st.Rollout = d.State
		after, err := json.Marshal(st)
		if err != nil {
			return stage.Result{}, err
		}
		switch {
		case d.Done && d.Failure != nil:
			return stage.Fail(*d.Failure), nil
		case d.Done:
			return stage.Result{Outcome: stage.Done, Outputs: outputs(d.State)}, nil
		case !bytes.Equal(before, after) || in.State == nil:
			// Written down before the next decision; then the engine calls at once.
			return stage.Result{Outcome: stage.Again, State: after, After: time.Millisecond}, nil
		case st.Claim == claimHeld && j.left(st) > 0:
			return j.rest(ctx, st)
		}
		if len(d.Changes) == 0 {
			l.WaitChange(ctx, spec, revisions, d.Wait)
		} else {
			// A change was refused or shows no effect yet: look again soon, without hurry.
			l.WaitChange(ctx, spec, revisions, min(d.Wait, 250*time.Millisecond))
		}
		if ctx.Err() != nil {
			return stage.Result{}, ctx.Err()
		}
	}
}

// left is how long the old version is still only kept, before it is cleaned up.
func (j job) left(st serviceState) time.Duration {
	if due := j.spec.CleansAt(st.Rollout); !due.IsZero() {
		return due.Sub(j.loop.Now())
	}
	return 0
}

// rest lets others have the cluster while the old version is only kept: a
// rollback, above all, is what it is kept for.
func (j job) rest(ctx context.Context, st serviceState) (stage.Result, error) {
	if err := j.claims.Yield(ctx, j.account, j.spec.Group.Cluster, waveRegions(st.Waves), j.in.Key); err != nil {
		return stage.Result{}, err
	}
	st.Claim = claimYielded
	state, err := json.Marshal(st)
	return stage.Result{Outcome: stage.Again, State: state, After: max(j.left(st), time.Millisecond)}, err
}

// resume ends the rest: what is others' by now is left to them.
func (j job) resume(ctx context.Context, st *serviceState) (*stage.Result, error) {
	if st.Claim != claimYielded {
		return nil, nil
	}
	if left := j.left(*st); left > 0 {
		return &stage.Result{Outcome: stage.Again, State: j.in.State, After: left}, nil
	}
	cluster := j.spec.Group.Cluster
	lost, err := j.claims.Keep(ctx, j.account, cluster, waveRegions(st.Waves), j.in.Key)
	if err != nil {
		return nil, err
	}
	if len(lost) > 0 {
		fmt.Fprintf(j.in.Log, "another execution has begun to change %s in %s: nothing is cleaned up there\n", cluster, strings.Join(lost, ", "))
		st.Rollout = rollout.Leave(st.Rollout, lost)
	}
	st.Claim = claimHeld
	return nil, nil
}

// abort drives an undoing to its end.
func (j job) abort(ctx context.Context, st serviceState) error {
	if !st.Rollout.Finished.IsZero() {
		return nil // all waves had baked: only cleaning was left, and it may stay undone
	}
	st.Rollout = rollout.Abort(st.Rollout, stage.Failure{Code: "CANCELED", Cause: "the rollout was canceled"})
	revisions := map[string]uint64{}
	for {
		d, err := j.loop.Tick(ctx, j.spec, st.Rollout, j.in.Key.String())
		if err != nil {
			return err
		}
		j.in.Progress("%s", d.Progress)
		st.Rollout = d.State
		if d.Done {
			for _, u := range d.State.Failure.Undone {
				fmt.Fprintf(j.in.Log, "undone: %s\n", u)
			}
			return nil
		}
		j.loop.WaitChange(ctx, j.spec, revisions, min(d.Wait, time.Second))
	}
}
