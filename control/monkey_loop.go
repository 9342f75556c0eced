package control

import (
	"context"
	"slices"
	"sync"
	"time"

	"showrunner/chaos/monkey"
	"showrunner/problem"
)

// Replicas are the control planes that share the records, as one of them knows them.
type Replicas interface {
	// Owner names this control plane's session, "" while there is none.
	Owner() string
	// Lives tells whether a session goes on.
	Lives(ctx context.Context, owner string) (bool, error)
}

// killsUnderWay are the kills that this process carries out now.
type killsUnderWay struct {
	mu  sync.Mutex
	ids map[string]bool
}

// underWay marks a kill as carried out by this process until the returned function
// is called.
func (s *Service) underWay(id string) func() {
	s.kills.mu.Lock()
	defer s.kills.mu.Unlock()
	if s.kills.ids == nil {
		s.kills.ids = map[string]bool{}
	}
	s.kills.ids[id] = true
	return func() {
		s.kills.mu.Lock()
		defer s.kills.mu.Unlock()
		delete(s.kills.ids, id)
	}
}

func (s *Service) isUnderWay(id string) bool {
	s.kills.mu.Lock()
	defer s.kills.mu.Unlock()
	return s.kills.ids[id]
}

// monkeyEvery is the longest pause between two looks at the applications: settings
// that were applied, and days that begin, are seen within it.
const monkeyEvery = 15 * time.Second

// RunMonkey draws the schedules and carries the kills out, until ctx ends. Every
// control plane of a database runs one: each kill is carried out by one of them.
func (s *Service) RunMonkey(ctx context.Context) {
	for ctx.Err() == nil {
		next, err := s.monkeyTurn(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("Chaos Monkey's schedule could not be looked at", "error", err)
		}
		timer := time.NewTimer(max(10*time.Millisecond, min(monkeyEvery, next.Sub(s.Now()))))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.wakeMonkey:
		}
		timer.Stop()
	}
}

// monkeyTurn draws what is to be drawn and carries out what is due, and returns when
// the next kill is due.
func (s *Service) monkeyTurn(ctx context.Context) (next time.Time, err error) {
	next = s.Now().Add(monkeyEvery)
	var problems []error
	over, err := s.tendFaults(ctx)
	if err != nil {
		problems = append(problems, err)
	}
	if !over.IsZero() && over.Before(next) {
		next = over
	}
	apps, err := s.chaosApplications(ctx)
	if err != nil {
		return next, err
	}
	for application, settings := range apps {
		if err := s.draw(ctx, application, settings); err != nil {
			problems = append(problems, err)
		}
	}
	states, err := s.monkeyStates(ctx)
	if err != nil {
		return next, err
	}
	for _, application := range states {
		due, err := s.monkeyDue(ctx, application)
		if err != nil {
			problems = append(problems, err)
		}
		if !due.IsZero() && due.Before(next) {
			next = due
		}
	}
	return next, problem.Together(problems...)
}

// monkeyStates are the applications that have a schedule or kills: also those whose
// settings have gone since.
func (s *Service) monkeyStates(ctx context.Context) ([]string, error) {
	var names []string
	const page = 200
	for after := ""; ; {
		recs, err := s.Records.ListRecords(ctx, monkeyRecords, "", after, page)
		if err != nil {
			return nil, problem.Wrap(err, "", "chaos.monkey", "listing the schedules")
		}
		for _, rec := range recs {
			after = rec.Key
			names = append(names, rec.Key)
		}
		if len(recs) < page {
			return names, nil
		}
	}
}

// monkeyDue carries out an application's kills that are due, finishes those that
// were begun and have no outcome, and returns when the next one is due, zero for
// none.
func (s *Service) monkeyDue(ctx context.Context, application string) (next time.Time, err error) {
	st, _, err := s.monkeyState(ctx, application)
	if err != nil {
		return next, err
	}
	var problems []error
	now := s.Now()
	for _, k := range st.Kills {
		switch {
		case k.Outcome == KillScheduled && !k.Due.After(now):
			problems = append(problems, s.carryOut(ctx, application, k.ID))
		case k.Outcome == KillScheduled && (next.IsZero() || k.Due.Before(next)):
			next = k.Due
		case k.Outcome == KillBegun && s.mine(ctx, k):
			problems = append(problems, s.finishKill(ctx, k, true))
		}
	}
	return next, problem.Together(slices.DeleteFunc(problems, func(err error) bool { return err == nil })...)
}

