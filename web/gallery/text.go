package gallery

import (
	"fmt"
	"net/url"
	"strings"
)

// attacks are texts as they may come from outside: markup, quotes, text that runs from
// right to left, a word without an end, and escape sequences of terminals.
var attacks = []string{
	`<script>document.title="taken"</script>`, `"><img src=x onerror=alert(1)>`, "\u202Eنص من اليمين إلى اليسار\u202C שלום",
	strings.Repeat("longwordwithoutanyspace", 12), "\x1b[31mred\x1b]8;;javascript:alert(1)\x07link\x1b]8;;\x07 👩‍🚀🏳️‍🌈", "{{.User}} ${{ secrets.TOKEN }} `a", "javascript:alert(1)",
}

// text is a text of the page, or in the hostile state an attack. n chooses which.
func text(s State, n int, plain string) string {
	if s == Hostile {
		return attacks[n%len(attacks)] + " " + plain
	}
	return plain
}

// The names of objects are checked when they are made, so a hostile one is no more than
// as long as a name may be.
func appName(s State, plain string) string {
	if s == Hostile {
		return plain + strings.Repeat("-x", 20)
	}
	return plain
}

func stageName(s State, plain string) string {
	if s == Hostile {
		return plain + strings.Repeat("_long", 12)
	}
	return plain
}

func runID(State) string { return "running" }

func esc(s string) string { return url.PathEscape(s) }

// logText is what a stage wrote: 50,000 lines in the huge state.
func logText(s State) string {
	if s == Empty {
		return ""
	}
	lines := 40
	if s == Huge {
		lines = 50_000
	}
	var b strings.Builder
	fmt.Fprintf(&b, "::group::Install %s\nadded 41 packages\n::endgroup::\n##[group]Tests\n", text(s, 0, ""))
	for i := range lines {
		fmt.Fprintf(&b, "\x1b[32mok\x1b[0m   shop/cart/case-%05d\t0.0%02ds %s\n", i+1, i%90, text(s, i, ""))
	}
	b.WriteString("\x1b[31mFAIL\x1b[0m shop/checkout: got 503, want 200\nexit status 1\n")
	return b.String()
}
