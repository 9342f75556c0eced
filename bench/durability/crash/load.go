package crash

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/internal/pause"
)

// stuckAfter is how long an execution may show no progress.
const stuckAfter = 30 * time.Second

// event is an entry of the event log.
type event struct {
	Position  int64     `json:"position"`
	Time      time.Time `json:"time"`
	Type      string    `json:"type"`
	Execution string    `json:"execution"`
	Pipeline  string    `json:"pipeline"`
	Stage     string    `json:"stage"`
}

// live is an execution that was acknowledged or seen.
type live struct {
	pipeline string
	last     time.Time // time of its last event
	stuck    bool
}

// load starts executions without pause and follows the event log by position,
// from whichever replica answers.
type load struct {
	fleet   *fleet
	next    atomic.Int64
	stopped atomic.Bool
	excused atomic.Bool // the database is unreachable, so nothing can progress
	work    sync.WaitGroup

	mu       sync.Mutex
	acked    map[string]string // key → execution
	started  map[string]string // execution → pipeline, for acknowledged executions
	live     map[string]*live
	ended    map[string]string // execution → status at its end
	seen     []int64           // positions in the order of reading
	repeated int               // positions read twice or out of order
	unlike   []string          // keys that were answered with two executions
	stuck    []string
	busy     int           // answers that asked to try again later
	longest  time.Duration // longest time without an event of a live execution
}

func newLoad(f *fleet) *load {
	return &load{fleet: f, acked: map[string]string{}, started: map[string]string{}, live: map[string]*live{}, ended: map[string]string{}}
}

func (l *load) begin(ctx context.Context) {
	for i := range l.fleet.inFlight {
		l.work.Go(func() {
			random := rand.New(rand.NewPCG(l.fleet.seed, uint64(i)+10))
			for !l.stopped.Load() && ctx.Err() == nil {
				l.one(ctx, random)
			}
		})
	}
	go l.tail(ctx)
}

// one starts an execution, repeating the request with the same key until it is
// acknowledged, and waits for its end.
func (l *load) one(ctx context.Context, random *rand.Rand) {
	n := l.next.Add(1)
	pipeline := "ship"
	if n%8 == 0 {
		pipeline = "line"
	}
	key := strconv.FormatInt(n, 10)
	var id string
	for id == "" && ctx.Err() == nil {
		r := l.fleet.members[random.IntN(len(l.fleet.members))]
		var out struct {
			Execution struct{ ID string }
		}
		err := r.call(ctx, http.MethodPost, "/api/v1/applications/crash/pipelines/"+pipeline+"/executions", struct{}{}, &out, key)
		var no *refused
		if errors.As(err, &no) && no.retryAfter != "" {
			l.mu.Lock()
			l.busy++
			l.mu.Unlock()
		}
		if id = out.Execution.ID; id == "" {
			_ = pause.For(ctx, 20*time.Millisecond) // the loop ends when ctx does
		}
	}
	// The same key at another replica has to return the same execution.
	r := l.fleet.members[random.IntN(len(l.fleet.members))]
	var again struct{ Execution struct{ ID string } }
	err := r.call(ctx, http.MethodPost, "/api/v1/applications/crash/pipelines/"+pipeline+"/executions", struct{}{}, &again, key)
	l.mu.Lock()
	if err == nil && again.Execution.ID != id {
		l.unlike = append(l.unlike, fmt.Sprintf("key %s: %s and %s", key, id, again.Execution.ID))
	}
	l.acked[key] = id
	l.started[id] = pipeline
	l.mu.Unlock()
	for ctx.Err() == nil {
		l.mu.Lock()
		_, over := l.ended[id]
		l.mu.Unlock()
		if over {
			return
		}
		_ = pause.For(ctx, 10*time.Millisecond) // the loop ends when ctx does
	}
}

// tail reads the log by position and checks that every execution progresses.
func (l *load) tail(ctx context.Context) {
	var position int64
	for i := 0; ctx.Err() == nil; i++ {
		r := l.fleet.members[i%len(l.fleet.members)]
		var page struct {
			Events []event
			Next   int64
			Reset  bool
		}
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := r.call(short, http.MethodGet, "/api/v1/events?limit=1000&from="+strconv.FormatInt(position, 10), nil, &page, "")
		cancel()
		if err == nil {
			l.take(page.Events)
			position = max(position, page.Next)
		}
		l.look()
		if err != nil || len(page.Events) < 1000 {
			_ = pause.For(ctx, 20*time.Millisecond) // the loop ends when ctx does
		}
	}
}

func (l *load) take(events []event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	for _, e := range events {
		if n := len(l.seen); n > 0 && e.Position <= l.seen[n-1] {
			l.repeated++
			continue
		}
		l.seen = append(l.seen, e.Position)
		if e.Execution == "" {
			continue
		}
		x := l.live[e.Execution]
		if x == nil {
			x = &live{pipeline: e.Pipeline}
			l.live[e.Execution] = x
		} else {
			l.longest = max(l.longest, now.Sub(x.last))
		}
		x.last = now
		switch e.Type {
		case "execution.succeeded", "execution.failed", "execution.canceled":
			l.ended[e.Execution] = e.Type
			delete(l.live, e.Execution)
		}
	}
}

// look finds executions that have not progressed for too long. Executions of the
// line pipeline wait for each other, so they are checked as one.
func (l *load) look() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if l.excused.Load() {
		for _, x := range l.live {
			x.last = now
		}
		return
	}
	var line time.Time
	for _, x := range l.live {
		if x.pipeline == "line" && x.last.After(line) {
			line = x.last
		}
	}
	for id, x := range l.live {
		last := x.last
		if x.pipeline == "line" {
			last = line
		}
		if !x.stuck && now.Sub(last) > stuckAfter {
			x.stuck = true
			l.stuck = append(l.stuck, id)
		}
	}
}

func (l *load) excuse(on bool) { l.excused.Store(on) }

func (l *load) ends() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ended)
}

func (l *load) progress() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprintf("%d executions acknowledged, %d ended, %d live", len(l.started), len(l.ended), len(l.live))
}

// finish stops starting executions and waits until all have ended.
func (l *load) finish(ctx context.Context) error {
	l.stopped.Store(true)
	done := make(chan struct{})
	go func() { l.work.Wait(); close(done) }()
	t := time.NewTimer(2 * time.Minute)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return fmt.Errorf("after two minutes without a kill: %s", l.progress())
	}
}
