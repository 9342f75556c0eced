package web

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html/template"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/yuin/goldmark"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/internal/span"
	"showrunner/pipeline"
)

// spanOf is how long something took, or since when it has been under way; empty for what
// never was, as a stage that is skipped.
func spanOf(from, to *time.Time) string {
	if from == nil || to != nil && to.Equal(*from) {
		return ""
	}
	if to == nil {
		return "since " + from.UTC().Format("15:04:05")
	}
	return span.Text(to.Sub(*from))
}

// bar is one run as a bar: its height is its duration against the longest shown.
type bar struct {
	X, Y, H int
	Class   string
	Label   string
	Href    string
}

const barHeight = 34

func bars(runs []execution.Execution) []bar {
	var longest time.Duration
	took := func(e execution.Execution) time.Duration {
		if e.Started == nil {
			return 0
		}
		if e.Ended == nil {
			return 0
		}
		return e.Ended.Sub(*e.Started)
	}
	for _, e := range runs {
		longest = max(longest, took(e))
	}
	list := make([]bar, 0, len(runs))
	for i, e := range runs {
		h := barHeight
		if longest > 0 && e.Ended != nil {
			h = 6 + int(float64(barHeight-6)*took(e).Seconds()/longest.Seconds())
		}
		list = append(list, bar{X: i * 14, Y: barHeight - h, H: h, Class: string(e.Look().Tone), Href: "/executions/" + e.ID,
			Label: strings.TrimSpace(fmt.Sprintf("#%d %s %s %s", e.Number, e.Look().Word, spanOf(e.Started, e.Ended), message(e)))})
	}
	return list
}

// markdown renders an approval's instructions; raw HTML stays text.
func markdown(text string) (template.HTML, error) {
	var b bytes.Buffer
	if err := goldmark.Convert([]byte(text), &b); err != nil {
		return "", err
	}
	return template.HTML(b.String()), nil //nolint:gosec // goldmark leaves raw HTML out
}

// ticks writes what stands between backticks as code.
func ticks(text string) template.HTML {
	parts := strings.Split(text, "`")
	var b strings.Builder
	for i, part := range parts {
		switch escaped := template.HTMLEscapeString(part); {
		case i%2 == 0:
			b.WriteString(escaped)
		case i == len(parts)-1: // nothing closes it
			b.WriteString("`" + escaped)
		default:
			b.WriteString("<code>" + escaped + "</code>")
		}
	}
	return template.HTML(b.String()) //nolint:gosec // each part is escaped
}

// instructions finds an approval's text in the definition.
func instructions(e execution.Execution, name string) string {
	for _, s := range definition(e).Stages {
		if s.Name == name {
			return field(s.With, "instructions")
		}
	}
	return ""
}

// message is the first line of what a run delivers.
func message(e execution.Execution) string {
	if e.Revision == nil {
		return ""
	}
	return e.Revision.Message
}

// squares folds long runs of serving instances.
func squares(g *cloud.ServerGroup) []square {
	var list []square
	serving := 0
	for _, i := range g.Instances {
		if i.Serving() {
			serving++
		}
	}
	for _, i := range g.Instances {
		s := square{ID: i.ID, Label: fmt.Sprintf("%s %s in %s", i.ID, instanceWord(i), i.Zone)}
		switch {
		case i.Serving():
			if serving > 12 {
				continue
			}
			s.Class, s.Shape = "ok", "✓"
		case i.Failure != nil || i.Lifecycle == cloud.InService:
			s.Class, s.Shape = "fail", "✕"
		case i.Lifecycle == cloud.Pending || i.Lifecycle == cloud.PendingWait:
			s.Class, s.Shape = "run", "◐"
		default:
			s.Class, s.Shape = "off", "○"
		}
		list = append(list, s)
	}
	if serving > 12 {
		list = append(list, square{Class: "ok", Shape: "✓", Times: serving, Label: fmt.Sprintf("%d serving", serving)})
	}
	return list
}

type square struct {
	ID, Class, Shape, Label string
	Times                   int
}

func instanceWord(i cloud.Instance) string {
	switch {
	case i.Serving():
		return "serves"
	case i.Lifecycle == cloud.InService:
		return "is unhealthy"
	case i.Hook != nil:
		return "waits in its " + i.Hook.Name + " hook"
	}
	return strings.ToLower(string(i.Lifecycle))
}

// output is one output of a stage as people read it.
type output struct {
	Name, Value string
	Link        bool
}

