package deploy

import (
	"encoding/json"
	"testing"
	"time"

	"showrunner/rollout"
	"showrunner/stage"
)

// The phase is read from the states that the two kinds of deployments really
// save.
func TestPhaseOf(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for want, states := range map[Phase][]any{
		PhaseWorking: {serviceState{}, siteState{}, serviceState{Claim: claimHeld, Rollout: rollout.State{Wave: 1}}, "no state", nil},
		PhaseQueued:  {serviceState{WaitsFor: "it waits for shop/release #3"}},
		PhaseBaking:  {serviceState{Rollout: rollout.State{BakeSince: at}}, siteState{Bake: at}},
		PhaseUndoing: {serviceState{Rollout: rollout.State{BakeSince: at, Failure: &stage.Failure{Code: "CANARY_ERRORS"}}}},
	} {
		for _, state := range states {
			raw, err := json.Marshal(state)
			if err != nil {
				t.Fatal(err)
			}
			if got := PhaseOf(raw); got != want {
				t.Errorf("PhaseOf(%s) = %s, want %s", raw, got, want)
			}
		}
	}
	if got := PhaseOf(nil); got != PhaseWorking {
		t.Errorf("without state: %s", got)
	}
}
