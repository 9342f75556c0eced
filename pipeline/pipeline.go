package pipeline

import "encoding/json"

// Document is one pipeline file: an application and its pipelines.
type Document struct {
	Application string     `json:"application" check:"application"`
	Chaos       *Chaos     `json:"chaos,omitempty"`
	Pipelines   []Pipeline `json:"pipelines"` // in file order
}

// Pipeline is a graph of stages and what starts it.
type Pipeline struct {
	Name        string         `json:"name"`
	Description string         `json:"description,omitempty"`
	Triggers    []Trigger      `json:"triggers,omitempty"`
	Concurrency Concurrency    `json:"concurrency,omitempty" enum:"queue|supersede|parallel" default:"queue"` // default Queue. At most 1,000 runs of one pipeline wait or run at once; a start beyond that is refused with 429 and when to ask again
	Notify      []Notification `json:"notify,omitempty"`                                                      // channels in which people are told of runs
	Parameters  []Parameter    `json:"parameters,omitempty"`                                                  // in file order
	Stages      []Stage        `json:"stages"`                                                                // in file order
}

// Concurrency says what happens when a pipeline starts while it runs.
type Concurrency string

const (
	// Queue runs one execution per stage at a time, in strict order.
	Queue Concurrency = "queue"
	// Supersede lets a newer waiting execution replace an older waiting one, between stages.
	Supersede Concurrency = "supersede"
	// Parallel runs executions independently.
	Parallel Concurrency = "parallel"
)

// Parameter is a value given at the start of an execution.
type Parameter struct {
	Name        string   `json:"name"`
	Description string   `json:"description,omitempty"`
	Required    bool     `json:"required,omitempty"`
	Default     *string  `json:"default,omitempty"`
	Options     []string `json:"options,omitempty"`
}

// Stage is one node of the graph. It has exactly one kind.
type Stage struct {
	Name        string        `json:"name"`
	Description string        `json:"description,omitempty"`
	Needs       []string      `json:"needs,omitempty" lang:"one"`
	When        string        `json:"when,omitempty" lang:"condition"` // an expression, with or without ${{ }} around it; empty is true
	Retry       *Retry        `json:"retry,omitempty"`
	Timeout     Duration      `json:"timeout,omitempty" min:"1"`                                                       // 0: the kind's default
	OnFailure   FailurePolicy `json:"onFailure,omitempty" enum:"halt|halt-branch|fail-at-end|continue" default:"halt"` // default Halt
	Windows     []Window      `json:"windows,omitempty"`                                                               // a gate before the stage: any of them must be open
	Kind        string        `json:"kind"`
	// With is the kind's configuration as written, as JSON, expressions unresolved.
	With json.RawMessage `json:"with"`
}

// FailurePolicy says what a failed stage does to the rest of its execution.
type FailurePolicy string

const (
	// Halt ends the execution as failed and cancels the other branches.
	Halt FailurePolicy = "halt"
	// HaltBranch stops what is downstream; the other branches decide the outcome.
	HaltBranch FailurePolicy = "halt-branch"
	// FailAtEnd stops what is downstream, lets the other branches end, then fails.
	FailAtEnd FailurePolicy = "fail-at-end"
	// Continue goes on downstream as if the stage had succeeded.
	Continue FailurePolicy = "continue"
)

// Retry repeats a failed stage.
type Retry struct {
	Attempts   int      `json:"attempts" min:"1" max:"100"`                // further attempts after the first
	Backoff    Duration `json:"backoff,omitempty" default:"1s" min:"1"`    // before the first retry, doubled each time; default 1s
	MaxBackoff Duration `json:"maxBackoff,omitempty" default:"5m" min:"1"` // default 5m
}

// Window is a recurring span of time, in its own zone.
type Window struct {
	Days []string `json:"days,omitempty" lang:"one" enum:"mon|tue|wed|thu|fri|sat|sun"` // mon … sun; empty is every day
	From string   `json:"from" check:"clock"`                                           // "09:00"
	To   string   `json:"to" check:"clock"`                                             // "17:30"; before From: over midnight
	Zone string   `json:"zone,omitempty" check:"zone" default:"UTC"`                    // IANA name; default UTC
}

