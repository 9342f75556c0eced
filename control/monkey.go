package control

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"slices"
	"time"

	"showrunner/chaos/monkey"
	"showrunner/problem"
	"showrunner/store/record"
)

// monkeyRecords holds a document for each application: the days that were drawn,
// and the kills, scheduled and past. One document, so that the draw, the minimum
// between kills and the intent of a kill are each one compare-and-set, whatever
// the number of control planes.
const monkeyRecords = "chaos-monkey"

// KillOutcome is how a kill stands.
type KillOutcome string

// The outcomes of a kill.
const (
	KillScheduled KillOutcome = "scheduled" // its time has not come
	KillBegun     KillOutcome = "begun"     // the instance is chosen, and the intent is recorded
	Killed        KillOutcome = "killed"
	KillDryRun    KillOutcome = "dry-run" // it would have been killed
	KillSkipped   KillOutcome = "skipped" // it was not to happen
	KillRefused   KillOutcome = "refused" // a check did not allow it, or could not be made
	KillFailed    KillOutcome = "failed"  // the cloud refused it: nothing ended
)

// ChaosKill is one kill of Chaos Monkey, scheduled, past or on demand.
type ChaosKill struct {
	ID          string          `json:"id"`
	Application string          `json:"application"`
	Group       string          `json:"group"`
	Day         monkey.Date     `json:"day"`
	Due         time.Time       `json:"due"`
	Outcome     KillOutcome     `json:"outcome"`
	OnDemand    bool            `json:"onDemand,omitempty"`
	By          string          `json:"by,omitempty"`    // who asked, on demand
	Check       string          `json:"check,omitempty"` // the check that decided against it
	Reason      string          `json:"reason,omitempty"`
	Victim      monkey.Instance `json:"victim,omitzero"`
	Eligible    int             `json:"eligible,omitempty"` // instances that could have been chosen
	Forced      bool            `json:"forced,omitempty"`
	Begun       time.Time       `json:"begun,omitzero"`
	Ended       time.Time       `json:"ended,omitzero"`

	GroupOf monkey.Group `json:"groupOf"`
	Owner   string       `json:"owner,omitempty"` // the session of the control plane that began it
}

// monkeyDay is a day whose schedule was drawn.
type monkeyDay struct {
	Day    monkey.Date `json:"day"`
	Zone   string      `json:"zone"`
	Drawn  time.Time   `json:"drawn"`
	Groups int         `json:"groups"` // that were drawn for
}

type monkeyState struct {
	Format int         `json:"format"` // 1
	Days   []monkeyDay `json:"days"`
	Kills  []ChaosKill `json:"kills"` // in the order in which they were recorded
}

const (
	// keptDays and keptKills bound an application's document. The minimum between
	// kills looks at the kept ones alone.
	keptDays  = 14
	keptKills = 1000
)

func (st *monkeyState) trim() {
	if n := len(st.Days) - keptDays; n > 0 {
		st.Days = slices.Delete(st.Days, 0, n)
	}
	for len(st.Kills) > keptKills {
		i := slices.IndexFunc(st.Kills, func(k ChaosKill) bool { return k.Outcome != KillScheduled && k.Outcome != KillBegun })
		if i < 0 {
			return
		}
		st.Kills = slices.Delete(st.Kills, i, i+1)
	}
}

func (st *monkeyState) kill(id string) *ChaosKill {
	for i := range st.Kills {
		if st.Kills[i].ID == id {
			return &st.Kills[i]
		}
	}
	return nil
}

// past are the kills that count for the minimum between kills.
func (st *monkeyState) past() []monkey.Kill {
	var list []monkey.Kill
	for _, k := range st.Kills {
		switch k.Outcome {
		case Killed, KillBegun, KillDryRun:
			list = append(list, monkey.Kill{Cluster: k.Victim.Cluster, Instance: k.Victim.ID, At: k.Begun, DryRun: k.Outcome == KillDryRun})
		}
	}
	slices.SortStableFunc(list, func(a, b monkey.Kill) int { return b.At.Compare(a.At) })
	return list
}

func (s *Service) monkeyState(ctx context.Context, application string) (monkeyState, int64, error) {
	rec, err := s.Records.GetRecord(ctx, monkeyRecords, application)
	if problem.CodeOf(err) == problem.NotFound {
		return monkeyState{Format: 1}, 0, nil
	}
	if err != nil {
		return monkeyState{}, 0, problem.Wrap(err, "", "chaos.monkey", "the schedule of application %s", application)
	}
	var st monkeyState
	if err := json.Unmarshal(rec.Data, &st); err != nil {
		return monkeyState{}, 0, problem.Wrap(err, problem.Internal, "chaos.monkey", "the stored schedule of application %s cannot be read", application)
	}
	return st, rec.Version, nil
}

