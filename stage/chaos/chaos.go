package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"showrunner/canary/judge/sequential"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// Accounts finds a cloud by the name that pipeline files use. Errors: not_found.
type Accounts interface {
	Account(name string) (*cloud.Account, error)
}

// Claims make sure that nothing else changes the cluster meanwhile.
type Claims interface {
	// Take claims a cluster in regions for an attempt, or answers with the attempt that
	// has it.
	Take(ctx context.Context, account, cluster string, regions []string, k stage.Key) (fresh bool, other *stage.Key, err error)
	Yield(ctx context.Context, account, cluster string, regions []string, k stage.Key) error
}

// Fault is a fault that an experiment begins: one of the calls of Group to another
// service, where it hits requests at the load balancer, or else one of the instances of
// Group.
type Fault struct {
	Account, Region, Group string
	cloud.Fault
}

// Faults begin and undo faults, and keep a record of each from before it begins.
type Faults interface {
	// Held says why no fault may begin now, "" when one may. What cannot be found out
	// is a reason.
	Held(ctx context.Context, application string) string
	// Begin begins a fault for an execution, once for each name. Errors: precondition
	// (it is refused: nothing was begun), unavailable.
	Begin(ctx context.Context, by, execution string, f Fault) error
	// StopMet says why a stop condition is met, "" when it is not. One that cannot be looked
	// at is met.
	StopMet(ctx context.Context, c pipeline.ExperimentStop) string
	// Over says why a fault has ended, "" while it has not.
	Over(ctx context.Context, id string) (reason string, err error)
	// Undo ends a fault; one that has ended, or never began, is success.
	Undo(ctx context.Context, by, id string) error
}

// Experiment is the stage kind chaos.
type Experiment struct {
	Accounts Accounts
	Claims   Claims
	Faults   Faults
	HTTP     *http.Client // for probes
	Now      func() time.Time
}

// Name implements stage.Kind.
func (Experiment) Name() string { return "chaos" }

// Version implements stage.Kind.
func (Experiment) Version() int { return 1 }

// Tasks implements stage.Kind. One task carries the experiment out: each change has a
// key of its own, and the state is saved between two changes.
func (e Experiment) Tasks() []stage.Task {
	return []stage.Task{{Name: "experiment", Run: e.run, Resume: e.run, Cancel: e.cancel}}
}

// step is what an experiment does next.
type step string

// The steps, in their order. Whatever happens after groups were made, undo and gone
// follow.
const (
	stepClaim   step = "" // it waits until nothing else changes the cluster
	stepMake    step = "make"
	stepHealthy step = "healthy" // it waits for the instances
	stepDivide  step = "divide"
	stepInject  step = "inject"
	stepMeasure step = "measure"
	stepUndo    step = "undo"
	stepGone    step = "gone" // it waits until both groups are gone
)

// state is the saved state of the task.
type state struct {
	Step   step   `json:"step,omitempty"`
	Region string `json:"region,omitempty"`
	// Control and Test are the two groups; Test meets the faults.
	Control string `json:"control,omitempty"`
	Test    string `json:"test,omitempty"`
	// Before are the groups that were there already.
	Before []string `json:"before,omitempty"`
	// Weights are those of the cluster before the experiment.
	Weights map[string]float64 `json:"weights,omitempty"`
	Since   time.Time          `json:"since,omitzero"` // of a step that waits
	Planned []Fault            `json:"planned,omitempty"`
	Begun   int                `json:"begun,omitempty"` // so many of Planned

	Latencies   bool                 `json:"latencies,omitempty"` // the cloud measures them
	Began       time.Time            `json:"began,omitzero"`      // of the comparison
	Config      *sequential.Config   `json:"config,omitempty"`
	Analysis    *sequential.Analysis `json:"analysis,omitempty"`
	Last        []cloud.Counts       `json:"last,omitempty"`
	LastAt      time.Time            `json:"lastAt,omitzero"`
	PiledSince  time.Time            `json:"piledSince,omitzero"` // since when requests pile up at the experiment group
	ProbeMisses []int                `json:"probeMisses,omitempty"`

	Verdict *sequential.Verdict `json:"verdict,omitempty"`
	Note    string              `json:"note,omitempty"`
	Failure *stage.Failure      `json:"failure,omitempty"` // nil: it was survived
}

// trial is one call of the task.
type trial struct {
	Experiment
	in      *stage.Input
	config  pipeline.Experiment
	judge   pipeline.Judge
	account *cloud.Account
	st      state
	waits   string    // what the stage waits for
	until   time.Time // when that is over, if it is known
}

