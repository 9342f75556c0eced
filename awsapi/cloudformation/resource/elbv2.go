package resource

import (
	"context"
	"strings"
)

func balancerTypes() []*Type {
	list := func(names ...string) []string { return names }
	const service = "elasticloadbalancingv2"
	return []*Type{{
		Name:       "AWS::ElasticLoadBalancingV2::LoadBalancer",
		Properties: list("Name", "Scheme", "Type", "Subnets", "SubnetMappings", "SecurityGroups", "IpAddressType", "LoadBalancerAttributes", "Tags"), Replace: list("Name", "Scheme", "Type"),
		Attributes: list("LoadBalancerArn", "DNSName", "LoadBalancerName", "LoadBalancerFullName", "CanonicalHostedZoneID", "SecurityGroups"), Identifiers: list("LoadBalancerArn"), Tagged: true,
		Identify: shortName, Needs: [2]string{service, "CreateLoadBalancer"}, Handler: loadBalancer{},
	}, {
		Name: "AWS::ElasticLoadBalancingV2::TargetGroup",
		Properties: list("Name", "Port", "Protocol", "ProtocolVersion", "VpcId", "TargetType", "HealthCheckEnabled", "HealthCheckIntervalSeconds", "HealthCheckPath", "HealthCheckPort", "HealthCheckProtocol",
			"HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount", "Matcher", "IpAddressType", "Targets", "TargetGroupAttributes", "Tags"),
		Replace:    list("Name", "Port", "Protocol", "ProtocolVersion", "VpcId", "TargetType", "IpAddressType"),
		Attributes: list("TargetGroupArn", "TargetGroupName", "TargetGroupFullName", "LoadBalancerArns"), Identifiers: list("TargetGroupArn"), Tagged: true,
		Identify: shortName, Needs: [2]string{service, "CreateTargetGroup"}, Handler: targetGroup{},
	}, {
		Name:       "AWS::ElasticLoadBalancingV2::Listener",
		Properties: list("LoadBalancerArn", "Port", "Protocol", "DefaultActions", "Certificates", "SslPolicy", "AlpnPolicy"), Required: list("LoadBalancerArn", "DefaultActions"), Replace: list("LoadBalancerArn"),
		Attributes: list("ListenerArn"), Identifiers: list("ListenerArn"), Assigned: true, Needs: [2]string{service, "CreateListener"}, Handler: listener{},
	}, {
		Name:       "AWS::ElasticLoadBalancingV2::ListenerRule",
		Properties: list("ListenerArn", "Priority", "Conditions", "Actions"), Required: list("ListenerArn", "Priority", "Conditions", "Actions"), Replace: list("ListenerArn"),
		Attributes: list("RuleArn", "IsDefault"), Identifiers: list("RuleArn"), Assigned: true, Needs: [2]string{service, "CreateRule"}, Handler: listenerRule{},
	}}
}

// shortName is a name of at most 32 characters.
func shortName(r *Request, random string) string { return shortened(r, 32, random) }

func elb(ctx context.Context, r *Request, operation string, in map[string]any) (map[string]any, error) {
	return r.call(ctx, "elasticloadbalancingv2", operation, in)
}

// named is the name of a balancer or a group: the template's, or the one that was
// chosen before it was made.
func named(r *Request) string {
	if name := r.Text("Name"); name != "" {
		return name
	}
	return r.Physical
}

// attributesOf sets the key-value attributes of a balancer or a group.
func attributesOf(ctx context.Context, r *Request, operation, member, arn, property string) error {
	list, _ := r.Properties[property].([]any)
	if len(list) == 0 {
		return nil
	}
	_, err := elb(ctx, r, operation, map[string]any{member: arn, "Attributes": list})
	return err
}

// retag makes the tags of something what the properties say.
func retag(ctx context.Context, r *Request) error {
	if keys := r.oldTagKeys(); len(keys) > 0 {
		if _, err := elb(ctx, r, "RemoveTags", map[string]any{"ResourceArns": []any{r.Physical}, "TagKeys": keys}); err != nil {
			return err
		}
	}
	_, err := elb(ctx, r, "AddTags", map[string]any{"ResourceArns": []any{r.Physical}, "Tags": r.tagList()})
	return err
}

// loadBalancer acts for AWS::ElasticLoadBalancingV2::LoadBalancer.
type loadBalancer struct{}

func (loadBalancer) made(b any) Made {
	arn := textAt(b, "LoadBalancerArn")
	_, full, _ := strings.Cut(arn, ":loadbalancer/")
	return Made{Physical: arn, Settling: textAt(b, "State", "Code") == "provisioning", Attributes: map[string]any{"LoadBalancerArn": arn, "DNSName": textAt(b, "DNSName"), "LoadBalancerName": textAt(b, "LoadBalancerName"),
		"LoadBalancerFullName": full, "CanonicalHostedZoneID": textAt(b, "CanonicalHostedZoneId"), "SecurityGroups": at(b, "SecurityGroups")}}
}

