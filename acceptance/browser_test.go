package acceptance

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"showrunner/execution"
)

// browserWait bounds every wait for a browser; it starts slowly on a busy
// machine.
const browserWait = 60 * time.Second

// browser is one tab of a real browser that records every complaint about a page.
type browser struct {
	*world
	ctx  context.Context
	path string // of the program

	mu         sync.Mutex
	complaints []string
}

// newBrowser starts Chromium, and skips the test by name where there is none.
func newBrowser(w *world) *browser {
	w.t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		w.t.Skip("no chromium here: what only a browser can show is not shown")
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*browserWait)
	w.t.Cleanup(cancel)
	profile := filepath.Join(w.t.TempDir(), "profile")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.DisableGPU,
		chromedp.Env("TMPDIR="+w.t.TempDir()), // what it leaves when it is ended
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	w.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	w.t.Cleanup(cancel)
	b := &browser{world: w, ctx: ctx, path: path}
	if err := chromedp.Listen(ctx, b.note); err != nil {
		w.t.Fatal(err)
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, c := range b.complaints {
			w.t.Errorf("the browser complains: %s", c)
		}
	})
	return b
}

func (b *browser) note(ev any) {
	text := ""
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		text = fmt.Sprintf("%s on the console: %v", e.Type, e.Args)
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	case *log.EventEntryAdded: // violations of the page's policy are reported here
		text = fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			text = fmt.Sprintf("%v for %s", e.Response.Status, e.Response.URL)
		}
	}
	if text != "" {
		b.mu.Lock()
		b.complaints = append(b.complaints, text)
		b.mu.Unlock()
	}
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, browserWait)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// sees waits until the page shows a text, without reloading it.
func (b *browser) sees(text string) {
	b.t.Helper()
	b.eventually(browserWait, "the page says "+text, func() error {
		ctx, cancel := context.WithTimeout(b.ctx, browserWait)
		defer cancel()
		said, err := chromedp.Run(ctx, chromedp.Text(chromedp.CSS("body")))
		if err == nil && !strings.Contains(said, text) {
			err = fmt.Errorf("it says:\n%s", said)
		}
		return err
	})
}

func (b *browser) open(path string) {
	b.t.Helper()
	b.do(chromedp.Navigate("http://" + b.listen + path))
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
	b.do(chromedp.Navigate(link))
	b.sees("release")
	var e execution.Execution
	w.json(&e, "run", "asked/release")
	b.open("/executions/" + e.ID)
	b.sees("ask waits for a person")
	b.sees("● Live")
	b.sees("Is it good?")

	// The comment's field, then Approve: Tab and Enter are all it takes.
	b.do(chromedp.Focus(chromedp.CSS(`section.ask input[name=comment]`)), chromedp.KeyEvent("fine"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	b.sees("2 Succeeded") // both stages: the page names a single stage earlier
	w.json(&e, "executions", "show", e.ID)
	if e.Status != execution.Succeeded {
		t.Errorf("the run is %s", e.Status)
	}

	b.open("/executions/" + e.ID + "/stages/say?q=script")
	b.sees("2 lines hold")
	if more, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.getElementById("more").checkVisibility()`)); err != nil || more {
		b.t.Errorf("new lines are announced for a log that has ended: %v", err)
	}
	if title, err := chromedp.Run(b.ctx, chromedp.Title()); err != nil || title == "1" {
		t.Errorf("a log's text ran as a script: title %q, %v", title, err)
	}
	for _, path := range []string{"/", "/executions", "/clusters", "/sites", "/activity"} {
		b.open(path)
		b.do(chromedp.WaitVisible(chromedp.CSS("h1")))
	}

	// Another run appears on a page that is not reloaded.
	b.open("/executions")
	w.json(&e, "run", "asked/release")
	b.sees("asked › release #2")

	// The run ends on a page that is not touched.
	b.open("/executions/" + e.ID)
	b.sees("ask waits for a person")
	b.sees("● Live")
	w.must("approve", e.ID, "ask")
	b.sees("2 Succeeded")

	// Pages fit a telephone, and programs that take pictures of them come to an end:
	// while a stage runs, too.
	w.json(&e, "run", "asked/release")
	b.open("/executions/" + e.ID)
	b.sees("ask waits for a person")
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
	b.do(chromedp.EmulateViewport(width, 800))
	for _, path := range paths {
		b.open(path)
		b.do(chromedp.WaitVisible(chromedp.CSS("h1")))
		wide, err := chromedp.Run(b.ctx, chromedp.Evaluate[int]("document.documentElement.scrollWidth"))
		if err != nil || wide > width {
			b.t.Errorf("%s is %d pixels wide on a screen of %d: %v", path, wide, width, err)
		}
		cut, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](`[...document.querySelectorAll("table")].filter(t => t.scrollWidth > t.clientWidth + 1).map(t => t.innerText.slice(0, 200))`))
		if err != nil || len(cut) > 0 {
			b.t.Errorf("%s: parts of tables are out of sight: %q, %v", path, cut, err)
		}
	}
	b.do(chromedp.ResetViewport())
}

// pictures prints each page with a browser of its own whose clock runs ahead while the
// network is quiet: it never ends when a page keeps a request open.
func (b *browser) pictures(paths []string) {
	b.t.Helper()
	dir := b.t.TempDir()
	print := func(address string) (string, error) {
		ctx, cancel := context.WithTimeout(b.t.Context(), browserWait)
		defer cancel()
		cmd := exec.CommandContext(ctx, b.path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--user-data-dir="+filepath.Join(dir, "profile"), "--virtual-time-budget=5000", "--dump-dom", address)
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
