package toolkit

import (
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// Options are what a run needs from outside.
type Options struct {
	Environ   []string          // of programs, and for values; nil: this process's
	Dir       string            // where programs run; empty: here
	Overrides map[string]string // values of the configuration
	Client    *http.Client      // nil: http.DefaultClient

	// Hypothesis and Rollbacks go before what the file says; empty: the file's, then
	// StrategyDefault and RollbacksAlways.
	Hypothesis Strategy
	Rollbacks  RollbackStrategy
	Frequency  time.Duration // between two looks during the method; 0: the file's, then 1 s
	FailFast   bool          // ends the method when the hypothesis does not hold during it

	// Say tells of progress, one line at a time. It may be nil.
	Say func(format string, args ...any)
	// Record keeps the journal: before the method, and after each activity. Its error
	// ends the run: rollbacks of a run that nobody knows of could not be found. Nil: not kept.
	Record func(*Journal) error
	// Version is the program's, for the journal.
	Version string
}

func (o Options) environ() []string {
	if o.Environ != nil {
		return o.Environ
	}
	return os.Environ()
}

func (o Options) lookup(name string) (string, bool) {
	env := o.environ()
	for _, e := range slices.Backward(env) {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			return v, true
		}
	}
	return "", false
}
