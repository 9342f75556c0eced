package trigger

import (
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"showrunner/problem"
)

// Schedule is a cron expression in a time zone. When clocks change it does what
// people expect: a time that is skipped fires when the clocks jump, a time that
// occurs twice fires the first time, and an hourly schedule fires every real
// hour.
type Schedule struct {
	fields *cron.SpecSchedule
	zone   *time.Location
	hourly bool // the hour field allows every hour: real time decides
}

// starBit is the bit that the cron parser sets for a "*" field.
const starBit = 1 << 63

// ParseSchedule parses five cron fields, or a word such as @daily, and the name
// of a zone, "" for UTC. Errors: invalid.
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
	spec.Location = time.UTC // the fields are evaluated in wall-clock time; the zone is applied afterwards
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
	// the date line was moved), so the search begins slightly more than a day
	// earlier.
	for wall := wallClock(t.In(s.zone)).Add(-25 * time.Hour); ; {
		wall = s.fields.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		if at := s.realTime(wall); at.After(t) {
			return at
		}
	}
}

// wallClock is the wall-clock time of a moment, represented as if it were UTC.
func wallClock(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// realTime is the moment at which the wall clock shows a time. For a time that occurs
// twice it is the first occurrence; for a skipped time it is the moment of the
// jump.
func (s Schedule) realTime(wall time.Time) time.Time {
	_, early := wall.Add(-26 * time.Hour).In(s.zone).Zone()
	_, late := wall.Add(26 * time.Hour).In(s.zone).Zone()
	var found time.Time
	for _, offset := range []int{early, late} {
		at := wall.Add(-time.Duration(offset) * time.Second)
		if wallClock(at.In(s.zone)).Equal(wall) && (found.IsZero() || at.Before(found)) {
			found = at
		}
	}
	if !found.IsZero() {
		return found
	}
	// For a skipped time, the later offset gives a moment before the jump.
	_, jump := wall.Add(-time.Duration(max(early, late)) * time.Second).In(s.zone).ZoneBounds()
	return jump.UTC()
}

// Latest returns the last time after from and not after until; zero when there
// is none.
func (s Schedule) Latest(from, until time.Time) time.Time {
	// Search back from the end in growing steps, so that a long downtime costs no
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

// allowedLateness is the delay up to which a time does not count as missed.
const allowedLateness = time.Minute

// due decides which time a schedule fires now and when it has to be checked
// again. next is the time that was stored. Of several missed times, due fires the
// latest, or none when skip is set; a time that is late by less than onTime is
// not missed. After the clock was set back, a time that has already fired is due
// again: the engine recognises its event.
func (s Schedule) due(next, now time.Time, skip bool) (fire, following time.Time) {
	following = s.Next(now)
	if next.IsZero() || next.After(now) {
		if !next.IsZero() && (following.IsZero() || next.Before(following)) {
			following = next
		}
		return time.Time{}, following
	}
	fire = s.Latest(next.Add(-time.Second), now)
	if skip && now.Sub(fire) > allowedLateness {
		fire = time.Time{}
	}
	return fire, following
}
