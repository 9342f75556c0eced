package journal_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/cloud/journal"
	"showrunner/problem"
)

// memory is a store in memory whose writes can be made to fail.
type memory struct {
	mu      sync.Mutex
	entries map[journal.ID]journal.Entry
	fail    string // the name of the method that fails
}

func (m *memory) failing(method string) error {
	if m.fail == method {
		return problem.New(problem.Unavailable, "test", "%s fails", method)
	}
	return nil
}

func (m *memory) BeginOperation(_ context.Context, id journal.ID, r journal.Request) (journal.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failing("begin"); err != nil {
		return journal.Entry{}, false, err
	}
	if e, ok := m.entries[id]; ok {
		return e, false, nil
	}
	m.entries[id] = journal.Entry{Request: r}
	return m.entries[id], true, nil
}

func (m *memory) FinishOperation(ctx context.Context, id journal.ID, r journal.Request, answer []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(ctx.Err(), m.failing("finish")); err != nil {
		return err
	}
	m.entries[id] = journal.Entry{Request: r, Done: true, Answer: answer}
	return nil
}

func (m *memory) DropOperation(_ context.Context, id journal.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.failing("drop"); err != nil {
		return err
	}
	if !m.entries[id].Done {
		delete(m.entries, id)
	}
	return nil
}

func (m *memory) ForgetOperations(context.Context, time.Time) (int, error) { return 0, nil }

func newJournal() (*memory, *journal.Journal) {
	m := &memory{entries: map[journal.ID]journal.Entry{}}
	return m, journal.New(m)
}

var (
	id      = journal.ID{Account: "local", Region: "us-west-2", Key: "x/deploy/1/create"}
	request = journal.Request{Operation: "create", Fingerprint: "f1"}
)

type group struct{ Name string }

// answers is an act that returns the nth group, or an error where errs has one.
func answers(calls *[]bool, errs ...error) journal.Act[group] {
	return func(_ context.Context, again bool) (group, error) {
		n := len(*calls)
		*calls = append(*calls, again)
		if n < len(errs) && errs[n] != nil {
			return group{}, errs[n]
		}
		return group{fmt.Sprintf("v%03d", n)}, nil
	}
}

func TestTheSameKeyAnswersAsItDid(t *testing.T) {
	_, j := newJournal()
	var calls []bool
	for range 3 {
		g, err := journal.Do(t.Context(), j, id, request, answers(&calls))
		if err != nil || g.Name != "v000" {
			t.Fatal(g, err)
		}
	}
	if len(calls) != 1 || calls[0] {
		t.Fatalf("the driver was asked %v", calls)
	}
	other := id
	other.Region = "eu-west-1"
	if g, err := journal.Do(t.Context(), j, other, request, answers(&calls)); err != nil || g.Name != "v001" {
		t.Fatal("a key counts within one region", g, err)
	}
}

func TestAnotherRequestIsAConflict(t *testing.T) {
	_, j := newJournal()
	var calls []bool
	if _, err := journal.Do(t.Context(), j, id, request, answers(&calls)); err != nil {
		t.Fatal(err)
	}
	for _, r := range []journal.Request{{"create", "f2"}, {"destroy", "f1"}} {
		_, err := journal.Do(t.Context(), j, id, r, answers(&calls))
		if problem.CodeOf(err) != problem.Conflict || problem.HelpOf(err) == "" {
			t.Errorf("%v: %v", r, err)
		}
	}
	_, err := journal.Do(t.Context(), j, journal.ID{Account: "local"}, request, answers(&calls))
	if problem.CodeOf(err) != problem.Invalid {
		t.Error("without a key:", err)
	}
	if len(calls) != 1 {
		t.Errorf("the driver was asked %d times", len(calls))
	}
}

