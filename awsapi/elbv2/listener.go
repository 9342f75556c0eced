package elbv2

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"

	"showrunner/awsapi/wire"
)

// shares are the target groups that an action forwards to, with their weights.
func shares(action object) []object {
	out := action.Inner("ForwardConfig").Objects("TargetGroups")
	if arn := action.Text("TargetGroupArn"); len(out) == 0 && arn != "" {
		out = append(out, object{"TargetGroupArn": arn, "Weight": 1})
	}
	return out
}

// checkActions refuses actions that cannot be carried out, and returns them whole.
func (s *Service) checkActions(ctx context.Context, region string, in []object) ([]object, error) {
	if len(in) != 1 {
		return nil, unsupported("more than one action, or none: there is forward, fixed-response or redirect")
	}
	a := in[0].Clone()
	switch kind := a.Text("Type"); kind {
	case "forward":
		all := shares(a)
		if len(all) == 0 {
			return nil, invalid("A target group ARN must be specified")
		}
		if len(all) > groupsPerRule {
			return nil, wire.Errorf("TooManyTargetGroups", "The maximum number of target groups specified in a forward action is %d", groupsPerRule)
		}
		for _, t := range all {
			if w := t.Number("Weight", 1); w < 0 || w > 999 {
				return nil, invalid("The weight %d must be between 0 and 999", w)
			}
			if err := s.CheckTargetGroup(ctx, region, t.Text("TargetGroupArn")); err != nil {
				return nil, wire.Errorf("TargetGroupNotFound", "Target group '%s' not found", t.Text("TargetGroupArn"))
			}
		}
		if a.Inner("ForwardConfig").Inner("TargetGroupStickinessConfig").Is("Enabled") {
			return nil, unsupported("TargetGroupStickinessConfig: a request chooses its target group anew; stickiness is an attribute of target groups")
		}
		var whole []object
		for _, t := range all {
			whole = append(whole, object{"TargetGroupArn": t.Text("TargetGroupArn"), "Weight": t.Number("Weight", 1)})
		}
		a["ForwardConfig"] = object{"TargetGroups": wire.List(whole), "TargetGroupStickinessConfig": object{"Enabled": false}}
		if len(all) == 1 {
			a["TargetGroupArn"] = all[0].Text("TargetGroupArn")
		} else {
			delete(a, "TargetGroupArn")
		}
	case "fixed-response":
		if status, err := strconv.Atoi(a.Inner("FixedResponseConfig").Text("StatusCode")); err != nil || status < 200 || status > 599 || status/100 == 3 {
			return nil, invalid("The status code '%s' of a fixed response is 2XX, 4XX or 5XX", a.Inner("FixedResponseConfig").Text("StatusCode"))
		}
	case "redirect":
		r := a.Inner("RedirectConfig")
		if code := r.Text("StatusCode"); code != "HTTP_301" && code != "HTTP_302" {
			return nil, invalid("The status code '%s' of a redirect is HTTP_301 or HTTP_302", code)
		}
		whole := object{"Protocol": "#{protocol}", "Host": "#{host}", "Port": "#{port}", "Path": "/#{path}", "Query": "#{query}"}
		for k, v := range r {
			whole[k] = v
		}
		a["RedirectConfig"] = whole
	default:
		return nil, unsupported("the action " + kind + "; there are forward, fixed-response and redirect")
	}
	return []object{a.Clone()}, nil
}

func (l *listener) told(b balancer) object {
	return object{"ListenerArn": l.ARN, "LoadBalancerArn": b.ARN, "Port": l.Port, "Protocol": "HTTP", "DefaultActions": wire.List(l.Default)}
}

func checkProtocol(in object) error {
	if p := in.Text("Protocol"); p != "" && p != "HTTP" {
		return wire.Errorf("UnsupportedProtocol", "This cannot be had here: the protocol %s of a listener; there is HTTP", p)
	}
	if len(in.Objects("Certificates")) > 0 || in.Text("SslPolicy") != "" {
		return unsupported("certificates: a listener speaks HTTP")
	}
	return nil
}

func (s *Service) createListener(ctx context.Context, c *wire.Call, in object) (object, error) {
	port := in.Number("Port", 0)
	if err := checkProtocol(in); err != nil {
		return nil, err
	}
	if port < 1 || port > 65535 {
		return nil, invalid("The port %d must be between 1 and 65535", port)
	}
	actions, err := s.checkActions(ctx, c.Region, in.Objects("DefaultActions"))
	if err != nil {
		return nil, err
	}
	var made *listener
	b, err := s.reroute(ctx, c.Region, in.Text("LoadBalancerArn"), func(b *balancer) error {
		if slices.ContainsFunc(b.Listeners, func(l *listener) bool { return l.Port == port }) {
			return wire.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", b.ARN)
		}
		made = &listener{ARN: strings.Replace(b.ARN, ":loadbalancer/", ":listener/", 1) + "/" + newHex(), Port: port, Default: actions, Tags: tagsIn(in)}
		b.Listeners = append(b.Listeners, made)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"Listeners": []any{made.told(b)}}, nil
}

func (s *Service) describeListeners(ctx context.Context, c *wire.Call, in object) (object, error) {
	if in.Text("LoadBalancerArn") == "" && len(in.Texts("ListenerArns")) == 0 {
		return nil, wire.Errorf("ValidationError", "You must specify either listener ARNs or a load balancer ARN")
	}
	var all []object
	if arn := in.Text("LoadBalancerArn"); arn != "" {
		b, err := s.balancer(ctx, c.Region, arn)
		if err != nil {
			return nil, err
		}
		for _, l := range b.Listeners {
			all = append(all, l.told(b))
		}
	}
	for _, arn := range in.Texts("ListenerArns") {
		b, err := s.balancer(ctx, c.Region, arn)
		if err != nil {
			return nil, err
		}
		l, r := b.find(arn)
		if l == nil || r != nil {
			return nil, missing(arn)
		}
		all = append(all, l.told(b))
	}
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.Text("ListenerArn"), b.Text("ListenerArn")) })
	return answer(in, "Listeners", all, by("ListenerArn"))
}

func (s *Service) modifyListener(ctx context.Context, c *wire.Call, in object) (object, error) {
	if err := checkProtocol(in); err != nil {
		return nil, err
	}
	var actions []object
	if in.Has("DefaultActions") {
		var err error
		if actions, err = s.checkActions(ctx, c.Region, in.Objects("DefaultActions")); err != nil {
			return nil, err
		}
	}
	arn := in.Text("ListenerArn")
	var found *listener
	b, err := s.reroute(ctx, c.Region, arn, func(b *balancer) error {
		l, r := b.find(arn)
		if l == nil || r != nil {
			return missing(arn)
		}
		found = l
		if port := in.Number("Port", l.Port); port != l.Port {
			if slices.ContainsFunc(b.Listeners, func(l *listener) bool { return l.Port == port }) {
				return wire.Errorf("DuplicateListener", "A listener already exists on this port for this load balancer '%s'", b.ARN)
			}
			l.Port = port
		}
		if actions != nil {
			l.Default = actions
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return object{"Listeners": []any{found.told(b)}}, nil
}

func (s *Service) deleteListener(ctx context.Context, c *wire.Call, in object) (object, error) {
	arn := in.Text("ListenerArn")
	_, err := s.reroute(ctx, c.Region, arn, func(b *balancer) error {
		left := slices.DeleteFunc(slices.Clone(b.Listeners), func(l *listener) bool { return l.ARN == arn })
		if len(left) == len(b.Listeners) {
			return missing(arn)
		}
		b.Listeners = left
		return nil
	})
	return object{}, err
}
