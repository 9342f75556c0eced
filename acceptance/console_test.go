package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
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
	// The question does not say evacuated either: the answer is at the page of the traffic.
	b.Until(`location.pathname === "/traffic" && document.body.innerText.includes("us-east-1") && !document.body.innerText.includes("evacuated")`, "requests return")

	b.runsWithParameters()
	b.editsTheFile()
	b.pullsTheLever()
	b.rollsBackACanary()
	for _, path := range []string{"/drift", "/triggers", "/aws", "/settings", "/activity", "/executions/" + e.ID + "?view=waterfall", "/executions/" + e.ID + "?view=definition", "/executions/" + e.ID + "?view=events"} {
		b.open(path)
		b.Do(chromedp.WaitVisible(chromedp.CSS("h1")))
	}
}

// runsWithParameters starts a run with values that the form asks for.
func (b *browser) runsWithParameters() {
	b.t.Helper()
	b.open("/applications/asked")
	b.Sees("Deployments")
	b.clicks("Run…")
	b.Sees("Who is greeted.")
	b.tabTo(`e.name === "param.who"`, "the first parameter")
	b.Do(chromedp.KeyEvent("Ada"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("l"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Enter))
	b.Sees("1 Succeeded")
	b.clicks("Log")
	b.Sees("hello Ada, loudly")
}

// editsTheFile changes the pipeline file: a mistake is shown where it is while somebody
// types, and what is right is applied.
func (b *browser) editsTheFile() {
	b.t.Helper()
	b.open("/applications/asked/file")
	b.Sees("the same as what is applied")
	types := func(from, to string) {
		browsertest.Evaluate[bool](b.Browser, fmt.Sprintf(`(t => (t.value = t.value.replace(%q, %q), t.dispatchEvent(new Event("input", {bubbles: true})), true))(document.getElementById("text"))`, from, to))
	}
	types("required:", "requird:")
	b.Sees("UNKNOWN_FIELD")
	browsertest.Evaluate[bool](b.Browser, `(document.querySelector(".findings a").click(), true)`)
	b.Until(`document.activeElement.id === "text" && document.activeElement.value.slice(document.activeElement.selectionStart, document.activeElement.selectionEnd) === "requird"`, "the word is selected")
	types("requird:", "required:")
	types("Who is greeted.", "Whom it greets.")
	b.Sees("differs from what is applied")
	b.clicks("Apply")
	b.Sees("Version 2 is applied.")
	if out := b.must("audit"); len(regexp.MustCompile(`application\.apply +application asked .*✓ done`).FindAllString(out, -1)) != 2 {
		b.t.Errorf("audit does not say who applied it:\n%s", out)
	}
}

// pullsTheLever stops all chaos, and releases it.
func (b *browser) pullsTheLever() {
	b.t.Helper()
	b.open("/chaos")
	b.tabTo(`e.name === "reason"`, "the reason")
	b.Do(chromedp.KeyEvent("an incident"), chromedp.KeyEvent(kb.Enter))
	b.Sees("All chaos is stopped")
	b.Sees("an incident")
	b.clicks("Let chaos start again")
	b.Sees("Chaos may start")
}

// rollsBackACanary ends a canary from its page: what was live before has all of the
// traffic again.
func (b *browser) rollsBackACanary() {
	b.t.Helper()
	files := func(version string) map[string]string {
		f := serviceFiles("held canary", "good", version)
		f["showrunner.yaml"] = strings.Replace(f["showrunner.yaml"], "[us-east-1, eu-west-1]", "[us-east-1]", 1)
		return f
	}
	r := newRepo(b.t, files("v1"))
	if errs, code := b.deliver(r); code != 0 {
		b.t.Fatalf("exit %d\n%s", code, errs)
	}
	r.commit("second", files("v2"))
	var e execution.Execution
	b.json(&e, "run", "api/release")
	b.open("/executions/" + e.ID)
	b.Until(`document.querySelector("#stage-service")?.innerText.includes("10%")`, "the canary has a tenth of the traffic")
	b.Sees("api-prod cannot be rolled back by itself now")
	b.clicks("Cancel…")
	b.Sees("service: the rollout is undone")
	b.clicks("Cancel it and roll back")
	b.Sees("⊘ Canceled")
	for _, c := range b.clusters() {
		for _, g := range c.Groups {
			if g.Enabled() && !strings.HasSuffix(g.Name, "-v000") {
				b.t.Errorf("%s has traffic in %s after the canary was canceled", g.Name, g.Region)
			}
		}
	}
	b.open("/clusters")
	b.Until(`[...document.querySelectorAll("[data-of=share]")].every(e => e.innerText.trim() === "100 %")`, "one version has all of the traffic")
}
