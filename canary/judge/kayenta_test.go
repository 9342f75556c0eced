package judge

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

type recorded struct {
	ID, Kind, Test  string
	Input, Expected json.RawMessage
}

func read[T any](t *testing.T, text json.RawMessage) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func near(got, want, tolerance float64) bool { return got == want || math.Abs(got-want) <= tolerance }

type series struct {
	Control, Experiment, Data, X, Y Values
}

// The judge answers as Kayenta's own tests say, and as its source does at the edges.
func TestKayentaCases(t *testing.T) {
	text, err := os.ReadFile("testdata/kayenta.json")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]func(t *testing.T, c recorded){
		"classify": classifies, "wilcoxonDiff": differs, "outlierDetect": detects, "score": scores,
		"percentileR7": interpolates, "meanRatio": ratios, "cohenD": ratios, "removeNaN": removes, "scoreClass": names, "intervalGate": gates,
	}
	file := read[struct{ Cases []recorded }](t, text)
	if len(file.Cases) < 30 {
		t.Fatalf("%d cases", len(file.Cases))
	}
	for _, c := range file.Cases {
		check := kinds[c.Kind]
		if check == nil {
			t.Fatalf("%s: kind %q", c.ID, c.Kind)
		}
		t.Run(c.ID, func(t *testing.T) { check(t, c) })
	}
}

func classifies(t *testing.T, c recorded) {
	in := read[struct {
		Direction                          string
		NaNStrategy                        NaNStrategy
		Critical, MustHaveData             bool
		Tolerance, Confidence              float64
		AllowedIncrease, AllowedDecrease   *float64
		CriticalIncrease, CriticalDecrease *float64
		EffectSizeMeasure                  string
	}](t, c.Input)
	s := read[series](t, c.Input)
	f := Classify(s.Control, s.Experiment, Rule{Direction: in.Direction, NaN: in.NaNStrategy, Critical: in.Critical, MustHaveData: in.MustHaveData, Confidence: in.Confidence, Band: in.Tolerance, Compatible: true,
		Effect: Effect{in.EffectSizeMeasure, in.AllowedIncrease, in.AllowedDecrease, in.CriticalIncrease, in.CriticalDecrease}})
	want := read[struct {
		Classification Label
		Critical       *bool
	}](t, c.Expected)
	if want.Classification != "" && f.Label != want.Classification || want.Critical != nil && f.Critical != *want.Critical {
		t.Errorf("%s: %+v, want %s", c.Test, f, c.Expected)
	}
	if f.Reason == "" {
		t.Error("no reason")
	}
}

func differs(t *testing.T, c recorded) {
	s := read[series](t, c.Input)
	in := read[struct {
		Evaluations []struct{ Mu, Quantile float64 }
	}](t, c.Input)
	want := read[struct {
		Values       []float64
		AbsTolerance float64
	}](t, c.Expected)
	for i, e := range in.Evaluations {
		got, err := WilcoxonDifference(s.X, s.Y, e.Mu, e.Quantile)
		if err != nil || !near(got, want.Values[i], want.AbsTolerance) {
			t.Errorf("mu %g: %v, %v, want %v", e.Mu, got, err, want.Values[i])
		}
	}
}

func detects(t *testing.T, c recorded) {
	s := read[series](t, c.Input)
	in := read[struct {
		Detector          string
		Parameter         float64
		ReduceSensitivity bool
	}](t, c.Input)
	want := read[struct{ IsOutlier []bool }](t, c.Expected)
	got := OutliersKSigma(s.Data, in.Parameter)
	if in.Detector == "IQR" {
		got = OutliersIQR(s.Data, in.Parameter, in.ReduceSensitivity)
	}
	if !slices.Equal(got, want.IsOutlier) {
		t.Errorf("%v, want %v", got, want.IsOutlier)
	}
}

func scores(t *testing.T, c recorded) {
	in := read[struct {
		GroupWeights map[string]float64
		Results      []struct {
			Name           string
			Classification Label
			Critical       bool
			Muted          bool
			Groups         []string
		}
	}](t, c.Input)
	var list []Judged
	for _, r := range in.Results {
		list = append(list, Judged{Name: r.Name, Groups: r.Groups, Label: r.Classification, Critical: r.Critical, Muted: r.Muted})
	}
	want := read[struct{ SummaryScore float64 }](t, c.Expected)
	if got := Sum(list, in.GroupWeights, true); got.Total != want.SummaryScore {
		t.Errorf("%s: %+v, want %v", c.Test, got, want.SummaryScore)
	}
}

func interpolates(t *testing.T, c recorded) {
	s := read[series](t, c.Input)
	for _, v := range read[struct {
		Values []struct{ P, Value, AbsTolerance float64 }
	}](t, c.Expected).Values {
		if got := Percentile(s.Data, v.P); !near(got, v.Value, v.AbsTolerance+1e-12) {
			t.Errorf("%g: %v, want %v", v.P, got, v.Value)
		}
	}
}

func ratios(t *testing.T, c recorded) {
	s := read[series](t, c.Input)
	want := read[struct{ Value, AbsTolerance float64 }](t, c.Expected)
	got := MeanRatio(s.Control, s.Experiment)
	if c.Kind == "cohenD" {
		got = CohenD(s.Control, s.Experiment)
	}
	if !near(got, want.Value, want.AbsTolerance+1e-12) {
		t.Errorf("%v, want %v", got, want.Value)
	}
}

func removes(t *testing.T, c recorded) {
	s := read[series](t, c.Input)
	want := read[series](t, c.Expected)
	if got := RemoveNaN.Clean(s.Data); !slices.Equal(got, want.Data) {
		t.Errorf("%v, want %v", got, want.Data)
	}
}

