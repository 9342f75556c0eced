package control

import (
	"context"

	"showrunner/problem"
)

// End is the present end of the event log: what is read from there on is new.
func (s *Service) End(ctx context.Context) (int64, error) {
	end, err := s.Engine.End(ctx)
	if err != nil {
		return 0, problem.Wrap(err, "", "events", "finding the end of the event log")
	}
	return end, nil
}

// Backup lets copy take a copy of the state, and leaves its trace. Errors: denied.
func (s *Service) Backup(ctx context.Context, p Principal, copy func(ctx context.Context) error) error {
	if err := s.allow(p, opBackup, "the state"); err != nil {
		return err
	}
	return s.did(ctx, p, opBackup, "", "the state", nil, copy(ctx))
}
