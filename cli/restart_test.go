package cli

import (
	"bytes"
	"strings"
	"testing"

	"showrunner/control"
)

// A restart says what it runs again, asks on a terminal, and wants --yes where
// nobody can be asked.
func TestConfirm(t *testing.T) {
	for name, tt := range map[string]struct {
		yes, terminal bool
		answer        string
		goes          bool
	}{
		"yes in a script":   {true, false, "", true},
		"a script":          {false, false, "y\n", false},
		"a person agrees":   {false, true, "y\n", true},
		"a person does not": {false, true, "\n", false},
		"a person is gone":  {false, true, "", false},
	} {
		var said bytes.Buffer
		a := &app{Streams: Streams{In: strings.NewReader(tt.answer), Err: &said, Terminal: func() (int, int, bool) { return 80, 25, tt.terminal }}}
		if err := a.confirm(tt.yes, "Run these again?"); (err == nil) != tt.goes {
			t.Errorf("%s: %v", name, err)
		}
		if asked := strings.Contains(said.String(), "Run these again? [y/N]"); asked != (tt.terminal && !tt.yes) {
			t.Errorf("%s: it says %q", name, said.String())
		}
	}
	var said bytes.Buffer
	restartText(&said, control.RestartPlan{Execution: "e1", Stages: []control.RestartStage{{Name: "build", Kind: "build"}, {Name: "service", Kind: "deploy", Target: "shop-prod", Version: "v1"}}})
	if want := "A restart of e1 runs again:\n  build (build)\n  service (deploy), which changes shop-prod (it put v1 there)\n"; said.String() != want {
		t.Errorf("it says %q", said.String())
	}
}
