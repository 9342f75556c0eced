package rollout

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"showrunner/canary"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// Cloud is the part of a cloud that the loop needs; *cloud.Account implements it.
type Cloud interface {
	Facts(ctx context.Context, region string) (cloud.Facts, error)
	CreateServerGroup(ctx context.Context, region string, spec cloud.ServerGroupSpec, key string) (cloud.ServerGroup, error)
	ServerGroups(ctx context.Context, region, cluster string) ([]cloud.ServerGroup, error)
	Resize(ctx context.Context, region, serverGroup string, to pipeline.Capacity, guard cloud.Guard, key string) error
	SetWeights(ctx context.Context, region, cluster string, weights map[string]float64, guard cloud.Guard, key string) error
	Destroy(ctx context.Context, region, serverGroup string, guard cloud.Guard, key string) error
	Counts(ctx context.Context, region, cluster string) ([]cloud.Counts, error)
}

// Loop carries out rollouts.
type Loop struct {
	Cloud Cloud
	HTTP  *http.Client // for validation hooks
	// Metrics is the source of the strategy's analysis; nil where there is none.
	Metrics canary.Source
	Now     func() time.Time
	// Log is called with one line for each action.
	Log func(format string, args ...any)
}

const (
	// regionTimeout bounds one change of one region.
	regionTimeout = 20 * time.Second
	// observeTimeout bounds one query of one region: a region that does not
	// answer in time counts as unreachable.
	observeTimeout = 5 * time.Second
)

// Tick observes the cloud once, decides, and makes the decided changes. The
// returned state has to be saved before the next tick. Keys of the changes start
// with prefix.
func (l *Loop) Tick(ctx context.Context, spec Spec, st State, prefix string) (Decision, error) {
	obs := l.Observe(ctx, spec)
	if err := ctx.Err(); err != nil {
		return Decision{State: st}, err
	}
	l.measure(ctx, spec, st, obs)
	if err := ctx.Err(); err != nil {
		return Decision{State: st}, err
	}
	d := Decide(spec, st, obs, l.Now())
	for region, rs := range d.State.Regions {
		for _, what := range rs.Unjudged[unjudged(st, region):] {
			l.Log("%s: goes on without a verdict at %s", region, what)
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, c := range d.Changes {
		wg.Go(func() {
			l.Log("%s", c)
			name, err := l.change(ctx, spec, c, prefix)
			mu.Lock()
			defer mu.Unlock()
			l.record(&d.State, c, name, err)
		})
	}
	wg.Wait()
	return d, ctx.Err()
}

// unjudged is how many steps of a region passed without a verdict.
func unjudged(st State, region string) int {
	if rs := st.Regions[region]; rs != nil {
		return len(rs.Unjudged)
	}
	return 0
}

// Observe queries every region of the rollout, in parallel.
func (l *Loop) Observe(ctx context.Context, spec Spec) Observed {
	obs := Observed{Regions: map[string]Region{}}
	judged := shapeOf(spec.Strategy).judge != nil
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, w := range spec.Waves {
		for _, r := range w.Regions {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, observeTimeout)
				defer cancel()
				var o Region
				groups, err := l.Cloud.ServerGroups(ctx, r, spec.Group.Cluster)
				var facts cloud.Facts
				if err == nil {
					facts, err = l.Cloud.Facts(ctx, r)
					o.Facts = &facts
				}
				if err == nil && judged && facts.Counts != nil {
					o.Counts, err = l.Cloud.Counts(ctx, r, spec.Group.Cluster)
				}
				if o.Groups = groups; err != nil {
					o = Region{Unreachable: problem.Text(err)}
				}
				mu.Lock()
				defer mu.Unlock()
				obs.Regions[r] = o
			})
		}
	}
	wg.Wait()
	return obs
}

