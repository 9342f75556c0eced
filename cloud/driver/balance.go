package driver

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"showrunner/problem"
)

// LoadBalancer is a host whose requests go where its rules say, beside the hosts of
// clusters.
type LoadBalancer struct {
	Name  string         `json:"name"`
	Hosts []string       `json:"hosts"` // host names in lower case, without ".localhost" and the port
	Rules []BalancerRule `json:"rules"` // the first that matches is carried out; none answers 404
	Pools []Pool         `json:"pools"`
}

// Pool is the instances that a rule forwards to: those of whole clusters, and single ones.
type Pool struct {
	Name      string   `json:"name"`
	Clusters  []string `json:"clusters,omitempty"`
	Instances []string `json:"instances,omitempty"`
	Sticky    bool     `json:"sticky,omitempty"`
}

// BalancerRule says what becomes of the requests that match all of its conditions.
// Exactly one of Forward, Answer and Redirect is set.
type BalancerRule struct {
	Conditions []BalancerCondition `json:"conditions,omitempty"`
	Forward    []PoolShare         `json:"forward,omitempty"`
	Answer     *FixedAnswer        `json:"answer,omitempty"`
	Redirect   *Redirect           `json:"redirect,omitempty"`
}

// PoolShare is a pool's share of the requests of a rule, relative to the others.
type PoolShare struct {
	Pool   string  `json:"pool"`
	Weight float64 `json:"weight"`
}

// FixedAnswer is an answer without any instance.
type FixedAnswer struct {
	Status int    `json:"status"`
	Type   string `json:"type,omitempty"`
	Body   string `json:"body,omitempty"`
}

// Redirect is an answer that sends the client elsewhere. In each part #{protocol},
// #{host}, #{port}, #{path} and #{query} stand for those of the request; an empty part
// is the request's.
type Redirect struct {
	Status   int    `json:"status"` // 301 or 302
	Protocol string `json:"protocol,omitempty"`
	Host     string `json:"host,omitempty"`
	Port     string `json:"port,omitempty"`
	Path     string `json:"path,omitempty"`
	Query    string `json:"query,omitempty"`
}

// What a condition looks at.
const (
	ConditionHost   = "host"
	ConditionPath   = "path"
	ConditionMethod = "method"
	ConditionHeader = "header"
	ConditionQuery  = "query"
	ConditionSource = "source"
)

// BalancerCondition matches a request when one of its values does. In values of hosts,
// paths, headers and queries * stands for any characters and ? for one.
type BalancerCondition struct {
	On     string   `json:"on"`
	Name   string   `json:"name,omitempty"` // of the header
	Values []string `json:"values"`         // of a query: key=value, or =value for any key; of a source: networks
}

// mostHosts, mostRules and the like bound what one load balancer may be.
const (
	mostRules = 500
	mostPools = 500
)

var balancerName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,200}$`)

// CheckLoadBalancer refuses a load balancer that could not be carried out. A driver
// calls it before anything is changed. Errors: invalid.
func CheckLoadBalancer(lb LoadBalancer) error {
	bad := func(format string, args ...any) error {
		return problem.New(problem.Invalid, "cloud.load-balancer", "load balancer "+lb.Name+": "+format, args...)
	}
	switch {
	case !balancerName.MatchString(lb.Name):
		return problem.New(problem.Invalid, "cloud.load-balancer", "%q is no name for a load balancer", lb.Name).WithHelp("lower-case letters, digits, dots, hyphens and underscores")
	case len(lb.Rules) > mostRules || len(lb.Pools) > mostPools:
		return bad("it has more than %d rules or %d pools", mostRules, mostPools)
	}
	for _, h := range lb.Hosts {
		if !balancerName.MatchString(h) {
			return bad("%q is no host", h)
		}
	}
	for _, p := range lb.Pools {
		if !balancerName.MatchString(p.Name) {
			return bad("%q is no name for a pool", p.Name)
		}
	}
	for n, r := range lb.Rules {
		ways := 0
		for _, set := range []bool{len(r.Forward) > 0, r.Answer != nil, r.Redirect != nil} {
			if set {
				ways++
			}
		}
		if ways != 1 {
			return bad("rule %d needs exactly one of forward, answer and redirect", n)
		}
		for _, share := range r.Forward {
			if !ValidWeight(share.Weight) || !slices.ContainsFunc(lb.Pools, func(p Pool) bool { return p.Name == share.Pool }) {
				return bad("rule %d cannot forward the weight %v to the pool %q", n, share.Weight, share.Pool)
			}
		}
		if a := r.Answer; a != nil && (a.Status < 200 || a.Status > 599) {
			return bad("rule %d cannot answer %d", n, a.Status)
		}
		if a := r.Redirect; a != nil && a.Status != 301 && a.Status != 302 {
			return bad("rule %d cannot redirect with %d", n, a.Status)
		}
		for _, c := range r.Conditions {
			if err := checkCondition(c); err != nil {
				return bad("rule %d: %s", n, err)
			}
		}
	}
	return nil
}

func checkCondition(c BalancerCondition) error {
	known := []string{ConditionHost, ConditionPath, ConditionMethod, ConditionHeader, ConditionQuery, ConditionSource}
	switch {
	case !slices.Contains(known, c.On):
		return problem.New(problem.Invalid, "cloud.load-balancer", "there is no condition on %q", c.On).WithHelp("there are %s", strings.Join(known, ", "))
	case len(c.Values) == 0:
		return problem.New(problem.Invalid, "cloud.load-balancer", "the condition on the %s has no values", c.On)
	case (c.On == ConditionHeader) != (c.Name != ""):
		return problem.New(problem.Invalid, "cloud.load-balancer", "a condition on a header, and no other, has a name")
	}
	if c.On == ConditionSource {
		for _, v := range c.Values {
			if _, err := netip.ParsePrefix(v); err != nil {
				return problem.New(problem.Invalid, "cloud.load-balancer", "%q is no network", v)
			}
		}
	}
	return nil
}
