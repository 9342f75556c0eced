package execution_test

import (
	"errors"
	"slices"
	"testing"

	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record"
)

// The log misses and repeats nothing to a reader that keeps its position.
func TestEventLogIsReadOnFromAnyPosition(t *testing.T) {
	b := newBench(t)
	x := executiontest.End(t, b.e, b.run(pipeline.Pipeline{Name: "p", Concurrency: pipeline.Parallel, Stages: []pipeline.Stage{act("a"), act("b", "a")}}).ID)
	end, err := b.e.End(t.Context())
	if err != nil || end == 0 {
		t.Fatal(end, err)
	}
	var positions []int64
	for from := int64(0); ; {
		s, err := b.e.Events(t.Context(), from, recordFilter(x.ID), 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range s.Events {
			positions = append(positions, e.Position)
		}
		if s.Next <= from {
			break
		}
		from = s.Next
	}
	if !slices.IsSorted(positions) || len(slices.Compact(slices.Clone(positions))) != len(positions) || len(positions) < 4 {
		t.Errorf("%v", positions)
	}
	if _, err := b.e.Get(t.Context(), "nobody"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("an unknown execution: %v", errors.Unwrap(err))
	}
}

func recordFilter(id string) record.Filter { return record.Filter{Execution: id} }
