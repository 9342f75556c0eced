package experiment

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"showrunner/chaos/document"
	"showrunner/pipeline"
)

// Experiment is a file that has been read and checked.
type Experiment struct {
	File
	Source string `json:"-"`
	// Actions are those of the method, in the order of the file.
	Actions []Action `json:"-"`
}

// Action is an action of the method with those that it waits for.
type Action struct {
	Step
	After []int // indexes of actions
}

// Is says whether a text is one of our own experiments, by its first members.
func Is(text []byte) bool {
	d, err := document.Parse(text)
	if err != nil {
		return false
	}
	_, named := d.Root["experiment"]
	_, steady := d.Root["steadyState"]
	return named || steady
}

// Parse reads and checks an experiment; query says what is wrong with one of PromQL, and
// may be nil. Every problem is in the error. Errors: invalid.
func Parse(text []byte, kinds []string, query func(string) error) (*Experiment, error) {
	d, err := document.Parse(text)
	if err != nil {
		return nil, err
	}
	r := &reader{doc: d, kinds: kinds, query: query, named: map[string]int{}}
	e := &Experiment{Source: string(text)}
	r.problems = d.Decode("", d.Root, &e.File)
	if len(r.problems) == 0 {
		r.check(e)
	}
	if len(r.problems) > 0 {
		return nil, document.Invalid(r.problems)
	}
	return e, nil
}

type reader struct {
	doc      *document.Document
	kinds    []string
	query    func(string) error
	problems []document.Problem
	named    map[string]int
}

func (r *reader) wrong(place, help, format string, args ...any) {
	r.problems = append(r.problems, document.Problem{Line: r.doc.Line(place), Place: place, Message: fmt.Sprintf(format, args...), Help: help})
}

// bounds of a file.
const (
	mostActions = 200
	longestWait = 24 * time.Hour
)

func (r *reader) check(e *Experiment) {
	if e.Name == "" {
		r.wrong("", "experiment: checkout-survives-a-slow-catalog", "experiment, the name, is missing")
	}
	if len(e.Method) == 0 {
		r.wrong("", "", "method is missing: the actions")
	}
	if e.Every == 0 {
		e.Every = pipeline.Duration(time.Second)
	}
	if e.Every < pipeline.Duration(100*time.Millisecond) || e.Every > pipeline.Duration(time.Hour) {
		r.wrong("every", "from 100ms to 1h", "the conditions cannot be looked at every %s", e.Every)
	}
	for i, c := range e.SteadyState {
		r.condition(fmt.Sprintf("steadyState[%d]", i), c)
	}
	for i, c := range e.StopConditions {
		r.condition(fmt.Sprintf("stopConditions[%d]", i), c)
	}
	r.method(e)
	for i, s := range e.Rollbacks {
		at := fmt.Sprintf("rollbacks[%d]", i)
		r.step(at, s, e)
		if s.HTTP == nil && s.Traffic == nil && s.Wait == 0 || s.After != nil {
			r.wrong(at, "faults are undone by themselves; http, traffic and wait are possible, one after the other", "this is no rollback")
		}
	}
	if len(e.Actions) > mostActions {
		r.wrong("method", "", "%d actions are more than %d", len(e.Actions), mostActions)
	}
}

// method makes the actions, and finds those that each waits for.
func (r *reader) method(e *Experiment) {
	var before []int // that the next step waits for
	add := func(place string, s Step, after []int) int {
		r.step(place, s, e)
		n := len(e.Actions)
		if s.Name == "" {
			s.Name = fmt.Sprintf("%s-%d", s.Kind(), n+1)
		}
		if _, twice := r.named[s.Name]; twice {
			r.wrong(place, "", "two actions have the name %s", s.Name)
		}
		if s.After != nil {
			after = nil
			for i, name := range *s.After {
				k, ok := r.named[name]
				if !ok {
					r.wrong(fmt.Sprintf("%s.after[%d]", place, i), "it has to come earlier in the file", "there is no action %q before this one", name)
					continue
				}
				after = append(after, k)
			}
		}
		r.named[s.Name] = n
		e.Actions = append(e.Actions, Action{s, slices.Clone(after)})
		return n
	}
	for i, s := range e.Method {
		at := fmt.Sprintf("method[%d]", i)
		if len(s.Parallel) == 0 {
			before = []int{add(at, s, before)}
			continue
		}
		if s.Kind() != "parallel" || s.Name != "" || s.After != nil {
			r.wrong(at, "", "a group of actions that run at once has nothing beside parallel")
		}
		var all []int
		for k, one := range s.Parallel {
			if one.Parallel != nil {
				r.wrong(fmt.Sprintf("%s.parallel[%d]", at, k), "give the inner ones a name, and those that follow an after", "a group of actions has no group in it")
				continue
			}
			all = append(all, add(fmt.Sprintf("%s.parallel[%d]", at, k), one, before))
		}
		before = all
	}
}

