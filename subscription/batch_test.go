package subscription

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"showrunner/eventlog"
	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

// stream is a stream in memory that fails as told.
type stream struct {
	fail  func(call, i int) bool // a record
	err   func(call int) error   // a whole call
	calls int
	sizes []int
	taken map[string][]string // events by key, in the order in which they were taken
}

func (s *stream) Put(_ context.Context, records []StreamRecord) (failed []int, err error) {
	s.calls++
	s.sizes = append(s.sizes, len(records))
	if s.err != nil {
		if err := s.err(s.calls); err != nil {
			return nil, err
		}
	}
	for i, r := range records {
		if s.fail != nil && s.fail(s.calls, i) {
			failed = append(failed, i)
			continue
		}
		var c eventlog.CloudEvent
		if err := json.Unmarshal(r.Data, &c); err != nil {
			return nil, err
		}
		s.taken[r.Key] = append(s.taken[r.Key], c.ID)
	}
	return failed, nil
}

func streamed() Subscription {
	return Subscription{Name: "events", URL: "kinesis://us-west-2/deliveries"}
}

// Whatever a stream takes and refuses: each event is taken once, the events of an
// execution in their order, and no batch is larger than Kinesis takes.
func TestAStreamKeepsTheOrderOfEachExecution(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			executions := rapid.SliceOfN(rapid.IntRange(0, 7), 1, 60).Draw(rt, "executions")
			failing := rapid.SliceOfN(rapid.IntRange(0, 3), 40, 40).Draw(rt, "failing")
			s := &stream{taken: map[string][]string{}}
			n := 0
			draw := func() bool { n++; return n < len(failing) && failing[n] == 0 }
			s.fail = func(int, int) bool { return draw() }
			s.err = func(int) error {
				if draw() {
					return problem.New(problem.Unavailable, "put", "throttled")
				}
				return nil
			}
			records, l := &recordtest.Records{}, &log{}
			if err := (Store{records}).Put(t.Context(), streamed(), 0); err != nil {
				t.Fatal(err)
			}
			sender := newSender(records, l, &receiver{t: t}, "one")
			sender.Streams = func(context.Context, Subscription, string) (Stream, error) { return s, nil }
			stop := runAll(t, sender)["one"]
			want := map[string][]string{}
			for i, x := range executions {
				key := fmt.Sprint("x", x)
				l.add(record.Event{Type: "stage.task", Execution: key})
				want[key] = append(want[key], fmt.Sprint(i+1))
			}
			settle(time.Hour)
			stop()
			for key, ids := range want {
				if !slices.Equal(s.taken[key], ids) {
					rt.Fatalf("%s: taken %v, want %v", key, s.taken[key], ids)
				}
			}
			list, err := (Store{records}).List(t.Context())
			if err != nil || list[0].Progress.Delivered != int64(len(executions)) || list[0].Progress.Position != int64(len(executions)) {
				rt.Fatalf("progress: %+v, %v", list[0].Progress, err)
			}
		})
	})
}

func TestABatchHasOneEventOfEachKey(t *testing.T) {
	var events []record.Event
	var sizes []int
	for i := range 1200 {
		events = append(events, record.Event{Execution: fmt.Sprint("x", i%600)})
		sizes = append(sizes, 10)
	}
	if got := streamed().nextBatch(events, sizes); len(got) != batchRecords || got[0] != 0 || got[499] != 499 {
		t.Errorf("%d in a batch", len(got))
	}
	sizes[0], sizes[1] = batchBytes, 1
	if got := streamed().nextBatch(events, sizes); len(got) != 1 {
		t.Errorf("%d in a batch of bytes", len(got))
	}
	if got := streamed().nextBatch(events[:1], []int{batchBytes + 1}); len(got) != 1 {
		t.Errorf("an event that is too large is in no batch")
	}
}

// A stream that is gone parks its subscription.
func TestAStreamThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, l := &recordtest.Records{}, &log{}
		if err := (Store{records}).Put(t.Context(), streamed(), 0); err != nil {
			t.Fatal(err)
		}
		sender := newSender(records, l, &receiver{t: t}, "one")
		sender.Streams = func(context.Context, Subscription, string) (Stream, error) {
			return &stream{err: func(int) error { return problem.New(problem.NotFound, "put", "no such stream") }}, nil
		}
		stop := runAll(t, sender)["one"]
		l.add(started(1)...)
		settle(time.Minute)
		stop()
		list, err := (Store{records}).List(t.Context())
		if err != nil || list[0].Progress.Parked == "" {
			t.Errorf("progress: %+v, %v", list[0].Progress, err)
		}
	})
}
