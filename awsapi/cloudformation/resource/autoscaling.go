package resource

import (
	"context"
	"errors"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// message is an error's text without its code.
func message(err error) string {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Message
	}
	return err.Error()
}

// scalingGroup acts for AWS::AutoScaling::AutoScalingGroup.
type scalingGroup struct{}

// input is what the operations take of the properties.
func (scalingGroup) input(r *Request, but ...string) map[string]any {
	in := without(r.Properties, append(but, "MetricsCollection", "Tags", "Cooldown")...)
	in["AutoScalingGroupName"] = r.Physical
	if subnets := r.Texts("VPCZoneIdentifier"); len(subnets) > 0 {
		in["VPCZoneIdentifier"] = strings.Join(subnets, ",")
	}
	if v, there := r.Properties["Cooldown"]; there {
		in["DefaultCooldown"] = v
	}
	return in
}

// tags are the group's, each with whether its instances get it.
func (scalingGroup) tags(r *Request) []any {
	propagated := map[string]bool{}
	own, _ := r.Properties["Tags"].([]any)
	for _, t := range own {
		propagated[textAt(t, "Key")] = Same(at(t, "PropagateAtLaunch"), true)
	}
	var out []any
	for _, t := range r.AllTags() {
		launch, given := propagated[t.Key]
		out = append(out, map[string]any{"ResourceId": r.Physical, "ResourceType": "auto-scaling-group", "Key": t.Key, "Value": t.Value, "PropagateAtLaunch": launch || !given})
	}
	return out
}

func (h scalingGroup) Create(ctx context.Context, r *Request) (Made, error) {
	in := h.input(r)
	in["Tags"] = h.tags(r)
	if _, err := r.call(ctx, "autoscaling", "CreateAutoScalingGroup", in); err != nil {
		return Made{}, err
	}
	m, _, err := h.Find(ctx, r)
	return m, err
}

func (h scalingGroup) Update(ctx context.Context, r *Request) (Made, error) {
	in := h.input(r, "TargetGroupARNs", "LifecycleHookSpecificationList")
	if _, err := r.call(ctx, "autoscaling", "UpdateAutoScalingGroup", in); err != nil {
		return Made{}, err
	}
	group := map[string]any{"AutoScalingGroupName": r.Physical}
	for operation, lists := range map[string][2][]string{
		"DetachLoadBalancerTargetGroups": {texts(r.Old["TargetGroupARNs"]), r.Texts("TargetGroupARNs")}, "AttachLoadBalancerTargetGroups": {r.Texts("TargetGroupARNs"), texts(r.Old["TargetGroupARNs"])},
	} {
		changed := slices.DeleteFunc(slices.Clone(lists[0]), func(a string) bool { return slices.Contains(lists[1], a) })
		if len(changed) == 0 {
			continue
		}
		group["TargetGroupARNs"] = changed
		if _, err := r.call(ctx, "autoscaling", operation, group); err != nil {
			return Made{}, err
		}
	}
	if _, err := r.call(ctx, "autoscaling", "CreateOrUpdateTags", map[string]any{"Tags": h.tags(r)}); err != nil {
		return Made{}, err
	}
	m, _, err := h.Find(ctx, r)
	return m, err
}

// Delete ends the group with its instances, and asks for another call until they
// have ended.
func (h scalingGroup) Delete(ctx context.Context, r *Request) error {
	_, there, err := h.Find(ctx, r)
	if err != nil || !there {
		return err
	}
	_, err = r.call(ctx, "autoscaling", "DeleteAutoScalingGroup", map[string]any{"AutoScalingGroupName": r.Physical, "ForceDelete": true})
	if err != nil && wire.CodeOf(err) != "ScalingActivityInProgress" && wire.CodeOf(err) != "ResourceInUse" {
		return err
	}
	if _, there, err = h.Find(ctx, r); err != nil || !there {
		return err
	}
	return &Later{"the group " + r.Physical + " is being deleted"}
}

func (scalingGroup) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "autoscaling", "DescribeAutoScalingGroups", map[string]any{"AutoScalingGroupNames": []any{r.Physical}})
	one := first(out["AutoScalingGroups"])
	return Made{Physical: r.Physical, Attributes: map[string]any{"AutoScalingGroupARN": textAt(one, "AutoScalingGroupARN")}}, one != nil, err
}

// scalingPolicy acts for AWS::AutoScaling::ScalingPolicy. Its identifier is the
// ARN; before it is made, its name.
type scalingPolicy struct{ unfindable }

func policyName(r *Request) string {
	_, name, found := strings.Cut(r.Physical, ":policyName/")
	if found {
		return name
	}
	return r.Physical
}

func (scalingPolicy) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties)
	in["PolicyName"] = policyName(r)
	out, err := r.call(ctx, "autoscaling", "PutScalingPolicy", in)
	arn := textAt(out, "PolicyARN")
	return Made{Physical: arn, Attributes: map[string]any{"Arn": arn, "PolicyName": policyName(r)}}, err
}

func (h scalingPolicy) Update(ctx context.Context, r *Request) (Made, error) { return h.Create(ctx, r) }

func (scalingPolicy) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "autoscaling", "DeletePolicy", map[string]any{"AutoScalingGroupName": r.Text("AutoScalingGroupName"), "PolicyName": policyName(r)})
	if err != nil && strings.Contains(message(err), "not found") {
		return nil
	}
	return err
}

// lifecycleHook acts for AWS::AutoScaling::LifecycleHook.
type lifecycleHook struct{ unfindable }

func (lifecycleHook) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties)
	in["LifecycleHookName"] = r.Physical
	_, err := r.call(ctx, "autoscaling", "PutLifecycleHook", in)
	return Made{Physical: r.Physical}, err
}

func (h lifecycleHook) Update(ctx context.Context, r *Request) (Made, error) { return h.Create(ctx, r) }

func (lifecycleHook) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "autoscaling", "DeleteLifecycleHook", map[string]any{"AutoScalingGroupName": r.Text("AutoScalingGroupName"), "LifecycleHookName": r.Physical})
	if err != nil && strings.Contains(strings.ToLower(message(err)), "no lifecycle hook") {
		return nil
	}
	return err
}

// scheduledAction acts for AWS::AutoScaling::ScheduledAction.
type scheduledAction struct{ unfindable }

func (scheduledAction) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties)
	in["ScheduledActionName"] = r.Physical
	_, err := r.call(ctx, "autoscaling", "PutScheduledUpdateGroupAction", in)
	return Made{Physical: r.Physical, Attributes: map[string]any{"ScheduledActionName": r.Physical}}, err
}

func (h scheduledAction) Update(ctx context.Context, r *Request) (Made, error) {
	return h.Create(ctx, r)
}

func (scheduledAction) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "autoscaling", "DeleteScheduledAction", map[string]any{"AutoScalingGroupName": r.Text("AutoScalingGroupName"), "ScheduledActionName": r.Physical})
	if err != nil && strings.Contains(message(err), "not found") {
		return nil
	}
	return err
}