// executionOf is the execution that an operation was about, or that it started.
func executionOf(a control.AuditEntry) string {
	if a.Subject.Kind == control.KindExecution {
		return a.Subject.Name
	}
	id, _ := a.Details["execution"].(string)
	return id
}

// outputs are a stage's outputs that say something, by name.
func outputs(all map[string]any) []output {
	var list []output
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if name == "verdicts" {
			continue // they have a page
		}
		o := output{Name: name}
		switch v := all[name].(type) {
		case nil:
			continue
		case string:
			o.Value, o.Link = valueText(v), strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://")
		default:
			o.Value = valueText(v)
		}
		if o.Value == "" {
			continue
		}
		list = append(list, o)
	}
	return list
}

// valueText is a value as people read it; "" where it says nothing.
func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		if at, err := time.Parse(time.RFC3339, v); err == nil {
			return at.UTC().Format("2006-01-02 15:04:05 UTC")
		}
		return v
	case map[string]any:
		return mapText(v)
	case []any:
		var list []string
		separator := ", "
		for _, one := range v {
			if _, nested := one.(map[string]any); nested {
				separator = "; "
			}
			if text := valueText(one); text != "" {
				list = append(list, text)
			}
		}
		return strings.Join(list, separator)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(raw)
}

// mapText names each value: "desired 2, max 4". What has a name, a status and two times is
// told in a phrase: "BUILD succeeded in 2.0s"; counts that are all zero say nothing.
func mapText(m map[string]any) string {
	rest := maps.Clone(m)
	var list []string
	if name, _ := m["name"].(string); name != "" {
		list = append(list, name)
		delete(rest, "name")
	}
	started, ended := momentOf(m["started"]), momentOf(m["ended"])
	if status, _ := m["status"].(string); status != "" && len(list) > 0 {
		list = append(list, strings.ToLower(status))
		delete(rest, "status")
	}
	if started != nil && ended != nil {
		list = append(list, "in "+spanOf(started, ended))
		delete(rest, "started")
		delete(rest, "ended")
	}
	head, zero, separator := strings.Join(list, " "), len(list) == 0, ", "
	list = nil
	for _, key := range slices.Sorted(maps.Keys(rest)) {
		text := valueText(rest[key])
		if text == "" {
			continue
		}
		zero = zero && text == "0"
		if inner, nested := rest[key].(map[string]any); nested && len(inner) > 1 {
			key, separator = key+":", "; "
		}
		list = append(list, key+" "+text)
	}
	if zero {
		return ""
	}
	if head != "" && len(list) > 0 {
		head += ": "
	}
	return head + strings.Join(list, separator)
}

// momentOf is a time that an output gives as text; nil for anything else.
func momentOf(v any) *time.Time {
	text, _ := v.(string)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil
	}
	return &at
}

func functions(now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"span": spanOf, "bars": bars, "markdown": markdown, "ticks": ticks,
		"squares": squares,
		"key":     func() string { return rand.Text() },
		"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"ago":     func(t time.Time) string { return span.Rough(now().Sub(t)) + " ago" },
		"until": func(t time.Time) string {
			if d := t.Sub(now()); d > 0 {
				return "in " + span.Rough(d)
			}
			return "now"
		},
		"short":  shorten,
		"commit": execution.ShortCommit,
		"list":   func(names []string) string { return strings.Join(names, " and ") },
		"files":  filesText, "patch": patchLines, "visible": visible, "uncoloured": uncoloured,
		"commits": func(n int, partial bool) string {
			switch {
			case partial:
				return fmt.Sprintf("%d commits or more", n)
			case n == 1:
				return "1 commit"
			}
			return fmt.Sprintf("%d commits", n)
		},
		"attempts": func(n int) []int { // the newest twenty, oldest first
			var list []int
			for i := max(1, n-19); i <= n; i++ {
				list = append(list, i)
			}
			return list
		},
		"outputs":      outputs,
		"instanceWord": instanceWord,
		"bytes":        bytesText,
		"outcomes":     func() []string { return []string{"done", "failed", "denied", control.NoOutcome} },
		"executionOf":  executionOf,
		"under":        func(d pipeline.Diagnostic) string { return d.Underlined() },
		"group": func(name string, pipelines []overviewPipeline) overviewApp {
			return overviewApp{Name: name, Pipelines: pipelines}
		},
		"width": func(n int) int { return n * 14 },
		"add":   func(a, b int) int { return a + b },
	}
}

// bytesText is an amount of memory as people read it.
func bytesText(n int64) string {
	if n < 1<<30 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
}

func failed(st execution.StageState) bool {
	return st.Failure != nil && st.Status.Complete() && st.Status != execution.Succeeded
}
