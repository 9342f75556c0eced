package pipeline

// Deploy rolls a new version of a service out over regions.
type Deploy struct {
	Cluster     string            `json:"cluster" check:"cluster"` // app[-stack[-detail]]
	Artifact    string            `json:"artifact" lang:"static" check:"artifact"`
	Account     string            `json:"account,omitempty" check:"name" default:"local"` // default local
	Command     []string          `json:"command"`                                        // the program and its arguments, without a shell, in the artifact's folder; it has to listen on the HOST and PORT of its environment (docs/service.md)
	Env         map[string]string `json:"env,omitempty" lang:"secret" check:"env"`        // more variables of the instances, beside HOST, PORT and SHOWRUNNER_*, which always win
	Health      Health            `json:"health"`
	Liveness    *Health           `json:"liveness,omitempty"` // default: as Health
	Capacity    Capacity          `json:"capacity"`
	Strategy    Strategy          `json:"strategy"`
	Waves       []Wave            `json:"waves,omitempty"`                                       // default: one wave of all regions
	OnFailure   string            `json:"rollback,omitempty" enum:"all|wave|none" default:"all"` // what a failed wave undoes: wave, all (default), none
	Drain       Duration          `json:"drain,omitempty" default:"10s" min:"0"`                 // how long requests in flight may take; default 10s
	StopTimeout Duration          `json:"stopTimeout,omitempty" default:"10s" min:"0"`           // from SIGTERM to SIGKILL; default 10s
	Limits      *Limits           `json:"limits,omitempty"`
	Sticky      bool              `json:"sticky,omitempty"`
	Traffic     *Traffic          `json:"traffic,omitempty"`
	Hooks       *LifecycleHooks   `json:"hooks,omitempty"`
	Maintenance *Maintenance      `json:"maintenance,omitempty"`
	Scaling     []ScalingPolicy   `json:"scaling,omitempty"`
	Metrics     *MetricsEndpoint  `json:"metrics,omitempty"` // default: the instances are not asked
}

// MetricsEndpoint says where instances tell what they measure, in Prometheus's text form or as OpenMetrics. The control plane asks each of them again and again and keeps the answers, labelled with application, cluster, server group, version, instance, zone and region (docs/metrics.md).
type MetricsEndpoint struct {
	Path     string   `json:"path,omitempty" check:"urlpath" default:"/metrics"` // default /metrics
	Port     int      `json:"port,omitempty" min:"0" max:"65535"`                // default: the instance's PORT
	Interval Duration `json:"interval,omitempty" default:"10s" min:"1000000000"` // default 10s, at least 1s
}

// Name is the strategy's word in the file; without one it is red-black.
func (s Strategy) Name() string {
	switch {
	case s.None != nil:
		return "none"
	case s.Highlander != nil:
		return "highlander"
	case s.Rolling != nil:
		return "rolling"
	case s.Canary != nil:
		return "canary"
	}
	return "red-black"
}

// Kind implements Config.
func (Deploy) Kind() string { return "deploy" }

// Rollback returns a service or a website to an earlier version that is still kept.
type Rollback struct {
	Account string   `json:"account,omitempty" check:"name" default:"local"` // default local
	Cluster string   `json:"cluster,omitempty" check:"cluster"`              // this or site
	Site    string   `json:"site,omitempty" check:"site"`
	To      string   `json:"to,omitempty"`      // a version, server group or deployment; default: the one before
	Regions []string `json:"regions,omitempty"` // default: every region that has it
}

// Kind implements Config.
func (Rollback) Kind() string { return "rollback" }

// Health is a probe. Exactly one of Path, TCP and Command is set.
type Health struct {
	Path      string   `json:"path,omitempty" check:"urlpath"` // HTTP GET at the instance's HOST and PORT; 200 to 399 is healthy
	TCP       bool     `json:"tcp,omitempty"`
	Command   []string `json:"command,omitempty"`
	Interval  Duration `json:"interval,omitempty" default:"1s" min:"1000000"` // default 1s
	Timeout   Duration `json:"timeout,omitempty" default:"1s" min:"1000000"`  // default 1s
	Grace     Duration `json:"grace,omitempty" default:"30s" min:"0"`         // how long the start may take; default 30s
	Healthy   int      `json:"healthy,omitempty" default:"1" min:"1"`         // successes in a row; default 1
	Unhealthy int      `json:"unhealthy,omitempty" default:"3" min:"1"`       // failures in a row; default 3
}

// Capacity is the number of instances in each region.
type Capacity struct {
	Min     int `json:"min" min:"0" max:"10000"`
	Desired int `json:"desired" min:"0" max:"10000"` // of a first deployment; a later one never takes instances away: it keeps as many as serve, up to max, and resize lowers them
	Max     int `json:"max" min:"0" max:"10000"`
}

