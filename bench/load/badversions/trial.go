package badversions

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/bench/environment"
	"showrunner/cloud"
	"showrunner/execution"
	"showrunner/stage"
)

const instances = 3

// trial delivers versions and checks the results.
type trial struct {
	*environment.World
	rate       int
	verbose    bool
	repository environment.Repository
	versions   int
	tried      int
	total      environment.Load
}

func (t *trial) pipeline() string {
	return fmt.Sprintf(`application: %s
pipelines:
  release:
    parameters: { mode: { default: "" }, after: { default: "" }, program: { default: service } }
    stages:
      source: { git: { url: %q, branch: main } }
      service:
        needs: [source]
        deploy:
          cluster: %s
          artifact: source
          command: ["./${{ parameters.program }}"]
          env: { MODE: "${{ parameters.mode }}", AFTER: "${{ parameters.after }}" }
          health: { path: /healthz, interval: 300ms, timeout: 500ms, grace: 4s, unhealthy: 2 }
          capacity: { min: %d, desired: %d, max: %d }
          limits: { files: 256, memory: 96MiB }
          strategy: { canary: { steps: [10, 50], pause: 3s, keep: 1, scaleDownDelay: 0s } }
          waves: [ { regions: [%s], bake: 10s }, { regions: [%s] } ]
          drain: 3s
          stopTimeout: 1s
`, cluster, t.repository.Dir, cluster, instances, instances, 2*instances, environment.Regions()[0], strings.Join(environment.Regions()[1:], ", "))
}

// deliver commits a version and runs the pipeline.
func (t *trial) deliver(ctx context.Context, name string, b bad) (version string, said environment.Said, err error) {
	t.versions++
	version = fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), t.versions)
	if _, err = t.repository.Commit(ctx, "version", version); err != nil {
		return version, said, err
	}
	args := []string{"run", cluster + "/release", "--watch"}
	for name, value := range map[string]string{"mode": b.mode, "after": b.after, "program": b.program} {
		if value != "" {
			args = append(args, "--param", name+"="+value)
		}
	}
	said, err = t.CLI(ctx, args...)
	return version, said, err
}

// good delivers a good version, and waits until the earlier one is gone.
func (t *trial) good(ctx context.Context, name string) error {
	_, said, err := t.deliver(ctx, "good-"+name, bad{})
	if err != nil {
		return err
	}
	if said.Exit != 0 {
		return fmt.Errorf("delivering a good version: exit %d: %s%s", said.Exit, said.Out, said.Err)
	}
	return t.Whole(ctx, cluster, time.Minute)
}

