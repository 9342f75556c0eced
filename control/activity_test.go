package control

import (
	"encoding/json"
	"testing"

	"showrunner/execution"
)

// What waits, bakes or is held back is never said to be running.
func TestActivities(t *testing.T) {
	t.Parallel()
	running := func(kind string, phase execution.Phase, state string) execution.StageState {
		return execution.StageState{Kind: kind, Status: execution.Running, Phase: phase, State: json.RawMessage(state)}
	}
	held := func(reason string) execution.StageState {
		return execution.StageState{Kind: "deploy", Status: execution.NotStarted, Phase: execution.PhaseHeld, Reason: reason}
	}
	build := running("build", execution.PhaseRunning, "")
	bakes := running("deploy", execution.PhaseRunning, `{"rollout":{"bakeSince":"2026-11-30T12:00:00Z"}}`)
	asks := running("approval", execution.PhaseWaiting, "")
	frozen := held("frozen by ada (peak): peak week")
	for name, tt := range map[string]struct {
		stages []execution.StageState
		want   execution.Activity
	}{
		"a build":                         {[]execution.StageState{build}, ""},
		"between two stages":              {[]execution.StageState{{Status: execution.Succeeded}, {Status: execution.NotStarted}}, ""},
		"an approval":                     {[]execution.StageState{asks}, execution.WaitingForApproval},
		"an approval beside a build":      {[]execution.StageState{build, asks}, execution.WaitingForApproval},
		"a stage in doubt":                {[]execution.StageState{asks, {Status: execution.Paused, Phase: execution.PhaseParked}}, execution.WaitingForDecision},
		"a freeze":                        {[]execution.StageState{frozen}, execution.Frozen},
		"a freeze beside a build":         {[]execution.StageState{frozen, build}, ""},
		"a closed window":                 {[]execution.StageState{held("its window is closed until 2026-12-01T08:00:00Z")}, execution.WaitingForWindow},
		"its turn":                        {[]execution.StageState{held("#7 is in this stage")}, execution.Queued},
		"a wave that bakes":               {[]execution.StageState{bakes}, execution.Baking},
		"one bakes, one is held back":     {[]execution.StageState{frozen, bakes}, execution.Baking},
		"a rollout that is undone":        {[]execution.StageState{running("deploy", execution.PhaseRunning, `{"rollout":{"failure":{"code":"X"}}}`)}, execution.Undoing},
		"a timer":                         {[]execution.StageState{running("wait", execution.PhaseWaiting, "")}, execution.Waiting},
		"a callback":                      {[]execution.StageState{running("webhook", execution.PhaseWaiting, "")}, execution.Waiting},
		"the next attempt":                {[]execution.StageState{running("build", execution.PhaseRetry, "")}, execution.Retrying},
		"a stage that stops what it does": {[]execution.StageState{running("build", execution.PhaseCanceling, "")}, execution.Canceling},
	} {
		e := execution.Execution{Status: execution.Running, Stages: tt.stages}
		if setActivity(&e); e.Activity != tt.want {
			t.Errorf("%s: %q, want %q", name, e.Activity, tt.want)
		}
		e.Status = execution.Terminal
		if setActivity(&e); e.Activity != "" {
			t.Errorf("%s: an execution that has ended does %q", name, e.Activity)
		}
	}
	waits := execution.Execution{Status: execution.NotStarted}
	if setActivity(&waits); waits.Activity != execution.Queued {
		t.Errorf("one that has not started: %q", waits.Activity)
	}
	stops := execution.Execution{Status: execution.Running, Canceling: &execution.Cancellation{}, Stages: []execution.StageState{build}}
	if setActivity(&stops); stops.Activity != execution.Canceling {
		t.Errorf("one that is being canceled: %q", stops.Activity)
	}
}
