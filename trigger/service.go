package trigger

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

// Options say what a Service works with.
type Options struct {
	Definitions  Definitions
	Starter      Starter
	Records      Records
	Secrets      Secrets
	Repositories Repositories
	Events       Events
	Now          func() time.Time
	// Rand returns numbers between 0 and 1; it spreads polls. Default a random
	// source.
	Rand func() float64
	Log  *slog.Logger
}

const (
	// maxConcurrentChecks bounds how many triggers are checked at the same time, since polls
	// are slow.
	maxConcurrentChecks = 8
	// clockCheckInterval is the longest wait before the wall clock is read again, since
	// the clock may have been set.
	clockCheckInterval = time.Minute
	// firstRetry and lastRetry bound the pause after a failure.
	firstRetry = 5 * time.Second
	lastRetry  = 15 * time.Minute
)

// Service runs the triggers that no webhook delivers: schedules, polls, and the
// ends of other pipelines. Any number of replicas may run a Service.
type Service struct {
	o Options
}

// NewService returns a Service.
func NewService(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	return &Service{o: o}
}

// item is one trigger that has a due time.
type item struct {
	id      string
	def     Definition
	trigger pipeline.Trigger
	at      time.Time
	busy    bool
	gone    bool
	failed  int
	index   int // in the heap; -1 when the item is not in it
}

type agenda []*item

func (a agenda) Len() int           { return len(a) }
func (a agenda) Less(i, j int) bool { return a[i].at.Before(a[j].at) }
func (a agenda) Swap(i, j int)      { a[i], a[j] = a[j], a[i]; a[i].index, a[j].index = i, j }
func (a *agenda) Push(x any)        { it := x.(*item); it.index = len(*a); *a = append(*a, it) }
func (a *agenda) Pop() any {
	old := *a
	it := old[len(old)-1]
	it.index = -1
	*a = old[:len(old)-1]
	return it
}

// checkResult is the result of checking one trigger: when to check it again.
type checkResult struct {
	item *item
	next time.Time
	err  error
}

// loop is the state of Run.
type loop struct {
	s     *Service
	items map[string]*item
	queue agenda
	slots int
	done  chan checkResult
	work  sync.WaitGroup
}

// Run works until ctx ends, and then returns nil. One goroutine holds one timer;
// a change of definitions wakes it.
func (s *Service) Run(ctx context.Context) error {
	l := &loop{s: s, items: map[string]*item{}, slots: maxConcurrentChecks, done: make(chan checkResult)}
	l.work.Go(func() { s.followEnds(ctx) })
	defer l.work.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	changed := s.o.Definitions.Changed()
	stale := true
	for {
		if stale {
			err := l.reload(ctx)
			stale = err != nil
			if err != nil && ctx.Err() == nil {
				s.o.Log.Error("the definitions could not be read", "error", err)
			}
		}
		l.begin(ctx)
		timer.Reset(l.pause(stale))
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
			changed, stale = s.o.Definitions.Changed(), true
		case got := <-l.done:
			l.finish(got)
		case <-timer.C:
		}
	}
}

func (l *loop) pause(stale bool) time.Duration {
	pause := clockCheckInterval
	if stale {
		pause = firstRetry
	}
	if len(l.queue) > 0 && l.slots > 0 {
		pause = min(pause, max(0, l.queue[0].at.Sub(l.s.o.Now())))
	}
	return pause
}

// reload applies changed definitions. A new trigger is checked now. The state of
// a removed trigger is deleted, so that it starts afresh if it is added again.
func (l *loop) reload(ctx context.Context) error {
	defs, err := l.s.o.Definitions.All(ctx)
	if err != nil {
		return err
	}
	present := map[string]bool{}
	for _, def := range defs {
		for _, w := range triggersWithID(def) {
			id, t := w.id, w.trigger
			if t.Schedule == nil && t.Poll == nil || present[id] {
				continue
			}
			present[id] = true
			if it, ok := l.items[id]; ok {
				l.update(it, def, t)
				continue
			}
			it := &item{id: id, def: def, trigger: t, at: l.s.o.Now(), index: -1}
			l.items[id] = it
			heap.Push(&l.queue, it)
		}
	}
	for id, it := range l.items {
		if present[id] {
			continue
		}
		delete(l.items, id)
		it.gone = true
		if it.index >= 0 {
			heap.Remove(&l.queue, it.index)
		}
		if !it.busy {
			l.s.forget(ctx, it)
		}
	}
	return nil
}

