package browsertest

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"showrunner/internal/nodetest"
)

//go:embed axe/package.json
var axePackages []byte

// Axe is axe-core's script, which finds what keeps people from using a page. It is
// installed for tests alone.
func Axe(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join(nodetest.Modules(t, "axe", axePackages, "axe-core"), "axe-core", "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// finding is a rule that a page breaks.
type finding struct {
	ID, Help string
	Nodes    []struct {
		HTML           string `json:"html"`
		FailureSummary string `json:"failureSummary"`
	}
}

// Audit looks at the page as it is for what WCAG 2.2 AA does not allow: with every rule,
// or with those named. It answers with one line for each rule and element. What the
// selector without names is taken out of the page before; it may name nothing.
func (b *Browser) Audit(axe, without string, rules ...string) []string {
	b.t.Helper()
	run := `{type: "tag", values: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}`
	if len(rules) > 0 {
		run = fmt.Sprintf(`{type: "rule", values: ["%s"]}`, strings.Join(rules, `","`))
	}
	if !Evaluate[bool](b, "window.axe !== undefined") {
		Evaluate[bool](b, axe+";\ntrue")
	}
	raw := Evaluate[string](b, `(document.querySelectorAll("`+without+`").forEach(e => e.remove()), axe).run(document, {runOnly: `+run+`, resultTypes: ["violations"], elementRef: false}).then(r => JSON.stringify(r.violations))`)
	var found []finding
	if err := json.Unmarshal([]byte(raw), &found); err != nil {
		b.t.Fatal(err)
	}
	var list []string
	for _, f := range found {
		for i, n := range f.Nodes {
			if i == 5 {
				list = append(list, fmt.Sprintf("%s: and %d more", f.ID, len(f.Nodes)-i))
				break
			}
			list = append(list, fmt.Sprintf("%s (%s): %.300s\n  %s", f.ID, f.Help, n.HTML, n.FailureSummary))
		}
	}
	return list
}
