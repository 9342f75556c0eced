package judge

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"showrunner/problem"
)

// The names of Kayenta's judges in a canary configuration, and ours.
const (
	KayentaJudge = "NetflixACAJudge-v1.0" // as Kayenta, its defects included
	RemoteJudge  = "RemoteJudge-v1.0"     // how Kayenta calls a judge over HTTP; judged as KayentaJudge
	OurJudge     = "netflix-aca-v1"       // the same rules without the defects
)

// The interval of Kayenta's judge.
const (
	kayentaConfidence = 0.98
	kayentaBand       = 0.25
	defaultFactor     = 3.0 // of the interquartile range, for outliers
)

// CanaryConfig is Kayenta's canary configuration, as far as a judge reads it.
type CanaryConfig struct {
	Name       string             `json:"name,omitempty"`
	Judge      ConfiguredJudge    `json:"judge"`
	Metrics    []ConfiguredMetric `json:"metrics"`
	Classifier struct {
		GroupWeights    map[string]float64 `json:"groupWeights,omitempty"`
		ScoreThresholds *Thresholds        `json:"scoreThresholds,omitempty"`
	} `json:"classifier"`
}

// ConfiguredJudge names a judge.
type ConfiguredJudge struct {
	Name string `json:"name,omitempty"`
}

// ConfiguredMetric is a metric of a canary configuration.
type ConfiguredMetric struct {
	Name     string   `json:"name"`
	Groups   []string `json:"groups,omitempty"`
	Analysis struct {
		Canary CanaryAnalysis `json:"canary"`
	} `json:"analysisConfigurations"`
}

// CanaryAnalysis is how a metric is compared.
type CanaryAnalysis struct {
	Direction    string      `json:"direction,omitempty"`
	NaNStrategy  NaNStrategy `json:"nanStrategy,omitempty"`
	Critical     bool        `json:"critical,omitempty"`
	Muted        bool        `json:"muted,omitempty"`
	MustHaveData bool        `json:"mustHaveData,omitempty"`
	EffectSize   Effect      `json:"effectSize"`
	Outliers     struct {
		Strategy string   `json:"strategy,omitempty"` // keep (default) or remove
		Factor   *float64 `json:"outlierFactor,omitempty"`
	} `json:"outliers"`
}

// Request is what Kayenta's remote judge is sent.
type Request struct {
	Config     *CanaryConfig `json:"canaryConfig"`
	Thresholds *Thresholds   `json:"scoreThresholds"`
	Pairs      []Pair        `json:"metricSetPairList"`
}

// Pair is the two series of a metric under one set of tags.
type Pair struct {
	Name   string            `json:"name"`
	ID     string            `json:"id,omitempty"`
	Tags   map[string]string `json:"tags,omitempty"`
	Values struct {
		Control    Values `json:"control"`
		Experiment Values `json:"experiment"`
	} `json:"values"`
}

// greatest is the largest value that is judged: the sum of squares of larger ones is
// no number any more.
const greatest = 1e150

// Values are the points of a series. In JSON a point without a value is "NaN" or null.
type Values []float64

// UnmarshalJSON implements json.Unmarshaler.
func (v *Values) UnmarshalJSON(text []byte) error {
	var raw []any
	if err := json.Unmarshal(text, &raw); err != nil {
		return err
	}
	list := make(Values, 0, len(raw))
	for i, x := range raw {
		switch x := x.(type) {
		case nil:
			list = append(list, math.NaN())
		case float64:
			if math.Abs(x) > greatest {
				return fmt.Errorf("value %d is %g, and values are at most %g", i, x, greatest)
			}
			list = append(list, x)
		case string:
			n, err := strconv.ParseFloat(x, 64)
			if err != nil || math.Abs(n) > greatest {
				return fmt.Errorf("value %d is %q, which is no number", i, x)
			}
			list = append(list, n)
		default:
			return fmt.Errorf("value %d is no number", i)
		}
	}
	*v = list
	return nil
}

// Result is the answer of Kayenta's remote judge, with what the verdict rests on
// beside it.
type Result struct {
	JudgeName   string         `json:"judgeName"`
	Results     []MetricResult `json:"results"`
	GroupScores []NamedScore   `json:"groupScores"`
	Score       NamedScore     `json:"score"`
}

// MetricResult is the comparison of one pair.
type MetricResult struct {
	Name       string            `json:"name"`
	ID         string            `json:"id,omitempty"`
	Tags       map[string]string `json:"tags"`
	Groups     []string          `json:"groups"`
	Experiment Metadata          `json:"experimentMetadata"`
	Control    Metadata          `json:"controlMetadata"`
	Outcome    Outcome           `json:"resultMetadata"`
	Critical   bool              `json:"critical"`
	Label      Label             `json:"classification"`
	Reason     string            `json:"classificationReason"`
}

// Metadata are the statistics of one side.
type Metadata struct {
	Stats Stats `json:"stats"`
}

// Outcome holds the numbers of a comparison. Those of the test are left out where
// there was none.
type Outcome struct {
	Ratio    Number   `json:"ratio"` // of the means; "NaN" when either is 0
	Low      *float64 `json:"intervalLow,omitempty"`
	High     *float64 `json:"intervalHigh,omitempty"`
	Estimate *float64 `json:"estimate,omitempty"`
	Margin   *float64 `json:"margin,omitempty"`
	Effect   *Number  `json:"effect,omitempty"`
	Muted    bool     `json:"muted,omitempty"`
}

// Number is a float that JSON has as "NaN" when it is none.
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(strconv.FormatFloat(f, 'g', -1, 64))
	}
	return json.Marshal(float64(n))
}

