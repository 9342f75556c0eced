package subscription

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/eventlog"
	"showrunner/internal/standardwebhook"
	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

const key = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// log is an event log in memory.
type log struct {
	mu     sync.Mutex
	events []record.Event
	grown  chan struct{}
}

func (l *log) add(events ...record.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		e.Position, e.Time = int64(len(l.events)+1), at
		l.events = append(l.events, e)
	}
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
}

func (l *log) End(context.Context) (int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.events)), nil
}

func (l *log) Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice {
	out := make(chan record.Slice)
	go func() {
		defer close(out)
		for {
			l.mu.Lock()
			var s record.Slice
			for _, e := range l.events[from:] {
				if f.Match(e) {
					s.Events = append(s.Events, e)
				}
			}
			s.Next = int64(len(l.events))
			if l.grown == nil {
				l.grown = make(chan struct{})
			}
			grown := l.grown
			l.mu.Unlock()
			if len(s.Events) > 0 {
				select {
				case out <- s:
				case <-ctx.Done():
					return
				}
			}
			from = s.Next
			select {
			case <-grown:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

type secrets map[string]string

func (s secrets) Resolve(_ context.Context, name string) (string, error) {
	if v, ok := s[name]; ok {
		return v, nil
	}
	return "", problem.New(problem.NotFound, "secret", "no %s", name)
}

// receiver is an HTTP receiver without a network, so that tests control the time.
type receiver struct {
	t      *testing.T
	answer func(n int) int // status of the nth call, from 1
	mu     sync.Mutex
	calls  []string // webhook-id of each call, with the status
	bodies []string
	header http.Header
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	if err := standardwebhook.Verify(req.Header, key, body, time.Now()); err != nil {
		r.t.Errorf("the signature: %v", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	status := 200
	if r.answer != nil {
		status = r.answer(len(r.calls) + 1)
	}
	r.calls = append(r.calls, fmt.Sprintf("%s %d", req.Header.Get("Webhook-Id"), status))
	r.bodies = append(r.bodies, string(body))
	r.header = req.Header
	rec := httptest.NewRecorder()
	rec.WriteHeader(status)
	return rec.Result(), nil
}

func (r *receiver) got() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.calls)
}

func newSender(records Records, l *log, r *receiver, holder string) *Sender {
	return &Sender{Subscriptions: Store{records}, Log: l, Secrets: secrets{"key": key}, Source: "http://control", Holder: holder,
		Now: time.Now, Client: &http.Client{Transport: r}, Report: slog.New(slog.DiscardHandler)}
}

// run runs senders over one log until the test's bubble ends.
func run(t *testing.T, records Records, l *log, r *receiver, holders ...string) (stops map[string]func()) {
	var all []*Sender
	for _, h := range holders {
		all = append(all, newSender(records, l, r, h))
	}
	return runAll(t, all...)
}

func runAll(t *testing.T, all ...*Sender) (stops map[string]func()) {
	stops = map[string]func(){}
	for _, d := range all {
		h := d.Holder
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { d.Run(ctx); close(done) }()
		stops[h] = func() { stop(); <-done }
	}
	t.Cleanup(func() {
		for _, stop := range stops {
			stop()
		}
	})
	return stops
}

func subscription() Subscription {
	return Subscription{Name: "audit", URL: "http://receiver/in", Secret: "key", Types: []string{"execution."}}
}

func put(t *testing.T, records Records, s Subscription, from int64) {
	t.Helper()
	if err := (Store{records}).Put(t.Context(), s, from); err != nil {
		t.Fatal(err)
	}
}

func progressOf(t *testing.T, records Records) Progress {
	t.Helper()
	list, err := Store{records}.List(t.Context())
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	return *list[0].Progress
}

// settle lets all timers run that are due within a time.
func settle(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func started(n int) []record.Event {
	list := make([]record.Event, n)
	for i := range list {
		list[i] = record.Event{Type: "execution.started", Application: "shop"}
	}
	return list
}

// Two replicas send each selected event once, in order. When the sending replica
// leaves, the other one takes over.
func TestEventsAreSentByOneReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, l, r := &recordtest.Records{}, &log{}, &receiver{t: t}
		l.add(started(2)...) // before the subscription is made
		put(t, records, subscription(), 2)
		stops := run(t, records, l, r, "one", "two")
		l.add(started(1)...)
		l.add(record.Event{Type: "stage.started"})
		l.add(started(1)...)
		settle(20 * time.Second)
		if got := r.got(); got != "[audit-3 200 audit-5 200]" {
			t.Errorf("sent %s", got)
		}
		if r.header.Get("Content-Type") != eventlog.ContentType {
			t.Errorf("the type is %s", r.header.Get("Content-Type"))
		}
		var c eventlog.CloudEvent
		if err := json.Unmarshal([]byte(r.bodies[0]), &c); err != nil || c.Type != "dev.showrunner.execution.started" || c.Source != "http://control" {
			t.Errorf("%s, %v", r.bodies[0], err)
		}
		holder := progressOf(t, records).Holder
		stops[holder]()
		l.add(started(1)...)
		settle(20 * time.Second)
		if got := r.got(); got != "[audit-3 200 audit-5 200 audit-6 200]" {
			t.Errorf("after %s left: %s", holder, got)
		}
		if p := progressOf(t, records); p.Holder == holder || p.Delivered != 3 {
			t.Errorf("progress: %+v", p)
		}
		for _, stop := range stops {
			stop()
		}
	})
}

// replicas are the replicas of a test; any of them but this one may die.
type replicas struct {
	mu    sync.Mutex
	owner string
	dead  bool
	gone  chan struct{}
}

func (r *replicas) Owner() string { return r.owner }

func (r *replicas) Lives(_ context.Context, owner string) (bool, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return owner == r.owner || !r.dead, nil
}

func (r *replicas) ReplicaExit() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.gone
}

func (r *replicas) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = true
	close(r.gone)
	r.gone = make(chan struct{})
}

