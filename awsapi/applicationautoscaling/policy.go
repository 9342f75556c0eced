package applicationautoscaling

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// policy is a scaling policy: one that tracks a target, or steps that an alarm executes.
type policy struct {
	Name    string    `json:"name"`
	ARN     string    `json:"arn"`
	Type    string    `json:"type"`
	Data    object    `json:"data"` // its configuration
	Created time.Time `json:"created"`
	Out     scaling   `json:"out,omitzero"` // its last growth
	In      scaling   `json:"in,omitzero"`  // its last reduction
}

// scaling is a change that a policy made.
type scaling struct {
	At   time.Time `json:"at"`
	From int       `json:"from"`
	To   int       `json:"to"`
}

const (
	tracking = "TargetTrackingScaling"
	steps    = "StepScaling"
)

// configuration is the member that holds the configuration of a type of policies.
var configuration = map[string]string{tracking: "TargetTrackingScalingPolicyConfiguration", steps: "StepScalingPolicyConfiguration"}

// mostPolicies is how many policies a target may have, as at AWS.
const mostPolicies = 50

// cooldown is how long a policy waits after a change; 300 seconds where it does not say.
func (p policy) cooldown(member string) time.Duration {
	return time.Duration(p.Data.Number(member, 300)) * time.Second
}

// check refuses a policy that is not whole, or that cannot be had here.
func (p policy) check() error {
	if p.Type == tracking {
		return p.checkTracking()
	}
	if p.Type != steps {
		return invalid("This cannot be had here: the policy type %s; there are %s and %s", p.Type, tracking, steps)
	}
	switch kind := p.Data.Text("AdjustmentType"); {
	case kind == "":
		return invalid("AdjustmentType is required for the policy type StepScaling")
	case len(p.Data.Objects("StepAdjustments")) == 0:
		return invalid("There must be at least one step adjustment")
	}
	type interval struct{ lower, upper float64 }
	var all []interval
	for _, step := range p.Data.Objects("StepAdjustments") {
		lower, upper := bounds(step)
		if lower >= upper {
			return invalid("The lower bound of a step adjustment must be less than its upper bound")
		}
		all = append(all, interval{lower, upper})
	}
	slices.SortFunc(all, func(a, b interval) int { return cmp.Compare(a.lower, b.lower) })
	for n := range all[1:] {
		switch {
		case all[n].upper > all[n+1].lower:
			return invalid("Step adjustment intervals can't overlap")
		case all[n].upper < all[n+1].lower:
			return invalid("Step adjustment intervals can't have gaps between them")
		}
	}
	return nil
}

func (p policy) checkTracking() error {
	predefined, custom := p.Data.Inner("PredefinedMetricSpecification"), p.Data.Inner("CustomizedMetricSpecification")
	value, ok := p.Data["TargetValue"].(float64)
	kind := predefined.Text("PredefinedMetricType")
	switch {
	case p.Data == nil:
		return invalid("TargetTrackingScalingPolicyConfiguration is required for the policy type TargetTrackingScaling")
	case !ok || !(value > 0):
		return invalid("TargetValue must be greater than 0")
	case (predefined == nil) == (custom == nil):
		return invalid("Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be given")
	case custom != nil && len(custom.Objects("Metrics")) > 0:
		return invalid("This cannot be had here: Metrics of a CustomizedMetricSpecification; one metric is tracked")
	case custom != nil && (custom.Text("MetricName") == "" || custom.Text("Namespace") == "" || custom.Text("Statistic") == ""):
		return invalid("MetricName, Namespace and Statistic are required for a CustomizedMetricSpecification")
	case custom != nil:
		return nil
	case kind == requestsMetric && strings.Count(predefined.Text("ResourceLabel"), "/") != 5:
		return invalid("ResourceLabel must be app/NAME/ID/targetgroup/NAME/ID for the metric %s", kind)
	case kind != cpuMetric && kind != memoryMetric && kind != requestsMetric:
		return invalid("Unsupported metric for a service of ECS: %s; there are %s, %s and %s", kind, cpuMetric, memoryMetric, requestsMetric)
	}
	return nil
}