// NamedScore is a group's score or the whole one.
type NamedScore struct {
	Name   string  `json:"name,omitempty"`
	Score  float64 `json:"score"`
	Label  string  `json:"classification"`
	Reason string  `json:"classificationReason"`
}

// ParseRequest reads a request. Errors: invalid, with the place in the JSON.
func ParseRequest(text []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(text, &r); err != nil {
		return r, problem.Wrap(err, problem.Invalid, opJudge, "the request is not what a judge reads")
	}
	return r, r.check()
}

const opJudge = "judge"

func (r Request) check() error {
	refuse := func(format string, args ...any) *problem.Error {
		return problem.New(problem.Invalid, opJudge, format, args...)
	}
	switch {
	case r.Config == nil:
		return refuse("the request has no canaryConfig")
	case r.Thresholds == nil:
		return refuse("the request has no scoreThresholds").WithHelp("Kayenta sends the thresholds of the execution, such as {\"pass\": 95, \"marginal\": 75}")
	}
	names := map[string]bool{}
	for i, m := range r.Config.Metrics {
		if m.Name == "" {
			return refuse("canaryConfig.metrics[%d] has no name", i)
		}
		if names[m.Name] {
			return refuse("canaryConfig.metrics[%d]: there are two metrics %q", i, m.Name)
		}
		names[m.Name] = true
	}
	for i, p := range r.Pairs {
		if !names[p.Name] {
			return refuse("metricSetPairList[%d]: canaryConfig has no metric %q", i, p.Name)
		}
	}
	switch name := r.Config.Judge.Name; name {
	case "", KayentaJudge, RemoteJudge, OurJudge:
	default:
		return refuse("canaryConfig.judge: there is no judge %q", name).WithHelp("there are %s and %s", KayentaJudge, OurJudge)
	}
	return nil
}

// Judge answers a request. Errors: invalid.
func Judge(r Request) (Result, error) {
	if err := r.check(); err != nil {
		return Result{}, err
	}
	compatible := r.Config.Judge.Name != OurJudge
	answer := Result{JudgeName: KayentaJudge, Results: []MetricResult{}, GroupScores: []NamedScore{}}
	if !compatible {
		answer.JudgeName = OurJudge
	}
	byName := map[string]ConfiguredMetric{}
	for _, m := range r.Config.Metrics {
		byName[m.Name] = m
	}
	var judged []Judged
	for _, p := range r.Pairs {
		m := byName[p.Name]
		result := comparePair(p, m, compatible)
		answer.Results = append(answer.Results, result)
		judged = append(judged, Judged{Name: m.Name, Groups: m.Groups, Label: result.Label, Critical: result.Critical, Muted: m.Analysis.Canary.Muted})
	}
	if !compatible {
		judged = append(judged, unseen(r, &answer)...)
	}
	score := Sum(judged, r.Config.Classifier.GroupWeights, compatible)
	for _, g := range score.Groups {
		named := NamedScore{Name: g.Name, Score: g.Score, Label: string(r.Thresholds.Verdict(g.Score)), Reason: ""}
		if g.NoData {
			named.Label, named.Reason = string(Nodata), "no metric of the group has data"
		}
		answer.GroupScores = append(answer.GroupScores, named)
	}
	answer.Score = NamedScore{Score: score.Total, Label: string(r.Thresholds.Verdict(score.Total)), Reason: score.Reason}
	return answer, nil
}

// unseen are the metrics of the configuration that no series came for: they have no data.
func unseen(r Request, answer *Result) (judged []Judged) {
	seen := map[string]bool{}
	for _, p := range r.Pairs {
		seen[p.Name] = true
	}
	for _, m := range r.Config.Metrics {
		if !seen[m.Name] {
			result := comparePair(Pair{Name: m.Name}, m, false)
			answer.Results = append(answer.Results, result)
			judged = append(judged, Judged{Name: m.Name, Groups: m.Groups, Label: result.Label, Critical: result.Critical, Muted: m.Analysis.Canary.Muted})
		}
	}
	return judged
}

func comparePair(p Pair, m ConfiguredMetric, compatible bool) MetricResult {
	a := m.Analysis.Canary
	clean := func(values Values) []float64 {
		list := a.NaNStrategy.Clean(values)
		if a.Outliers.Strategy == "remove" {
			factor := defaultFactor
			if a.Outliers.Factor != nil {
				factor = *a.Outliers.Factor
			}
			list = without(list, OutliersIQR(list, factor, true))
		}
		return list
	}
	control, experiment := clean(p.Values.Control), clean(p.Values.Experiment)
	f := Classify(control, experiment, Rule{Direction: a.Direction, NaN: a.NaNStrategy, Critical: a.Critical, MustHaveData: a.MustHaveData,
		Effect: a.EffectSize, Confidence: kayentaConfidence, Band: kayentaBand, Compatible: compatible})
	r := MetricResult{Name: p.Name, ID: p.ID, Tags: p.Tags, Groups: m.Groups, Experiment: Metadata{Describe(experiment)}, Control: Metadata{Describe(control)},
		Outcome: Outcome{Ratio: Number(f.Ratio), Muted: a.Muted}, Critical: f.Critical, Label: f.Label, Reason: f.Reason}
	if r.Tags == nil {
		r.Tags = map[string]string{}
	}
	if r.Groups == nil {
		r.Groups = []string{}
	}
	if f.Tested {
		effect := Number(f.Effect)
		r.Outcome.Low, r.Outcome.High, r.Outcome.Estimate, r.Outcome.Margin, r.Outcome.Effect = &f.Interval.Low, &f.Interval.High, &f.Interval.Estimate, &f.Margin, &effect
	}
	return r
}
