package pipeline

import (
	"encoding/json"
	"time"
)

// Document is one pipeline file: an application and its pipelines.
type Document struct {
	Application string     `json:"application"`
	Pipelines   []Pipeline `json:"pipelines"` // in file order
}

// Pipeline is a graph of stages and what starts it.
type Pipeline struct {
	Name        string      `json:"name"`
	Description string      `json:"description,omitempty"`
	Triggers    []Trigger   `json:"triggers,omitempty"`
	Concurrency Concurrency `json:"concurrency,omitempty"` // default Queue
	Parameters  []Parameter `json:"parameters,omitempty"`  // in file order
	Stages      []Stage     `json:"stages"`                // in file order
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
	Needs       []string      `json:"needs,omitempty"`
	When        string        `json:"when,omitempty"` // an expression without ${{ }}; empty is true
	Retry       *Retry        `json:"retry,omitempty"`
	Timeout     Duration      `json:"timeout,omitempty"`   // 0: the kind's default
	OnFailure   FailurePolicy `json:"onFailure,omitempty"` // default Halt
	Windows     []Window      `json:"windows,omitempty"`   // a gate before the stage: any of them must be open
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
	Attempts   int      `json:"attempts"`             // further attempts after the first
	Backoff    Duration `json:"backoff,omitempty"`    // before the first retry, doubled each time; default 1s
	MaxBackoff Duration `json:"maxBackoff,omitempty"` // default 5m
}

// Window is a recurring span of time, in its own zone.
type Window struct {
	Days []string `json:"days,omitempty"` // mon … sun; empty is every day
	From string   `json:"from"`           // "09:00"
	To   string   `json:"to"`             // "17:30"; before From: over midnight
	Zone string   `json:"zone,omitempty"` // IANA name; default UTC
}

// Trigger starts a pipeline. Exactly one field is set.
type Trigger struct {
	Push     *PushTrigger     `json:"push,omitempty"`
	Poll     *PollTrigger     `json:"poll,omitempty"`
	Schedule *ScheduleTrigger `json:"schedule,omitempty"`
	Pipeline *PipelineTrigger `json:"pipeline,omitempty"`
	Webhook  *WebhookTrigger  `json:"webhook,omitempty"`
}

// PushTrigger starts on a signed push webhook of GitHub, GitLab, Gitea or Forgejo.
type PushTrigger struct {
	Repository string            `json:"repository,omitempty"` // "owner/name" or a clone URL; empty: any that is signed with Secret
	Branches   []string          `json:"branches,omitempty"`   // globs; a leading "!" excludes
	Tags       []string          `json:"tags,omitempty"`
	Paths      []string          `json:"paths,omitempty"`
	Secret     string            `json:"secret,omitempty"` // the name of the secret that signs deliveries; default "webhook"
	Parameters map[string]string `json:"parameters,omitempty"`
}

// PollTrigger starts when the tip of a branch of a repository changes.
type PollTrigger struct {
	URL         string            `json:"url"`
	Branches    []string          `json:"branches,omitempty"` // globs; default the remote's HEAD
	Tags        []string          `json:"tags,omitempty"`
	Paths       []string          `json:"paths,omitempty"`
	Every       Duration          `json:"every,omitempty"` // default 1m, at least 1s
	Credentials *Credentials      `json:"credentials,omitempty"`
	Parameters  map[string]string `json:"parameters,omitempty"`
}

// ScheduleTrigger starts by the clock.
type ScheduleTrigger struct {
	Cron       string            `json:"cron"`             // five fields
	Zone       string            `json:"zone,omitempty"`   // IANA name; default UTC
	Missed     string            `json:"missed,omitempty"` // latest (default): fire once for all that were missed; skip: none
	Parameters map[string]string `json:"parameters,omitempty"`
}

// PipelineTrigger starts when another pipeline ends.
type PipelineTrigger struct {
	Application string            `json:"application,omitempty"` // default this one
	Pipeline    string            `json:"pipeline"`
	Status      []string          `json:"status,omitempty"` // succeeded (default), failed, canceled
	Parameters  map[string]string `json:"parameters,omitempty"`
}

