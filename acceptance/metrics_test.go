package acceptance

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// tellingProgram is a service that tells its metrics, which says of itself what it likes.
const tellingProgram = `package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/stats", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "# TYPE api_orders_total counter\napi_orders_total{region=\"mine\"} 42\napi_pid %d\n", os.Getpid())
	})
	http.ListenAndServe(os.Getenv("HOST")+":"+os.Getenv("PORT"), nil)
}
`

const tellingPipeline = `application: api
pipelines:
  release:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service:
        needs: [build]
        deploy:
          cluster: api-prod
          artifact: build
          command: [./api]
          health: { path: /healthz, interval: 200ms, grace: 20s }
          capacity: { min: 2, desired: 2, max: 3 }
          metrics: { path: /stats, interval: 1s }
          strategy: red-black
`

// found is one series of an answer of Prometheus's API.
type found struct {
	Metric map[string]string
	Value  [2]any
}

// promQuery asks control as Grafana does.
func (w *world) promQuery(query string) (list []found, err error) {
	token, err := os.ReadFile(filepath.Join(w.data, "token"))
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, "http://"+w.listen+"/api/v1/query?query="+url.QueryEscape(query), nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s (%w)", res.Status, body, err)
	}
	var answer struct{ Data struct{ Result []found } }
	return answer.Data.Result, json.Unmarshal(body, &answer)
}

// What instances tell is found by all that they are known by, also after control was
// killed; an instance that was ended is replaced by its successor at once.
func TestInstancesTellTheirMetrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-west-2")
	files := serviceFiles("red-black", "good", "one")
	files["main.go"], files["showrunner.yaml"] = tellingProgram, tellingPipeline
	if errs, code := w.deliver(newRepo(t, files)); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	told := func(when string) {
		t.Helper()
		w.eventually(30*time.Second, when, func() error {
			serving := map[string]string{}
			for _, i := range w.instances() {
				if i.Serving() {
					serving[i.ID] = fmt.Sprint(i.PID)
				}
			}
			list, err := w.promQuery(`api_pid and on (instance) (up == 1) and on (instance) api_orders_total{exported_region="mine",region="us-west-2"} == 42`)
			if err != nil || len(list) != 2 || len(serving) != 2 {
				return fmt.Errorf("%v, %v; %d serve", list, err, len(serving))
			}
			for _, one := range list {
				m := one.Metric
				if one.Value[1] != serving[m["instance"]] {
					return fmt.Errorf("%v of %v", one, serving)
				}
				for label, want := range map[string]string{"application": "api", "cluster": "api-prod", "server_group": "api-prod-v000"} {
					if m[label] != want {
						t.Errorf("%s is %q", label, m[label])
					}
				}
				if m["version"] == "" || m["epoch"] == "" || !strings.HasPrefix(m["zone"], "us-west-2") {
					t.Errorf("labels are missing: %v", m)
				}
			}
			return nil
		})
	}
	told("both instances have told their metrics")
	w.kill("control")
	told("they tell them after control was killed")
	w.must("terminate", w.instances()[0].ID)
	told("the successor of an instance tells them, and the one that is gone no more")
}
