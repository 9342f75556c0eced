package toolkit

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/internal/pause"
	"showrunner/problem"
	"showrunner/secret"
)

// Options are what a run needs from outside.
type Options struct {
	Environ   []string          // of programs, and for values; nil: this process's
	Dir       string            // where programs run; empty: here
	Overrides map[string]string // values of the configuration
	Client    *http.Client      // nil: http.DefaultClient

	// Hypothesis and Rollbacks go before what the file says; empty: the file's, then
	// StrategyDefault and RollbacksAlways.
	Hypothesis Strategy
	Rollbacks  RollbackStrategy
	Frequency  time.Duration // between two looks during the method; 0: the file's, then 1 s
	FailFast   bool          // ends the method when the hypothesis does not hold during it

	// Say tells of progress, one line at a time. It may be nil.
	Say func(format string, args ...any)
	// Record keeps the journal: before the method, and after each activity. Its error
	// ends the run: rollbacks of a run that nobody knows of could not be found. Nil: not kept.
	Record func(*Journal) error
	// Version is the program's, for the journal.
	Version string
}

func (o Options) environ() []string {
	if o.Environ != nil {
		return o.Environ
	}
	return os.Environ()
}

func (o Options) lookup(name string) (string, bool) {
	env := o.environ()
	for _, e := range slices.Backward(env) {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}

// Parse reads and checks an experiment. It asks Python for the functions that the file
// names; nothing of the experiment is carried out. Every problem is in the error.
// Errors: invalid.
func Parse(ctx context.Context, text []byte, o Options) (*Experiment, error) {
	doc, err := parse(text)
	if err != nil {
		return nil, err
	}
	r := &reader{doc: doc, named: map[string]Activity{}}
	e := r.experiment()
	r.checkFunctions(ctx, o)
	if len(r.problems) > 0 {
		return nil, invalid(r.problems)
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
		p := (&reader{doc: &document{}}).provider(m, "")
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

// undoLimit bounds the rollbacks of a run that is interrupted.
const undoLimit = 10 * time.Minute

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

// Rollback runs the rollbacks of a run whose process died, and ends its journal.
// Errors: invalid, conflict when the journal's run has ended, and those of Record.
func (e *Experiment) Rollback(ctx context.Context, j *Journal, o Options) (*Journal, error) {
	if j.Status != Running {
		return nil, problem.New(problem.Conflict, "chaos.toolkit", "the run of this journal has ended with status %s", j.Status).
			WithHelp("only a run whose process died is rolled back from its journal")
	}
	r, err := e.newRunner(ctx, o)
	if err != nil {
		return nil, err
	}
	j.Status, r.journal = Interrupted, j
	r.note("the process died; the rollbacks were run from its journal")
	r.rollbacks(ctx)
	return r.end(nil)
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

// deviated records a hypothesis that is not met: a probe that could not be made is a
// failure, one that is out of tolerance is what the experiment was made to find.
func (r *runner) deviated(s State) {
	r.journal.Deviated = true
	if len(s.Probes) > 0 && s.Probes[len(s.Probes)-1].failed() {
		r.journal.Status = Failed
	}
}

// look holds every probe against its tolerance, until one is not met.
func (r *runner) look(ctx context.Context, when string) State {
	s := State{Probes: []Result{}}
	for _, a := range r.Hypothesis.Probes {
		result := r.carry(ctx, a)
		met := !result.failed()
		if met {
			result.Deviation = a.Tolerance.met(ctx, r, result.Output)
			met = result.Deviation == ""
		}
		result.ToleranceMet = &met
		result = r.masked(result)
		s.Probes = append(s.Probes, result)
		if !met {
			r.say("steady state %s the method: %s: %s", when, a.Name, cmp.Or(result.Deviation, strings.Join(result.Exception, "; ")))
			return s
		}
	}
	s.Met = true
	r.say("steady state %s the method: met", when)
	return s
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

// watch looks at the hypothesis again and again, and ends the method when it is asked to.
func (r *runner) watch(ctx context.Context, stop context.CancelFunc) {
	every := r.options.Frequency
	if every <= 0 {
		every = r.choices.frequency
	}
	if every <= 0 {
		every = time.Second
	}
	t := time.NewTimer(0)
	defer t.Stop()
	bad := 0
	for looks := 1; ; looks++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		state := r.look(ctx, "during")
		if ctx.Err() != nil {
			return // the method has ended in the middle of the look
		}
		r.mu.Lock()
		r.journal.States.During = append(r.journal.States.During, state)
		if !state.Met {
			bad++
			r.journal.Deviated = true
		}
		ends := !state.Met && (r.options.FailFast || r.choices.failFast) && float64(bad*100)/float64(looks) >= r.choices.failRatio
		if ends {
			r.journal.Status = Aborted
		}
		r.mu.Unlock()
		if ends {
			r.say("the method ends: the steady state is not met")
			stop()
			return
		}
		t.Reset(every)
	}
}

// rollsBack says whether the rollbacks run, by the strategy.
func (r *runner) rollsBack() bool {
	switch cmp.Or(r.options.Rollbacks, r.choices.rollbacks, RollbacksAlways) {
	case RollbacksNever:
		return false
	case RollbacksDeviated:
		return r.journal.Deviated
	case RollbacksDefault:
		return r.journal.Status != Failed && r.journal.Status != Interrupted
	}
	return true
}

// rollbacks undo, one after the other; one that fails does not stop the next.
func (r *runner) rollbacks(ctx context.Context) {
	results := make([]Result, len(r.Rollbacks))
	var background sync.WaitGroup
	for i, a := range r.Rollbacks {
		if a.Background {
			background.Go(func() { results[i] = r.masked(r.carry(ctx, a)) })
			continue
		}
		results[i] = r.masked(r.carry(ctx, a))
	}
	background.Wait()
	for i := range results {
		if results[i].failed() {
			r.note("the rollback %s failed: %s", r.Rollbacks[i].Name, strings.Join(results[i].Exception, "; "))
		}
	}
	_ = r.keep(results, &r.journal.Rollbacks) // the end of the journal is recorded after this, and its error told
}

// carry runs one activity with its pauses.
func (r *runner) carry(ctx context.Context, a Activity) Result {
	before, wrong := r.lasts(a.Before)
	after, wrongAfter := r.lasts(a.After)
	_ = pause.For(ctx, before) // its end is seen below
	begin := time.Now()
	out := Result{Activity: a.document, Status: succeeded, Start: Time{begin}}
	var err error
	if err = cmp.Or(context.Cause(ctx), wrong, wrongAfter); err == nil {
		out.Output, err = a.Provider.call(ctx, r, nil)
	}
	out.End = Time{time.Now()}
	out.Duration = out.End.Sub(begin).Seconds()
	if err != nil {
		out.Status, out.Exception = failed, []string{err.Error()}
		r.say("%s %s: failed: %v", a.Type, a.Name, err)
	} else {
		r.say("%s %s: %s", a.Type, a.Name, short(out.Output))
	}
	_ = pause.For(ctx, after) // the caller sees its end
	return out
}

// lasts is how long a pause is. Errors: the value is no number of seconds.
func (r *runner) lasts(w wait) (time.Duration, error) {
	if w.text == "" {
		return w.fixed, nil
	}
	value := r.values.substitute(w.text)
	if text, ok := value.(string); ok {
		value = convert("float", text)
	}
	n, ok := number(value)
	if !ok || n < 0 || n > math.MaxInt32 {
		return 0, fmt.Errorf("the pause %s is %v, which is no number of seconds", w.text, value)
	}
	return time.Duration(n * float64(time.Second)), nil
}

func (r *runner) mask(text string) string { return secret.Mask(text, r.hidden...) }

// masked is a result as the journal has it: without the values of secrets.
func (r *runner) masked(x Result) Result {
	x.Output, x.Deviation = r.maskedValue(x.Output), r.mask(x.Deviation)
	for i := range x.Exception {
		x.Exception[i] = r.mask(x.Exception[i])
	}
	return x
}

func (r *runner) maskedValue(x any) any {
	switch t := x.(type) {
	case string:
		return r.mask(t)
	case []any:
		out := make([]any, len(t))
		for i := range t {
			out[i] = r.maskedValue(t[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(t))
		for k := range t {
			out[k] = r.maskedValue(t[k])
		}
		return out
	}
	return x
}
