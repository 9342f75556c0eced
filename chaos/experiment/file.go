package experiment

import (
	"showrunner/pipeline"
)

// File is an experiment as it is written.
type File struct {
	Name        string `json:"experiment"`
	Application string `json:"application"` // whose freezes and budget hold
	Description string `json:"description"`
	// SteadyState is what holds before the method and after it.
	SteadyState []Condition `json:"steadyState"`
	Method      []Step      `json:"method"`
	// StopConditions end the method as soon as one is met.
	StopConditions []Condition `json:"stopConditions"`
	// Rollbacks run in any case, one after the other, once the method has begun.
	Rollbacks []Step `json:"rollbacks"`
	// Every is the time between two looks at the stop conditions.
	Every pipeline.Duration `json:"every"`
}

// Step is one action, or several that run at once. One of the fields that say what it
// does is given.
type Step struct {
	Name string `json:"name,omitempty"`
	// After names the actions that this one waits for; without it, the one before it. An
	// empty list has it begin at once.
	After *[]string `json:"after,omitempty"`

	Fault    *Fault              `json:"fault,omitempty"`
	Kill     *Kill               `json:"kill,omitempty"`
	Wait     pipeline.Duration   `json:"wait,omitempty"`
	HTTP     *Request            `json:"http,omitempty"`
	Traffic  map[string]*float64 `json:"traffic,omitempty"` // weights of regions at the edge; null takes one away
	Check    *Condition          `json:"check,omitempty"`   // ends the method when it does not hold
	Parallel []Step              `json:"parallel,omitempty"`
}

// Fault is a fault, which the action begins and whose end it waits for. docs/chaos.md
// describes the kinds.
type Fault struct {
	Kind           string            `json:"kind"`
	For            pipeline.Duration `json:"for"`
	Account        string            `json:"account,omitempty"`
	Region         string            `json:"region,omitempty"`
	Cluster        string            `json:"cluster,omitempty"`
	Zone           string            `json:"zone,omitempty"`
	ServerGroup    string            `json:"serverGroup,omitempty"`
	Instances      []string          `json:"instances,omitempty"`
	Count          int               `json:"count,omitempty"`
	Share          float64           `json:"share,omitempty"` // percent of the instances, rounded down, at least one
	All            bool              `json:"all,omitempty"`
	Latency        pipeline.Duration `json:"latency,omitempty"`
	Jitter         pipeline.Duration `json:"jitter,omitempty"`
	Status         int               `json:"status,omitempty"`
	Percent        float64           `json:"percent,omitempty"` // of the requests
	Path           string            `json:"path,omitempty"`
	Header         string            `json:"header,omitempty"`
	At             string            `json:"at,omitempty"`
	From           string            `json:"from,omitempty"`
	Rate           int64             `json:"rate,omitempty"` // bytes a second
	Cores          float64           `json:"cores,omitempty"`
	MiB            int64             `json:"mib,omitempty"`
	Force          bool              `json:"force,omitempty"`
	DuringRollouts bool              `json:"duringRollouts,omitempty"`
}

// Kill ends instances as in a power cut, one after the other, each chosen at random.
type Kill struct {
	Application string `json:"application,omitempty"` // default: the experiment's
	Account     string `json:"account,omitempty"`
	Region      string `json:"region,omitempty"`
	Cluster     string `json:"cluster,omitempty"`
	Count       int    `json:"count,omitempty"` // default 1
	Force       bool   `json:"force,omitempty"`
}

// Request is an HTTP request, and the answers that are as expected.
type Request struct {
	URL    string            `json:"url"`
	Method string            `json:"method,omitempty"`
	Header map[string]string `json:"header,omitempty"`
	Body   string            `json:"body,omitempty"`
	Status []int             `json:"status,omitempty"` // default 200 to 399
	Within pipeline.Duration `json:"within,omitempty"` // default 5s
}

// Condition is something that can be looked at. In a steady state and in a check it has
// to hold: the alarm is not open, every value of the query is within its bounds, the
// answer is as expected. As a stop condition it is met when the alarm is open, when a
// value is beyond a bound, or when three answers in a row are not as expected.
type Condition struct {
	Name   string   `json:"name,omitempty"`
	Alarm  string   `json:"alarm,omitempty"`
	PromQL string   `json:"promql,omitempty"`
	Above  *float64 `json:"above,omitempty"`
	Below  *float64 `json:"below,omitempty"`
	// WhenNoData says what a query without a value is: ignore or fail. The default is fail
	// in a steady state and in a check, and ignore in a stop condition.
	WhenNoData string   `json:"whenNoData,omitempty"`
	HTTP       *Request `json:"http,omitempty"`
}
