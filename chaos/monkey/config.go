package monkey

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/chaos/holiday"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Grouping says what loses at most one instance a day.
type Grouping string

const (
	// App groups all clusters of an application in an account.
	App Grouping = "app"
	// Stack groups the clusters of one stack.
	Stack Grouping = "stack"
	// ByCluster makes a group of each cluster.
	ByCluster Grouping = "cluster"
)

// Settings are the settings of one application. The zero value kills nothing.
type Settings struct {
	Enabled               bool
	Grouping              Grouping
	Mean                  int // working days, at least 1
	Min                   int // working days, at least 0
	RegionsAreIndependent bool
	Exceptions            []Exception
	From, To              int // minutes of the day, From < To ≤ 24*60
	Zone                  *time.Location
	Days                  [7]bool // by time.Weekday: the working days
	Holidays              holiday.Calendar
	DryRun                bool
	DuringRollouts        bool
	Budget                int // percent of the instances that may be hit at once; 0: no limit
	// Draws says on which days a schedule is drawn; nil: on the working days. Days
	// and Holidays alone count for the minimum between kills.
	Draws func(Date) bool
}

// Exception protects the clusters that match all its fields. A field matches when
// it is "*" or equal; a blank one matches a blank one alone.
type Exception struct{ Account, Region, Stack, Detail string }

func (e Exception) matches(c Cluster) bool {
	field := func(pattern, value string) bool { return pattern == "*" || pattern == value }
	return field(e.Account, c.Account) && field(e.Region, c.Region) && field(e.Stack, c.Stack) && field(e.Detail, c.Detail)
}

// String names the exception for messages.
func (e Exception) String() string {
	return fmt.Sprintf("account %q, region %q, stack %q, detail %q", e.Account, e.Region, e.Stack, e.Detail)
}

// FromFile are the settings of a pipeline file's block, with the defaults filled
// in; nil is an application that has none. Errors: invalid.
func FromFile(c *pipeline.Chaos) (Settings, error) {
	if c == nil {
		return Settings{}, nil
	}
	s := Settings{Enabled: c.Enabled, Grouping: Grouping(c.Grouping), Mean: c.Mean, Min: 1, RegionsAreIndependent: c.RegionsAreIndependent,
		From: 9 * 60, To: 15 * 60, DryRun: c.DryRun, DuringRollouts: c.DuringRollouts, Budget: c.Budget}
	if s.Grouping == "" {
		s.Grouping = ByCluster
	}
	if s.Mean == 0 {
		s.Mean = 2
	}
	if c.Min != nil {
		s.Min = *c.Min
	}
	for _, e := range c.Exceptions {
		s.Exceptions = append(s.Exceptions, Exception(e))
	}
	if h := c.Hours; h != nil {
		s.From, s.To = clock(h.From, s.From), clock(h.To, s.To)
	}
	s.Days = Workdays(c.Days)
	zone := c.Zone
	if zone == "" {
		zone = "UTC"
	}
	var err error
	if s.Zone, err = time.LoadLocation(zone); err != nil {
		return Settings{}, problem.Wrap(err, problem.Invalid, "chaos.settings", "the time zone %q", zone)
	}
	if s.Holidays, err = holiday.Parse(c.Holidays); err != nil {
		return Settings{}, err
	}
	return s, s.Check()
}

// Workdays are the working days of the given names (mon … sun), Monday to Friday
// for none.
func Workdays(names []string) (days [7]bool) {
	if len(names) == 0 {
		names = []string{"mon", "tue", "wed", "thu", "fri"}
	}
	for day := time.Sunday; day <= time.Saturday; day++ {
		days[day] = slices.Contains(names, strings.ToLower(day.String()[:3]))
	}
	return days
}

// clock reads 09:30 as minutes of the day.
func clock(s string, fallback int) int {
	hour, minute, ok := strings.Cut(s, ":")
	h, err := strconv.Atoi(hour)
	m, err2 := strconv.Atoi(minute)
	if !ok || err != nil || err2 != nil {
		return fallback
	}
	return h*60 + m
}

// Check refuses settings that no schedule can be drawn from. Errors: invalid.
func (s Settings) Check() error {
	const op = "chaos.settings"
	switch {
	case !s.Enabled:
		return nil
	case s.Mean < 1:
		return problem.New(problem.Invalid, op, "the mean time between kills is %d working days", s.Mean).WithHelp("write at least 1: with 1 each group loses an instance each working day")
	case s.Min < 0:
		return problem.New(problem.Invalid, op, "the minimum time between kills is %d working days", s.Min).WithHelp("write at least 0")
	case s.From < 0 || s.From >= s.To || s.To > 24*60:
		return problem.New(problem.Invalid, op, "the hours from %s to %s hold no minute", ClockText(s.From), ClockText(s.To)).WithHelp("the first hour is before the last one, and both are of one day")
	case s.Days == [7]bool{}:
		return problem.New(problem.Invalid, op, "no day is a working day").WithHelp("name at least one")
	case s.Zone == nil:
		return problem.New(problem.Invalid, op, "there is no time zone").WithHelp("name one, such as UTC")
	}
	switch s.Grouping {
	case App, Stack, ByCluster:
		return nil
	}
	return problem.New(problem.Invalid, op, "the grouping %q is not known", s.Grouping).WithHelp("one of app, stack, cluster")
}

// ClockText writes minutes of the day as 09:30.
func ClockText(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// DayOff says why nothing is killed on a day, "" for a working day.
func (s Settings) DayOff(d Date) string {
	if !s.Days[d.Weekday()] {
		return d.Weekday().String() + " is not a working day"
	}
	if name := s.Holidays.On(d.Year, d.Month, d.Day); name != "" {
		return "a holiday: " + name
	}
	return ""
}

// draws tells whether a schedule is drawn on a day.
func (s Settings) draws(d Date) bool {
	if s.Draws != nil {
		return s.Draws(d)
	}
	return s.DayOff(d) == ""
}

// Window is the span of time of a day in which instances may end: the moments at
// which the clock of the zone shows From or later, and not yet To. On the day of a
// change of the clock it may be shorter or longer than To - From; it is empty when
// the clock skips all of it.
func (s Settings) Window(d Date) (from, to time.Time) {
	return d.At(s.From, s.Zone), d.At(s.To, s.Zone)
}
