package deploy

import (
	"encoding/json"
	"time"
)

// Phase is a summary for people of a running deployment.
type Phase string

const (
	PhaseWorking Phase = "working"
	PhaseQueued  Phase = "queued" // another execution changes the same cluster
	PhaseBaking  Phase = "baking" // a wave has all its traffic, and has to stay healthy for a while
	PhaseUndoing Phase = "undoing"
)

// PhaseOf reads the state of a stage of this package, for services and for
// websites. Missing state, or state of another kind, is PhaseWorking.
func PhaseOf(raw json.RawMessage) Phase {
	var s struct {
		WaitsFor string `json:"waitsFor"`
		Rollout  struct {
			BakeSince time.Time       `json:"bakeSince"`
			Failure   json.RawMessage `json:"failure"`
		} `json:"rollout"`
		Bake time.Time `json:"bake"` // of a website
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