// Limits bound one instance, where the system allows.
type Limits struct {
	Memory string  `json:"memory,omitempty" check:"size"` // such as "256MiB"
	CPUs   float64 `json:"cpus,omitempty" min:"0"`
	Files  int     `json:"files,omitempty" min:"1"` // open file descriptors
}

// Traffic bounds what the load balancer does with requests, for the whole cluster as its newest version says.
type Traffic struct {
	MaxInFlight     int      `json:"maxInFlight,omitempty" min:"0"`     // requests in flight at one instance; more wait up to 5s for a place and are then answered 503; default 0: no limit
	ResponseTimeout Duration `json:"responseTimeout,omitempty" min:"0"` // until an instance's answer begins; then another instance is tried where that does no harm, or the answer is 504; not for upgrades and gRPC; default 0: no limit
	HedgingDelay    Duration `json:"hedgingDelay,omitempty" min:"0"`    // after it a request that may be repeated and has no body is sent to a second instance too, and the first answer is taken; default 0: never
	VersionHeader   bool     `json:"versionHeader,omitempty"`           // a request may choose a version by the field X-Showrunner-Version, one without traffic too: its server group's name or number, or the version's own name; default: the field means nothing
}

// Maintenance bounds, in percent of the desired capacity, how far replacing unhealthy instances and evening out zones take a server group from it. Default 100 and 110.
type Maintenance struct {
	MinHealthy int `json:"minHealthy" min:"0" max:"100"`   // that stay in service; 100: a replacement serves before an unhealthy instance ends
	MaxHealthy int `json:"maxHealthy" min:"100" max:"200"` // that there are meanwhile, at least one more than are desired; at most 100 above minHealthy
}

// LifecycleHooks hold an instance as it comes and goes: for a command beside it, in its folder and environment, for a word from outside, or for both.
type LifecycleHooks struct {
	Launch    *LifecycleHook `json:"launch,omitempty"`    // once the instance is ready, before it gets traffic: Pending:Wait
	Terminate *LifecycleHook `json:"terminate,omitempty"` // once its requests in flight have ended, before SIGTERM: Terminating:Wait; not when it is killed or its region stops
}

// LifecycleHook ends well with the command's exit code 0, with the word to continue, or with both where it has both: then the command can be what tells those who are to say it.
type LifecycleHook struct {
	Command       []string `json:"command,omitempty"`
	Wait          bool     `json:"wait,omitempty"`                                                    // for `showrunner complete-hook INSTANCE continue|abandon`, or the same through the API
	Timeout       Duration `json:"timeout,omitempty" default:"1m" min:"1000000"`                      // then it has failed, and its command is killed; of a hook that waits, each `showrunner heartbeat INSTANCE` begins it anew, to at most 100 times as long or 48 hours in all; default 1m
	DefaultResult string   `json:"defaultResult,omitempty" enum:"abandon|continue" default:"abandon"` // of a launch hook that failed: abandon (default) ends the instance, to be replaced, continue lets it serve; an end goes on in any case
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
	Keep           int      `json:"keep,omitempty" default:"1" min:"0"`             // old server groups kept: those that had traffic last, so that a version that was rolled back goes first; default 1
	ScaleDown      bool     `json:"scaleDown,omitempty"`                            // shrink the disabled group to 0
	ScaleDownDelay Duration `json:"scaleDownDelay,omitempty" default:"30s" min:"0"` // before what was replaced is shrunk or destroyed, for which the stage does not wait; default 30s
	Validate       string   `json:"validate,omitempty" check:"url"`                 // URL called before each shift of traffic and after the last; a 4xx answer undoes the rollout, 5xx and none are asked again
}

// Rolling grows the new version and drains the old in steps.
type Rolling struct {
	Steps          []int    `json:"steps,omitempty" default:"[25,50,75,100]" check:"steps"` // percent, rising, 100 appended; default 25,50,75,100
	Pause          Duration `json:"pause,omitempty" min:"0"`                                // after each step; an instance that fails begins it anew
	Keep           int      `json:"keep,omitempty" default:"1" min:"0"`
	ScaleDownDelay Duration `json:"scaleDownDelay,omitempty" default:"30s" min:"0"`
	Validate       string   `json:"validate,omitempty" check:"url"`
}

// Canary gives the new version a rising share of the traffic, asking a judge at each step.
type Canary struct {
	Steps          []float64 `json:"steps" check:"steps"`                   // percent of traffic, rising; 100 is appended
	Pause          Duration  `json:"pause,omitempty" default:"30s" min:"0"` // least time at each step; default 30s; an instance that fails begins it anew
	Keep           int       `json:"keep,omitempty" default:"1" min:"0"`
	ScaleDownDelay Duration  `json:"scaleDownDelay,omitempty" default:"30s" min:"0"`
	Validate       string    `json:"validate,omitempty" check:"url"`
	Baseline       string    `json:"baseline,omitempty" enum:"fresh|production" default:"fresh"` // what a judge and an analysis compare with: fresh (default) launches a group of the version in traffic beside the canary, with as many instances and as much of the traffic (from a step of 50 % on half of what the canary leaves), and removes it when the comparison is over, however it ends; production: the instances of the version in traffic, for clouds that have no room for a third version
	Judge          *Judge    `json:"judge,omitempty"`
	Analysis       *Analysis `json:"analysis,omitempty"`
}

