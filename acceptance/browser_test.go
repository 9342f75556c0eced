package acceptance

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"showrunner/execution"
	"showrunner/internal/browsertest"
)

// browserWait bounds every wait for a browser.
const browserWait = browsertest.Wait

// browser is one tab of a real browser that records every complaint about a page.
type browser struct {
	*world
	*browsertest.Browser
}

// newBrowser starts Chromium, and skips the test by name where there is none.
func newBrowser(w *world) *browser {
	w.t.Helper()
	return &browser{w, browsertest.New(w.t, 5*browserWait)}
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.Do(chromedp.Navigate("http://" + b.listen + path))
}

// ticket is a link that signs a browser in, once.
func (w *world) ticket() string {
	for _, word := range strings.Fields(w.must("open")) {
		if strings.Contains(word, "ticket=") {
			return word
		}
	}
	w.t.Fatal("open prints no link")
	return ""
}

const askPipeline = `application: asked
pipelines:
  release:
    stages:
      say: { run: { commands: ["printf '\\033[31mred\\033[0m <script>document.title=1</script>\\n'"] } }
      ask: { needs: [say], approval: { instructions: "Is **it** good? <script>alert(1)</script>" } }
  greet:
    parameters:
      who: { description: Who is greeted., required: true }
      tone: { default: kindly, options: [kindly, loudly] }
    stages:
      say: { run: { commands: ['echo "hello $WHO, $TONE"'], env: { WHO: "${{ parameters.who }}", TONE: "${{ parameters.tone }}" } } }
`

// A person signs in by the link, watches a run change live, approves it with the
// keyboard alone, and reads its log. No page logs to the console, runs foreign
// scripts, or requests a missing resource.
func TestAPersonInABrowser(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-west-2")
	b := newBrowser(w)
	file := filepath.Join(t.TempDir(), "showrunner.yaml")
	if err := os.WriteFile(file, []byte(askPipeline), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must("apply", "-f", file)

	link := w.ticket()
	b.Do(chromedp.Navigate(link))
	b.Sees("release")
	var e execution.Execution
	w.json(&e, "run", "asked/release")
	b.open("/executions/" + e.ID)
	b.Sees("ask waits for a person")
	b.Sees("● Live")
	b.Sees("Is it good?")

	// The comment's field, then Approve: Tab and Enter are all it takes.
	b.Do(chromedp.Focus(chromedp.CSS(`section.ask input[name=comment]`)), chromedp.KeyEvent("fine"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	b.Sees("2 Succeeded") // both stages: the page names a single stage earlier
	w.json(&e, "executions", "show", e.ID)
	if e.Status != execution.Succeeded {
		t.Errorf("the run is %s", e.Status)
	}

	b.open("/executions/" + e.ID + "/stages/say?q=script")
	b.Sees("2 lines hold")
	if more, err := chromedp.Run(b.Context, chromedp.Evaluate[bool](`document.getElementById("more").checkVisibility()`)); err != nil || more {
		b.t.Errorf("new lines are announced for a log that has ended: %v", err)
	}
	if title, err := chromedp.Run(b.Context, chromedp.Title()); err != nil || title == "1" {
		t.Errorf("a log's text ran as a script: title %q, %v", title, err)
	}
	for _, path := range []string{"/", "/executions", "/clusters", "/sites", "/activity"} {
		b.open(path)
		b.Do(chromedp.WaitVisible(chromedp.CSS("h1")))
	}

	// Another run appears on a page that is not reloaded.
	b.open("/executions")
	w.json(&e, "run", "asked/release")
	b.Sees("asked › release #2")

	// The run ends on a page that is not touched.
	b.open("/executions/" + e.ID)
	b.Sees("ask waits for a person")
	b.Sees("● Live")
	w.must("approve", e.ID, "ask")
	b.Sees("2 Succeeded")

	// Pages fit a telephone, and programs that take pictures of them come to an end:
	// while a stage runs, too.
	w.json(&e, "run", "asked/release")
	b.open("/executions/" + e.ID)
	b.Sees("ask waits for a person")
	paths := []string{"/executions/" + e.ID, "/executions/" + e.ID + "/stages/ask", "/clusters"}
	b.fitTelephones(append(paths, "/", "/executions", "/executions?application=asked&pipeline=release", "/sites", "/activity"))
	b.pictures(paths)

	// The link works only once.
	res, err := http.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode < 400 {
		t.Errorf("the link signs in a second time: %s", res.Status)
	}
}

// fitTelephones looks for pages that are wider than a small screen.
func (b *browser) fitTelephones(paths []string) {
	b.t.Helper()
	const width = 360
	b.Do(chromedp.EmulateViewport(width, 800))
	for _, path := range paths {
		b.open(path)
		b.Do(chromedp.WaitVisible(chromedp.CSS("h1")))
		wide, err := chromedp.Run(b.Context, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
		if err != nil || wide > width {
			b.t.Errorf("%s is %d pixels wide on a screen of %d: %v", path, wide, width, err)
		}
		cut, err := chromedp.Run(b.Context, chromedp.Evaluate[[]string](`[...document.querySelectorAll("table")].filter(t => t.scrollWidth > t.clientWidth + 1).map(t => t.innerText.slice(0, 200))`))
		if err != nil || len(cut) > 0 {
			b.t.Errorf("%s: parts of tables are out of sight: %q, %v", path, cut, err)
		}
	}
	b.Do(chromedp.ResetViewport())
}

// pictures prints each page with a browser of its own whose clock runs ahead while the
// network is quiet: it never ends when a page keeps a request open.
func (b *browser) pictures(paths []string) {
	b.t.Helper()
	dir := b.t.TempDir()
	print := func(address string) (string, error) {
		ctx, cancel := context.WithTimeout(b.t.Context(), browserWait)
		defer cancel()
		cmd := exec.CommandContext(ctx, b.Path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--user-data-dir="+filepath.Join(dir, "profile"), "--virtual-time-budget=5000", "--dump-dom", address)
		cmd.Env = append(os.Environ(), "TMPDIR="+dir)
		cmd.WaitDelay = time.Second
		out, err := cmd.Output()
		return string(out), err
	}
	if _, err := print(b.ticket()); err != nil {
		b.t.Errorf("the front page: %v", err)
		return
	}
	for _, path := range paths {
		if page, err := print("http://" + b.listen + path); err != nil || !strings.Contains(page, "</main>") {
			b.t.Errorf("%s: %v\n%s", path, err, page)
		}
	}
}
