package acceptance

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/internal/loadtest"
)

// program is a service whose behaviour comes from a file beside its source.
const program = `package main

import (
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	_ "embed"
)

//go:embed mode
var mode string

//go:embed version
var version string

func main() {
	switch mode {
	case "exit":
		fmt.Println("cannot read configuration")
		os.Exit(3)
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
	case "leak":
		for i := 0; ; i++ {
			if _, err := os.Open(os.Args[0]); err != nil {
				fmt.Println("after", i, "files:", err)
				os.Exit(4)
			}
		}
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {
		if mode == "sick" {
			http.Error(w, "database pool exhausted", http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(time.Millisecond)
		if mode == "broken" {
			fmt.Println("cannot reach the database:", r.URL.Path)
			http.Error(w, "cannot reach the database", http.StatusInternalServerError)
			return
		}
		fmt.Fprintf(w, "version %s from %s\n", version, os.Getenv("SHOWRUNNER_INSTANCE"))
	})
	if mode == "crash" {
		time.AfterFunc(700*time.Millisecond, func() {
			fmt.Println("panic: nil map")
			os.Exit(2)
		})
	}
	fmt.Println("serves version", version)
	server := &http.Server{Addr: os.Getenv("HOST") + ":" + os.Getenv("PORT")}
	if mode != "stubborn" {
		stop := make(chan os.Signal, 1)
		signal.Notify(stop, syscall.SIGTERM)
		go func() { <-stop; server.Close() }()
	}
	fmt.Println(server.ListenAndServe())
}
`

const servicePipeline = `application: api
pipelines:
  release:
    concurrency: queue
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service:
        needs: [build]
        deploy:
          cluster: api-prod
          artifact: build
          command: [./api]
          health: { path: /healthz, interval: 200ms, grace: GRACE }
          capacity: { min: 2, desired: 2, max: 4 }
          stopTimeout: 2s
          drain: 5s
          limits: { files: 64 }
          strategy: STRATEGY
          waves: [ { regions: [us-west-2], bake: BAKE }, { regions: [us-east-1, eu-west-1] } ]
`

// strategies as they are written in the pipeline file.
var strategies = map[string]string{
	"red-black": "red-black",
	"rolling":   "{ rolling: { steps: [50], pause: 200ms, scaleDownDelay: 500ms } }",
	"canary":    "{ canary: { steps: [10, 50], pause: 500ms, scaleDownDelay: 500ms, judge: { maxErrorRate: 0.05, whenNoData: pass } } }",
	// It stays at its first step until somebody ends it.
	"held canary": "{ canary: { steps: [10, 50], pause: 30m, judge: { maxErrorRate: 0.05, whenNoData: pass } } }",
	// Its steps wait for a verdict, also on a machine that is too busy for many requests within a pause.
	"judged canary": "{ canary: { steps: [10, 50], pause: 500ms, scaleDownDelay: 500ms, judge: { maxErrorRate: 0.05 } } }",
}

func serviceFiles(strategy, mode, version string) map[string]string {
	bake, grace := "500ms", "5s"
	if mode == "crash" {
		bake = "10s"
	}
	return map[string]string{
		"showrunner.yaml": strings.NewReplacer("STRATEGY", strategies[strategy], "BAKE", bake, "GRACE", grace).Replace(servicePipeline),
		"main.go":         program, "mode": mode, "version": version,
		"buildspec.yml": "version: 0.2\nphases:\n  build:\n    commands:\n      - CGO_ENABLED=0 go build -trimpath -o api main.go\nartifacts:\n  files: [api]\n",
	}
}

// attackWhile makes requests at a constant rate until f has returned.
func attackWhile(ctx context.Context, rate int, targets []loadtest.Target, f func()) loadtest.Report {
	ctx, cancel := context.WithCancel(ctx)
	result := make(chan loadtest.Report)
	go func() { result <- loadtest.Attack(ctx, rate, time.Hour, targets) }()
	f()
	cancel()
	return <-result
}

// deliver applies the file (the strategy may have changed) and runs the pipeline.
func (w *world) deliver(r *repo) (stderr string, code int) {
	w.t.Helper()
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	_, stderr, code = w.cli("run", "api/release", "--watch")
	return stderr, code
}

