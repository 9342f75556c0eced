package problem

import (
	"errors"
	"fmt"
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

// People read messages; the operations are for programs.
func TestTextLeavesOutTheOperations(t *testing.T) {
	inner := New(Unavailable, "localcloud.region", "r1 does not answer")
	err := fmt.Errorf("asking: %w", Wrap(inner, "", "edge.weights", "shop"))
	if got, op := Text(err), OpOf(err); got != "asking: shop: r1 does not answer" || op != "edge.weights" {
		t.Errorf("%q, of %q", got, op)
	}
	if got := Text(errors.New("plain: text")); got != "plain: text" {
		t.Errorf("%q", got)
	}
}
