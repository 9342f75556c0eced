package cloud

import (
	"regexp"

	"showrunner/pipeline"
	"showrunner/problem"
)

var nameChars = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$`)

func checkName(op, what, name string) error {
	if nameChars.MatchString(name) {
		return nil
	}
	return problem.New(problem.Invalid, op, "%q is not a valid name of a %s", name, what).
		WithHelp("names are letters, digits, dots, underscores and hyphens, beginning with a letter or digit")
}

func checkKey(op, key string) error {
	if key != "" {
		return nil
	}
	return problem.New(problem.Invalid, op, "the idempotency key is empty")
}

func checkCapacity(op string, c pipeline.Capacity) error {
	if c.Min >= 0 && c.Min <= c.Desired && c.Desired <= c.Max {
		return nil
	}
	return problem.New(problem.Invalid, op, "capacity min %d, desired %d, max %d is not in order", c.Min, c.Desired, c.Max).
		WithHelp("0 <= min <= desired <= max")
}

// first returns the first error, so that a caller gets one thing to correct at a
// time.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
