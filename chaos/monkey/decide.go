package monkey

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Known is an answer, or the error with which it could not be found out.
type Known[T any] struct {
	Value T
	Err   error
}

// Instance is one instance of the application at the time of a kill.
type Instance struct {
	Cluster
	ServerGroup string `json:"serverGroup"`
	ID          string `json:"instance"`
	Zone        string `json:"zone,omitempty"`
	Serving     bool   `json:"-"` // in service and healthy
	Enabled     bool   `json:"-"` // its server group has traffic
	// Comparison says that its server group has part of the traffic, to be compared
	// with another version.
	Comparison bool `json:"-"`
	// ServingInCluster counts the serving instances of its cluster in its region,
	// Minimum is the least capacity of its server group.
	ServingInCluster, Minimum int `json:"-"`
	// Rollout is the execution that changes its cluster now, "" for none.
	Rollout string `json:"-"`
}

// Situation is what is known at the time of a kill.
type Situation struct {
	Now      time.Time
	Group    Group
	Day      Date            // of the scheduled kill
	OnDemand bool            // a person asked for it: hours and the minimum between kills do not apply
	Forced   bool            // the least capacity does not apply
	Stopped  Known[string]   // the reason why all chaos is stopped, "" when it is not
	Alarms   Known[[]string] // that are open
	Freeze   Known[string]   // that holds the application, "" for none
	Accounts []string        // that the control plane has
	Settings Known[Settings]
	Budget   Known[string] // why one more instance would be too many, "" when it is not
	// Instances of the application. Unreachable are regions that did not answer.
	Instances   Known[[]Instance]
	Unreachable []string
	Earlier     []Kill
}

// Outcome is how a scheduled kill ended.
type Outcome string

// The outcomes of a decision. A skipped kill was not due to happen; a refused one
// was, and a check failed or could not be made.
const (
	Kills   Outcome = "kill"
	DryRuns Outcome = "dry-run"
	Skipped Outcome = "skipped"
	Refused Outcome = "refused"
)

// Choice is one instance that was considered.
type Choice struct {
	Instance
	Why string `json:"why,omitempty"` // it was not eligible; "" for one that was
}

// Decision is what to do with a scheduled kill, and why.
type Decision struct {
	Outcome Outcome  `json:"outcome"`
	Check   string   `json:"check,omitempty"` // that ended the decision
	Reason  string   `json:"reason,omitempty"`
	Victim  Instance `json:"victim,omitzero"`
	Choices []Choice `json:"choices,omitempty"`
}

// Eligible counts the instances that could have been chosen.
func (d Decision) Eligible() int {
	n := 0
	for _, c := range d.Choices {
		if c.Why == "" {
			n++
		}
	}
	return n
}

// check is one check at the time of a kill: it skips or refuses with a reason, or
// lets the next one decide.
type check struct {
	name   string
	decide func(*Situation, *Decision, *rand.Rand) (Outcome, string)
}

// checks in their order: the first that ends the decision is its check.
var checks = []check{
	{"stop", checkStop}, {"alarms", checkAlarms}, {"freeze", checkFreeze}, {"account", checkAccount},
	{"settings", checkSettings}, {"hours", checkHours}, {"instances", checkInstances}, {"budget", checkBudget}, {"minimum", checkMinimum},
}

