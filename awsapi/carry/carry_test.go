package carry

import (
	"context"
	"errors"
	"slices"
	"testing"

	"showrunner/problem"
)

// An action leaves the queue when it was done or refused, and stays when nobody knows.
func TestAnActionStaysUntilItIsDoneOrRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		do    string
		err   error
		stays bool
	}{
		{"destroy", nil, false},
		{"destroy", problem.New(problem.NotFound, "test", "it is gone"), false},
		{"destroy", problem.New(problem.Unavailable, "test", "the region does not answer"), true},
		{"destroy", problem.New(problem.Internal, "test", "the disk is full"), true},
		{"destroy", errors.New("without a code"), true},
		{"destroy", problem.New(problem.Denied, "test", "not allowed"), false},
		{"create", problem.New(problem.Unavailable, "test", "the region does not answer"), true},
		{"create", problem.New(problem.Internal, "test", "the artifact is damaged"), false},
		{"create", problem.New(problem.NotFound, "test", "no such artifact"), false},
	} {
		q := Queue[[]string, string]{
			First: func(d []string) (string, bool) { return append(d, "")[0], len(d) > 0 },
			Act:   func(context.Context, *[]string, string) (string, error) { return "", c.err },
			Strike: func(_ context.Context, d []string, a, _ string, _ error) ([]string, error) {
				return slices.DeleteFunc(slices.Clone(d), func(have string) bool { return have == a }), nil
			},
			Makes: func(a string) bool { return a == "create" },
		}
		left, err := q.Drain(t.Context(), []string{c.do})
		if stays := len(left) > 0; stays != c.stays {
			t.Errorf("%s, %v: it stays is %t", c.do, c.err, stays)
		}
		if gone := problem.CodeOf(c.err) == problem.NotFound && c.do == "destroy"; (err == nil) != (c.err == nil || gone) {
			t.Errorf("%s, %v: the answer is %v", c.do, c.err, err)
		}
	}
}
