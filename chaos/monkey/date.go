package monkey

import (
	"fmt"
	"time"

	"showrunner/problem"
)

// Date is a day of the calendar, without a zone.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// DateOf is the day of a moment in a zone.
func DateOf(t time.Time, zone *time.Location) Date {
	y, m, d := t.In(zone).Date()
	return Date{y, m, d}
}

// ParseDate reads a day such as 2026-12-24. Errors: invalid.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, problem.New(problem.Invalid, "chaos.date", "%q is not a day", s).WithHelp("write the year, the month and the day, such as 2026-12-24")
	}
	return DateOf(t, time.UTC), nil
}

// Add is the day that is n days later. It counts days of the calendar, so that no
// change of a clock skips or repeats one.
func (d Date) Add(n int) Date { return DateOf(d.noon().AddDate(0, 0, n), time.UTC) }

// Weekday is the day of the week.
func (d Date) Weekday() time.Weekday { return d.noon().Weekday() }

// Sub is the number of days from e to d.
func (d Date) Sub(e Date) int { return int((d.noon().Unix() - e.noon().Unix()) / (24 * 60 * 60)) }

// Before tells whether d is an earlier day than e.
func (d Date) Before(e Date) bool { return d.noon().Before(e.noon()) }

func (d Date) noon() time.Time { return time.Date(d.Year, d.Month, d.Day, 12, 0, 0, 0, time.UTC) }

// String is the form that ParseDate reads.
func (d Date) String() string { return fmt.Sprintf("%04d-%02d-%02d", d.Year, d.Month, d.Day) }

// MarshalText implements encoding.TextMarshaler.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Date) UnmarshalText(b []byte) error {
	v, err := ParseDate(string(b))
	*d = v
	return err
}

// At is the first moment of the day at which the clock of the zone shows the given
// minute of the day or a later one. Where the clock is set forward over the minute,
// that is the moment of the change; where the minute comes twice, the first.
func (d Date) At(minute int, zone *time.Location) time.Time {
	want := time.Date(d.Year, d.Month, d.Day, 0, minute, 0, 0, time.UTC)
	// The clock's reading as if it were UTC, to compare it with the wanted one.
	reading := func(t time.Time) time.Time {
		local := t.In(zone)
		y, m, day := local.Date()
		return time.Date(y, m, day, local.Hour(), local.Minute(), local.Second(), 0, time.UTC)
	}
	// Changes of clocks fall on whole minutes and move them by less than a day:
	// the moment is within a day of the one that has no offset. An offset is
	// constant around it except at a change, so that few candidates suffice.
	_, before := want.Add(-26 * time.Hour).In(zone).Zone()
	if _, after := want.Add(26 * time.Hour).In(zone).Zone(); before == after {
		return want.Add(-time.Duration(before) * time.Second) // no change is near
	}
	first := time.Time{}
	for _, probe := range []int{-26, -14, 0, 14, 26} {
		_, offset := want.Add(time.Duration(probe) * time.Hour).In(zone).Zone()
		candidate := want.Add(-time.Duration(offset) * time.Second)
		if reading(candidate).Equal(want) && (first.IsZero() || candidate.Before(first)) {
			first = candidate
		}
	}
	if !first.IsZero() {
		return first
	}
	// The minute is skipped: search the change.
	low, high := want.Add(-26*time.Hour), want.Add(26*time.Hour)
	for high.Sub(low) > time.Second {
		middle := low.Add(high.Sub(low) / 2).Truncate(time.Second)
		if reading(middle).Before(want) {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}
