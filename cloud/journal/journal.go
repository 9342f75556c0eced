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

// Age is how long an entry is kept after its last change. After a pending entry
// is forgotten, its key is new again.
const Age = 30 * 24 * time.Hour

// ID identifies an entry. A key counts within one region of one account; Region
// is empty for operations on the account as a whole.
type ID struct {
	Account string
	Region  string
	Key     string
}

// Request is the request that a key stands for.
type Request struct {
	// Operation names the operation ("create-server-group").
	Operation string
	// Fingerprint identifies the rest of the request; see Fingerprint.
	Fingerprint string
}

// Entry is the record of a key.
type Entry struct {
	Request Request
	Done    bool   // false: pending, so it is unknown whether the change happened
	Answer  []byte // the operation's answer; only when Done
}

// Store keeps entries. Every write is durable before the method returns.
// Errors: unavailable.
type Store interface {
	// BeginOperation creates a pending entry, and returns it with created true.
	// An existing entry is returned unchanged.
	BeginOperation(ctx context.Context, id ID, r Request) (e Entry, created bool, err error)
	// FinishOperation makes the entry done, with its answer. An entry that is
	// already done stays unchanged; a missing one is created.
	FinishOperation(ctx context.Context, id ID, r Request, answer []byte) error
	// DropOperation removes a pending entry. It does nothing when the entry is
	// done or missing.
	DropOperation(ctx context.Context, id ID) error
	// ForgetOperations removes the entries that have not changed since a time,
	// and returns their number.
	ForgetOperations(ctx context.Context, before time.Time) (int, error)
}

// Journal carries out operations through a store. It is safe for use by several
// goroutines, and by several replicas on one store. Two calls with one key take
// turns within a process. In two processes both may call the driver, which by its
// own contract acts once for each key.
type Journal struct {
	store Store

	mu    sync.Mutex
	turns map[ID]*turn
}

// New makes a journal over a store.
func New(s Store) *Journal { return &Journal{store: s, turns: map[ID]*turn{}} }

// Act calls the driver for a change. again says that the driver may have been
// called before, under the same key, and that its answer is unknown.
type Act[T any] func(ctx context.Context, again bool) (T, error)

// finishTimeout is how long recording an answer may take after the caller has
// given up: a known answer is worth keeping.
const finishTimeout = 5 * time.Second

// Do carries out act once for id, and returns the first answer when it is
// repeated. T is stored as JSON. Errors: invalid without a key; conflict when the
// key stands for another request; unavailable when it is unknown whether the
// change happened, or when its answer could not be recorded (the caller then has
// to repeat the call with the same key); those of act.
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

// carryOut calls the driver and records its answer.
func carryOut[T any](ctx context.Context, j *Journal, id ID, r Request, again bool, act Act[T]) (T, error) {
	op := "cloud." + r.Operation
	answer, err := act(ctx, again)
	if err != nil && !refused(err) {
		return answer, err // pending: the next call reaches the driver again
	}
	record, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	if err != nil {
		// An entry that cannot be dropped stays pending. This is harmless: the
		// next call reaches the driver.
		_ = j.store.DropOperation(record, id)
		return answer, err
	}
	text, err := json.Marshal(answer)
	if err != nil {
		return answer, problem.Wrap(err, problem.Internal, op, "the answer cannot be encoded")
	}
	if err := j.store.FinishOperation(record, id, r, text); err != nil {
		return answer, problem.Wrap(err, problem.Unavailable, op, "the change was made, and its answer could not be recorded").
			WithHelp("Repeat the call with the same key.")
	}
	return answer, nil
}

// refused tells whether an error proves that nothing was changed. Unavailable and
// internal errors, and errors without a code, do not prove that.
func refused(err error) bool {
	switch problem.CodeOf(err) {
	case problem.Invalid, problem.NotFound, problem.Conflict, problem.Denied, problem.Precondition:
		return true
	}
	return false
}

// Fingerprint identifies a request by its JSON. Leave out the parts that the key
// does not stand for, such as the values of secrets.
func Fingerprint(request any) (string, error) {
	text, err := json.Marshal(request)
	if err != nil {
		return "", problem.Wrap(err, problem.Invalid, "cloud.journal", "the request cannot be encoded")
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// turn is held by the call that is working on a key.
type turn struct {
	free    chan struct{} // holds one value while no call works on the key
	waiting int
}

// wait waits until no other call of this process works on id. The caller must
// call end afterwards.
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
