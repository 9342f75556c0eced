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
