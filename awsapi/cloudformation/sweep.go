package cloudformation

import (
	"context"
	"time"

	"showrunner/problem"
)

const (
	// deletedFor is how long a deleted stack can be looked at, as on AWS.
	deletedFor = 90 * 24 * time.Hour
	// sweepEvery is how often old ones are looked for.
	sweepEvery = time.Hour
)

// Sweep removes what is left of stacks that were deleted long ago. The stack goes
// last, so that a crash leaves what the next sweep finds.
func (s *Stacks) Sweep(ctx context.Context) error {
	for e, err := range s.stacks.All(ctx, "") {
		if err != nil {
			return err
		}
		d := &e.Doc
		if d.Status != deleteComplete || s.Now().Sub(d.Deleted) < deletedFor {
			continue
		}
		if err := s.bury(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stacks) bury(ctx context.Context, d *stack) error {
	sets, err := s.changeSetsOf(ctx, d)
	if err != nil {
		return err
	}
	for _, set := range sets {
		if err := s.forget(ctx, set.Target); err != nil {
			return err
		}
		if err := there(s.changeSets.Delete(ctx, set.key(), nil)); err != nil {
			return err
		}
	}
	for e, err := range s.chunks.All(ctx, d.key()+"/") {
		if err == nil {
			err = there(s.chunks.Delete(ctx, e.Key, nil))
		}
		if err != nil {
			return err
		}
	}
	return there(s.stacks.Delete(ctx, d.key(), nil))
}

// there is an error that is not that something is gone already.
func there(err error) error {
	if problem.CodeOf(err) == problem.NotFound {
		return nil
	}
	return err
}
