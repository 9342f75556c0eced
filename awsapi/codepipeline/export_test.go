package codepipeline

import "context"

// SettleAll settles every pipeline.
func (s *Service) SettleAll(ctx context.Context) bool { return s.settleAll(ctx) }

// TryStop sees to a stop once.
func (s *Service) TryStop(ctx context.Context, id string) (bool, error) { return s.tryStop(ctx, id) }
