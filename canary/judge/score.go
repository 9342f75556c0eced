package judge

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
)

// Judged is a metric's label in the groups that it counts in.
type Judged struct {
	Name     string
	Groups   []string
	Label    Label
	Critical bool
	Muted    bool
}

// GroupScore is the share of a group's metrics that passed, 0 to 100.
type GroupScore struct {
	Name   string
	Score  float64
	NoData bool // no metric of the group counts; it is taken as 100
	Weight float64
	Counts map[Label]int
}

// Score is the sum of the groups' scores by their weights.
type Score struct {
	Total  float64
	Reason string // why the total is 0 whatever the groups say
	Groups []GroupScore
}

// Sum scores metrics. Groups without a weight share what is left of 100; the weight
// of a group without metrics is lost. A critical metric that did not pass, or half
// of the metrics without data, makes the total 0. Compatible leaves errors out of
// every count, as Kayenta does; otherwise an error or an inconclusive metric did not pass.
func Sum(metrics []Judged, weights map[string]float64, compatible bool) Score {
	var counted []Judged
	for _, m := range metrics {
		if !m.Muted {
			counted = append(counted, m)
		}
	}
	s := Score{Groups: groupScores(counted, weights, compatible)}
	missing := 0
	var critical string
	for _, m := range counted {
		if m.Label == Nodata || !compatible && m.Label == NodataFailMetric {
			missing++
		}
		if m.Critical && m.Label != Pass && critical == "" {
			critical = fmt.Sprintf("the critical metric %s is %s", m.Name, m.Label)
		}
	}
	switch {
	case critical != "":
		s.Reason = critical
	case len(counted) > 0 && 2*missing >= len(counted):
		s.Reason = fmt.Sprintf("%d of %d metrics have no data", missing, len(counted))
	default:
		for _, g := range s.Groups {
			s.Total += g.Score * g.Weight / 100
		}
		s.Total = roundHalfUp(s.Total)
	}
	return s
}

func groupScores(counted []Judged, weights map[string]float64, compatible bool) []GroupScore {
	groups := map[string]*GroupScore{}
	for _, m := range counted {
		for _, name := range m.Groups {
			g := groups[name]
			if g == nil {
				g = &GroupScore{Name: name, Counts: map[Label]int{}}
				groups[name] = g
			}
			g.Counts[m.Label]++
		}
	}
	given, without := 0.0, 0
	for _, w := range weights {
		given += w
	}
	for name := range groups {
		if _, ok := weights[name]; !ok {
			without++
		}
	}
	var list []GroupScore
	for _, name := range slices.Sorted(maps.Keys(groups)) {
		g := groups[name]
		w, ok := weights[name]
		if !ok {
			w = (100 - given) / float64(without)
		}
		g.Weight = w
		failed := g.Counts[High] + g.Counts[Low] + g.Counts[NodataFailMetric]
		if !compatible {
			failed += g.Counts[Error] + g.Counts[Inconclusive]
		}
		if all := g.Counts[Pass] + failed; all > 0 {
			g.Score = 100 * float64(g.Counts[Pass]) / float64(all)
		} else {
			g.Score, g.NoData = 100, true
		}
		list = append(list, *g)
	}
	return list
}

// roundHalfUp rounds to two places by the shortest decimal text of the number, so
// that 0.125 becomes 0.13 and what was computed as 0.12499999999999999 does not.
func roundHalfUp(v float64) float64 {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	point := -1
	for i := range text {
		if text[i] == '.' {
			point = i
		}
	}
	if point < 0 || len(text) <= point+3 {
		return v
	}
	cut, _ := strconv.ParseFloat(text[:point+3], 64) // digits of a number that was printed
	if text[point+3] >= '5' {
		step := 0.01
		if v < 0 {
			step = -0.01
		}
		cut += step
	}
	return math.Round(cut*100) / 100
}

// Thresholds divide scores: at least Pass passes, at least Marginal is marginal.
type Thresholds struct {
	Pass     float64 `json:"pass"`
	Marginal float64 `json:"marginal"`
}

// Verdict of a whole canary.
type Verdict string

// The verdicts.
const (
	VerdictPass     Verdict = "Pass"
	VerdictMarginal Verdict = "Marginal"
	VerdictFail     Verdict = "Fail"
)

// Verdict names a score.
func (t Thresholds) Verdict(score float64) Verdict {
	switch {
	case score >= t.Pass:
		return VerdictPass
	case score >= t.Marginal:
		return VerdictMarginal
	}
	return VerdictFail
}

// Continues tells whether a run of several judgements goes on after a score. A score
// that is just marginal ends it, though its verdict is Marginal.
func (t Thresholds) Continues(score float64) bool { return score > t.Marginal }
