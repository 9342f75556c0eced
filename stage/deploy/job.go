package deploy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"showrunner/canary"
	"showrunner/cloud"
	"showrunner/rollout"
	"showrunner/stage"
)

// Rollouts is the common part of the kinds that deploy and roll back services.
type Rollouts struct {
	Accounts Accounts
	HTTP     *http.Client // for validation hooks
	Now      func() time.Time
	Claims   *Claims
	CleanUps *CleanUps
	Watchers *Watchers
	Waker    stage.Waker
	// Metrics is the source of an analysis; without an address control's own metrics.
	Metrics func(url, token string) canary.Source
}

// job is one rollout that a stage carries out, one step a call.
type job struct {
	*Rollouts
	in      *stage.Input
	loop    *rollout.Loop
	account *cloud.Account
	spec    rollout.Spec
	secrets []string // values that its instances know
}

func (r *Rollouts) job(in *stage.Input, account *cloud.Account, spec rollout.Spec) job {
	loop := &rollout.Loop{Cloud: account, HTTP: r.HTTP, Now: r.Now, Log: func(format string, args ...any) {
		fmt.Fprintf(in.Log, r.Now().UTC().Format("15:04:05")+" "+format+"\n", args...)
	}}
	return job{Rollouts: r, in: in, loop: loop, account: account, spec: spec}
}

const (
	// immediately makes the engine call again as soon as the state is saved.
	immediately = time.Millisecond
	// refusedPause is the pause after a change that was refused or shows no
	// effect yet.
	refusedPause = 250 * time.Millisecond
	// pollInterval is how often a cloud that sends no change notices is polled.
	pollInterval = time.Second
)

// carry observes the cloud once, makes the decided changes, and returns when it
// has to be called again: it holds no resources while the rollout waits.
func (j job) carry(ctx context.Context, st serviceState, outputs func(rollout.State) map[string]any) (stage.Result, error) {
	j.spec.Pinned = st.Pinned
	before, err := json.Marshal(st)
	if err != nil {
		return stage.Result{}, err
	}
	told := j.watch(st)
	d, err := j.loop.Tick(ctx, j.spec, st.Rollout, j.in.Key.String())
	if err != nil && len(d.Changes) == 0 {
		return stage.Result{}, err // nothing was changed: the state is the old one
	}
	failed := st.Rollout.Failure == nil && d.State.Failure != nil
	if st.Rollout = d.State; failed {
		j.witness(ctx, &st.Rollout)
	}
	after, err := json.Marshal(st)
	if err != nil {
		return stage.Result{}, err
	}
	switch {
	case d.Done && d.Failure != nil:
		if err := j.release(ctx, st); err != nil {
			return stage.Result{}, err
		}
		failed := stage.Fail(*d.Failure)
		failed.Outputs = reportsOf(d.State)
		return failed, nil
	case d.Done:
		if err := j.recordLeftovers(ctx, st); err != nil {
			return stage.Result{}, err
		}
		return stage.Result{Outcome: stage.Done, Outputs: outputs(d.State)}, nil
	}
	wait := j.until(d, told)
	if !bytes.Equal(before, after) || j.in.State == nil {
		wait = immediately // once the state is saved
	}
	return stage.Result{Outcome: stage.Again, State: after, After: wait, Waits: d.Progress, WaitsUntil: d.Until}, nil
}

// until is how long to wait before the next call. told says that changes of the
// cloud will wake the stage.
func (j job) until(d rollout.Decision, told bool) time.Duration {
	wait := d.Wait
	if !told {
		wait = min(wait, pollInterval)
	}
	if len(d.Changes) > 0 {
		wait = min(wait, refusedPause)
	}
	return wait
}

// watch has the stage woken when its cluster changes from now on.
func (j job) watch(st serviceState) bool {
	k := j.in.Key
	return j.Watchers.Watch(j.account, waveRegions(st.Waves), j.spec.Group.Cluster, k.String(), func() { j.Waker.Wake(k) })
}

// recordLeftovers records the clean-ups that the rollout has left.
func (j job) recordLeftovers(ctx context.Context, st serviceState) error {
	j.Watchers.Forget(j.account, waveRegions(st.Waves), j.spec.Group.Cluster, j.in.Key.String())
	return j.CleanUps.take(ctx, j.subject(st), j.in, j.spec.Leftovers(st.Rollout))
}

// release ends the hold on earlier clean-ups: the rollout has made no lasting
// change, except for baselines in regions that it could not reach.
func (j job) release(ctx context.Context, st serviceState) error {
	if err := j.CleanUps.removeBaselines(ctx, j.subject(st), j.in, rollout.BaselinesLeft(st.Rollout)); err != nil {
		return err
	}
	j.Watchers.Forget(j.account, waveRegions(st.Waves), j.spec.Group.Cluster, j.in.Key.String())
	return j.CleanUps.release(ctx, j.subject(st), j.in.Key)
}

func (j job) subject(st serviceState) subject {
	s := subject{account: j.account.Name(), cluster: j.spec.Group.Cluster, regions: waveRegions(st.Waves), unreachable: sortedRegions(st.Unreachable), claimed: st.Claimed}
	if len(s.claimed) == 0 {
		s.claimed = slices.Concat(s.regions, s.unreachable)
	}
	return s
}

// stop undoes a running rollout. While the undoing is not finished, it returns a
// *stage.Stopping.
func (j job) stop(ctx context.Context, st serviceState) error {
	j.spec.Pinned = st.Pinned
	if !st.Rollout.Finished.IsZero() {
		return j.recordLeftovers(ctx, st) // all waves had baked: the rollout has succeeded, only the record of that is missing
	}
	st.Rollout = rollout.Abort(st.Rollout, stage.Failure{Code: "CANCELED", Cause: "the rollout was canceled"})
	before, err := json.Marshal(st)
	if err != nil {
		return err
	}
	told := j.watch(st)
	d, err := j.loop.Tick(ctx, j.spec, st.Rollout, j.in.Key.String())
	if err != nil && len(d.Changes) == 0 {
		return err
	}
	if st.Rollout = d.State; d.Done {
		for _, u := range d.State.Failure.Undone {
			fmt.Fprintf(j.in.Log, "undone: %s\n", u)
		}
		return j.release(ctx, st)
	}
	after, err := json.Marshal(st)
	if err != nil {
		return err
	}
	still := &stage.Stopping{State: after, After: j.until(d, told), Waits: d.Progress, WaitsUntil: d.Until}
	if !bytes.Equal(before, after) {
		still.After = immediately
	}
	return still
}