func (h loadBalancer) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties, "LoadBalancerAttributes")
	in["Name"], in["Tags"] = named(r), r.tagList()
	out, err := elb(ctx, r, "CreateLoadBalancer", in)
	if err != nil {
		return Made{}, err
	}
	m := h.made(first(out["LoadBalancers"]))
	return m, attributesOf(ctx, r, "ModifyLoadBalancerAttributes", "LoadBalancerArn", m.Physical, "LoadBalancerAttributes")
}

// Complete sets the attributes of a balancer that is there.
func (h loadBalancer) Complete(ctx context.Context, r *Request) (Made, error) {
	m, _, err := h.Find(ctx, r)
	if err == nil {
		err = attributesOf(ctx, r, "ModifyLoadBalancerAttributes", "LoadBalancerArn", m.Physical, "LoadBalancerAttributes")
	}
	return m, err
}

func (h loadBalancer) Settled(ctx context.Context, r *Request) (Made, error) {
	out, err := elb(ctx, r, "DescribeLoadBalancers", map[string]any{"LoadBalancerArns": []any{r.Physical}})
	return h.made(first(out["LoadBalancers"])), err
}

func (h loadBalancer) Update(ctx context.Context, r *Request) (Made, error) {
	for property, operation := range map[string]string{"Subnets": "SetSubnets", "SecurityGroups": "SetSecurityGroups"} {
		if !Same(r.Old[property], r.Properties[property]) && r.Properties[property] != nil {
			if _, err := elb(ctx, r, operation, map[string]any{"LoadBalancerArn": r.Physical, property: r.Properties[property]}); err != nil {
				return Made{}, err
			}
		}
	}
	if err := attributesOf(ctx, r, "ModifyLoadBalancerAttributes", "LoadBalancerArn", r.Physical, "LoadBalancerAttributes"); err != nil {
		return Made{}, err
	}
	if err := retag(ctx, r); err != nil {
		return Made{}, err
	}
	return h.Settled(ctx, r)
}

func (loadBalancer) Delete(ctx context.Context, r *Request) error {
	if !strings.HasPrefix(r.Physical, "arn:") {
		return nil // it was never made
	}
	_, err := elb(ctx, r, "DeleteLoadBalancer", map[string]any{"LoadBalancerArn": r.Physical})
	return gone(err, "LoadBalancerNotFound")
}

func (h loadBalancer) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := elb(ctx, r, "DescribeLoadBalancers", map[string]any{"Names": []any{named(r)}})
	return absent(h.made(first(out["LoadBalancers"])), err, "LoadBalancerNotFound")
}

// targetGroup acts for AWS::ElasticLoadBalancingV2::TargetGroup.
type targetGroup struct{}

func (targetGroup) made(g any) Made {
	arn := textAt(g, "TargetGroupArn")
	full := arn[strings.LastIndexByte(arn, ':')+1:]
	return Made{Physical: arn, Attributes: map[string]any{"TargetGroupArn": arn, "TargetGroupName": textAt(g, "TargetGroupName"), "TargetGroupFullName": full, "LoadBalancerArns": at(g, "LoadBalancerArns")}}
}

func (h targetGroup) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties, "Targets", "TargetGroupAttributes")
	in["Name"], in["Tags"] = named(r), r.tagList()
	out, err := elb(ctx, r, "CreateTargetGroup", in)
	if err != nil {
		return Made{}, err
	}
	m := h.made(first(out["TargetGroups"]))
	return m, h.settle(ctx, r, m.Physical)
}

// settle sets attributes and registers targets.
func (targetGroup) settle(ctx context.Context, r *Request, arn string) error {
	if err := attributesOf(ctx, r, "ModifyTargetGroupAttributes", "TargetGroupArn", arn, "TargetGroupAttributes"); err != nil {
		return err
	}
	old, _ := r.Old["Targets"].([]any)
	now, _ := r.Properties["Targets"].([]any)
	for _, part := range []struct {
		operation string
		targets   []any
	}{{"DeregisterTargets", lacking(old, now)}, {"RegisterTargets", now}} {
		if len(part.targets) == 0 {
			continue
		}
		if _, err := elb(ctx, r, part.operation, map[string]any{"TargetGroupArn": arn, "Targets": part.targets}); err != nil {
			return err
		}
	}
	return nil
}

// Complete sets what a group that is there does not have yet.
func (h targetGroup) Complete(ctx context.Context, r *Request) (Made, error) {
	m, _, err := h.Find(ctx, r)
	if err == nil {
		err = h.settle(ctx, r, m.Physical)
	}
	return m, err
}

