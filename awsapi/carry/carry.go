// Package carry has what services of AWS share that act on server groups: what is
// recorded and not done is carried out, again after a crash, by the same key.
//
// It owns when a region is looked at, the order in which recorded actions are asked
// for, and what the clusters of AWS's resources are called. It refuses to know what
// the actions are.
package carry

import (
	"context"
	"log/slog"
	"time"

	"showrunner/cloud"
	"showrunner/problem"
)

// Watcher tells when a region changes.
type Watcher interface {
	WaitChanges(ctx context.Context, region string, revision uint64) (cloud.Changes, error)
}

// Loop calls Once for each region when the region changes, and every so often.
type Loop struct {
	Watcher Watcher
	Regions []string
	Every   time.Duration
	Once    func(ctx context.Context, region string) error
	What    string // that is carried on, for the log
	Log     *slog.Logger
}

// Run runs the loop until ctx ends.
func (l Loop) Run(ctx context.Context) {
	done := make(chan struct{})
	for _, region := range l.Regions {
		go func() {
			l.follow(ctx, region)
			done <- struct{}{}
		}()
	}
	for range l.Regions {
		<-done
	}
}

// follow is Run for one region.
func (l Loop) follow(ctx context.Context, region string) {
	var revision uint64
	for ctx.Err() == nil {
		if err := l.Once(ctx, region); err != nil && ctx.Err() == nil {
			l.Log.Warn("carrying on with "+l.What, "region", region, "error", err)
		}
		wait, cancel := context.WithTimeout(ctx, l.Every)
		changes, err := l.Watcher.WaitChanges(wait, region, revision)
		if err == nil {
			revision = changes.Revision
		} else if problem.CodeOf(err) == problem.Unavailable || wait.Err() == nil {
			<-wait.Done() // a region that is unreachable is not asked at once again
		}
		cancel()
	}
}

// Queue carries out the actions A of documents D, which hold them in their order.
type Queue[D, A any] struct {
	// First is the action that is to be asked for next; false when there is none.
	First func(D) (A, bool)
	// Act asks the region for an action by its key. made is what a creation made.
	Act func(ctx context.Context, d *D, a A) (made string, err error)
	// Strike removes an action from the document, and keeps what was made and why the
	// action will never be done, if that is so.
	Strike func(ctx context.Context, d D, a A, made string, failed error) (D, error)
	// Makes says whether an action makes what others need: only then it is an error
	// that something is not there.
	Makes func(A) bool
}

// Drain asks the region for what a document says is still to be asked, one action
// after the other, and strikes it out. It may be called again for the same, by
// several at once. The error is of an action that is tried again, because a region is
// unreachable or nobody knows whether it was done, or of one that was refused and will
// never be done.
func (q Queue[D, A]) Drain(ctx context.Context, d D) (D, error) {
	for {
		a, ok := q.First(d)
		if !ok {
			return d, nil
		}
		made, err := q.Act(ctx, &d, a)
		switch code := problem.CodeOf(err); {
		case err == nil, code == problem.NotFound && !q.Makes(a): // it went away meanwhile
			err = nil
		case code == problem.Unavailable, ctx.Err() != nil, !q.Makes(a) && !refused(code):
			return d, err // struck out, it would never be done, and what was to go would stay
		}
		struck, strike := q.Strike(ctx, d, a, made, err)
		if strike != nil || err != nil {
			if strike != nil {
				err = strike
			}
			return struck, err
		}
		d = struck
	}
}

// refused says whether the code of an error proves that an action was not done and
// will not be done either when it is asked for again.
func refused(code problem.Code) bool {
	switch code {
	case problem.Invalid, problem.NotFound, problem.Conflict, problem.Denied, problem.Precondition:
		return true
	}
	return false
}
