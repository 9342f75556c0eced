package canaries

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"showrunner/bench/environment"
	"showrunner/execution"
	"showrunner/internal/loadtest"
)

// trial delivers versions under a load, and counts what users get from each.
type trial struct {
	*environment.World
	settings
	cluster    string // the service, and its application
	repository environment.Repository
	versions   int

	mu    sync.Mutex
	users map[string]*answered // by version
}

// answered is what a version answered.
type answered struct {
	requests, failed int
	first, last      time.Time
}

// delivery is how one delivery ended.
type delivery struct {
	version, code, cause string
	exit                 int
	hit, failed          int
	served               time.Duration // from the first answer of the version to its last
}

func (t *trial) pipeline() string {
	return fmt.Sprintf(`application: %s
pipelines:
  release:
    parameters: { mode: { default: "" }, errors: { default: "0" }, latency: { default: 0s }, pause: { default: 5s } }
    stages:
      source: { git: { url: %q, branch: main } }
      service:
        needs: [source]
        deploy:
          cluster: %s
          artifact: source
          command: [./service]
          env: { MODE: "${{ parameters.mode }}", ERRORS: "${{ parameters.errors }}", LATENCY: "${{ parameters.latency }}", PERIOD: %s, AFTER: 4s }
          health: { path: /healthz, interval: 500ms, timeout: 2s, grace: 10s, unhealthy: 4 }
          capacity: { min: 4, desired: 4, max: 8 }
          limits: { memory: 192MiB }
          strategy:
            canary:
              steps: [10, 25]
              pause: "${{ parameters.pause }}"
              keep: 0
              scaleDownDelay: 0s
              judge: { alpha: %g, latency: fail, minRequests: 50, warmUp: 2s }
              analysis: { interval: 20s, step: 1s, delay: 4s, metrics: [ { name: memory, query: "avg(showrunner_memory_bytes{${scope}})", critical: true, allowedIncrease: 1.5 } ] }
          waves: [ { regions: [%s] } ]
          drain: 3s
          stopTimeout: 1s
`, t.cluster, t.repository.Dir, t.cluster, t.period, alpha, strings.Join(environment.Regions(), ", "))
}

// load makes requests to every region until stop is called: a constant load, and one of
// the same rate that comes and goes.
func (t *trial) load(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	t.users = map[string]*answered{}
	target := t.Target(t.cluster, "GET", "/", func(status int, body []byte) bool {
		version, _, _ := bytes.Cut(body, []byte(" "))
		t.mu.Lock()
		defer t.mu.Unlock()
		a := t.users[string(version)]
		if a == nil {
			a = &answered{first: time.Now()}
			t.users[string(version)] = a
		}
		a.requests, a.last = a.requests+1, time.Now()
		if status != 200 {
			a.failed++
		}
		return status < 600
	})
	var running sync.WaitGroup
	running.Go(func() { loadtest.Attack(ctx, t.rate, 24*time.Hour, []loadtest.Target{target}) })
	running.Go(func() {
		for long := time.Duration(0); ctx.Err() == nil; long = (long + 3) % 8 {
			loadtest.Attack(ctx, t.rate, (2+long)*time.Second, []loadtest.Target{target})
			calm := time.NewTimer((2 + (long+5)%8) * time.Second)
			select {
			case <-calm.C:
			case <-ctx.Done():
				calm.Stop()
			}
		}
	})
	return func() { cancel(); running.Wait() }
}

// deliver commits a version and runs the pipeline.
func (t *trial) deliver(ctx context.Context, env map[string]string, pause time.Duration) (d delivery, err error) {
	t.versions++
	d.version = fmt.Sprintf("v%d", t.versions)
	commit, err := t.repository.Commit(ctx, "version", d.version)
	if err != nil {
		return d, err
	}
	args := []string{"run", t.cluster + "/release", "--watch", "--param", "pause=" + pause.String()}
	for name, value := range env {
		args = append(args, "--param", name+"="+value)
	}
	said, err := t.CLI(ctx, args...)
	if err != nil {
		return d, err
	}
	d.exit = said.Exit
	var e execution.Execution
	if err := t.Read(ctx, &e, "executions", "show", t.cluster+"/release"); err != nil {
		return d, err
	}
	if s, ok := e.Stage("service"); ok && s.Failure != nil {
		d.code, d.cause = s.Failure.Code, s.Failure.Cause
	} else if said.Exit != 0 {
		d.cause = said.Out + said.Err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if a := t.users[d.version]; a != nil {
		d.hit, d.failed, d.served = a.requests, a.failed, a.last.Sub(a.first)
	}
	d.version = commit
	return d, nil
}
