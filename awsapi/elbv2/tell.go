package elbv2

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"showrunner/cloud"
)

func mustJSON(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil // not reached: what is kept is plain data
	}
	return raw
}

// tell tells the region what a load balancer is.
func (s *Service) tell(ctx context.Context, region string, b balancer, key string) error {
	lb := cloud.LoadBalancer{Name: b.Host}
	for _, arn := range b.groups() {
		t, err := s.target(ctx, region, arn)
		if err != nil {
			return err
		}
		clusters, err := s.clusters(ctx, region, arn)
		if err != nil {
			return err
		}
		p := cloud.Pool{Name: poolName(arn), Clusters: clusters, Sticky: t.Attributes["stickiness.enabled"] == "true"}
		known, _, err := s.instances(ctx, region)
		if err != nil {
			return err
		}
		for _, one := range t.Targets {
			id := one.ID
			if i, there := known[id]; there {
				id = i.ID
			}
			if !slices.Contains(p.Instances, id) && strings.HasPrefix(id, "i-") {
				p.Instances = append(p.Instances, id)
			}
		}
		lb.Pools = append(lb.Pools, p)
	}
	lb.Hosts, lb.Rules = hosts(b), rules(b)
	return s.Groups.SetLoadBalancer(ctx, region, lb, key)
}

// poolName is the pool that a target group is.
func poolName(arn string) string {
	_, rest, _ := strings.Cut(arn, ":targetgroup/")
	return strings.ToLower(strings.ReplaceAll(rest, "/", "-"))
}

// main is the listener that answers at a load balancer's own name: that of port 80, or
// the first. The others answer at PORT.NAME.
func (b balancer) main() *listener {
	var found *listener
	for _, l := range b.Listeners {
		if found == nil || l.Port == 80 {
			found = l
		}
	}
	return found
}

// listenerHost is the host at which a listener answers.
func (b balancer) listenerHost(l *listener) string {
	if b.main() == l {
		return b.Host
	}
	return strconv.Itoa(l.Port) + "." + b.Host
}

// hosts are the host names of a load balancer: its own, and those that rules name
// whole, so that requests to them arrive.
func hosts(b balancer) []string {
	var out []string
	add := func(h string) {
		if h = strings.TrimSuffix(strings.ToLower(h), ".localhost"); !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	for _, l := range b.Listeners {
		add(b.listenerHost(l))
		for _, r := range l.Rules {
			for _, c := range r.Conditions {
				for _, v := range c.Texts("Values") {
					if c.Text("Field") == "host-header" && !strings.ContainsAny(v, "*?") && l == b.main() {
						add(v)
					}
				}
			}
		}
	}
	return out
}

// rules are the rules of all listeners in the region's terms. Those of a listener
// that is not the main one hold for its host alone.
func rules(b balancer) []cloud.BalancerRule {
	var out []cloud.BalancerRule
	listeners := slices.Clone(b.Listeners)
	slices.SortFunc(listeners, func(x, y *listener) int { // the main one last: it answers what is left
		switch b.main() {
		case x:
			return 1
		case y:
			return -1
		}
		return x.Port - y.Port
	})
	for _, l := range listeners {
		var here []cloud.BalancerCondition
		if l != b.main() {
			here = []cloud.BalancerCondition{{On: "host", Values: []string{b.listenerHost(l) + ".localhost"}}}
		}
		sorted := slices.SortedFunc(slices.Values(l.Rules), func(x, y *rule) int { return x.Priority - y.Priority })
		for _, r := range sorted {
			made := ruleOf(r.Actions)
			made.Conditions = append(slices.Clone(here), conditions(r.Conditions)...)
			out = append(out, made)
		}
		made := ruleOf(l.Default)
		made.Conditions = here
		out = append(out, made)
	}
	return out
}

func ruleOf(actions []object) (out cloud.BalancerRule) {
	a := actions[0] // there is one: checkActions
	switch a.Text("Type") {
	case "fixed-response":
		f := a.Inner("FixedResponseConfig")
		status, _ := strconv.Atoi(f.Text("StatusCode")) // checked
		out.Answer = &cloud.FixedAnswer{Status: status, Type: f.Text("ContentType"), Body: f.Text("MessageBody")}
	case "redirect":
		r := a.Inner("RedirectConfig")
		status := 302
		if r.Text("StatusCode") == "HTTP_301" {
			status = 301
		}
		out.Redirect = &cloud.Redirect{Status: status, Protocol: r.Text("Protocol"), Host: r.Text("Host"), Port: r.Text("Port"), Path: r.Text("Path"), Query: r.Text("Query")}
	default:
		for _, t := range shares(a) {
			out.Forward = append(out.Forward, cloud.PoolShare{Pool: poolName(t.Text("TargetGroupArn")), Weight: float64(t.Number("Weight", 1))})
		}
	}
	return out
}

// fields are the region's names of what conditions look at.
var fields = map[string]string{"host-header": "host", "path-pattern": "path", "http-request-method": "method", "http-header": "header", "query-string": "query", "source-ip": "source"}

func conditions(list []object) []cloud.BalancerCondition {
	var out []cloud.BalancerCondition
	for _, c := range list {
		field := c.Text("Field")
		config := c.Inner(configs[field])
		made := cloud.BalancerCondition{On: fields[field], Values: config.Texts("Values")}
		switch field {
		case "http-header":
			made.Name = config.Text("HttpHeaderName")
		case "query-string":
			for _, v := range config.Objects("Values") {
				made.Values = append(made.Values, fmt.Sprintf("%s=%s", v.Text("Key"), v.Text("Value")))
			}
		}
		out = append(out, made)
	}
	return out
}
