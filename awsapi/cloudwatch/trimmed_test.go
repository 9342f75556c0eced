package cloudwatch

import (
	"math"
	"testing"
)

// Trimmed statistics are of the values between two bounds: as percentiles parts of values
// count, as values the lower bound is left out.
func TestTrimmedStatistics(t *testing.T) {
	var b bucket
	for n := 1; n <= 10; n++ {
		b.observations = append(b.observations, single(float64(11-n), 1)) // 1 to 10, the highest first
	}
	for name, want := range map[string]float64{
		"tm90": 5, "tc90": 9, "ts90": 45, "wm90": (45 + 9) / 10.0, "tm100": 5.5, "TM(10%:90%)": 5.5, "TS(:50%)": 15, "TC(80%:)": 2, "tm85": (36 + .5*9) / 8.5,
		"IQM": (.5*3 + 4 + 5 + 6 + 7 + .5*8) / 5, "PR(:3)": 30, "PR(3:7)": 40, "TM(2:4)": 3.5, "TC(2:4)": 2, "WM(2:4)": (2*2 + 3 + 4 + 6*4) / 10.0,
	} {
		if !knownStatistic(name) {
			t.Errorf("%s is not known", name)
		}
		if got, ok := b.statistic(name); !ok || math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v (%v), want %v", name, got, ok, want)
		}
	}
	for _, name := range []string{"tm", "tm101", "TM()", "TM(:)", "TM(90%:10%)", "TM(10%:90)", "PR(10%:90%)", "PR(5:1)", "tm90x", "iqm"} {
		if knownStatistic(name) {
			t.Errorf("%s is known", name)
		}
	}
	if _, ok := b.statistic("TM(100:200)"); ok {
		t.Error("the mean of no values is known")
	}
	b.observations = append(b.observations, observation{set: true, count: 3, sum: 9, minimum: 1, maximum: 5})
	if _, ok := b.statistic("tm90"); ok {
		t.Error("the mean of values that are not known singly is known")
	}
}