// WebhookTrigger starts on a generic webhook, POST /hooks/generic/<application>/<pipeline>/<name>.
type WebhookTrigger struct {
	Name       string            `json:"name"`
	Secret     string            `json:"secret,omitempty"`     // the name of the secret that signs it (X-Signature-256 or Standard Webhooks); default "webhook"
	When       string            `json:"when,omitempty"`       // an expression over trigger.payload
	Parameters map[string]string `json:"parameters,omitempty"` // values may be expressions over trigger.payload
}

// Config is the typed configuration of one stage kind; the set is closed.
type Config interface{ Kind() string }

// Credentials reach a private repository. Values are secret references.
type Credentials struct {
	Username   string `json:"username,omitempty"`
	Password   string `json:"password,omitempty"` // or a token
	SSHKey     string `json:"sshKey,omitempty"`   // a private key in OpenSSH form
	KnownHosts string `json:"knownHosts,omitempty"`
}

// Git fetches a commit; its artifact is the work tree.
type Git struct {
	URL         string       `json:"url"`
	Branch      string       `json:"branch,omitempty"` // default: what the trigger pushed when it fits, else the remote's HEAD
	Tag         string       `json:"tag,omitempty"`
	Commit      string       `json:"commit,omitempty"`
	Submodules  bool         `json:"submodules,omitempty"`
	LFS         bool         `json:"lfs,omitempty"`
	Credentials *Credentials `json:"credentials,omitempty"`
}

// Kind implements Config.
func (Git) Kind() string { return "git" }

// Build runs a buildspec over a source artifact.
type Build struct {
	Source     string            `json:"source,omitempty"`     // artifact; default: the one that a needed stage makes
	Sources    map[string]string `json:"sources,omitempty"`    // further inputs by identifier
	Spec       string            `json:"spec,omitempty"`       // path in the source; default buildspec.yml
	Inline     string            `json:"inline,omitempty"`     // the buildspec itself; excludes Spec
	Project    string            `json:"project,omitempty"`    // name for reports and CODEBUILD_BUILD_ID; default application-stage
	Env        map[string]string `json:"env,omitempty"`        // beats the buildspec's; values may refer to secrets
	Image      string            `json:"image,omitempty"`      // run in this container image
	Privileged bool              `json:"privileged,omitempty"` // with Image
	Cache      *bool             `json:"cache,omitempty"`      // honour the buildspec's cache; default true
	Memory     string            `json:"memory,omitempty"`     // limit such as "2GiB"
	CPUs       float64           `json:"cpus,omitempty"`
}

// Kind implements Config.
func (Build) Kind() string { return "build" }

// Run runs commands in an artifact's folder.
type Run struct {
	Artifact string            `json:"artifact,omitempty"` // default: an empty folder
	Commands []string          `json:"commands"`
	Env      map[string]string `json:"env,omitempty"`
	Shell    string            `json:"shell,omitempty"`   // default sh
	Outputs  []string          `json:"outputs,omitempty"` // environment variables kept as outputs
	Image    string            `json:"image,omitempty"`
}

// Kind implements Config.
func (Run) Kind() string { return "run" }

// Wave is a set of regions that change together.
type Wave struct {
	Regions []string `json:"regions"`
	Bake    Duration `json:"bake,omitempty"` // how long the wave must stay healthy before the next one starts
}

// CacheRule sets Cache-Control for the objects that match Files.
type CacheRule struct {
	Files string `json:"files"` // glob
	Value string `json:"value"`
}

// DeploySite puts an artifact into a website in every region named.
type DeploySite struct {
	Site         string      `json:"site"`
	Artifact     string      `json:"artifact"`
	Account      string      `json:"account,omitempty"` // default local
	Prefix       string      `json:"prefix,omitempty"`  // key prefix within the site
	Index        string      `json:"index,omitempty"`   // default index.html
	Error        string      `json:"error,omitempty"`   // error document
	CacheControl []CacheRule `json:"cacheControl,omitempty"`
	Waves        []Wave      `json:"waves,omitempty"` // default: one wave of all regions
	Keep         int         `json:"keep,omitempty"`  // deployments kept for rollback; default 10
	// Archive uploads the artifact as one zip object under this key instead of its files
	// (CodePipeline's Extract=false).
	Archive string `json:"archive,omitempty"`
}

// Kind implements Config.
func (DeploySite) Kind() string { return "deploy-site" }

