package pipeline

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// Chaos lets Chaos Monkey end instances of the application's services, at random times of working days, so that it is known that nobody notices. Without this block, and with `enabled: false`, it ends none. docs/chaos.md has the rules.
type Chaos struct {
	Enabled               bool             `json:"enabled,omitempty"`
	Grouping              string           `json:"grouping,omitempty" enum:"app|stack|cluster" default:"cluster"`                                                    // what loses at most one instance a day: the whole application, each stack of it (the second part of a cluster's name) or each cluster; default cluster
	Mean                  int              `json:"meanTimeBetweenKillsInWorkDays,omitempty" default:"2" min:"1" max:"1000000"`                                       // a group is hit with the probability of 1 to this number each working day; default 2
	Min                   *int             `json:"minTimeBetweenKillsInWorkDays,omitempty" default:"1" min:"0" max:"1000000"`                                        // working days from one kill of a group to the next, at least; with more than 1 the mean rises by as much; default 1
	RegionsAreIndependent bool             `json:"regionsAreIndependent,omitempty"`                                                                                  // each region has groups of its own; default false: a group spans the regions
	Exceptions            []ChaosException `json:"exceptions,omitempty"`                                                                                             // clusters that lose no instance
	Hours                 *ChaosHours      `json:"hours,omitempty"`                                                                                                  // when instances may end, default 09:00 to 15:00
	Zone                  string           `json:"zone,omitempty" check:"zone" default:"UTC"`                                                                        // IANA name; of the hours and the days; default UTC
	Days                  []string         `json:"days,omitempty" lang:"one" enum:"mon|tue|wed|thu|fri|sat|sun" default:"[\"mon\",\"tue\",\"wed\",\"thu\",\"fri\"]"` // the working days; default mon to fri
	Holidays              []string         `json:"holidays,omitempty" lang:"one" check:"holidays"`                                                                   // days that are no working days: a country's public holidays (us, gb, de, …; ecb for the banks of the euro), a day (2026-12-24), a span of days (2026-12-24..2027-01-01), or a day of every year (12-24)
	DryRun                bool             `json:"dryRun,omitempty"`                                                                                                 // decide and record as always, and end nothing
	DuringRollouts        bool             `json:"duringRollouts,omitempty"`                                                                                         // instances may end while a rollout changes their cluster; default false
	Budget                int              `json:"budget,omitempty" default:"100" min:"1" max:"100"`                                                                 // percent of the application's instances that faults and kills may hit at once; default 100
}

