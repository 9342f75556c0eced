package elbv2

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"showrunner/awsapi/wire"
)

func (r *rule) told() object {
	return object{"RuleArn": r.ARN, "Priority": strconv.Itoa(r.Priority), "Conditions": wire.List(r.Conditions), "Actions": wire.List(r.Actions), "IsDefault": false}
}

func (l *listener) rules() []object {
	slices.SortFunc(l.Rules, func(a, b *rule) int { return cmp.Compare(a.Priority, b.Priority) })
	var out []object
	for _, r := range l.Rules {
		out = append(out, r.told())
	}
	return append(out, object{"RuleArn": l.defaultRule(), "Priority": "default", "Conditions": []any{}, "Actions": wire.List(l.Default), "IsDefault": true})
}

// configs are the members of a condition that hold its values.
var configs = map[string]string{"host-header": "HostHeaderConfig", "path-pattern": "PathPatternConfig", "http-request-method": "HttpRequestMethodConfig", "http-header": "HttpHeaderConfig",
	"query-string": "QueryStringConfig", "source-ip": "SourceIpConfig"}

// checkConditions refuses conditions that are not whole, and returns them whole.
func checkConditions(in []object) ([]object, error) {
	if len(in) == 0 {
		return nil, invalid("A condition must be specified")
	}
	var out []object
	for _, c := range in {
		c = c.Clone()
		field := c.Text("Field")
		config, known := configs[field]
		if !known {
			return nil, wire.Errorf("InvalidConfigurationRequest", "The condition field '%s' is not known", field)
		}
		if field == "host-header" || field == "path-pattern" {
			values := c.Texts("Values")
			if len(values) == 0 {
				values = c.Inner(config).Texts("Values")
			}
			c["Values"], c[config] = wire.List(values), object{"Values": wire.List(values)}
		}
		if len(c.Inner(config).Texts("Values"))+len(c.Inner(config).Objects("Values")) == 0 {
			return nil, invalid("A condition value must be specified for the field '%s'", field)
		}
		out = append(out, c.Clone())
	}
	return out, nil
}

func (s *Service) createRule(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn, priority := in.Text("ListenerArn"), in.Number("Priority", 0)
	if priority < 1 || priority > 50000 {
		return nil, invalid("The priority %d must be between 1 and 50000", priority)
	}
	conditions, err := checkConditions(in.Objects("Conditions"))
	if err != nil {
		return nil, err
	}
	actions, err := s.checkActions(ctx, c.Region, in.Objects("Actions"))
	if err != nil {
		return nil, err
	}
	var made *rule
	_, err = s.reroute(ctx, c.Region, arn, func(b *balancer) error {
		l, r := b.find(arn)
		if l == nil || r != nil {
			return missing(arn)
		}
		if slices.ContainsFunc(l.Rules, func(r *rule) bool { return r.Priority == priority }) {
			return wire.Errorf("PriorityInUse", "Priority '%d' is currently in use", priority)
		}
		if len(l.Rules) >= 100 {
			return wire.Errorf("TooManyRules", "The maximum number of rules per load balancer has been reached")
		}
		made = &rule{ARN: strings.Replace(l.ARN, ":listener/", ":listener-rule/", 1) + "/" + newHex(), Priority: priority, Conditions: conditions, Actions: actions, Tags: tagsIn(in)}
		l.Rules = append(l.Rules, made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"Rules": []any{made.told()}}, nil
}

func (s *Service) describeRules(ctx context.Context, c *wire.Call, in object) (object, error) {
	if in.Text("ListenerArn") == "" && len(in.Texts("RuleArns")) == 0 {
		return nil, wire.Errorf("ValidationError", "You must specify either listener rule ARNs or a listener ARN")
	}
	var all []object
	if arn := in.Text("ListenerArn"); arn != "" {
		b, err := s.balancer(ctx, c.Region, arn)
		if err != nil {
			return nil, err
		}
		l, r := b.find(arn)
		if l == nil || r != nil {
			return nil, missing(arn)
		}
		all = l.rules()
	}
	for _, arn := range in.Texts("RuleArns") {
		b, err := s.balancer(ctx, c.Region, arn)
		if err != nil {
			return nil, err
		}
		l, _ := b.find(arn)
		if l == nil {
			return nil, missing(arn)
		}
		for _, o := range l.rules() {
			if o.Text("RuleArn") == arn {
				all = append(all, o)
			}
		}
	}
	return answer(in, "Rules", all, func(o object) string {
		n, err := strconv.Atoi(o.Text("Priority"))
		if err != nil {
			n = 1 << 20 // the default comes last
		}
		return fmt.Sprintf("%08d", n)
	})
}

func (s *Service) modifyRule(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn := in.Text("RuleArn")
	var conditions, actions []object
	var err error
	if in.Has("Conditions") {
		conditions, err = checkConditions(in.Objects("Conditions"))
	}
	if err == nil && in.Has("Actions") {
		actions, err = s.checkActions(ctx, c.Region, in.Objects("Actions"))
	}
	if err != nil {
		return nil, err
	}
	var found *rule
	_, err = s.reroute(ctx, c.Region, arn, func(b *balancer) error {
		if _, found = b.find(arn); found == nil {
			if strings.HasSuffix(arn, "/default") {
				return wire.Errorf("OperationNotPermitted", "Default rule '%s' cannot be modified", arn)
			}
			return missing(arn)
		}
		if conditions != nil {
			found.Conditions = conditions
		}
		if actions != nil {
			found.Actions = actions
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"Rules": []any{found.told()}}, nil
}

func (s *Service) deleteRule(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn := in.Text("RuleArn")
	_, err := s.reroute(ctx, c.Region, arn, func(b *balancer) error {
		l, r := b.find(arn)
		switch {
		case r != nil:
			l.Rules = slices.DeleteFunc(l.Rules, func(r *rule) bool { return r.ARN == arn })
		case l != nil:
			return wire.Errorf("OperationNotPermitted", "Default rule '%s' cannot be deleted", arn)
		default:
			return missing(arn)
		}
		return nil
	})
	return object{}, err
}

func (s *Service) setPriorities(ctx context.Context, c *wire.Call, in object) (object, error) {
	wanted := map[string]int{}
	for _, p := range in.Objects("RulePriorities") {
		wanted[p.Text("RuleArn")] = p.Number("Priority", 0)
	}
	out := []any{}
	for _, arn := range slices.Sorted(maps.Keys(wanted)) {
		var moved object
		_, err := s.reroute(ctx, c.Region, arn, func(b *balancer) error {
			l, r := b.find(arn)
			if r == nil {
				return missing(arn)
			}
			used := map[int]bool{}
			for _, r := range l.Rules {
				p, moved := wanted[r.ARN]
				if !moved {
					p = r.Priority
				}
				if used[p] || p < 1 || p > 50000 {
					return wire.Errorf("PriorityInUse", "Priority '%d' is currently in use", p)
				}
				used[p] = true
			}
			for _, r := range l.Rules { // all of the listener's at once: they may change places
				if p, moved := wanted[r.ARN]; moved {
					r.Priority = p
				}
			}
			moved = r.told()
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, moved)
	}
	return object{"Rules": out}, nil
}