// measure asks the source of the analysis for the windows that are due.
func (l *Loop) measure(ctx context.Context, spec Spec, st State, obs Observed) {
	analysis := shapeOf(spec.Strategy).analysis
	if analysis == nil {
		return
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for region, w := range Due(spec, st, l.Now()) {
		o := obs.Regions[region]
		if o.Unreachable != "" || l.Metrics == nil {
			continue
		}
		wg.Go(func() {
			base, fresh := scopes(spec, st.Regions[region], region)
			measured := canary.Measure(ctx, l.Metrics, *analysis, base, fresh, w)
			mu.Lock()
			defer mu.Unlock()
			o.Measured = &measured
			obs.Regions[region] = o
		})
	}
	wg.Wait()
}

// change makes one change; name is the group that a Create made.
func (l *Loop) change(ctx context.Context, spec Spec, c Change, prefix string) (name string, err error) {
	ctx, cancel := context.WithTimeout(ctx, regionTimeout)
	defer cancel()
	key := prefix + "/" + c.Key
	switch c.Kind {
	case Create:
		g, err := l.Cloud.CreateServerGroup(ctx, c.Region, *c.Spec, key)
		return g.Name, err
	case Resize:
		return "", l.Cloud.Resize(ctx, c.Region, c.ServerGroup, c.Capacity, c.Guard, key)
	case Shift:
		return "", l.Cloud.SetWeights(ctx, c.Region, spec.Group.Cluster, c.Weights, c.Guard, key)
	case Destroy:
		return "", l.Cloud.Destroy(ctx, c.Region, c.ServerGroup, c.Guard, key)
	default:
		return "", l.validate(ctx, spec, c, key)
	}
}

// record writes the result of a change into the state. A refusal of the traffic
// guard and an unavailable region are not failures: the next tick sees fresh
// state and decides again, within the rollout's timeout.
func (l *Loop) record(st *State, c Change, name string, err error) {
	rs := st.Regions[c.Region]
	if err == nil {
		rs.Refused = ""
		switch c.Kind {
		case Create:
			if c.Baseline {
				rs.Baseline = name
			} else {
				rs.New = name
			}
		case Shift:
			rs.WeightsAccepted = true
		case Destroy:
			rs.BaselineRemoved = rs.BaselineRemoved || c.ServerGroup == rs.Baseline
		case Validate:
			if rs.Validated = true; c.After {
				rs.Confirmed = true
			}
		}
		return
	}
	rs.Refused = problem.Text(err)
	l.Log("%s: refused: %s", c, problem.Text(err))
	code := problem.CodeOf(err)
	undoing := st.Failure != nil
	if c.Baseline && undoing && slices.Contains([]problem.Code{problem.NotFound, problem.Precondition, problem.Invalid, problem.Denied}, code) {
		rs.BaselineRemoved = true // a refused creation has made nothing, now or before
		return
	}
	if code == problem.Unavailable || code == problem.Precondition {
		return
	}
	if c.Baseline {
		rs.BaselineRemoved = true
	} else if c.Kind == Create {
		rs.Phase = Waiting // nothing was created, so nothing has to be undone
	}
	if st.Failure != nil || !st.Finished.IsZero() {
		return
	}
	st.Failure = &stage.Failure{Code: "CLOUD_REFUSED", Cause: fmt.Sprintf("%s: %s", c, problem.Text(err)), Help: orElse(problem.HelpOf(err), "see the message; nothing was shifted by this change")}
	st.FailedIn = c.Region
	if c.Kind == Validate {
		st.Failure.Code, st.Failure.Help = "VALIDATION_FAILED", "the hook at "+c.URL+" refused this step"
	}
}

// Validation is the request to a validation hook.
type Validation struct {
	Cluster  string  `json:"cluster"`
	Region   string  `json:"region"`
	Deployed string  `json:"deployedServerGroup"`
	Version  string  `json:"version"`
	Percent  float64 `json:"percentageComplete"`
	After    bool    `json:"after"` // all traffic has been shifted: may the version stay?
}

func (l *Loop) validate(ctx context.Context, spec Spec, c Change, key string) error {
	body, err := json.Marshal(Validation{Cluster: spec.Group.Cluster, Region: c.Region, Deployed: c.ServerGroup, Version: spec.Group.Version, Percent: c.Percent, After: c.After})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.URL, bytes.NewReader(body))
	if err != nil {
		return problem.Wrap(err, problem.Invalid, "rollout.validate", "the hook's URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	res, err := l.HTTP.Do(req)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "rollout.validate", "the hook did not answer")
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(res.Body, 1024))
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		return nil
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode >= 500:
		return problem.New(problem.Unavailable, "rollout.validate", "the hook answered %s: %s", res.Status, text)
	default:
		return problem.New(problem.Invalid, "rollout.validate", "the hook answered %s: %s", res.Status, text)
	}
}
