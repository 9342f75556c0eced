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
	Fault        Kind = "fault" // of the kind that the event names
)

// Event is one thing that happens, at a time since the beginning.
type Event struct {
	At   Seconds `json:"atSeconds"`
	Kind Kind    `json:"kind"`
	// Fault names the kind of a fault, such as latency.
	Fault string `json:"fault,omitempty"`
	// Lasts is how long an outage or a fault lasts; 0 for the others.
	Lasts Seconds `json:"lastsSeconds,omitempty"`
	// Choice is from 0 to 1 and chooses the target among those that there are.
	Choice float64 `json:"choice"`
}

// regionOut says whether a region is out at a time, or has only just come back.
func (e Event) regionOut(at Seconds) bool {
	return e.takesRegion() && at >= e.At && at <= e.At+e.Lasts+e.Lasts/8
}

// takesRegion says whether the event keeps control from asking a region.
func (e Event) takesRegion() bool {
	return e.Kind == RegionOutage || e.Fault == "region-outage" || e.Fault == "partition"
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
	// Faults are the kinds of faults that are begun besides, one event for each.
	Faults []string `json:"faults,omitempty"`
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
	case s.Zones+s.Regions+len(s.Faults) > 20:
		return bad("at most 20 outages and faults fit into a game day, not %d", s.Zones+s.Regions+len(s.Faults))
	}
	return nil
}

// Plan draws the events. The same settings give the same plan. Outages and faults share
// the time between them, so that no two are at once; deployments are spread evenly with a chance
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
	outages := make([]Event, 0, s.Zones+s.Regions+len(s.Faults))
	for range s.Zones {
		outages = append(outages, Event{Kind: ZoneOutage})
	}
	for range s.Regions {
		outages = append(outages, Event{Kind: RegionOutage})
	}
	for _, kind := range s.Faults {
		outages = append(outages, Event{Kind: Fault, Fault: kind})
	}
	rng.Shuffle(len(outages), func(i, j int) { outages[i], outages[j] = outages[j], outages[i] })
	for i, e := range outages {
		part := busy / Seconds(len(outages))
		e.Lasts = part / 3
		e.At = begin + Seconds(i)*part + Seconds(rng.Float64()*float64(part/3))
		e.Choice = rng.Float64()
		events = append(events, e)
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
