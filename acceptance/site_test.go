package acceptance

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/internal/loadtest"
)

const sitePipeline = `application: shop
pipelines:
  release:
    concurrency: queue
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      site:
        needs: [build]
        deploy-site:
          site: shop
          artifact: build
          waves: [ { regions: [us-west-2] }, { regions: [us-east-1, eu-west-1] } ]
`

// siteFiles is a site whose page names its own asset.
func siteFiles(version string) map[string]string {
	return map[string]string{
		"showrunner.yaml": sitePipeline,
		"version":         version,
		"buildspec.yml": `version: 0.2
phases:
  build:
    commands:
      - v=$(cat version)
      - mkdir -p dist/assets
      - echo "body{--v:$v}" > dist/assets/app-$v.css
      - echo "<html><link href=/assets/app-$v.css><p>version $v</p></html>" > dist/index.html
artifacts:
  base-directory: dist
  files: ['**/*']
`}
}

// A commit becomes a website in three regions; a second commit uploads only
// changed files; the site is rolled back without a build.
func TestCommitBecomesWebsite(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRepo(t, siteFiles("one"))
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	w.must("run", "shop/release", "--watch")
	if code, body := w.get("shop", "/"); code != http.StatusOK || !strings.Contains(body, "version one") {
		t.Fatalf("%d %s", code, body)
	}
	r.commit("second", map[string]string{"version": "two"})
	var e execution.Execution
	w.json(&e, "run", "shop/release", "--watch")
	st, _ := e.Stage("site")
	if st.Outputs["uploaded"] != float64(2) {
		t.Errorf("uploaded %v objects, want the 2 that changed", st.Outputs["uploaded"])
	}
	if code, body := w.get("shop", "/"); code != http.StatusOK || !strings.Contains(body, "version two") {
		t.Fatalf("%d %s", code, body)
	}
	w.must("rollback", "--site", "shop")
	if code, body := w.get("shop", "/"); code != http.StatusOK || !strings.Contains(body, "version one") {
		t.Fatalf("after the rollback: %d %s", code, body)
	}
	var page execution.Page
	w.json(&page, "executions", "list", "--application", "shop", "--pipeline", "rollback")
	if len(page.Executions) != 1 || page.Executions[0].RollbackOf != e.ID {
		t.Errorf("the rollback is not linked to %s: %+v", e.ID, page.Executions)
	}
}

// Visitors notice neither deployments nor a killed region: no request fails, and
// every page finds the asset that it names.
func TestVisitorsNoticeNoDeploymentsAndNoKilledRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := newRepo(t, siteFiles("v0"))
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	w.must("run", "shop/release", "--watch")
	visitor := startVisitor(w, "shop")
	deployments := size(3, 20)
	for i := 1; i <= deployments; i++ {
		r.commit(fmt.Sprint("v", i), map[string]string{"version": fmt.Sprint("v", i)})
		w.must("run", "shop/release", "--watch")
		if i == deployments/2+1 {
			w.kill("region-us-west-2")
		}
	}
	visits, problems := visitor.stop()
	t.Logf("%d page visits during %d deployments and one killed region", visits, deployments)
	for _, p := range problems {
		t.Error(p)
	}
	if visits < deployments {
		t.Errorf("only %d visits", visits)
	}
}

// visitor loads a site's page again and again, with the asset that it names.
type visitor struct {
	stopped  chan struct{}
	done     sync.WaitGroup
	visits   int
	problems []string
}

func startVisitor(w *world, host string) *visitor {
	v := &visitor{stopped: make(chan struct{})}
	v.done.Go(func() {
		for {
			select {
			case <-v.stopped:
				return
			default:
			}
			v.visit(w, host)
		}
	})
	return v
}

