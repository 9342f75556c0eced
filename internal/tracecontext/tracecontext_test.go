package tracecontext

import (
	"testing"

	"showrunner/problem"
)

const example = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

func TestParse(t *testing.T) {
	c, err := Parse(example)
	if err != nil || c.String() != example || !c.Sampled {
		t.Errorf("%s, %v", c, err)
	}
	if c, err := Parse("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00-more"); err != nil || c.Sampled {
		t.Errorf("a later version: %s, %v", c, err)
	}
	for _, text := range []string{"", "00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", example + "-x",
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
		"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e47g6-00f067aa0ba902b7-01"} {
		if _, err := Parse(text); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(example)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(c.String()); err != nil || again != c {
			t.Errorf("%q became %q: %v", text, c, err)
		}
	})
}

func TestIdentifiersDependOnNames(t *testing.T) {
	first, again, other := Run("x1", ""), Run("x1", ""), Run("x2", "")
	if first != again || first.Trace == other.Trace {
		t.Error("the trace of a run is not its own")
	}
	if c, _ := Parse(example); Run("x1", example) != c {
		t.Error("a run does not go on with the trace it is given")
	}
	if StageSpan("x", "a", 11) == StageSpan("x", "a1", 1) || StageSpan("x", "a", 1) == RunSpan("x", 1) {
		t.Error("two spans have one identifier")
	}
}
