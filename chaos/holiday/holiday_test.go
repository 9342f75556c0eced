package holiday

import (
	"maps"
	"slices"
	"testing"
	"time"

	"showrunner/pipeline"
)

// TestCalendarsAreThoseOfTheLanguage: a name that validates is a calendar here, and
// the other way round.
func TestCalendarsAreThoseOfTheLanguage(t *testing.T) {
	if got, want := slices.Sorted(maps.Keys(countries)), pipeline.HolidayCalendars(); !slices.Equal(got, want) {
		t.Errorf("calendars %v, the language has %v", got, want)
	}
}

func TestDays(t *testing.T) {
	c, err := Parse([]string{"us", "gb", "2026-03-03", "2026-12-28..2027-01-04", "10-31"})
	if err != nil {
		t.Fatal(err)
	}
	for day, want := range map[string]string{
		"2026-07-03": "Independence Day", // the 4th is a Saturday: taken on Friday
		"2026-11-26": "Thanksgiving Day",
		"2026-04-03": "Good Friday",    // of gb
		"2021-12-31": "New Year's Day", // the first of 2022 is a Saturday: taken in the year before
		"2026-03-03": "2026-03-03",
		"2027-01-04": "2026-12-28..2027-01-04", // the last day of the span
		"2027-01-05": "",
		"2031-10-31": "10-31",
		"2026-10-30": "",
		"2026-06-01": "",
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.On(at.Date()); got != want {
			t.Errorf("%s is %q, want %q", day, got, want)
		}
	}
}

func TestWrongEntries(t *testing.T) {
	for _, e := range []string{"", "xx", "2026-02-30", "2026-12-24..2026-12-01", "2026-12-24..", "12-32", "2-3", "..", "2026-1-1"} {
		if _, err := Parse([]string{e}); err == nil {
			t.Errorf("%q is accepted", e)
		}
	}
}
