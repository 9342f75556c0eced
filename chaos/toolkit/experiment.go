package toolkit

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"showrunner/chaos/document"
)

// Experiment is a file that has been read and checked.
type Experiment struct {
	Title      string
	Hypothesis *Hypothesis // nil: none is given
	Method     []Activity
	Rollbacks  []Activity

	// Notes say what of the file is not carried out, such as its controls.
	Notes []string

	document      map[string]any
	configuration map[string]any
	secrets       map[string]map[string]any
	choices       choices
}

// Hypothesis is the steady state: every probe must be within its tolerance.
type Hypothesis struct {
	Title  string
	Probes []Activity
}

// Activity is a probe or an action.
type Activity struct {
	Type, Name string
	Background bool
	Before     wait
	After      wait
	Tolerance  tolerance // of a probe of the hypothesis
	Provider   provider

	document map[string]any // as the journal shows it
}

// wait is a pause: so long, or as long as the value says of which text is the
// reference.
type wait struct {
	fixed time.Duration
	text  string
}

// choices are the strategies that the file itself asks for; empty ones are not given.
type choices struct {
	hypothesis Strategy
	rollbacks  RollbackStrategy
	frequency  time.Duration
	failFast   bool
	failRatio  float64 // percent of failed looks at which the method ends, with failFast
}

// Strategy says when the hypothesis is looked at.
type Strategy string

// The strategies of Chaos Toolkit.
const (
	StrategyDefault    Strategy = "default" // before and after the method
	StrategyBefore     Strategy = "before-method-only"
	StrategyAfter      Strategy = "after-method-only"
	StrategyDuring     Strategy = "during-method-only"
	StrategyContinuous Strategy = "continuously" // before, all the time during, and after
	StrategySkip       Strategy = "skip"
)

// Strategies lists the valid ones.
var Strategies = []Strategy{StrategyDefault, StrategyBefore, StrategyAfter, StrategyDuring, StrategyContinuous, StrategySkip}

// StrategyOf is the strategy of a name; "continuous" is one of StrategyContinuous, too.
func StrategyOf(name string) Strategy {
	if name == "continuous" {
		return StrategyContinuous
	}
	return Strategy(name)
}

// RollbackStrategy says when rollbacks run.
type RollbackStrategy string

// The strategies of Chaos Toolkit. Its default leaves a fault in place when a probe
// could not be made or somebody interrupts; ours is RollbacksAlways.
const (
	RollbacksDefault  RollbackStrategy = "default" // unless failed or interrupted
	RollbacksAlways   RollbackStrategy = "always"
	RollbacksNever    RollbackStrategy = "never"
	RollbacksDeviated RollbackStrategy = "deviated"
)

// RollbackStrategies lists the valid ones.
var RollbackStrategies = []RollbackStrategy{RollbacksAlways, RollbacksDefault, RollbacksDeviated, RollbacksNever}

// reader turns a document into an Experiment and collects every problem on the way.
type reader struct {
	doc      *document.Document
	problems []document.Problem
	named    map[string]Activity // for ref
	notes    []string

	functions []*python // whether they are there is asked once, for all
}

func (r *reader) problem(place, help, format string, args ...any) {
	r.problems = append(r.problems, document.Problem{Line: r.doc.Line(place), Place: place, Message: fmt.Sprintf(format, args...), Help: help})
}

// text reads a required text.
func (r *reader) text(m map[string]any, place, name string) string {
	v, ok := m[name].(string)
	switch {
	case m[name] == nil:
		r.problem(place, "", "%s is missing", name)
	case !ok || v == "":
		r.problem(document.Member(place, name), "", "%s must be a text", name)
	}
	return v
}

func (r *reader) object(m map[string]any, place, name string) map[string]any {
	v, ok := m[name].(map[string]any)
	if m[name] != nil && !ok {
		r.problem(document.Member(place, name), "", "%s must be an object", name)
	}
	return v
}

func (r *reader) list(m map[string]any, place, name string) []any {
	v, ok := m[name].([]any)
	if m[name] != nil && !ok {
		r.problem(document.Member(place, name), "", "%s must be a list", name)
	}
	return v
}

// seconds reads a length of time; configuration may stand for it, then it is 0.
func (r *reader) seconds(m map[string]any, place, name string) time.Duration {
	if m[name] == nil {
		return 0
	}
	n, ok := number(m[name])
	if !ok || n < 0 || n > math.MaxInt32 {
		r.problem(document.Member(place, name), "", "%s must be a number of seconds", name)
		return 0
	}
	return time.Duration(n * float64(time.Second))
}

// wait reads a pause.
func (r *reader) wait(m map[string]any, place, name string) wait {
	if text, ok := m[name].(string); ok {
		if strings.Contains(text, "${") {
			return wait{text: text}
		}
		m = map[string]any{name: convert("float", text)}
	}
	return wait{fixed: r.seconds(m, place, name)}
}

func (r *reader) experiment() *Experiment {
	root := r.doc.Root
	if r.foreign(root) {
		return &Experiment{document: root}
	}
	e := &Experiment{document: root, Title: r.text(root, "", "title"), configuration: r.object(root, "", "configuration")}
	r.text(root, "", "description")
	r.secrets(e)
	if h := r.object(root, "", "steady-state-hypothesis"); h != nil {
		e.Hypothesis = &Hypothesis{Title: r.text(h, "steady-state-hypothesis", "title")}
		e.Hypothesis.Probes = r.activities(h, "steady-state-hypothesis", "probes", true)
	}
	if root["method"] == nil {
		r.problem("", "an empty list is a method too: the hypothesis alone is then looked at", "method is missing")
	}
	e.Method = r.activities(root, "", "method", false)
	e.Rollbacks = r.activities(root, "", "rollbacks", false)
	if c := r.list(root, "", "controls"); len(c) > 0 {
		r.controls(c)
	}
	r.runtime(e)
	r.references(e)
	e.Notes = r.notes
	return e
}

