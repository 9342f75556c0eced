package server

import (
	"slices"
	"testing"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/stage"
)

// A kind of the language that nobody carries out would hold every run that has it.
func TestEveryKindOfTheLanguageIsCarriedOut(t *testing.T) {
	r := runPlane(t)
	kinds, err := r.c.kinds(r.c.engine)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name())
	}
	want := pipeline.KindNames()
	slices.Sort(names)
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("kinds that are carried out: %v\nkinds of the language:       %v", names, want)
	}
}

// An attempt keeps its claim on a cluster from its first call to its end,
// canceling and waiting for a person included, and not while it waits to be
// tried again.
func TestAttemptUnderWay(t *testing.T) {
	key := stage.Key{Execution: "e", Stage: "service", Attempt: 2, Task: "rollout"}
	for name, tt := range map[string]struct {
		is   execution.StageState
		want bool
	}{
		"not begun":        {execution.StageState{Status: execution.NotStarted, Attempt: 2}, false},
		"held by a gate":   {execution.StageState{Status: execution.NotStarted, Attempt: 2, Phase: execution.PhaseHeld}, false},
		"runs":             {execution.StageState{Status: execution.Running, Attempt: 2, Phase: execution.PhaseRunning}, true},
		"waits":            {execution.StageState{Status: execution.Running, Attempt: 2, Phase: execution.PhaseWaiting}, true},
		"not found out":    {execution.StageState{Status: execution.Running, Attempt: 2, Phase: execution.PhaseBackoff}, true},
		"is canceled":      {execution.StageState{Status: execution.Running, Attempt: 2, Phase: execution.PhaseCanceling}, true},
		"with a person":    {execution.StageState{Status: execution.Paused, Attempt: 2, Phase: execution.PhaseParked}, true},
		"failed, to retry": {execution.StageState{Status: execution.Running, Attempt: 2, Phase: execution.PhaseRetry}, false},
		"tried again":      {execution.StageState{Status: execution.Running, Attempt: 3, Phase: execution.PhaseRunning}, false},
		"succeeded":        {execution.StageState{Status: execution.Succeeded, Attempt: 2}, false},
		"failed":           {execution.StageState{Status: execution.Terminal, Attempt: 2}, false},
	} {
		tt.is.Name = "service"
		if got := attemptUnderWay([]execution.StageState{{Name: "build", Attempt: 2, Phase: execution.PhaseRunning}, tt.is}, key); got != tt.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if attemptUnderWay(nil, key) {
		t.Error("a stage that is not there is under way")
	}
}