// Analysis compares metrics of the new version with those of the baseline while the canary's steps last. A step ends only once all metrics have data and their score passes; metrics without data, and a source that does not answer, never pass.
type Analysis struct {
	Source           *MetricsSource   `json:"source,omitempty"`                                           // default: the metrics that control keeps
	Interval         Duration         `json:"interval,omitempty" default:"30s" min:"1000000000"`          // between two judgements; each of them judges everything since the first step's traffic had settled, or the lookback; default 30s
	Step             Duration         `json:"step,omitempty" default:"5s" min:"1000000000"`               // between two points of a metric; default 5s
	Lookback         Duration         `json:"lookback,omitempty" min:"0"`                                 // default: everything is judged
	WarmUp           Duration         `json:"warmUp,omitempty" min:"0"`                                   // at the beginning, which is not judged
	Delay            Duration         `json:"delay,omitempty" default:"15s" min:"0"`                      // after the end of an interval, until its last points are there; default 15s
	Pass             float64          `json:"pass,omitempty" default:"95" min:"0" max:"100"`              // a score from which on the version passes; default 95
	Marginal         float64          `json:"marginal,omitempty" default:"75" min:"0" max:"100"`          // a score up to which the rollout fails at once; default 75
	MinPoints        int              `json:"minPoints,omitempty" default:"10" min:"8"`                   // of each side, for a verdict on a metric; default 10
	Alpha            float64          `json:"alpha,omitempty" default:"0.01" min:"0.000001" max:"0.5"`    // probability of a false alarm by the metrics that count errors, over all regions and looks; default 0.01
	WhenInconclusive string           `json:"whenInconclusive,omitempty" enum:"fail|wait" default:"fail"` // a step that is undecided after its pause and the time that a version has to become healthy fails (default), or waits until the stage's timeout
	Metrics          []AnalysisMetric `json:"metrics"`
}

// MetricsSource is a server that answers Prometheus's query API, or Amazon CloudWatch. A query to CloudWatch is the JSON list of MetricDataQueries that GetMetricData takes, or one expression of its metric maths.
type MetricsSource struct {
	URL   string `json:"url" check:"metrics"`           // without /api/v1; or cloudwatch://REGION
	Token string `json:"token,omitempty" lang:"secret"` // sent as Bearer; for CloudWatch keys as JSON (accessKeyId, secretAccessKey, sessionToken), without it those of control's environment
}

// AnalysisMetric is a PromQL query for each side, judged by Kayenta's rules (netflix-aca-v1), or two counters, judged by the sequential judge. A query answers with one series. Variables in it: ${scope} (cluster, region and server group as label matchers of control's own metrics), ${groups} (the server groups as a regular expression), ${cluster}, ${region}, ${version}, ${step}.
type AnalysisMetric struct {
	Name            string   `json:"name" check:"name"`
	Query           string   `json:"query,omitempty"`                                                        // such as sum(rate(orders_total{${scope}}[30s])); this, or requests and errors
	Requests        string   `json:"requests,omitempty"`                                                     // the sum of a counter, without rate()
	Errors          string   `json:"errors,omitempty"`                                                       // the sum of a counter of the failed ones among the requests
	MaxRatio        float64  `json:"maxRatio,omitempty" min:"0" max:"100"`                                   // with errors: how many times as often as the baseline the new version may fail; default 1
	Direction       string   `json:"direction,omitempty" enum:"increase|decrease|either" default:"increase"` // which change is bad; default increase
	Critical        bool     `json:"critical,omitempty"`                                                     // a change fails the rollout whatever the score is
	Group           string   `json:"group,omitempty" default:"metrics"`                                      // of the score
	Measure         string   `json:"measure,omitempty" enum:"meanRatio|cles" default:"meanRatio"`            // of the effect's size: the ratio of the means (default), or the probability that a value of the new version is greater
	AllowedIncrease *float64 `json:"allowedIncrease,omitempty" min:"0"`                                      // effects below it do not count
	AllowedDecrease *float64 `json:"allowedDecrease,omitempty" min:"0"`                                      // effects above it do not count
	NaN             string   `json:"nan,omitempty" enum:"remove|replace" default:"remove"`                   // points without a value: left out (default), or 0 as long as there are minPoints others
	Outliers        string   `json:"outliers,omitempty" enum:"keep|remove" default:"keep"`                   // default keep
	WhenNoData      string   `json:"whenNoData,omitempty" enum:"fail|ignore" default:"fail"`                 // too little data holds the step back and then fails it (default), or the metric is left out of the verdict
}

