package resource

import (
	"context"
	"strings"
)

// The name of the service that scales services of ECS.
const serviceScaling = "application-autoscaling"

func serviceScalingTypes() []*Type {
	return []*Type{{
		Name:       "AWS::ApplicationAutoScaling::ScalableTarget",
		Properties: []string{"MinCapacity", "MaxCapacity", "ResourceId", "ScalableDimension", "ServiceNamespace", "RoleARN", "ScheduledActions", "SuspendedState"},
		Required:   []string{"MinCapacity", "MaxCapacity", "ResourceId", "ScalableDimension", "ServiceNamespace"},
		Replace:    []string{"ResourceId", "ScalableDimension", "ServiceNamespace"}, Attributes: []string{"Id"}, Kept: []string{"RoleARN"},
		Identify: func(r *Request, _ string) string {
			return r.Text("ResourceId") + "|" + r.Text("ScalableDimension") + "|" + r.Text("ServiceNamespace")
		},
		Needs: [2]string{serviceScaling, "RegisterScalableTarget"}, Handler: scalableTarget{},
	}, {
		Name:       "AWS::ApplicationAutoScaling::ScalingPolicy",
		Properties: []string{"PolicyName", "PolicyType", "ResourceId", "ScalableDimension", "ScalingTargetId", "ServiceNamespace", "StepScalingPolicyConfiguration", "TargetTrackingScalingPolicyConfiguration"},
		Required:   []string{"PolicyName", "PolicyType"},
		Replace:    []string{"PolicyName", "ResourceId", "ScalableDimension", "ScalingTargetId", "ServiceNamespace", "PolicyType"}, Attributes: []string{"Arn"}, Named: "PolicyName",
		Needs: [2]string{serviceScaling, "PutScalingPolicy"}, Handler: servicePolicy{},
	}}
}

// scaled names a scalable target as the operations do: by its identifier, or by the
// properties that it is made of.
func scaled(r *Request, identifier string) map[string]any {
	if parts := strings.Split(identifier, "|"); len(parts) == 3 {
		return map[string]any{"ResourceId": parts[0], "ScalableDimension": parts[1], "ServiceNamespace": parts[2]}
	}
	return map[string]any{"ResourceId": r.Text("ResourceId"), "ScalableDimension": r.Text("ScalableDimension"), "ServiceNamespace": r.Text("ServiceNamespace")}
}

// scalableTarget acts for AWS::ApplicationAutoScaling::ScalableTarget.
type scalableTarget struct{}

func (scalableTarget) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Id": r.Physical}}
}

func (h scalableTarget) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties, "RoleARN", "ScheduledActions")
	if _, err := r.call(ctx, serviceScaling, "RegisterScalableTarget", in); err != nil {
		return Made{}, err
	}
	wanted := map[string]bool{}
	list, _ := r.Properties["ScheduledActions"].([]any)
	for _, one := range list {
		action, _ := one.(map[string]any)
		in := scaled(r, "")
		for name, v := range action {
			in[name] = v
		}
		wanted[textAt(action, "ScheduledActionName")] = true
		if _, err := r.call(ctx, serviceScaling, "PutScheduledAction", in); err != nil {
			return Made{}, err
		}
	}
	old, _ := r.Old["ScheduledActions"].([]any)
	for _, action := range old {
		name := textAt(action, "ScheduledActionName")
		if wanted[name] {
			continue
		}
		in := scaled(r, "")
		in["ScheduledActionName"] = name
		if _, err := r.call(ctx, serviceScaling, "DeleteScheduledAction", in); gone(err, "ObjectNotFoundException") != nil {
			return Made{}, err
		}
	}
	return h.made(r), nil
}

func (h scalableTarget) Update(ctx context.Context, r *Request) (Made, error) {
	return h.Create(ctx, r)
}

func (scalableTarget) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, serviceScaling, "DeregisterScalableTarget", scaled(r, r.Physical))
	return gone(err, "ObjectNotFoundException")
}

func (h scalableTarget) Find(ctx context.Context, r *Request) (Made, bool, error) {
	in := scaled(r, r.Physical)
	in["ResourceIds"] = []any{in["ResourceId"]}
	delete(in, "ResourceId")
	out, err := r.call(ctx, serviceScaling, "DescribeScalableTargets", in)
	return h.made(r), first(out["ScalableTargets"]) != nil, err
}

// servicePolicy acts for AWS::ApplicationAutoScaling::ScalingPolicy. Its identifier is
// the ARN; before it is made, its name.
type servicePolicy struct{ unfindable }

func (servicePolicy) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties, "ScalingTargetId")
	for name, v := range scaled(r, r.Text("ScalingTargetId")) {
		in[name] = v
	}
	out, err := r.call(ctx, serviceScaling, "PutScalingPolicy", in)
	arn := textAt(out, "PolicyARN")
	return Made{Physical: arn, Attributes: map[string]any{"Arn": arn}}, err
}

func (h servicePolicy) Update(ctx context.Context, r *Request) (Made, error) { return h.Create(ctx, r) }

func (servicePolicy) Delete(ctx context.Context, r *Request) error {
	in := scaled(r, r.Text("ScalingTargetId"))
	in["PolicyName"] = policyName(r)
	_, err := r.call(ctx, serviceScaling, "DeleteScalingPolicy", in)
	return gone(err, "ObjectNotFoundException")
}