// mine tells whether a kill that was begun is this control plane's to finish: its own,
// or that of one that is gone.
func (s *Service) mine(ctx context.Context, k ChaosKill) bool {
	if s.isUnderWay(k.ID) {
		return false
	}
	if s.Replicas == nil || k.Owner == "" || k.Owner == s.Replicas.Owner() {
		return true
	}
	lives, err := s.Replicas.Lives(ctx, k.Owner)
	return err == nil && !lives
}

// MonkeyDay is a day's schedule of one application.
type MonkeyDay struct {
	Application string      `json:"application"`
	Day         monkey.Date `json:"day"`
	Zone        string      `json:"zone"`
	Drawn       time.Time   `json:"drawn"`
	Groups      int         `json:"groups"` // that were drawn for
	Kills       []ChaosKill `json:"kills"`
}

// MonkeySchedule lists the days that were drawn, the newest first, with their kills
// by time. An empty application is every one.
func (s *Service) MonkeySchedule(ctx context.Context, p Principal, application string) ([]MonkeyDay, error) {
	list := []MonkeyDay{}
	err := s.eachMonkeyState(ctx, p, application, func(name string, st monkeyState) {
		for _, d := range st.Days {
			day := MonkeyDay{Application: name, Day: d.Day, Zone: d.Zone, Drawn: d.Drawn, Groups: d.Groups, Kills: []ChaosKill{}}
			for _, k := range st.Kills {
				if k.Day == d.Day && !k.OnDemand {
					day.Kills = append(day.Kills, k)
				}
			}
			slices.SortStableFunc(day.Kills, func(a, b ChaosKill) int { return a.Due.Compare(b.Due) })
			list = append(list, day)
		}
	})
	slices.SortStableFunc(list, func(a, b MonkeyDay) int {
		if a.Day == b.Day {
			return 0
		}
		if a.Day.Before(b.Day) {
			return 1
		}
		return -1
	})
	return list, err
}

// MonkeyHistory lists the kills that ended or were begun, the newest first. An empty
// application is every one; limit 0 is all that are kept.
func (s *Service) MonkeyHistory(ctx context.Context, p Principal, application string, limit int) ([]ChaosKill, error) {
	list := []ChaosKill{}
	err := s.eachMonkeyState(ctx, p, application, func(_ string, st monkeyState) {
		for _, k := range st.Kills {
			if k.Outcome != KillScheduled {
				list = append(list, k)
			}
		}
	})
	slices.SortStableFunc(list, func(a, b ChaosKill) int { return b.when().Compare(a.when()) })
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list, err
}

// when is the time that a kill is listed by.
func (k ChaosKill) when() time.Time {
	if k.Begun.IsZero() {
		return k.Ended
	}
	return k.Begun
}

func (s *Service) eachMonkeyState(ctx context.Context, p Principal, application string, each func(string, monkeyState)) error {
	if err := s.permit(p, opRead, Subject{Kind: KindChaos, Application: application}); err != nil {
		return err
	}
	names := []string{application}
	if application == "" {
		var err error
		if names, err = s.monkeyStates(ctx); err != nil {
			return err
		}
	}
	for _, name := range names {
		st, version, err := s.monkeyState(ctx, name)
		if err != nil {
			return err
		}
		if application != "" && version == 0 {
			return s.KnownApplication(ctx, name)
		}
		each(name, st)
	}
	return nil
}

// MonkeyEligible says of each instance of an application whether a kill could choose
// it now, and why not. Errors: not_found, unavailable, denied.
func (s *Service) MonkeyEligible(ctx context.Context, p Principal, r ChaosRequest) (monkey.Decision, error) {
	if err := s.permit(p, opRead, applicationSubject(r.Application)); err != nil {
		return monkey.Decision{}, err
	}
	if r.Account == "" {
		r.Account = DefaultAccount
	}
	if err := s.knowChaosTarget(ctx, p, r); err != nil {
		return monkey.Decision{}, err
	}
	var answer ChaosNow
	r.DryRun = true
	if err := s.chooseNow(ctx, p, r, "eligible", &answer); err != nil && problem.CodeOf(err) != problem.Precondition {
		return monkey.Decision{}, err
	}
	d := monkey.Decision{Outcome: monkey.Kills, Check: answer.Kill.Check, Reason: answer.Kill.Reason, Choices: answer.Choices}
	if answer.Kill.Outcome == KillRefused {
		d.Outcome = monkey.Refused
	}
	return d, nil
}
