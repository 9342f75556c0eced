package journal

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sync"
	"time"

	"showrunner/problem"
)

// Age is how long an entry is kept after its last change. A pending entry that is
// forgotten is new when its key is used again.
const Age = 30 * 24 * time.Hour

// ID identifies an entry. A key counts within one region of one account; Region
// is empty for operations on the account as a whole.
type ID struct {
	Account string
	Region  string
	Key     string
}

// Request is what a key stands for.
type Request struct {
	// Operation names the operation ("create-server-group").
	Operation string
	// Fingerprint identifies the rest of the request; see Fingerprint.
	Fingerprint string
}

// Entry is what is known of a key.
type Entry struct {
	Request Request
	Done    bool   // false: pending; nobody knows whether the change happened
	Answer  []byte // as the operation returned it; only when Done
}

// Store keeps entries. Every write is durable before the method returns.
// Errors: unavailable.
type Store interface {
	// BeginOperation creates a pending entry, and returns it with created true.
	// An entry that exists already is returned as it is.
	BeginOperation(ctx context.Context, id ID, r Request) (e Entry, created bool, err error)
	// FinishOperation makes the entry done, with its answer. An entry that is done
	// already stays as it is; one that is missing is created.
	FinishOperation(ctx context.Context, id ID, r Request, answer []byte) error
	// DropOperation removes a pending entry. One that is done, or missing, is left.
	DropOperation(ctx context.Context, id ID) error
	// ForgetOperations removes the entries that have not changed since a time, and
	// returns how many those were.
	ForgetOperations(ctx context.Context, before time.Time) (int, error)
}

// Journal carries out operations through a store. It is safe for use by several
// goroutines, and by several replicas on one store: two calls with one key take
// turns within a process; over processes both may ask the driver, which by its
// own contract acts once for each key.
type Journal struct {
	store Store

	mu    sync.Mutex
	turns map[ID]*turn
}

// New makes a journal over a store.
func New(s Store) *Journal { return &Journal{store: s, turns: map[ID]*turn{}} }

// Act asks the driver for a change. again says that the driver may have been
// asked for it before, under the same key, and that the answer is not known.
type Act[T any] func(ctx context.Context, again bool) (T, error)

// finishTimeout is how long recording an answer may take after the caller has
// given up: an answer that is known is worth keeping.
const finishTimeout = 5 * time.Second

// Do carries out act once for id, and returns what it returned the first time.
// T is kept as JSON. Errors: invalid without a key; conflict when the key stands
// for another request; unavailable when it is not known whether the change
// happened or its answer could not be recorded, and the same key has to be used
// again; those of act.
func Do[T any](ctx context.Context, j *Journal, id ID, r Request, act Act[T]) (answer T, err error) {
	op := "cloud." + r.Operation
	if id.Key == "" {
		return answer, problem.New(problem.Invalid, op, "the operation has no idempotency key")
	}
	done, err := j.wait(ctx, id)
	if err != nil {
		return answer, problem.Wrap(err, problem.Unavailable, op, "waiting for another call with the key %q", id.Key)
	}
	defer done()
	entry, created, err := j.store.BeginOperation(ctx, id, r)
	if err != nil {
		return answer, problem.Wrap(err, "", op, "recording the intent of the key %q; nothing was changed", id.Key)
	}
	if entry.Request != r {
		return answer, problem.New(problem.Conflict, op, "the key %q was used for another request (%s)", id.Key, entry.Request.Operation).
			WithHelp("Use a new key for a new request.")
	}
	if entry.Done {
		if err := json.Unmarshal(entry.Answer, &answer); err != nil {
			return answer, problem.Wrap(err, problem.Internal, op, "the recorded answer of the key %q is damaged", id.Key)
		}
		return answer, nil
	}
	return carryOut(ctx, j, id, r, !created, act)
}

// carryOut asks the driver and records what it answered.
func carryOut[T any](ctx context.Context, j *Journal, id ID, r Request, again bool, act Act[T]) (T, error) {
	op := "cloud." + r.Operation
	answer, err := act(ctx, again)
	if err != nil && !refused(err) {
		return answer, err // pending: the next call asks again
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err != nil {
		// An entry that cannot be dropped stays pending, which is harmless: the next
		// call asks the driver.
		_ = j.store.DropOperation(record, id)
		return answer, err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return answer, problem.Wrap(err, problem.Internal, op, "the answer cannot be written down")
	}
	if err := j.store.FinishOperation(record, id, r, text); err != nil {
		return answer, problem.Wrap(err, problem.Unavailable, op, "the change was made, and its answer could not be recorded").
			WithHelp("Ask again with the same key.")
	}
	return answer, nil
}

// refused tells whether an error says that nothing was changed. Unavailable and
// internal errors, and those that have no code, leave that open.
func refused(err error) bool {
	switch problem.CodeOf(err) {
	case problem.Invalid, problem.NotFound, problem.Conflict, problem.Denied, problem.Precondition:
		return true
	}
	return false
}

// Fingerprint identifies a request by its JSON. Leave out what the key does not
// stand for, such as the values of secrets.
func Fingerprint(request any) (string, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return "", problem.Wrap(err, problem.Invalid, "cloud.journal", "the request cannot be written down")
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// turn is held by the call that works on a key now.
type turn struct {
	free    chan struct{} // holds one value while nobody works
	waiting int
}

// wait waits until no other call of this process works on id. The call that gets
// its turn has to end it.
func (j *Journal) wait(ctx context.Context, id ID) (end func(), err error) {
	j.mu.Lock()
	t := j.turns[id]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		j.turns[id] = t
	}
	t.waiting++
	j.mu.Unlock()
	leave := func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if t.waiting--; t.waiting == 0 {
			delete(j.turns, id)
		}
	}
	select {
	case <-t.free:
		return func() { t.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
