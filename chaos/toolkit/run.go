package toolkit

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"showrunner/chaos/document"
)

// Parse reads and checks an experiment. It asks Python for the functions that the file
// names; nothing of the experiment is carried out. Every problem is in the error.
// Errors: invalid.
func Parse(ctx context.Context, text []byte, o Options) (*Experiment, error) {
	doc, err := document.Parse(text)
	if err != nil {
		return nil, err
	}
	r := &reader{doc: doc, named: map[string]Activity{}}
	e := r.experiment()
	r.checkFunctions(ctx, o)
	if len(r.problems) > 0 {
		return nil, document.Invalid(r.problems)
	}
	return e, nil
}

// runner is one run of an experiment.
type runner struct {
	*Experiment
	options Options
	client  *http.Client
	values  values
	hidden  []string // values of secrets, which neither the journal nor a line of progress has

	mu      sync.Mutex // over journal
	journal *Journal
}

func (r *runner) environ() []string { return r.options.environ() }

func (r *runner) say(format string, args ...any) {
	if r.options.Say != nil {
		r.options.Say("%s", r.mask(fmt.Sprintf(format, args...)))
	}
}

// newRunner resolves the values. Errors: invalid.
func (e *Experiment) newRunner(ctx context.Context, o Options) (*runner, error) {
	v, err := e.resolve(o.lookup, o.Overrides)
	if err != nil {
		return nil, err
	}
	r := &runner{Experiment: e, options: o, client: o.Client, values: v}
	for _, names := range v.secrets {
		for _, x := range names {
			r.hidden = append(r.hidden, plain(x))
		}
	}
	if r.client == nil {
		r.client = http.DefaultClient
	}
	node, _ := os.Hostname() // only for the journal
	r.journal = &Journal{Version: o.Version, Platform: runtime.GOOS + "-" + runtime.GOARCH, Node: node, Experiment: e.document,
		Start: Time{time.Now()}, Status: Running, States: States{During: []State{}}, Run: []Result{}, Rollbacks: []Result{}, Notes: slices.Clone(e.Notes)}
	r.dynamic(ctx)
	return r, nil
}

// dynamic asks the probes that stand for values of the configuration. One that fails
// leaves its name without a value, as with Chaos Toolkit, and a note.
func (r *runner) dynamic(ctx context.Context) {
	for name, x := range r.values.configuration {
		m, ok := x.(map[string]any)
		if !ok || m["type"] != "probe" {
			continue
		}
		p := (&reader{doc: &document.Document{}}).provider(m, "")
		output, err := p.call(ctx, r, nil)
		if s, is := status(output); err == nil && is && !same(s, 0) {
			if _, isProcess := p.(process); isProcess {
				err = fmt.Errorf("it ended with status %v", s)
			}
		}
		if err != nil {
			delete(r.values.configuration, name)
			r.note("the value of %s is not known: %v", name, err)
			continue
		}
		r.values.configuration[name] = p.configured(output)
	}
}

func (r *runner) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Notes = append(r.journal.Notes, r.mask(fmt.Sprintf(format, args...)))
}

// record keeps the journal as it is now.
func (r *runner) record() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.journal.Duration = time.Since(r.journal.Start.Time).Seconds()
	if r.options.Record == nil {
		return nil
	}
	return r.options.Record(r.journal)
}

// Run carries an experiment out. The end of ctx interrupts it: what runs is ended, and
// the rollbacks run. Errors: invalid, before anything has begun; and those of Record.
func (e *Experiment) Run(ctx context.Context, o Options) (*Journal, error) {
	r, err := e.newRunner(ctx, o)
	if err != nil {
		return nil, err
	}
	r.say("experiment: %s", r.values.text(e.Title))
	for _, n := range r.journal.Notes {
		r.say("note: %s", n)
	}
	if err := r.record(); err != nil {
		return nil, err
	}
	recorded := r.steps(ctx)
	if ctx.Err() != nil && recorded == nil {
		r.journal.Status = Interrupted
		r.note("interrupted: %v", context.Cause(ctx))
	}
	if r.rollsBack() {
		undo, stop := context.WithTimeout(context.WithoutCancel(ctx), undoLimit)
		defer stop()
		r.rollbacks(undo)
	}
	return r.end(recorded)
}

// end closes the journal.
func (r *runner) end(recorded error) (*Journal, error) {
	if r.journal.Status == Running {
		r.journal.Status = Completed
	}
	r.journal.End = &Time{time.Now()}
	if err := r.record(); recorded == nil {
		recorded = err
	}
	return r.journal, recorded
}

// steps are the hypothesis, the method, and the hypothesis again.
func (r *runner) steps(ctx context.Context) error {
	strategy := cmp.Or(r.options.Hypothesis, r.choices.hypothesis, StrategyDefault)
	if r.Hypothesis == nil || len(r.Hypothesis.Probes) == 0 {
		strategy = StrategySkip
	}
	if slices.Contains([]Strategy{StrategyDefault, StrategyBefore, StrategyContinuous}, strategy) {
		state := r.look(ctx, "before")
		r.journal.States.Before = &state
		if !state.Met {
			r.deviated(state)
			return r.record()
		}
	}
	if err := r.method(ctx, strategy); err != nil || ctx.Err() != nil || r.journal.Status == Aborted {
		return err
	}
	if slices.Contains([]Strategy{StrategyDefault, StrategyAfter, StrategyContinuous}, strategy) {
		state := r.look(ctx, "after")
		r.journal.States.After = &state
		if !state.Met {
			r.deviated(state)
		}
	}
	return nil
}

// method runs the activities in their order; those in the background are waited for at
// its end. Errors are those of Record.
func (r *runner) method(ctx context.Context, strategy Strategy) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var watch sync.WaitGroup
	watched, end := context.WithCancel(ctx)
	defer watch.Wait()
	defer end()
	if strategy == StrategyContinuous || strategy == StrategyDuring {
		watch.Go(func() { r.watch(watched, stop) })
	}
	results := make([]Result, len(r.Method))
	set := func(i int, v Result) {
		r.mu.Lock()
		results[i] = v
		r.mu.Unlock()
	}
	var background sync.WaitGroup
	done := 0
	var err error
	for i, a := range r.Method {
		if ctx.Err() != nil || err != nil {
			break
		}
		if a.Background {
			background.Go(func() { set(i, r.masked(r.carry(ctx, a))) })
		} else {
			set(i, r.masked(r.carry(ctx, a)))
		}
		done = i + 1
		if !a.Background {
			err = r.keep(results[:done], &r.journal.Run)
		}
	}
	background.Wait()
	return cmp.Or(err, r.keep(results[:done], &r.journal.Run))
}

// keep records results; those in the background that still run are left out.
func (r *runner) keep(results []Result, to *[]Result) error {
	r.mu.Lock()
	list := []Result{}
	for i := range results {
		if results[i].Status != "" {
			list = append(list, results[i])
		}
	}
	*to = list
	r.mu.Unlock()
	return r.record()
}
