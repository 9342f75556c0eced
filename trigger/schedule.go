package trigger

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"showrunner/problem"
)

// Schedule is a cron expression in a time zone. Where clocks change it does what
// people mean: a time that is skipped happens when the clocks jump, a time that
// comes twice happens the first time; what happens every hour goes on every
// real hour.
type Schedule struct {
	fields *cron.SpecSchedule
	zone   *time.Location
	hourly bool // any hour: real time decides
}

// starBit is how cron marks a field that is "*".
const starBit = 1 << 63

// ParseSchedule reads five cron fields, or a word for them such as @daily, and the
// name of a zone, "" for UTC.
// Errors: invalid.
func ParseSchedule(fields, zone string) (Schedule, error) {
	const op = "trigger.schedule"
	location, err := time.LoadLocation(zone)
	if err != nil || strings.EqualFold(zone, "local") {
		return Schedule{}, problem.New(problem.Invalid, op, "there is no time zone %q", zone).WithHelp("use a name such as Europe/Berlin")
	}
	if strings.Contains(fields, "=") {
		return Schedule{}, problem.New(problem.Invalid, op, "%q is not five cron fields", fields).WithHelp("name the zone by zone")
	}
	parsed, err := cron.ParseStandard(fields)
	if err != nil {
		return Schedule{}, problem.Wrap(err, problem.Invalid, op, "%q", fields)
	}
	spec, ok := parsed.(*cron.SpecSchedule)
	if !ok {
		return Schedule{}, problem.New(problem.Invalid, op, "%q has no fixed times", fields).WithHelp("use five cron fields, such as */5 * * * *")
	}
	spec.Location = time.UTC // it reckons with the clock on the wall; the zone comes after
	return Schedule{fields: spec, zone: location, hourly: spec.Hour&starBit != 0}, nil
}

// Next returns the first time after t, zero when there is none.
func (s Schedule) Next(t time.Time) time.Time {
	if s.hourly {
		in := *s.fields
		in.Location = s.zone
		return in.Next(t.In(s.zone)).UTC().Truncate(time.Second)
	}
	// No change of clocks is longer than a day (whole days have been skipped when
	// the date line was moved), so the search begins a day and a bit before.
	for wall := onWall(t.In(s.zone)).Add(-25 * time.Hour); ; {
		wall = s.fields.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if at := s.real(wall); at.After(t) {
			return at
		}
	}
}

// onWall is what the clock on the wall shows, as if it were UTC.
func onWall(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// real is the moment at which the clock on the wall shows a time: the first of
// two, and the moment of the jump for a time that is jumped over.
func (s Schedule) real(wall time.Time) time.Time {
	_, early := wall.Add(-26 * time.Hour).In(s.zone).Zone()
	_, late := wall.Add(26 * time.Hour).In(s.zone).Zone()
	var found time.Time
	for _, offset := range []int{early, late} {
		at := wall.Add(-time.Duration(offset) * time.Second)
		if onWall(at.In(s.zone)).Equal(wall) && (found.IsZero() || at.Before(found)) {
			found = at
		}
	}
	if !found.IsZero() {
		return found
	}
	// In the gap the later offset gives a moment before the jump.
	_, jump := wall.Add(-time.Duration(max(early, late)) * time.Second).In(s.zone).ZoneBounds()
	return jump.UTC()
}

// Latest returns the last time after from and not after until; zero when there
// is none.
func (s Schedule) Latest(from, until time.Time) time.Time {
	// Look back from the end in growing steps, so that a long absence costs no
	// more than a short one.
	for span := time.Hour; ; span *= 8 {
		start := until.Add(-span)
		if start.Before(from) || span > 100*365*24*time.Hour {
			start = from
		}
		var last time.Time
		for at := s.Next(start); !at.IsZero() && !at.After(until); at = s.Next(at) {
			last = at
		}
		if !last.IsZero() || start.Equal(from) {
			return last
		}
	}
}

// onTime is how late a fire may be and still count as not missed.
const onTime = time.Minute

// due decides what a schedule fires now and when it has to be looked at again.
// next is the time that was kept. Times that were missed are made up for by the
// latest of them, or by none, as skip says; a fire that is a moment late is no
// missed one. When the clock was set back, a time that has been fired is due
// again: the engine knows that one by its event.
func (s Schedule) due(next, now time.Time, skip bool) (fire, following time.Time) {
	following = s.Next(now)
	if next.IsZero() || next.After(now) {
		if !next.IsZero() && (following.IsZero() || next.Before(following)) {
			following = next
		}
		return time.Time{}, following
	}
	fire = s.Latest(next.Add(-time.Second), now)
	if skip && now.Sub(fire) > onTime {
		fire = time.Time{}
	}
	return fire, following
}