func (w *world) instances() []cloud.Instance {
	w.t.Helper()
	var list []cloud.Instance
	w.json(&list, "instances", "api")
	return list
}

func (w *world) clusters() []control.Cluster {
	w.t.Helper()
	var list []control.Cluster
	out, stderr, code := w.cli("clusters", "api", "-o", "json")
	if code != 0 && code != 10 { // 10: a region does not answer, or something is missing
		w.t.Fatalf("clusters: exit %d: %s", code, stderr)
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		w.t.Fatalf("clusters: %v: %s", err, out)
	}
	return list
}

// No retryable request fails while every strategy replaces versions, instances
// are killed and hang, and a region process dies.
func TestClientsNoticeNoFailures(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRepo(t, serviceFiles("red-black", "good", "v0"))
	if errs, code := w.deliver(r); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	rate := size(100, 500)
	quiet := attack(w, rate, []string{"api-prod"}, func() { <-time.After(3 * time.Second) })
	t.Logf("quiet:     %s", quiet)
	version := 0
	for _, strategy := range []string{"red-black", "rolling", "canary"} {
		report := attack(w, rate, []string{"api-prod"}, func() {
			for range size(1, 20) {
				version++
				r.commit(fmt.Sprint("v", version), serviceFiles(strategy, "good", fmt.Sprint("v", version)))
				if errs, code := w.deliver(r); code != 0 {
					t.Errorf("%s: exit %d\n%s", strategy, code, errs)
				}
			}
		})
		t.Logf("%-10s %s", strategy+":", report)
		noneFailed(t, strategy, report)
	}
	seed := uint64(time.Now().UnixNano())
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for name, blow := range map[string]func(){
		"kills":  func() { w.hitInstances(rng, size(5, 50), syscall.SIGKILL) },
		"hangs":  func() { w.hitInstances(rng, size(2, 10), syscall.SIGSTOP) },
		"region": func() { w.kill("region-us-west-2") },
	} {
		report := attack(w, rate, []string{"api-prod"}, func() {
			blow()
			w.eventually(60*time.Second, "everything serves again after "+name, w.allServe)
		})
		t.Logf("%-10s %s", name+":", report)
		noneFailed(t, name, report)
	}
}

func noneFailed(t *testing.T, name string, r loadtest.Report) {
	t.Helper()
	if r.Failed > 0 || r.Requests == 0 {
		t.Errorf("%s: %d of %d requests failed:\n%s", name, r.Failed, r.Requests, strings.Join(r.Failures, "\n"))
	}
}

// allServe says whether every region has its full capacity.
func (w *world) allServe() error {
	regions := 0
	for _, c := range w.clusters() {
		for _, g := range c.Groups {
			if !g.Enabled() {
				continue
			}
			regions++
			if g.Serving() < g.Capacity.Desired {
				return fmt.Errorf("%s in %s: %d of %d", g.Name, g.Region, g.Serving(), g.Capacity.Desired)
			}
		}
	}
	if regions != len(w.regions) {
		return fmt.Errorf("%d regions serve", regions)
	}
	return nil
}

// hitInstances sends a signal to random serving instances one after another, each
// time once all serve again: the promise covers one failure at a time.
func (w *world) hitInstances(rng *rand.Rand, n int, sig syscall.Signal) {
	for range n {
		var serving []cloud.Instance
		for _, i := range w.instances() {
			if i.Serving() {
				serving = append(serving, i)
			}
		}
		victim := serving[rng.IntN(len(serving))]
		if err := syscall.Kill(victim.PID, sig); err != nil {
			w.t.Errorf("%s: %v", victim.ID, err)
			continue
		}
		w.eventually(30*time.Second, victim.ID+" is replaced", func() error {
			for _, i := range w.instances() {
				if i.ID == victim.ID && i.Serving() {
					return fmt.Errorf("it still serves")
				}
			}
			return w.allServe()
		})
	}
}

