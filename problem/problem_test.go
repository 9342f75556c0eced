package problem

import (
	"errors"
	"testing"
)

// TestHelpIsFoundAmongSeveralErrors: what also went wrong while an error was
// being dealt with does not hide what to do about it.
func TestHelpIsFoundAmongSeveralErrors(t *testing.T) {
	err := errors.Join(errors.New("closing"), Wrap(New(Precondition, "a", "b").WithHelp("do this"), "", "c", "d"))
	if got := HelpOf(err); got != "do this" {
		t.Errorf("the help is %q", got)
	}
}
