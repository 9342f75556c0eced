package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"showrunner/execution"
)

// The plain watch prints a line for each step and bake of a rollout, with the time
// that is left, and none for the instances that come to serve in between.
func TestThePlainWatchShowsSteps(t *testing.T) {
	var out bytes.Buffer
	v := newPlainView(&app{Streams: Streams{Err: &out}})
	show := func(activity execution.Activity, reason string, left time.Duration) {
		st := execution.StageState{Name: "service", Kind: "deploy", Status: execution.Running, Phase: execution.PhaseWaiting, Attempt: 1, Activity: activity, Reason: reason}
		soon := time.Now().Add(10 * time.Second)
		st.Until = &soon // when it looks again: of no interest
		if left > 0 {
			end := time.Now().Add(left + time.Second/2)
			st.WaitsUntil = &end
		}
		v.show(execution.Execution{Application: "shop", Pipeline: "release", Number: 3, Status: execution.Running, Stages: []execution.StageState{st}})
	}
	step1, step2 := "wave 1/2, canary step 1/3, 10% of traffic", "wave 1/2, canary step 2/3, 50% of traffic"
	show("", step1+": us-west-2 shop-v002 0/1 healthy", 0)
	show("", step1+": us-west-2 shop-v002 1/1 healthy", 0)
	show(execution.Waiting, step1+": us-west-2 shop-v002 at 10%, pauses", time.Minute)
	show(execution.Waiting, step1+": us-west-2 shop-v002 at 10%, pauses", time.Minute-time.Second)
	show("", step2+": us-west-2 shop-v002 1/2 healthy", 0)
	show(execution.Baking, "wave 1/2, baking", 20*time.Second)
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if _, text, ok := strings.Cut(line, " stage=service "); ok {
			got = append(got, text)
		}
	}
	want := []string{"state=Running " + step1, "state=Waiting " + step1 + ", 1m00s left", "state=Running " + step2, "state=Baking wave 1/2, baking, 20s left"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it prints\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The plain watch says why a run waits, again when the reason is another, and not for every count.
func TestThePlainWatchSaysWhyItWaits(t *testing.T) {
	var out bytes.Buffer
	v := newPlainView(&app{Streams: Streams{Err: &out}})
	show := func(st execution.StageState) {
		st.Name, st.Kind = "service", "deploy"
		v.show(execution.Execution{Application: "shop", Pipeline: "release", Number: 3, Status: execution.Running, Stages: []execution.StageState{st}})
	}
	running := func(reason string) {
		show(execution.StageState{Status: execution.Running, Attempt: 1, Phase: execution.PhaseWaiting, Progress: reason})
	}
	frozen := "frozen by root (week): release week"
	show(execution.StageState{Status: execution.NotStarted})
	for range 2 {
		soon := time.Now().Add(time.Minute) // when it looks again: not when the freeze ends
		show(execution.StageState{Status: execution.NotStarted, Phase: execution.PhaseHeld, Activity: execution.Frozen, Reason: frozen, Until: &soon})
	}
	running("wave 1/1, canary step 1/3, 10% of traffic: r1 shop-v006 0/2 healthy")
	running("wave 1/1, canary step 1/3, 10% of traffic: r1 shop-v006 0/2 healthy (GET /healthz: 404 Not Found)")
	running("wave 1/1, canary step 1/3, 10% of traffic: r1 unreachable: no answer")
	running("wave 1/1, canary step 1/3, 10% of traffic: r1 0 of 20 requests to the new version counted at 10%")
	running("wave 1/1, canary step 1/3, 10% of traffic: r1 7 of 20 requests to the new version counted at 10%")
	running("wave 1/1, canary step 2/3, 10% of traffic: r1 0 of 20 requests to the new version counted at 10%")
	var got []string
	for _, line := range strings.Split(strings.TrimSpace(out.String()), "\n") {
		if _, text, ok := strings.Cut(line, " stage=service state="); ok {
			got = append(got, text)
		}
	}
	step := "Running wave 1/1, canary step 1/3, 10% of traffic"
	want := []string{"Frozen " + frozen, step, step + ": r1 shop-v006 0/2 healthy (GET /healthz: 404 Not Found)", step + ": r1 unreachable: no answer",
		step + ": r1 0 of 20 requests to the new version counted at 10%",
		"Running wave 1/1, canary step 2/3, 10% of traffic: r1 0 of 20 requests to the new version counted at 10%"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it prints\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A run that succeeds says at its end how many steps were not judged.
func TestTheWatchEndsWithTheStepsWithoutAVerdict(t *testing.T) {
	var out bytes.Buffer
	a := &app{Streams: Streams{Err: &out}, output: "table"}
	err := a.outcome(execution.Execution{Status: execution.Succeeded, Stages: []execution.StageState{
		{Name: "service", Status: execution.Succeeded, Outputs: map[string]any{"withoutVerdict": "4 of 6 steps without a verdict"}}}}, watchOptions{})
	if err != nil || !strings.Contains(out.String(), "service succeeded; 4 of 6 steps without a verdict") {
		t.Errorf("%v, %q", err, out.String())
	}
}
