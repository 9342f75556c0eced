package trigger

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/pipeline"
	"showrunner/problem"
)

func mustSchedule(t interface{ Fatal(...any) }, fields, zone string) Schedule {
	s, err := ParseSchedule(fields, zone)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestScheduleWhereClocksChange(t *testing.T) {
	for name, tt := range map[string]struct {
		fields, zone, after string
		want                []string
	}{
		"plain":                  {"30 2 * * *", "", "2026-03-28T00:00:00Z", []string{"2026-03-28T02:30:00Z", "2026-03-29T02:30:00Z"}},
		"skipped time":           {"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"}},
		"two skipped times":      {"15,45 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T00:15:00Z", "2026-03-30T00:45:00Z"}},
		"just after the jump":    {"0 3 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"}},
		"repeated time":          {"30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"}},
		"asked between the two":  {"30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", []string{"2026-10-26T01:30:00Z"}},
		"hourly over the jump":   {"30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", []string{"2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"}},
		"hourly over the repeat": {"30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", []string{"2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"}},
		"western skipped":        {"30 2 * * *", "America/New_York", "2026-03-08T00:00:00Z", []string{"2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"}},
		"western repeated":       {"30 1 * * *", "America/New_York", "2026-11-01T00:00:00Z", []string{"2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"}},
		"half an hour's change":  {"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00:00Z", []string{"2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}},
		"midnight that is not":   {"0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", []string{"2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"}},
		"a day that is not":      {"0 12 * * *", "Pacific/Apia", "2011-12-29T22:00:00Z", []string{"2011-12-30T10:00:00Z", "2011-12-30T22:00:00Z"}},
		"weekdays":               {"0 9 * * 1-5", "Europe/London", "2026-05-01T12:00:00Z", []string{"2026-05-04T08:00:00Z"}},
		"a word for it":          {"@daily", "Europe/Berlin", "2026-03-28T12:00:00Z", []string{"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"}},
		"never":                  {"0 0 30 2 *", "", "2026-01-01T00:00:00Z", []string{"0001-01-01T00:00:00Z"}},
		"on the second":          {"0 9 * * *", "", "2026-01-01T09:00:00Z", []string{"2026-01-02T09:00:00Z"}},
		"a moment before":        {"0 9 * * *", "", "2026-01-01T08:59:59.999Z", []string{"2026-01-01T09:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := mustSchedule(t, tt.fields, tt.zone)
			at, err := time.Parse(time.RFC3339, tt.after)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.want {
				if at = s.Next(at); at.UTC().Format(time.RFC3339) != want {
					t.Fatalf("fire %d is %s, want %s", i, at.UTC().Format(time.RFC3339), want)
				}
			}
		})
	}
}

// Every schedule that a valid file may contain can be parsed. Otherwise a valid
// trigger would never fire, and nobody would notice.
func TestScheduleUnderstandsWhatAFileMaySay(t *testing.T) {
	for _, line := range []string{"@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@every 5m", "@reboot", "0 3 * * MON-FRI", "*/5 0/6 1,15 JAN *",
		"0 0 3 * * *", "0 3 * * 7", "0 3 ? * ?", "0 3 L * *", "CRON_TZ=UTC 0 3 * * *", "TZ=UTC @daily", ""} {
		_, found := pipeline.Parse("f.yaml", []byte("application: shop\npipelines:\n  p:\n    triggers: [{schedule: {cron: '"+line+"'}}]\n    stages: {s: {wait: {for: 1s}}}\n"))
		if _, err := ParseSchedule(line, ""); (err == nil) == found.HasErrors() {
			t.Errorf("%q: the pipeline file's check says %v, ParseSchedule says %v", line, found, err)
		}
	}
}

