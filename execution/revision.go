package execution

import "strings"

// Revision is what an execution delivers, as people tell runs apart.
type Revision struct {
	Commit  string `json:"commit,omitempty"`
	Message string `json:"message,omitempty"` // its first line
	Author  string `json:"author,omitempty"`
}

// longestMessage bounds the message's first line, in characters: lists carry it.
const longestMessage = 200

// revisionFrom reads facts of a git stage's outputs or of a trigger; nil for none.
func revisionFrom(facts map[string]any) *Revision {
	text := func(key string) string {
		s, _ := facts[key].(string)
		return s
	}
	r := Revision{Commit: text("commit"), Author: text("author")}
	if r.Author == "" {
		r.Author = text("actor") // who pushed, rolled back or repaired
	}
	line, _, _ := strings.Cut(strings.TrimSpace(text("message")), "\n")
	if runes := []rune(line); len(runes) > longestMessage {
		line = string(runes[:longestMessage-1]) + "…"
	}
	if r.Message = strings.TrimSpace(line); r.Commit == "" && r.Message == "" {
		return nil
	}
	return &r
}

// ShortCommit is a commit as lists show it: its first seven digits. A trigger may
// name anything as its commit, so these are characters.
func ShortCommit(commit string) string {
	runes := []rune(commit)
	return string(runes[:min(len(runes), 7)])
}

// revisionOf is what the first git stage fetched; until then, and without such a
// stage, what the trigger says.
func revisionOf(h *Head) *Revision {
	if h.State.Revision != nil {
		return h.State.Revision
	}
	return revisionFrom(h.Request.Trigger)
}
