package storetest

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

func testCreate(t *testing.T, f *fixture) {
	for want := 1; want <= 3; want++ {
		if h := f.make(nil); h.Number != want || h.Owner != f.s.Owner() || h.Epoch != 1 {
			t.Fatalf("%+v", h)
		}
	}
	parent := stage.Key{Execution: "x001", Stage: "call", Attempt: 1, Task: "t"}
	h := f.make(func(h *execution.Head) {
		h.Pipeline, h.Ordered, h.Request.Parent, h.Request.RollbackOf = "other", true, &parent, "x002"
		h.Request.Trigger = map[string]any{"branch": "main"}
	})
	got := f.load(h.ID).Head
	if got.Number != 1 || !got.Ordered || *got.Request.Parent != parent || got.Request.Trigger["branch"] != "main" || !got.Created.Equal(start) {
		t.Fatalf("%+v", got)
	}
	if data, err := f.store.Plan(t.Context(), "plan"); err != nil || string(data) != `{"v":1}` {
		t.Fatal(string(data), err)
	}
	_, err := f.store.Load(t.Context(), "nobody")
	wantCode(t, err, problem.NotFound)
	_, err = f.store.Plan(t.Context(), "nothing")
	wantCode(t, err, problem.NotFound)
}

// The executions of one pipeline are numbered in their order, even when
// executions of other pipelines stand between them.
func testCreateMany(t *testing.T, f *fixture) {
	in := func(pipe string, ordered bool, event string) *execution.Change {
		return f.creation(func(h *execution.Head) {
			h.Pipeline, h.Ordered = pipe, ordered
			if event != "" {
				h.Request.TriggerID, h.Request.EventID = "push", event
			}
		})
	}
	f.commit(in("one", false, ""), in("one", false, "e"))
	again := in("one", false, "e")
	ended := f.creation(func(h *execution.Head) { h.Pipeline, h.Status, h.Ended = "one", execution.Skipped, &start })
	all := []*execution.Change{in("two", true, ""), in("one", false, ""), again, in("two", true, ""), ended, in("one", false, "f"), in("two", false, "")}
	all[1].Stages = []execution.StageRow{{Index: 1, Data: []byte(`{"a":1}`)}}
	change := &execution.Change{ID: all[1].ID, Epoch: 1, Stages: []execution.StageRow{{Index: 1, Data: []byte(`{"a":2}`)}, {Index: 2, Data: []byte(`{}`)}},
		Head: &execution.HeadPatch{Status: execution.Paused, State: all[1].Create.Head.State}}
	f.commit(append(slices.Clone(all), change)...)
	for i, want := range []struct {
		number int
		owner  string
	}{{1, f.s.Owner()}, {3, f.s.Owner()}, {}, {2, f.s.Owner()}, {4, ""}, {5, f.s.Owner()}, {3, f.s.Owner()}} {
		c := all[i]
		if c.Existed != (c == again) {
			t.Fatalf("%d: existed: %t", i, c.Existed)
		}
		if c == again {
			continue
		}
		got := f.load(c.ID).Head
		if h := c.Head2; h.Number != want.number || int(h.Order) != want.number || h.Owner != want.owner || got.Number != h.Number || got.Order != h.Order || got.Owner != h.Owner || got.Seq != h.Seq {
			t.Errorf("%d: %+v, and read %+v; want %v", i, h, got, want)
		}
	}
	snap := f.load(all[1].ID)
	if len(snap.Stages) != 2 || string(snap.Stages[0].Data) != `{"a":2}` || snap.Head.Status != execution.Paused {
		t.Errorf("changes committed with its creation: %+v", snap)
	}
	if e := f.events(0, record.Filter{Types: []string{"execution.started"}}).Events; len(e) != 8 || all[6].Last != e[7].Position {
		t.Errorf("%d events, the last at %d: %+v", len(e), all[6].Last, e)
	}
}

