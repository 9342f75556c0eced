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

// Backup lets copy take a copy of the state. Errors: denied, and those of copy.
func (s *Service) Backup(ctx context.Context, p Principal, copy func(ctx context.Context) error) error {
	return s.perform(ctx, p, opBackup, Subject{Kind: KindControl}, nil, func() (map[string]any, error) {
		return nil, copy(ctx)
	})
}

// SignInLink lets link make a link that signs a browser in as the principal. Errors: denied.
func (s *Service) SignInLink(ctx context.Context, p Principal, link func() string) (path string, err error) {
	err = s.perform(ctx, p, opSignIn, Subject{Kind: KindControl}, nil, func() (map[string]any, error) {
		path = link()
		return nil, nil
	})
	return path, err
}
