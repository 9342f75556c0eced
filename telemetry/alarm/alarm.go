// Package alarm decides the state of an alarm from the points of its metric, by the
// rules that CloudWatch documents. It is pure: it reads no metric and asks no clock.
//
// Source: Amazon CloudWatch User Guide, "Alarm evaluation" and "Configuring how
// CloudWatch alarms treat missing data".
package alarm

// State is what an alarm says.
type State string

// The states.
const (
	OK               State = "OK"
	Alarm            State = "ALARM"
	InsufficientData State = "INSUFFICIENT_DATA"
)

// Missing says how periods without a point count.
type Missing string

// The ways to treat missing points.
const (
	TreatMissing      Missing = "missing" // the default
	TreatIgnore       Missing = "ignore"
	TreatBreaching    Missing = "breaching"
	TreatNotBreaching Missing = "notBreaching"
)

// Point is the metric's value in one period of the evaluation range.
type Point struct {
	Present   bool
	Breaching bool
}

// Rule is how many periods are looked at and how many of them have to breach.
type Rule struct {
	Periods    int // N
	Datapoints int // M; 0 is N
	Missing    Missing
}

// Decision is the new state, with what it rests on.
type Decision struct {
	State State
	// Breaching and Filled are how many points breached, and how many missing ones were
	// counted by the rule's treatment, of the Points that were looked at.
	Breaching, Filled, Points int
}

// Evaluate decides from the points of the evaluation range, oldest first, which may be
// longer than the rule's periods; before is the state until now.
func (r Rule) Evaluate(points []Point, before State) Decision {
	needed := r.Datapoints
	if needed == 0 {
		needed = r.Periods
	}
	// The ages of the present points in periods, newest first; the newest period is 1.
	var ages []int
	var breaching []bool
	for i := len(points) - 1; i >= 0 && len(ages) < r.Periods; i-- {
		if points[i].Present {
			ages, breaching = append(ages, len(points)-i), append(breaching, points[i].Breaching)
		}
	}
	d := Decision{Points: len(ages)}
	oldest := 0
	for i, b := range breaching {
		if b {
			d.Breaching, oldest = d.Breaching+1, ages[i]
		}
	}
	missing := r.Periods - len(ages)
	state := func(alarm bool) Decision {
		d.State = OK
		if alarm {
			d.State = Alarm
		}
		return d
	}
	switch {
	case missing <= 0:
		return state(d.Breaching >= needed)
	case r.Missing == TreatBreaching:
		d.Filled = missing
		return state(d.Breaching+missing >= needed)
	case r.Missing == TreatNotBreaching:
		d.Filled = missing
		return state(d.Breaching >= needed)
	case d.Breaching >= needed:
		return state(true)
	case d.Breaching < len(ages):
		return state(false)
	case r.Missing == TreatIgnore:
		d.State = before
		return d
	case len(ages) > 0 && oldest >= needed:
		return state(true)
	}
	d.State = InsufficientData
	return d
}

// Range is how many periods are fetched for an evaluation: more than are looked at, so
// that late and missing points do not decide alone.
func (r Rule) Range() int { return r.Periods + 2 }