func testDedupe(t *testing.T, f *fixture) {
	event := func(id string) func(h *execution.Head) {
		return func(h *execution.Head) { h.Request.TriggerID, h.Request.EventID = "push", id }
	}
	first, second, other := f.creation(event("42")), f.creation(event("42")), f.creation(event("43"))
	second.Stages = []execution.StageRow{{Index: 0, Data: []byte("{}")}}
	f.commit(first, second, other)
	third := f.creation(event("42"))
	f.commit(third)
	if first.Existed || !second.Existed || !third.Existed || other.Existed || second.Head2.ID != first.ID || third.Head2.ID != first.ID {
		t.Fatalf("%v %v %v %v", first.Existed, second.Existed, third.Existed, other.Existed)
	}
	_, err := f.store.Load(t.Context(), second.ID)
	wantCode(t, err, problem.NotFound)
	if s := f.events(0, record.Filter{}); len(s.Events) != 2 {
		t.Fatalf("a start that was refused left events: %+v", s.Events)
	}
}

func testChange(t *testing.T, f *fixture) {
	h := f.make(nil)
	wake := start.Add(time.Minute)
	f.commit(
		&execution.Change{ID: h.ID, Epoch: 1, Stages: []execution.StageRow{{Index: 0, Data: []byte(`{"a":1}`)}, {Index: 2, Data: []byte(`{}`), Wake: wake}}},
		&execution.Change{ID: h.ID, Epoch: 1, Stages: []execution.StageRow{{Index: 0, Data: []byte(`{"a":2}`)}}})
	snap := f.load(h.ID)
	if len(snap.Stages) != 2 || string(snap.Stages[0].Data) != `{"a":2}` || snap.Stages[1].Index != 2 || !snap.Stages[1].Wake.Equal(wake) {
		t.Fatalf("%+v", snap.Stages)
	}
	for before, want := range map[time.Time]int{wake: 0, wake.Add(time.Second): 1} {
		if due, err := f.s.Due(t.Context(), before); err != nil || len(due) != want {
			t.Fatalf("due before %v: %v %v", before, due, err)
		}
	}
}

func testLost(t *testing.T, f *fixture) {
	h := f.make(nil)
	old := f.s
	if err := old.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.s = f.join()
	c := &execution.Change{ID: h.ID, Epoch: h.Epoch, Stages: []execution.StageRow{{Data: []byte("{}")}}}
	if err := old.Commit(t.Context(), []*execution.Change{c}); !errors.Is(err, execution.ErrLost) {
		t.Fatalf("a session that has ended was answered %v", err)
	}
	for open := true; open; { // a notice sent before the session ended may still be in the channel
		_, open = <-old.Notices()
	}
	if snap := f.load(h.ID); len(snap.Stages) != 0 {
		t.Fatal("the ended session changed the execution")
	}
}

func wantLives(f *fixture, owner string, want bool) {
	f.t.Helper()
	if lives, err := f.store.Lives(f.t.Context(), owner); err != nil || lives != want {
		f.t.Errorf("session %s lives: %v, %v; want %v", owner, lives, err, want)
	}
}

