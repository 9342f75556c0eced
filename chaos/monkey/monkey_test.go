package monkey

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/pipeline"
)

func day(t testing.TB, s string) Date {
	t.Helper()
	d, err := ParseDate(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

// TestClockChanges: a minute that is skipped is the moment of the change, one that
// comes twice is the first.
func TestClockChanges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ day, zone, clock, want string }{
		{"2026-07-01", "America/Los_Angeles", "09:00", "2026-07-01T16:00:00Z"},
		{"2026-03-08", "America/Los_Angeles", "02:30", "2026-03-08T10:00:00Z"}, // skipped
		{"2026-03-08", "America/Los_Angeles", "03:00", "2026-03-08T10:00:00Z"},
		{"2026-03-08", "America/Los_Angeles", "01:59", "2026-03-08T09:59:00Z"},
		{"2026-11-01", "America/Los_Angeles", "01:30", "2026-11-01T08:30:00Z"}, // twice
		{"2026-11-01", "America/Los_Angeles", "02:00", "2026-11-01T10:00:00Z"},
		{"2026-04-24", "Africa/Cairo", "00:00", "2026-04-23T22:00:00Z"}, // the day begins at 01:00
		{"2026-04-24", "Africa/Cairo", "24:00", "2026-04-24T21:00:00Z"},
		{"2026-04-05", "Australia/Lord_Howe", "01:45", "2026-04-04T14:45:00Z"}, // set back by half an hour
		{"2011-12-30", "Pacific/Apia", "12:00", "2011-12-30T10:00:00Z"},        // a day that Samoa did not have
		{"2026-06-01", "Asia/Kathmandu", "10:00", "2026-06-01T04:15:00Z"},
	} {
		got := day(t, tt.day).At(clock(tt.clock, -1), zone(t, tt.zone)).UTC().Format(time.RFC3339)
		if got != tt.want {
			t.Errorf("%s %s in %s is %s, want %s", tt.day, tt.clock, tt.zone, got, tt.want)
		}
	}
}

// TestWindowStaysInTheHours: on every day of every zone a kill is within the hours
// by the zone's own clock, and on that day.
func TestWindowStaysInTheHours(t *testing.T) {
	t.Parallel()
	zones := []string{"UTC", "America/New_York", "Europe/Berlin", "Africa/Cairo", "Asia/Tehran", "Australia/Lord_Howe", "America/Santiago", "Asia/Gaza", "Pacific/Chatham", "America/St_Johns", "Africa/Casablanca"}
	rapid.Check(t, func(r *rapid.T) {
		s := Settings{Enabled: true, Grouping: App, Mean: 1, Days: [7]bool{true, true, true, true, true, true, true}}
		s.Zone = zone(t, rapid.SampledFrom(zones).Draw(r, "zone"))
		s.From = rapid.IntRange(0, 24*60-1).Draw(r, "from")
		s.To = rapid.IntRange(s.From+1, 24*60).Draw(r, "to")
		d := Date{2000, time.January, 1}.Add(rapid.IntRange(0, 15_000).Draw(r, "day"))
		e, ok := s.Draw(Seed(rapid.Uint64().Draw(r, "seed")), d, Group{Application: "a"})
		if !ok {
			if from, to := s.Window(d); to.Sub(from) >= time.Minute {
				r.Fatalf("nothing on %s between %s and %s", d, from, to)
			}
			return
		}
		local := e.At.In(s.Zone)
		if minute := local.Hour()*60 + local.Minute(); minute < s.From || minute >= s.To || DateOf(e.At, s.Zone) != d {
			r.Fatalf("%s for %s, hours %s to %s in %s", local, d, ClockText(s.From), ClockText(s.To), s.Zone)
		}
	})
}