// update applies a changed definition; the interval of a poll may have changed.
func (l *loop) update(it *item, def Definition, t pipeline.Trigger) {
	same := reflect.DeepEqual(it.trigger, t)
	it.def, it.trigger = def, t
	if same || it.busy {
		return
	}
	it.at = l.s.o.Now()
	if it.index >= 0 {
		heap.Fix(&l.queue, it.index)
	} else {
		heap.Push(&l.queue, it)
	}
}

// triggerWithID is a trigger and its identity.
type triggerWithID struct {
	id      string
	trigger pipeline.Trigger
}

// triggersWithID returns the triggers of a pipeline. Two schedules with the same time,
// or two polls of the same repository, get different identities from their other
// fields: each is checked, and starts the pipeline, independently.
func triggersWithID(def Definition) []triggerWithID {
	list := make([]triggerWithID, 0, len(def.Pipeline.Triggers))
	first := map[string]string{} // identity → index of the first trigger with it
	for _, t := range def.Pipeline.Triggers {
		w := triggerWithID{trigger: t}
		switch {
		case t.Schedule != nil:
			w.id = ident(def, "schedule", t.Schedule.Cron, t.Schedule.Zone)
		case t.Poll != nil:
			w.id = ident(def, "poll", t.Poll.URL)
		case t.Pipeline != nil:
			w.id = followID(def, t.Pipeline)
		}
		raw, err := json.Marshal(t)
		if err != nil {
			panic(err) // it was parsed from a file, so it can be encoded
		}
		if other, taken := first[w.id]; !taken {
			first[w.id] = string(raw)
		} else if other != string(raw) && (t.Schedule != nil || t.Poll != nil) { // triggers that are equal in all fields count as one
			sum := sha256.Sum256(raw)
			w.id += "/" + hex.EncodeToString(sum[:10])
		}
		list = append(list, w)
	}
	return list
}

// begin checks every trigger that is due.
func (l *loop) begin(ctx context.Context) {
	now := l.s.o.Now()
	for l.slots > 0 && len(l.queue) > 0 && !l.queue[0].at.After(now) && ctx.Err() == nil {
		it := heap.Pop(&l.queue).(*item)
		it.busy = true
		l.slots--
		def, t := it.def, it.trigger // the item may change meanwhile
		l.work.Go(func() {
			got := checkResult{item: it}
			if t.Schedule != nil {
				got.next, got.err = l.s.schedule(ctx, it.id, def, t)
			} else {
				got.next, got.err = l.s.poll(ctx, it.id, def, t)
			}
			select {
			case l.done <- got:
			case <-ctx.Done():
			}
		})
	}
}

func (l *loop) finish(got checkResult) {
	it := got.item
	it.busy = false
	l.slots++
	switch {
	case it.gone:
		return
	case got.err != nil:
		l.s.o.Log.Warn("a trigger could not be checked", "trigger", it.id, "error", got.err)
		it.at = l.s.o.Now().Add(retryAfter(it.failed))
		it.failed++
	case got.next.IsZero():
		it.failed = 0
		return // not again until the definition changes
	default:
		it.failed = 0
		it.at = got.next
	}
	heap.Push(&l.queue, it)
}

func retryAfter(failures int) time.Duration {
	return min(lastRetry, firstRetry<<min(failures, 10))
}

// forget deletes the record of a trigger that is no longer defined.
func (s *Service) forget(ctx context.Context, it *item) {
	collection := schedules
	if it.trigger.Poll != nil {
		collection = polls
	}
	key := recordKey(it.def, it.id)
	r, err := s.o.Records.GetRecord(ctx, collection, key)
	if err == nil {
		err = s.o.Records.DeleteRecord(ctx, collection, key, r.Version)
	}
	if err != nil && !slices.Contains([]problem.Code{problem.NotFound, problem.Conflict}, problem.CodeOf(err)) {
		s.o.Log.Warn("the state of a removed trigger was not deleted", "trigger", it.id, "error", err)
	}
}
