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
	for _, suffix := range []string{"", "-wal", "-ahead"} {
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
			if b.ahead.direct != nil && rapid.Bool().Draw(rt, "through the page cache") {
				spoil(b.ahead.direct)
			}
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
					failWrite(rt, b.ahead)
					b.commit(rt, expect(step(id, stage, n)))
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
			if tear := rapid.IntRange(0, 40).Draw(rt, "torn"); tear > 0 { // of a record that was being written
				tearRecord(rt, next+"-ahead", b.ahead, tear)
			}
			_ = b.Close()
			path, b = next, begin(t, next)
			checkAll(rt, b.SQLite, stages, events)
		}
	})
}

// failWrite leaves the file as a write does that is on the disk although it
// failed: whatever it held was never acknowledged.
func failWrite(t rapid.TB, a *ahead) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	number, end, waiting, events := a.number, a.end, a.waiting, a.events
	if !a.write([]*execution.Change{step("x0", 0, 999)}, nil) {
		t.Fatal("a record was not written")
	}
	a.number, a.end, a.waiting, a.events, a.broken = number, end, waiting, events, true
}

func tearRecord(t rapid.TB, path string, a *ahead, keep int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	whole := encodeAhead(make([]byte, aheadHeader), []*execution.Change{step("x0", 0, 1000)}, nil)
	whole[0], whole[8] = byte(len(whole)-aheadHeader), byte(a.number+1)
	if _, err := f.WriteAt(whole[:min(keep, len(whole)-1)], a.end); err != nil {
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

// TestARecordOfAnotherDatabaseIsNotApplied: the numbers of a new database do not
// continue those of a file that was left lying.
func TestARecordOfAnotherDatabaseIsNotApplied(t *testing.T) {
	dir := t.TempDir()
	b := begin(t, filepath.Join(dir, "old"))
	b.commit(t, creation("x0"))
	b.commit(t, step("x0", 0, 1))
	powerCut(t, filepath.Join(dir, "old"), filepath.Join(dir, "new"))
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal"} {
		if err := os.Remove(filepath.Join(dir, "new") + suffix); err != nil {
			t.Fatal(err)
		}
	}
	n := begin(t, filepath.Join(dir, "new"))
	n.commit(t, creation("x0"))
	checkAll(t, n.SQLite, map[string]map[int]string{"x0": {}}, []string{"execution.started x0 "})
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestTheTailAnswersLikeTheDatabase: whoever follows the log gets the same from
// memory as from the disk.
func TestTheTailAnswersLikeTheDatabase(t *testing.T) {
	b := begin(t, filepath.Join(t.TempDir(), "db"))
	defer b.Close()
	b.commit(t, creation("x0"))
	for n := range 2*tailEvents + 300 {
		b.commit(t, step(fmt.Sprintf("x%d", n%3), n%3, n))
	}
	rapid.Check(t, func(rt *rapid.T) {
		from := rapid.Int64Range(0, 2*tailEvents+310).Draw(rt, "from")
		f := record.Filter{Execution: rapid.SampledFrom([]string{"", "x0", "x1"}).Draw(rt, "execution"),
			Types: rapid.SampledFrom([][]string{nil, {"stage."}, {"execution.started"}}).Draw(rt, "types")}
		limit := rapid.IntRange(1, 50).Draw(rt, "limit")
		got, ok := b.tail.read(from, f, limit)
		if !ok {
			rt.Skip("no longer in memory")
		}
		kept := b.tail.events
		b.tail.mu.Lock()
		b.tail.events = nil
		b.tail.mu.Unlock()
		want, err := b.ReadEvents(t.Context(), min(from, b.tail.last-1), f, limit)
		b.tail.mu.Lock()
		b.tail.events = kept
		b.tail.mu.Unlock()
		if err != nil {
			rt.Fatal(err)
		}
		if from < b.tail.last && !reflect.DeepEqual(got, want) {
			rt.Fatalf("from memory %v\nfrom disk %v", got, want)
		}
		if from >= b.tail.last && (len(got.Events) > 0 || got.Next != from) {
			rt.Fatalf("after the end: %v", got)
		}
	})
}

// FuzzAheadRecords: what a damaged file holds is refused or passed over, never followed.
func FuzzAheadRecords(f *testing.F) {
	f.Add(encodeAhead(nil, []*execution.Change{step("x0", 0, 1)}, []record.Event{{Position: 1, Type: "t", Data: json.RawMessage("{}")}}))
	f.Add([]byte{1, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, body []byte) {
		changes, events, err := decodeAhead(body)
		if err != nil {
			return
		}
		again, more, err := decodeAhead(encodeAhead(nil, changes, events))
		if err != nil || !reflect.DeepEqual(again, changes) || !reflect.DeepEqual(more, events) {
			t.Fatalf("%v %v became %v %v (%v)", changes, events, again, more, err)
		}
		cutRecord(body)
	})
}