func TestParseScheduleRefuses(t *testing.T) {
	for _, tt := range [][2]string{{"", ""}, {"* * * *", ""}, {"* * * * * *", ""}, {"60 * * * *", ""}, {"@every 1s", ""},
		{"TZ=UTC * * * * *", ""}, {"CRON_TZ=UTC 0 0 * * *", ""}, {"0 0 * * *", "Mars/Base"}, {"0 0 * * *", "Local"}} {
		if _, err := ParseSchedule(tt[0], tt[1]); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("ParseSchedule(%q, %q): %v, want invalid", tt[0], tt[1], err)
		}
	}
}

func TestScheduleDue(t *testing.T) {
	s := mustSchedule(t, "0 * * * *", "")
	at := func(text string) time.Time {
		if text == "" {
			return time.Time{}
		}
		v, err := time.Parse("2006-01-02 15:04:05", text)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, tt := range map[string]struct {
		next, now       string
		skip            bool
		fire, following string
	}{
		"first seen":               {"", "2026-01-01 10:30:00", false, "", "2026-01-01 11:00:00"},
		"not yet":                  {"2026-01-01 11:00:00", "2026-01-01 10:59:59", false, "", "2026-01-01 11:00:00"},
		"now":                      {"2026-01-01 11:00:00", "2026-01-01 11:00:00", false, "2026-01-01 11:00:00", "2026-01-01 12:00:00"},
		"a moment late":            {"2026-01-01 11:00:00", "2026-01-01 11:00:50", true, "2026-01-01 11:00:00", "2026-01-01 12:00:00"},
		"missed one":               {"2026-01-01 11:00:00", "2026-01-01 11:30:00", false, "2026-01-01 11:00:00", "2026-01-01 12:00:00"},
		"missed one, skip":         {"2026-01-01 11:00:00", "2026-01-01 11:30:00", true, "", "2026-01-01 12:00:00"},
		"missed many":              {"2026-01-01 11:00:00", "2026-02-01 09:30:00", false, "2026-02-01 09:00:00", "2026-02-01 10:00:00"},
		"missed many, one on time": {"2026-01-01 11:00:00", "2026-02-01 09:00:05", true, "2026-02-01 09:00:00", "2026-02-01 10:00:00"},
		"missed for years":         {"2006-01-01 11:00:00", "2026-02-01 09:30:00", false, "2026-02-01 09:00:00", "2026-02-01 10:00:00"},
		"set back after a fire":    {"2026-01-01 12:00:00", "2026-01-01 09:30:00", false, "", "2026-01-01 10:00:00"},
	} {
		fire, following := s.due(at(tt.next), at(tt.now), tt.skip)
		if !fire.Equal(at(tt.fire)) || !following.Equal(at(tt.following)) {
			t.Errorf("%s: fires %v, then %v; want %s, then %s", name, fire, following, tt.fire, tt.following)
		}
	}
}

// Next always advances and never skips a day. Latest returns the same time as
// stepping from the start.
func TestScheduleProperties(t *testing.T) {
	zones := []string{"", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Asia/Kathmandu", "Pacific/Apia"}
	rapid.Check(t, func(t *rapid.T) {
		s := mustSchedule(t, rapid.SampledFrom([]string{"30 2 * * *", "0 0 * * *", "*/20 1-3 * * *", "15 * * * *", "0 */3 * * *"}).Draw(t, "fields"),
			rapid.SampledFrom(zones).Draw(t, "zone"))
		start := time.Unix(rapid.Int64Range(1_300_000_000, 1_900_000_000).Draw(t, "start"), 0)
		until := start.Add(time.Duration(rapid.IntRange(0, 240).Draw(t, "hours")) * time.Hour)
		var last time.Time
		for at := start; ; {
			next := s.Next(at)
			if !next.After(at) {
				t.Fatalf("after %v comes %v", at, next)
			}
			if next.Sub(at) > 50*time.Hour {
				t.Fatalf("nothing between %v and %v", at, next)
			}
			if next.After(until) {
				break
			}
			at, last = next, next
		}
		if got := s.Latest(start, until); !got.Equal(last) {
			t.Fatalf("Latest = %v, want %v", got, last)
		}
	})
}
