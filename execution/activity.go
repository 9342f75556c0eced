package execution

import "strings"

// Activity says what an execution or a stage that has not ended is doing, more
// closely than its status: a program that reads "Running" would not know that a
// person is waited for. Empty: it works, or its status says all.
type Activity string

const (
	WaitingForApproval Activity = "waiting-for-approval"
	WaitingForDecision Activity = "waiting-for-decision" // a person has to say how a stage in doubt goes on
	Frozen             Activity = "frozen"
	WaitingForWindow   Activity = "waiting-for-window"
	Queued             Activity = "queued" // behind another execution, or for a place
	Baking             Activity = "baking"
	Undoing            Activity = "undoing" // it has failed, and puts back what it had changed
	Waiting            Activity = "waiting" // for a time, or for word from outside
	Retrying           Activity = "retrying"
	Canceling          Activity = "canceling"
)

// FrozenReason begins the reason of a stage that a freeze holds, windowReason
// that of one whose window is closed.
const (
	FrozenReason = "frozen by "
	windowReason = "its window is closed until "
)

// ActivityOf is what a stage is doing, as far as the engine knows. Approvals and
// rollouts are known to their kinds alone.
func ActivityOf(s StageState) Activity {
	switch {
	case s.Status.Complete():
		return ""
	case s.Status == Paused || s.Phase == PhaseParked:
		return WaitingForDecision
	case s.Phase == PhaseCanceling:
		return Canceling
	case s.Phase == PhaseRetry || s.Phase == PhaseBackoff:
		return Retrying
	case s.Phase != PhaseHeld:
		return ""
	case strings.HasPrefix(s.Reason, FrozenReason):
		return Frozen
	case strings.HasPrefix(s.Reason, windowReason):
		return WaitingForWindow
	}
	return Queued
}

// activities orders what an execution is said to do when its stages do several
// things: first what a person has to know, then work, then what merely waits.
var activities = []Activity{WaitingForDecision, WaitingForApproval, Undoing, "", Canceling, Baking, Frozen, WaitingForWindow, Retrying, Waiting, Queued}

// Summary is what an execution is doing, from the activities of its stages.
func (e *Execution) Summary() Activity {
	if e.Status.Complete() {
		return ""
	}
	if e.Canceling != nil {
		return Canceling
	}
	if e.Status == NotStarted {
		return Queued
	}
	best := len(activities)
	for _, st := range e.Stages {
		if st.Status.Complete() || st.Status == NotStarted && st.Phase == "" {
			continue
		}
		for rank, a := range activities[:best] {
			if st.Activity == a {
				best = rank
				break
			}
		}
	}
	if best == len(activities) {
		return "" // between two stages
	}
	return activities[best]
}