func TestThreshold(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		now      string
		min      int
		holidays []string
		want     string
	}{
		{"2026-12-09T18:00:00Z", 0, nil, "2026-12-09T23:00:00Z"}, // today's end of the hours
		{"2026-12-09T18:00:00Z", 1, nil, "2026-12-08T23:00:00Z"},
		{"2026-12-07T18:00:00Z", 1, nil, "2026-12-04T23:00:00Z"}, // Monday: Friday
		{"2026-12-06T18:00:00Z", 0, nil, "2026-12-04T23:00:00Z"}, // Sunday: Friday
		{"2026-12-06T18:00:00Z", 1, nil, "2026-12-03T23:00:00Z"},
		{"2026-12-10T02:00:00Z", 1, nil, "2026-12-08T23:00:00Z"}, // still the 9th in the zone
		{"2026-12-28T18:00:00Z", 1, []string{"us"}, "2026-12-24T23:00:00Z"},
		{"2026-12-28T18:00:00Z", 1, []string{"us", "2026-12-21..2026-12-24"}, "2026-12-18T23:00:00Z"},
		{"2026-03-09T17:00:00Z", 1, nil, "2026-03-06T23:00:00Z"}, // over the change of the clock
		{"2026-11-02T18:00:00Z", 5, nil, "2026-10-26T22:00:00Z"},
	} {
		s := settings(t, func(c *pipeline.Chaos) { c.Min, c.Zone, c.Holidays = &tt.min, "America/Los_Angeles", tt.holidays })
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Threshold(now).UTC().Format(time.RFC3339); got != tt.want {
			t.Errorf("%s, min %d: %s, want %s", tt.now, tt.min, got, tt.want)
		}
	}
}

