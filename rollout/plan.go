package rollout

import (
	"fmt"
	"time"

	"showrunner/canary"
	"showrunner/canary/judge/sequential"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/stage"
)

// Spec is the task of a rollout. It does not change while the rollout runs.
type Spec struct {
	// Group is the new version, as it is created in every region; its Capacity is
	// the pipeline file's, its Weight is ignored.
	Group    cloud.ServerGroupSpec `json:"group"`
	Strategy pipeline.Strategy     `json:"strategy"`
	Waves    []pipeline.Wave       `json:"waves"` // never empty; no region occurs twice
	// Undo says how much is undone after a failed wave: "all" waves, that "wave",
	// or "none".
	Undo string `json:"undo"`
	// Restore names, per region, an existing server group to return to instead of
	// creating one: a rollback. All traffic is shifted to it at once, without
	// steps.
	Restore map[string]string `json:"restore,omitempty"`
	// Pinned holds, per region and group, the original minimum of groups whose
	// minimum an earlier rollout has raised and not yet restored.
	Pinned map[string]map[string]int `json:"pinned,omitempty"`
	// Timeout bounds the time from a group's creation or resizing until enough of
	// its instances serve.
	Timeout time.Duration `json:"timeout"`
}

// DefaultTimeout is the default Timeout: two generations of instances that use their
// whole grace period and launch hook, and a margin.
func DefaultTimeout(h pipeline.Health, hooks *pipeline.LifecycleHooks) time.Duration {
	start := time.Duration(h.Grace)
	if hooks != nil && hooks.Launch != nil {
		start += time.Duration(hooks.Launch.Timeout)
	}
	return 2*start + 30*time.Second
}

// Key names one change of one rollout; the driver makes a change once for each
// key.
type Key = string

// ChangeKind is what a Change does.
type ChangeKind string

const (
	Create   ChangeKind = "create"
	Resize   ChangeKind = "resize"
	Shift    ChangeKind = "shift"
	Destroy  ChangeKind = "destroy"
	Validate ChangeKind = "validate"
)

// Change is one thing to do to the cloud.
type Change struct {
	Kind        ChangeKind             `json:"kind"`
	Region      string                 `json:"region"`
	Key         Key                    `json:"key"`
	Spec        *cloud.ServerGroupSpec `json:"-"`                  // Create
	Baseline    bool                   `json:"baseline,omitempty"` // Create: it makes the baseline of a canary
	ServerGroup string                 `json:"serverGroup,omitempty"`
	Capacity    pipeline.Capacity      `json:"capacity,omitzero"`
	Weights     map[string]float64     `json:"weights,omitempty"`
	Guard       cloud.Guard            `json:"guard,omitzero"`
	Pin         bool                   `json:"pin,omitempty"`     // Resize: it only prevents scaling from shrinking the group
	URL         string                 `json:"url,omitempty"`     // Validate
	Percent     float64                `json:"percent,omitempty"` // Validate: percent of traffic after the shift
	After       bool                   `json:"after,omitempty"`   // Validate: the last shift has been made
}

// String describes the change for people.
func (c Change) String() string {
	switch c.Kind {
	case Create:
		if c.Baseline {
			return fmt.Sprintf("%s: create a baseline like %s with %s", c.Region, c.Spec.CopyOf, instances(c.Spec.Capacity.Desired))
		}
		return fmt.Sprintf("%s: create the next version of %s with %s", c.Region, c.Spec.Cluster, instances(c.Spec.Capacity.Desired))
	case Resize:
		if c.Pin {
			return fmt.Sprintf("%s: keep %s at %d instances or more while traffic shifts", c.Region, c.ServerGroup, c.Capacity.Min)
		}
		return fmt.Sprintf("%s: resize %s to %d (%d to %d)", c.Region, c.ServerGroup, c.Capacity.Desired, c.Capacity.Min, c.Capacity.Max)
	case Shift:
		return fmt.Sprintf("%s: shift traffic to %s", c.Region, weightsText(c.Weights))
	case Destroy:
		return fmt.Sprintf("%s: destroy %s", c.Region, c.ServerGroup)
	default:
		if c.After {
			return fmt.Sprintf("%s: ask %s whether the new version may stay", c.Region, c.URL)
		}
		return fmt.Sprintf("%s: ask %s whether to shift %g%%", c.Region, c.URL, c.Percent)
	}
}

// Observed is the present state of the clouds.
type Observed struct {
	Regions map[string]Region
}

// Region is one region's part of Observed.
type Region struct {
	// Unreachable says that the region could not be reached; the other fields are empty
	// then.
	Unreachable string
	Groups      []cloud.ServerGroup // of the cluster, oldest first
	Counts      []cloud.Counts      // set when the strategy has a judge and the cloud counts
	// Measured is what the analysis' source answered for the window that is due; nil when
	// none is.
	Measured *canary.Measured
	// Facts are the facts that the cloud states for the region; nil is a cloud
	// that can do everything, without delay.
	Facts *cloud.Facts
}

// Phase is the progress of one region.
type Phase string

