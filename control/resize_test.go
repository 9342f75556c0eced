package control

import (
	"strings"
	"testing"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

// A number beyond a bound that is not moved with it is refused, with what to say
// instead; nothing is raised or lowered without a word.
func TestResizeKeepsToBounds(t *testing.T) {
	for name, tt := range map[string]struct {
		min, desired, max int // -1: not named
		want              pipeline.Capacity
		help              string // of a refusal
	}{
		"within":                   {-1, 5, -1, pipeline.Capacity{Min: 2, Desired: 5, Max: 8}, ""},
		"above":                    {-1, 20, -1, pipeline.Capacity{}, "--max 20"},
		"above, and said":          {-1, 20, 20, pipeline.Capacity{Min: 2, Desired: 20, Max: 20}, ""},
		"below":                    {-1, 1, -1, pipeline.Capacity{}, "--min 1"},
		"below, and said":          {0, 1, -1, pipeline.Capacity{Min: 0, Desired: 1, Max: 8}, ""},
		"said, and not enough":     {-1, 20, 10, pipeline.Capacity{}, "--max 20"},
		"a minimum above":          {9, -1, -1, pipeline.Capacity{}, "--max 9"},
		"a maximum below":          {-1, -1, 1, pipeline.Capacity{}, "--min 1"},
		"bounds the number follow": {4, -1, 6, pipeline.Capacity{Min: 4, Desired: 4, Max: 6}, ""},
	} {
		var c CapacityChange
		for _, f := range []struct {
			n  int
			to **int
		}{{tt.min, &c.Min}, {tt.desired, &c.Desired}, {tt.max, &c.Max}} {
			if f.n >= 0 {
				*f.to = new(f.n)
			}
		}
		got, err := merge(cloud.ServerGroup{Name: "shop-v001", Region: "a", Capacity: pipeline.Capacity{Min: 2, Desired: 3, Max: 8}}, c)
		if tt.help == "" && (err != nil || got != tt.want) || tt.help != "" && (problem.CodeOf(err) != problem.Invalid || !strings.Contains(problem.HelpOf(err), tt.help)) {
			t.Errorf("%s: %+v, %v (%s)", name, got, err, problem.HelpOf(err))
		}
	}
}
