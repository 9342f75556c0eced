package store

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"showrunner/cloud/journal"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// Fault is what is done to the calls of a store, to see what happens when its database is
// ill.
type Fault struct {
	ID string
	// Away refuses every call, as of a database that cannot be reached.
	Away bool
	// Latency, plus a time that is uniform in [-Jitter, Jitter), is what each change takes
	// longer, as on a slow disk.
	Latency, Jitter time.Duration
	// Until is when it is over by itself. The fault is in memory alone: it also ends with
	// the process.
	Until time.Time
}

// Faulty is a store whose calls faults can hit. It is safe for use by several goroutines.
type Faulty struct {
	Store
	now func() time.Time

	mu      sync.Mutex
	faults  map[string]Fault
	changed chan struct{} // closed and replaced when one ends
}

// NewFaulty stands before a store. Without a fault each call costs a look at a mutex.
func NewFaulty(s Store, now func() time.Time) *Faulty {
	return &Faulty{Store: s, now: now, faults: map[string]Fault{}, changed: make(chan struct{})}
}

// Begin begins a fault; one with the same name is replaced.
func (s *Faulty) Begin(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[f.ID] = f
}

// End ends a fault at once; one that is over is success.
func (s *Faulty) End(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, id)
	close(s.changed)
	s.changed = make(chan struct{})
}

// Has says whether a fault hits calls now.
func (s *Faulty) Has(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.faults[id]
	return ok && s.now().Before(f.Until)
}

type directKey struct{}

// Direct returns a context whose calls no fault hits: those that end faults, and keep the
// record of them.
func (s *Faulty) Direct(ctx context.Context) context.Context {
	return context.WithValue(ctx, directKey{}, true)
}

// hit applies the faults to a call, and refuses it or returns when it may go on.
func (s *Faulty) hit(ctx context.Context, change bool) error {
	s.mu.Lock()
	if len(s.faults) == 0 || ctx.Value(directKey{}) != nil {
		s.mu.Unlock()
		return nil
	}
	now := s.now()
	var wait time.Duration
	var away *Fault
	for id, f := range s.faults {
		switch {
		case !now.Before(f.Until):
			delete(s.faults, id)
		case f.Away:
			away = &f
		case change:
			wait += min(f.Latency+time.Duration((2*rand.Float64()-1)*float64(f.Jitter)), f.Until.Sub(now))
		}
	}
	changed := s.changed
	s.mu.Unlock()
	if away != nil {
		err := problem.New(problem.Unavailable, "store", "the database cannot be reached: fault %s keeps it away until %s", away.ID, away.Until.UTC().Format("15:04:05"))
		err.RetryAfter = time.Second
		return err
	}
	if wait <= 0 {
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-changed: // what is left of the others does not matter
	case <-ctx.Done():
		return problem.Wrap(context.Cause(ctx), problem.Unavailable, "store", "the call ended before the database answered")
	}
	return nil
}

// Join implements execution.Store.
func (s *Faulty) Join(ctx context.Context, now func() time.Time) (execution.Session, error) {
	if err := s.hit(ctx, true); err != nil {
		return nil, err
	}
	joined, err := s.Store.Join(ctx, now)
	if err != nil {
		return nil, err
	}
	return faultySession{joined, s}, nil
}

// Load implements execution.Store.
func (s *Faulty) Load(ctx context.Context, id string) (out execution.Snapshot, err error) {
	if err = s.hit(ctx, false); err == nil {
		out, err = s.Store.Load(ctx, id)
	}
	return out, err
}

// Plan implements execution.Store.
func (s *Faulty) Plan(ctx context.Context, digest string) (out []byte, err error) {
	if err = s.hit(ctx, false); err == nil {
		out, err = s.Store.Plan(ctx, digest)
	}
	return out, err
}

// List implements execution.Store.
func (s *Faulty) List(ctx context.Context, q execution.Query) (heads []execution.Head, next string, err error) {
	if err = s.hit(ctx, false); err == nil {
		heads, next, err = s.Store.List(ctx, q)
	}
	return heads, next, err
}

// ReadEvents implements execution.Store.
func (s *Faulty) ReadEvents(ctx context.Context, from int64, f record.Filter, limit int) (out record.Slice, err error) {
	if err = s.hit(ctx, false); err == nil {
		out, err = s.Store.ReadEvents(ctx, from, f, limit)
	}
	return out, err
}

// Prune implements execution.Store.
func (s *Faulty) Prune(ctx context.Context, p execution.Retention, now time.Time, archive func([]record.Event) error) (removed int, done bool, err error) {
	if err = s.hit(ctx, true); err == nil {
		removed, done, err = s.Store.Prune(ctx, p, now, archive)
	}
	return removed, done, err
}

