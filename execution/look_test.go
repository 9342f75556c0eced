package execution

import (
	"strings"
	"testing"
)

// People read no name of the engine's, and nothing that waits for them reads as
// if it ran.
func TestLooks(t *testing.T) {
	t.Parallel()
	words := map[string]bool{}
	for s, l := range statusLooks {
		if l.Word == "" || l.Shape == "" || l.ASCII == "" || l.Tone == "" || words[l.Word] {
			t.Errorf("%s looks like %+v", s, l)
		}
		words[l.Word] = true
		for _, name := range []string{"Terminal", "Paused", "Stopped", "Continue", "NotStarted"} {
			if strings.Contains(l.Word, name) {
				t.Errorf("%s is shown as %q", s, l.Word)
			}
		}
		for _, text := range []string{string(s), strings.ToUpper(l.Word)} {
			if got, ok := ParseStatus(text); !ok || got != s {
				t.Errorf("ParseStatus(%q) = %s, %v", text, got, ok)
			}
		}
	}
	for a, l := range activityLooks {
		if words[l.Word] && a != WaitingForDecision || l.Word == "" || l.Shape == "" || l.ASCII == "" || l.Tone == "" {
			t.Errorf("%s looks like %+v", a, l)
		}
		if a.WaitsForPerson() && l.Tone != Wait {
			t.Errorf("%s has the tone %s", a, l.Tone)
		}
		if got := (Execution{Status: Running, Activity: a}).Look(); got != l {
			t.Errorf("a running execution that is %s looks like %+v", a, got)
		}
		if got := (StageState{Status: Terminal, Activity: a}).Look(); got.Word != "Failed" {
			t.Errorf("a stage that has failed looks like %+v", got)
		}
	}
	for _, a := range activities {
		if _, ok := activityLooks[a]; !ok && a != "" {
			t.Errorf("%s has no look", a)
		}
	}
	if len(activities) != len(activityLooks)+1 {
		t.Errorf("%d activities are ordered, %d have a look", len(activities), len(activityLooks))
	}
	if _, ok := ParseStatus("finished"); ok {
		t.Error("a word that is no status was read")
	}
}

// A run is told from others by the first git stage, and before it by its trigger.
func TestRevision(t *testing.T) {
	t.Parallel()
	fromTrigger := Head{Request: HeadRequest{Trigger: map[string]any{"commit": "abc", "message": "first\n\nbody", "actor": "ada"}}}
	if r := revisionOf(&fromTrigger); r == nil || *r != (Revision{Commit: "abc", Message: "first", Author: "ada"}) {
		t.Errorf("%+v", r)
	}
	fetched := fromTrigger
	fetched.State.Revision = revisionFrom(map[string]any{"commit": "def", "message": strings.Repeat("ä", 300), "author": "Bo"})
	if r := revisionOf(&fetched); r.Commit != "def" || r.Author != "Bo" || len([]rune(r.Message)) != longestMessage {
		t.Errorf("%+v", r)
	}
	if r := revisionOf(&Head{Request: HeadRequest{Trigger: map[string]any{"kind": "manual", "actor": "ada"}}}); r != nil {
		t.Errorf("a run of which nothing is known shows %+v", r)
	}
}
