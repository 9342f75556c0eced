package trace

import (
	"encoding/json"
	"fmt"
	"strconv"

	"showrunner/execution"
	"showrunner/rollout"
	"showrunner/stage"
)

// rollout are the spans of the rollout that a stage has carried out, below that of the
// stage, which gets the attributes of the deployment. Stages without one have none.
func (r run) rollout(of *span, st execution.StageState) []span {
	var out struct {
		Timeline []rollout.Period          `json:"timeline"`
		Verdicts map[string]rollout.Report `json:"verdicts"`
		Cluster  string                    `json:"cluster"`
		Version  string                    `json:"version"`
	}
	if st.Outputs["timeline"] == nil {
		return nil
	}
	raw, err := json.Marshal(st.Outputs)
	if err != nil || json.Unmarshal(raw, &out) != nil {
		return nil // the outputs of another kind
	}
	of.attributes["deployment.id"] = text(of.attributes["cicd.pipeline.task.run.id"])
	of.attributes["deployment.status"] = "succeeded"
	if of.result != success {
		of.attributes["deployment.status"] = "failed"
	}
	if out.Cluster != "" {
		of.attributes["deployment.name"] = out.Cluster
	}
	if out.Version != "" {
		of.attributes["service.version"] = out.Version
	}
	var spans []span
	regions, steps := map[string]span{}, map[string]span{}
	for i, p := range out.Timeline {
		above := *of
		switch p.Kind {
		case rollout.PeriodStep:
			above = either(regions[p.Region], *of)
		case rollout.PeriodAnalysis:
			above = either(steps[p.Region], *of)
		}
		s := above.child(nameOf(p), "period", strconv.Itoa(i))
		s.attributes = map[string]any{"showrunner.rollout.wave": int64(p.Wave)}
		s.start = p.Began
		if !p.Ended.IsZero() {
			s.end = p.Ended
		}
		if p.Region != "" {
			s.attributes["cloud.region"] = p.Region
		}
		if p.Step > 0 {
			s.attributes["showrunner.rollout.step"], s.attributes["showrunner.rollout.weight"] = int64(p.Step), p.Weight
		}
		switch p.Outcome {
		case rollout.PeriodFailed:
			s.result, s.failure = failed, brief(of.failure)
		case rollout.PeriodStopped:
			s.result = cancellation
		}
		switch p.Kind {
		case rollout.PeriodRegion:
			regions[p.Region] = s
		case rollout.PeriodStep:
			steps[p.Region] = s
		case rollout.PeriodAnalysis:
			describeVerdict(s.attributes, out.Verdicts[p.Region], p)
		}
		spans = append(spans, s)
	}
	return spans
}

func either(s, otherwise span) span {
	if s.id == [8]byte{} {
		return otherwise
	}
	return s
}

// brief is a failure without what the span of the stage says of it.
func brief(f *stage.Failure) *stage.Failure {
	if f == nil {
		return nil
	}
	return &stage.Failure{Code: f.Code, Cause: f.Cause}
}

func nameOf(p rollout.Period) string {
	switch p.Kind {
	case rollout.PeriodRegion:
		return "deploy " + p.Region
	case rollout.PeriodStep:
		return fmt.Sprintf("step %d, %g%%", p.Step, p.Weight)
	case rollout.PeriodAnalysis:
		return "canary analysis"
	case rollout.PeriodBake:
		return fmt.Sprintf("bake wave %d", p.Wave)
	case rollout.PeriodUndo:
		return "undo " + p.Region
	}
	return string(p.Kind)
}

// describeVerdict says what the judges found, on the analysis of the step that the
// newest report is of.
func describeVerdict(set map[string]any, r rollout.Report, p rollout.Period) {
	if r.Step != p.Step {
		return
	}
	if r.Verdict.Decision != "" {
		set["showrunner.canary.decision"] = string(r.Verdict.Decision)
		set["showrunner.canary.reason"] = r.Verdict.Reason
		set["showrunner.canary.alpha"] = r.Verdict.Alpha
	}
	if a := r.Analysis; a != nil {
		set["showrunner.canary.metrics.decision"] = string(a.Decision)
		set["showrunner.canary.metrics.reason"] = a.Reason
	}
}