// Checks are the names of the checks, in their order.
func Checks() []string {
	var names []string
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// Decide makes every check of a kill in order, and chooses the instance. A check
// that cannot be made refuses the kill.
func Decide(s Situation, chance *rand.Rand) Decision {
	d := Decision{Outcome: Kills}
	for _, c := range checks {
		if outcome, reason := c.decide(&s, &d, chance); outcome != "" {
			d.Outcome, d.Check, d.Reason = outcome, c.name, reason
			return d
		}
	}
	if s.Settings.Value.DryRun && !s.OnDemand {
		d.Outcome, d.Reason = DryRuns, "the settings ask for a dry run: nothing is ended"
	}
	return d
}

func unknown(what string, err error) (Outcome, string) {
	return Refused, fmt.Sprintf("%s could not be found out: %v", what, err)
}

func checkStop(s *Situation, _ *Decision, _ *rand.Rand) (Outcome, string) {
	switch {
	case s.Stopped.Err != nil:
		return unknown("whether all chaos is stopped", s.Stopped.Err)
	case s.Stopped.Value != "" && s.OnDemand:
		return Refused, "all chaos is stopped: " + s.Stopped.Value
	case s.Stopped.Value != "":
		return Skipped, "all chaos is stopped: " + s.Stopped.Value
	}
	return "", ""
}

func checkAlarms(s *Situation, _ *Decision, _ *rand.Rand) (Outcome, string) {
	switch {
	case s.Alarms.Err != nil:
		return unknown("whether an alarm is open", s.Alarms.Err)
	case len(s.Alarms.Value) > 0 && s.OnDemand:
		return Refused, "an alarm is open: " + strings.Join(s.Alarms.Value, ", ")
	case len(s.Alarms.Value) > 0:
		return Skipped, "an alarm is open: " + strings.Join(s.Alarms.Value, ", ")
	}
	return "", ""
}

func checkFreeze(s *Situation, _ *Decision, _ *rand.Rand) (Outcome, string) {
	switch {
	case s.Freeze.Err != nil:
		return unknown("whether a freeze holds", s.Freeze.Err)
	case s.Freeze.Value != "" && s.OnDemand:
		return Refused, "frozen: " + s.Freeze.Value
	case s.Freeze.Value != "":
		return Skipped, "frozen: " + s.Freeze.Value
	}
	return "", ""
}

func checkBudget(s *Situation, _ *Decision, _ *rand.Rand) (Outcome, string) {
	switch {
	case s.Budget.Err != nil:
		return unknown("how many instances are hit already", s.Budget.Err)
	case s.Budget.Value != "":
		return Refused, s.Budget.Value
	}
	return "", ""
}

func checkAccount(s *Situation, _ *Decision, _ *rand.Rand) (Outcome, string) {
	if !slices.Contains(s.Accounts, s.Group.Account) {
		return Skipped, fmt.Sprintf("this control plane has no account %s", s.Group.Account)
	}
	return "", ""
}

func checkSettings(s *Situation, _ *Decision, _ *rand.Rand) (Outcome, string) {
	switch {
	case s.Settings.Err != nil:
		return unknown("the application's settings", s.Settings.Err)
	case !s.Settings.Value.Enabled && !s.OnDemand:
		return Skipped, "chaos is not enabled in the application's pipeline file"
	}
	return "", ""
}

func checkHours(s *Situation, _ *Decision, _ *rand.Rand) (Outcome, string) {
	if s.OnDemand {
		return "", ""
	}
	c := s.Settings.Value
	today := DateOf(s.Now, c.Zone)
	if today != s.Day {
		return Skipped, fmt.Sprintf("missed: it was due on %s, and no control plane ran", s.Day)
	}
	if off := c.DayOff(today); off != "" {
		return Skipped, off
	}
	if from, to := c.Window(today); s.Now.Before(from) || !s.Now.Before(to) {
		return Skipped, fmt.Sprintf("outside the hours from %s to %s of %s", ClockText(c.From), ClockText(c.To), c.Zone)
	}
	return "", ""
}

// checkInstances finds the eligible instances of the group, and chooses one.
func checkInstances(s *Situation, d *Decision, chance *rand.Rand) (Outcome, string) {
	if s.Instances.Err != nil {
		return unknown("which instances there are", s.Instances.Err)
	}
	if len(s.Unreachable) > 0 && (s.Group.Region == "" || slices.Contains(s.Unreachable, s.Group.Region)) {
		return Refused, "not every region answers: " + strings.Join(s.Unreachable, ", ")
	}
	var eligible []Instance
	unsafe := ""
	for _, i := range s.Instances.Value {
		if !s.Group.Has(i.Cluster) {
			continue
		}
		why, safety := s.ineligible(i)
		d.Choices = append(d.Choices, Choice{i, why})
		if why == "" {
			eligible = append(eligible, i)
		} else if safety {
			unsafe = why
		}
	}
	switch {
	case len(eligible) > 0:
		d.Victim = eligible[chance.IntN(len(eligible))]
		return "", ""
	case unsafe != "":
		return Refused, "no instance can be spared: " + unsafe
	case s.OnDemand && len(d.Choices) > 0:
		return Refused, "no instance is eligible: " + d.Choices[0].Why
	case len(d.Choices) > 0:
		return Skipped, "no instance is eligible: " + d.Choices[0].Why
	case s.OnDemand:
		return Refused, "there is no instance"
	}
	return Skipped, "the group has no instance"
}

// ineligible says why an instance cannot be chosen, "" when it can, and whether the
// reason is that it cannot be spared now.
func (s *Situation) ineligible(i Instance) (why string, safety bool) {
	if why := s.Settings.Value.Protected(i.Cluster); why != "" {
		return why, false
	}
	left := i.ServingInCluster - 1
	switch {
	case !i.Enabled:
		return "its server group has no traffic", false
	case i.Comparison:
		return "its version is compared with another one", true
	case !i.Serving:
		return "it does not serve", false
	case i.Rollout != "" && !s.Settings.Value.DuringRollouts:
		return "execution " + i.Rollout + " changes its cluster", true
	case left < 1:
		return fmt.Sprintf("it is the last instance of %s in %s that serves", i.Name, i.Region), true
	case left < i.Minimum && !s.Forced:
		return fmt.Sprintf("%s in %s would have %d of %d serving instances left, and its least capacity is %d", i.Name, i.Region, left, i.ServingInCluster, i.Minimum), true
	}
	return "", false
}

func checkMinimum(s *Situation, d *Decision, _ *rand.Rand) (Outcome, string) {
	if s.OnDemand {
		return "", ""
	}
	if k, tooSoon := s.Settings.Value.TooSoon(s.Now, d.Victim.Cluster, s.Earlier); tooSoon {
		return Refused, fmt.Sprintf("less than %d working days after the kill of %s at %s", s.Settings.Value.Min, k.Instance, k.At.In(s.Settings.Value.Zone).Format("2006-01-02 15:04"))
	}
	return "", ""
}
