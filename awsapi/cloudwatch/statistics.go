package cloudwatch

import (
	"math"
	"regexp"
	"slices"
	"strconv"
)

// observation is one value that was seen count times, or a set of values of which only
// count, sum, minimum and maximum are known.
type observation struct {
	at      int64 // milliseconds since 1970
	value   float64
	count   float64
	set     bool
	sum     float64
	minimum float64
	maximum float64
}

// bucket is the observations of one period.
type bucket struct {
	start        int64 // milliseconds since 1970
	observations []observation
}

// divide sorts observations into periods of so many seconds, oldest first; periods
// without any are left out.
func divide(list []observation, period int64) []bucket {
	var out []bucket
	for _, o := range list {
		start := o.at - mod(o.at, period*1000)
		if len(out) == 0 || out[len(out)-1].start != start {
			out = append(out, bucket{start: start})
		}
		last := &out[len(out)-1]
		last.observations = append(last.observations, o)
	}
	return out
}

func mod(a, b int64) int64 { return ((a % b) + b) % b }

var percentileName = regexp.MustCompile(`^p(\d{1,2}(?:\.\d{1,10})?|100)$`)

// percentileOf reads a percentile's name, such as p99.9.
func percentileOf(statistic string) (float64, bool) {
	m := percentileName.FindStringSubmatch(statistic)
	if m == nil {
		return 0, false
	}
	p, err := strconv.ParseFloat(m[1], 64)
	return p, err == nil
}

// simpleStatistics are those that have a name of their own.
var simpleStatistics = []string{"SampleCount", "Average", "Sum", "Minimum", "Maximum"}

func knownStatistic(name string) bool {
	_, percentile := percentileOf(name)
	_, trimmed := trimmedOf(name)
	return percentile || trimmed || slices.Contains(simpleStatistics, name)
}

// statistic is a statistic of the bucket; not ok when it cannot be said of these
// observations: a percentile needs single values, none of them negative.
func (b bucket) statistic(name string) (v float64, ok bool) {
	var count, sum float64
	low, high := math.Inf(1), math.Inf(-1)
	for _, o := range b.observations {
		count, sum = count+o.count, sum+o.sum
		low, high = min(low, o.minimum), max(high, o.maximum)
	}
	switch name {
	case "SampleCount":
		return count, true
	case "Sum":
		return sum, true
	case "Average":
		return sum / count, count > 0
	case "Minimum":
		return low, true
	case "Maximum":
		return high, true
	}
	if t, ok := trimmedOf(name); ok {
		return t.of(b)
	}
	p, _ := percentileOf(name)
	return b.percentile(p)
}

func (b bucket) percentile(p float64) (float64, bool) {
	list, total, ok := b.sorted()
	if !ok {
		return 0, false
	}
	// Linear between the ranks of the values, each of which stands as often as it was seen.
	rank := p / 100 * (total - 1)
	at := func(rank float64) float64 {
		seen := 0.0
		for _, o := range list {
			if seen += o.count; seen > rank {
				return o.value
			}
		}
		return list[len(list)-1].value
	}
	below := at(math.Floor(rank))
	return below + (rank-math.Floor(rank))*(at(math.Ceil(rank))-below), len(list) > 0
}