func (v *visitor) visit(w *world, host string) {
	v.visits++
	status, page, err := fetch(w.edge, host, "/")
	if err != nil || status != http.StatusOK {
		v.problems = append(v.problems, fmt.Sprintf("page: %d %v", status, err))
		return
	}
	_, rest, _ := strings.Cut(page, "href=")
	asset, _, _ := strings.Cut(rest, ">")
	version := strings.TrimSuffix(strings.TrimPrefix(asset, "/assets/app-"), ".css")
	if !strings.Contains(page, "version "+version) {
		v.problems = append(v.problems, "a mixed page: "+page)
	}
	if status, _, err := fetch(w.edge, host, asset); err != nil || status != http.StatusOK {
		v.problems = append(v.problems, fmt.Sprintf("asset %s: %d %v", asset, status, err))
	}
}

func (v *visitor) stop() (int, []string) {
	close(v.stopped)
	v.done.Wait()
	return v.visits, v.problems
}

func fetch(edge, host, path string) (int, string, error) {
	req, err := http.NewRequest(http.MethodGet, "http://"+edge+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = host + ".localhost"
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	var b bytes.Buffer
	_, err = b.ReadFrom(res.Body)
	return res.StatusCode, b.String(), err
}

// counter counts effects outside the product, by idempotency key.
type counter struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[r.Header.Get("Idempotency-Key")]++
}

// The control plane is killed at random moments, again and again: every execution
// ends, each effect happens once, no execution stays stuck.
func TestControlKilledAtRandomMoments(t *testing.T) {
	t.Parallel()
	effects := &counter{seen: map[string]int{}}
	outside := httptest.NewServer(effects)
	defer outside.Close()
	lines := filepath.Join(t.TempDir(), "effects")
	w := newWorld(t)
	r := newRepo(t, map[string]string{"index.html": "hello", "showrunner.yaml": strings.NewReplacer("URL", outside.URL, "LINES", lines).Replace(`application: six
pipelines:
  all:
    concurrency: parallel
    stages:
      source: { git: { url: ., branch: main } }
      one: { needs: [source], run: { artifact: source, commands: ["echo ${{ execution.id }}/one >> LINES"] } }
      two: { needs: [one], webhook: { url: URL } }
      three: { needs: [one], wait: { for: 200ms } }
      four: { needs: [two, three], run: { commands: ["echo ${{ execution.id }}/four >> LINES"] } }
      five: { needs: [four], deploy-site: { site: six, artifact: source } }
`)})
	w.must("apply", "-f", filepath.Join(r.dir, "showrunner.yaml"))
	runs := size(5, 100)
	began := time.Now()
	for i := range runs {
		id := strings.TrimSpace(w.must("run", "six/all", "-o", "name"))
		// A different moment each time, from the answer to the start until the
		// end of the run.
		pause := time.NewTimer(time.Duration(i*37%700) * time.Millisecond)
		<-pause.C
		w.kill("control")
		out, errs, code := w.cli("executions", "watch", id, "--timeout", "60s")
		if code != 0 {
			t.Fatalf("run %d: exit %d\n%s%s", i, code, out, errs)
		}
	}
	t.Logf("%d runs with a kill -9 of control in each, %s", runs, time.Since(began).Round(time.Second))
	raw, err := os.ReadFile(lines)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, line := range strings.Fields(string(raw)) {
		count[line]++
	}
	if len(count) != 2*runs {
		t.Errorf("%d effects of commands, want %d", len(count), 2*runs)
	}
	for line, n := range count {
		if n != 1 {
			t.Errorf("%s happened %d times", line, n)
		}
	}
	// A call whose answer was lost is repeated under the same key, by which the
	// receiver recognises it.
	effects.mu.Lock()
	defer effects.mu.Unlock()
	if len(effects.seen) != runs {
		t.Errorf("%d keys called, want %d", len(effects.seen), runs)
	}
}

// attack requests pages at a constant rate while f runs.
func attack(w *world, rate int, hosts []string, f func()) loadtest.Report {
	var targets []loadtest.Target
	for _, h := range hosts {
		targets = append(targets, loadtest.Target{URL: "http://" + w.edge + "/", Host: h + ".localhost"})
	}
	return attackWhile(w.t.Context(), rate, targets, f)
}