func testAdopt(t *testing.T, f *fixture) {
	live := f.make(nil)
	ordered := f.make(func(h *execution.Head) { h.Ordered, h.Pipeline = true, "ordered" })
	f.end(f.make(nil), start)
	before := f.s.Owner()
	wantLives(f, before, true)
	if err := f.s.Leave(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.s = f.join()
	wantLives(f, before, false)
	wantLives(f, f.s.Owner(), true)
	claims, more, err := f.s.Adopt(t.Context(), false)
	if err != nil || more || len(claims) != 2 || claims[0] != (execution.Claim{ID: live.ID, Epoch: 2}) || claims[1] != (execution.Claim{ID: ordered.ID, Epoch: 2, Ordered: true}) {
		t.Fatal(claims, more, err)
	}
	if h := f.load(live.ID).Head; h.Owner != f.s.Owner() || h.Epoch != 2 {
		t.Fatalf("%+v", h)
	}
	if again, _, err := f.s.Adopt(t.Context(), false); err != nil || len(again) != 0 {
		t.Fatal(again, err)
	}
	if own, _, err := f.s.Adopt(t.Context(), true); err != nil || len(own) != 2 || own[0].Epoch != 2 {
		t.Fatal(own, err)
	}
}

func testEnded(t *testing.T, f *fixture) {
	h := f.make(nil)
	f.end(h, start.Add(time.Second))
	if got := f.load(h.ID).Head; got.Status != execution.Succeeded || got.Owner != "" || got.Ended == nil {
		t.Fatalf("%+v", got)
	}
	c := &execution.Change{ID: h.ID, Epoch: 1, Head: &execution.HeadPatch{Status: execution.Running, State: h.State},
		Events: []record.Event{{Time: start, Type: "refused"}}}
	other := f.creation(nil)
	f.offer(c, other)
	if !errors.Is(c.Err, execution.ErrFenced) || other.Err != nil {
		t.Fatalf("an ended execution was changed: %v; the other one: %v", c.Err, other.Err)
	}
	if s := f.events(0, record.Filter{Types: []string{"refused"}}); len(s.Events) != 0 {
		t.Fatal(s)
	}
}

func testRevive(t *testing.T, f *fixture) {
	h := f.make(nil)
	f.end(h, start)
	revive := func() *execution.Change {
		return &execution.Change{ID: h.ID, Epoch: 1, Revive: true, Stages: []execution.StageRow{{Data: []byte("{}")}},
			Head: &execution.HeadPatch{Status: execution.Running, Started: &start, State: execution.HeadState{V: 1, Restarts: []execution.Restart{{Stage: "a", At: start}}}}}
	}
	second := revive()
	f.commit(revive())
	f.offer(second)
	wantCode(t, second.Err, problem.Conflict)
	got := f.load(h.ID)
	if got.Head.Epoch != 2 || got.Head.Order <= h.Order || got.Head.Status != execution.Running || got.Head.Ended != nil || len(got.Stages) != 1 {
		t.Fatalf("%+v", got)
	}
	f.waitNotice(execution.NoticeOwned, h.ID)
}

func testMail(t *testing.T, f *fixture) {
	h := f.make(nil)
	send := func(id, to string, strict bool) *execution.Change {
		return &execution.Change{ID: to, Strict: strict, Mail: []execution.Mail{{Execution: to, Stage: "ask", Signal: stage.Signal{ID: id, Name: "go", Data: json.RawMessage(`{"n":1}`)}}},
			Events: []record.Event{{Time: start, Type: "stage.signaled", Execution: to}}}
	}
	f.commit(send("one", h.ID, true))
	f.waitNotice(execution.NoticeMail, h.ID)
	f.commit(send("one", h.ID, true), send("two", h.ID, false))
	mail, err := f.s.Mail(t.Context(), h.ID, 0)
	if err != nil || len(mail) != 2 || mail[0].Signal.ID != "one" || mail[0].Execution != h.ID || mail[0].Stage != "ask" {
		t.Fatal(mail, err)
	}
	if later, err := f.s.Mail(t.Context(), h.ID, mail[0].Seq); err != nil || len(later) != 1 || later[0].Signal.ID != "two" {
		t.Fatal(later, err)
	}
	if s := f.events(0, record.Filter{Types: []string{"stage."}}); len(s.Events) != 2 {
		t.Fatalf("a message that was sent twice is delivered twice: %+v", s.Events)
	}
	f.end(h, start)
	dead, nobody, child := send("three", h.ID, true), send("four", "nobody", true), send("five", h.ID, false)
	f.offer(dead, nobody, child)
	wantCode(t, dead.Err, problem.Precondition)
	wantCode(t, nobody.Err, problem.NotFound)
	if child.Err != nil {
		t.Fatal(child.Err)
	}
}
