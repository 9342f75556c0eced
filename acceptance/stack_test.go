package acceptance

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"showrunner/examples"
	"showrunner/execution"
)

// The stack of a published article, as `cdk synth` writes it, is imported and run
// with a local repository instead of GitHub. The address in the output BucketURL
// answers through the edge with the page that npm built and with its assets; a
// second commit uploads only changed files.
func TestTheArticlesStackRuns(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("npm is not installed, so the article's site is not built here")
	}
	w := newWorld(t)
	r := &repo{t: t, dir: filepath.Join(t.TempDir(), "site")}
	if err := examples.Copy(examples.NPM, r.dir); err != nil {
		t.Fatal(err)
	}
	r.git("init", "--quiet", "--initial-branch=main")
	commit := r.commit("the site", nil)

	imported := filepath.Join(t.TempDir(), "imported")
	w.must("import", "cdk", filepath.Join("..", "importer", "testdata", "netflix-demo.cdk.json"),
		"--out", imported, "--source-override", "GitHub_Source="+r.dir)
	file := filepath.Join(imported, "showrunner.yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	// The pipeline's own poll would start runs between the counted ones, and
	// supersede them; polls have tests of their own.
	const poll = "every: 5s"
	if !strings.Contains(string(raw), poll) {
		t.Fatalf("the imported file has no poll %q:\n%s", poll, raw)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(raw), poll, "every: 1h", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must("apply", "-f", file)
	first := w.runStack()
	if code, page := w.visit(first.bucket, "/"); code != http.StatusOK || !strings.Contains(page, commit[:7]) {
		t.Fatalf("%s answers %d, not the page of %s:\n%s", first.bucket, code, commit[:7], page)
	}
	assets := w.assets(first.bucket)

	second := r.commit("one line", map[string]string{"src/main.js": "document.title = 'changed'\n"})
	again := w.runStack()
	if code, page := w.visit(again.bucket, "/"); code != http.StatusOK || !strings.Contains(page, second[:7]) {
		t.Fatalf("%s answers %d, not the page of %s:\n%s", again.bucket, code, second[:7], page)
	}
	w.assets(again.bucket)
	if again.unchanged == 0 || again.uploaded >= first.uploaded {
		t.Errorf("the second run uploaded %d objects and left %d; the first uploaded %d", again.uploaded, again.unchanged, first.uploaded)
	}
	same := w.runStack()
	if same.uploaded != 0 || same.unchanged != first.uploaded {
		t.Errorf("without a change %d objects were uploaded and %d left", same.uploaded, same.unchanged)
	}
	t.Logf("BucketURL = %s, with %d assets: %d objects in %s; after a one-line change %d uploaded and %d unchanged in %s; without one %d uploaded in %s",
		first.bucket, assets, first.uploaded, first.took, again.uploaded, again.unchanged, again.took, same.uploaded, same.took)
}

// stackRun is the result of one run of the imported stack.
type stackRun struct {
	bucket              *url.URL
	uploaded, unchanged int
	took                time.Duration
}

var bucketURL = regexp.MustCompile(`BucketURL = (\S+)`)

func (w *world) runStack() (s stackRun) {
	w.t.Helper()
	const name = "netflix-demo/netflix-demo-pipeline"
	began := time.Now()
	out, errs, code := w.cli("run", name, "--watch", "-o", "name")
	s.took = time.Since(began).Round(10 * time.Millisecond)
	found := bucketURL.FindStringSubmatch(out + errs)
	if code != 0 || found == nil {
		w.t.Fatalf("the run ended with %d and said\n%s%s", code, out, errs)
	}
	var err error
	if s.bucket, err = url.Parse(found[1]); err != nil {
		w.t.Fatal(err)
	}
	if _, port, _ := strings.Cut(w.edge, ":"); s.bucket.Port() != port {
		w.t.Errorf("BucketURL is %s, the edge listens on %s", s.bucket, w.edge)
	}
	var e execution.Execution
	w.json(&e, "executions", "show", strings.TrimSpace(out))
	st, ok := e.Stage("deploy")
	uploaded, isNumber := st.Outputs["uploaded"].(float64)
	unchanged, _ := st.Outputs["unchanged"].(float64)
	if !ok || !isNumber {
		w.t.Fatalf("the stage deploy put out %v", st.Outputs)
	}
	s.uploaded, s.unchanged = int(uploaded), int(unchanged)
	return s
}

// visit requests a path of a site by the site's address.
func (w *world) visit(site *url.URL, path string) (int, string) {
	w.t.Helper()
	return w.get(strings.TrimSuffix(site.Hostname(), ".localhost"), path)
}

var reference = regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`)

// assets counts the assets of the page; all of them have to be answered.
func (w *world) assets(site *url.URL) int {
	w.t.Helper()
	_, page := w.visit(site, "/")
	found := reference.FindAllStringSubmatch(page, -1)
	if len(found) < 2 {
		w.t.Fatalf("the page refers to %d assets:\n%s", len(found), page)
	}
	for _, f := range found {
		if code, body := w.visit(site, f[1]); code != http.StatusOK || body == "" {
			w.t.Errorf("%s of the page answers %d with %d bytes", f[1], code, len(body))
		}
	}
	return len(found)
}