func (s *Service) putPolicy(ctx context.Context, c *wire.Call, in object) (object, error) {
	if err := checkNames(in); err != nil {
		return nil, err
	}
	name, resource := in.Text("PolicyName"), in.Text("ResourceId")
	kind := cmp.Or(in.Text("PolicyType"), steps)
	made := policy{Name: name, Type: kind, Created: s.Now().UTC()}
	if v := in.Inner(configuration[kind]); v != nil {
		made.Data = v.Clone()
	}
	if kind == steps && made.Data != nil && made.Data.Text("MetricAggregationType") == "" {
		made.Data["MetricAggregationType"] = "Average"
	}
	if err := made.check(); err != nil {
		return nil, err
	}
	_, err := s.change(ctx, c.Region, resource, func(t *target) error {
		made.ARN = "arn:aws:autoscaling:" + c.Region + ":" + c.Account + ":scalingPolicy:" + derived(t.ARN, name) + ":resource/ecs/" + resource + ":policyName/" + name
		at := slices.IndexFunc(t.Policies, func(p policy) bool { return p.Name == name })
		switch {
		case at < 0 && len(t.Policies) >= mostPolicies:
			return wire.Errorf("LimitExceededException", "A scalable target can have at most %d policies", mostPolicies)
		case at < 0:
			t.Policies = append(t.Policies, made)
		case t.Policies[at].Type != kind:
			return invalid("The type of the policy %s is %s and cannot be changed", name, t.Policies[at].Type)
		default:
			made.Created, made.Out, made.In = t.Policies[at].Created, t.Policies[at].Out, t.Policies[at].In
			t.Policies[at] = made
		}
		return nil
	})
	return object{"PolicyARN": made.ARN, "Alarms": []any{}}, err
}

func (s *Service) describePolicies(ctx context.Context, c *wire.Call, in object) (object, error) {
	list, err := s.list(ctx, c, in)
	if err != nil {
		return nil, err
	}
	names := in.Texts("PolicyNames")
	var all []object
	for _, t := range list {
		for _, p := range t.Policies {
			if len(names) == 0 || slices.Contains(names, p.Name) || slices.Contains(names, p.ARN) {
				all = append(all, object{"PolicyARN": p.ARN, "PolicyName": p.Name, "ServiceNamespace": t.Namespace, "ResourceId": t.Resource, "ScalableDimension": t.Dimension, "PolicyType": p.Type,
					configuration[p.Type]: p.Data, "Alarms": []any{}, "CreationTime": p.Created})
			}
		}
	}
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.Text("PolicyARN"), b.Text("PolicyARN")) })
	return page(in, "ScalingPolicies", all, func(o object) string { return o.Text("PolicyARN") })
}

func (s *Service) deletePolicy(ctx context.Context, c *wire.Call, in object) (object, error) {
	if err := checkNames(in); err != nil {
		return nil, err
	}
	name, resource := in.Text("PolicyName"), in.Text("ResourceId")
	none := wire.Errorf("ObjectNotFoundException", "No scaling policy found for service namespace: %s, resource ID: %s, scalable dimension: %s, policy name: %s", ecsNamespace, resource, desiredCount, name)
	_, err := s.change(ctx, c.Region, resource, func(t *target) error {
		left := slices.DeleteFunc(slices.Clone(t.Policies), func(p policy) bool { return p.Name == name })
		if len(left) == len(t.Policies) {
			return none
		}
		t.Policies = left
		return nil
	})
	if wire.CodeOf(err) == "ObjectNotFoundException" {
		err = none
	}
	return object{}, err
}

// bounds are those of a step, infinite where it does not say.
func bounds(step object) (lower, upper float64) {
	lower, upper = math.Inf(-1), math.Inf(1)
	if v, ok := step["MetricIntervalLowerBound"].(float64); ok {
		lower = v
	}
	if v, ok := step["MetricIntervalUpperBound"].(float64); ok {
		upper = v
	}
	return lower, upper
}

