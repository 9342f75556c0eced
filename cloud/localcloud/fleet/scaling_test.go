package fleet

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"showrunner/pipeline"
)

func bound(f float64) *float64 { return &f }

func TestTargetCapacity(t *testing.T) {
	for _, c := range []struct {
		current        int
		metric, target float64
		want           int
	}{
		{10, 100, 100, 10}, {10, 115, 100, 12}, {10, 85, 100, 9}, {1, 150, 100, 2}, {2, 1000, 100, 20},
		{3, .7, .3, 7}, {10, 0, 100, 0}, {4, 100.0000000001, 100, 4}, {4, 101, 100, 5},
	} {
		if got := targetCapacity(c.current, c.metric, c.target); got != c.want {
			t.Errorf("%d at %v of %v: %d, want %d", c.current, c.metric, c.target, got, c.want)
		}
	}
}

func TestPercentRounding(t *testing.T) {
	for _, c := range []struct{ current, percent, least, want int }{
		{127, 10, 0, 12}, // 12.7
		{10, 10, 0, 1},   // the documentation's example, starting from 10:
		{11, 30, 0, 3},   // 3.3 → 14
		{14, -10, 0, -1}, // -1.4 → 13
		{13, -30, 0, -3}, // -3.9 → 10
		{5, 10, 0, 1},    // 0.5
		{5, -10, 0, -1},  // -0.5
		{20, -33, 0, -6}, // -6.6
		{667, -1, 0, -6}, // -6.67
		{4, 25, 2, 2},    // 1, but at least 2
		{4, -25, 2, -2},  //
		{10, 0, 2, 0},    // no change is none
		{100, 20, 5, 20}, // below the minimum
		{0, 50, 2, 0},    // half of nothing
		{4, 1, 0, 1},     // 0.04
		{1000, 110, 0, 1100},
	} {
		if got := percentOf(c.current, c.percent, c.least); got != c.want {
			t.Errorf("%d%% of %d, least %d: %d, want %d", c.percent, c.current, c.least, got, c.want)
		}
	}
}

func TestStepBounds(t *testing.T) {
	steps := []pipeline.Step{
		{Upper: bound(-20), Change: -30}, {Lower: bound(-20), Upper: bound(-10), Change: -10}, {Lower: bound(-10), Upper: bound(0), Change: 0},
		{Lower: bound(0), Upper: bound(10), Change: 0}, {Lower: bound(10), Upper: bound(20), Change: 10}, {Lower: bound(20), Change: 30},
	}
	for metric, want := range map[float64]int{
		50: 0, 59.9: 0, 60: 10, 69.9: 10, 70: 30, 1e9: 30,
		49.9: 0, 40.1: 0, 40: -10, 30.1: -10, 30: -30, -1e9: -30,
	} {
		s, ok := stepFor(steps, 50, metric)
		if !ok || s.Change != want {
			t.Errorf("metric %v: %d %v, want %d", metric, s.Change, ok, want)
		}
	}
	if _, ok := stepFor(steps, 50, math.NaN()); ok {
		t.Error("missing data found a step")
	}
	if _, ok := stepFor(steps[4:5], 50, 75); ok {
		t.Error("a metric outside every band found one")
	}
}

// The documentation's example: 10 instances, then metrics of 60, 70+, 40 and 30.
func TestStepScaleWorkedCase(t *testing.T) {
	p := pipeline.StepScaling{Metric: "cpu", Threshold: 50, Adjustment: "percent", Steps: []pipeline.Step{
		{Upper: bound(-20), Change: -30}, {Lower: bound(-20), Upper: bound(-10), Change: -10},
		{Lower: bound(10), Upper: bound(20), Change: 10}, {Lower: bound(20), Change: 30},
	}}
	size := 10
	for _, c := range []struct {
		metric float64
		want   int
	}{{60, 11}, {71, 14}, {40, 13}, {29, 10}, {50, 10}} {
		s := situation{Capacity: pipeline.Capacity{Desired: size, Max: 100}, Warm: size}
		size, _ = settle(s.Capacity, []verdict{stepScale("p", p, c.metric, true, true, s)})
		if size != c.want {
			t.Fatalf("at %v: %d, want %d", c.metric, size, c.want)
		}
	}
}

