package control

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/canary"
	"showrunner/chaos/experiment"
	"showrunner/problem"
)

// runStage is a control plane that carries experiments out, over a clock that goes on.
type runStage struct {
	*monkeyStage
	*Service
	page   *httptest.Server
	status atomic.Int64 // that the page answers
	posted atomic.Int64
}

func newRunStage(t *testing.T) *runStage {
	t.Helper()
	st := &runStage{monkeyStage: newMonkeyStage(t, 3, "")}
	st.status.Store(200)
	st.page = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			st.posted.Add(1)
		}
		w.WriteHeader(int(st.status.Load()))
	}))
	t.Cleanup(st.page.Close)
	st.Service = st.plane("one")
	return st
}

// plane is a control plane whose clock is the machine's.
func (st *runStage) plane(session string, dead ...string) *Service {
	s := st.monkeyStage.plane(session, dead...)
	s.Now = time.Now
	return s
}

// carry runs the control plane's loop until the test ends, or stop.
func (st *runStage) carry(s *Service) (stop func()) {
	ctx, cancel := context.WithCancel(st.t.Context())
	var work sync.WaitGroup
	work.Go(func() { s.RunExperiments(ctx) })
	stop = func() { cancel(); work.Wait() }
	st.t.Cleanup(stop)
	return stop
}

