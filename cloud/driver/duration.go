package driver

import (
	"encoding/json"
	"time"

	"showrunner/pipeline"
)

// durationText is a duration in a JSON document, written as in the pipeline file
// ("10s"). It can also be read from a number of nanoseconds, since records of
// earlier versions contain numbers.
type durationText time.Duration

func (d durationText) MarshalJSON() ([]byte, error) {
	return pipeline.Duration(d).MarshalJSON()
}

func (d *durationText) UnmarshalJSON(b []byte) error {
	var nanoseconds int64
	if json.Unmarshal(b, &nanoseconds) == nil {
		*d = durationText(nanoseconds)
		return nil
	}
	return (*pipeline.Duration)(d).UnmarshalJSON(b)
}

// plainSpec is a ServerGroupSpec with its durations as numbers in JSON.
// Fingerprints and requests are compared in this form, so that those of earlier
// versions stay the same.
type plainSpec ServerGroupSpec

// textSpec is the JSON of a ServerGroupSpec; its fields hide the embedded fields
// of the same name.
type textSpec struct {
	*plainSpec
	Drain       durationText `json:"drain"`
	StopTimeout durationText `json:"stopTimeout"`
}

// MarshalJSON implements json.Marshaler.
func (s ServerGroupSpec) MarshalJSON() ([]byte, error) {
	return json.Marshal(textSpec{(*plainSpec)(&s), durationText(s.Drain), durationText(s.StopTimeout)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (s *ServerGroupSpec) UnmarshalJSON(b []byte) error {
	t := textSpec{(*plainSpec)(s), durationText(s.Drain), durationText(s.StopTimeout)}
	err := json.Unmarshal(b, &t)
	s.Drain, s.StopTimeout = time.Duration(t.Drain), time.Duration(t.StopTimeout)
	return err
}

type plainFunction Function

type textFunction struct {
	*plainFunction
	Timeout durationText `json:"timeout,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (f Function) MarshalJSON() ([]byte, error) {
	return json.Marshal(textFunction{(*plainFunction)(&f), durationText(f.Timeout)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Function) UnmarshalJSON(b []byte) error {
	t := textFunction{(*plainFunction)(f), durationText(f.Timeout)}
	err := json.Unmarshal(b, &t)
	f.Timeout = time.Duration(t.Timeout)
	return err
}

type plainFacts Facts

type textFacts struct {
	*plainFacts
	Settle durationText `json:"settle,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (f Facts) MarshalJSON() ([]byte, error) {
	return json.Marshal(textFacts{(*plainFacts)(&f), durationText(f.Settle)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *Facts) UnmarshalJSON(b []byte) error {
	t := textFacts{(*plainFacts)(f), durationText(f.Settle)}
	err := json.Unmarshal(b, &t)
	f.Settle = time.Duration(t.Settle)
	return err
}

type plainCountFacts CountFacts

type textCountFacts struct {
	*plainCountFacts
	Delay durationText `json:"delay,omitempty"`
}

// MarshalJSON implements json.Marshaler.
func (f CountFacts) MarshalJSON() ([]byte, error) {
	return json.Marshal(textCountFacts{(*plainCountFacts)(&f), durationText(f.Delay)})
}

// UnmarshalJSON implements json.Unmarshaler.
func (f *CountFacts) UnmarshalJSON(b []byte) error {
	t := textCountFacts{(*plainCountFacts)(f), durationText(f.Delay)}
	err := json.Unmarshal(b, &t)
	f.Delay = time.Duration(t.Delay)
	return err
}
