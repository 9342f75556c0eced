package execution

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// Resolver evaluates the expressions of a definition.
type Resolver interface {
	// Parameters completes and checks the parameters of a start. Errors: invalid.
	Parameters(def *pipeline.Pipeline, given map[string]string) (map[string]string, error)
	// When evaluates the stage's condition. Errors: invalid.
	When(s *pipeline.Stage, sc Scope) (bool, error)
	// Config resolves the stage's configuration, but for secrets. Errors: invalid.
	Config(s *pipeline.Stage, sc Scope) (pipeline.Config, error)
}

// Scope is what the expressions of a stage may see.
type Scope struct {
	Execution  *Head
	Parameters map[string]string
	Trigger    map[string]any
	// Names lists the stages whose names occur in the stage's configuration or condition.
	Names []string
	// Stage returns a stage that is complete. It may be called only until the
	// Resolver returns.
	Stage func(name string) (StageState, bool)
}

// Gate decides whether freezes let a stage begin now. It is called often and must
// answer from memory. until is when to ask again, zero for a minute.
type Gate func(ctx context.Context, e Head, s *pipeline.Stage) (open bool, reason string, until time.Time)

// Archive keeps the events that have left the store.
type Archive interface {
	// Append makes events durable; those that it holds already are passed over.
	Append(events []record.Event) error
	// Read answers as Store.ReadEvents does; false: it does not hold what comes
	// right after from.
	Read(from int64, f record.Filter, limit int) (record.Slice, bool, error)
	// Last is the position of the last event it holds; refresh looks anew for
	// what another process has appended.
	Last(refresh bool) int64
}

// Logs keeps what stages print.
type Logs interface {
	// Open appends to the log of a stage's attempt.
	Open(key stage.Key) (io.WriteCloser, error)
}

// Config is what an engine is made of. Store, Kinds and Resolver are required.
type Config struct {
	Store Store
	Kinds []stage.Kind
	// MakeKinds makes the kinds that call the engine they run in, such as one that
	// starts a pipeline. New calls it once, at its end.
	MakeKinds func(e *Engine) ([]stage.Kind, error)
	Resolver  Resolver
	Gate      Gate
	Logs      Logs
	// Secrets returns the secrets of a task, and its log with their values masked.
	Secrets func(key stage.Key, application string, log io.Writer) (stage.Secrets, io.Writer)
	Log     *slog.Logger
	Now     func() time.Time
	Rand    io.Reader // for identifiers
	Limits  Limits
	// Retention is applied every RetentionEvery; zero RetentionEvery is an hour.
	Retention      Retention
	RetentionEvery time.Duration
	// Archive receives events before they are removed, and answers for them
	// afterwards; nil keeps none.
	Archive Archive
}

// Limits bound what the engine takes on. Zero fields take the defaults.
type Limits struct {
	Tasks   int // calls under way at once; default 512
	Live    int // executions live on this replica; default 100,000
	Share   int // of those, the most that one application may have; default half
	Queued  int // executions live in one pipeline that is not parallel; default 1,000
	Pending int // transitions that may wait to be committed; starts are refused from three quarters of them; default 8,192
	// Grace is how long calls may take to return when the engine stops; default 5s.
	Grace time.Duration
}

func (l Limits) withDefaults() Limits {
	set := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&l.Tasks, 512)
	set(&l.Live, 100_000)
	set(&l.Share, (l.Live+1)/2)
	set(&l.Queued, 1_000)
	set(&l.Pending, 8_192)
	if l.Grace <= 0 {
		l.Grace = 5 * time.Second
	}
	return l
}

// Engine carries executions out. Its methods may be used from any goroutine.
type Engine struct {
	cfg    Config
	store  Store
	kinds  kinds
	limits Limits
	now    func() time.Time
	log    *slog.Logger
	ids    *identifiers

	plans     planCache
	callLimit *callLimit
	timers    *timers
	progress  *progressLines
	calling   callsByKey
	commits   commits
	pending   atomic.Int64
	outage    outage    // the database cannot be written
	followers followers // of the event log
	exits     replicaExits

	mu      sync.Mutex
	active  map[string]*activeExecution
	loading map[string]chan struct{}
	ordered map[pipelineKey]*orderedPipeline
	owned   map[string]string // live executions of this replica, in memory or not, with their applications
	shares  map[string]int    // how many of those each application has

	session atomic.Pointer[membership]
	ready   chan struct{} // closed once Run has joined
	running atomic.Bool
	base    context.Context // of everything under way; ends when Run does
	workers workerPool      // calls and short-lived helpers
}

