package experiment

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
)

// String names a condition for people.
func (c Condition) String() string {
	switch {
	case c.Name != "":
		return c.Name
	case c.Alarm != "":
		return "alarm " + c.Alarm
	case c.PromQL != "":
		return c.PromQL
	case c.HTTP != nil:
		return cmp.Or(c.HTTP.Method, "GET") + " " + c.HTTP.URL
	}
	return "nothing"
}

// Beyond says by which value a stop condition is met, "" when it is not.
func (c Condition) Beyond(values []float64) string {
	if len(values) == 0 {
		if c.WhenNoData == "fail" {
			return "the query has no value"
		}
		return ""
	}
	for _, v := range values {
		if c.Above != nil && v > *c.Above {
			return fmt.Sprintf("%s is above %s", plain(v), plain(*c.Above))
		}
		if c.Below != nil && v < *c.Below {
			return fmt.Sprintf("%s is below %s", plain(v), plain(*c.Below))
		}
	}
	return ""
}

// Outside says by which value a condition of a steady state does not hold, "" when it
// holds.
func (c Condition) Outside(values []float64) string {
	if len(values) == 0 {
		if c.WhenNoData == "ignore" {
			return ""
		}
		return "the query has no value"
	}
	for _, v := range values {
		if c.Above != nil && !(v > *c.Above) {
			return fmt.Sprintf("%s is not above %s", plain(v), plain(*c.Above))
		}
		if c.Below != nil && !(v < *c.Below) {
			return fmt.Sprintf("%s is not below %s", plain(v), plain(*c.Below))
		}
	}
	return ""
}

func plain(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// Open says which alarm is open, "" when that of the condition is not.
func (c Condition) Open(open []string) string {
	if slices.Contains(open, c.Alarm) {
		return "alarm " + c.Alarm + " is open"
	}
	return ""
}