// A bad version ends with a clear reason; traffic never leaves the earlier
// version; nothing is left behind.
func TestBadVersionsAreUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRepo(t, serviceFiles("red-black", "good", "good"))
	if errs, code := w.deliver(r); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	for mode, want := range map[string]string{
		"sick":  "database pool exhausted",
		"exit":  "cannot read configuration",
		"crash": "panic: nil map",
		"leak":  "files:",
	} {
		report := attack(w, 50, []string{"api-prod"}, func() {
			r.commit(mode, serviceFiles("red-black", mode, mode))
			errs, code := w.deliver(r)
			if code != 4 {
				t.Errorf("%s: exit %d, want 4 (rolled back)\n%s", mode, code, errs)
			}
			if !strings.Contains(errs, want) || !strings.Contains(errs, "undone:") {
				t.Errorf("%s: the reason does not show %q:\n%s", mode, want, errs)
			}
		})
		noneFailed(t, mode, report)
		if _, body := w.get("api-prod", "/"); !strings.Contains(body, "version good") {
			t.Errorf("%s: it answers %s", mode, body)
		}
		for _, c := range w.clusters() {
			for _, g := range c.Groups {
				if !g.Enabled() {
					t.Errorf("%s: %s is left in %s", mode, g.Name, g.Region)
				}
			}
		}
	}
	// A version that ignores SIGTERM may serve, and is killed at the end of its
	// stop timeout.
	r.commit("stubborn", serviceFiles("red-black", "stubborn", "stubborn"))
	if errs, code := w.deliver(r); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	pids := w.instances()
	stubborn := pids[0].ServerGroup // the newest group comes first
	r.commit("good again", serviceFiles("red-black", "good", "again"))
	w.deliver(r)
	r.commit("and again", serviceFiles("red-black", "good", "and again"))
	w.deliver(r)
	w.eventually(time.Minute, "the stubborn instances are gone", func() error {
		for _, i := range pids {
			if i.ServerGroup == stubborn && syscall.Kill(i.PID, 0) == nil {
				return fmt.Errorf("pid %d is alive", i.PID)
			}
		}
		return nil
	})
}

// When a canary's judge refuses a version, the failure contains the output of its
// instances, so that people can read it after the version is gone.
func TestAFailedCanaryKeepsWhatItsInstancesWrote(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRepo(t, serviceFiles("judged canary", "good", "good"))
	if errs, code := w.deliver(r); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	attack(w, 200, []string{"api-prod"}, func() {
		r.commit("broken", serviceFiles("judged canary", "broken", "broken"))
		if errs, code := w.deliver(r); code != 4 || !strings.Contains(errs, "CANARY_ERRORS") || !strings.Contains(errs, "log: cannot reach the database: /") {
			t.Errorf("exit %d, want 4 (rolled back), with what its instances wrote\n%s", code, errs)
		}
	})
	for _, c := range w.clusters() {
		for _, g := range c.Groups {
			if !g.Enabled() {
				t.Errorf("%s is left in %s", g.Name, g.Region)
			}
		}
	}
	if out := w.must("executions", "show", "api/release"); !strings.Contains(out, "log: cannot reach the database: /") {
		t.Errorf("the failure does not show what its instances wrote:\n%s", out)
	}
}

// The control plane is killed at random moments of rollouts by every strategy:
// each rollout succeeds or is undone, and no request fails.
func TestControlKilledDuringRollouts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRepo(t, serviceFiles("red-black", "good", "v0"))
	if errs, code := w.deliver(r); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	n := 0
	report := attack(w, 50, []string{"api-prod"}, func() {
		for _, strategy := range []string{"red-black", "rolling", "canary"} {
			for i := range size(1, 10) {
				n++
				r.commit(fmt.Sprint(strategy, i), serviceFiles(strategy, "good", fmt.Sprint(strategy, i)))
				w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
				id := strings.TrimSpace(w.must("run", "api/release", "-o", "name"))
				<-time.After(time.Duration(500+i*331%2500) * time.Millisecond)
				w.kill("control")
				if out, errs, code := w.cli("executions", "watch", id, "--timeout", "90s"); code != 0 {
					t.Errorf("%s: exit %d\n%s%s", strategy, code, out, errs)
				}
			}
		}
	})
	t.Logf("%d rollouts with a kill -9 of control in each: %s", n, report)
	noneFailed(t, "rollouts", report)
}
