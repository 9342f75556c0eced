package control

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

// chaosRecords holds the lever (leverKey) and the seed of the schedules (seedKey).
const (
	chaosRecords = "chaos"
	leverKey     = "lever"
	seedKey      = "seed"
)

// ChaosLever is the one switch that stops all chaos: while it is pulled nothing is
// started by anybody, and what runs is ended.
type ChaosLever struct {
	Stopped bool      `json:"stopped"`
	Reason  string    `json:"reason,omitempty"`
	By      string    `json:"by,omitempty"`
	At      time.Time `json:"at,omitzero"` // of the last change
}

// text says the reason for people, "" when chaos is not stopped.
func (l ChaosLever) text() string {
	if !l.Stopped {
		return ""
	}
	return l.Reason + " (" + l.By + ", " + l.At.UTC().Format(time.RFC3339) + ")"
}

func (s *Service) lever(ctx context.Context) (ChaosLever, int64, error) {
	rec, err := s.Records.GetRecord(ctx, chaosRecords, leverKey)
	if problem.CodeOf(err) == problem.NotFound {
		return ChaosLever{}, 0, nil
	}
	if err != nil {
		return ChaosLever{}, 0, err
	}
	var l ChaosLever
	if err := json.Unmarshal(rec.Data, &l); err != nil {
		return ChaosLever{}, 0, problem.Wrap(err, problem.Internal, "chaos.lever", "the stored form of the lever cannot be read").WithHelp("pull it again: showrunner chaos stop --reason WHY")
	}
	return l, rec.Version, nil
}

// ChaosLever reads the lever.
func (s *Service) ChaosLever(ctx context.Context, p Principal) (ChaosLever, error) {
	if err := s.permit(p, opRead, Subject{Kind: KindChaos}); err != nil {
		return ChaosLever{}, err
	}
	l, _, err := s.lever(s.direct(ctx))
	return l, err
}

// StopChaos pulls the lever: every fault is undone, and no kill and no fault happens
// from then on, until ReleaseChaos. A
// lever that is pulled already gets the new reason. Errors: invalid (no reason), denied.
func (s *Service) StopChaos(ctx context.Context, p Principal, reason string) (ChaosLever, error) {
	ctx = s.direct(ctx)
	reason = strings.TrimSpace(reason)
	l := ChaosLever{Stopped: true, Reason: reason, By: p.Name, At: s.Now().UTC()}
	err := s.setLever(ctx, p, opChaosStop, l, map[string]any{"reason": reason}, func() error {
		switch {
		case reason == "":
			return problem.New(problem.Invalid, opChaosStop, "no reason is given").WithHelp("say why: everybody whose chaos does not start will read it")
		case len(reason) > 1000:
			return problem.New(problem.Invalid, opChaosStop, "the reason is longer than 1,000 characters")
		}
		return nil
	})
	if err == nil {
		// What cannot be undone now, such as in a region that does not answer, is
		// tried again until it is.
		if _, err := s.tendFaults(ctx); err != nil {
			s.Log.Warn("a fault is not undone yet", "error", err)
		}
	}
	return l, err
}

// ReleaseChaos lets chaos start again. What was stopped is not started anew.
// Releasing a lever that is not pulled changes nothing. Errors: denied.
func (s *Service) ReleaseChaos(ctx context.Context, p Principal) (ChaosLever, error) {
	l := ChaosLever{By: p.Name, At: s.Now().UTC()}
	err := s.setLever(ctx, p, opChaosRelease, l, nil, func() error { return nil })
	return l, err
}

func (s *Service) setLever(ctx context.Context, p Principal, op string, l ChaosLever, details map[string]any, check func() error) error {
	return s.commit(ctx, p, op, Subject{Kind: KindChaos}, details, func(done record.Event) error {
		if err := check(); err != nil {
			return err
		}
		data, err := json.Marshal(l)
		if err != nil {
			return problem.Wrap(err, problem.Internal, op, "encoding the lever")
		}
		for {
			rec, err := s.Records.GetRecord(ctx, chaosRecords, leverKey) // a damaged one is replaced
			if err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
			_, err = s.Records.PutRecord(ctx, record.Record{Collection: chaosRecords, Key: leverKey, Version: rec.Version, Data: data}, done)
			if problem.CodeOf(err) == problem.Conflict && ctx.Err() == nil {
				continue
			}
			return err
		}
	})
}
