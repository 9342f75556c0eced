package gameday

import (
	"strconv"
	"time"
)

// Seconds is a length of time that a report has as a number of seconds.
type Seconds time.Duration

// Duration is the same as a time.Duration.
func (s Seconds) Duration() time.Duration { return time.Duration(s) }

// MarshalJSON implements json.Marshaler.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, s.float(), 'f', -1, 64), nil
}

func (s Seconds) float() float64 { return s.Duration().Seconds() }
