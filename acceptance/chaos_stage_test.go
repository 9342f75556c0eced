package acceptance

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/control"
	"showrunner/execution"
	"showrunner/internal/loadtest"
)

// caller is a service that calls another one through the edge. The weak version waits
// for as long as that takes; the mended one gives up and answers without it.
const caller = `package main

import (
	_ "embed"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

//go:embed mode
var mode string

var client = &http.Client{}

func catalog() string {
	r, err := http.NewRequest("GET", os.Getenv("CATALOG"), nil)
	if err != nil {
		return err.Error()
	}
	r.Host = "api-catalog.localhost"
	res, err := client.Do(r)
	if err != nil {
		return "no catalog"
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	return string(text)
}

func main() {
	if mode == "mended" {
		client.Timeout = 150 * time.Millisecond
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, r *http.Request) {})
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if os.Getenv("CATALOG") == "" {
			fmt.Fprint(w, "the catalog")
			return
		}
		fmt.Fprintf(w, "%s with %s", mode, catalog())
	})
	fmt.Println(http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), nil))
}
`

const callerPipelines = `application: api
x-service: &service
  artifact: build
  command: [./api]
  health: { path: /healthz, interval: 200ms, grace: 10s }
  stopTimeout: 2s
pipelines:
  catalog:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service: { needs: [build], deploy: { <<: *service, cluster: api-catalog, capacity: { min: 1, desired: 1, max: 2 }, strategy: red-black } }
  first:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service: { needs: [build], deploy: { <<: *service, cluster: api-web, env: { CATALOG: "http://EDGE/" }, capacity: { min: 1, desired: 2, max: 4 }, strategy: red-black } }
  release:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      survives:
        needs: [build]
        chaos:
          <<: *service
          cluster: api-web
          env: { CATALOG: "http://EDGE/" }
          share: 25
          for: 20s
          faults: [{ kind: latency, to: api-catalog, latency: 3s }]
          judge: { maxP99: 1s }
      service: { needs: [build, survives], deploy: { <<: *service, cluster: api-web, env: { CATALOG: "http://EDGE/" }, capacity: { min: 1, desired: 2, max: 4 }, strategy: red-black } }
`

func callerFiles(w *world, mode string) map[string]string {
	return map[string]string{
		"showrunner.yaml": strings.ReplaceAll(callerPipelines, "EDGE", w.edge), "main.go": caller, "mode": mode,
		"buildspec.yml": "version: 0.2\nphases:\n  build:\n    commands:\n      - CGO_ENABLED=0 go build -trimpath -o api main.go\nartifacts:\n  files: [api]\n",
	}
}

// TestChaosStage: a version that waits for a dependency without a limit looks healthy,
// and is stopped by the chaos stage; the mended one is promoted. Control is killed in
// the middle: the faults are undone all the same, and nobody but the experiment group
// ever meets them.
func TestChaosStage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-west-2")
	r := newRepo(t, callerFiles(w, "first"))
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	w.must("run", "api/catalog", "--watch")
	w.must("run", "api/first", "--watch")
	if _, text := w.get("api-web", "/"); text != "first with the catalog" {
		t.Fatalf("before: %q", text)
	}
	release := func(mode string, kill bool) execution.Execution {
		t.Helper()
		r.commit(mode, map[string]string{"mode": mode})
		var started struct{ ID string }
		w.json(&started, "run", "api/release")
		if kill {
			w.eventually(2*time.Minute, "the fault is active", func() error {
				return w.faults(control.FaultActive, 1)
			})
			w.kill("control")
		}
		var e execution.Execution
		w.eventually(3*time.Minute, mode+" ends", func() error {
			out, errs, code := w.cli("executions", "show", started.ID, "-o", "json")
			if code != 0 {
				return fmt.Errorf("%s", errs) // control restarts
			}
			e = decode[execution.Execution](t, out)
			if !e.Status.Complete() {
				return fmt.Errorf("it is %s", e.Status)
			}
			return nil
		})
		return e
	}
	load := []loadtest.Target{{URL: "http://" + w.edge + "/", Host: "api-web.localhost"}}
	var delayed atomic.Int64 // as long as the fault delays
	catalog := []loadtest.Target{{URL: "http://" + w.edge + "/", Host: "api-catalog.localhost", Seen: func(r loadtest.Result) {
		if r.Took >= 3*time.Second {
			delayed.Add(1)
		}
	}}}
	var weak, mended execution.Execution
	others := attackWhile(context.Background(), 20, catalog, func() {
		attackWhile(context.Background(), 80, load, func() {
			weak = release("weak", true)
			mended = release("mended", false)
		})
	})
	failure := stageOf(weak, "survives").Failure
	if weak.Status != execution.Terminal || failure == nil || failure.Code != "CHAOS_NOT_SURVIVED" || !strings.Contains(failure.Cause, "latency of 3s of its calls to api-catalog") || len(failure.Undone) == 0 {
		t.Errorf("the weak version: %s, %+v", weak.Status, failure)
	}
	if st := stageOf(weak, "service"); st.Status == execution.Succeeded {
		t.Error("the weak version was promoted")
	}
	if mended.Status != execution.Succeeded {
		t.Errorf("the mended version: %s, %+v", mended.Status, stageOf(mended, "survives").Failure)
	}
	if _, text := w.get("api-web", "/"); text != "mended with the catalog" {
		t.Errorf("afterwards: %q", text)
	}
	if others.Failed > 0 || delayed.Load() > int64(others.Requests/4) { // more, if the fault met everybody; a busy machine delays some
		t.Errorf("others noticed: %+v, %d of them delayed", others, delayed.Load())
	}
	if err := w.faults(control.FaultUndone, 2); err != nil {
		t.Error(err)
	}
	groups := map[string]bool{}
	for _, i := range w.instances() {
		if strings.HasPrefix(i.ServerGroup, "api-web-") {
			groups[i.ServerGroup] = true
		}
	}
	if len(groups) != 2 { // the mended version, and the first one, which is kept for rollbacks
		t.Errorf("groups left: %v", groups)
	}
}

// faults says whether there are so many faults, all in one state.
func (w *world) faults(state control.FaultState, n int) error {
	out, errs, code := w.cli("chaos", "fault", "list", "-o", "json")
	if code != 0 {
		return fmt.Errorf("%s", errs)
	}
	list := decode[[]control.ChaosFault](w.t, out)
	if len(list) != n {
		return fmt.Errorf("%d faults: %s", len(list), out)
	}
	for _, f := range list {
		if f.State != state {
			return fmt.Errorf("%s is %s: %s", f.ID, f.State, f.Reason)
		}
	}
	return nil
}

func stageOf(e execution.Execution, name string) (st execution.StageState) {
	for _, s := range e.Stages {
		if s.Name == name {
			return s
		}
	}
	return st
}