// New checks the configuration and makes an engine; Run makes it act.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Resolver == nil {
		return nil, problem.New(problem.Invalid, "execution.new", "an engine needs a store and a resolver")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.RetentionEvery <= 0 {
		cfg.RetentionEvery = time.Hour
	}
	e := &Engine{cfg: cfg, store: cfg.Store, limits: cfg.Limits.withDefaults(), log: cfg.Log,
		now:     func() time.Time { return cfg.Now().UTC().Truncate(time.Millisecond) },
		ids:     &identifiers{source: cfg.Rand},
		active:  map[string]*activeExecution{},
		loading: map[string]chan struct{}{},
		ordered: map[pipelineKey]*orderedPipeline{},
		workers: newWorkerPool(),
		owned:   map[string]string{},
		shares:  map[string]int{},
		ready:   make(chan struct{}),
	}
	e.callLimit = newCallLimit(e.limits.Tasks)
	e.timers = newTimers(e.now)
	e.progress = newProgressLines(e.now)
	e.plans.max = 256
	e.commits.wakeup = make(chan struct{}, 1)
	all := cfg.Kinds
	if cfg.MakeKinds != nil {
		more, err := cfg.MakeKinds(e)
		if err != nil {
			return nil, err
		}
		all = slices.Concat(all, more)
	}
	var err error
	if e.kinds, err = newKinds(all); err != nil {
		return nil, err
	}
	return e, nil
}

// Run joins the store, adopts what is live and carries it out until ctx ends.
// Running tasks are then detached, so that what they do outside goes on. It may
// be called once.
func (e *Engine) Run(ctx context.Context) error {
	if !e.running.CompareAndSwap(false, true) {
		return problem.New(problem.Precondition, "execution.run", "the engine runs already, or has run")
	}
	base, detach := context.WithCancelCause(context.WithoutCancel(ctx))
	e.base = base
	defer detach(stage.ErrDetached)

	m, err := e.join(ctx)
	if err != nil {
		return err
	}
	committed := make(chan struct{})
	stopCommits := make(chan struct{})
	go func() {
		defer close(committed)
		e.commitLoop(stopCommits)
	}()
	loops, stopLoops := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for _, loop := range []func(context.Context){e.timerLoop, e.sweepLoop, e.retentionLoop, e.progressLoop, e.memberLoop, e.balanceLoop} {
		wg.Go(func() { loop(loops) })
	}
	close(e.ready)
	if err := e.adopt(ctx, m, adoptAll); err != nil && ctx.Err() == nil {
		e.log.Error("adopting what is live failed; it is tried again", "error", err)
		m.retryAdoption()
	}

	<-ctx.Done()
	detach(stage.ErrDetached)
	stopLoops()
	wg.Wait()
	e.awaitWork()
	close(stopCommits)
	e.commits.wake()
	<-committed
	e.awaitWork() // what the last commits set off
	close(e.workers.closed)
	leave, cancel := context.WithTimeout(context.WithoutCancel(ctx), e.limits.Grace)
	defer cancel()
	if m := e.session.Load(); m != nil && !m.lost() {
		if err := m.Leave(leave); err != nil && !errors.Is(err, ErrLost) {
			return problem.Wrap(err, "", "execution.run", "leaving the store")
		}
	}
	return nil
}

// awaitWork gives calls a moment to return after their contexts have ended.
func (e *Engine) awaitWork() {
	t := time.NewTimer(e.limits.Grace)
	defer t.Stop()
	select {
	case <-e.workers.AllDone():
	case <-t.C:
		e.log.Warn("some tasks did not return in time; their intents stay recorded and they are asked at the next start")
	}
}

// Ready is closed once the engine has joined its store and accepts work.
func (e *Engine) Ready() <-chan struct{} { return e.ready }

// await returns the session once there is one.
func (e *Engine) await(ctx context.Context, op string) (*membership, error) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return nil, problem.Wrap(context.Cause(ctx), problem.Unavailable, op, "the engine does not run yet")
	}
	m := e.session.Load()
	if e.outage.is() || m == nil || m.lost() {
		return nil, unreachable(op)
	}
	return m, nil
}

func unreachable(op string) error {
	return unavailable(op, "the database is unreachable; what runs goes on once it is back")
}

// Standing returns nil when this replica can take work on, or why it cannot.
// Errors: unavailable.
func (e *Engine) Standing(ctx context.Context) error {
	const op = "execution.standing"
	select {
	case <-e.ready:
	default:
		return unavailable(op, "the engine has not joined its store yet")
	}
	if m := e.session.Load(); e.outage.is() || m == nil || m.lost() {
		return unreachable(op)
	}
	_, err := e.End(ctx) // the store answers
	return err
}

// outage knows whether the database is unreachable, and tells goroutines that wait for that.
type outage struct {
	mu          sync.Mutex
	unreachable bool
	began       chan struct{}
}

// set records whether the database is unreachable, and says whether that has changed.
func (o *outage) set(unreachable bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.unreachable == unreachable {
		return false
	}
	o.unreachable = unreachable
	if unreachable && o.began != nil {
		close(o.began)
		o.began = nil
	}
	return true
}

func (o *outage) is() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.unreachable
}

// next returns a channel that is closed when the next outage begins.
func (o *outage) next() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.began == nil {
		o.began = make(chan struct{})
	}
	return o.began
}

func unavailable(op, message string) *problem.Error {
	p := problem.New(problem.Unavailable, op, "%s", message)
	p.RetryAfter = 2 * time.Second
	return p
}

// busy is the error of work that is more than this replica takes on.
func busy(op, message string) *problem.Error {
	p := unavailable(op, message)
	p.Busy = true
	return p
}
