package pipeline

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Duration is a time.Duration written as "1m30s"; "1d" is 24 hours.
type Duration time.Duration

// ParseDuration reads what String writes: a sequence of decimal numbers with a
// unit each (ns, us, ms, s, m, h, d), days first. "0" needs no unit.
func ParseDuration(s string) (Duration, error) {
	days, rest, found := strings.Cut(s, "d")
	if !found {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration; write a number and a unit such as 30s, 5m, 2h or 1d", s)
		}
		return Duration(d), nil
	}
	n, err := strconv.ParseFloat(days, 64)
	if err != nil || strings.ContainsAny(days, "eExXpP_nNiI") || math.Abs(n) > 100_000 {
		return 0, fmt.Errorf("%q is no duration; write a number and a unit such as 30s, 5m, 2h or 1d", s)
	}
	d := Duration(n * 24 * float64(time.Hour))
	if rest == "" {
		return d, nil
	}
	more, err := time.ParseDuration(rest)
	if err != nil || strings.ContainsAny(rest, "+-") {
		return 0, fmt.Errorf("%q is no duration; write a number and a unit such as 30s, 5m, 2h or 1d", s)
	}
	if math.Signbit(n) {
		more = -more
	}
	return d + Duration(more), nil
}

// String writes the shortest form that ParseDuration reads back: "90s" is
// "1m30s", and trailing zero units are left out.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalJSON implements json.Marshaler: the string form.
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(d.String()) }

// UnmarshalJSON implements json.Unmarshaler. It takes the string form and the number 0.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if string(b) == "0" || string(b) == "null" {
		*d = 0
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return fmt.Errorf("a duration is a string such as \"30s\", not %s", b)
	}
	v, err := ParseDuration(s)
	*d = v
	return err
}