// A dead replica is replaced before its lease expires; a living replica keeps its
// lease.
func TestADeadSenderIsReplacedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, l, r, others := &recordtest.Records{}, &log{}, &receiver{t: t}, &replicas{owner: "session of two", gone: make(chan struct{})}
		put(t, records, subscription(), 0)
		one := &held{sender: newSender(records, l, r, "one"), sub: subscription(), version: 1}
		one.sender.Replicas = &replicas{owner: "session of one"}
		if err := one.save(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.add(started(1)...)
		two := newSender(records, l, r, "two")
		two.Replicas = others
		stops := runAll(t, two)
		settle(lease / 2)
		if got := r.got(); got != "[]" {
			t.Errorf("%s was sent while another replica held the subscription", got)
		}
		others.kill()
		settle(time.Millisecond)
		if got := r.got(); got != "[audit-1 200]" {
			t.Errorf("after the sender's death %s was sent", got)
		}
		stops["two"]()
	})
}

// All replicas send the events of one log with one source: the source of the
// replica that sent first, or their common one.
func TestTheSourceStays(t *testing.T) {
	for _, common := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			records, l, r := &recordtest.Records{}, &log{}, &receiver{t: t}
			put(t, records, subscription(), 0)
			for _, name := range []string{"one", "two"} {
				d := newSender(records, l, r, name)
				d.Source, d.Common = "http://"+name, common
				stops := runAll(t, d)
				l.add(started(1)...)
				settle(time.Second)
				stops[name]()
			}
			want := map[bool]string{false: "[http://one http://one]", true: "[http://one http://two]"}[common]
			var got []string
			for _, b := range r.bodies {
				var c eventlog.CloudEvent
				if err := json.Unmarshal([]byte(b), &c); err != nil {
					t.Fatal(err)
				}
				got = append(got, c.Source)
			}
			if fmt.Sprint(got) != want {
				t.Errorf("common %v: sent from %v, want %s", common, got, want)
			}
		})
	}
}

// An event that a receiver refuses is sent again with the same id, before any
// later event. A receiver that is gone, or fails for too long, parks its
// subscription with the reason until it is resumed.
func TestFailuresAreRetriedAndParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, l := &recordtest.Records{}, &log{}
		r := &receiver{t: t, answer: func(n int) int { return map[int]int{1: 500, 2: 503, 5: 410}[n] }}
		r.answer = func(n int) int {
			switch n {
			case 1, 2:
				return 503
			case 5:
				return 410
			}
			return 204
		}
		put(t, records, subscription(), 0)
		stops := run(t, records, l, r, "one")
		l.add(started(2)...)
		settle(20 * time.Second)
		if got := r.got(); got != "[audit-1 503 audit-1 503 audit-1 204 audit-2 204]" {
			t.Errorf("sent %s", got)
		}
		l.add(started(1)...)
		settle(20 * time.Second)
		if p := progressOf(t, records); p.Parked == "" || p.Delivered != 2 {
			t.Errorf("after 410: %+v", p)
		}
		settle(time.Hour)
		if got := len(r.calls); got != 5 {
			t.Errorf("a parked subscription was called %d times", got-5)
		}
		r.answer = func(int) int { return 500 }
		if err := (Store{records}).Resume(t.Context(), "audit", 0); err != nil {
			t.Fatal(err)
		}
		settle(parkAfter + time.Hour)
		p := progressOf(t, records)
		if p.Parked == "" || p.Failures < 100 {
			t.Errorf("after %v of failures: %+v", parkAfter, p)
		}
		r.answer = nil
		if err := (Store{records}).Resume(t.Context(), "audit", 0); err != nil {
			t.Fatal(err)
		}
		settle(20 * time.Second)
		if p := progressOf(t, records); p.Delivered != 3 || p.Error != "" || p.Position != 3 {
			t.Errorf("after it was resumed: %+v", p)
		}
		stops["one"]()
	})
}

func TestSubscriptionsAreChecked(t *testing.T) {
	for name, edit := range map[string]func(*Subscription){
		"name": func(s *Subscription) { s.Name = "../x" }, "no address": func(s *Subscription) { s.URL = "" },
		"scheme": func(s *Subscription) { s.URL = "file:///etc/passwd" }, "password": func(s *Subscription) { s.URL = "http://a:b@c/" },
		"no secret": func(s *Subscription) { s.Secret = "" }, "format": func(s *Subscription) { s.Format = "xml" },
	} {
		s := subscription()
		edit(&s)
		if err := s.Check(); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}