// until waits for a run that is as it should be.
func (st *runStage) until(s *Service, id string, check func(experiment.Run) bool) experiment.Run {
	st.t.Helper()
	ctx, cancel := context.WithTimeout(st.t.Context(), time.Minute)
	defer cancel()
	for {
		run, err := s.Experiment(st.t.Context(), ada, id)
		if err == nil && check(run) {
			return run
		}
		select {
		case <-ctx.Done():
			st.t.Fatalf("%+v, %v", run, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func over(r experiment.Run) bool { return r.Status != experiment.Running }

func (st *runStage) start(source string) experiment.Run {
	st.t.Helper()
	run, err := st.StartExperiment(st.t.Context(), ada, strings.ReplaceAll(source, "PAGE", st.page.URL), "k")
	if err != nil || run.Status != experiment.Running {
		st.t.Fatalf("%+v, %v", run, err)
	}
	if again, err := st.StartExperiment(st.t.Context(), ada, strings.ReplaceAll(source, "PAGE", st.page.URL), "k"); err != nil || again.ID != run.ID {
		st.t.Errorf("the same request: %+v, %v", again, err)
	}
	return run
}

const slowShop = `experiment: slow shop
application: shop
every: 100ms
steadyState: [{ http: { url: PAGE } }]
STOP
method:
  - name: slow
    fault: { kind: latency, region: a, cluster: shop-web, latency: 5ms, for: LASTS }
  - { name: then, http: { url: PAGE, method: POST } }
rollbacks: [{ name: back, http: { url: PAGE, method: POST } }, { http: { url: "http://127.0.0.1:1/" } }, { http: { url: PAGE, method: POST } }]
`

func slowed(lasts, stop string) string {
	return strings.NewReplacer("LASTS", lasts, "STOP", stop).Replace(slowShop)
}

// TestExperimentRuns: the method in its order, the steady state before and after, and every
// rollback, also after one that failed; nothing is left.
func TestExperimentRuns(t *testing.T) {
	t.Parallel()
	st := newRunStage(t)
	st.carry(st.Service)
	run := st.until(st.Service, st.start(slowed("300ms", "")).ID, over)
	if run.Status != experiment.Completed || run.Deviated || len(run.Before) != 1 || len(run.After) != 1 || st.posted.Load() != 3 || len(st.active()) != 0 {
		t.Errorf("%+v, %d posted, active %v", run, st.posted.Load(), st.active())
	}
	if slow, then := run.Actions[0], run.Actions[1]; slow.State != experiment.Done || then.State != experiment.Done || then.Began.Before(slow.Ended) || slow.Ended.Sub(slow.Began) < 300*time.Millisecond {
		t.Errorf("%+v", run.Actions)
	}
	if len(run.Rollbacks) != 3 || run.Rollbacks[1].State != experiment.Broken || !strings.Contains(run.Reason, "rollback rollback-2 failed") {
		t.Errorf("%+v, %s", run.Rollbacks, run.Reason)
	}
	list, err := st.Experiments(t.Context(), ada)
	if err != nil || len(list) != 1 || list[0].ID != run.ID {
		t.Errorf("%+v, %v", list, err)
	}
}

// query answers every query with one value, or an error.
type query struct {
	value *atomic.Int64
	fail  *atomic.Bool
}

func (q query) Range(_ context.Context, _ string, at, _ time.Time, _ time.Duration) ([][]canary.Point, error) {
	if q.fail.Load() {
		return nil, problem.New(problem.Unavailable, "query", "the metrics are away")
	}
	return [][]canary.Point{{{At: at, Value: float64(q.value.Load())}}}, nil
}

// TestExperimentEndsEarly: whatever ends a run, its fault is undone and its rollbacks run.
func TestExperimentEndsEarly(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		stop string
		act  func(*runStage, string) error
		want experiment.Status
		says string
	}{
		"by hand": {"", func(st *runStage, id string) error {
			_, err := st.StopExperiment(st.t.Context(), ada, id)
			return err
		}, experiment.Stopped, "stopped by ada"},
		"by the lever": {"", func(st *runStage, _ string) error {
			_, err := st.StopChaos(st.t.Context(), ada, "incident 7")
			return err
		}, experiment.Stopped, "incident 7"},
		"by a query": {"stopConditions: [{ promql: errors, above: 5 }]", func(st *runStage, _ string) error {
			st.Metrics.(query).value.Store(6)
			return nil
		}, experiment.Stopped, "the stop condition errors is met: 6 is above 5"},
		"by a query that fails": {"stopConditions: [{ promql: errors, above: 5 }]", func(st *runStage, _ string) error {
			st.Metrics.(query).fail.Store(true)
			return nil
		}, experiment.Stopped, "could not be looked at"},
		"by an alarm": {"stopConditions: [{ alarm: late }]", func(st *runStage, _ string) error {
			st.Alarms.(*namedAlarm).open.Store(true)
			return nil
		}, experiment.Stopped, "alarm late is open"},
		"by a page": {"stopConditions: [{ http: { url: PAGE } }]", func(st *runStage, _ string) error {
			st.status.Store(503)
			return nil
		}, experiment.Stopped, "it answers 503"},
		"because its fault ended": {"", func(st *runStage, id string) error {
			_, err := st.UndoFault(st.t.Context(), ada, id+"-1")
			return err
		}, experiment.Failed, "ended before its time: undone by ada"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newRunStage(t)
			st.Metrics, st.Alarms = query{new(atomic.Int64), new(atomic.Bool)}, &namedAlarm{}
			st.carry(st.Service)
			run := st.start(slowed("1h", tt.stop))
			st.until(st.Service, run.ID, func(experiment.Run) bool {
				list, err := st.Faults(t.Context(), ada)
				return err == nil && len(list) == 1 && list[0].State == FaultActive
			})
			if err := tt.act(st, run.ID); err != nil {
				t.Fatal(err)
			}
			run = st.until(st.Service, run.ID, over)
			if run.Status != tt.want || !strings.Contains(run.Reason, tt.says) || len(st.active()) != 0 || len(run.Rollbacks) != 3 || run.Actions[1].State != experiment.Skipped {
				t.Errorf("%+v, active %v", run, st.active())
			}
		})
	}
}

// namedAlarm is the alarm "late".
type namedAlarm struct{ open atomic.Bool }

func (a *namedAlarm) OpenAlarms(context.Context) ([]string, error) { return nil, nil }

func (a *namedAlarm) AlarmState(_ context.Context, name string) (open, known bool, err error) {
	return a.open.Load(), name == "late", nil
}

// TestExperimentDoesNotBegin: without a steady state there is no method, and no rollback;
// what could not be watched is refused.
func TestExperimentDoesNotBegin(t *testing.T) {
	t.Parallel()
	st := newRunStage(t)
	st.status.Store(500)
	st.carry(st.Service)
	run := st.until(st.Service, st.start(slowed("1h", "")).ID, over)
	if run.Status != experiment.Failed || !run.Deviated || len(run.Rollbacks) != 0 || st.posted.Load() != 0 || !strings.Contains(run.Reason, "did not hold before") {
		t.Errorf("%+v", run)
	}
	if list, err := st.Faults(t.Context(), ada); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
	st.Alarms = &namedAlarm{}
	for name, tt := range map[string]struct {
		source string
		code   problem.Code
		says   string
	}{
		"an alarm that is not there": {slowed("1s", "stopConditions: [{ alarm: latte }]"), problem.Precondition, `no alarm "latte"`},
		"no metrics":                 {slowed("1s", "stopConditions: [{ promql: up, below: 1 }]"), problem.Precondition, "no metrics"},
		"no experiment":              {"experiment: x", problem.Invalid, "method is missing"},
	} {
		if _, err := st.StartExperiment(t.Context(), ada, strings.ReplaceAll(tt.source, "PAGE", st.page.URL), name); problem.CodeOf(err) != tt.code || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := st.StopChaos(t.Context(), ada, "incident"); err != nil {
		t.Fatal(err)
	}
	if _, err := st.StartExperiment(t.Context(), ada, slowed("1s", ""), "held"); problem.CodeOf(err) != problem.Invalid && problem.CodeOf(err) != problem.Precondition {
		t.Errorf("while all chaos is stopped: %v", err)
	}
}

// TestCrashAtEveryWriteOfAnExperiment ends the control plane at each write of a run:
// another one leaves no fault, and runs the rollbacks if the method had begun.
func TestCrashAtEveryWriteOfAnExperiment(t *testing.T) {
	t.Parallel()
	crash := errors.New("crashed")
	for n := 1; ; n++ {
		st := newRunStage(t)
		var writes atomic.Int64
		var died atomic.Bool
		fail := func(op, _, _ string) error {
			if (op == "put" || op == "append") && writes.Add(1) == int64(n) {
				died.Store(true)
			}
			if died.Load() {
				return crash
			}
			return nil
		}
		st.records.Fail = fail
		stop := st.carry(st.Service)
		run, err := st.StartExperiment(t.Context(), ada, strings.ReplaceAll(slowed("50ms", ""), "PAGE", st.page.URL), "k")
		if err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			for !died.Load() && ctx.Err() == nil {
				if kept, err := st.Experiment(t.Context(), ada, run.ID); err == nil && over(kept) {
					break
				}
				select {
				case <-ctx.Done():
				case <-time.After(5 * time.Millisecond):
				}
			}
			cancel()
		}
		stop()
		st.records.Fail = nil
		two := st.plane("two", "one")
		stop = st.carry(two)
		list, err := two.Experiments(t.Context(), ada)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			ended := st.until(two, r.ID, over)
			if ended.Methodical != (len(ended.Rollbacks) == 3) {
				t.Errorf("crash at write %d: method begun %v, %d rollbacks", n, ended.Methodical, len(ended.Rollbacks))
			}
		}
		if _, err := two.tendFaults(t.Context()); err != nil {
			t.Errorf("crash at write %d: %v", n, err)
		}
		stop()
		faults, err := two.Faults(t.Context(), ada)
		if err != nil || len(st.active()) != 0 || slices.ContainsFunc(faults, ChaosFault.Open) {
			t.Errorf("crash at write %d: active %v, %+v, %v", n, st.active(), faults, err)
		}
		if !died.Load() {
			if n < 10 {
				t.Fatalf("only %d writes", n-1)
			}
			return
		}
	}
}