func TestWarmingInstancesCountAsCapacity(t *testing.T) {
	track := pipeline.TargetTracking{Metric: "requests-per-target", Value: 100}
	s := situation{Capacity: pipeline.Capacity{Desired: 20, Max: 50}, Warm: 2, Warming: 18}
	if v := trackTarget("p", track, 1000, true, false, s); v.Desired != 20 {
		t.Errorf("a surge that is already answered asks for %d", v.Desired)
	}
	if v := trackTarget("p", track, 1100, true, false, s); v.Desired != 22 {
		t.Errorf("a growing surge asks for %d, want 22", v.Desired)
	}
	if v := trackTarget("p", track, 10, false, true, s); v.Desired != 20 || !v.Vetoes {
		t.Errorf("shrinks to %d while instances warm up", v.Desired)
	}
	step := pipeline.StepScaling{Threshold: 50, Adjustment: "change", Steps: []pipeline.Step{{Lower: bound(0), Upper: bound(20), Change: 1}, {Lower: bound(20), Change: 3}}}
	s = situation{Capacity: pipeline.Capacity{Desired: 11, Max: 50}, Warm: 10, Warming: 1}
	if v := stepScale("p", step, 60, true, false, s); v.Desired != 11 {
		t.Errorf("the same step again asks for %d", v.Desired)
	}
	if v := stepScale("p", step, 80, true, false, s); v.Desired != 13 {
		t.Errorf("a higher step asks for %d, want 13", v.Desired)
	}
}

func TestSettle(t *testing.T) {
	c := pipeline.Capacity{Min: 2, Desired: 8, Max: 12}
	for _, x := range []struct {
		name     string
		verdicts []verdict
		want     int
	}{
		{"nobody", nil, 8},
		{"largest out wins", []verdict{{Desired: 9}, {Desired: 11}, {Desired: 3}}, 11},
		{"any out beats in", []verdict{{Desired: 3}, {Desired: 9}}, 9},
		{"smallest reduction wins: -3 against -25%", []verdict{{Desired: 5}, {Desired: 6}}, 6},
		{"a target that does not want in prevents it", []verdict{{Desired: 5}, {Desired: 8, Vetoes: true}}, 8},
		{"a step without an opinion does not", []verdict{{Desired: 5}, {Desired: 8}}, 5},
		{"never above max", []verdict{{Desired: 100}}, 12},
		{"never below min", []verdict{{Desired: 0}}, 2},
	} {
		if got, _ := settle(c, x.verdicts); got != x.want {
			t.Errorf("%s: %d, want %d", x.name, got, x.want)
		}
	}
}

func TestMissingDataNeverScales(t *testing.T) {
	s := situation{Capacity: pipeline.Capacity{Min: 1, Desired: 5, Max: 9}, Warm: 5}
	p := pipeline.TargetTracking{Value: 10}
	v := trackTarget("p", p, math.NaN(), true, true, s)
	if v.Desired != 5 || !v.Vetoes {
		t.Errorf("%+v", v)
	}
	if got, _ := settle(s.Capacity, []verdict{v, {Desired: 2}}); got != 5 {
		t.Errorf("another policy shrank the group to %d without that data", got)
	}
}

// A percentage never moves the wrong way and never less than requested, and the
// result of any policies stays within the bounds.
func TestScalingBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		current, percent, least := rapid.IntRange(0, 500).Draw(t, "current"), rapid.IntRange(-100, 300).Draw(t, "percent"), rapid.IntRange(0, 9).Draw(t, "least")
		n := percentOf(current, percent, least)
		if current*percent == 0 && n != 0 || current*percent != 0 && (n == 0 || sign(n) != sign(percent) || n*sign(n) < least) {
			t.Fatalf("%d%% of %d is %d", percent, current, n)
		}
		if exact := float64(current) * float64(percent) / 100; least == 0 && math.Abs(float64(n)-exact) >= 1 {
			t.Fatalf("%v became %d", exact, n)
		}
		c := pipeline.Capacity{Min: rapid.IntRange(0, 5).Draw(t, "min"), Max: rapid.IntRange(5, 20).Draw(t, "max")}
		c.Desired = rapid.IntRange(c.Min, c.Max).Draw(t, "desired")
		var verdicts []verdict
		for range rapid.IntRange(0, 4).Draw(t, "policies") {
			verdicts = append(verdicts, verdict{Desired: rapid.IntRange(-5, 40).Draw(t, "wish"), Vetoes: rapid.Bool().Draw(t, "vetoes")})
		}
		got, _ := settle(c, verdicts)
		if got < c.Min || got > c.Max {
			t.Fatalf("%d is outside %+v", got, c)
		}
		for _, v := range verdicts {
			if got < c.Desired && v.Desired > c.Desired {
				t.Fatalf("shrank to %d although %+v wants out", got, v)
			}
		}
	})
}
