package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store"
	"showrunner/store/record"
)

// Run runs the suite. Open opens a new, empty store that is closed at the end
// of the test; restore fills another new, empty one from a backup.
func Run(t *testing.T, open func(t *testing.T) store.Store, restore func(t *testing.T, backup []byte) store.Store) {
	for name, test := range map[string]func(*testing.T, *fixture){
		"creations are numbered and found":                   testCreate,
		"creations of one batch are numbered":                testCreateMany,
		"an event starts once":                               testDedupe,
		"a change is applied as a whole or not at all":       testChange,
		"a lost session commits nothing":                     testLost,
		"adoption takes what nobody owns":                    testAdopt,
		"what has ended stays ended":                         testEnded,
		"a restart happens once":                             testRevive,
		"messages arrive once and only at living executions": testMail,
		"positions rise and are read in order":               testEvents,
		"lists are paged and filtered":                       testList,
		"records compare and set":                            testRecords,
		"searching finds what scanning finds":                testSearch,
		"retention removes and reports it":                   testPrune,
		"operations are remembered by their keys":            testOperations,
		"operations are forgotten by their age":              testForgetOperations,
	} {
		t.Run(name, func(t *testing.T) { test(t, newFixture(t, open(t))) })
	}
	t.Run("a backup is of one moment", func(t *testing.T) { testBackupMoment(t, newFixture(t, open(t)), restore) })
	t.Run("a backup is complete", func(t *testing.T) { testBackup(t, newFixture(t, open(t)), restore) })
}

type fixture struct {
	t     *testing.T
	store store.Store
	s     execution.Session
	n     int
}

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newFixture(t *testing.T, st store.Store) *fixture {
	f := &fixture{t: t, store: st}
	f.s = f.join()
	return f
}

func (f *fixture) join() execution.Session {
	f.t.Helper()
	s, err := f.store.Join(f.t.Context(), func() time.Time { return start })
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.Leave(context.WithoutCancel(f.t.Context())) }) // lost already, in some tests
	return s
}

// commit commits changes that have to be accepted.
func (f *fixture) commit(changes ...*execution.Change) {
	f.t.Helper()
	f.offer(changes...)
	for _, c := range changes {
		if c.Err != nil {
			f.t.Fatalf("%s: %v", c.ID, c.Err)
		}
	}
}

// offer commits changes that may be refused one by one.
func (f *fixture) offer(changes ...*execution.Change) {
	f.t.Helper()
	if err := f.s.Commit(f.t.Context(), changes); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) creation(edit func(*execution.Head)) *execution.Change {
	f.n++
	h := execution.Head{ID: fmt.Sprintf("x%03d", f.n), Application: "app", Pipeline: "main", Status: execution.Running, Plan: "plan", Created: start,
		Request: execution.HeadRequest{V: 1, By: "ann"}, State: execution.HeadState{V: 1}}
	if edit != nil {
		edit(&h)
	}
	return &execution.Change{ID: h.ID, Epoch: 1, Create: &execution.Creation{Head: h, PlanData: []byte(`{"v":1}`)},
		Events: []record.Event{{Time: start, Type: "execution.started", Application: h.Application, Pipeline: h.Pipeline, Execution: h.ID}}}
}

// make creates an execution and returns its head.
func (f *fixture) make(edit func(*execution.Head)) execution.Head {
	f.t.Helper()
	c := f.creation(edit)
	f.commit(c)
	return c.Head2
}

func (f *fixture) load(id string) execution.Snapshot {
	f.t.Helper()
	snap, err := f.store.Load(f.t.Context(), id)
	if err != nil {
		f.t.Fatal(err)
	}
	return snap
}

func (f *fixture) end(h execution.Head, at time.Time) {
	f.t.Helper()
	f.commit(&execution.Change{ID: h.ID, Epoch: h.Epoch, Head: &execution.HeadPatch{Status: execution.Succeeded, Started: &start, Ended: &at, State: h.State}})
}

func (f *fixture) events(from int64, filter record.Filter) record.Slice {
	f.t.Helper()
	s, err := f.store.ReadEvents(f.t.Context(), from, filter, 1000)
	if err != nil {
		f.t.Fatal(err)
	}
	return s
}

func (f *fixture) waitNotice(kind execution.NoticeKind, id string) {
	f.t.Helper()
	for {
		select {
		case n := <-f.s.Notices():
			if n.Kind == kind && n.Execution == id {
				return
			}
		case <-time.After(10 * time.Second):
			f.t.Fatalf("no notice %s of %s", kind, id)
		}
	}
}

func wantCode(t *testing.T, err error, code problem.Code) {
	t.Helper()
	if problem.CodeOf(err) != code {
		t.Fatalf("the error is %v, want one that is %s", err, code)
	}
}
