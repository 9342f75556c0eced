package experiment_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/chaos/experiment"
	"showrunner/problem"
)

var kinds = []string{"latency", "hang", "zone-outage"}

const whole = `experiment: checkout
application: shop
steadyState:
  - { name: page, http: { url: "http://127.0.0.1/" } }
stopConditions: [{ alarm: errors }, { promql: up, below: 1 }]
every: 500ms
method:
  - name: slow
    fault: { kind: latency, region: a, cluster: shop-web, latency: 300ms, for: 2m }
  - parallel:
      - kill: { count: 2 }
      - { name: pause, wait: 10s }
  - check: { promql: up, above: 0 }
  - { name: free, after: [], wait: 1s }
  - { name: early, after: [slow, pause], traffic: { a: 0, b: null } }
rollbacks: [{ traffic: { a: null } }]
`

func TestParse(t *testing.T) {
	t.Parallel()
	e, err := experiment.Parse([]byte(whole), kinds, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !experiment.Is([]byte(whole)) || experiment.Is([]byte(`{"title": "t", "method": []}`)) || experiment.Is([]byte("- a")) {
		t.Error("it is not told apart from other formats")
	}
	want := []struct {
		name  string
		after []int
	}{{"slow", nil}, {"kill-2", []int{0}}, {"pause", []int{0}}, {"check-4", []int{1, 2}}, {"free", nil}, {"early", []int{0, 2}}}
	if len(e.Actions) != len(want) {
		t.Fatalf("%+v", e.Actions)
	}
	for i, w := range want {
		if a := e.Actions[i]; a.Name != w.name || !slices.Equal(a.After, w.after) {
			t.Errorf("action %d is %s after %v, want %s after %v", i, a.Name, a.After, w.name, w.after)
		}
	}
	if w := e.Actions[5].Traffic; *w["a"] != 0 || w["b"] != nil || len(w) != 2 {
		t.Errorf("traffic %v", w)
	}
}

// TestParseRefuses: nothing is misread in silence; each mistake has its line.
func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ from, to, says string }{
		"unknown field":      {"application: shop", "applicaton: shop", `line 2: applicaton: applicaton is not known here (did you mean application?)`},
		"unknown kind":       {"kind: latency", "kind: latecy", `line 9: method[0].fault.kind: there is no fault of the kind "latecy" (did you mean latency?)`},
		"field of a fault":   {"latency: 300ms", "delay: 300ms", "delay is not known here"},
		"no duration":        {", for: 2m", "", "a fault cannot last 0s"},
		"wrong duration":     {"wait: 10s", "wait: 10", "10 is no duration"},
		"two things":         {"name: pause, wait: 10s", "name: pause, wait: 10s, kill: {}", "an action does one thing, and this one 2"},
		"nothing":            {"name: pause, wait: 10s", "name: pause", "an action does one thing, and this one 0"},
		"unknown action":     {"after: [slow, pause]", "after: [slow, late]", `method[4].after[1]: there is no action "late" before this one`},
		"name twice":         {"name: early", "name: slow", "two actions have the name slow"},
		"query without":      {"promql: up, below: 1", "promql: up", "a query needs a bound"},
		"bound of an alarm":  {"alarm: errors", "alarm: errors, above: 1", "bounds are of a query alone"},
		"two conditions":     {"alarm: errors", "alarm: errors, promql: up, above: 1", "looks at one thing, and this one at 2"},
		"rollback of faults": {"rollbacks: [{ traffic: { a: null } }]", "rollbacks: [{ kill: {} }]", "this is no rollback"},
		"no URL":             {"http://127.0.0.1/", "127.0.0.1", "is no URL of HTTP"},
		"no name":            {"experiment: checkout", "description: x", "experiment, the name, is missing"},
		"no method":          {"method:", "x-method:", "x-method is not known here"},
		"a number for text":  {"region: a", "region: 5", "5 is no text; put it into quotes"},
		"a broken query":     {"promql: up, above", "promql: 'up{', above", "it is no PromQL"},
		"group in a group":   {"- kill: { count: 2 }", "- parallel: [{ wait: 1s }]", "a group of actions has no group in it"},
		"a named group":      {"- parallel:", "- name: both\n    parallel:", "has nothing beside parallel"},
		"too often":          {"every: 500ms", "every: 1ms", "cannot be looked at every 1ms"},
		"negative weight":    {"a: 0, b", "a: -1, b", "a weight is 0 or more"},
		"whose":              {"application: shop", "description: shop", "the application whose instance ends is missing"},
	} {
		text := strings.Replace(whole, tt.from, tt.to, 1)
		if text == whole {
			t.Fatalf("%s changes nothing", name)
		}
		_, err := experiment.Parse([]byte(text), kinds, func(q string) error {
			if strings.HasSuffix(q, "{") {
				return errors.New("unexpected end")
			}
			return nil
		})
		if problem.CodeOf(err) != problem.Invalid || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestOrder: an action begins once all that it waits for are done, and not after one that
// failed.
func TestOrder(t *testing.T) {
	t.Parallel()
	e, err := experiment.Parse([]byte(whole), kinds, nil)
	if err != nil {
		t.Fatal(err)
	}
	var r experiment.Run
	for range e.Actions {
		r.Actions = append(r.Actions, experiment.ActionRun{State: experiment.Waiting})
	}
	step := func(done int, want ...int) {
		t.Helper()
		if done >= 0 {
			r.Actions[done].State = experiment.Done
		}
		if got := e.Ready(r); !slices.Equal(got, want) {
			t.Errorf("ready %v, want %v", got, want)
		}
		for _, i := range want {
			r.Actions[i].State = experiment.Under
		}
	}
	step(-1, 0, 4)
	step(4)
	step(0, 1, 2)
	step(2, 5)
	r.Actions[1].State = experiment.Broken
	step(5)
	if r.Over() {
		t.Error("the check still waits")
	}
	if r.Skip(r.Began); !r.Over() || r.Actions[3].State != experiment.Skipped {
		t.Errorf("%+v", r.Actions)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	n := func(v float64) *float64 { return &v }
	for name, tt := range map[string]struct {
		c             experiment.Condition
		values        []float64
		beyond, wrong bool
	}{
		"stops above":      {experiment.Condition{Above: n(5)}, []float64{1, 6}, true, true},
		"within":           {experiment.Condition{Above: n(5)}, []float64{6}, true, false},
		"at the bound":     {experiment.Condition{Below: n(5)}, []float64{5}, false, true},
		"below":            {experiment.Condition{Below: n(5)}, []float64{4}, true, false},
		"nothing":          {experiment.Condition{Below: n(5)}, nil, false, true},
		"nothing fails":    {experiment.Condition{Below: n(5), WhenNoData: "fail"}, nil, true, true},
		"nothing, ignored": {experiment.Condition{Below: n(5), WhenNoData: "ignore"}, nil, false, false},
	} {
		if got := tt.c.Beyond(tt.values) != ""; got != tt.beyond {
			t.Errorf("%s: as a stop condition %v", name, got)
		}
		if got := tt.c.Outside(tt.values) != ""; got != tt.wrong {
			t.Errorf("%s: in a steady state %v", name, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(whole)
	f.Add("experiment: x\nmethod: [{parallel: [{wait: 1s}]}]")
	f.Fuzz(func(t *testing.T, text string) {
		e, err := experiment.Parse([]byte(text), kinds, nil)
		if err != nil {
			return
		}
		r := e.NewRun("id", "by", "", time.Time{})
		for n := 0; !r.Over(); n++ { // every action begins once
			ready := e.Ready(r)
			if len(ready) == 0 || n > len(e.Actions) {
				t.Fatalf("it never ends: %q", text)
			}
			for _, i := range ready {
				r.Actions[i].State = experiment.Done
			}
		}
	})
}
