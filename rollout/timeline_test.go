package rollout_test

import (
	"slices"
	"testing"

	"showrunner/pipeline"
	"showrunner/rollout"
)

// The timeline of a canary that passes and of one that fails: each period begins once and
// has ended when the rollout has.
func TestTheTimelineOfACanary(t *testing.T) {
	kinds := func(st rollout.State) (list []string) {
		for _, p := range st.Timeline {
			list = append(list, string(p.Kind)+" "+p.Outcome)
		}
		return list
	}
	good := newCanary(pipeline.Judge{})
	good.serve(11, 10, 0, 90, 0)
	if got := kinds(good.st); !slices.Equal(got[:3], []string{"region ", "step succeeded", "analysis succeeded"}) {
		t.Errorf("a canary that passes: %q", got)
	}
	bad := newCanary(pipeline.Judge{})
	bad.serve(30, 10, 9, 90, 0)
	if got := kinds(bad.st); bad.st.Failure == nil || !slices.Equal(got, []string{"region failed", "step failed", "analysis failed"}) {
		t.Errorf("a canary that fails: %q", got)
	}
	bad.decide()
	if got := kinds(bad.st); !slices.Equal(got[3:], []string{"undo "}) {
		t.Errorf("while it is undone: %q", got)
	}
	for _, p := range bad.st.Timeline {
		if p.Kind != rollout.PeriodUndo && (p.Ended.IsZero() || p.Ended.Before(p.Began)) {
			t.Errorf("%+v", p)
		}
	}
}