// controls are Python code around activities; they may not change the result.
func (r *reader) controls(list []any) {
	for _, c := range list {
		m, _ := c.(map[string]any)
		name, _ := m["name"].(string)
		note := fmt.Sprintf("the control %q is not run: controls are code of Chaos Toolkit around activities", name)
		if !slices.Contains(r.notes, note) {
			r.notes = append(r.notes, note)
		}
	}
}

func (r *reader) activities(m map[string]any, place, name string, hypothesis bool) []Activity {
	var out []Activity
	for i, v := range r.list(m, place, name) {
		at := fmt.Sprintf("%s[%d]", document.Member(place, name), i)
		a, ok := v.(map[string]any)
		if !ok || len(a) == 0 {
			r.problem(at, "", "an activity is an object with type, name and provider")
			continue
		}
		out = append(out, r.activity(a, at, hypothesis))
	}
	return out
}

func (r *reader) activity(m map[string]any, place string, hypothesis bool) Activity {
	a := Activity{document: m}
	if r.older(m, place) {
		return a
	}
	if ref, given := m["ref"]; given { // looked up when all are known
		a.Name, _ = ref.(string)
		if a.Name == "" {
			r.problem(document.Member(place, "ref"), "", "ref must be the name of another activity")
		}
		return a
	}
	a.Name = r.text(m, place, "name")
	if a.Type = r.text(m, place, "type"); a.Type != "" && a.Type != "probe" && a.Type != "action" {
		r.problem(document.Member(place, "type"), "", "type must be probe or action, not %q", a.Type)
	}
	if v, given := m["background"]; given {
		background, ok := v.(bool)
		if !ok {
			r.problem(document.Member(place, "background"), "", "background must be true or false")
		}
		a.Background = background
	}
	if pauses := r.object(m, place, "pauses"); pauses != nil {
		a.Before, a.After = r.wait(pauses, document.Member(place, "pauses"), "before"), r.wait(pauses, document.Member(place, "pauses"), "after")
	}
	if c := r.list(m, place, "controls"); len(c) > 0 {
		r.controls(c)
	}
	a.Provider = r.provider(m, place)
	if hypothesis {
		if t, given := m["tolerance"]; given {
			a.Tolerance = r.tolerance(t, document.Member(place, "tolerance"))
		} else {
			help := "such as 200 for a status, or true"
			if p, _ := m["provider"].(map[string]any); p["tolerance"] != nil {
				help = "the one in the provider belongs beside the provider"
			}
			r.problem(place, help, "a probe of the hypothesis needs a tolerance")
		}
	}
	if _, twice := r.named[a.Name]; !twice && a.Name != "" {
		r.named[a.Name] = a
	}
	return a
}

// references puts the named activity in the place of each ref.
func (r *reader) references(e *Experiment) {
	resolve := func(list []Activity, place string, hypothesis bool) {
		for i, a := range list {
			if a.document["ref"] == nil || a.Name == "" {
				continue
			}
			at := fmt.Sprintf("%s[%d]", place, i)
			named, ok := r.named[a.Name]
			if !ok {
				r.problem(document.Member(at, "ref"), "", "there is no activity %q", a.Name)
				continue
			}
			if hypothesis && named.Tolerance == nil {
				r.problem(at, "", "the activity %q has no tolerance, which a probe of the hypothesis needs", a.Name)
			}
			list[i] = named
		}
	}
	if e.Hypothesis != nil {
		resolve(e.Hypothesis.Probes, "steady-state-hypothesis.probes", true)
	}
	resolve(e.Method, "method", false)
	resolve(e.Rollbacks, "rollbacks", false)
}

func (r *reader) runtime(e *Experiment) {
	m := r.object(r.doc.Root, "", "runtime")
	if h := r.object(m, "runtime", "hypothesis"); h != nil {
		if s, _ := h["strategy"].(string); s != "" {
			e.choices.hypothesis = StrategyOf(s)
			if !slices.Contains(Strategies, e.choices.hypothesis) {
				r.problem("runtime.hypothesis.strategy", fmt.Sprint("one of ", Strategies), "there is no strategy %q", s)
			}
		}
		e.choices.frequency = r.seconds(h, "runtime.hypothesis", "frequency")
		var ok bool
		if e.choices.failFast, ok = h["fail_fast"].(bool); !ok && h["fail_fast"] != nil {
			r.problem("runtime.hypothesis.fail_fast", "", "fail_fast must be true or false")
		}
		if e.choices.failRatio, ok = number(h["fail_fast_ratio"]); !ok && h["fail_fast_ratio"] != nil {
			r.problem("runtime.hypothesis.fail_fast_ratio", "", "fail_fast_ratio must be a number of percent")
		}
	}
	if b := r.object(m, "runtime", "rollbacks"); b != nil {
		if s, _ := b["strategy"].(string); s != "" {
			e.choices.rollbacks = RollbackStrategy(s)
			if !slices.Contains(RollbackStrategies, e.choices.rollbacks) {
				r.problem("runtime.rollbacks.strategy", fmt.Sprint("one of ", RollbackStrategies), "there is no strategy %q", s)
			}
		}
	}
}

// number is a JSON number's value.
func number(v any) (float64, bool) {
	switch n := v.(type) {
	case int:
		return float64(n), true
	case int64:
		return float64(n), true
	case uint64:
		return float64(n), true
	case float64:
		return n, !math.IsNaN(n) && !math.IsInf(n, 0)
	}
	return 0, false
}