const (
	Waiting  Phase = ""         // its wave has not begun
	Stepping Phase = "stepping" // the new group exists or is being created; traffic shifts step by step
	Shifted  Phase = "shifted"  // all traffic is on the new version
	Cleaned  Phase = "cleaned"  // written by earlier versions: the clean-up was part of the rollout
	Undoing  Phase = "undoing"
	Undone   Phase = "undone"
)

// State is a rollout's memory between two ticks. It is small, and it is saved
// before the next tick.
type State struct {
	Version int                     `json:"v"`
	Regions map[string]*RegionState `json:"regions"`
	Wave    int                     `json:"wave"`
	// BakeSince is when the shift of the present wave was complete; zero before.
	BakeSince time.Time      `json:"bakeSince,omitzero"`
	Failure   *stage.Failure `json:"failure,omitempty"`  // set once; undoing follows
	FailedIn  string         `json:"failedIn,omitempty"` // region of Failure; empty when there is none, and in states of earlier versions
	Finished  time.Time      `json:"finished,omitzero"`  // when the last wave had baked
	// Looked is when the rollout was last looked at; it is updated after a
	// quarter of Timeout.
	Looked time.Time `json:"looked,omitzero"`
	// Timeline is how the rollout has spent its time, in order of beginning.
	Timeline []Period `json:"timeline,omitempty"`
}

// RegionState is one region's part of State.
type RegionState struct {
	Phase Phase `json:"phase"`
	// PreviousGroups are the groups that served when the region's turn came.
	PreviousGroups []Snapshot `json:"before,omitempty"`
	New            string     `json:"new,omitempty"` // the new group's name, once known
	Reused         bool       `json:"reused,omitempty"`
	// CapacityBefore is the capacity of a reused group before the rollout, to be
	// restored when the rollout is undone.
	CapacityBefore pipeline.Capacity `json:"was,omitzero"`
	// WeightBefore is the weight of a reused group before the rollout: above 0
	// when it was in traffic.
	WeightBefore float64 `json:"wasWeight,omitempty"`
	Step         int     `json:"step"`
	// Entered is when the present step (or undoing) began; WeightsSetAt is when its weights were set.
	Entered      time.Time `json:"entered,omitzero"`
	WeightsSetAt time.Time `json:"shown,omitzero"`
	// WeightsAccepted says that the cloud has accepted the present step's
	// weights.
	WeightsAccepted bool `json:"moved,omitempty"`
	// LastCounts are the load balancer's counts at the end of the judge's newest
	// interval, and LastCounted is when they were read. Counted is when counting
	// began at this step: once its weights had settled.
	LastCounts  []cloud.Counts `json:"base,omitempty"`
	LastCounted time.Time      `json:"lastCounted,omitzero"`
	Counted     time.Time      `json:"counted,omitzero"`
	// Uneven says that since LastCounted fewer instances of the new group served than
	// the step needs: others then took its requests, so the interval says nothing
	// about the division of the traffic.
	Uneven bool `json:"uneven,omitempty"`
	// Analysis is what the judge knows, in all steps, and Judge how it judges; both are
	// set once counting begins. Verdict is its last one: that of a failure, or of the
	// last judged step.
	Analysis *sequential.Analysis `json:"analysis,omitempty"`
	Judge    *sequential.Config   `json:"judge,omitempty"`
	Verdict  *sequential.Verdict  `json:"verdict,omitempty"`
	// JudgedStep, from 1, and JudgedWeight, in percent, are of the newest step with
	// counts.
	JudgedStep   int     `json:"judgedStep,omitempty"`
	JudgedWeight float64 `json:"judgedWeight,omitempty"`
	// AnalysisBegan is the beginning of the first window of the analysis of metrics, and
	// Analyzed its newest judgement. SourceFailed says why the source has no answer for
	// the window that is due; empty when it has.
	AnalysisBegan time.Time      `json:"analysisBegan,omitzero"`
	Analyzed      *canary.Report `json:"analyzed,omitempty"`
	SourceFailed  string         `json:"sourceFailed,omitempty"`
	// Logs are what the instances of the new version wrote last, stored by the caller when
	// the rollout failed in this region.
	Logs []string `json:"logs,omitempty"`
	// Unjudged are the steps that passed without a verdict, each with the missing
	// data.
	Unjudged  []string `json:"unjudged,omitempty"`
	Validated bool     `json:"validated,omitempty"`
	// Confirmed says that the hook was called again after the last shift.
	Confirmed bool `json:"confirmed,omitempty"`
	// FinalCapacity is the capacity that the new group ends with.
	FinalCapacity pipeline.Capacity `json:"full"`
	// FailuresBefore is the group's failure count when the region's turn came; a
	// reused group may have failed before.
	FailuresBefore int `json:"failBase,omitempty"`
	// Unreachable is the time since which the region is unreachable, Back when it last
	// became reachable again.
	Unreachable time.Time `json:"unreachable,omitzero"`
	Back        time.Time `json:"back,omitzero"`
	// TrafficDriftSince is the time since which the traffic differs from the
	// rollout's last change.
	TrafficDriftSince time.Time `json:"astray,omitzero"`
	// TooFewSince is the time since which fewer instances of the new group serve
	// than the step needs.
	TooFewSince time.Time `json:"below,omitzero"`
	// Crashes counts failures of instances of the new group that had served; LastCrash is the newest.
	Crashes   int       `json:"crashes,omitempty"`
	LastCrash time.Time `json:"lastCrash,omitzero"`
	// BaselineOf is the group in traffic that the canary's baseline is a copy of, set when
	// the region's turn comes; empty without a baseline. Baseline is the baseline's name,
	// once known. BaselineRemoved says that the cloud has accepted to destroy it.
	BaselineOf      string `json:"baselineOf,omitempty"`
	Baseline        string `json:"baseline,omitempty"`
	BaselineRemoved bool   `json:"baselineRemoved,omitempty"`
	// BaselineTooFewSince is as TooFewSince, of the baseline. DismissedSince is when the
	// removal of a baseline began in a region that is not undone.
	BaselineTooFewSince time.Time `json:"baselineTooFewSince,omitzero"`
	DismissedSince      time.Time `json:"dismissedSince,omitzero"`
	// Refused is the last change that the cloud refused, for people.
	Refused string `json:"refused,omitempty"`
}

