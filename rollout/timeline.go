package rollout

import "time"

// PeriodKind is what a rollout does in a Period.
type PeriodKind string

const (
	PeriodRegion   PeriodKind = "region"   // one region, from its first change to all its traffic
	PeriodStep     PeriodKind = "step"     // one step in a region
	PeriodAnalysis PeriodKind = "analysis" // the judging of a canary at a step
	PeriodBake     PeriodKind = "bake"     // a wave with all its traffic stays healthy for a while
	PeriodUndo     PeriodKind = "undo"     // a region gets back what it had
)

// Outcomes of periods.
const (
	PeriodSucceeded = "succeeded"
	PeriodFailed    = "failed"
	PeriodStopped   = "stopped" // the rollout failed elsewhere
)

// Period is a part of the time that a rollout takes. The periods of steps lie in that of
// their region, and those of analyses in that of their step.
type Period struct {
	Kind   PeriodKind `json:"kind"`
	Region string     `json:"region,omitempty"` // empty for a bake
	Wave   int        `json:"wave"`             // from 1
	Step   int        `json:"step,omitempty"`   // from 1
	Weight float64    `json:"weight,omitempty"` // percent of the traffic at the step
	Began  time.Time  `json:"began"`
	Ended  time.Time  `json:"ended,omitzero"` // zero while it lasts
	// Outcome is empty while the period lasts.
	Outcome string `json:"outcome,omitempty"`
}

// keepTime begins and ends periods by the state that was decided.
func (d *decider) keepTime() {
	for i, w := range d.spec.Waves {
		for _, r := range w.Regions {
			d.keepTimeOf(r, i+1)
		}
	}
	switch {
	case d.st.Failure != nil:
		d.endFailed()
	case !d.st.BakeSince.IsZero() && d.st.Finished.IsZero():
		d.begin(Period{Kind: PeriodBake, Wave: d.st.Wave + 1})
	default:
		d.end("", PeriodSucceeded, PeriodBake)
	}
}

func (d *decider) keepTimeOf(region string, wave int) {
	rs := d.st.Regions[region]
	switch rs.Phase {
	case Stepping:
		if d.st.Failure != nil {
			return
		}
		here := Period{Region: region, Wave: wave, Step: rs.Step + 1, Weight: d.steps()[rs.Step].Weight}
		if p := d.open(region, PeriodStep); p != nil && p.Step != here.Step {
			d.end(region, PeriodSucceeded, PeriodAnalysis, PeriodStep)
		}
		d.begin(Period{Kind: PeriodRegion, Region: region, Wave: wave})
		here.Kind = PeriodStep
		d.begin(here)
		if judged := !rs.Counted.IsZero() || !rs.AnalysisBegan.IsZero() && rs.WeightsAccepted; judged && here.Weight < 100 {
			here.Kind = PeriodAnalysis
			d.begin(here)
		}
	case Shifted:
		d.end(region, PeriodSucceeded, PeriodAnalysis, PeriodStep, PeriodRegion)
	case Undoing:
		d.begin(Period{Kind: PeriodUndo, Region: region, Wave: wave})
	case Undone:
		d.end(region, PeriodSucceeded, PeriodUndo)
	}
}

// open is the period of a kind that lasts; nil when there is none.
func (d *decider) open(region string, kind PeriodKind) *Period {
	for i := range d.st.Timeline {
		if p := &d.st.Timeline[i]; p.Kind == kind && p.Region == region && p.Ended.IsZero() {
			return p
		}
	}
	return nil
}

func (d *decider) begin(p Period) {
	if d.open(p.Region, p.Kind) == nil {
		p.Began = d.now
		d.st.Timeline = append(d.st.Timeline, p)
	}
}

func (d *decider) end(region, outcome string, kinds ...PeriodKind) {
	for _, kind := range kinds {
		if p := d.open(region, kind); p != nil {
			p.Ended, p.Outcome = d.now, outcome
		}
	}
}

// endFailed ends what lasts when the rollout has failed. Undoing goes on.
func (d *decider) endFailed() {
	for i := range d.st.Timeline {
		p := &d.st.Timeline[i]
		if !p.Ended.IsZero() || p.Kind == PeriodUndo {
			continue
		}
		p.Ended, p.Outcome = d.now, PeriodStopped
		if d.st.FailedIn == "" || p.Region == d.st.FailedIn || p.Kind == PeriodBake {
			p.Outcome = PeriodFailed
		}
	}
}
