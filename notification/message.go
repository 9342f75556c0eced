package notification

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"showrunner/execution"
	"showrunner/stage"
	"showrunner/stage/gate"
)

// Event is why a channel is told of a run.
type Event string

const (
	Started    Event = "started"
	Waiting    Event = "waiting" // a person is waited for
	Succeeded  Event = "succeeded"
	Failed     Event = "failed"
	Recovered  Event = "recovered"   // the first success after a failure
	RolledBack Event = "rolled-back" // failed by a verdict, and undone
	Canceled   Event = "canceled"
	Test       Event = "test" // a person tries the channel
)

// Message is what is said of a run at one moment. Its texts hold what others wrote
// (names, commits, causes): channels escape them.
type Message struct {
	Title string   `json:"title"`
	Lines []string `json:"lines,omitempty"`
	URL   string   `json:"url"` // of the run
}

// Step is one thing to tell. The same step has the same ID whenever it is computed.
type Step struct {
	Event Event
	ID    string
}

// Limits of a message: channels refuse longer ones.
const (
	mostText  = 600 // characters of one line
	mostLines = 12
)

// stepsOf lists what a run has to tell, oldest first. What has been overtaken is left
// out: of a run that has ended only the end is told. failedBefore says that the run before
// it on the same pipeline failed.
func stepsOf(e execution.Execution, failedBefore bool) []Step {
	turn := fmt.Sprintf("/%d", len(e.Restarts))
	if e.Status.Complete() {
		return []Step{{endOf(e, failedBefore), "end" + turn}}
	}
	if e.Status == execution.NotStarted && e.Started == nil {
		return nil
	}
	steps := []Step{{Started, "started" + turn}}
	for _, st := range e.Stages {
		if st.Activity.WaitsForPerson() {
			steps = append(steps, Step{Waiting, fmt.Sprintf("waiting/%s/%d", st.Name, st.Attempt)})
		}
	}
	return steps
}

func endOf(e execution.Execution, failedBefore bool) Event {
	switch {
	case e.Status == execution.Succeeded && (failedBefore || restartedFromFailure(e)):
		return Recovered
	case e.Status == execution.Succeeded:
		return Succeeded
	case e.Status == execution.Canceled:
		return Canceled
	}
	if _, f := failed(e); f != nil && strings.HasPrefix(f.Code, verdictCode) {
		return RolledBack
	}
	return Failed
}

// verdictCode begins the codes of failures by a verdict.
const verdictCode = "CANARY_"

func restartedFromFailure(e execution.Execution) bool {
	return slices.ContainsFunc(e.Restarts, func(r execution.Restart) bool { return r.Previous == execution.Terminal })
}

// wants tells whether a channel with these events is told of a step. A run that was
// rolled back has failed too, and one that recovered has succeeded.
func wants(events []string, e Event) bool {
	switch {
	case slices.Contains(events, string(e)):
		return true
	case e == RolledBack:
		return slices.Contains(events, string(Failed))
	case e == Recovered:
		return slices.Contains(events, string(Succeeded))
	}
	return false
}

// failed is the stage that ended a run, and its failure; nil when no stage did. The
// failure of a stage that started another pipeline is already that of the stage at the
// bottom.
func failed(e execution.Execution) (string, *stage.Failure) {
	for _, status := range []execution.Status{execution.Terminal, execution.Stopped} {
		for _, st := range e.Stages {
			if st.Status == status && st.Failure != nil {
				return st.Name, st.Failure
			}
		}
	}
	return "", nil
}

// messageOf says where a run stands. The words are those of every other face.
func messageOf(e execution.Execution, failedBefore bool, url string) Message {
	look := e.Look()
	m := Message{URL: url + "/executions/" + e.ID}
	word := look.Word
	switch {
	case !e.Status.Complete():
	case endOf(e, failedBefore) == RolledBack:
		word += ", rolled back by a verdict"
	case endOf(e, failedBefore) == Recovered:
		word += ", after a failure"
	}
	m.Title = plain(fmt.Sprintf("%s %s/%s #%d: %s", look.Shape, e.Application, e.Pipeline, e.Number, word))
	if r := e.Revision; r != nil {
		m.add(strings.TrimSpace(execution.ShortCommit(r.Commit) + " " + r.Message))
	}
	if e.By != "" {
		m.add("started by " + e.By)
	}
	if !e.Status.Complete() {
		for _, st := range e.Stages {
			if st.Activity.WaitsForPerson() {
				m.add(st.Look().Shape + " " + st.Name + ": " + cmp.Or(instructions(st), st.Reason, st.Look().Word))
			}
		}
		return m
	}
	if e.Status == execution.Succeeded {
		return m
	}
	name, f := failed(e)
	if f == nil {
		m.add(e.Cause)
		return m
	}
	m.add("stage " + name + ": " + f.Cause)
	for _, undone := range f.Undone {
		m.add("↶ " + undone)
	}
	m.add(f.Help)
	return m
}

// instructions are what an approval asks; "" for other stages.
func instructions(st execution.StageState) string {
	asks, err := gate.ParseState(st.State)
	if err != nil {
		return "" // it waits for something else: its reason says what
	}
	return asks.Instructions
}

func (m *Message) add(line string) {
	if line = plain(line); line != "" && len(m.Lines) < mostLines {
		m.Lines = append(m.Lines, line)
	}
}

// plain makes one line of a text that others wrote, without control characters and those
// that change the direction of what follows, and cuts it.
func plain(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Bidi_Control, r), r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if runes := []rune(text); len(runes) > mostText {
		text = string(runes[:mostText-1]) + "…"
	}
	return text
}

// text is the message without any marks of a format.
func (m Message) text() string {
	return strings.Join(append(append([]string{m.Title}, m.Lines...), m.URL), "\n")
}
