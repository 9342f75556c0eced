package monkey

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/pipeline"
)

// situation is one in which every check lets an instance end.
func situation(t *testing.T) Situation {
	t.Helper()
	web := NewCluster("shop", "local", "r1", "shop-web")
	s := Situation{
		Now: time.Date(2026, 12, 9, 10, 0, 0, 0, time.UTC), Day: Date{2026, 12, 9}, // a Wednesday
		Group: Group{Grouping: ByCluster, Application: "shop", Account: "local", Cluster: "shop-web"}, Accounts: []string{"local"},
	}
	s.Settings.Value = settings(t, nil)
	for _, id := range []string{"i-1", "i-2", "i-3"} {
		s.Instances.Value = append(s.Instances.Value, Instance{Cluster: web, ID: id, Serving: true, Enabled: true, ServingInCluster: 3, Minimum: 2})
	}
	return s
}

// each changes every instance.
func each(change func(*Instance)) func(*Situation) {
	return func(s *Situation) {
		for i := range s.Instances.Value {
			change(&s.Instances.Value[i])
		}
	}
}

// TestChecks is the table of the checks at the time of a kill: how each ends the
// decision, and in which order they are made.
func TestChecks(t *testing.T) {
	t.Parallel()
	lost := errors.New("the database is away")
	demand := func(s *Situation) { s.OnDemand = true }
	for _, tt := range []struct {
		name    string
		changes []func(*Situation)
		outcome Outcome
		check   string
		reason  string
	}{
		{"everything allows it", nil, Kills, "", ""},
		{"a dry run", []func(*Situation){func(s *Situation) { s.Settings.Value.DryRun = true }}, DryRuns, "", "dry run"},
		{"stopped", []func(*Situation){func(s *Situation) { s.Stopped.Value = "incident" }}, Skipped, "stop", "all chaos is stopped: incident"},
		{"stopped, on demand", []func(*Situation){demand, func(s *Situation) { s.Stopped.Value = "incident" }}, Refused, "stop", "incident"},
		{"the lever cannot be read", []func(*Situation){func(s *Situation) { s.Stopped.Err = lost }}, Refused, "stop", "the database is away"},
		{"an alarm", []func(*Situation){func(s *Situation) { s.Alarms.Value = []string{"errors"} }}, Skipped, "alarms", "an alarm is open: errors"},
		{"alarms cannot be read", []func(*Situation){func(s *Situation) { s.Alarms.Err = lost }}, Refused, "alarms", "database"},
		{"a freeze", []func(*Situation){func(s *Situation) { s.Freeze.Value = "peak week" }}, Skipped, "freeze", "frozen: peak week"},
		{"a freeze, on demand", []func(*Situation){demand, func(s *Situation) { s.Freeze.Value = "peak week" }}, Refused, "freeze", "peak week"},
		{"freezes cannot be read", []func(*Situation){func(s *Situation) { s.Freeze.Err = lost }}, Refused, "freeze", "database"},
		{"another account", []func(*Situation){func(s *Situation) { s.Accounts = []string{"aws"} }}, Skipped, "account", "no account local"},
		{"settings cannot be read", []func(*Situation){func(s *Situation) { s.Settings.Err = lost }}, Refused, "settings", "database"},
		{"not enabled", []func(*Situation){func(s *Situation) { s.Settings.Value.Enabled = false }}, Skipped, "settings", "not enabled"},
		{"not enabled, on demand", []func(*Situation){demand, func(s *Situation) { s.Settings.Value = Settings{} }}, Kills, "", ""},
		{"the day after", []func(*Situation){func(s *Situation) { s.Now = s.Now.AddDate(0, 0, 1) }}, Skipped, "hours", "missed: it was due on 2026-12-09"},
		{"a minute too early", []func(*Situation){func(s *Situation) { s.Now = time.Date(2026, 12, 9, 8, 59, 0, 0, time.UTC) }}, Skipped, "hours", "outside the hours from 09:00 to 15:00"},
		{"the first minute", []func(*Situation){func(s *Situation) { s.Now = time.Date(2026, 12, 9, 9, 0, 0, 0, time.UTC) }}, Kills, "", ""},
		{"a minute too late", []func(*Situation){func(s *Situation) { s.Now = time.Date(2026, 12, 9, 15, 0, 0, 0, time.UTC) }}, Skipped, "hours", "outside the hours"},
		{"a holiday since", []func(*Situation){func(s *Situation) {
			s.Settings.Value = settings(t, func(c *pipeline.Chaos) { c.Holidays = []string{"2026-12-09"} })
		}}, Skipped, "hours", "a holiday"},
		{"at night, on demand", []func(*Situation){demand, func(s *Situation) { s.Now = time.Date(2026, 12, 9, 3, 0, 0, 0, time.UTC) }}, Kills, "", ""},
		{"instances cannot be read", []func(*Situation){func(s *Situation) { s.Instances.Err = lost }}, Refused, "instances", "database"},
		{"a region is away", []func(*Situation){func(s *Situation) { s.Unreachable = []string{"r2"} }}, Refused, "instances", "not every region answers: r2"},
		{"another region is away", []func(*Situation){func(s *Situation) { s.Unreachable, s.Group.Region = []string{"r2"}, "r1" }}, Kills, "", ""},
		{"no instance", []func(*Situation){func(s *Situation) { s.Instances.Value = nil }}, Skipped, "instances", "the group has no instance"},
		{"no instance, on demand", []func(*Situation){demand, func(s *Situation) { s.Instances.Value = nil }}, Refused, "instances", "there is no instance"},
		{"an exception", []func(*Situation){func(s *Situation) { s.Settings.Value.Exceptions = []Exception{{"*", "*", "*", "*"}} }}, Skipped, "instances", "exception 1 matches"},
		{"a canary by name", []func(*Situation){func(s *Situation) { s.Group.Cluster = "shop-web-canary" }, each(func(i *Instance) { i.Cluster = NewCluster("shop", "local", "r1", "shop-web-canary") })}, Skipped, "instances", "ends in -canary"},
		{"a canary by traffic", []func(*Situation){each(func(i *Instance) { i.Comparison = true })}, Refused, "instances", "compared with another"},
		{"without traffic", []func(*Situation){each(func(i *Instance) { i.Enabled = false })}, Skipped, "instances", "has no traffic"},
		{"none serves", []func(*Situation){each(func(i *Instance) { i.Serving = false })}, Skipped, "instances", "does not serve"},
		{"a rollout", []func(*Situation){each(func(i *Instance) { i.Rollout = "e1" })}, Refused, "instances", "execution e1 changes its cluster"},
		{"a rollout that may be hit", []func(*Situation){each(func(i *Instance) { i.Rollout = "e1" }), func(s *Situation) { s.Settings.Value.DuringRollouts = true }}, Kills, "", ""},
		{"the last one", []func(*Situation){each(func(i *Instance) { i.ServingInCluster, i.Minimum = 1, 0 })}, Refused, "instances", "the last instance of shop-web in r1"},
		{"the last one, forced", []func(*Situation){demand, func(s *Situation) { s.Forced = true }, each(func(i *Instance) { i.ServingInCluster, i.Minimum = 1, 0 })}, Refused, "instances", "the last instance"},
		{"below the least capacity", []func(*Situation){each(func(i *Instance) { i.ServingInCluster = 2 })}, Refused, "instances", "would have 1 of 2 serving instances left, and its least capacity is 2"},
		{"below the least capacity, forced", []func(*Situation){func(s *Situation) { s.Forced = true }, each(func(i *Instance) { i.ServingInCluster = 2 })}, Kills, "", ""},
		{"too soon", []func(*Situation){func(s *Situation) {
			s.Earlier = []Kill{{Cluster: s.Instances.Value[0].Cluster, Instance: "i-0", At: s.Now.Add(-time.Hour)}}
		}}, Refused, "minimum", "less than 1 working days after the kill of i-0 at 2026-12-09 09:00"},
		{"too soon, on demand", []func(*Situation){demand, func(s *Situation) {
			s.Earlier = []Kill{{Cluster: s.Instances.Value[0].Cluster, At: s.Now.Add(-time.Hour)}}
		}}, Kills, "", ""},
		{"a dry run before", []func(*Situation){func(s *Situation) {
			s.Earlier = []Kill{{Cluster: s.Instances.Value[0].Cluster, At: s.Now.Add(-time.Hour), DryRun: true}}
		}}, Kills, "", ""},
		// The order: with two reasons the earlier check decides.
		{"stopped and a freeze", []func(*Situation){func(s *Situation) { s.Stopped.Value, s.Freeze.Value = "incident", "peak week" }}, Skipped, "stop", ""},
		{"an alarm and no settings", []func(*Situation){func(s *Situation) { s.Alarms.Value, s.Settings.Err = []string{"a"}, lost }}, Skipped, "alarms", ""},
		{"another account and not enabled", []func(*Situation){func(s *Situation) { s.Accounts, s.Settings.Value.Enabled = nil, false }}, Skipped, "account", ""},
		{"not enabled and at night", []func(*Situation){func(s *Situation) { s.Settings.Value.Enabled, s.Now = false, s.Now.Add(10*time.Hour) }}, Skipped, "settings", ""},
		{"at night and no instance", []func(*Situation){func(s *Situation) { s.Instances.Value, s.Now = nil, s.Now.Add(10*time.Hour) }}, Skipped, "hours", ""},
	} {
		s := situation(t)
		for _, change := range tt.changes {
			change(&s)
		}
		d := Decide(s, rand.New(rand.NewPCG(1, 2)))
		if d.Outcome != tt.outcome || d.Check != tt.check || !strings.Contains(d.Reason, tt.reason) {
			t.Errorf("%s: %s by %q (%s), want %s by %q (%s)", tt.name, d.Outcome, d.Check, d.Reason, tt.outcome, tt.check, tt.reason)
		}
		if acts := d.Outcome == Kills || d.Outcome == DryRuns; acts && d.Victim.ID == "" {
			t.Errorf("%s: no instance was chosen", tt.name)
		}
		if d.Check != "" && !slices.Contains(Checks(), d.Check) {
			t.Errorf("%s: %q is none of the checks", tt.name, d.Check)
		}
	}
}

// TestChoiceIsExplained: each instance of the group is named, with why it was not
// eligible, and the choice is one of those that were.
func TestChoiceIsExplained(t *testing.T) {
	t.Parallel()
	s := situation(t)
	s.Instances.Value[1].Serving = false
	s.Instances.Value = append(s.Instances.Value, Instance{Cluster: NewCluster("shop", "local", "r1", "shop-db"), ID: "i-9", Serving: true, Enabled: true, ServingInCluster: 3})
	found := map[string]int{}
	for seed := range uint64(300) {
		d := Decide(s, rand.New(rand.NewPCG(seed, 0)))
		found[d.Victim.ID]++
		if len(d.Choices) != 3 || d.Choices[1].Why != "it does not serve" || d.Choices[0].Why != "" {
			t.Fatalf("%+v", d.Choices)
		}
	}
	if len(found) != 2 || found["i-1"] < 100 || found["i-3"] < 100 {
		t.Errorf("chosen: %v", found)
	}
}
