package gameday

import (
	"math/rand/v2"
	"slices"
	"time"

	"showrunner/problem"
)

// Kind is what an event does.
type Kind string

// The kinds of events.
const (
	Deployment   Kind = "deployment"
	Kill         Kind = "kill"
	ZoneOutage   Kind = "zone outage"
	RegionOutage Kind = "region outage"
)

// Event is one thing that happens, at a time since the beginning.
type Event struct {
	At   Seconds `json:"atSeconds"`
	Kind Kind    `json:"kind"`
	// Lasts is how long an outage lasts; 0 for the others.
	Lasts Seconds `json:"lastsSeconds,omitempty"`
	// Choice is from 0 to 1 and chooses the target among those that there are.
	Choice float64 `json:"choice"`
}

// regionOut says whether a region is out at a time, or has only just come back.
func (e Event) regionOut(at Seconds) bool {
	return e.Kind == RegionOutage && at >= e.At && at <= e.At+e.Lasts+e.Lasts/8
}

// Settings say what a game day has.
type Settings struct {
	Seed        uint64  `json:"seed"`
	Length      Seconds `json:"lengthSeconds"`
	Rate        int     `json:"rate"` // repeatable requests a second; others at a tenth of it
	Kills       int     `json:"kills"`
	Deployments int     `json:"deployments"`
	Zones       int     `json:"zones"`
	Regions     int     `json:"regions"`
	// Healing false: nothing is replaced, to see that the report can fail.
	Healing bool `json:"healing"`
}

// quiet is the share of the length, at the beginning and at the end, in which nothing
// is done: before and after are measured there.
const quiet = 0.1

// begin is when the first quiet part ends.
func (s Settings) begin() Seconds { return Seconds(quiet * float64(s.Length)) }

// Check refuses settings that cannot be planned. Errors: invalid.
func (s Settings) Check() error {
	bad := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "gameday", format, args...)
	}
	switch {
	case s.Length.Duration() < 20*time.Second || s.Length.Duration() > 24*time.Hour:
		return bad("a game day lasts from 20s to 24h, not %s", s.Length.Duration())
	case s.Rate < 1 || s.Rate > 100_000:
		return bad("a rate is from 1 to 100000 requests a second, not %d", s.Rate)
	case s.Kills < 0 || s.Deployments < 0 || s.Zones < 0 || s.Regions < 0:
		return bad("there cannot be fewer than 0 of anything")
	case s.Zones+s.Regions > 20:
		return bad("at most 20 outages fit into a game day, not %d", s.Zones+s.Regions)
	}
	return nil
}

// Plan draws the events. The same settings give the same plan. Outages share the time
// between them, so that no two are at once; deployments are spread evenly with a chance
// of their own within each part. Kills are uniform over the time in which no region is
// out: while one does not answer, no instance may be ended. Errors: invalid.
func (s Settings) Plan() ([]Event, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	rng := rand.New(rand.NewPCG(s.Seed, 0x67616d6564617921))
	begin := s.begin()
	busy := s.Length - 2*begin
	var events []Event
	outages := make([]Kind, 0, s.Zones+s.Regions)
	for range s.Zones {
		outages = append(outages, ZoneOutage)
	}
	for range s.Regions {
		outages = append(outages, RegionOutage)
	}
	rng.Shuffle(len(outages), func(i, j int) { outages[i], outages[j] = outages[j], outages[i] })
	for i, kind := range outages {
		part := busy / Seconds(len(outages))
		lasts := part / 3
		at := begin + Seconds(i)*part + Seconds(rng.Float64()*float64(part/3))
		events = append(events, Event{At: at, Kind: kind, Lasts: lasts, Choice: rng.Float64()})
	}
	for i := range s.Deployments {
		part := busy / Seconds(s.Deployments)
		events = append(events, Event{At: begin + Seconds(i)*part + Seconds(rng.Float64()*float64(part)/4), Kind: Deployment})
	}
	planned := slices.Clone(events)
	for range s.Kills {
		e := Event{Kind: Kill}
		for e.At == 0 || slices.ContainsFunc(planned, func(o Event) bool { return o.regionOut(e.At) }) {
			e.At = begin + Seconds(rng.Float64()*float64(busy))
		}
		e.Choice = rng.Float64()
		events = append(events, e)
	}
	slices.SortStableFunc(events, func(a, b Event) int { return int(a.At - b.At) })
	return events, nil
}