// Judge decides about the new version at each step, from the load balancer's raw counts, and may look as often as it likes: a version that is no worse fails with the probability alpha at most.
type Judge struct {
	MaxErrorRate     float64  `json:"maxErrorRate,omitempty" min:"0" max:"1"`                          // fraction of requests answered 5xx, 0 to 1; 0: the new version's is compared with the old version's
	MaxErrorRatio    float64  `json:"maxErrorRatio,omitempty" min:"0" max:"100"`                       // how many times as often as the old version the new one may fail; default 1, and with maxErrorRate no limit
	PassErrorRatio   float64  `json:"passErrorRatio,omitempty" min:"0" max:"100"`                      // a step ends only once the new version is shown to fail less than this many times as often as the old one; above maxErrorRatio; default: no such proof is needed
	MaxP99           Duration `json:"maxP99,omitempty" min:"0" max:"16384000000"`                      // of which the load balancer knows those that double from 0.5ms to 16.384s: the next higher one counts
	Latency          string   `json:"latency,omitempty" enum:"report|fail" default:"report"`           // what happens when the new version is slower than the old one: it is reported (default), or the rollout fails
	MinRequests      int      `json:"minRequests,omitempty" default:"20" min:"1"`                      // per step, of the new version, and of the old one where it is compared with it: fewer is no verdict; default 20
	WarmUp           Duration `json:"warmUp,omitempty" min:"0"`                                        // at the beginning, whose requests do not count
	Alpha            float64  `json:"alpha,omitempty" default:"0.01" min:"0.000001" max:"0.5"`         // probability of a false alarm in the whole rollout, over all its regions and looks; default 0.01
	Beta             float64  `json:"beta,omitempty" default:"0.05" min:"0.000001" max:"0.5"`          // probability that a version which is worse than passErrorRatio passes; default 0.05
	WhenNoData       string   `json:"whenNoData,omitempty" enum:"fail|pass" default:"fail"`            // a step without enough requests fails the rollout (default) once its pause and the time that a version has to become healthy are over: the progress says when; pass goes on, and the log and the outputs say so: for regions that have no traffic
	WhenInconclusive string   `json:"whenInconclusive,omitempty" enum:"fail|wait|pass" default:"fail"` // a step that is undecided then fails too (default), waits until the stage's timeout, or goes on; it always fails when the new version is already worse and only a guard holds the verdict back
}

// ScalingPolicy changes the desired capacity. Exactly one of Target, Step and Schedule is set.
type ScalingPolicy struct {
	Name     string            `json:"name" check:"name"`
	Target   *TargetTracking   `json:"target,omitempty"`
	Step     *StepScaling      `json:"step,omitempty"`
	Schedule *ScheduledScaling `json:"schedule,omitempty"`
}

// Scaling metrics: requests-per-target (requests/s per serving instance), latency-p99 (seconds),
// in-flight (requests per serving instance), cpu (fraction of one core, 0 to 1 per core), memory (bytes).

// TargetTracking keeps a metric near a value.
type TargetTracking struct {
	Metric         string   `json:"metric" enum:"requests-per-target|latency-p99|in-flight|cpu|memory"`
	Value          float64  `json:"value" min:"0"`
	Warmup         Duration `json:"warmup,omitempty" min:"0"`
	DisableScaleIn bool     `json:"disableScaleIn,omitempty"`
}

// StepScaling adjusts by how far a metric is past a threshold.
type StepScaling struct {
	Metric     string   `json:"metric" enum:"requests-per-target|latency-p99|in-flight|cpu|memory"`
	Threshold  float64  `json:"threshold"`
	Adjustment string   `json:"adjustment" enum:"change|exact|percent"` // change, exact, percent
	MinChange  int      `json:"minChange,omitempty" min:"0"`            // with percent
	Warmup     Duration `json:"warmup,omitempty" min:"0"`
	Steps      []Step   `json:"steps"`
}

// Step is one band relative to the threshold; a nil bound is infinite.
type Step struct {
	Lower  *float64 `json:"lower,omitempty"`
	Upper  *float64 `json:"upper,omitempty"`
	Change int      `json:"change"`
}

// ScheduledScaling sets the capacity by the clock, of the versions that have traffic then.
type ScheduledScaling struct {
	Cron    string `json:"cron" check:"cron"`
	Zone    string `json:"zone,omitempty" check:"zone" default:"UTC"`
	Min     *int   `json:"min,omitempty" min:"0"`
	Max     *int   `json:"max,omitempty" min:"0"`
	Desired *int   `json:"desired,omitempty" min:"0"`
}