func TestTooSoon(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 9, 10, 0, 0, 0, time.UTC)
	victim := NewCluster("shop", "prod", "r1", "shop-web-a")
	kill := func(change func(*Kill)) Kill {
		k := Kill{Cluster: victim, At: now.Add(-time.Hour)}
		if change != nil {
			change(&k)
		}
		return k
	}
	other := func(name, region string) func(*Kill) {
		return func(k *Kill) { k.Cluster = NewCluster("shop", "prod", region, name) }
	}
	for _, tt := range []struct {
		name     string
		settings func(*pipeline.Chaos)
		earlier  Kill
		want     bool
	}{
		{"same cluster", nil, kill(nil), true},
		{"at the threshold", nil, kill(func(k *Kill) { k.At = time.Date(2026, 12, 8, 15, 0, 0, 0, time.UTC) }), true},
		{"before the threshold", nil, kill(func(k *Kill) { k.At = time.Date(2026, 12, 8, 14, 59, 0, 0, time.UTC) }), false},
		{"other cluster", nil, kill(other("shop-web-b", "r1")), false},
		{"other cluster of the stack", func(c *pipeline.Chaos) { c.Grouping = "stack" }, kill(other("shop-web-b", "r1")), true},
		{"other stack", func(c *pipeline.Chaos) { c.Grouping = "stack" }, kill(other("shop-api", "r1")), false},
		{"other stack of the application", func(c *pipeline.Chaos) { c.Grouping = "app" }, kill(other("shop-api", "r1")), true},
		{"other region", nil, kill(other("shop-web-a", "r2")), true},
		{"other region, independent", func(c *pipeline.Chaos) { c.RegionsAreIndependent = true }, kill(other("shop-web-a", "r2")), false},
		{"other account", nil, kill(func(k *Kill) { k.Account = "test" }), false},
		{"other application", nil, kill(func(k *Kill) { k.Application = "x" }), false},
		{"dry run before a kill", nil, kill(func(k *Kill) { k.DryRun = true }), false},
		{"dry run before a dry run", func(c *pipeline.Chaos) { c.DryRun = true }, kill(func(k *Kill) { k.DryRun = true }), true},
		{"kill before a dry run", func(c *pipeline.Chaos) { c.DryRun = true }, kill(nil), true},
	} {
		if _, got := settings(t, tt.settings).TooSoon(now, victim, []Kill{tt.earlier}); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

func TestGroups(t *testing.T) {
	t.Parallel()
	var clusters []Cluster
	for _, region := range []string{"r1", "r2"} {
		for _, name := range []string{"shop", "shop-web-a", "shop-web-b", "shop--d"} {
			clusters = append(clusters, NewCluster("shop", "prod", region, name))
		}
	}
	clusters = append(clusters, NewCluster("shop", "test", "r1", "shop-web-a"))
	for _, tt := range []struct {
		grouping    string
		independent bool
		want        []string
	}{
		{"app", false, []string{"shop account=prod", "shop account=test"}},
		{"app", true, []string{"shop account=prod region=r1", "shop account=prod region=r2", "shop account=test region=r1"}},
		{"stack", false, []string{"shop account=prod stack=", "shop account=prod stack=web", "shop account=test stack=web"}},
		{"cluster", false, []string{"shop account=prod cluster=shop", "shop account=prod cluster=shop--d", "shop account=prod cluster=shop-web-a", "shop account=prod cluster=shop-web-b", "shop account=test cluster=shop-web-a"}},
		{"cluster", true, nil},
	} {
		s := settings(t, func(c *pipeline.Chaos) { c.Grouping, c.RegionsAreIndependent = tt.grouping, tt.independent })
		groups := s.Groups(clusters)
		var names []string
		members := 0
		for _, g := range groups {
			names = append(names, g.String())
			for _, c := range clusters {
				if g.Has(c) {
					members++
				}
			}
		}
		if tt.want == nil {
			if len(groups) != len(clusters) {
				t.Errorf("%s: %v", tt.grouping, names)
			}
		} else if !slices.Equal(names, tt.want) {
			t.Errorf("%s: %v", tt.grouping, names)
		}
		if members != len(clusters) {
			t.Errorf("%s: %d members of %d clusters: each belongs to one group", tt.grouping, members, len(clusters))
		}
	}
}

func TestExceptions(t *testing.T) {
	t.Parallel()
	web := NewCluster("shop", "prod", "r1", "shop-web-a")
	plain := NewCluster("shop", "prod", "r1", "shop")
	for _, tt := range []struct {
		e          Exception
		web, plain bool
	}{
		{Exception{"*", "*", "*", "*"}, true, true},
		{Exception{"prod", "r1", "web", "a"}, true, false},
		{Exception{"prod", "r1", "web", ""}, false, false},
		{Exception{"prod", "r1", "", ""}, false, true},
		{Exception{"prod", "r2", "*", "*"}, false, false},
		{Exception{"test", "*", "*", "*"}, false, false},
		{Exception{"", "*", "*", "*"}, false, false},
		{Exception{"prod", "*", "web", "*"}, true, false},
	} {
		s := Settings{Exceptions: []Exception{tt.e}}
		if s.Protected(web) != "" != tt.web || s.Protected(plain) != "" != tt.plain {
			t.Errorf("%s: %q, %q", tt.e, s.Protected(web), s.Protected(plain))
		}
	}
	for name, want := range map[string]bool{"shop-prod-canary": true, "shop-prod-baseline": true, "shop-citrus": true, "shop--citrusproxy": true, "shop-canary-a": false, "canary": false} {
		if got := (Settings{}).Protected(NewCluster("shop", "prod", "r1", name)) != ""; got != want {
			t.Errorf("%s is protected: %v", name, got)
		}
	}
}

// TestSameSeedSameSchedule: the draw depends on the seed, the day and the group
// alone, not on what else there is.
func TestSameSeedSameSchedule(t *testing.T) {
	t.Parallel()
	s := settings(t, nil)
	a, b := NewCluster("shop", "x", "r", "shop-a"), NewCluster("shop", "x", "r", "shop-b")
	d := day(t, "2026-12-01")
	for seed := range Seed(50) {
		both := s.Schedule(seed, d, []Cluster{b, a})
		for _, alone := range s.Schedule(seed, d, []Cluster{a}) {
			if !slices.Contains(both, alone) {
				t.Fatalf("seed %d: %v alone, with another %v", seed, alone, both)
			}
		}
	}
	if off := (Settings{}).Schedule(1, d, []Cluster{a}); off != nil {
		t.Errorf("without opting in: %v", off)
	}
}
