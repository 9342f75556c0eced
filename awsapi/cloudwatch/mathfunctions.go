package cloudwatch

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// call is a function of an expression. Only what is served is known.
func (p *mathParser) call(name string, depth int) node {
	switch name {
	case "METRICS":
		return p.metricsCall()
	case "FILL":
		return p.fillCall(depth)
	case "SORT":
		return p.sortCall(depth)
	}
	f, ok := functions[name]
	if !ok {
		f, ok = listFunctions()[name]
	}
	if !ok {
		p.fail("the function %s is not served; there are FILL, METRICS, SORT, %s, %s", name, strings.Join(slices.Sorted(maps.Keys(functions)), ", "), strings.Join(slices.Sorted(maps.Keys(listFunctions())), ", "))
		return nil
	}
	arguments := p.arguments(")", depth)
	if p.err != nil {
		return nil
	}
	if len(arguments) < f.least || len(arguments) > f.most {
		p.fail("%s has %d to %d arguments, not %d", name, f.least, f.most, len(arguments))
		return nil
	}
	return func(s scope) (value, error) {
		values := make([]value, len(arguments))
		for i, n := range arguments {
			v, err := n(s)
			if err != nil {
				return v, err
			}
			values[i] = v
		}
		return f.compute(s, values)
	}
}

// metricsCall is METRICS(), every query's series, or those whose ids hold a text.
func (p *mathParser) metricsCall() node {
	p.all = true
	part := ""
	if p.kind == 's' {
		part = p.token[1 : len(p.token)-1]
		p.next()
	}
	p.expect(")")
	return func(s scope) (value, error) {
		out := value{many: []series{}}
		for _, id := range slices.Sorted(maps.Keys(s.series)) {
			if strings.Contains(id, part) {
				out.many = append(out.many, s.series[id])
			}
		}
		return out, nil
	}
}

// fillCall is FILL(series, number | REPEAT | LINEAR).
func (p *mathParser) fillCall(depth int) node {
	inner := p.binary(0, depth+1)
	p.expect(",")
	how := strings.ToUpper(p.token)
	var with node
	if how == "REPEAT" || how == "LINEAR" {
		p.next()
	} else {
		how, with = "", p.binary(0, depth+1)
	}
	p.expect(")")
	return func(s scope) (value, error) {
		v, err := inner(s)
		if err != nil || v.isNumber() {
			return v, err
		}
		filler := 0.0
		if with != nil {
			w, err := with(s)
			if err != nil {
				return w, err
			}
			if !w.isNumber() {
				return w, fmt.Errorf("FILL fills with a number, REPEAT or LINEAR")
			}
			filler = w.number
		}
		if v.many == nil {
			return value{one: fill(v.one, s.grid, how, filler)}, nil
		}
		for i := range v.many {
			v.many[i] = fill(v.many[i], s.grid, how, filler)
		}
		return v, nil
	}
}

func fill(in series, grid []int64, how string, filler float64) series {
	out := maps.Clone(in)
	times := in.times()
	for _, t := range grid {
		if _, ok := in[t]; ok {
			continue
		}
		i, _ := slices.BinarySearch(times, t)
		switch {
		case how == "":
			out[t] = filler
		case i == 0: // nothing before it
		case how == "REPEAT":
			out[t] = in[times[i-1]]
		case i < len(times):
			a, b := times[i-1], times[i]
			out[t] = in[a] + (in[b]-in[a])*float64(t-a)/float64(b-a)
		}
	}
	return out
}

type function struct {
	least, most int
	compute     func(s scope, arguments []value) (value, error)
}

var functions = map[string]function{
	"ABS": each(math.Abs), "CEIL": each(math.Ceil), "FLOOR": each(math.Floor), "LOG": each(math.Log), "LOG10": each(math.Log10),
	"SUM": over(func(v []float64) float64 {
		total := 0.0
		for _, x := range v {
			total += x
		}
		return total
	}),
	"AVG":    over(average),
	"MIN":    over(slices.Min[[]float64]),
	"MAX":    over(slices.Max[[]float64]),
	"STDDEV": over(deviation),
	"METRIC_COUNT": {1, 1, func(_ scope, a []value) (value, error) {
		if a[0].many == nil {
			return value{number: 1}, nil
		}
		return value{number: float64(len(a[0].many))}, nil
	}},
	"PERIOD":      {1, 1, func(s scope, _ []value) (value, error) { return value{number: float64(s.period)}, nil }},
	"TIME_SERIES": {1, 1, func(s scope, a []value) (value, error) { return value{one: constant(a[0].number, s.grid)}, nil }},
	"DIFF":        steps(func(_ int64, before, v float64) float64 { return v - before }),
	"RATE":        steps(func(seconds int64, before, v float64) float64 { return (v - before) / float64(seconds) }),
	"RUNNING_SUM": {1, 1, func(_ scope, a []value) (value, error) {
		out, total := series{}, 0.0
		for _, t := range a[0].one.times() {
			total += a[0].one[t]
			out[t] = total
		}
		return value{one: out}, nil
	}},
	"IF": {2, 3, ifElse},
}

func average(v []float64) float64 {
	total := 0.0
	for _, x := range v {
		total += x
	}
	return total / float64(len(v))
}

func deviation(v []float64) float64 {
	m, squares := average(v), 0.0
	for _, x := range v {
		squares += (x - m) * (x - m)
	}
	return math.Sqrt(squares / float64(len(v)))
}

// each applies f to every point.
func each(f func(float64) float64) function {
	return function{1, 1, func(_ scope, a []value) (value, error) {
		return apply(func(v, _ float64) float64 { return f(v) }, a[0], value{})
	}}
}

// over makes a number of one series, and one series of several: of the points of each period.
func over(f func([]float64) float64) function {
	return function{1, 1, func(_ scope, a []value) (value, error) {
		switch v := a[0]; {
		case v.many != nil:
			points := map[int64][]float64{}
			for _, s := range v.many {
				for t, x := range s {
					points[t] = append(points[t], x)
				}
			}
			out := series{}
			for t, list := range points {
				out.set(t, f(list))
			}
			return value{one: out}, nil
		case v.isNumber():
			return v, nil
		case len(v.one) == 0:
			return value{one: series{}}, nil
		default:
			return value{number: f(slices.Collect(maps.Values(v.one)))}, nil
		}
	}}
}

// steps makes each point of it and the one before.
func steps(f func(seconds int64, before, v float64) float64) function {
	return function{1, 1, func(_ scope, a []value) (value, error) {
		out := series{}
		times := a[0].one.times()
		for i := 1; i < len(times); i++ {
			out.set(times[i], f(times[i]-times[i-1], a[0].one[times[i-1]], a[0].one[times[i]]))
		}
		return value{one: out}, nil
	}}
}

func ifElse(_ scope, a []value) (value, error) {
	pick := func(v value, t int64) (float64, bool) {
		if v.isNumber() {
			return v.number, true
		}
		x, ok := v.one[t]
		return x, ok
	}
	for _, v := range a {
		if v.many != nil {
			return value{}, fmt.Errorf("IF compares single series")
		}
	}
	if a[0].isNumber() {
		switch {
		case a[0].number != 0:
			return a[1], nil
		case len(a) == 3:
			return a[2], nil
		}
		return value{one: series{}}, nil
	}
	out := series{}
	for t, condition := range a[0].one {
		branch := 1
		if condition == 0 {
			branch = 2
		}
		if branch < len(a) {
			if v, ok := pick(a[branch], t); ok {
				out[t] = v
			}
		}
	}
	return value{one: out}, nil
}