// TestErrors: only an error that leaves open whether the change happened keeps
// the entry pending, and the driver is told when it is called again.
func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		err   error
		again bool
	}{
		"precondition": {problem.New(problem.Precondition, "t", "below the capacity that serves"), false},
		"conflict":     {problem.New(problem.Conflict, "t", "taken"), false},
		"not found":    {problem.New(problem.NotFound, "t", "no group"), false},
		"invalid":      {problem.New(problem.Invalid, "t", "no"), false},
		"denied":       {problem.New(problem.Denied, "t", "no"), false},
		"unavailable":  {problem.New(problem.Unavailable, "t", "unreachable"), true},
		"internal":     {problem.New(problem.Internal, "t", "what?"), true},
		"cancelled":    {context.Canceled, true},
		"no code":      {errors.New("reset"), true},
	} {
		t.Run(name, func(t *testing.T) {
			m, j := newJournal()
			var calls []bool
			act := answers(&calls, c.err)
			if _, err := journal.Do(t.Context(), j, id, request, act); !errors.Is(err, c.err) {
				t.Fatal(err)
			}
			if _, pending := m.entries[id]; pending != c.again {
				t.Errorf("pending: %t", pending)
			}
			g, err := journal.Do(t.Context(), j, id, request, act)
			if err != nil || g.Name != "v001" || calls[1] != c.again {
				t.Error(g, err, calls)
			}
		})
	}
}

// TestARefusedKeyMayStandForAnotherRequest: a refusal is not remembered.
func TestARefusedKeyMayStandForAnotherRequest(t *testing.T) {
	_, j := newJournal()
	var calls []bool
	act := answers(&calls, problem.New(problem.Precondition, "t", "no"))
	_, _ = journal.Do(t.Context(), j, id, request, act) // refused
	if _, err := journal.Do(t.Context(), j, id, journal.Request{Operation: "create", Fingerprint: "f2"}, act); err != nil {
		t.Fatal(err)
	}
}

// TestTheStoreIsUnreachable: without a record of the intent the driver is not called,
// and without a record of the answer the caller gets an error.
func TestTheStoreIsUnreachable(t *testing.T) {
	m, j := newJournal()
	var calls []bool
	m.fail = "begin"
	if _, err := journal.Do(t.Context(), j, id, request, answers(&calls)); problem.CodeOf(err) != problem.Unavailable || len(calls) > 0 {
		t.Fatal(err, calls)
	}
	m.fail = "finish"
	if _, err := journal.Do(t.Context(), j, id, request, answers(&calls)); problem.CodeOf(err) != problem.Unavailable || problem.HelpOf(err) == "" {
		t.Fatal(err)
	}
	m.fail = ""
	if _, err := journal.Do(t.Context(), j, id, request, answers(&calls)); err != nil || len(calls) != 2 || !calls[1] {
		t.Fatal(err, calls)
	}
}

// TestAnAnswerIsKeptThoughItsCallerHasGone: a known answer is recorded.
func TestAnAnswerIsKeptThoughItsCallerHasGone(t *testing.T) {
	m, j := newJournal()
	ctx, cancel := context.WithCancel(t.Context())
	_, err := journal.Do(ctx, j, id, request, func(context.Context, bool) (group, error) { cancel(); return group{"v000"}, nil })
	if err != nil || !m.entries[id].Done {
		t.Fatal(err, m.entries)
	}
}

// TestCallsWithOneKeyTakeTurns: the second call waits for the first, and gets its
// answer.
func TestCallsWithOneKeyTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, j := newJournal()
		working, finish := make(chan struct{}), make(chan struct{})
		var group1, group2 group
		var wg sync.WaitGroup
		wg.Go(func() {
			group1, _ = journal.Do(t.Context(), j, id, request, func(context.Context, bool) (group, error) {
				close(working)
				<-finish
				return group{"v000"}, nil
			})
		})
		<-working
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := journal.Do(ctx, j, id, request, func(context.Context, bool) (group, error) { return group{"twice"}, nil }); problem.CodeOf(err) != problem.Unavailable {
			t.Error("a call did not wait for its turn:", err)
		}
		wg.Go(func() {
			group2, _ = journal.Do(t.Context(), j, id, request, func(context.Context, bool) (group, error) { return group{"twice"}, nil })
		})
		synctest.Wait()
		close(finish)
		wg.Wait()
		if group1.Name != "v000" || group2.Name != "v000" {
			t.Error(group1, group2)
		}
	})
}

func TestFingerprint(t *testing.T) {
	a, err := journal.Fingerprint(map[string]int{"min": 1, "max": 2})
	b, berr := journal.Fingerprint(map[string]int{"max": 2, "min": 1})
	c, cerr := journal.Fingerprint(map[string]int{"max": 3, "min": 1})
	if err = errors.Join(err, berr, cerr); err != nil || a != b || a == c {
		t.Fatal(a, b, c, err)
	}
	if _, err := journal.Fingerprint(func() {}); problem.CodeOf(err) != problem.Invalid {
		t.Error(err)
	}
}