// Deploy rolls a new version of a service out over regions.
type Deploy struct {
	Cluster     string            `json:"cluster"` // app[-stack[-detail]]
	Artifact    string            `json:"artifact"`
	Account     string            `json:"account,omitempty"` // default local
	Command     []string          `json:"command"`
	Env         map[string]string `json:"env,omitempty"`
	Health      Health            `json:"health"`
	Liveness    *Health           `json:"liveness,omitempty"` // default: as Health
	Capacity    Capacity          `json:"capacity"`
	Strategy    Strategy          `json:"strategy"`
	Waves       []Wave            `json:"waves,omitempty"`       // default: one wave of all regions
	OnFailure   string            `json:"rollback,omitempty"`    // what a failed wave undoes: wave, all (default), none
	Drain       Duration          `json:"drain,omitempty"`       // how long requests in flight may take; default 10s
	StopTimeout Duration          `json:"stopTimeout,omitempty"` // from SIGTERM to SIGKILL; default 10s
	Limits      *Limits           `json:"limits,omitempty"`
	Sticky      bool              `json:"sticky,omitempty"`
	Scaling     []ScalingPolicy   `json:"scaling,omitempty"`
}

// Kind implements Config.
func (Deploy) Kind() string { return "deploy" }

// Health is a probe. Exactly one of Path, TCP and Command is set.
type Health struct {
	Path      string   `json:"path,omitempty"` // HTTP GET; 200 to 399 is healthy
	TCP       bool     `json:"tcp,omitempty"`
	Command   []string `json:"command,omitempty"`
	Interval  Duration `json:"interval,omitempty"`  // default 1s
	Timeout   Duration `json:"timeout,omitempty"`   // default 1s
	Grace     Duration `json:"grace,omitempty"`     // how long the start may take; default 30s
	Healthy   int      `json:"healthy,omitempty"`   // successes in a row; default 1
	Unhealthy int      `json:"unhealthy,omitempty"` // failures in a row; default 3
}

// Capacity is the number of instances in each region.
type Capacity struct {
	Min     int `json:"min"`
	Desired int `json:"desired"`
	Max     int `json:"max"`
}

// Limits bound one instance, where the system allows.
type Limits struct {
	Memory string  `json:"memory,omitempty"` // such as "256MiB"
	CPUs   float64 `json:"cpus,omitempty"`
	Files  int     `json:"files,omitempty"` // open file descriptors
}

// Strategy replaces one version by the next. Exactly one field is set.
type Strategy struct {
	None       *struct{} `json:"none,omitempty"`
	Highlander *struct{} `json:"highlander,omitempty"`
	RedBlack   *RedBlack `json:"red-black,omitempty"`
	Rolling    *Rolling  `json:"rolling,omitempty"`
	Canary     *Canary   `json:"canary,omitempty"`
}

// RedBlack starts the new version whole, shifts traffic at once, keeps the old for rollback.
type RedBlack struct {
	Keep           int      `json:"keep,omitempty"`           // old server groups kept, the disabled ones included; default 1
	ScaleDown      bool     `json:"scaleDown,omitempty"`      // shrink the disabled group to 0
	ScaleDownDelay Duration `json:"scaleDownDelay,omitempty"` // before shrinking or destroying; default 30s
	Validate       string   `json:"validate,omitempty"`       // URL called before traffic shifts and after; a non-2xx answer fails the step
}

// Rolling grows the new version and drains the old in steps.
type Rolling struct {
	Steps          []int    `json:"steps,omitempty"` // percent, rising, 100 appended; default 25,50,75,100
	Pause          Duration `json:"pause,omitempty"` // after each step
	Keep           int      `json:"keep,omitempty"`
	ScaleDownDelay Duration `json:"scaleDownDelay,omitempty"`
	Validate       string   `json:"validate,omitempty"`
}

// Canary gives the new version a rising share of the traffic, asking a judge at each step.
type Canary struct {
	Steps          []float64 `json:"steps"`           // percent of traffic, rising; 100 is appended
	Pause          Duration  `json:"pause,omitempty"` // least time at each step; default 30s
	Keep           int       `json:"keep,omitempty"`
	ScaleDownDelay Duration  `json:"scaleDownDelay,omitempty"`
	Validate       string    `json:"validate,omitempty"`
	Judge          *Judge    `json:"judge,omitempty"`
}

