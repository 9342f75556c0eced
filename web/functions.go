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
	"showrunner/execution"
)

// glyph is a status as a shape; the word stands beside it.
func glyph(s execution.Status) string {
	switch s {
	case execution.Succeeded:
		return "✓"
	case execution.Terminal, execution.Stopped, execution.FailedContinue:
		return "✕"
	case execution.Running:
		return "◐"
	case execution.Paused:
		return "‖"
	case execution.Canceled:
		return "⊘"
	default:
		return "○"
	}
}

// class is a status as a colour.
func class(s execution.Status) string {
	switch s {
	case execution.Succeeded:
		return "ok"
	case execution.Terminal, execution.Stopped, execution.FailedContinue:
		return "fail"
	case execution.Running:
		return "run"
	case execution.Paused:
		return "wait"
	default:
		return "off"
	}
}

// stageStatus shows a stage that waits for a person as paused.
func stageStatus(st execution.StageState) execution.Status {
	if waitsForPerson(st) {
		return execution.Paused
	}
	return st.Status
}

func spanOf(from, to *time.Time) string {
	if from == nil {
		return ""
	}
	if to == nil {
		return "since " + from.UTC().Format("15:04:05")
	}
	return span(to.Sub(*from))
}

func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d m %02d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %02d m", int(d.Hours()), int(d.Minutes())%60)
	}
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
		list = append(list, bar{X: i * 14, Y: barHeight - h, H: h, Class: class(e.Status), Href: "/executions/" + e.ID,
			Label: fmt.Sprintf("#%d %s %s", e.Number, e.Status, spanOf(e.Started, e.Ended))})
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

// instructions finds an approval's text in the definition.
func instructions(e execution.Execution, name string) string {
	for _, s := range definition(e).Stages {
		if s.Name == name {
			return field(s.With, "instructions")
		}
	}
	return ""
}

func trigger(e execution.Execution, key string) string {
	s, _ := e.Trigger[key].(string)
	return s
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
		s := square{Label: fmt.Sprintf("%s %s in %s", i.ID, instanceWord(i), i.Zone)}
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
	Class, Shape, Label string
	Times               int
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

// outputs are a stage's outputs that say something, by name. What is more than
// one text is JSON, as expressions see it.
func outputs(all map[string]any) []output {
	var list []output
	for _, name := range slices.Sorted(maps.Keys(all)) {
		o := output{Name: name}
		switch v := all[name].(type) {
		case nil:
			continue
		case string:
			o.Value, o.Link = v, strings.HasPrefix(v, "http://") || strings.HasPrefix(v, "https://")
		default:
			raw, err := json.Marshal(v)
			if err != nil {
				raw = []byte(err.Error())
			}
			o.Value = string(raw)
		}
		if o.Value == "" || o.Value == "[]" || o.Value == "{}" {
			continue
		}
		list = append(list, o)
	}
	return list
}

func functions(now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"glyph": glyph, "class": class, "stageStatus": stageStatus, "span": spanOf, "bars": bars, "markdown": markdown,
		"instructions": instructions, "trigger": trigger, "squares": squares, "asks": waitsForPerson, "failed": failed, "word": statusWord,
		"key": func() string { return rand.Text() },
		"iso": func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"ago": func(t time.Time) string { return span(max(0, now().Sub(t))) + " ago" },
		"until": func(t time.Time) string {
			if d := t.Sub(now()); d > 0 {
				return "in " + span(d.Round(time.Second))
			}
			return "now"
		},
		"short": shorten,
		"attempts": func(n int) []int { // the newest twenty, oldest first
			var list []int
			for i := max(1, n-19); i <= n; i++ {
				list = append(list, i)
			}
			return list
		},
		"outputs": outputs,
		"width":   func(n int) int { return n * 14 },
		"add":     func(a, b int) int { return a + b },
	}
}

func failed(st execution.StageState) bool {
	return st.Failure != nil && st.Status.Complete() && st.Status != execution.Succeeded
}
