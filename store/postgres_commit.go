package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"showrunner/execution"
	"showrunner/problem"
)

// pgExecutor is a pool, a connection or a transaction.
type pgExecutor interface {
	Exec(ctx context.Context, text string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, text string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, text string, args ...any) pgx.Row
}

// commitTimeout is how long a batch may take before it is asked what became of
// it; a database that hangs is then known to be unreachable.
const commitTimeout = 10 * time.Second

// Commit implements execution.Session. All but the rare changes go in one call,
// which is one transaction. After an error it is not known whether that
// was committed; the same batch has to be given again, and then its number in
// the replica's row tells.
func (s *pgSession) Commit(ctx context.Context, batch []*execution.Change) error {
	if s.isLost() {
		return execution.ErrLost
	}
	var common, rare []*execution.Change
	for _, c := range batch {
		c.Err = nil
		if c.Revive || c.Strict {
			rare = append(rare, c)
		} else {
			common = append(common, c)
		}
	}
	if !s.inDoubt {
		s.batch++
	}
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	if err := s.commitBatch(ctx, common); err != nil {
		return err
	}
	for _, c := range rare {
		if err := s.commitConditional(ctx, c); err != nil {
			return err
		}
	}
	s.inDoubt = false
	var last int64
	for _, c := range batch {
		last = max(last, c.Last)
	}
	s.announceGrowth(last)
	return nil
}

func (s *pgSession) commitBatch(ctx context.Context, changes []*execution.Change) error {
	const op = "store.commit"
	if len(changes) == 0 {
		return nil
	}
	if s.inDoubt {
		done, err := s.wasCommitted(ctx, changes)
		if done || err != nil {
			return err
		}
	}
	for {
		s.inDoubt = true
		err := s.send(ctx, changes)
		switch {
		case err == nil:
			return nil
		case isCode(err, "SR001"):
			s.markLost()
			return execution.ErrLost
		case isCode(err, "40P01"), isCode(err, "40001"): // it was rolled back for another's sake
			continue
		case isCode(err, "SR003"): // what we had given up on was committed after all
			done, err := s.wasCommitted(ctx, changes)
			if !done && err == nil {
				err = problem.New(problem.Unavailable, op, "the database does not say whether a batch was committed")
			}
			return err
		case isCode(err, "SR002"):
			kept, ferr := s.refuseFenced(ctx, changes)
			if ferr != nil {
				return pgError(ferr, op)
			}
			if len(kept) == 0 {
				return nil
			}
			changes = kept
		default:
			return pgError(err, op)
		}
	}
}

// wasCommitted finds out whether a batch whose answer was lost was committed, and
// fills in the results of its creations.
func (s *pgSession) wasCommitted(ctx context.Context, changes []*execution.Change) (bool, error) {
	const op = "store.commit"
	var number int64
	err := s.store.pool.QueryRow(ctx, `SELECT batch FROM replica WHERE id = $1`, s.owner).Scan(&number)
	if errors.Is(err, pgx.ErrNoRows) {
		s.markLost()
		return false, execution.ErrLost
	}
	if err != nil || number != s.batch {
		return false, pgError(err, op)
	}
	for _, c := range changes {
		if c.Create == nil {
			continue
		}
		id := c.ID
		if r := c.Create.Head.Request; r.EventID != "" {
			if err := s.store.pool.QueryRow(ctx, `SELECT execution FROM trigger_event WHERE trigger = $1 AND event = $2`, r.TriggerID, r.EventID).Scan(&id); err != nil {
				return false, pgError(err, op)
			}
		}
		if c.Head2, err = s.store.head(ctx, s.store.pool, id); err != nil {
			return false, err
		}
		c.Existed = id != c.ID
	}
	return true, nil
}

// refuseFenced refuses the changes of executions that are no longer this session's,
// and returns the rest.
func (s *pgSession) refuseFenced(ctx context.Context, changes []*execution.Change) ([]*execution.Change, error) {
	f := fences(changes)
	rows, err := s.store.pool.Query(ctx, `SELECT id, epoch FROM execution WHERE id = ANY ($1) AND owner = $2 AND live = 1`, f.ids, s.owner)
	if err != nil {
		return nil, err
	}
	mine := map[string]int64{}
	var id string
	var epoch int64
	if _, err := pgx.ForEachRow(rows, []any{&id, &epoch}, func() error { mine[id] = epoch; return nil }); err != nil {
		return nil, err
	}
	var kept []*execution.Change
	for _, c := range changes {
		if e, ok := mine[c.ID]; fenced(c) && (!ok || e != c.Epoch) {
			c.Err = execution.ErrFenced
		} else {
			kept = append(kept, c)
		}
	}
	return kept, nil
}

// send commits a batch in one round trip.
func (s *pgSession) send(ctx context.Context, changes []*execution.Change) error {
	b, err := newPgBatch(s.owner, s.batch, changes)
	if err != nil {
		return err
	}
	return b.commit(ctx, s.store.pool)
}

// fenced tells whether a change is one of an execution that has to be ours.
func fenced(c *execution.Change) bool {
	return c.Create == nil && (len(c.Stages) > 0 || c.Head != nil)
}

// fences are the executions that have to be ours, with their epochs, once each.
// One that is created in the batch is not there yet when that is looked at.
func fences(changes []*execution.Change) (f fenceColumns) {
	seen := make(map[string]bool, len(changes))
	for _, c := range changes {
		if c.Create != nil {
			seen[c.ID] = true
		}
	}
	for _, c := range changes {
		if fenced(c) && !seen[c.ID] {
			seen[c.ID] = true
			f.ids, f.epochs = append(f.ids, c.ID), append(f.epochs, c.Epoch)
		}
	}
	return f
}