// Trigger starts a pipeline. Exactly one field is set.
type Trigger struct {
	Push     *PushTrigger     `json:"push,omitempty"`
	Poll     *PollTrigger     `json:"poll,omitempty"`
	Schedule *ScheduleTrigger `json:"schedule,omitempty"`
	Pipeline *PipelineTrigger `json:"pipeline,omitempty"`
	Webhook  *WebhookTrigger  `json:"webhook,omitempty"`
}

// PushTrigger starts on a signed push webhook of GitHub, GitLab, Gitea or Forgejo, POST
// /hooks/<forge>/<application>. One webhook of a repository is enough: it starts each
// pipeline of the application whose push trigger fits. `showrunner triggers` prints the
// address.
type PushTrigger struct {
	Repository string            `json:"repository,omitempty"`                              // "owner/name" or a clone URL; empty: any that is signed with Secret
	Branches   []string          `json:"branches,omitempty" lang:"one" check:"globs"`       // globs; a leading "!" excludes
	Tags       []string          `json:"tags,omitempty" lang:"one" check:"globs"`           // globs; without, no tag
	Paths      []string          `json:"paths,omitempty" lang:"one" check:"globs"`          // globs of changed files, one is enough; where the changes are not all known, such as of a forced push, it starts
	Secret     string            `json:"secret,omitempty" check:"secret" default:"webhook"` // the name of the secret that signs deliveries; default "webhook"
	Parameters map[string]string `json:"parameters,omitempty" lang:"trigger"`
}

// PollTrigger starts when the tip of a branch of a repository changes.
type PollTrigger struct {
	URL         string            `json:"url" check:"git"`
	Branches    []string          `json:"branches,omitempty" lang:"one" check:"globs"`   // globs; default the remote's HEAD
	Tags        []string          `json:"tags,omitempty" lang:"one" check:"globs"`       // globs; without, no tag
	Paths       []string          `json:"paths,omitempty" lang:"one" check:"globs"`      // globs of changed files, one is enough; where the changes are not known, such as of a new branch, it starts
	Every       Duration          `json:"every,omitempty" default:"1m" min:"1000000000"` // default 1m, at least 1s
	Credentials *Credentials      `json:"credentials,omitempty"`
	Parameters  map[string]string `json:"parameters,omitempty" lang:"trigger"`
}

// ScheduleTrigger starts by the clock.
type ScheduleTrigger struct {
	Cron       string            `json:"cron" check:"cron"`                                    // five fields, or @hourly, @daily, @weekly, @monthly, @yearly
	Zone       string            `json:"zone,omitempty" check:"zone" default:"UTC"`            // IANA name; default UTC
	Missed     string            `json:"missed,omitempty" enum:"latest|skip" default:"latest"` // what happens with times that passed while no control plane ran: latest (default) fires once for all of them, skip for none that is more than a minute late
	Parameters map[string]string `json:"parameters,omitempty" lang:"trigger"`
}

// PipelineTrigger starts when another pipeline ends.
type PipelineTrigger struct {
	Application string            `json:"application,omitempty" check:"application"` // default this application
	Pipeline    string            `json:"pipeline" check:"name"`
	Status      []string          `json:"status,omitempty" lang:"one" enum:"succeeded|failed|canceled" default:"[\"succeeded\"]"` // succeeded (default), failed, canceled
	Parameters  map[string]string `json:"parameters,omitempty" lang:"trigger"`
}

// WebhookTrigger starts on a generic webhook, POST /hooks/generic/<application>/<pipeline>/<name>.
type WebhookTrigger struct {
	Name       string            `json:"name" check:"name"`
	Secret     string            `json:"secret,omitempty" check:"secret" default:"webhook"` // the name of the secret that signs it (X-Signature-256 or Standard Webhooks); default "webhook"
	When       string            `json:"when,omitempty" lang:"condition"`                   // an expression over trigger.payload
	Parameters map[string]string `json:"parameters,omitempty" lang:"trigger"`               // values may be expressions over trigger.payload; an expression without a value gives nothing, so that the default counts
}