// ChaosException protects the clusters that match all its fields: each is a text that is equal, or `*` for any. A field that is left out matches clusters without that part alone.
type ChaosException struct {
	Account string `json:"account"`
	Region  string `json:"region"`
	Stack   string `json:"stack,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// ChaosHours is the part of a day in which instances may end.
type ChaosHours struct {
	From string `json:"from,omitempty" check:"clock" default:"09:00"` // default 09:00
	To   string `json:"to,omitempty" check:"clock" default:"15:00"`   // the first minute that is too late; default 15:00
}

// HolidayCalendars are the names of calendars of public holidays.
func HolidayCalendars() []string {
	return []string{"ar", "at", "be", "bg", "br", "ca", "ch", "cz", "de", "dk", "ecb", "es", "fr", "gb", "gr", "hr", "ie", "it", "jp", "lt", "lv", "mw", "nc",
		"nl", "no", "nz", "pl", "ro", "ru", "se", "si", "sk", "ua", "us", "za"}
}

var yearlyDay = regexp.MustCompile(`^(\d{2})-(\d{2})$`)

// checkHoliday accepts a calendar's name, a day, a span of days, or a day of every year.
func checkHoliday(s string) error {
	if slices.Contains(HolidayCalendars(), s) {
		return nil
	}
	if yearlyDay.MatchString(s) {
		if _, err := time.Parse("2006-01-02", "2000-"+s); err != nil { // a leap year
			return fmt.Errorf("no year has a day %q", s)
		}
		return nil
	}
	first, last, span := strings.Cut(s, "..")
	a, err := time.Parse("2006-01-02", first)
	if err != nil {
		return fmt.Errorf("%q is not", shorten(s, 60))
	}
	if !span {
		return nil
	}
	b, err := time.Parse("2006-01-02", last)
	if err != nil {
		return fmt.Errorf("%q is not", shorten(s, 60))
	}
	if b.Before(a) {
		return fmt.Errorf("%q ends before it begins", s)
	}
	return nil
}

// holidayFor is the name of a calendar that was probably meant.
func holidayFor(text string) string {
	word := strings.ToLower(strings.TrimSpace(text))
	for _, prefix := range []string{"united states", "usa", "us-", "us_"} {
		if strings.HasPrefix(word, prefix) {
			return "us"
		}
	}
	if name, ok := map[string]string{"uk": "gb", "germany": "de", "france": "fr", "united kingdom": "gb", "england": "gb", "euro": "ecb", "target": "ecb", "target2": "ecb", "eu": "ecb"}[word]; ok {
		return name
	}
	if slices.Contains(HolidayCalendars(), word) {
		return word
	}
	return ""
}

// chaos decodes the block of Chaos Monkey.
func (d *decoder) chaos(n *yaml.Node, doc *Document) {
	d.where, d.path = "", []string{"chaos"}
	doc.Chaos = &Chaos{}
	d.object(n, shapeOf(reflect.TypeFor[Chaos]()), reflect.ValueOf(doc.Chaos).Elem())
	d.path = nil
	d.chaosRules(n, doc.Chaos)
}

// isBlock tells whether the members are those of the block of Chaos Monkey itself.
func (d *decoder) isBlock(ms []member) bool {
	s := shapeOf(reflect.TypeFor[Chaos]())
	block := false
	for _, m := range ms {
		if _, top := shapeOf(reflect.TypeFor[Document]()).byName[m.name]; top {
			return false
		}
		if _, ok := s.byName[m.name]; ok {
			block = true
		}
	}
	return block
}

// chaosRules makes the checks that need more than one field.
func (d *decoder) chaosRules(n *yaml.Node, c *Chaos) {
	if h := c.Hours; h != nil {
		from, to := h.From, h.To
		if from == "" {
			from = "09:00"
		}
		if to == "" {
			to = "15:00"
		}
		if clock := formats["clock"]; clock.accepts(from) == nil && clock.accepts(to) == nil && to <= from {
			d.reportWith(find(n, "hours"), Diagnostic{Code: CodeValue, Help: "hours are of one day: from is before to, and 24:00 is the end of the day",
				Message: fmt.Sprintf("hours of chaos: %s is not before %s, so no instance could ever end", from, to)})
		}
	}
	if days := find(n, "days"); days != nil && days.Kind == yaml.SequenceNode && len(days.Content) == 0 {
		d.reportWith(days, Diagnostic{Code: CodeValue, Help: "write enabled: false to end nothing", Message: "days of chaos names no day, so no instance could ever end"})
	}
	mean := c.Mean
	if mean == 0 {
		mean = 2
	}
	if c.Min != nil && *c.Min > mean {
		d.warn(find(n, "minTimeBetweenKillsInWorkDays"), CodeValue, "minTimeBetweenKillsInWorkDays of chaos is more than meanTimeBetweenKillsInWorkDays: "+
			"kills of a group will be %d working days apart on average (%d + %d - 1)", mean+*c.Min-1, mean, *c.Min)
	}
	for i, e := range c.Exceptions {
		for _, f := range []struct{ name, value string }{{"account", e.Account}, {"region", e.Region}, {"stack", e.Stack}, {"detail", e.Detail}} {
			at := find(n, "exceptions", i, f.name)
			if strings.ContainsAny(f.value, "*?") && f.value != "*" {
				d.reportWith(at, Diagnostic{Code: CodeValue, Help: "write the whole name, or * for any; add an exception for each name",
					Message: fmt.Sprintf("%s of exception %d of chaos: %q would match nothing: only * alone stands for any text", f.name, i+1, f.value)})
			}
		}
		d.knownException(find(n, "exceptions", i), i, e)
	}
}

// knownException warns of an account or region that the control plane does not have.
func (d *decoder) knownException(n *yaml.Node, i int, e ChaosException) {
	regions, known := d.around.Accounts[e.Account]
	if names := sortedKeys(d.around.Accounts); !strings.Contains(e.Account, "*") && e.Account != "" && len(names) > 0 && !known {
		d.reportWith(find(n, "account"), Diagnostic{Severity: SeverityWarning, Code: CodeValue, Suggestion: d.nearest(e.Account, names),
			Message: fmt.Sprintf("exception %d of chaos protects nothing: there is no account %q; this control plane has %s", i+1, e.Account, strings.Join(names, ", "))})
		return
	}
	if e.Account == "*" {
		for _, list := range d.around.Accounts {
			regions = append(regions, list...)
		}
		slices.Sort(regions)
		regions = slices.Compact(regions)
	}
	if !strings.Contains(e.Region, "*") && e.Region != "" && len(regions) > 0 && !slices.Contains(regions, e.Region) {
		d.reportWith(find(n, "region"), Diagnostic{Severity: SeverityWarning, Code: CodeValue, Suggestion: d.nearest(e.Region, regions),
			Message: fmt.Sprintf("exception %d of chaos protects nothing: there is no region %q; there are %s", i+1, e.Region, strings.Join(regions, ", "))})
	}
}

var hourSpan = regexp.MustCompile(`^\s*(\d{1,2})(?::(\d{2}))?\s*(?:-|–|to|\.\.)\s*(\d{1,2})(?::(\d{2}))?\s*$`)

// hoursFor is how to write a span of hours such as 9-15.
func hoursFor(text string) string {
	m := hourSpan.FindStringSubmatch(text)
	if m == nil {
		return ""
	}
	clock := func(hour, minute string) string {
		h, _ := strconv.Atoi(hour) // two digits at most
		if minute == "" {
			minute = "00"
		}
		return fmt.Sprintf("%02d:%s", h, minute)
	}
	return fmt.Sprintf("write { from: %q, to: %q }", clock(m[1], m[2]), clock(m[3], m[4]))
}
