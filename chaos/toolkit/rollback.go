package toolkit

import (
	"cmp"
	"context"
	"strings"
	"sync"
	"time"

	"showrunner/problem"
)

// undoLimit bounds the rollbacks of a run that is interrupted.
const undoLimit = 10 * time.Minute

// Rollback runs the rollbacks of a run whose process died, and ends its journal.
// Errors: invalid, conflict when the journal's run has ended, and those of Record.
func (e *Experiment) Rollback(ctx context.Context, j *Journal, o Options) (*Journal, error) {
	if j.Status != Running {
		return nil, problem.New(problem.Conflict, "chaos.toolkit", "the run of this journal has ended with status %s", j.Status).
			WithHelp("only a run whose process died is rolled back from its journal")
	}
	r, err := e.newRunner(ctx, o)
	if err != nil {
		return nil, err
	}
	j.Status, r.journal = Interrupted, j
	r.note("the process died; the rollbacks were run from its journal")
	r.rollbacks(ctx)
	return r.end(nil)
}

// rollsBack says whether the rollbacks run, by the strategy.
func (r *runner) rollsBack() bool {
	switch cmp.Or(r.options.Rollbacks, r.choices.rollbacks, RollbacksAlways) {
	case RollbacksNever:
		return false
	case RollbacksDeviated:
		return r.journal.Deviated
	case RollbacksDefault:
		return r.journal.Status != Failed && r.journal.Status != Interrupted
	}
	return true
}

// rollbacks undo, one after the other; one that fails does not stop the next.
func (r *runner) rollbacks(ctx context.Context) {
	results := make([]Result, len(r.Rollbacks))
	var background sync.WaitGroup
	for i, a := range r.Rollbacks {
		if a.Background {
			background.Go(func() { results[i] = r.masked(r.carry(ctx, a)) })
			continue
		}
		results[i] = r.masked(r.carry(ctx, a))
	}
	background.Wait()
	for i := range results {
		if results[i].failed() {
			r.note("the rollback %s failed: %s", r.Rollbacks[i].Name, strings.Join(results[i].Exception, "; "))
		}
	}
	_ = r.keep(results, &r.journal.Rollbacks) // the end of the journal is recorded after this, and its error told
}
