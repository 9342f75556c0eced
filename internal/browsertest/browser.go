// Package browsertest drives a real browser in tests. Every complaint of the browser
// about a page (its console, its Content-Security-Policy, an answer of 400 or more) is
// kept, and fails the test.
package browsertest

import (
	"context"
	"fmt"
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
)

// Wait bounds every wait for a browser; it starts slowly on a busy machine.
const Wait = 60 * time.Second

// Browser is one tab of a real browser.
type Browser struct {
	Path    string // of the program
	Context context.Context
	t       *testing.T

	mu         sync.Mutex
	complaints []string
	ignored    func(complaint string) bool
}

// New starts Chromium for at most so long, and skips the test by name where there is
// none. Complaints that were not taken fail the test at its end.
func New(t *testing.T, most time.Duration) *Browser {
	t.Helper()
	b := &Browser{t: t}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			b.Path = p
			break
		}
	}
	if b.Path == "" {
		t.Skip("no chromium here: what only a browser can show is not shown")
	}
	ctx, cancel := context.WithTimeout(t.Context(), most)
	t.Cleanup(cancel)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(b.Path), chromedp.UserDataDir(filepath.Join(t.TempDir(), "profile")), chromedp.DisableGPU,
		chromedp.Env("TMPDIR="+t.TempDir()), // what it leaves when it is ended
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-quic", true))
	if os.Getuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b.Context, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b.watch()
	t.Cleanup(func() {
		for _, c := range b.Complaints() {
			t.Errorf("the browser complains: %s", c)
		}
	})
	return b
}

// Tab opens another tab of the same browser.
func (b *Browser) Tab(t *testing.T) *Browser {
	t.Helper()
	other := &Browser{Path: b.Path, t: t}
	var cancel context.CancelFunc
	other.Context, cancel = chromedp.NewContext(b.Context)
	t.Cleanup(cancel)
	other.watch()
	t.Cleanup(func() {
		for _, c := range other.Complaints() {
			t.Errorf("the browser complains: %s", c)
		}
	})
	return other
}

func (b *Browser) watch() {
	b.t.Helper()
	if err := chromedp.Listen(b.Context, b.note); err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(b.Context, network.Enable, network.EnableParams{}); err != nil {
		b.t.Fatal(err)
	}
}

// Ignore has complaints ignored from now on.
func (b *Browser) Ignore(which func(complaint string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ignored = which
}

// Complaints takes what the browser has complained about so far.
func (b *Browser) Complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.complaints
	b.complaints = nil
	return list
}

func (b *Browser) note(ev any) {
	text := ""
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		text = fmt.Sprintf("%s on the console: %s", e.Type, consoleText(e.Args))
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
	case *log.EventEntryAdded: // violations of the page's policy are reported here
		text = fmt.Sprintf("%s: %s %s", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 {
			text = fmt.Sprintf("%v for %s", e.Response.Status, e.Response.URL)
		}
	}
	if text == "" {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ignored == nil || !b.ignored(text) {
		b.complaints = append(b.complaints, text)
	}
}

// Do carries steps out, and fails the test when one cannot be.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.Context, Wait)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// Evaluate runs an expression in the page, and waits for what it promises.
func Evaluate[T any](b *Browser, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.Context, Wait)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Until waits until an expression is true in the page.
func (b *Browser) Until(expression, what string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.Context, Wait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool](expression))
		if err == nil && ok {
			return
		}
		select {
		case <-ctx.Done():
			said, _ := chromedp.Run(b.Context, chromedp.Text(chromedp.CSS("body")))
			b.t.Fatalf("%s: not so after %s (%v); the page says:\n%s", what, Wait, err, said)
		case <-tick.C:
		}
	}
}

// Sees waits until the page shows a text, without reloading it.
func (b *Browser) Sees(text string) {
	b.t.Helper()
	b.Until(fmt.Sprintf("document.body.innerText.includes(%q)", strings.ToValidUTF8(text, "")), "the page says "+text)
}

// consoleText is what a page wrote to the console: its texts, and what describes its objects.
func consoleText(args []*runtime.RemoteObject) string {
	var parts []string
	for _, a := range args {
		part := a.Description
		if len(a.Value) > 0 {
			part = string(a.Value)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, " ")
}
