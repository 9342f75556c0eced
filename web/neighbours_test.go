package web

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"showrunner/control"
	"showrunner/execution"
)

// runsControl has runs of a pipeline, one a minute, and lists them as the engine does.
type runsControl struct {
	Control
	n int
}

func (c runsControl) run(n int) execution.Execution {
	return execution.Execution{ID: fmt.Sprintf("ex%d", n), Application: "shop", Pipeline: "release", Number: n, Created: now.Add(time.Duration(n) * time.Minute)}
}

func (c runsControl) Execution(_ context.Context, _ control.Principal, id string) (execution.Execution, error) {
	var n int
	_, err := fmt.Sscanf(id, "ex%d", &n)
	return c.run(n), err
}

func (c runsControl) Executions(_ context.Context, _ control.Principal, q execution.Query) (execution.Page, error) {
	var all []execution.Execution
	for n := c.n; n > 0; n-- {
		e := c.run(n)
		if (q.Since.IsZero() || !e.Created.Before(q.Since)) && (q.Until.IsZero() || e.Created.Before(q.Until)) {
			all = append(all, e)
		}
	}
	from := 0
	if q.After != "" {
		from = 1 + slices.IndexFunc(all, func(e execution.Execution) bool { return e.ID == q.After })
	}
	page := execution.Page{Executions: all[from:min(from+q.Limit, len(all))]}
	if from+q.Limit < len(all) {
		page.Next = page.Executions[q.Limit-1].ID
	}
	return page, nil
}

// The keys [ and ] lead from run to run, also where more than a page of runs is newer;
// at either end they stay.
func TestRunsLeadToTheirNeighbours(t *testing.T) {
	t.Parallel()
	p := operatePages(runsControl{n: 1200}, func() time.Time { return now })
	for path, want := range map[string]string{
		"/executions/ex3/older": "/executions/ex2", "/executions/ex3/newer": "/executions/ex4", "/executions/ex1199/newer": "/executions/ex1200",
		"/executions/ex1/older": "/executions/ex1", "/executions/ex1200/newer": "/executions/ex1200",
	} {
		if status, to, _ := operate(t, p, path, nil); status != http.StatusSeeOther || to != want {
			t.Errorf("%s: %d to %s, want %s", path, status, to, want)
		}
	}
	e := execution.Execution{ID: "ex1", Stages: []execution.StageState{{Name: "a", Attempt: 1}, {Name: "b"}, {Name: "c", Attempt: 1}, {Name: "d", Attempt: 2}}}
	if before, after := stagesBeside(e, "c"); before.Name != "a" || after.Href != "/executions/ex1/stages/d" {
		t.Errorf("beside c: %v, %v", before, after)
	}
	if before, after := stagesBeside(e, "d"); before.Name != "c" || after.Name != "" {
		t.Errorf("beside d: %v, %v", before, after)
	}
}
