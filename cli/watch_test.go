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
