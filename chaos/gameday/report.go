package gameday

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Report is what a game day showed.
type Report struct {
	Settings
	Began  time.Time `json:"began"`
	Took   Seconds   `json:"tookSeconds"`
	Passed bool      `json:"passed"` // no repeatable request failed, and everything happened

	Before Stretch `json:"before"` // the first and the last tenth, in which nothing was done
	During Stretch `json:"during"`
	After  Stretch `json:"after"`
	All    Stretch `json:"all"`

	Failures       []Reason   `json:"failures"`       // of repeatable requests
	OthersFailures []Reason   `json:"othersFailures"` // of requests that must not be repeated
	Events         []Happened `json:"events"`
	Timeline       []Point    `json:"timeline"`
}

func (d *day) report(s Settings, ended Seconds) *Report {
	begin := s.begin()
	r := &Report{Settings: s, Began: d.began.UTC(), Took: ended, Events: d.happened, Timeline: d.meter.timeline(),
		Failures: d.meter.failures(0), OthersFailures: d.meter.failures(1)}
	const ever = 1 << 62
	r.Before, r.During = d.meter.between(0, begin), d.meter.between(begin, s.Length-begin)
	r.After, r.All = d.meter.between(s.Length-begin, ever), d.meter.between(0, ever)
	r.Passed = r.All.Failed == 0 && r.All.Requests > 0 && !slices.ContainsFunc(r.Events, func(h Happened) bool { return h.Failure != "" || h.Unrecovered })
	return r
}

// Verdict is the report in one sentence.
func (r *Report) Verdict() string {
	text := fmt.Sprintf("%d of %d repeatable requests were answered (%s); %d of %d others failed", r.All.Requests-r.All.Failed, r.All.Requests, percent(r.All.Availability()), r.All.OthersFailed, r.All.Others)
	if missing := r.missing(); missing > 0 {
		text += fmt.Sprintf("; %d of %d events were not carried out or not recovered from", missing, len(r.Events))
	}
	return text
}

// missing counts the events that were not carried out, or not recovered from.
func (r *Report) missing() (n int) {
	for _, h := range r.Events {
		if h.Failure != "" || h.Unrecovered {
			n++
		}
	}
	return n
}

// percent never rounds up to 100.
func percent(share float64) string {
	text := fmt.Sprintf("%.4f %%", share*100)
	if share < 1 && strings.HasPrefix(text, "100") {
		return "99.9999 %"
	}
	return strings.Replace(text, "100.0000", "100", 1)
}

// kinds sums the events up, one row for each kind that there was.
func (r *Report) kinds() []kindRow {
	var rows []kindRow
	for _, kind := range []Kind{Deployment, Kill, ZoneOutage, RegionOutage, Fault} {
		row := kindRow{kind: kind}
		var took []time.Duration
		for _, h := range r.Events {
			if h.Kind != kind {
				continue
			}
			row.planned++
			if h.Failure == "" {
				row.done++
				took = append(took, h.Recovery.Duration())
			}
			if h.Unrecovered {
				row.unrecovered++
			}
		}
		row.p50, _, row.most = quantiles(took)
		if row.planned > 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

type kindRow struct {
	kind                       Kind
	planned, done, unrecovered int
	p50, most                  Seconds
}

func seconds(s Seconds) string { return fmt.Sprintf("%.2f s", s.float()) }

// Markdown is the report as a page.
func (r *Report) Markdown() string {
	var b strings.Builder
	healing := ""
	if !r.Healing {
		healing = " Nothing was replaced: self-healing was off."
	}
	fmt.Fprintf(&b, "# Game day, %s\n\n**%s.**\n\n", r.Began.Format("2 January 2006 15:04 UTC"), r.Verdict())
	fmt.Fprintf(&b, "Seed %d, %s, %d repeatable requests a second and %d others.%s\n\n", r.Seed, r.Took.Duration().Round(time.Second), r.Rate, max(1, r.Rate/10), healing)
	b.WriteString("| | requests | failed | availability | p50 | p99 | max | others | failed |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range r.Stretches() {
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %s | %s | %d | %d |\n", s.Name, s.Requests, s.Failed, percent(s.Availability()), milliseconds(s.P50), milliseconds(s.P99), milliseconds(s.Max), s.Others, s.OthersFailed)
	}
	b.WriteString("\n| events | planned | done | recovered after (median) | at most | not recovered |\n|---|---|---|---|---|---|\n")
	for _, k := range r.kinds() {
		fmt.Fprintf(&b, "| %s | %d | %d | %s | %s | %d |\n", k.kind, k.planned, k.done, seconds(k.p50), seconds(k.most), k.unrecovered)
	}
	for _, f := range []struct {
		title string
		list  []Reason
	}{{"Failures of repeatable requests", r.Failures}, {"Failures of others", r.OthersFailures}} {
		if len(f.list) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n\n", f.title)
		for _, reason := range f.list {
			fmt.Fprintf(&b, "- %d × %s\n", reason.Requests, cell(reason.Why))
		}
	}
	b.WriteString("\n## Events\n\nThe recovery of a deployment is how long it took; that of the others is the time until everything in its region that should serve did, of a fault from its end.\n\n| at | event | what | recovery |\n|---|---|---|---|\n")
	for _, h := range r.Events {
		fmt.Fprintf(&b, "| %.0f s | %s | %s | %s |\n", h.At.float(), h.Kind, cell(strings.TrimSpace(h.What+" "+h.Failure)), recoveryText(h))
	}
	return b.String()
}

func recoveryText(h Happened) string {
	switch {
	case h.Failure != "" && h.What == "":
		return "not carried out"
	case h.Unrecovered:
		return "not until the end"
	}
	return seconds(h.Recovery)
}

// cell is a text that cannot end its cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "\r", " ", "<", "&lt;").Replace(s)
}
