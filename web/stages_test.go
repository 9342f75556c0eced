package web

import (
	"fmt"
	"net/url"
	"testing"

	"showrunner/execution"
	"showrunner/stage"
)

// A page of very many stages shows a part of them, and what failed or waits in full.
func TestVeryManyStagesAreShownInParts(t *testing.T) {
	var e execution.Execution
	const n = 10_000
	for i := range n {
		st := execution.StageState{Name: fmt.Sprintf("s%d", i), Status: execution.Succeeded}
		if i%1000 == 7 {
			st.Status, st.Failure = execution.Terminal, &stage.Failure{Code: "X"}
		}
		e.Stages = append(e.Stages, st)
	}
	seen := map[string]bool{}
	for next := "?"; next != ""; {
		u, err := url.Parse(next)
		if err != nil {
			t.Fatal(err)
		}
		list := stagesShown(e, u.Query())
		if len(list.Stages) > manyStages || len(list.Failed) != n/1000 || list.Total != n {
			t.Fatalf("%s: %d shown, %d failed, %d in all", next, len(list.Stages), len(list.Failed), list.Total)
		}
		for _, st := range list.Stages {
			seen[st.Name] = true
		}
		next = list.Later
	}
	if len(seen) != n {
		t.Errorf("%d of %d are shown somewhere", len(seen), n)
	}
	if list := stagesShown(e, url.Values{"status": {"Terminal"}, "from": {"no number"}}); len(list.Stages) != n/1000 || list.Stages[0].Name != "s7" {
		t.Errorf("%+v", list)
	}
}
