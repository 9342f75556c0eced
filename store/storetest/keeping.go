package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/cloud/journal"
	"showrunner/execution"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store"
	"showrunner/store/record"
)

func testEvents(t *testing.T, f *fixture) {
	const writers, each = 4, 40
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := f.store.AppendEvents(t.Context(), record.Event{Time: start, Type: "a.one", Application: fmt.Sprint(w), Data: json.RawMessage(fmt.Sprint(i))},
					record.Event{Time: start, Type: "b.two", Application: fmt.Sprint(w)})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	var from int64
	next := map[string]int{}
	for total := 0; total < 2*writers*each && !t.Failed(); { // read while writers append: no event is skipped, repeated or out of order
		s, err := f.store.ReadEvents(t.Context(), from, record.Filter{}, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range s.Events {
			if e.Position <= from {
				t.Fatalf("position %d after %d", e.Position, from)
			}
			from = e.Position
			if e.Type == "a.one" {
				if string(e.Data) != fmt.Sprint(next[e.Application]) {
					t.Fatalf("writer %s: event %s, want %d", e.Application, e.Data, next[e.Application])
				}
				next[e.Application]++
			}
			total++
		}
	}
	wg.Wait()
	for _, c := range []struct {
		filter record.Filter
		want   int
	}{{record.Filter{Types: []string{"a."}}, writers * each}, {record.Filter{Types: []string{"b.two"}, Application: "1"}, each}, {record.Filter{Types: []string{"a"}}, 0}} {
		if s := f.events(0, c.filter); len(s.Events) != c.want || s.Next < from {
			t.Errorf("%+v: %d events, want %d; next %d", c.filter, len(s.Events), c.want, s.Next)
		}
	}
	if s := f.events(-1, record.Filter{}); s.Next != from || len(s.Events) != 0 {
		t.Errorf("the end of the log: %+v, want %d", s, from)
	}
}

func testList(t *testing.T, f *fixture) {
	for i := range 30 {
		h := f.make(func(h *execution.Head) {
			h.Application = []string{"app", "web"}[i%2]
			h.Pipeline = []string{"main", "night", "main"}[i%3]
			h.Request.Trigger = map[string]any{"message": fmt.Sprintf("Fix bug-%d in checkout", i), "branch": "feature/x"}
		})
		if i%5 == 0 {
			f.end(h, start)
		}
	}
	pages := func(q execution.Query) (ids []string) {
		t.Helper()
		for {
			heads, next, err := f.store.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range heads {
				if len(ids) > 0 && h.ID >= ids[len(ids)-1] {
					t.Fatalf("%s after %s: not newest first", h.ID, ids[len(ids)-1])
				}
				ids = append(ids, h.ID)
			}
			if next == "" {
				return ids
			}
			q.After = next
		}
	}
	for _, c := range []struct {
		q    execution.Query
		want int
	}{
		{execution.Query{}, 30}, {execution.Query{Application: "web"}, 15}, {execution.Query{Application: "app", Pipeline: "night"}, 5},
		{execution.Query{Pipeline: "night"}, 10}, {execution.Query{Pipeline: "absent"}, 0}, {execution.Query{Pipeline: "main", Statuses: []execution.Status{execution.Succeeded}}, 4},
		{execution.Query{Statuses: []execution.Status{execution.Succeeded}}, 6},
		{execution.Query{Statuses: []execution.Status{execution.Succeeded, execution.Running}}, 30},
		{execution.Query{Application: "app", Statuses: []execution.Status{execution.Succeeded}}, 3},
		{execution.Query{Text: "checkout fix"}, 30}, {execution.Query{Text: "CHECK"}, 30}, {execution.Query{Text: "bug-17 x018"}, 1},
		{execution.Query{Text: "feature checkout x010"}, 1}, {execution.Query{Text: "nothing"}, 0}, {execution.Query{Text: `' " * (`}, 30},
		{execution.Query{Text: "checkout", Application: "web"}, 15}, {execution.Query{Text: "checkout", Application: "app", Pipeline: "night"}, 5},
		{execution.Query{Text: "checkout", Statuses: []execution.Status{execution.Succeeded}}, 6}, {execution.Query{Text: "x", Statuses: []execution.Status{execution.Canceled}}, 0},
	} {
		c.q.Limit = 4
		if got := pages(c.q); len(got) != c.want {
			t.Errorf("%+v: %d, want %d: %v", c.q, len(got), c.want, got)
		}
	}
	_, _, err := f.store.List(t.Context(), execution.Query{After: "!", Limit: 1})
	wantCode(t, err, problem.Invalid)
}

func testRecords(t *testing.T, f *fixture) {
	ctx := t.Context()
	put := func(key string, version int64) (record.Record, error) {
		return f.store.PutRecord(ctx, record.Record{Collection: "c", Key: key, Version: version, Data: json.RawMessage(`{"v":"ü"}`)}, record.Event{Time: start, Type: "record.put"})
	}
	r, err := put("a/1", 0)
	if err != nil || r.Version != 1 {
		t.Fatal(r, err)
	}
	_, err = put("a/1", 0)
	wantCode(t, err, problem.Conflict)
	_, err = put("a/1", 2)
	wantCode(t, err, problem.Conflict)
	if r, err = put("a/1", 1); err != nil || r.Version != 2 {
		t.Fatal(r, err)
	}
	for _, k := range []string{"a/2", "a%", "b", "A/1"} {
		if _, err := put(k, 0); err != nil {
			t.Fatal(err)
		}
	}
	list, err := f.store.ListRecords(ctx, "c", "a/", "", 0)
	if err != nil || len(list) != 2 || list[0].Key != "a/1" || string(list[0].Data) != `{"v":"ü"}` {
		t.Fatal(list, err)
	}
	if list, err = f.store.ListRecords(ctx, "c", "", "a%", 2); err != nil || len(list) != 2 || list[0].Key != "a/1" {
		t.Fatal(list, err)
	}
	wantCode(t, f.store.DeleteRecord(ctx, "c", "a/1", 1), problem.Conflict)
	if err := f.store.DeleteRecord(ctx, "c", "a/1", 2); err != nil {
		t.Fatal(err)
	}
	wantCode(t, f.store.DeleteRecord(ctx, "c", "a/1", 2), problem.NotFound)
	_, err = f.store.GetRecord(ctx, "c", "a/1")
	wantCode(t, err, problem.NotFound)
	if s := f.events(0, record.Filter{}); len(s.Events) != 6 {
		t.Fatalf("%d events: the events of refused changes must not be stored", len(s.Events))
	}
}

func testPrune(t *testing.T, f *fixture) {
	for i := range 10 {
		h := f.make(func(h *execution.Head) {
			if i < 2 {
				h.Plan = "replaced"
			}
		})
		f.commit(&execution.Change{ID: h.ID, Epoch: 1, Stages: []execution.StageRow{{Data: []byte("{}")}}})
		if i != 2 {
			f.end(h, start.Add(time.Duration(i)*time.Hour))
		}
	}
	var archived []record.Event
	r := execution.Retention{Age: time.Hour, Count: 3, EventAge: time.Hour, TriggerAge: time.Hour}
	for done := false; !done; {
		var err error
		if _, done, err = f.store.Prune(t.Context(), r, start.Add(100*time.Hour), func(ev []record.Event) error { archived = append(archived, ev...); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	heads, _, err := f.store.List(t.Context(), execution.Query{Limit: 100})
	if err != nil || len(heads) != 4 || heads[3].ID != "x003" {
		t.Fatalf("left: %d (%v), want the newest three and the live one", len(heads), err)
	}
	if _, err := f.store.Plan(t.Context(), "plan"); err != nil {
		t.Fatal(err)
	}
	_, err = f.store.Plan(t.Context(), "replaced")
	wantCode(t, err, problem.NotFound)
	if len(archived) != 10 {
		t.Fatalf("%d events archived", len(archived))
	}
	s := f.events(1, record.Filter{})
	if !s.Reset || len(s.Events) != 0 || s.Next != archived[9].Position {
		t.Fatalf("a reader behind the removed events is not told to reset: %+v", s)
	}
	if err := f.store.AppendEvents(t.Context(), record.Event{Time: start, Type: "later"}); err != nil {
		t.Fatal(err)
	}
	if s = f.events(s.Next, record.Filter{}); s.Reset || len(s.Events) != 1 || s.Events[0].Position <= archived[9].Position {
		t.Fatalf("positions are reused: %+v", s)
	}
	if h := f.make(nil); h.Number != 11 {
		t.Fatalf("number %d is reused", h.Number)
	}
}

func testBackup(t *testing.T, f *fixture, restore func(*testing.T, []byte) store.Store) {
	const odd = "größer \"\\\n<&>\u2028\x7f"
	h := f.make(func(h *execution.Head) { h.Request.Trigger, h.Pipeline = map[string]any{"message": "hello"}, odd })
	f.commit(&execution.Change{ID: h.ID, Epoch: 1, Stages: []execution.StageRow{{Index: 3, Data: []byte(`{"x":1}`), Wake: start}},
		Mail: []execution.Mail{{Execution: h.ID, Stage: "s", Signal: stage.Signal{ID: "m"}}}})
	if _, err := f.store.PutRecord(t.Context(), record.Record{Collection: "c", Key: "k", Data: json.RawMessage(`{"a":1}`)}); err != nil {
		t.Fatal(err)
	}
	pending := journal.ID{Account: "local", Key: odd}
	f.begin(operationID, creation, journal.Entry{Request: creation}, true)
	f.finish(operationID, creation, "{}")
	f.begin(pending, creation, journal.Entry{Request: creation}, true)
	var b bytes.Buffer
	if err := f.store.Backup(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	g := newFixture(t, restore(t, b.Bytes()))
	g.begin(operationID, creation, journal.Entry{Request: creation, Done: true, Answer: []byte("{}")}, false)
	g.begin(pending, creation, journal.Entry{Request: creation}, false)
	snap := g.load(h.ID)
	if len(snap.Stages) != 1 || string(snap.Stages[0].Data) != `{"x":1}` || len(snap.Mail) != 1 || snap.Head.Request.Trigger["message"] != "hello" || snap.Head.Pipeline != odd {
		t.Fatalf("%+v", snap)
	}
	if r, err := g.store.GetRecord(t.Context(), "c", "k"); err != nil || string(r.Data) != `{"a":1}` || r.Version != 1 {
		t.Fatal(r, err)
	}
	if heads, _, err := g.store.List(t.Context(), execution.Query{Text: "hello", Limit: 5}); err != nil || len(heads) != 1 {
		t.Fatal(heads, err)
	}
	if claims, _, err := g.s.Adopt(t.Context(), false); err != nil || len(claims) != 1 {
		t.Fatal(claims, err)
	}
	g.n = 100
	if next := g.make(func(h *execution.Head) { h.Pipeline = odd }); next.Number != 2 || next.Seq <= snap.Head.Seq {
		t.Fatalf("%+v", next)
	}
	if s := g.events(0, record.Filter{}); len(s.Events) != 2 || s.Events[1].Position <= s.Events[0].Position {
		t.Fatal(s)
	}
}

// testBackupMoment starts an execution while a backup is being written. The
// backup holds nothing of that execution, and everything that was stored when the
// backup began.
func testBackupMoment(t *testing.T, f *fixture, restore func(*testing.T, []byte) store.Store) {
	before := f.make(nil)
	large := json.RawMessage(`"` + strings.Repeat("x", 300_000) + `"`)
	if err := f.store.AppendEvents(t.Context(), record.Event{Time: start, Type: "large", Data: large}, record.Event{Time: start, Type: "small"}); err != nil {
		t.Fatal(err)
	}
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := f.store.Backup(t.Context(), out)
		out.Close()
		ended <- err
	}()
	b := make([]byte, 1)
	if _, err := in.Read(b); err != nil {
		t.Fatal(err)
	}
	after := f.make(func(h *execution.Head) { h.Request.TriggerID, h.Request.EventID = "t", "e" })
	rest, err := io.ReadAll(in)
	if err = errors.Join(err, <-ended); err != nil {
		t.Fatal(err)
	}
	g := newFixture(t, restore(t, append(b, rest...)))
	if snap := g.load(before.ID); snap.Head.ID != before.ID {
		t.Fatalf("%+v", snap)
	}
	_, err = g.store.Load(t.Context(), after.ID)
	wantCode(t, err, problem.NotFound)
	if s := g.events(0, record.Filter{}); len(s.Events) != 3 || s.Events[2].Type != "small" {
		t.Fatalf("%d events, want the three from before the backup", len(s.Events))
	}
	g.n = 100
	if h := g.make(func(h *execution.Head) { h.Request.TriggerID, h.Request.EventID = "t", "e" }); h.ID != "x101" {
		t.Fatalf("an event of an execution outside the backup has started %s", h.ID)
	}
}