// changeMonkey reads an application's document, has change change it, and keeps it
// with the events that change returns, again from the start when another control
// plane was faster. change answers false when there is nothing to change.
func (s *Service) changeMonkey(ctx context.Context, application string, change func(*monkeyState) (events []record.Event, ok bool, err error)) error {
	for {
		st, version, err := s.monkeyState(ctx, application)
		if err != nil {
			return err
		}
		events, ok, err := change(&st)
		if err != nil || !ok {
			return err
		}
		st.trim()
		data, err := json.Marshal(st)
		if err != nil {
			return problem.Wrap(err, problem.Internal, "chaos.monkey", "encoding the schedule of application %s", application)
		}
		_, err = s.Records.PutRecord(ctx, record.Record{Collection: monkeyRecords, Key: application, Version: version, Data: data}, events...)
		if problem.CodeOf(err) == problem.Conflict && ctx.Err() == nil {
			continue
		}
		return err
	}
}

// killEvent tells of a kill: subscriptions send it to those who want to know.
func (s *Service) killEvent(k ChaosKill) record.Event {
	k.Owner = ""
	data, err := json.Marshal(k)
	if err != nil {
		data, _ = json.Marshal(map[string]string{"id": k.ID})
	}
	return record.Event{Time: s.Now().UTC(), Type: "chaos." + string(k.Outcome), Application: k.Application, By: cmp.Or(k.By, string(ViaChaos)), Data: data}
}

// seed is where the chance of this installation's schedules comes from: made once.
func (s *Service) seed(ctx context.Context) (monkey.Seed, error) {
	for {
		rec, err := s.Records.GetRecord(ctx, chaosRecords, seedKey)
		if err == nil {
			var seed uint64
			if err := json.Unmarshal(rec.Data, &seed); err != nil {
				return 0, problem.Wrap(err, problem.Internal, "chaos.monkey", "the stored seed cannot be read")
			}
			return monkey.Seed(seed), nil
		}
		if problem.CodeOf(err) != problem.NotFound {
			return 0, err
		}
		var b [8]byte
		if _, err := rand.Read(b[:]); err != nil {
			return 0, problem.Wrap(err, problem.Internal, "chaos.monkey", "reading chance")
		}
		data, err := json.Marshal(binary.BigEndian.Uint64(b[:]) >> 11) // a JSON number that every reader reads exactly
		if err != nil {
			return 0, problem.Wrap(err, problem.Internal, "chaos.monkey", "encoding the seed")
		}
		if _, err := s.Records.PutRecord(ctx, record.Record{Collection: chaosRecords, Key: seedKey, Data: data}); err != nil && problem.CodeOf(err) != problem.Conflict {
			return 0, err
		}
	}
}

// draw draws an application's schedule for the day that it is in the zone of its
// settings, once: a day that was drawn, also one without any kill, is not drawn
// again. Kills whose minute was over by then are skipped.
func (s *Service) draw(ctx context.Context, application string, settings monkey.Settings) error {
	now := s.Now()
	day := monkey.DateOf(now, settings.Zone)
	st, _, err := s.monkeyState(ctx, application)
	if err != nil || st.drawn(day) {
		return err
	}
	seed, err := s.seed(ctx)
	if err != nil {
		return err
	}
	clusters, unreachable, err := s.monkeyClusters(ctx, application)
	if err != nil {
		return err
	}
	if from, _ := settings.Window(day); len(unreachable) > 0 && now.Before(from) {
		return problem.New(problem.Unavailable, "chaos.draw", "the schedule of application %s waits for regions that do not answer: %s", application, join(unreachable))
	}
	entries := settings.Schedule(seed, day, clusters)
	return s.changeMonkey(ctx, application, func(st *monkeyState) ([]record.Event, bool, error) {
		if st.drawn(day) {
			return nil, false, nil
		}
		st.Days = append(st.Days, monkeyDay{Day: day, Zone: settings.Zone.String(), Drawn: now.UTC(), Groups: len(settings.Groups(clusters))})
		var events []record.Event
		for _, e := range entries {
			k := ChaosKill{ID: e.Day.String() + " " + e.Group.String(), Application: application, Group: e.Group.String(), GroupOf: e.Group, Day: e.Day, Due: e.At.UTC(), Outcome: KillScheduled}
			if e.At.Add(time.Minute).Before(now) {
				k.Outcome, k.Check, k.Reason, k.Ended = KillSkipped, "hours", "its minute was over when the day was drawn", now.UTC()
			}
			st.Kills = append(st.Kills, k)
			events = append(events, s.killEvent(k))
		}
		return events, true, nil
	})
}

func (st *monkeyState) drawn(day monkey.Date) bool {
	return slices.ContainsFunc(st.Days, func(d monkeyDay) bool { return d.Day == day })
}
