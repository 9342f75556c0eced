package execution

import "strings"

// Tone is the kind of meaning that a colour carries beside a word and a shape.
type Tone string

const (
	Good Tone = "ok"
	Bad  Tone = "fail"
	Busy Tone = "run"
	Wait Tone = "wait"
	Idle Tone = "off"
)

// Look is how people read a status or an activity, the same wherever it is
// shown: pages, terminal, messages. Programs read Status and Activity.
type Look struct {
	Word  string // "Failed"
	Shape string // "✕"
	ASCII string // "FAIL", for terminals that cannot draw the shape
	Tone  Tone
}

var statusLooks = map[Status]Look{
	NotStarted:     {"Not started", "○", "-", Idle},
	Running:        {"Running", "◐", "RUN", Busy},
	Paused:         {"Waiting for a decision", "‖", "WAIT", Wait},
	Succeeded:      {"Succeeded", "✓", "OK", Good},
	FailedContinue: {"Failed, went on", "✕", "FAIL", Bad},
	Terminal:       {"Failed", "✕", "FAIL", Bad},
	Canceled:       {"Canceled", "⊘", "CANC", Idle},
	Stopped:        {"Failed, branch ended", "✕", "FAIL", Bad},
	Skipped:        {"Skipped", "○", "SKIP", Idle},
}

var activityLooks = map[Activity]Look{
	WaitingForApproval: {"Waiting for approval", "‖", "WAIT", Wait},
	WaitingForDecision: {"Waiting for a decision", "‖", "WAIT", Wait},
	Frozen:             {"Frozen", "‖", "WAIT", Wait},
	WaitingForWindow:   {"Waiting for its window", "‖", "WAIT", Wait},
	Queued:             {"Queued", "○", "-", Idle},
	Baking:             {"Baking", "◐", "RUN", Busy},
	Undoing:            {"Undoing", "↶", "BACK", Bad},
	Waiting:            {"Waiting", "◐", "RUN", Busy},
	Retrying:           {"Retrying", "◐", "RUN", Busy},
	Canceling:          {"Canceling", "⊘", "CANC", Wait},
}

// Look is how people read the status.
func (s Status) Look() Look {
	if l, ok := statusLooks[s]; ok {
		return l
	}
	return Look{string(s), "○", "-", Idle} // of a newer version
}

// Look is how people read where the execution stands.
func (e Execution) Look() Look { return look(e.Status, e.Activity) }

// Look is how people read where the stage stands.
func (s StageState) Look() Look { return look(s.Status, s.Activity) }

func look(s Status, a Activity) Look {
	if l, ok := activityLooks[a]; ok && !s.Complete() {
		return l
	}
	return s.Look()
}

// WaitsForPerson tells whether only a person can make it go on.
func (a Activity) WaitsForPerson() bool { return a == WaitingForApproval || a == WaitingForDecision }

// ParseStatus reads a status by its name or by the word that people read.
func ParseStatus(text string) (Status, bool) {
	for s, l := range statusLooks {
		if strings.EqualFold(text, string(s)) || strings.EqualFold(text, l.Word) {
			return s, true
		}
	}
	return "", false
}

// Listed are the statuses that an execution can have, as lists are filtered by.
func Listed() []Status {
	return []Status{NotStarted, Running, Succeeded, Terminal, Canceled}
}