func names(t *testing.T, c recorded) {
	in := read[struct{ Score, Pass, Marginal float64 }](t, c.Input)
	want := read[struct{ Classification Verdict }](t, c.Expected)
	if got := (Thresholds{in.Pass, in.Marginal}).Verdict(in.Score); got != want.Classification {
		t.Errorf("%s, want %s", got, want.Classification)
	}
}

func gates(t *testing.T, c recorded) {
	in := read[struct{ Score, Marginal float64 }](t, c.Input)
	want := read[struct{ ContinueRun bool }](t, c.Expected)
	if got := (Thresholds{Marginal: in.Marginal}).Continues(in.Score); got != want.ContinueRun {
		t.Errorf("%v", got)
	}
}

// Without the compatible mode the unit of a metric changes no label, and few values
// never make a verdict.
func TestLabelsDoNotDependOnTheUnit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.Float64Range(0.001, 1000)
		n := rapid.IntRange(1, 40)
		control := rapid.SliceOfN(value, 1, n.Draw(t, "n")).Draw(t, "control")
		experiment := rapid.SliceOfN(value, 1, n.Draw(t, "m")).Draw(t, "experiment")
		r := Rule{Direction: "either", Confidence: kayentaConfidence, Band: kayentaBand}
		want := Classify(control, experiment, r).Label
		if min(len(control), len(experiment)) < leastPoints && want != Inconclusive && want != Pass {
			t.Fatalf("%d and %d values are %s", len(control), len(experiment), want)
		}
		for _, unit := range []float64{1.0 / (1 << 20), 1 << 20} { // exact in floating point
			scaled := func(list []float64) []float64 {
				out := slices.Clone(list)
				for i := range out {
					out[i] *= unit
				}
				return out
			}
			if got := Classify(scaled(control), scaled(experiment), r).Label; got != want {
				t.Fatalf("in units of %g: %s, not %s", unit, got, want)
			}
		}
	})
}

// A request as Kayenta's remote judge sends it, answered whole.
func TestJudgeRequest(t *testing.T) {
	const request = `{"canaryConfig": {"name": "c", "judge": {"name": "NAME"}, "metrics": [
		{"name": "errors", "groups": ["g"], "analysisConfigurations": {"canary": {"direction": "increase", "critical": true}}},
		{"name": "heap", "groups": ["g"], "analysisConfigurations": {"canary": {"direction": "increase", "muted": true}}},
		{"name": "absent", "groups": ["h"]}],
		"classifier": {"groupWeights": {"g": 60, "h": 40}}},
		"scoreThresholds": {"pass": 95, "marginal": 75},
		"metricSetPairList": [
		{"name": "errors", "id": "1", "tags": {"zone": "a"}, "values": {"control": [1,2,1,2,1,2,1,2,"NaN"], "experiment": [9,8,9,8,9,8,9,null,9]}},
		{"name": "heap", "values": {"control": [1,2,1,2,1,2,1,2], "experiment": [9,8,9,8,9,8,9,9]}}]}`
	for name, want := range map[string]int{KayentaJudge: 2, OurJudge: 3} {
		r, err := ParseRequest([]byte(strings.Replace(request, "NAME", name, 1)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Judge(r)
		if err != nil {
			t.Fatal(err)
		}
		if len(got.Results) != want || got.JudgeName != name || got.Score.Score != 0 || got.Score.Label != "Fail" || !strings.Contains(got.Score.Reason, "errors is High") {
			t.Errorf("%s: %+v", name, got)
		}
		first := got.Results[0]
		if first.Label != High || !first.Critical || first.Control.Stats.Count != 8 || first.Outcome.Low == nil || *first.Outcome.Low < 5 || first.Tags["zone"] != "a" {
			t.Errorf("%+v", first)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Error(err)
		}
	}
}

func TestRequestsThatCannotBeJudged(t *testing.T) {
	for text, want := range map[string]string{
		`{"canaryConfig": {}, "scoreThresholds": {}, "metricSetPairList": [{"name": "b", "values": {"control": [1e200]}}]}`: "values are at most",
		`{`:                       "not what a judge reads",
		`{"scoreThresholds": {}}`: "no canaryConfig",
		`{"canaryConfig": {}}`:    "no scoreThresholds",
		`{"canaryConfig": {"metrics": [{}]}, "scoreThresholds": {}}`:                                                             "metrics[0] has no name",
		`{"canaryConfig": {"metrics": [{"name":"a"},{"name":"a"}]}, "scoreThresholds": {}}`:                                      `two metrics "a"`,
		`{"canaryConfig": {"judge": {"name": "x"}}, "scoreThresholds": {}}`:                                                      `no judge "x"`,
		`{"canaryConfig": {}, "scoreThresholds": {}, "metricSetPairList": [{"name": "b"}]}`:                                      `no metric "b"`,
		`{"canaryConfig": {}, "scoreThresholds": {}, "metricSetPairList": [{"name": "b", "values": {"control": ["Infinity"]}}]}`: "no number",
	} {
		if _, err := ParseRequest([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add([]byte(`{"canaryConfig": {"metrics": [{"name": "a"}]}, "scoreThresholds": {}, "metricSetPairList": [{"name": "a", "values": {"control": [1, "NaN"], "experiment": [2]}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := ParseRequest(text)
		if err != nil {
			return
		}
		got, err := Judge(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := json.Marshal(got); err != nil {
			t.Fatal(err)
		}
	})
}
