package gate

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

var started = time.Date(2026, 5, 4, 3, 0, 0, 0, time.UTC)

func input(c pipeline.Config, after time.Duration, signals ...stage.Signal) *stage.Input {
	return &stage.Input{Config: c, StartedBy: "ada", StageStarted: started, Now: started.Add(after), Signals: signals,
		Log: io.Discard, Progress: func(string, ...any) {}}
}

func signal(name, by string, after time.Duration, comment string) stage.Signal {
	data, _ := json.Marshal(map[string]string{"comment": comment})
	return stage.Signal{ID: name + by + after.String(), Name: name, By: by, At: started.Add(after), Data: data}
}

func TestWait(t *testing.T) {
	hour := pipeline.Wait{For: pipeline.Duration(time.Hour)}
	until := pipeline.Wait{Until: "2026-05-04T05:00:00+01:00"} // an hour after the start
	for name, tt := range map[string]struct {
		in      *stage.Input
		outcome stage.Outcome
		after   time.Duration
	}{
		"not yet":            {input(hour, 20*time.Minute), stage.Again, 40 * time.Minute},
		"due":                {input(hour, time.Hour), stage.Done, 0},
		"long due":           {input(hour, 5*time.Hour), stage.Done, 0},
		"until, not yet":     {input(until, 59*time.Minute), stage.Again, time.Minute},
		"until, due":         {input(until, time.Hour), stage.Done, 0},
		"until, in the past": {input(pipeline.Wait{Until: "2020-01-01T00:00:00Z"}, 0), stage.Done, 0},
		"until, no time":     {input(pipeline.Wait{Until: "tomorrow"}, 0), stage.Failed, 0},
		"skipped":            {input(hour, time.Minute, signal("skip", "bob", time.Second, "")), stage.Done, 0},
		"skipped before":     {input(hour, time.Minute, signal("skip", "bob", -time.Second, "")), stage.Again, 59 * time.Minute},
		"another signal":     {input(hour, time.Minute, signal("approve", "bob", time.Second, "")), stage.Again, 59 * time.Minute},
	} {
		got, err := wait(t.Context(), tt.in)
		if err != nil || got.Outcome != tt.outcome || got.After != tt.after {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestApproval(t *testing.T) {
	one := pipeline.Approval{}
	two := pipeline.Approval{Minimum: 2, Approvers: []string{"bob", "eve", "ada"}, ForbidSelf: true, Expires: pipeline.Duration(time.Hour)}
	approve := func(by string, after time.Duration) stage.Signal { return signal("approve", by, after, "by "+by) }
	reject := func(by string, after time.Duration) stage.Signal { return signal("reject", by, after, "not today") }
	for name, tt := range map[string]struct {
		in   *stage.Input
		want string
	}{
		"waits":                       {input(one, time.Hour), "again 71h0m0s"},
		"approved":                    {input(one, time.Hour, approve("bob", time.Minute)), "done by bob"},
		"approved by oneself":         {input(one, time.Hour, approve("ada", time.Minute)), "done by ada"},
		"rejected":                    {input(one, time.Hour, reject("bob", time.Minute)), "REJECTED bob rejected it: not today"},
		"rejected after enough":       {input(one, time.Hour, approve("bob", time.Minute), reject("eve", 2*time.Minute)), "done by bob"},
		"approved after a rejection":  {input(one, time.Hour, reject("eve", time.Minute), approve("bob", 2*time.Minute)), "REJECTED eve rejected it: not today"},
		"expired":                     {input(one, 72*time.Hour), "APPROVAL_EXPIRED nobody decided within 72h0m0s (0 of 1 approvals)"},
		"approved in time, seen late": {input(one, 100*time.Hour, approve("bob", time.Hour)), "done by bob"},
		"approved too late":           {input(one, 100*time.Hour, approve("bob", 73*time.Hour)), "APPROVAL_EXPIRED nobody decided within 72h0m0s (0 of 1 approvals)"},
		"of an earlier attempt":       {input(one, time.Hour, approve("bob", -time.Minute)), "again 71h0m0s"},
		"other signals":               {input(one, time.Hour, signal("skip", "bob", time.Minute, "")), "again 71h0m0s"},
		"one of two":                  {input(two, time.Minute, approve("bob", time.Second)), "again 59m0s"},
		"one of them twice":           {input(two, time.Minute, approve("bob", time.Second), approve("bob", 2*time.Second)), "again 59m0s"},
		"two":                         {input(two, time.Minute, approve("bob", time.Second), approve("eve", 2*time.Second)), "done by eve"},
		"two and the starter":         {input(two, time.Minute, approve("ada", time.Second), approve("eve", 2*time.Second)), "again 59m0s"},
		"a stranger":                  {input(two, time.Minute, approve("mallory", time.Second), approve("eve", 2*time.Second)), "again 59m0s"},
		"a stranger rejects":          {input(two, time.Minute, reject("mallory", time.Second)), "again 59m0s"},
		"the starter may reject":      {input(two, time.Minute, reject("ada", time.Second)), "REJECTED ada rejected it: not today"},
	} {
		got, err := decide(t.Context(), tt.in)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		said := fmt.Sprint(got.Outcome)
		switch got.Outcome {
		case stage.Again:
			said += fmt.Sprint(" ", got.After)
			if _, err := ParseState(got.State); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		case stage.Done:
			said += fmt.Sprint(" by ", got.Outputs["by"])
			if got.Outputs["comment"] != "by "+fmt.Sprint(got.Outputs["by"]) {
				t.Errorf("%s: outputs %v", name, got.Outputs)
			}
		case stage.Failed:
			said = got.Failure.Code + " " + got.Failure.Cause
		}
		if said != tt.want {
			t.Errorf("%s: %s, want %s", name, said, tt.want)
		}
	}
}

func TestMayDecide(t *testing.T) {
	s := State{Minimum: 2, Approvers: []string{"ada", "bob", "eve"}, ForbidSelf: true, StartedBy: "ada", Expires: started.Add(time.Hour)}
	bob := s
	bob.Approvals = []Decision{{By: "bob"}}
	both := bob
	both.Approvals = append(slices.Clone(bob.Approvals), Decision{By: "eve"})
	rejected := s
	rejected.Rejection = &Decision{By: "eve"}
	for name, tt := range map[string]struct {
		s       State
		by      string
		approve bool
		after   time.Duration
		code    problem.Code
		reason  string
	}{
		"fine":                 {s, "bob", true, 0, "", ""},
		"again":                {bob, "bob", true, 0, "", ""},
		"again, when complete": {both, "bob", true, 0, "", ""},
		"nobody":               {s, "", true, 0, problem.Denied, "somebody"},
		"a stranger":           {s, "mallory", true, 0, problem.Denied, "not one of the approvers"},
		"oneself":              {s, "ada", true, 0, problem.Denied, "may not approve it"},
		"oneself, rejecting":   {s, "ada", false, 0, "", ""},
		"complete":             {both, "ada", false, 0, problem.Conflict, "already approved by bob, eve at "},
		"rejected":             {rejected, "bob", true, 0, problem.Conflict, "eve has rejected"},
		"another mind":         {bob, "bob", false, 0, problem.Conflict, "bob has approved"},
		"too late":             {s, "bob", true, time.Hour, problem.Conflict, "expired"},
	} {
		err := MayDecide(tt.s, tt.by, tt.approve, started.Add(tt.after))
		if problem.CodeOf(err) != tt.code || err != nil && !strings.Contains(err.Error(), tt.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, raw := range []string{"", "null", "{}", "[]", "x"} {
		if _, err := ParseState([]byte(raw)); problem.CodeOf(err) != problem.Precondition {
			t.Errorf("ParseState(%q): %v", raw, err)
		}
	}
}

// Whatever is sent, an approval is done only by enough distinct people who may,
// and a decision that was let through counts.
func TestApprovalProperties(t *testing.T) {
	people := []string{"ada", "bob", "eve", "mallory"}
	rapid.Check(t, func(t *rapid.T) {
		c := pipeline.Approval{Minimum: rapid.IntRange(0, 3).Draw(t, "minimum"), ForbidSelf: rapid.Bool().Draw(t, "forbidSelf"), Expires: pipeline.Duration(time.Hour)}
		if rapid.Bool().Draw(t, "list") {
			c.Approvers = []string{"ada", "bob", "eve"}
		}
		var signals []stage.Signal
		for i := range rapid.IntRange(0, 8).Draw(t, "signals") {
			name := rapid.SampledFrom([]string{"approve", "approve", "approve", "reject", "skip"}).Draw(t, "name")
			signals = append(signals, signal(name, rapid.SampledFrom(people).Draw(t, "by"), time.Duration(i)*10*time.Minute, ""))
		}
		in := input(c, 90*time.Minute, signals...)
		got, err := decide(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		distinct := map[string]bool{}
		rejected := false
		for _, s := range signals {
			may := len(c.Approvers) == 0 || s.By != "mallory"
			in := s.At.Before(started.Add(time.Hour))
			if s.Name == "approve" && may && in && !(c.ForbidSelf && s.By == "ada") {
				distinct[s.By] = true
			}
			rejected = rejected || s.Name == "reject" && may && in
		}
		enough := len(distinct) >= max(1, c.Minimum)
		switch {
		case got.Outcome == stage.Again:
			t.Fatalf("it waits after it expired: %+v", got)
		case got.Outcome == stage.Done && !enough:
			t.Fatalf("%v is not enough for %+v", distinct, c)
		case got.Outcome == stage.Failed && enough && !rejected:
			t.Fatalf("%v is enough: %+v", distinct, got.Failure)
		}
	})
}

// Whoever decides after the end is told who was quicker, and when.
func TestDecidingTooLateSaysWhoDecided(t *testing.T) {
	for want, err := range map[string]error{
		"already approved by bob at 2026-05-04T03:00:00Z":                  Decided(map[string]any{"by": "bob"}, nil, &started),
		"it has ended already at 2026-05-04T03:00:00Z: bob rejected it":    Decided(nil, &stage.Failure{Cause: "bob rejected it"}, &started),
		"it has ended already at 2026-05-04T03:00:00Z, without a decision": Decided(nil, nil, &started),
	} {
		if problem.CodeOf(err) != problem.Conflict || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
