package cli

import (
	"strings"
	"testing"
	"time"

	"showrunner/execution"
)

// An approval that expires in three days does not read as if it did today.
func TestStageNoteSaysTheDay(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	zone := now.Format("MST")
	for until, want := range map[time.Time]string{
		now.Add(time.Minute):    "until 12:01:00 " + zone,
		now.Add(72 * time.Hour): "until 2026-03-04 12:00:00 " + zone,
	} {
		note := stageNote(execution.StageState{Status: execution.Running, Until: &until}, now)
		if !strings.HasSuffix(note, want) {
			t.Errorf("%q does not end with %q", note, want)
		}
	}
}

// A person who watches or shows a run reads what an approval asks and the command
// that answers it, and how much of a canary went unjudged.
func TestTheTreeSaysWhatToDo(t *testing.T) {
	e := execution.Execution{Application: "shop", Pipeline: "release", Number: 3, Status: execution.Running, Stages: []execution.StageState{
		{Name: "service", Kind: "deploy", Status: execution.Succeeded, Outputs: map[string]any{"withoutVerdict": "4 of 6 steps without a verdict",
			"unjudged": map[string]any{"us-east-1": "10%: 3 of 20 requests to the new version counted", "eu-west-1": "10%: 0 of 20 requests to the new version counted"}}},
		{Name: "ask", Kind: "approval", Status: execution.Running, Activity: execution.WaitingForApproval,
			State: []byte(`{"minimum":1,"instructions":"read the numbers","approvers":["ada","bob"]}`)},
	}}
	a := &app{Streams: Streams{Getenv: func(string) string { return "" }}}
	text := strings.Join(a.tree(e, time.Now()), "\n")
	for _, want := range []string{"▲ 4 of 6 steps without a verdict",
		"│      without a verdict in eu-west-1: 10%: 0 of 20 requests to the new version counted\n│      without a verdict in us-east-1: 10%: 3 of 20", "instructions: read the numbers", "may decide: ada, bob", "showrunner approve shop/release#3 ask"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}
