package deployments

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/bench/environment"
	"showrunner/cloud"
	"showrunner/internal/pause"
)

const cluster = "fleet"

// strategy is one deployment strategy.
type strategy struct {
	name, text string
	kept       int  // server groups of earlier versions that are kept
	empty      bool // without instances
}

// strategies are those of the pipelines.
var strategies = []strategy{
	{"highlander", "highlander: {}", 0, true},
	{"red-black", "red-black: { keep: 1, scaleDownDelay: 0s }", 1, false},
	{"rolling", "rolling: { steps: [25, 50, 75, 100], pause: 200ms, keep: 1, scaleDownDelay: 0s }", 1, true},
	{"canary", "canary: { steps: [1, 10, 50], pause: 300ms, keep: 1, scaleDownDelay: 0s, judge: { maxErrorRate: 0.05 } }", 1, true},
}

func pipelines(repository string, instances int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "application: %s\npipelines:\n", cluster)
	for _, s := range strategies {
		fmt.Fprintf(&b, `  %s:
    stages:
      source: { git: { url: %q, branch: main } }
      service:
        needs: [source]
        deploy:
          cluster: %s
          artifact: source
          command: [./service]
          health: { path: /healthz, interval: 500ms }
          capacity: { min: %d, desired: %d, max: %d }
          strategy: { %s }
          waves: [ { regions: [%s], bake: 200ms }, { regions: [%s] } ]
          drain: 10s
          stopTimeout: 5s
`, s.name, repository, cluster, instances, instances, 2*instances, s.text, environment.Regions()[0], strings.Join(environment.Regions()[1:], ", "))
	}
	return b.String()
}

// releases delivers version after version.
type releases struct {
	*environment.World
	settings
	repository environment.Repository
	made       int
}

// phase delivers the requested number of versions under load, possibly none.
func (r *releases) phase(ctx context.Context, name string) (row, error) {
	out := row{Phase: name}
	load, err := r.Attack(ctx, cluster, r.rate, func() error {
		end := time.Now().Add(r.length)
		for range r.count {
			if name == "quiet" {
				break
			}
			took, wrong, err := r.release(ctx, name)
			if err != nil {
				return err
			}
			out.Deployments++
			out.Took, out.Wrong = append(out.Took, took), append(out.Wrong, wrong...)
		}
		return pause.For(ctx, time.Until(end))
	})
	out.Load = load
	return out, err
}

// release commits a version, has the pipeline deliver it, and checks the state
// after the clean-up. It returns the duration of the delivery.
func (r *releases) release(ctx context.Context, by string) (took time.Duration, wrong []string, err error) {
	r.made++
	version := fmt.Sprintf("%s-%d", by, r.made)
	commit, err := r.repository.Commit(ctx, "version", version)
	if err != nil {
		return took, nil, err
	}
	began := time.Now()
	said, err := r.CLI(ctx, "run", cluster+"/"+by, "--watch")
	if err != nil {
		return took, nil, err
	}
	if took = time.Since(began); said.Exit != 0 {
		return took, nil, fmt.Errorf("delivering %s: exit %d: %s%s", version, said.Exit, said.Out, said.Err)
	}
	if err := r.CleanedUp(ctx, cluster, time.Minute); err != nil {
		wrong = append(wrong, fmt.Sprintf("after %s: %s", version, err))
	}
	at := slices.IndexFunc(strategies, func(s strategy) bool { return s.name == by })
	for _, region := range environment.Regions() {
		groups, err := r.Cloud.ServerGroups(ctx, region, cluster)
		if err != nil {
			return took, wrong, err
		}
		if why := differences(groups, commit, r.instances, strategies[at].kept, strategies[at].empty); why != "" {
			wrong = append(wrong, fmt.Sprintf("after %s, %s: %s", version, region, why))
		}
	}
	load, err := r.Attack(ctx, cluster, 100, func() error { return pause.For(ctx, 100*time.Millisecond) })
	for v, n := range load.Versions {
		if v != version {
			wrong = append(wrong, fmt.Sprintf("after %s, %d requests were answered by %s", version, n, v))
		}
	}
	return took, wrong, err
}

// differences describes how a region's groups differ from the strategy's promise.
func differences(groups []cloud.ServerGroup, version string, instances, kept int, empty bool) string {
	others := 0
	for i, g := range groups {
		switch newest := i == len(groups)-1; {
		case newest && (g.Spec.Version != version || !g.Enabled() || g.Serving() != instances):
			return fmt.Sprintf("%s is %s, not %s, with weight %g and %d of %d serving", g.Name, g.Spec.Version, version, g.Weight, g.Serving(), instances)
		case newest:
		case g.Enabled():
			return g.Name + " has traffic"
		default:
			others++
			if want := g.Capacity.Desired; empty && want+len(g.Instances) > 0 || !empty && g.Serving() < instances {
				return fmt.Sprintf("%s was to be kept, %d desired, %d exist", g.Name, want, len(g.Instances))
			}
		}
	}
	if others > kept {
		return fmt.Sprintf("%d earlier versions are there, %d were to be kept", others, kept)
	}
	return ""
}
