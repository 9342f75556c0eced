package control

import (
	"context"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/stage/chaos"
	"showrunner/stage/deploy"
)

// setActivity says what an execution and its stages are doing.
func setActivity(e *execution.Execution) {
	for i := range e.Stages {
		e.Stages[i].Activity = activityOf(e.Stages[i])
	}
	e.Activity = e.Summary()
}

// setActivities does the same for a list, whose executions have no stages: those
// that are under way are read whole. A list has few of them, and not one more
// than its page.
func (s *Service) setActivities(ctx context.Context, list []execution.Execution) error {
	for i := range list {
		if list[i].Status.Complete() {
			continue
		}
		if list[i].Status == execution.NotStarted {
			list[i].Activity = list[i].Summary()
			continue
		}
		whole, err := s.Engine.Get(ctx, list[i].ID)
		if problem.CodeOf(err) == problem.NotFound {
			continue // retention has removed it since the list was read
		}
		if err != nil {
			return err
		}
		setActivity(&whole)
		if !whole.Status.Complete() {
			list[i].Activity = whole.Activity
		}
	}
	return nil
}

// activityOf adds what only the kinds of stages know.
func activityOf(st execution.StageState) execution.Activity {
	a := execution.ActivityOf(st)
	if a != "" || st.Status != execution.Running {
		return a
	}
	switch st.Kind {
	case "approval":
		if st.Phase == execution.PhaseWaiting {
			return execution.WaitingForApproval
		}
	case "wait", "webhook": // a webhook waits for its callback
		if st.Phase == execution.PhaseWaiting {
			return execution.Waiting
		}
	case "chaos":
		if chaos.Undoing(st.State) {
			return execution.Undoing
		}
	case "deploy", "deploy-site", "rollback":
		switch deploy.PhaseOf(st.State) {
		case deploy.PhaseBaking:
			return execution.Baking
		case deploy.PhaseUndoing:
			return execution.Undoing
		case deploy.PhaseQueued:
			return execution.Queued
		}
		if st.WaitsUntil != nil {
			return execution.Waiting // a step's pause
		}
	}
	return ""
}