// Snapshot records one group before the rollout.
type Snapshot struct {
	Name     string            `json:"name"`
	Version  string            `json:"version"`
	Weight   float64           `json:"weight"`
	Capacity pipeline.Capacity `json:"capacity"`
	Serving  int               `json:"serving"`
	// Pinned says that scaling must not shrink the group while a return to it is
	// possible.
	Pinned bool `json:"pinned,omitempty"`
}

// Decision is the next step of a rollout.
type Decision struct {
	State   State
	Changes []Change
	// Wait is the longest time until Decide has to be called again when nothing
	// changes in the cloud; only without Changes.
	Wait     time.Duration
	Progress string
	// Until is the end of the pause or bake that Progress names; zero when
	// unknown.
	Until   time.Time
	Done    bool
	Failure *stage.Failure // set together with Done: the rollout failed, and Undone says what was restored
}

// step is one level of a strategy.
type step struct {
	Capacity float64 // the new group's share of the wanted capacity, percent
	Weight   float64 // the new group's share of the traffic, percent
	Pause    time.Duration
}

// shape is the part of a strategy that Decide needs.
type shape struct {
	name     string
	steps    []step
	judge    *pipeline.Judge
	analysis *pipeline.Analysis
	validate string
	baseline bool // the canary is compared with a fresh group of the version in traffic
	coexist  bool // both versions stay in traffic
	keep     int  // old groups that are kept after the end; -1 keeps all
	shrink   bool // kept groups are resized to 0 instances
	delay    time.Duration
}

// shapeOf reads a strategy; an empty one is red-black. Numbers are taken
// literally: the language has filled in the defaults, so a 0 is intended.
func shapeOf(s pipeline.Strategy) shape {
	whole := []step{{Capacity: 100, Weight: 100}}
	switch {
	case s.None != nil:
		return shape{name: "none", steps: whole, coexist: true, keep: -1}
	case s.Highlander != nil:
		return shape{name: "highlander", steps: whole, keep: 0}
	case s.Rolling != nil:
		return rollingShape(*s.Rolling)
	case s.Canary != nil:
		return canaryShape(*s.Canary)
	}
	rb := pipeline.RedBlack{}
	if s.RedBlack != nil {
		rb = *s.RedBlack
	}
	return shape{name: "red-black", steps: whole, validate: rb.Validate, keep: rb.Keep,
		shrink: rb.ScaleDown, delay: time.Duration(rb.ScaleDownDelay)}
}

func rollingShape(r pipeline.Rolling) shape {
	percents := r.Steps
	if len(percents) == 0 {
		percents = []int{25, 50, 75}
	}
	sh := shape{name: "rolling", validate: r.Validate, keep: r.Keep, shrink: true, delay: time.Duration(r.ScaleDownDelay)}
	for _, p := range percents {
		if p > 0 && p < 100 {
			sh.steps = append(sh.steps, step{Capacity: float64(p), Weight: float64(p), Pause: time.Duration(r.Pause)})
		}
	}
	sh.steps = append(sh.steps, step{Capacity: 100, Weight: 100, Pause: time.Duration(r.Pause)})
	return sh
}

func canaryShape(c pipeline.Canary) shape {
	pause := time.Duration(c.Pause)
	if pause == 0 {
		pause = 30 * time.Second
	}
	sh := shape{name: "canary", validate: c.Validate, judge: c.Judge, analysis: c.Analysis, keep: c.Keep, shrink: true, delay: time.Duration(c.ScaleDownDelay),
		baseline: c.Baseline != baselineProduction && (c.Judge != nil || c.Analysis != nil)}
	for _, p := range c.Steps {
		if p > 0 && p < 100 {
			sh.steps = append(sh.steps, step{Capacity: p, Weight: p, Pause: pause})
		}
	}
	sh.steps = append(sh.steps, step{Capacity: 100, Weight: 100})
	return sh
}