// Judge bounds what the new version may do at each step, on the load balancer's raw counts.
type Judge struct {
	MaxErrorRate float64  `json:"maxErrorRate,omitempty"` // fraction of requests answered 5xx, 0 to 1; 0: not above the old version's
	MaxP99       Duration `json:"maxP99,omitempty"`
	MinRequests  int      `json:"minRequests,omitempty"` // per step, fewer is no verdict; default 0
}

// ScalingPolicy changes the desired capacity. Exactly one of Target, Step and Schedule is set.
type ScalingPolicy struct {
	Name     string            `json:"name"`
	Target   *TargetTracking   `json:"target,omitempty"`
	Step     *StepScaling      `json:"step,omitempty"`
	Schedule *ScheduledScaling `json:"schedule,omitempty"`
}

// Scaling metrics: requests-per-target (requests/s per serving instance), latency-p99 (seconds),
// in-flight (requests per serving instance), cpu (fraction of one core, 0 to 1 per core), memory (bytes).

// TargetTracking keeps a metric near a value.
type TargetTracking struct {
	Metric         string   `json:"metric"`
	Value          float64  `json:"value"`
	Warmup         Duration `json:"warmup,omitempty"`
	DisableScaleIn bool     `json:"disableScaleIn,omitempty"`
}

// StepScaling adjusts by how far a metric is past a threshold.
type StepScaling struct {
	Metric     string   `json:"metric"`
	Threshold  float64  `json:"threshold"`
	Adjustment string   `json:"adjustment"`          // change, exact, percent
	MinChange  int      `json:"minChange,omitempty"` // with percent
	Warmup     Duration `json:"warmup,omitempty"`
	Steps      []Step   `json:"steps"`
}

// Step is one band relative to the threshold; a nil bound is infinite.
type Step struct {
	Lower  *float64 `json:"lower,omitempty"`
	Upper  *float64 `json:"upper,omitempty"`
	Change int      `json:"change"`
}

// ScheduledScaling sets the capacity by the clock.
type ScheduledScaling struct {
	Cron    string `json:"cron"`
	Zone    string `json:"zone,omitempty"`
	Min     *int   `json:"min,omitempty"`
	Max     *int   `json:"max,omitempty"`
	Desired *int   `json:"desired,omitempty"`
}

// Wait waits for a time.
type Wait struct {
	For   Duration `json:"for,omitempty"`
	Until string   `json:"until,omitempty"` // RFC 3339
}

// Kind implements Config.
func (Wait) Kind() string { return "wait" }

// Approval waits for people.
type Approval struct {
	Instructions string   `json:"instructions,omitempty"` // Markdown
	Approvers    []string `json:"approvers,omitempty"`    // principals; empty: anybody who may
	Minimum      int      `json:"minimum,omitempty"`      // approvals needed; default 1
	ForbidSelf   bool     `json:"forbidSelf,omitempty"`   // who started the execution may not approve it
	Expires      Duration `json:"expires,omitempty"`      // default 72h; then the stage fails
}

// Kind implements Config.
func (Approval) Kind() string { return "approval" }

// Webhook calls out, and may wait for a call back.
type Webhook struct {
	URL     string            `json:"url"`
	Method  string            `json:"method,omitempty"` // default POST
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	Expect  []int             `json:"expect,omitempty"`  // statuses; default 200 to 299
	Wait    bool              `json:"wait,omitempty"`    // wait for a call back to the URL given as callbackUrl
	Secret  string            `json:"secret,omitempty"`  // signs the call (Standard Webhooks)
	Outputs map[string]string `json:"outputs,omitempty"` // output name → JSON pointer into the answer (or call back)
}

// Kind implements Config.
func (Webhook) Kind() string { return "webhook" }

// Call starts another pipeline.
type Call struct {
	Application string            `json:"application,omitempty"` // default this one
	Pipeline    string            `json:"pipeline"`
	Parameters  map[string]string `json:"parameters,omitempty"`
	Wait        *bool             `json:"wait,omitempty"` // default true: take its outcome
}

// Kind implements Config.
func (Call) Kind() string { return "pipeline" }

// Duration is a time.Duration written as "1m30s"; "1d" is 24 hours.
type Duration time.Duration