func (e Experiment) trial(in *stage.Input) (*trial, error) {
	c, ok := in.Config.(pipeline.Experiment)
	if !ok {
		return nil, problem.New(problem.Internal, "chaos", "the configuration is a %T", in.Config)
	}
	if c.Account == "" {
		c.Account = "local"
	}
	account, err := e.Accounts.Account(c.Account)
	if err != nil {
		return nil, err
	}
	t := &trial{Experiment: e, in: in, config: c, account: account, judge: defaultJudge}
	if c.Judge != nil {
		t.judge = *c.Judge
	}
	if in.State != nil {
		if err := json.Unmarshal(in.State, &t.st); err != nil {
			return nil, problem.Wrap(err, problem.Internal, "chaos", "reading the experiment's state")
		}
	}
	return t, nil
}

// defaultJudge is the judge of a file without one.
var defaultJudge = pipeline.Judge{MaxP99: pipeline.Duration(time.Second), MinRequests: 20, WhenNoData: "fail", WhenInconclusive: "fail"}

// How soon the task is called again.
const (
	immediately = time.Millisecond // as soon as the state is saved
	look        = 250 * time.Millisecond
	second      = time.Second
)

func (e Experiment) run(ctx context.Context, in *stage.Input) (stage.Result, error) {
	t, err := e.trial(in)
	if err != nil {
		return stage.Result{}, err
	}
	after, done, err := t.next(ctx)
	if err != nil {
		return stage.Result{}, err
	}
	if done {
		return t.answer(), nil
	}
	saved, err := json.Marshal(t.st)
	if err != nil {
		return stage.Result{}, err
	}
	return stage.Result{Outcome: stage.Again, State: saved, After: after, Waits: t.waits, WaitsUntil: t.until}, nil
}

// answer is the stage's answer once nothing of the experiment is left.
func (t *trial) answer() stage.Result {
	out := map[string]any{"region": t.st.Region}
	if t.st.Verdict != nil {
		out["verdict"] = *t.st.Verdict
	}
	if t.st.Note != "" {
		out["note"] = t.st.Note
	}
	if t.st.Failure != nil {
		r := stage.Fail(*t.st.Failure)
		r.Outputs = out
		return r
	}
	return stage.Result{Outcome: stage.Done, Outputs: out}
}

// next makes the next step, and says after what time the one after it is due.
func (t *trial) next(ctx context.Context) (after time.Duration, done bool, err error) {
	steps := map[step]func(context.Context) (time.Duration, error){
		stepClaim: t.claim, stepMake: t.make, stepHealthy: t.healthy, stepDivide: t.divide, stepInject: t.inject, stepMeasure: t.measure, stepUndo: t.undo,
	}
	if act := steps[t.st.Step]; act != nil {
		after, err = act(ctx)
		return after, t.st.Step == stepClaim && t.st.Failure != nil || t.st.Step == stepClaim && t.st.Note != "", err
	}
	return t.gone(ctx)
}

// cancel undoes an experiment that is under way.
func (e Experiment) cancel(ctx context.Context, in *stage.Input) error {
	t, err := e.trial(in)
	if err != nil {
		return err
	}
	if t.st.Step == stepClaim {
		return e.Claims.Yield(ctx, t.account.Name(), t.config.Cluster, t.regions(), in.Key)
	}
	if t.st.Step != stepGone {
		t.st.Step = stepUndo
	}
	after, done, err := t.next(ctx)
	if err != nil || done {
		return err
	}
	saved, err := json.Marshal(t.st)
	if err != nil {
		return err
	}
	return &stage.Stopping{State: saved, After: after, Waits: t.waits}
}

// failed ends the experiment: what it has done is undone next.
func (t *trial) failed(code, cause, help string, evidence ...string) {
	if t.st.Failure == nil {
		t.say("it ends: %s", cause)
		t.st.Failure = &stage.Failure{Code: code, Cause: cause, Help: help, Evidence: evidence}
	}
	if t.st.Step != stepClaim {
		t.st.Step = stepUndo
	}
}

func (t *trial) say(format string, args ...any) {
	fmt.Fprintf(t.in.Log, t.Now().UTC().Format("15:04:05")+" "+format+"\n", args...)
}

// key is that of one change.
func (t *trial) key(change string) string { return t.in.Key.String() + "/" + change }

func (t *trial) regions() []string {
	if t.st.Region == "" {
		return nil
	}
	return []string{t.st.Region}
}
