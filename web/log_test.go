package web

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"showrunner/execution/stagelog"
)

// Each line of a log has its number as its address, whatever stretch it is read in.
func TestLinesOfALogHaveAddresses(t *testing.T) {
	t.Parallel()
	var all bytes.Buffer
	for i := range 1200 {
		fmt.Fprintf(&all, "line %d\n", i+1)
	}
	first := renderLog(logStretchOf{Text: all.Bytes(), Line: 1})
	whole, next := first.HTML, first.Line
	if next != 1201 || strings.Count(string(whole), `<div class="part">`) != 3 || strings.Count(string(whole), "</div>") != 3 {
		t.Errorf("%d parts, then line %d", strings.Count(string(whole), `<div class="part">`), next)
	}
	if !strings.Contains(string(whole), `id="L1200" data-n="1200"></span>line 1200`) || strings.Contains(string(whole), "L1201") {
		t.Error("the last line has another address than #L1200")
	}
	cut := bytes.Index(all.Bytes(), []byte("ne 700\n")) // within a line
	next = renderLog(logStretchOf{Text: all.Bytes()[:cut], Line: 1}).Line
	second := renderLog(logStretchOf{Text: all.Bytes()[cut:], Line: next})
	rest, last := second.HTML, second.Line
	if next != 700 || last != 1201 || !strings.Contains(string(rest), `id="L701" data-n="701"></span>line 701`) {
		t.Errorf("the second stretch begins at line %d and ends before %d", next, last)
	}
	if r := renderLog(logStretchOf{Text: []byte("x\ny\n")}); r.Line != 0 || strings.Contains(string(r.HTML), "id=") {
		t.Errorf("lines of an unknown number have addresses: %s", r.HTML)
	}
	if r := renderLog(logStretchOf{Line: 7, Group: "g"}); r.HTML != "" || r.Line != 7 || r.Group != "g" {
		t.Errorf("nothing is %+v", r)
	}
}

// Groups are folded once they have ended, keep the addresses of their lines, and go on in
// the next stretch; markup in a name stays text. What has no beginning is a line.
func TestGroupsOfALog(t *testing.T) {
	t.Parallel()
	text := "before\n::group::Install <b>deps</b>\nin\n::endgroup::\nbetween\n::endgroup::\n##[group]Test\nlast\n"
	r := renderLog(logStretchOf{Text: []byte(text), Line: 1, Fold: true})
	html := string(r.HTML)
	if r.Group != "Test" || r.Line != 9 || strings.Contains(html, "<b>") || strings.Count(html, "<details") != 2 || strings.Count(html, "</details>") != 2 || strings.Count(html, "<div") != strings.Count(html, "</div>") {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{`<details class="group"><summary><span class="ln" id="L2" data-n="2"></span><strong>Install &lt;b&gt;deps`, `<details class="group" open><summary><span class="ln" id="L7"`, `id="L5" data-n="5"></span>between`, `id="L6" data-n="6"></span>::endgroup::`, `id="L8" data-n="8"></span>last`} {
		if !strings.Contains(html, want) {
			t.Errorf("without %q: %s", want, html)
		}
	}
	rest := renderLog(logStretchOf{Text: []byte("more\n##[endgroup]\nafter\n"), Line: r.Line, Group: r.Group, Fold: true})
	if html := string(rest.HTML); rest.Group != "" || !strings.HasPrefix(html, `<details class="group" data-continues open><summary><strong>Test</strong></summary>`) || !strings.Contains(html, `</details><div class="part"><span class="ln" id="L11"`) {
		t.Errorf("%+v", rest)
	}
	if html := string(renderLog(logStretchOf{Text: []byte(text), Line: 1}).HTML); strings.Count(html, "<details class=\"group\" open>") != 2 {
		t.Errorf("folded: %s", html)
	}
}

// Each line has the time at which it was written, where that is known.
func TestTimesOfLines(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 8, 0, 0, 5e6, time.UTC)
	r := renderLog(logStretchOf{Text: []byte("b\nc\nd\n"), Line: 2, From: 2, Times: []stagelog.Written{{Offset: 0, At: at}, {Offset: 4, At: at.Add(time.Second)}}})
	for _, want := range []string{`data-n="2"></span><span class="ts" data-at="2026-12-01T08:00:00.005Z">08:00:00.005</span>b`, `08:00:01.005</span>c`, `08:00:01.005</span>d`} {
		if !strings.Contains(string(r.HTML), want) {
			t.Errorf("without %q: %s", want, r.HTML)
		}
	}
	if r := renderLog(logStretchOf{Text: []byte("b\n"), Times: []stagelog.Written{}}); !strings.Contains(string(r.HTML), `<span class="ts">–</span>b`) {
		t.Errorf("%s", r.HTML)
	}
}

// A line that a search has found is text: without colours and links of terminals.
func TestFoundLinesHaveNoEscapes(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{"\x1b[31mFAIL\x1b[0m shop": "FAIL shop", "\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x1b\\ [1m": "link [1m", "plain": "plain"} {
		if got := uncoloured(line); got != want {
			t.Errorf("%q: %q", line, got)
		}
	}
}