// try delivers a bad version under load and returns the differences from the
// expected end.
func (t *trial) try(ctx context.Context, b bad) (wrong []string, err error) {
	add := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	before := t.Groups(ctx, cluster)
	var version, stopped string
	var said environment.Said
	began := time.Now()
	load, err := t.Attack(ctx, cluster, t.rate, func() error {
		if version, said, err = t.deliver(ctx, b.name, b); err != nil || len(b.codes) > 0 {
			return err
		}
		stopped, err = t.replace(ctx)
		return err
	})
	took := time.Since(began)
	if err != nil {
		return nil, err
	}
	t.total.Safe.Requests, t.total.Safe.Failed = t.total.Safe.Requests+load.Safe.Requests, t.total.Safe.Failed+load.Safe.Failed
	t.total.Unsafe.Requests, t.total.Unsafe.Failed = t.total.Unsafe.Requests+load.Unsafe.Requests, t.total.Unsafe.Failed+load.Unsafe.Failed
	failure, err := t.failure(ctx)
	if err != nil {
		return nil, err
	}
	row := func(code, cause string) {
		fmt.Printf("%-24s %-5d %-14s %8s %8d %7d %7d %7d  %s\n", b.name, said.Exit, code, took.Round(100*time.Millisecond), load.Safe.Requests, load.Safe.Failed, load.Unsafe.Failed, load.Versions[version], cause)
	}
	switch {
	case len(b.codes) == 0:
		row("-", stopped)
		if said.Exit != 0 {
			add("exit %d: %s%s", said.Exit, said.Out, said.Err)
		}
		if b.mode == "ignores-sigterm" && !strings.Contains(stopped, "STOP_TIMEOUT") {
			add("its end was not reported: %q", stopped)
		}
	case failure == nil:
		row("-", "")
		add("it stayed: %s%s", said.Out, said.Err)
		if err := t.good(ctx, "again"); err != nil {
			return nil, err
		}
	default:
		row(failure.Code, failure.Cause)
		wrong = append(wrong, missingParts(b, said, *failure)...)
		if t.verbose {
			fmt.Printf("    evidence:\n      %s\n    undone:\n      %s\n    help: %s\n", strings.Join(failure.Evidence, "\n      "), strings.Join(failure.Undone, "\n      "), failure.Help)
		}
		if err := t.Whole(ctx, cluster, 10*time.Second); err != nil {
			add("the good version does not serve as it did: %v", err)
		}
		if names(before) != names(t.Groups(ctx, cluster)) {
			add("there are %s; there were %s", names(t.Groups(ctx, cluster)), names(before))
		}
	}
	if load.Safe.Failed > 0 {
		add("%d requests failed: %v", load.Safe.Failed, load.Safe.Failures)
	}
	if n := load.Versions[version]; n > 0 && !b.healthy {
		add("%d requests were answered by a version that was never healthy", n)
	}
	return append(wrong, t.Left(ctx, cluster)...), nil
}

// replace delivers a good version after a bad one that stayed. It returns how an
// instance of the bad version ended that did not end cleanly, as the command line
// shows it.
func (t *trial) replace(ctx context.Context) (string, error) {
	if err := t.good(ctx, "after"); err != nil {
		return "", err
	}
	var ended []cloud.Instance
	if err := t.Read(ctx, &ended, "instances", cluster, "--ended"); err != nil {
		return "", err
	}
	for _, i := range ended {
		if i.Failure != nil {
			return i.Failure.Code + ": " + i.Failure.Cause, nil
		}
	}
	return "", nil
}

// failure is the failure of the newest execution, nil when it has none.
func (t *trial) failure(ctx context.Context) (*stage.Failure, error) {
	var e execution.Execution
	if err := t.Read(ctx, &e, "executions", "show", cluster+"/release"); err != nil {
		return nil, err
	}
	s, _ := e.Stage("service")
	return s.Failure, nil
}

// missingParts lists the missing parts of a failure.
func missingParts(b bad, said environment.Said, f stage.Failure) (wrong []string) {
	if said.Exit != 4 {
		wrong = append(wrong, fmt.Sprintf("exit %d, not 4 (rolled back)", said.Exit))
	}
	if !slices.Contains(b.codes, f.Code) {
		wrong = append(wrong, fmt.Sprintf("code %s, not one of %v", f.Code, b.codes))
	}
	all := f.Cause + "\n" + strings.Join(f.Evidence, "\n")
	for _, text := range b.tells {
		if !strings.Contains(all, text) {
			wrong = append(wrong, fmt.Sprintf("neither cause nor evidence says %q: %s", text, all))
		}
		if !strings.Contains(said.Out+said.Err, text) {
			wrong = append(wrong, fmt.Sprintf("the command line does not say %q: %s%s", text, said.Out, said.Err))
		}
	}
	if len(f.Undone) == 0 || f.Help == "" {
		wrong = append(wrong, fmt.Sprintf("undone %q, help %q", f.Undone, f.Help))
	}
	return wrong
}

func names(groups []cloud.ServerGroup) string {
	var list []string
	for _, g := range groups {
		list = append(list, g.Region+"/"+g.Name)
	}
	return strings.Join(list, " ")
}