// BeginOperation implements journal.Store.
func (s *Faulty) BeginOperation(ctx context.Context, id journal.ID, r journal.Request) (e journal.Entry, created bool, err error) {
	if err = s.hit(ctx, true); err == nil {
		e, created, err = s.Store.BeginOperation(ctx, id, r)
	}
	return e, created, err
}

// FinishOperation implements journal.Store.
func (s *Faulty) FinishOperation(ctx context.Context, id journal.ID, r journal.Request, answer []byte) error {
	if err := s.hit(ctx, true); err != nil {
		return err
	}
	return s.Store.FinishOperation(ctx, id, r, answer)
}

// DropOperation implements journal.Store.
func (s *Faulty) DropOperation(ctx context.Context, id journal.ID) error {
	if err := s.hit(ctx, true); err != nil {
		return err
	}
	return s.Store.DropOperation(ctx, id)
}

// ForgetOperations implements journal.Store.
func (s *Faulty) ForgetOperations(ctx context.Context, before time.Time) (n int, err error) {
	if err = s.hit(ctx, true); err == nil {
		n, err = s.Store.ForgetOperations(ctx, before)
	}
	return n, err
}

// GetRecord implements Store.
func (s *Faulty) GetRecord(ctx context.Context, collection, key string) (r record.Record, err error) {
	if err = s.hit(ctx, false); err == nil {
		r, err = s.Store.GetRecord(ctx, collection, key)
	}
	return r, err
}

// PutRecord implements Store.
func (s *Faulty) PutRecord(ctx context.Context, r record.Record, events ...record.Event) (out record.Record, err error) {
	if err = s.hit(ctx, true); err == nil {
		out, err = s.Store.PutRecord(ctx, r, events...)
	}
	return out, err
}

// DeleteRecord implements Store.
func (s *Faulty) DeleteRecord(ctx context.Context, collection, key string, version int64, events ...record.Event) error {
	if err := s.hit(ctx, true); err != nil {
		return err
	}
	return s.Store.DeleteRecord(ctx, collection, key, version, events...)
}

// ListRecords implements Store.
func (s *Faulty) ListRecords(ctx context.Context, collection, prefix, after string, limit int) (list []record.Record, err error) {
	if err = s.hit(ctx, false); err == nil {
		list, err = s.Store.ListRecords(ctx, collection, prefix, after, limit)
	}
	return list, err
}

// AppendEvents implements Store.
func (s *Faulty) AppendEvents(ctx context.Context, events ...record.Event) error {
	if err := s.hit(ctx, true); err != nil {
		return err
	}
	return s.Store.AppendEvents(ctx, events...)
}

// Peers implements Store.
func (s *Faulty) Peers(ctx context.Context) (n int, err error) {
	if err = s.hit(ctx, false); err == nil {
		n, err = s.Store.Peers(ctx)
	}
	return n, err
}

// Lives implements Store.
func (s *Faulty) Lives(ctx context.Context, owner string) (lives bool, err error) {
	if err = s.hit(ctx, false); err == nil {
		lives, err = s.Store.Lives(ctx, owner)
	}
	return lives, err
}

// Backup implements Store.
func (s *Faulty) Backup(ctx context.Context, w io.Writer) error {
	if err := s.hit(ctx, false); err != nil {
		return err
	}
	return s.Store.Backup(ctx, w)
}

// faultySession is an engine's session whose calls faults can hit.
type faultySession struct {
	execution.Session
	store *Faulty
}

// Commit implements execution.Session.
func (s faultySession) Commit(ctx context.Context, batch []*execution.Change) error {
	if err := s.store.hit(ctx, true); err != nil {
		return err
	}
	return s.Session.Commit(ctx, batch)
}

// Adopt implements execution.Session.
func (s faultySession) Adopt(ctx context.Context, own bool) (claims []execution.Claim, more bool, err error) {
	if err = s.store.hit(ctx, true); err == nil {
		claims, more, err = s.Session.Adopt(ctx, own)
	}
	return claims, more, err
}

// Due implements execution.Session.
func (s faultySession) Due(ctx context.Context, before time.Time) (list []execution.Due, err error) {
	if err = s.store.hit(ctx, false); err == nil {
		list, err = s.Session.Due(ctx, before)
	}
	return list, err
}

// Mail implements execution.Session.
func (s faultySession) Mail(ctx context.Context, id string, after int64) (list []execution.Mail, err error) {
	if err = s.store.hit(ctx, false); err == nil {
		list, err = s.Session.Mail(ctx, id, after)
	}
	return list, err
}

// Announce implements execution.Session.
func (s faultySession) Announce(ctx context.Context, n execution.Notice) error {
	if err := s.store.hit(ctx, false); err != nil {
		return err
	}
	return s.Session.Announce(ctx, n)
}

// Leave implements execution.Session. No fault hits it: it is called when the process
// ends, and the fault with it.
func (s faultySession) Leave(ctx context.Context) error { return s.Session.Leave(s.store.Direct(ctx)) }