func (h targetGroup) Update(ctx context.Context, r *Request) (Made, error) {
	in := map[string]any{"TargetGroupArn": r.Physical}
	for _, name := range []string{"HealthCheckEnabled", "HealthCheckIntervalSeconds", "HealthCheckPath", "HealthCheckPort", "HealthCheckProtocol", "HealthCheckTimeoutSeconds", "HealthyThresholdCount", "UnhealthyThresholdCount", "Matcher"} {
		if v, there := r.Properties[name]; there {
			in[name] = v
		}
	}
	out, err := elb(ctx, r, "ModifyTargetGroup", in)
	if err != nil {
		return Made{}, err
	}
	if err := h.settle(ctx, r, r.Physical); err != nil {
		return Made{}, err
	}
	return h.made(first(out["TargetGroups"])), retag(ctx, r)
}

func (targetGroup) Delete(ctx context.Context, r *Request) error {
	if !strings.HasPrefix(r.Physical, "arn:") {
		return nil // it was never made
	}
	_, err := elb(ctx, r, "DeleteTargetGroup", map[string]any{"TargetGroupArn": r.Physical})
	return gone(err, "TargetGroupNotFound")
}

func (h targetGroup) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := elb(ctx, r, "DescribeTargetGroups", map[string]any{"Names": []any{named(r)}})
	return absent(h.made(first(out["TargetGroups"])), err, "TargetGroupNotFound")
}

// listener acts for AWS::ElasticLoadBalancingV2::Listener: a balancer has one for a port.
type listener struct{}

func (listener) made(l any) Made {
	arn := textAt(l, "ListenerArn")
	return Made{Physical: arn, Attributes: map[string]any{"ListenerArn": arn}}
}

func (h listener) Create(ctx context.Context, r *Request) (Made, error) {
	out, err := elb(ctx, r, "CreateListener", r.Properties)
	return h.made(first(out["Listeners"])), err
}

func (h listener) Update(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties, "LoadBalancerArn")
	in["ListenerArn"] = r.Physical
	out, err := elb(ctx, r, "ModifyListener", in)
	return h.made(first(out["Listeners"])), err
}

func (listener) Delete(ctx context.Context, r *Request) error {
	_, err := elb(ctx, r, "DeleteListener", map[string]any{"ListenerArn": r.Physical})
	return gone(err, "ListenerNotFound")
}

func (h listener) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := elb(ctx, r, "DescribeListeners", map[string]any{"LoadBalancerArn": r.Text("LoadBalancerArn")})
	list, _ := out["Listeners"].([]any)
	for _, l := range list {
		if Same(r.Properties["Port"], number(at(l, "Port"))) {
			return h.made(l), true, nil
		}
	}
	return absent(Made{}, err, "LoadBalancerNotFound", "")
}

// listenerRule acts for AWS::ElasticLoadBalancingV2::ListenerRule: a listener has
// one for a priority.
type listenerRule struct{}

func (listenerRule) made(l any) Made {
	arn := textAt(l, "RuleArn")
	return Made{Physical: arn, Attributes: map[string]any{"RuleArn": arn, "IsDefault": at(l, "IsDefault")}}
}

func (h listenerRule) Create(ctx context.Context, r *Request) (Made, error) {
	out, err := elb(ctx, r, "CreateRule", r.Properties)
	return h.made(first(out["Rules"])), err
}

func (h listenerRule) Update(ctx context.Context, r *Request) (Made, error) {
	if !Same(r.Old["Priority"], r.Properties["Priority"]) {
		in := map[string]any{"RulePriorities": []any{map[string]any{"RuleArn": r.Physical, "Priority": r.Properties["Priority"]}}}
		if _, err := elb(ctx, r, "SetRulePriorities", in); err != nil {
			return Made{}, err
		}
	}
	out, err := elb(ctx, r, "ModifyRule", map[string]any{"RuleArn": r.Physical, "Conditions": r.Properties["Conditions"], "Actions": r.Properties["Actions"]})
	return h.made(first(out["Rules"])), err
}

func (listenerRule) Delete(ctx context.Context, r *Request) error {
	_, err := elb(ctx, r, "DeleteRule", map[string]any{"RuleArn": r.Physical})
	return gone(err, "RuleNotFound", "ListenerNotFound")
}

func (h listenerRule) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := elb(ctx, r, "DescribeRules", map[string]any{"ListenerArn": r.Text("ListenerArn")})
	list, _ := out["Rules"].([]any)
	for _, l := range list {
		if textAt(l, "Priority") == r.Text("Priority") {
			return h.made(l), true, nil
		}
	}
	return absent(Made{}, err, "ListenerNotFound", "")
}

// number is a whole number of an answer, as a template has it.
func number(v any) any {
	if n, ok := v.(int64); ok {
		return float64(n)
	}
	return v
}
