package cloudwatch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// sorters are what SORT orders several series by.
var sorters = map[string]func(series) float64{
	"AVG": func(s series) float64 { return average(s.points()) }, "MAX": func(s series) float64 { return slices.Max(s.points()) }, "MIN": func(s series) float64 { return slices.Min(s.points()) },
	"SUM": func(s series) float64 { return average(s.points()) * float64(len(s)) }, "STDDEV": func(s series) float64 { return deviation(s.points()) },
}

func (s series) points() []float64 {
	out := make([]float64, 0, len(s))
	for _, t := range s.times() {
		out = append(out, s[t])
	}
	return out
}

// word reads one of some words.
func (p *mathParser) word(words ...string) string {
	w := strings.ToUpper(p.token)
	if !slices.Contains(words, w) {
		p.fail("%q stands where one of %s is expected", p.token, strings.Join(words, ", "))
		return ""
	}
	p.next()
	return w
}

// sortCall is SORT(series, FUNCTION, ASC | DESC [, LIMIT]).
func (p *mathParser) sortCall(depth int) node {
	inner := p.binary(0, depth+1)
	p.expect(",")
	by := p.word("AVG", "MAX", "MIN", "STDDEV", "SUM")
	p.expect(",")
	order := p.word("ASC", "DESC")
	var limit node
	if p.token == "," {
		p.next()
		limit = p.binary(0, depth+1)
	}
	p.expect(")")
	return func(s scope) (value, error) {
		v, err := inner(s)
		if err != nil || v.many == nil {
			return v, err
		}
		most := len(v.many)
		if limit != nil {
			n, err := limit(s)
			if err != nil || !n.isNumber() || n.number < 0 {
				return n, cmp.Or(err, fmt.Errorf("the limit of SORT is a number"))
			}
			most = min(most, int(n.number))
		}
		list := slices.Clone(v.many)
		key := func(s series) float64 {
			if len(s) == 0 {
				return math.Inf(-1)
			}
			return sorters[by](s)
		}
		slices.SortStableFunc(list, func(a, b series) int {
			if order == "DESC" {
				a, b = b, a
			}
			return cmp.Compare(key(a), key(b))
		})
		return value{many: list[:most]}, nil
	}
}

// listFunctions are those that take several series as a list, and those that take the
// times of a series.
func listFunctions() map[string]function {
	out := map[string]function{
		"FIRST": {1, 1, func(_ scope, a []value) (value, error) { return oneOf(a[0], 0) }},
		"LAST":  {1, 1, func(_ scope, a []value) (value, error) { return oneOf(a[0], len(a[0].many)-1) }},
		"SLICE": {2, 3, slice},
		"REMOVE_EMPTY": {1, 1, func(_ scope, a []value) (value, error) {
			if a[0].many == nil {
				return a[0], nil
			}
			return value{many: slices.DeleteFunc(slices.Clone(a[0].many), func(s series) bool { return len(s) == 0 })}, nil
		}},
		"DATAPOINT_COUNT": {1, 1, func(_ scope, a []value) (value, error) {
			if a[0].many != nil {
				return value{}, fmt.Errorf("DATAPOINT_COUNT counts the points of one series")
			}
			return value{number: float64(len(a[0].one))}, nil
		}},
		"DIFF_TIME": steps(func(seconds int64, _, _ float64) float64 { return float64(seconds) }),
		"EPOCH":     ofTimes(func(t time.Time) float64 { return float64(t.Unix()) }),
		"MINUTE":    ofTimes(func(t time.Time) float64 { return float64(t.Minute()) }),
		"HOUR":      ofTimes(func(t time.Time) float64 { return float64(t.Hour()) }),
		"DAY":       ofTimes(func(t time.Time) float64 { return float64((t.Weekday()+6)%7) + 1 }), // Monday is 1
		"DATE":      ofTimes(func(t time.Time) float64 { return float64(t.Day()) }),
		"MONTH":     ofTimes(func(t time.Time) float64 { return float64(t.Month()) }),
		"YEAR":      ofTimes(func(t time.Time) float64 { return float64(t.Year()) }),
	}
	out["DC"] = out["DATAPOINT_COUNT"]
	return out
}

// ofTimes makes of each point what f says of its time in UTC.
func ofTimes(f func(time.Time) float64) function {
	return function{1, 1, func(_ scope, a []value) (value, error) {
		out := series{}
		for t := range a[0].one {
			out[t] = f(time.Unix(t, 0).UTC())
		}
		return value{one: out}, nil
	}}
}

// oneOf is one of several series; a single series is itself.
func oneOf(v value, at int) (value, error) {
	switch {
	case v.many == nil:
		return v, nil
	case len(v.many) == 0:
		return value{one: series{}}, nil
	}
	return value{one: v.many[at]}, nil
}

// slice is SLICE(series, BEGIN [, END]): those from BEGIN on, up to END, which is left out.
func slice(_ scope, a []value) (value, error) {
	if a[0].many == nil {
		return value{}, fmt.Errorf("SLICE takes several series")
	}
	bounds := []int{0, len(a[0].many)}
	for n, v := range a[1:] {
		if !v.isNumber() || v.number < 0 {
			return value{}, fmt.Errorf("the bounds of SLICE are numbers from 0 on")
		}
		bounds[n] = min(int(v.number), len(a[0].many))
	}
	return value{many: a[0].many[bounds[0]:max(bounds[0], bounds[1])]}, nil
}