// Owns says whether an ARN is that of a policy of this service.
func Owns(arn string) bool {
	return strings.Contains(arn, ":scalingPolicy:") && strings.Contains(arn, ":resource/ecs/")
}

// Execute carries out the steps of a policy that an alarm has triggered. beyond is how
// far the metric is past the alarm's threshold. A cooldown that goes on is no error:
// nothing is changed then.
func (s *Service) Execute(ctx context.Context, region, arn, alarm string, beyond float64) error {
	var t target
	var p policy
	for e, err := range s.targets.All(ctx, region+"/") {
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(e.Doc.Policies, func(p policy) bool { return p.ARN == arn }); at >= 0 {
			t, p = e.Doc, e.Doc.Policies[at]
		}
	}
	if p.Type != steps {
		return invalid("No step scaling policy found with the ARN %s", arn)
	}
	desired, _, err := s.capacity(ctx, s.scaler(region), t)
	if err != nil {
		return err
	}
	t, err = s.change(ctx, region, t.Resource, func(t *target) error {
		at := slices.IndexFunc(t.Policies, func(have policy) bool { return have.ARN == arn })
		if at < 0 {
			return invalid("No step scaling policy found with the ARN %s", arn)
		}
		p := &t.Policies[at]
		to, ok := p.step(desired, beyond, s.Now())
		to = max(t.Min, min(to, t.Max))
		if !ok || to == desired || to > desired && t.is("DynamicScalingOutSuspended") || to < desired && t.is("DynamicScalingInSuspended") {
			return nil
		}
		p.scaled(s.Now(), desired, to)
		t.begin(s.Now(), desired, to, p.Name, "monitor alarm "+alarm+" in state ALARM triggered policy "+p.Name)
		return nil
	})
	if err != nil {
		return err
	}
	return s.carryActivity(ctx, region, t)
}

// scaled keeps what the policy has changed.
func (p *policy) scaled(now time.Time, from, to int) {
	if to > from {
		p.Out = scaling{now.UTC(), from, to}
		return
	}
	p.In = scaling{now.UTC(), from, to}
}

// step is the capacity that the steps of a policy ask for. While the cooldown of a
// growth goes on, what it added counts: only a larger growth is made. Within the cooldown
// of a reduction nothing is taken away.
func (p policy) step(desired int, beyond float64, now time.Time) (int, bool) {
	for _, step := range p.Data.Objects("StepAdjustments") {
		lower, upper := bounds(step)
		if !(beyond >= 0 && lower <= beyond && beyond < upper) && !(beyond < 0 && lower < beyond && beyond <= upper) {
			continue
		}
		change, base := step.Number("ScalingAdjustment", 0), desired
		grows := change > 0 || p.Data.Text("AdjustmentType") == "ExactCapacity" && change > desired
		cooling := now.Sub(p.Out.At) < p.cooldown("Cooldown")
		if grows && cooling && p.Out.To <= desired {
			base = p.Out.From
		}
		to := adjusted(p.Data.Text("AdjustmentType"), base, change, p.Data.Number("MinAdjustmentMagnitude", 0))
		switch {
		case grows:
			return max(to, desired), true
		case now.Sub(p.In.At) < p.cooldown("Cooldown"):
			return desired, false
		}
		return to, true
	}
	return desired, false
}

// adjusted applies an adjustment to a capacity. A percentage is rounded toward zero
// beyond one task, and away from it below one.
func adjusted(kind string, current, change, least int) int {
	switch kind {
	case "ExactCapacity":
		return change
	case "PercentChangeInCapacity":
		product := current * change
		sign := 1
		if product < 0 {
			sign = -1
		}
		n := product / 100
		if product != 0 && n*sign < max(1, least) {
			n = sign * max(1, least)
		}
		return current + n
	}
	return current + change
}
