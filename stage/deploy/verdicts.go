package deploy

import (
	"encoding/json"

	"showrunner/problem"
	"showrunner/rollout"
)

// OutputVerdicts is the output with the reports of a canary's judge, by region.
const OutputVerdicts = "verdicts"

// OutputTimeline is the output that says how a rollout has spent its time, as a list of
// rollout.Period.
const OutputTimeline = "timeline"

// reportsOf are the outputs of every rollout, also of one that failed: how it has spent its
// time, and what a canary's judge found in each region.
func reportsOf(st rollout.State) map[string]any {
	out := map[string]any{}
	if len(st.Timeline) > 0 {
		out[OutputTimeline] = st.Timeline
	}
	if reports := rollout.Reports(st); len(reports) > 0 {
		out[OutputVerdicts] = reports
	}
	return out
}

// Verdicts reads the reports of a stage of this package from what it put out, or from
// its state while it runs. Other stages have none.
func Verdicts(outputs map[string]any, state json.RawMessage) (map[string]rollout.Report, error) {
	reports := map[string]rollout.Report{}
	if kept, ok := outputs[OutputVerdicts]; ok {
		raw, err := json.Marshal(kept)
		if err == nil {
			err = json.Unmarshal(raw, &reports)
		}
		if err != nil {
			return nil, problem.Wrap(err, problem.Internal, "deploy.verdicts", "reading the verdicts of the stage")
		}
		return reports, nil
	}
	if len(state) == 0 {
		return reports, nil
	}
	var st serviceState
	if err := json.Unmarshal(state, &st); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "deploy.verdicts", "reading the rollout's state")
	}
	return rollout.Reports(st.Rollout), nil
}
