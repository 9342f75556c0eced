package driver

import (
	"time"

	"showrunner/artifact"
	"showrunner/problem"
)

// Invocation is one request to a function.
type Invocation struct {
	ID string `json:"id"` // of the request
	// Joins names a request that may be asked for again after a crash: the second time
	// it joins the first one, which is under way or has just ended. Empty: it runs anew.
	Joins string `json:"joins,omitempty"`
	// Function is counted for its reserved concurrency, over all of its versions.
	Function string `json:"function"`
	Version  string `json:"version"` // of the function, as its log names it
	ARN      string `json:"arn"`     // by which it was called

	Workload Function       `json:"workload"`
	Layers   []artifact.Ref `json:"layers,omitempty"` // whose files the function finds too
	// Env are the variables that belong to the version: other values make other environments.
	Env map[string]string `json:"env,omitempty"`
	// Session are further variables, such as credentials, of an environment that is started
	// for this request.
	Session map[string]string `json:"session,omitempty"`

	Payload       []byte `json:"payload"`
	ClientContext string `json:"clientContext,omitempty"`
	Trace         string `json:"trace,omitempty"`
	// Reserved bounds how many requests the function answers at once; nil: what all
	// functions of the region share.
	Reserved *int `json:"reserved,omitempty"`
}

// InvocationResult is how a request to a function ended.
type InvocationResult struct {
	Payload []byte `json:"payload"`
	// Failed is true when the function failed; the payload says why.
	Failed bool `json:"failed,omitempty"`
	// Throttled says which limit refused the request; it did not run.
	Throttled string `json:"throttled,omitempty"`

	Duration   time.Duration `json:"duration"`
	Init       time.Duration `json:"init,omitempty"` // of the start of its environment, when it was started for it
	Started    bool          `json:"started,omitempty"`
	MemoryUsed int           `json:"memoryUsed,omitempty"` // MiB, the most that was seen
}

// MostFunctionsAtOnce is how many requests the functions of a region of the local cloud
// answer at once.
const MostFunctionsAtOnce = 200

// Throttles of an invocation.
const (
	ThrottledByReserved = "ReservedFunctionConcurrentInvocationLimitExceeded"
	ThrottledByRegion   = "ConcurrentInvocationLimitExceeded"
)

// LogLines are lines that a function, or the cloud about it, has written.
type LogLines struct {
	Stream string    `json:"stream"` // of one environment
	Lines  []LogLine `json:"lines"`
}

// LogLine is one line of a log.
type LogLine struct {
	At   time.Time `json:"at"`
	Text string    `json:"text"`
}

// Runtime is a runtime of functions.
type Runtime struct {
	Name string `json:"name"`
	// Missing says why functions of it cannot run, and what to do; empty: they can.
	Missing string `json:"missing,omitempty"`
	Program string `json:"program,omitempty"` // what runs them, with its version
}

// CheckInvocation refuses a request that no driver could carry out. Errors: invalid.
func CheckInvocation(in Invocation) error {
	switch {
	case in.ID == "" || in.Function == "" || in.Version == "":
		return problem.New(problem.Invalid, "cloud.invoke", "an invocation needs an identifier, a function and a version")
	case in.Workload.Timeout <= 0 || in.Workload.Memory <= 0:
		return problem.New(problem.Invalid, "cloud.invoke", "the function %s has no timeout or no memory", in.Function)
	}
	if err := CheckWorkload(Workload{Function: &in.Workload}, FunctionWorkload); err != nil {
		return err
	}
	return CheckEnv(Values(in.Env), false)
}
