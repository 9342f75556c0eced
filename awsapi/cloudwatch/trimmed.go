package cloudwatch

import (
	"cmp"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// trimmed is a statistic of the values between two bounds, which are percentiles or values.
type trimmed struct {
	kind           string // TM mean, WM winsorized mean, TC count, TS sum, PR percentile rank
	lower, upper   float64
	hasLow, hasTop bool
	percent        bool
}

var (
	shortTrim = regexp.MustCompile(`^(tm|wm|tc|ts)(\d{1,2}(?:\.\d{1,10})?|100)$`)
	percents  = regexp.MustCompile(`^(TM|WM|TC|TS)\((?:(\d{1,3}(?:\.\d{1,10})?)%)?:(?:(\d{1,3}(?:\.\d{1,10})?)%)?\)$`)
	absolutes = regexp.MustCompile(`^(TM|WM|TC|TS|PR)\((-?\d+(?:\.\d+)?)?:(-?\d+(?:\.\d+)?)?\)$`)
)

// trimmedOf reads the name of a trimmed statistic, such as tm90, TM(10%:90%), PR(:300) or
// IQM. tm90 leaves the highest tenth out.
func trimmedOf(name string) (t trimmed, ok bool) {
	if name == "IQM" {
		return trimmed{kind: "TM", lower: 25, upper: 75, hasLow: true, hasTop: true, percent: true}, true
	}
	number := func(text string) (float64, bool) {
		v, err := strconv.ParseFloat(text, 64)
		return v, err == nil
	}
	if m := shortTrim.FindStringSubmatch(name); m != nil {
		t = trimmed{kind: map[string]string{"tm": "TM", "wm": "WM", "tc": "TC", "ts": "TS"}[m[1]], hasTop: true, percent: true}
		t.upper, _ = number(m[2])
		return t, true
	}
	m := percents.FindStringSubmatch(name)
	t.percent = m != nil
	if m == nil {
		m = absolutes.FindStringSubmatch(name)
	}
	if m == nil {
		return t, false
	}
	t.kind = m[1]
	t.lower, t.hasLow = number(m[2])
	t.upper, t.hasTop = number(m[3])
	return t, (t.hasLow || t.hasTop) && (!t.hasLow || !t.hasTop || t.lower < t.upper) && (!t.percent || t.lower <= 100 && t.upper <= 100)
}

// of is the statistic of a bucket; not ok when it cannot be said of its observations, as
// of percentiles, or when no value is between the bounds.
func (t trimmed) of(b bucket) (float64, bool) {
	list, total, ok := b.sorted()
	if !ok || len(list) == 0 {
		return 0, false
	}
	lowest, highest := 0.0, total // how many values are left out below, and where those above begin
	if t.percent {
		if t.hasLow {
			lowest = total * t.lower / 100
		}
		if t.hasTop {
			highest = total * t.upper / 100
		}
	}
	var count, sum, seen, below float64
	least, most := math.NaN(), math.NaN()
	for _, o := range list {
		from, to := seen, seen+o.count
		seen = to
		n := min(to, highest) - max(from, lowest)
		if !t.percent {
			n = o.count
			switch {
			case t.hasLow && o.value <= t.lower: // the lower bound is left out, the upper one is not
				n, below = 0, below+o.count
			case t.hasTop && o.value > t.upper:
				n = 0
			}
		} else if from < lowest {
			below += min(to, lowest) - from
		}
		if n <= 0 {
			continue
		}
		if math.IsNaN(least) {
			least = o.value
		}
		most = o.value
		count, sum = count+n, sum+n*o.value
	}
	switch t.kind {
	case "TC":
		return count, true
	case "TS":
		return sum, count > 0
	case "PR":
		return 100 * count / total, true
	case "WM":
		if !t.percent && t.hasLow {
			least = t.lower
		}
		if !t.percent && t.hasTop {
			most = t.upper
		}
		return (sum + below*least + (total-below-count)*most) / total, count > 0
	}
	return sum / count, count > 0
}

// sorted are the single values of a bucket, the lowest first, and how many they are; not
// ok when they are not known, or one is negative.
func (b bucket) sorted() (list []observation, total float64, ok bool) {
	list = slices.Clone(b.observations)
	for i, o := range list {
		switch {
		case o.set && o.count != 1 && o.minimum != o.maximum, o.minimum < 0:
			return nil, 0, false
		case o.set:
			list[i].value = o.minimum
		}
		total += o.count
	}
	slices.SortFunc(list, func(a, b observation) int { return cmp.Compare(a.value, b.value) })
	return list, total, true
}
