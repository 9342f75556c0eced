package store

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/execution"
	"showrunner/store/record"
)

// begun is a store with a session and one live execution in it.
type begun struct {
	*SQLite
	session execution.Session
}

func begin(t testing.TB, path string) begun {
	t.Helper()
	s, err := OpenSQLite(t.Context(), path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	session, err := s.Join(t.Context(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return begun{s, session}
}

func (b begun) commit(t rapid.TB, changes ...*execution.Change) {
	t.Helper()
	if err := b.session.Commit(context.Background(), changes); err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Err != nil {
			t.Fatal(c.Err)
		}
	}
}

func creation(id string) *execution.Change {
	return &execution.Change{ID: id, Create: &execution.Creation{PlanData: []byte("{}"),
		Head: execution.Head{ID: id, Application: "a", Pipeline: "p", Status: execution.Running, Plan: "d", Created: time.UnixMilli(1)}},
		Events: []record.Event{{Type: "execution.started", Execution: id, Time: time.UnixMilli(1)}}}
}

// step moves a stage on, and says so, as most transitions do.
func step(id string, stage, n int) *execution.Change {
	data := fmt.Sprintf(`{"n":%d}`, n)
	return &execution.Change{ID: id, Stages: []execution.StageRow{{Index: stage, Wake: time.UnixMilli(int64(n % 2 * 5000)).UTC(), Data: []byte(data)}},
		Events: []record.Event{{Type: "stage.task", Application: "a", Pipeline: "p", Execution: id, Stage: fmt.Sprint(stage), By: "b",
			Time: time.UnixMilli(int64(n)).UTC(), Data: json.RawMessage(data)}}}
}

// powerCut copies what would be on the disk if the power went away now.
func powerCut(t rapid.TB, path, to string) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		data, err := os.ReadFile(path + suffix)
		if os.IsNotExist(err) {
			continue
		}
		if err == nil {
			err = os.WriteFile(to+suffix, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestNothingAcknowledgedIsLost: whatever is committed by whichever way, after a
// power cut at any moment all of it is there, once, in order.
func TestNothingAcknowledgedIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		path := filepath.Join(dir, "db")
		b := begin(t, path)
		defer func() { _ = b.Close() }() // its power was cut
		stages := map[string]map[int]string{}
		var events []string
		expect := func(c *execution.Change) *execution.Change {
			if stages[c.ID] == nil {
				stages[c.ID] = map[int]string{}
			}
			for _, r := range c.Stages {
				stages[c.ID][r.Index] = string(r.Data)
			}
			for _, e := range c.Events {
				events = append(events, e.Type+" "+e.Execution+" "+string(e.Data))
			}
			return c
		}
		b.commit(rt, expect(creation("x0")))
		n := 0
		for cut := range rapid.IntRange(1, 3).Draw(rt, "cuts") {
			for range rapid.IntRange(0, 12).Draw(rt, "commits") {
				n++
				id := fmt.Sprintf("x%d", rapid.IntRange(0, len(stages)-1).Draw(rt, "execution"))
				stage := rapid.IntRange(0, 2).Draw(rt, "stage")
				switch rapid.IntRange(0, 9).Draw(rt, "what") {
				case 0:
					b.commit(rt, expect(creation(fmt.Sprintf("x%d", len(stages)))))
				case 1:
					b.commit(rt, expect(step(id, stage, n)), expect(creation(fmt.Sprintf("x%d", len(stages)))))
				case 2:
					if _, err := b.PutRecord(t.Context(), record.Record{Collection: "c", Key: fmt.Sprint(n), Data: json.RawMessage("1")}, record.Event{Type: "r", Time: time.UnixMilli(1)}); err != nil {
						rt.Fatal(err)
					}
					events = append(events, "r  ")
				case 3:
					refuse(rt, b.session, step(id, stage, 999))
				case 4:
					b.commit(rt, expect(step(id, stage, n)), expect(step(id, (stage+1)%3, n)))
				default:
					b.commit(rt, expect(step(id, stage, n)))
				}
			}
			if rapid.Bool().Draw(rt, "read before") {
				checkAll(rt, b.SQLite, stages, events)
			}
			next := filepath.Join(dir, fmt.Sprint("cut", cut))
			powerCut(rt, path, next)
			tear(rt, next+"-wal", rapid.IntRange(0, 6000).Draw(rt, "torn"))
			_ = b.Close()
			path, b = next, begin(t, next)
			checkAll(rt, b.SQLite, stages, events)
		}
	})
}

// refuse commits a change whose batch fails after it has been written: nothing of
// it may stay.
func refuse(t rapid.TB, session execution.Session, c *execution.Change) {
	t.Helper()
	unwritable := creation("")
	unwritable.Create.Head.State.V = 1
	unwritable.Create.PlanData = nil // NOT NULL
	if err := session.Commit(context.Background(), []*execution.Change{c, unwritable}); err == nil {
		t.Fatal("a batch that cannot be written was committed")
	}
}

// tear adds to the log what a commit has written of it that the power cut off.
func tear(t rapid.TB, path string, bytes int) {
	t.Helper()
	log, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const header = 32
	if len(log) > header {
		log = append(log, log[header:min(len(log), header+bytes)]...) // frames, of another commit
	}
	if err := os.WriteFile(path, log, 0o600); err != nil {
		t.Fatal(err)
	}
}

func checkAll(t rapid.TB, s *SQLite, stages map[string]map[int]string, events []string) {
	t.Helper()
	for id, want := range stages {
		snap, err := s.Load(context.Background(), id)
		if err != nil {
			t.Fatal(err)
		}
		got := map[int]string{}
		for _, r := range snap.Stages {
			got[r.Index] = string(r.Data)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("stages of %s: %v, want %v", id, got, want)
		}
	}
	for _, from := range []int64{0, int64(len(events) / 2)} { // from the database, or from memory
		slice, err := s.ReadEvents(context.Background(), from, record.Filter{}, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for i, e := range slice.Events {
			if e.Position != from+int64(i)+1 {
				t.Fatalf("event %d after %d has position %d", i, from, e.Position)
			}
			got = append(got, e.Type+" "+e.Execution+" "+string(e.Data))
		}
		if !reflect.DeepEqual(got, append([]string{}, events[from:]...)) || slice.Next != int64(len(events)) {
			t.Fatalf("events after %d, to %d: %v, want %v", from, slice.Next, got, events[from:])
		}
	}
}

// TestTheTailAnswersLikeTheDatabase: whoever follows the log gets the same from
// memory as from the disk.
func TestTheTailAnswersLikeTheDatabase(t *testing.T) {
	b := begin(t, filepath.Join(t.TempDir(), "db"))
	defer b.Close()
	b.commit(t, creation("x0"))
	for n := range 2*recentEventsKept + 300 {
		b.commit(t, step(fmt.Sprintf("x%d", n%3), n%3, n))
	}
	rapid.Check(t, func(rt *rapid.T) {
		from := rapid.Int64Range(0, 2*recentEventsKept+310).Draw(rt, "from")
		f := record.Filter{Execution: rapid.SampledFrom([]string{"", "x0", "x1"}).Draw(rt, "execution"),
			Types: rapid.SampledFrom([][]string{nil, {"stage."}, {"execution.started"}}).Draw(rt, "types")}
		limit := rapid.IntRange(1, 50).Draw(rt, "limit")
		got, ok := b.recent.read(from, f, limit)
		if !ok {
			rt.Skip("no longer in memory")
		}
		kept := b.recent.events
		b.recent.mu.Lock()
		b.recent.events = nil
		b.recent.mu.Unlock()
		want, err := b.ReadEvents(t.Context(), min(from, b.recent.last-1), f, limit)
		b.recent.mu.Lock()
		b.recent.events = kept
		b.recent.mu.Unlock()
		if err != nil {
			rt.Fatal(err)
		}
		if from < b.recent.last && !reflect.DeepEqual(got, want) {
			rt.Fatalf("from memory %v\nfrom disk %v", got, want)
		}
		if from >= b.recent.last && (len(got.Events) > 0 || got.Next != from) {
			rt.Fatalf("after the end: %v", got)
		}
	})
}
