package deploy

import (
	"encoding/json"
	"time"
)

// Phase is what people want to know of a deployment that is under way.
type Phase string

const (
	PhaseWorking Phase = "working"
	PhaseQueued  Phase = "queued" // another execution changes the same cluster
	PhaseBaking  Phase = "baking" // a wave is shifted, and has to stay healthy for a while
	PhaseUndoing Phase = "undoing"
)

// PhaseOf reads the state that a stage of this package keeps, of services and of
// websites. State that is missing or somebody else's is work.
func PhaseOf(raw json.RawMessage) Phase {
	var s struct {
		WaitsFor string `json:"waitsFor"`
		Rollout  struct {
			BakeSince time.Time       `json:"bakeSince"`
			Failure   json.RawMessage `json:"failure"`
		} `json:"rollout"`
		Bake time.Time `json:"bake"` // a website's
	}
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return PhaseWorking
	}
	switch {
	case s.WaitsFor != "":
		return PhaseQueued
	case len(s.Rollout.Failure) > 0:
		return PhaseUndoing
	case !s.Rollout.BakeSince.IsZero() || !s.Bake.IsZero():
		return PhaseBaking
	}
	return PhaseWorking
}
