package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"showrunner/execution"
	"showrunner/internal/browsertest"
)

// tabTo presses Tab until what has the focus satisfies a condition.
func (b *browser) tabTo(condition, what string) {
	b.t.Helper()
	for range 80 {
		b.Do(chromedp.KeyEvent(kb.Tab))
		if browsertest.Evaluate[bool](b.Browser, "(e => "+condition+")(document.activeElement)") {
			return
		}
	}
	b.t.Fatalf("Tab does not reach %s", what)
}

// clicks clicks the link or button with such a text.
func (b *browser) clicks(text string) {
	b.t.Helper()
	find := fmt.Sprintf(`[...document.querySelectorAll("main a, main button")].find(e => e.textContent.trim() === %q && !e.disabled)`, text)
	b.Until(find+" !== undefined", "there is "+text)
	browsertest.Evaluate[bool](b.Browser, "("+find+".click(), true)")
}

// A person works with the console through the death of the control plane: approves with
// the keyboard alone, cancels a run, and evacuates a region. A chat that is told of a run
// gets one message, although the control plane dies while it posts.
func TestTheConsole(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "us-west-2", "us-east-1")
	b := newBrowser(w)
	file := filepath.Join(t.TempDir(), "showrunner.yaml")
	if err := os.WriteFile(file, []byte(askPipeline), 0o600); err != nil {
		t.Fatal(err)
	}
	w.must("apply", "-f", file)
	b.Do(chromedp.Navigate(w.ticket()))
	b.Sees("release")

	var e execution.Execution
	w.json(&e, "run", "asked/release")
	b.open("/executions/" + e.ID)
	b.Sees("ask waits for a person")
	b.tabTo(`e.textContent === "Approve"`, "Approve")
	b.Do(chromedp.KeyEvent(kb.Enter))
	b.Sees("2 Succeeded")

	// The page stays, says that it is not live, and is again once control is.
	b.open("/executions")
	b.Sees("● Live")
	b.Ignore(func(c string) bool {
		return strings.Contains(c, "ERR_CONNECTION") || strings.Contains(c, "ERR_INCOMPLETE") || strings.Contains(c, "ERR_EMPTY") || strings.Contains(c, "htmx") || strings.Contains(c, "503")
	})
	chat := newChat(t)
	told := w.startTold(chat)
	w.kill("control")
	chat.release()
	w.eventually(browserWait, "control answers", func() error {
		if out, _, code := w.cli("executions", "list"); code != 0 {
			return fmt.Errorf("exit code %d: %s", code, out)
		}
		return nil
	})
	w.toldOnce(chat, told)
	w.json(&e, "run", "asked/release")
	b.Sees("release #2")
	b.Sees("● Live")
	b.Ignore(nil)

	// A run is canceled from its page, which says before what that does.
	b.open("/executions/" + e.ID)
	b.Sees("ask waits for a person")
	b.clicks("Cancel…")
	b.Sees("ask: nobody is asked any more")
	b.clicks("Cancel it")
	b.Sees("⊘ Canceled")

	// A region is evacuated, and requests return.
	b.open("/traffic")
	b.Sees("us-east-1")
	b.Do(chromedp.Navigate("http://" + b.listen + "/traffic/us-east-1/evacuate"))
	b.Sees("us-west-2 takes part of the load")
	b.tabTo(`e.name === "confirm"`, "the confirmation")
	b.Do(chromedp.KeyEvent("us-east-1"), chromedp.KeyEvent(kb.Enter))
	b.Sees("○ evacuated")
	if out := w.must("edge", "weights"); !strings.Contains(out, "us-east-1") || !strings.Contains(out, "0") {
		t.Errorf("edge weights says %s", out)
	}
	b.clicks("Let return…")
	b.Sees("requests come to us-east-1 again")
	b.clicks("Let them return")
	b.Until(`!document.body.innerText.includes("evacuated")`, "requests return")

	for _, path := range []string{"/drift", "/triggers", "/aws", "/settings", "/activity", "/executions/" + e.ID + "?view=waterfall", "/executions/" + e.ID + "?view=definition", "/executions/" + e.ID + "?view=events"} {
		b.open(path)
		b.Do(chromedp.WaitVisible(chromedp.CSS("h1")))
	}
}
