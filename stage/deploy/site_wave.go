package deploy

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/cloud"
	"showrunner/problem"
	"showrunner/stage"
)

// prepareAll makes every region of every wave hold the files of the deployment
// before the first region switches to it. A nil result means that all regions
// hold them.
func (r *siteRun) prepareAll(ctx context.Context) (*stage.Result, error) {
	var regions []string
	for _, w := range r.state.Waves {
		for _, region := range w.Regions {
			if !r.state.Prepared[region] {
				regions = append(regions, region)
			}
		}
	}
	if len(regions) == 0 {
		return nil, nil
	}
	progress := r.newProgress("preparing")
	errs := make([]error, len(regions))
	var group sync.WaitGroup
	for i, region := range regions {
		group.Go(func() {
			errs[i] = r.sites.Prepare(ctx, region, r.request, r.in.Key.String(), progress.of(region))
		})
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for i, region := range regions {
		r.state.Prepared[region] = errs[i] == nil
	}
	return r.judge(ctx, regions, errs)
}

// wave publishes in every region of the present wave that does not have the
// deployment yet, in parallel. A nil result means that the wave is live.
func (r *siteRun) wave(ctx context.Context) (*stage.Result, error) {
	w := r.state.Waves[r.state.Wave]
	r.in.Progress("wave %d/%d: %s", r.state.Wave+1, len(r.state.Waves), list(w.Regions))
	progress := r.newProgress(fmt.Sprintf("wave %d/%d", r.state.Wave+1, len(r.state.Waves)))
	errs := make([]error, len(w.Regions))
	done := make([]*cloud.SiteDeployment, len(w.Regions))
	var group sync.WaitGroup
	for i, region := range w.Regions {
		if r.state.Live[region] {
			continue
		}
		group.Go(func() {
			d, err := r.sites.Publish(ctx, region, r.request, r.in.Key.String(), progress.of(region))
			if err == nil {
				done[i] = &d // the region was changed, whatever the probe says
				err = r.sites.Probe(ctx, region, d)
			}
			errs[i] = err
		})
	}
	group.Wait()
	for i, d := range done {
		if d != nil {
			r.state.Changed[w.Regions[i]] = *d
			if errs[i] == nil {
				r.state.Live[w.Regions[i]] = true
				fmt.Fprintf(r.in.Log, "%s serves %s: %d objects uploaded (%d bytes), %d unchanged, %d deleted\n",
					w.Regions[i], d.ID, d.Uploaded, d.Bytes, d.Unchanged, d.Deleted)
			}
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return r.judge(ctx, w.Regions, errs)
}

// bake probes the site in every changed region until the wave has baked. A nil
// result means that it has.
func (r *siteRun) bake(ctx context.Context) (*stage.Result, error) {
	if r.state.Bake.IsZero() {
		return nil, nil
	}
	var regions []string
	for _, w := range r.state.Waves[:r.state.Wave+1] {
		regions = append(regions, w.Regions...)
	}
	errs := make([]error, len(regions))
	var group sync.WaitGroup
	for i, region := range regions {
		group.Go(func() { errs[i] = r.sites.Probe(ctx, region, r.state.Changed[region]) })
	}
	group.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if result, err := r.judge(ctx, regions, errs); result != nil || err != nil {
		return result, err
	}
	left := r.state.Bake.Sub(r.in.Now)
	if left <= 0 {
		return nil, nil
	}
	return r.again(min(left, bakeEvery), fmt.Sprintf("wave %d/%d, baking", r.state.Wave+1, len(r.state.Waves)), r.state.Bake)
}

// judge decides what errors mean: unreachable regions get some time to come back;
// any other error fails the stage, which is undone.
func (r *siteRun) judge(ctx context.Context, regions []string, errs []error) (*stage.Result, error) {
	var unreachable, broken []string
	var worst error
	for i, err := range errs {
		switch {
		case err == nil:
		case problem.CodeOf(err) == problem.Unavailable:
			unreachable = append(unreachable, regions[i])
			if worst == nil {
				worst = err
			}
		default:
			broken = append(broken, regions[i])
			if worst == nil || problem.CodeOf(worst) == problem.Unavailable {
				worst = err
			}
		}
	}
	switch {
	case worst == nil:
		r.state.Unreachable, r.state.Tries = time.Time{}, 0
		return nil, nil
	case len(broken) > 0:
		return r.fail(ctx, broken, worst, errs), nil
	}
	if r.state.Unreachable.IsZero() {
		r.state.Unreachable = r.in.Now
	}
	if r.in.Now.Sub(r.state.Unreachable) >= unreachableLimit {
		return r.fail(ctx, unreachable, worst, errs), nil
	}
	r.state.Tries++
	return r.again(min(100*time.Millisecond<<min(r.state.Tries, 6), 2*time.Second), "waits for "+list(unreachable)+" to come back", time.Time{})
}

// fail undoes by the stage's policy and returns the failure with all details.
func (r *siteRun) fail(ctx context.Context, regions []string, worst error, errs []error) *stage.Result {
	f := stage.Failure{Code: "SITE_UNHEALTHY", Cause: r.cause(regions),
		Help: problem.HelpOf(worst), Retryable: true}
	switch problem.CodeOf(worst) {
	case problem.Unavailable:
		f.Code = "REGION_UNAVAILABLE"
		if f.Help == "" {
			f.Help = "see: showrunner regions; then restart the stage"
		}
	case problem.Conflict:
		f.Code, f.Retryable = "DEPLOYMENT_SUPERSEDED", false
		f.Cause = fmt.Sprintf("a newer deployment of site %s is live in %s", r.config.Site, list(regions))
	case problem.Invalid, problem.NotFound:
		f.Code, f.Retryable = "SITE_INVALID", false
	}
	for _, err := range errs {
		if err != nil {
			f.Evidence = append(f.Evidence, problem.Text(err))
		}
	}
	// The undoing does not end with the stage's context: a half undone deployment
	// is worse than either version.
	undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	f.Undone = r.undo(undo)
	if slices.ContainsFunc(f.Undone, func(s string) bool { return strings.Contains(s, notUndone) }) {
		f.Help = strings.TrimSpace(f.Help + " Some regions could not be returned; see: showrunner sites deployments " + r.config.Site)
	}
	result := stage.Fail(f)
	return &result
}

func (r *siteRun) cause(regions []string) string {
	if len(r.state.Changed) == 0 && slices.ContainsFunc(regions, func(region string) bool { return !r.state.Prepared[region] }) {
		return fmt.Sprintf("site %s could not be prepared in %s; nothing was changed", r.config.Site, list(regions))
	}
	return fmt.Sprintf("wave %d of %d failed in %s", r.state.Wave+1, len(r.state.Waves), list(regions))
}

const notUndone = "could not be returned"

// undo returns the regions that the policy names to their earlier deployments,
// the last changed first.
func (r *siteRun) undo(ctx context.Context) []string {
	first := 0
	switch r.config.OnFailure {
	case "none":
		return nil
	case "wave":
		first = r.state.Wave
	}
	var said []string
	for i := r.state.Wave; i >= first; i-- {
		for _, region := range slices.Backward(r.state.Waves[i].Regions) {
			if d, ok := r.state.Changed[region]; ok {
				said = append(said, r.revert(ctx, region, d))
			}
		}
	}
	return said
}

func (r *siteRun) revert(ctx context.Context, region string, d cloud.SiteDeployment) string {
	now, err := r.sites.Revert(ctx, region, d.Site, d.ID, r.in.Key.String()+"/revert")
	switch {
	case err != nil:
		return fmt.Sprintf("%s %s: %v", region, notUndone, err)
	case now.ID == d.ID:
		return fmt.Sprintf("%s keeps %s: nothing was live before it", region, d.ID)
	}
	return fmt.Sprintf("%s serves %s (%s) again", region, now.ID, now.Version)
}

// siteProgress shows the progress of several regions in one line.
type siteProgress struct {
	mu    sync.Mutex
	run   *siteRun
	what  string
	done  map[string]int
	total map[string]int
}

func (r *siteRun) newProgress(what string) *siteProgress {
	return &siteProgress{run: r, what: what, done: map[string]int{}, total: map[string]int{}}
}

// of records the progress of one region.
func (p *siteProgress) of(region string) func(done, total int) {
	return func(done, total int) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.done[region], p.total[region] = done, total
		d, t := 0, 0
		for r := range p.total {
			d, t = d+p.done[r], t+p.total[r]
		}
		if t > 0 {
			p.run.in.Progress("%s: %d of %d objects", p.what, d, t)
		}
	}
}
