package problem_test

import (
	"errors"
	"testing"

	"showrunner/problem"
)

func TestTogether(t *testing.T) {
	t.Parallel()
	a := problem.New(problem.NotFound, "secret", "a is missing").WithHelp("set a")
	b := problem.New(problem.NotFound, "secret", "b is missing").WithHelp("set b")
	if err := problem.Together(nil, nil); err != nil {
		t.Errorf("none: %v", err)
	}
	if err := problem.Together(nil, a, a); err != error(a) {
		t.Errorf("one, twice: %v", err)
	}
	both := problem.Together(a, nil, b, a)
	if both.Error() != "secret: a is missing; secret: b is missing" || problem.CodeOf(both) != problem.NotFound || problem.HelpOf(both) != "set a set b" {
		t.Errorf("two: %v, %s, %s", both, problem.CodeOf(both), problem.HelpOf(both))
	}
	unreachable := problem.New(problem.Unavailable, "secret", "no answer")
	if err := problem.Together(a, unreachable); !errors.Is(err, unreachable) || problem.CodeOf(err) != problem.Unavailable {
		t.Errorf("with one that could not be found out: %v", err)
	}
}
