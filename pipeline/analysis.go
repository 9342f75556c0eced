package pipeline

import (
	"bytes"
	"encoding/json"
	"reflect"

	"showrunner/problem"
)

// DecodeAnalysis reads an analysis of metrics from JSON, outside of a file, with the
// defaults filled in. Unknown fields are refused. Errors: invalid.
func DecodeAnalysis(raw []byte) (Analysis, error) {
	const op = "pipeline.analysis"
	tree, err := decodeTree(raw)
	if err != nil {
		return Analysis{}, problem.Wrap(err, problem.Invalid, op, "the configuration of the analysis")
	}
	r := &resolver{scope: &Scope{}}
	if tree, err = r.value(tree, &field{}, reflect.TypeFor[Analysis]()); err != nil {
		return Analysis{}, problem.Wrap(err, problem.Invalid, op, "the configuration of the analysis")
	}
	if raw, err = json.Marshal(tree); err != nil {
		return Analysis{}, problem.Wrap(err, problem.Invalid, op, "the configuration of the analysis")
	}
	var a Analysis
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return Analysis{}, problem.Wrap(err, problem.Invalid, op, "the configuration of the analysis")
	}
	return a, a.check()
}

// check refuses what cannot be judged. A file's own checks say more.
func (a Analysis) check() error {
	const op = "pipeline.analysis"
	if len(a.Metrics) == 0 {
		return problem.New(problem.Invalid, op, "the analysis has no metrics")
	}
	if a.Step <= 0 || a.Interval <= 0 || a.Alpha <= 0 || a.Alpha >= 1 {
		return problem.New(problem.Invalid, op, "step and interval have to be above 0, and alpha between 0 and 1")
	}
	names := map[string]bool{}
	for _, m := range a.Metrics {
		if counts := m.Requests != "" && m.Errors != ""; m.Name == "" || names[m.Name] || counts == (m.Query != "") {
			return problem.New(problem.Invalid, op, "metric %q needs a name of its own, and either a query, or requests and errors", m.Name)
		}
		names[m.Name] = true
	}
	return nil
}