// given are the fields of a step that say what it does.
func (s Step) given() (kinds []string) {
	for _, k := range []struct {
		name  string
		given bool
	}{{"fault", s.Fault != nil}, {"kill", s.Kill != nil}, {"wait", s.Wait != 0}, {"http", s.HTTP != nil}, {"traffic", s.Traffic != nil}, {"check", s.Check != nil}, {"parallel", s.Parallel != nil}} {
		if k.given {
			kinds = append(kinds, k.name)
		}
	}
	return kinds
}

// Kind is what a step does: fault, kill, wait, http, traffic, check or parallel; several
// names when it is not one.
func (s Step) Kind() string { return strings.Join(s.given(), " and ") }

// step checks one action.
func (r *reader) step(at string, s Step, e *Experiment) {
	if kinds := s.given(); len(kinds) != 1 {
		r.wrong(at, "one of fault, kill, wait, http, traffic, check, parallel", "an action does one thing, and this one %d", len(kinds))
		return
	}
	switch {
	case s.Fault != nil:
		r.fault(at+".fault", *s.Fault)
	case s.Kill != nil:
		if s.Kill.Count < 0 || s.Kill.Count > 100 {
			r.wrong(at+".kill.count", "from 1 to 100", "%d instances cannot be ended", s.Kill.Count)
		}
		if s.Kill.Application == "" && e.Application == "" {
			r.wrong(at+".kill", "name it here, or the application of the experiment", "the application whose instance ends is missing")
		}
	case s.Wait != 0:
		if s.Wait < 0 || s.Wait > pipeline.Duration(longestWait) {
			r.wrong(at+".wait", "at most 24h", "it cannot wait for %s", s.Wait)
		}
	case s.HTTP != nil:
		r.request(at+".http", *s.HTTP)
	case s.Traffic != nil:
		for region, w := range s.Traffic {
			if w != nil && *w < 0 {
				r.wrong(at+".traffic."+region, "", "a weight is 0 or more")
			}
		}
	case s.Check != nil:
		r.condition(at+".check", *s.Check)
	}
}

func (r *reader) fault(at string, f Fault) {
	switch {
	case !slices.Contains(r.kinds, f.Kind):
		help := "one of " + strings.Join(r.kinds, ", ")
		if meant := pipeline.Nearest(f.Kind, r.kinds); meant != "" {
			help = "did you mean " + meant + "?"
		}
		r.wrong(at+".kind", help, "there is no fault of the kind %q", f.Kind)
	case f.For <= 0 || f.For > pipeline.Duration(longestWait):
		r.wrong(at+".for", "more than 0 and at most 24h", "a fault cannot last %s", f.For)
	}
}

func (r *reader) request(at string, q Request) {
	u, err := url.Parse(q.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		r.wrong(at+".url", "such as http://localhost:8080/", "%q is no URL of HTTP", q.URL)
	}
	for _, s := range q.Status {
		if s < 100 || s > 599 {
			r.wrong(at+".status", "from 100 to 599", "%d is no status", s)
		}
	}
	if q.Within < 0 || q.Within > pipeline.Duration(time.Minute) {
		r.wrong(at+".within", "at most 1m", "an answer cannot be waited for %s", q.Within)
	}
}

func (r *reader) condition(at string, c Condition) {
	given := 0
	for _, g := range []bool{c.Alarm != "", c.PromQL != "", c.HTTP != nil} {
		if g {
			given++
		}
	}
	switch {
	case given != 1:
		r.wrong(at, "one of alarm, promql, http", "a condition looks at one thing, and this one at %d", given)
	case c.PromQL != "" && c.Above == nil && c.Below == nil:
		r.wrong(at, "above: 0.05, or below: 0.05", "a query needs a bound")
	case c.PromQL == "" && (c.Above != nil || c.Below != nil || c.WhenNoData != ""):
		r.wrong(at, "above, below and whenNoData belong to promql", "bounds are of a query alone")
	case c.WhenNoData != "" && c.WhenNoData != "ignore" && c.WhenNoData != "fail":
		r.wrong(at+".whenNoData", "ignore or fail", "%q is not known", c.WhenNoData)
	case c.HTTP != nil:
		r.request(at+".http", *c.HTTP)
	case c.PromQL != "" && r.query != nil:
		if err := r.query(c.PromQL); err != nil {
			r.wrong(at+".promql", "", "it is no PromQL: %v", err)
		}
	}
}
