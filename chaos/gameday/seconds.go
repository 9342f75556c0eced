package gameday

import (
	"fmt"
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

// UnmarshalJSON implements json.Unmarshaler.
func (s *Seconds) UnmarshalJSON(text []byte) error {
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || f < -1e9 || f > 1e9 {
		return fmt.Errorf("%s is no number of seconds", text)
	}
	*s = Seconds(f * float64(time.Second))
	return nil
}

func (s Seconds) float() float64 { return s.Duration().Seconds() }
