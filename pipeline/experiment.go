package pipeline

import (
	"go.yaml.in/yaml/v4"
)

// Experiment tries a new version with faults before it is promoted. Two server groups of the version join the cluster, each with the same small share of its traffic: the experiment group meets the faults, the control group does not.
type Experiment struct {
	Cluster     string            `json:"cluster" check:"cluster"`                        // the cluster whose traffic the two groups get a share of
	Artifact    string            `json:"artifact" lang:"static" check:"artifact"`        // the version that is tried
	Account     string            `json:"account,omitempty" check:"name" default:"local"` // default local
	Command     []string          `json:"command"`                                        // as of a deploy stage
	Env         map[string]string `json:"env,omitempty" lang:"secret" check:"env"`        // as of a deploy stage
	Health      Health            `json:"health"`
	Limits      *Limits           `json:"limits,omitempty"`
	Traffic     *Traffic          `json:"traffic,omitempty"`
	StopTimeout Duration          `json:"stopTimeout,omitempty" default:"10s" min:"0"`        // from SIGTERM to SIGKILL; default 10s
	Region      string            `json:"region,omitempty" check:"region"`                    // default: the first region in which the cluster serves
	Instances   int               `json:"instances,omitempty" default:"1" min:"1" max:"1000"` // of each of the two groups; default 1
	Share       float64           `json:"share,omitempty" default:"5" min:"0.1" max:"45"`     // percent of the cluster's requests in the region that each group gets; default 5
	For         Duration          `json:"for,omitempty" default:"1m" min:"1000000000"`        // how long the two groups are compared; default 1m
	Faults      []ExperimentFault `json:"faults"`
	Probes      []ExperimentProbe `json:"probes,omitempty"`         // further parts of the steady state
	Stops       []ExperimentStop  `json:"stopConditions,omitempty"` // any of them ends the experiment at once, and fails the stage
	Judge       *Judge            `json:"judge,omitempty"`          // compares the experiment group, as the new version, with the control group, as the old one; default: with maxP99 1s
}

// Kind implements Config.
func (Experiment) Kind() string { return "chaos" }

// ExperimentFault is a fault that the experiment group meets for as long as the two groups are compared.
type ExperimentFault struct {
	Kind      string   `json:"kind" enum:"latency|errors|abort|blackhole|bandwidth|slow-close"` // docs/chaos.md describes each
	To        string   `json:"to,omitempty" check:"cluster"`                                    // a service that the version calls: the calls of the experiment group to it are hit, in every region that has it; default: what is sent to the experiment group itself
	Latency   Duration `json:"latency,omitempty" min:"0"`                                       // of latency and slow-close
	Jitter    Duration `json:"jitter,omitempty" min:"0"`                                        // of latency: plus or minus up to so much
	Status    int      `json:"status,omitempty" min:"400" max:"599"`                            // of errors
	Bandwidth int      `json:"bandwidth,omitempty" min:"1"`                                     // of bandwidth: bytes a second
	Percent   float64  `json:"percent,omitempty" min:"0" max:"100"`                             // of the requests; default all
	Path      string   `json:"path,omitempty" check:"urlpath"`                                  // requests whose path begins with this
	Header    string   `json:"header,omitempty"`                                                // requests that have this field: Name, or 'Name: value'
}

// ExperimentProbe asks a URL every second while the two groups are compared. Three answers in a row that are not as expected end the experiment.
type ExperimentProbe struct {
	URL    string   `json:"url" check:"url"`
	Status []int    `json:"status,omitempty" lang:"one" min:"100" max:"599"` // default 200 to 399
	Within Duration `json:"within,omitempty" default:"1s" min:"1000000"`     // default 1s
	Header []string `json:"header,omitempty" lang:"one"`                     // of the request: 'Name: value'
}

// ExperimentStop is looked at every second while the two groups are compared. One that cannot be looked at is met.
type ExperimentStop struct {
	Alarm  string   `json:"alarm,omitempty"`  // an alarm of the endpoint for clients of AWS, by its name: met when it is open
	PromQL string   `json:"promql,omitempty"` // a query of the control plane's metrics: met when a value is beyond a bound
	Above  *float64 `json:"above,omitempty"`
	Below  *float64 `json:"below,omitempty"`
}

// lacks says what is wrong with a stop condition.
func (s ExperimentStop) lacks() string {
	switch {
	case (s.Alarm == "") == (s.PromQL == ""):
		return "it looks at an alarm or at a query: give alarm or promql"
	case s.PromQL != "" && s.Above == nil && s.Below == nil:
		return "a query needs a bound: above or below"
	case s.Alarm != "" && (s.Above != nil || s.Below != nil):
		return "an alarm has no bound: above and below belong to promql"
	}
	return ""
}

// experimentRules refuses faults that cannot begin.
func (c *checks) experimentRules(i int, s *stageOrigin, v Experiment) {
	c.artifactRef(i, v.Artifact, s.with, "artifact")
	c.accountRule(s.with, v.Account)
	if v.Region != "" && !hasExpression(v.Region) {
		c.regionRule(s.with, v.Account, v.Region, "region")
	}
	c.ownVariables(s.with, v.Env)
	for n, f := range v.Faults {
		lacks, field := f.lacks()
		if lacks != "" {
			c.report(find(s.with, "faults", n, field), CodeValue, "fault %d of %s: %s", n+1, c.where, lacks)
		}
	}
	for n, stop := range v.Stops {
		if lacks := stop.lacks(); lacks != "" {
			c.report(find(s.with, "stopConditions", n), CodeValue, "stop condition %d of %s: %s", n+1, c.where, lacks)
		}
	}
	if j := v.Judge; j != nil {
		c.judge(func(name string) *yaml.Node { return find(s.with, "judge", name) }, *j)
		if j.WhenInconclusive == "wait" {
			c.report(find(s.with, "judge", "whenInconclusive"), CodeValue, "%s cannot wait: the experiment ends after for; fail and pass are possible", c.where)
		}
	}
}

// lacks says what a fault of its kind needs and has not, and which field that is.
func (f ExperimentFault) lacks() (what, field string) {
	switch {
	case (f.Kind == "latency" || f.Kind == "slow-close") && f.Latency <= 0:
		return "it needs a latency above 0", "latency"
	case f.Jitter > f.Latency:
		return "its jitter is more than its latency", "jitter"
	case f.Kind == "errors" && f.Status == 0:
		return "it needs a status from 400 to 599", "status"
	case f.Kind == "bandwidth" && f.Bandwidth == 0:
		return "it needs a bandwidth in bytes a second", "bandwidth"
	}
	return "", ""
}
