package autoscaling

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/pipeline"
)

type object = wire.Object

// group is an Auto Scaling group.
type group struct {
	Name    string    `json:"name"`
	ARN     string    `json:"arn"`
	Cluster string    `json:"cluster"` // of its server group
	Created time.Time `json:"created"`

	// What is launched: a launch template as it was named, or a launch configuration.
	Template      object `json:"template,omitempty"` // LaunchTemplateId, LaunchTemplateName, Version ($Latest too)
	Configuration string `json:"configuration,omitempty"`
	// Version is what is launched now, and Launches are what each version was.
	Version  string            `json:"version"`
	Launches map[string]launch `json:"launches"`

	Capacity pipeline.Capacity `json:"capacity"` // as it was asked for last; policies change it in the region
	Zones    []string          `json:"zones"`
	Subnets  []string          `json:"subnets,omitempty"`
	Places   map[string]string `json:"places,omitempty"` // subnets by zone

	HealthCheckType string      `json:"healthCheckType"`
	Grace           int         `json:"grace"`    // seconds
	Cooldown        int         `json:"cooldown"` // seconds
	Maintenance     object      `json:"maintenance,omitempty"`
	Kept            object      `json:"kept,omitempty"` // members that are returned as they were given
	Tags            []object    `json:"tags,omitempty"`
	TargetGroups    []string    `json:"targetGroups,omitempty"`
	Hooks           []hook      `json:"hooks,omitempty"`
	Policies        []policy    `json:"policies,omitempty"`
	Schedule        []scheduled `json:"schedule,omitempty"`
	Suspended       []suspended `json:"suspended,omitempty"`
	Metrics         []string    `json:"metrics,omitempty"`
	Notifications   []object    `json:"notifications,omitempty"`
	Refreshes       []refresh   `json:"refreshes,omitempty"` // the newest last
	Requests        []request   `json:"requests,omitempty"`  // the newest last

	ServerGroup string   `json:"serverGroup,omitempty"`
	Pending     []action `json:"pending,omitempty"` // to be asked of the region, in this order
	Actions     int      `json:"actions"`           // that there have been: each has a number
	Deleting    bool     `json:"deleting,omitempty"`
}

// launch is what a version of a group launches.
type launch struct {
	Data     object `json:"data"`
	Template object `json:"template,omitempty"` // with the version's number
}

// suspended is a process that a person has suspended.
type suspended struct {
	Process string    `json:"process"`
	At      time.Time `json:"at"`
}

// request is why a capacity was changed, for the activities that follow.
type request struct {
	At    time.Time `json:"at"`
	Cause string    `json:"cause"` // AWS's sentence, without its time
}

// requestsKept is how many of them a group remembers.
const requestsKept = 10

func (g *group) because(now time.Time, format string, args ...any) {
	g.Requests = append(g.Requests, request{now.UTC(), fmt.Sprintf(format, args...)})
	g.Requests = g.Requests[max(0, len(g.Requests)-requestsKept):]
}

// action is one thing that is to be asked of the region.
type action struct {
	Number    int                `json:"number"`
	Do        string             `json:"do"` // create, amend, resize, suspend, resume, destroy, or targets: have their load balancers look
	Capacity  *pipeline.Capacity `json:"capacity,omitempty"`
	Processes []string           `json:"processes,omitempty"`
	Targets   []string           `json:"targets,omitempty"` // target groups of which something has changed
}

// ask adds an action to what is to be asked of the region.
func (g *group) ask(a action) {
	g.Actions++
	a.Number = g.Actions
	g.Pending = append(g.Pending, a)
}

// key is the idempotency key of an action.
func (g *group) key(a action) string {
	return fmt.Sprintf("aws.autoscaling/%s/%d/%d/%s", g.Cluster, g.Created.UnixNano(), a.Number, a.Do)
}

// clusterPrefix is what the clusters of Auto Scaling groups are called.
const clusterPrefix = "aws-asg-"

// spec completes the specification of what is launched with what the group says.
func (g *group) spec(s cloud.ServerGroupSpec) cloud.ServerGroupSpec {
	s.Cluster, s.Version, s.Zones, s.Capacity = g.Cluster, g.Version, g.Zones, g.Capacity
	s.Health.Grace = max(s.Health.Grace, pipeline.Duration(time.Duration(g.Grace)*time.Second))
	if g.HealthCheckType == "EC2" { // the program runs; whether it answers well is the load balancer's
		s.Liveness = &pipeline.Health{TCP: true}
	}
	least, most := g.Maintenance.Number("MinHealthyPercentage", -1), g.Maintenance.Number("MaxHealthyPercentage", -1)
	if least >= 0 && most >= 100 {
		s.Maintenance = &pipeline.Maintenance{MinHealthy: least, MaxHealthy: most}
	}
	for _, h := range g.Hooks {
		if s.Hooks == nil {
			s.Hooks = &pipeline.LifecycleHooks{}
		}
		made := &pipeline.LifecycleHook{Wait: true, Timeout: pipeline.Duration(time.Duration(h.Timeout) * time.Second), DefaultResult: strings.ToLower(h.Default)}
		if h.Transition == launching {
			s.Hooks.Launch = made
		} else {
			s.Hooks.Terminate = made
		}
	}
	for _, p := range g.Policies {
		if t := p.tracking(g); t != nil {
			s.Scaling = append(s.Scaling, *t)
		}
	}
	return s
}

// told are the group's tags as they are described.
func (g *group) told() []any {
	out := []any{}
	tags := slices.SortedFunc(slices.Values(g.Tags), func(a, b object) int { return cmp.Compare(a.Text("Key"), b.Text("Key")) })
	for _, t := range tags {
		out = append(out, object{"ResourceId": g.Name, "ResourceType": "auto-scaling-group", "Key": t.Text("Key"), "Value": t.Text("Value"), "PropagateAtLaunch": t.Is("PropagateAtLaunch")})
	}
	return out
}
