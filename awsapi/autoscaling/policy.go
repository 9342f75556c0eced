package autoscaling

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
)

// policy is a scaling policy. Target tracking is carried out by the region, step and
// simple scaling when they are executed, by an alarm or a person.
type policy struct {
	Name     string    `json:"name"`
	ARN      string    `json:"arn"`
	Type     string    `json:"type"`
	Data     object    `json:"data"` // as it is described
	Executed time.Time `json:"executed,omitzero"`
}

// tracked are the predefined metrics that the region measures, each with the metric
// and how many of AWS's units one of the region's is.
var tracked = map[string]struct {
	metric string
	unit   float64
}{
	"ASGAverageCPUUtilization": {"cpu", 100},                // percent of one processor
	"ALBRequestCountPerTarget": {"requests-per-target", 60}, // a minute
}

// tracking is the region's policy of one that tracks a target, nil for another.
func (p policy) tracking(g *group) *pipeline.ScalingPolicy {
	if p.Type != "TargetTrackingScaling" || p.Data["Enabled"] == false {
		return nil
	}
	t := p.Data.Inner("TargetTrackingConfiguration")
	m := tracked[t.Inner("PredefinedMetricSpecification").Text("PredefinedMetricType")]
	value, _ := t["TargetValue"].(float64)
	warmup := p.Data.Number("EstimatedInstanceWarmup", g.Kept.Number("DefaultInstanceWarmup", 0))
	return &pipeline.ScalingPolicy{Name: p.Name, Target: &pipeline.TargetTracking{Metric: m.metric, Value: value / m.unit, DisableScaleIn: t.Is("DisableScaleIn"), Warmup: pipeline.Duration(time.Duration(max(0, warmup)) * time.Second)}}
}

// check refuses a policy that is not whole, or that cannot be had here.
func (p policy) check() error {
	switch p.Type {
	case "TargetTrackingScaling":
		t := p.Data.Inner("TargetTrackingConfiguration")
		metric := t.Inner("PredefinedMetricSpecification").Text("PredefinedMetricType")
		value, ok := t["TargetValue"].(float64)
		switch {
		case t == nil:
			return invalid("TargetTrackingConfiguration is required for the policy type TargetTrackingScaling")
		case t.Has("CustomizedMetricSpecification"):
			return invalid("This cannot be had here: CustomizedMetricSpecification; a target tracks ASGAverageCPUUtilization or ALBRequestCountPerTarget")
		case tracked[metric].metric == "":
			return invalid("This cannot be had here: the metric %s; a target tracks ASGAverageCPUUtilization or ALBRequestCountPerTarget", metric)
		case !ok || !(value > 0):
			return invalid("TargetValue must be greater than 0")
		}
	case "StepScaling":
		if len(p.Data.Objects("StepAdjustments")) == 0 || p.Data.Text("AdjustmentType") == "" {
			return invalid("At least one StepAdjustment and an AdjustmentType are required for the policy type StepScaling")
		}
	case "SimpleScaling":
		if !p.Data.Has("ScalingAdjustment") || p.Data.Text("AdjustmentType") == "" {
			return invalid("ScalingAdjustment and AdjustmentType are required for the policy type SimpleScaling")
		}
	default:
		return invalid("This cannot be had here: the policy type %s; there are TargetTrackingScaling, StepScaling and SimpleScaling", p.Type)
	}
	switch t := p.Data.Text("AdjustmentType"); t {
	case "", "ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity":
	default:
		return invalid("Adjustment type %s is not valid", t)
	}
	return nil
}

func (s *Service) putPolicy(ctx context.Context, c *wire.Call, in object) (object, error) {
	var made policy
	_, err := s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		name := in.Text("PolicyName")
		at := slices.IndexFunc(g.Policies, func(p policy) bool { return p.Name == name })
		data := in.Only("AdjustmentType", "Cooldown", "EstimatedInstanceWarmup", "MetricAggregationType", "MinAdjustmentMagnitude", "ScalingAdjustment", "StepAdjustments", "TargetTrackingConfiguration").Clone()
		if !data.Has("MinAdjustmentMagnitude") && in.Has("MinAdjustmentStep") {
			data["MinAdjustmentMagnitude"] = in["MinAdjustmentStep"]
		}
		data["Enabled"] = !in.Has("Enabled") || in.Is("Enabled")
		made = policy{Name: name, Type: cmp.Or(in.Text("PolicyType"), "SimpleScaling"), Data: data,
			ARN: "arn:aws:autoscaling:" + c.Region + ":" + c.Account + ":scalingPolicy:" + derivedUUID(g.ARN, name) + ":autoScalingGroupName/" + g.Name + ":policyName/" + name}
		if made.Type == "StepScaling" && data.Text("MetricAggregationType") == "" {
			data["MetricAggregationType"] = "Average"
		}
		if err := made.check(); err != nil {
			return err
		}
		tracks := made.Type == "TargetTrackingScaling"
		if at >= 0 {
			if g.Policies[at].Type != made.Type {
				return invalid("The type of the policy %s is %s and cannot be changed", name, g.Policies[at].Type)
			}
			g.Policies[at] = made
		} else {
			g.Policies = append(g.Policies, made)
		}
		if tracks {
			g.ask(action{Do: "amend"})
		}
		return nil
	})
	return object{"PolicyARN": made.ARN, "Alarms": []any{}}, err
}

func (p policy) told(g group) object {
	return object{"PolicyName": p.Name, "PolicyARN": p.ARN, "PolicyType": p.Type, "AutoScalingGroupName": g.Name, "StepAdjustments": []any{}, "Alarms": []any{}}.With(p.Data)
}

func (s *Service) describePolicies(ctx context.Context, c *wire.Call, in object) (object, error) {
	groups, err := s.list(ctx, c.Region)
	if name := in.Text("AutoScalingGroupName"); err == nil && name != "" {
		var g group
		g, err = s.find(ctx, c.Region, name)
		groups = []group{g}
	}
	if err != nil {
		return nil, err
	}
	names, types := in.Texts("PolicyNames"), in.Texts("PolicyTypes")
	var all []object
	for _, g := range groups {
		for _, p := range g.Policies {
			if (len(names) == 0 || slices.Contains(names, p.Name) || slices.Contains(names, p.ARN)) && (len(types) == 0 || slices.Contains(types, p.Type)) {
				all = append(all, p.told(g))
			}
		}
	}
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.Text("PolicyARN"), b.Text("PolicyARN")) })
	return answer(in, "ScalingPolicies", all, 50, by("PolicyARN"))
}

// policyNamed finds a policy by its name, with its group's, or by its ARN.
func (s *Service) policyNamed(ctx context.Context, region, groupName, name string) (group, policy, error) {
	groups, err := s.list(ctx, region)
	if err != nil {
		return group{}, policy{}, err
	}
	for _, g := range groups {
		for _, p := range g.Policies {
			if p.ARN == name || p.Name == name && g.Name == groupName {
				return g, p, nil
			}
		}
	}
	return group{}, policy{}, invalid("Policy not found - PolicyName %s of the group %s", name, groupName)
}

func (s *Service) deletePolicy(ctx context.Context, c *wire.Call, in object) (object, error) {
	g, p, err := s.policyNamed(ctx, c.Region, in.Text("AutoScalingGroupName"), in.Text("PolicyName"))
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, c.Region, g.Name, func(g *group) error {
		g.Policies = slices.DeleteFunc(g.Policies, func(have policy) bool { return have.Name == p.Name })
		if p.Type == "TargetTrackingScaling" {
			g.ask(action{Do: "amend"})
		}
		return nil
	})
	return object{}, err
}

func (s *Service) executePolicy(ctx context.Context, c *wire.Call, in object) (object, error) {
	g, p, err := s.policyNamed(ctx, c.Region, in.Text("AutoScalingGroupName"), in.Text("PolicyName"))
	if err != nil {
		return nil, err
	}
	switch {
	case p.Type == "TargetTrackingScaling":
		return nil, invalid("The policy %s tracks a target: the region carries it out", p.Name)
	case p.Type == "StepScaling" && (!in.Has("MetricValue") || !in.Has("BreachThreshold")):
		return nil, invalid("MetricValue and BreachThreshold are required for the policy type StepScaling")
	}
	metric, _ := in["MetricValue"].(float64)
	threshold, _ := in["BreachThreshold"].(float64)
	return object{}, s.execute(ctx, c.Region, g, p, metric-threshold, in.Is("HonorCooldown"), "a user request executed policy "+p.Name)
}

// Execute carries out a policy that an alarm has triggered. beyond is how far the
// metric is past the alarm's threshold. A cooldown that goes on is no error: nothing
// is changed then.
func (s *Service) Execute(ctx context.Context, region, policyARN, alarm string, beyond float64) error {
	g, p, err := s.policyNamed(ctx, region, "", policyARN)
	if err != nil || p.Data["Enabled"] == false || g.isSuspended("AlarmNotification") {
		return err
	}
	err = s.execute(ctx, region, g, p, beyond, p.Type == "SimpleScaling", "a monitor alarm "+alarm+" in state ALARM triggered policy "+p.Name)
	if wire.CodeOf(err) == "ScalingActivityInProgress" {
		return nil
	}
	return err
}

// execute changes the group's capacity as a policy says.
func (s *Service) execute(ctx context.Context, region string, g group, p policy, beyond float64, cooldown bool, why string) error {
	sg, err := s.see(ctx, region, g)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, region, g.Name, func(g *group) error {
		at := slices.IndexFunc(g.Policies, func(have policy) bool { return have.Name == p.Name })
		if at < 0 {
			return invalid("Policy not found - PolicyName %s", p.Name)
		}
		wait := time.Duration(p.Data.Number("Cooldown", g.Cooldown)) * time.Second
		if cooldown && !g.Policies[at].Executed.IsZero() && s.Now().Sub(g.Policies[at].Executed) < wait {
			return wire.Errorf("ScalingActivityInProgress", "Scaling activity is in progress: the cooldown of %s has not ended", wait)
		}
		was := now(*g, sg)
		change, ok := p.change(beyond)
		if !ok {
			return nil
		}
		to := pipeline.Capacity{Min: was.Min, Max: was.Max, Desired: adjusted(p.Data.Text("AdjustmentType"), was.Desired, change, p.Data.Number("MinAdjustmentMagnitude", 0))}
		to.Desired = max(to.Min, min(to.Desired, to.Max))
		g.Policies[at].Executed = s.Now().UTC()
		if to.Desired == was.Desired {
			return nil
		}
		g.because(s.Now(), "%s changing the desired capacity from %d to %d.", why, was.Desired, to.Desired)
		g.Capacity = to
		g.ask(action{Do: "resize", Capacity: &to})
		return nil
	})
	return err
}

// change is the adjustment of a policy for a metric that is beyond its threshold.
func (p policy) change(beyond float64) (int, bool) {
	if p.Type == "SimpleScaling" {
		return p.Data.Number("ScalingAdjustment", 0), true
	}
	for _, step := range p.Data.Objects("StepAdjustments") {
		lower, upper := math.Inf(-1), math.Inf(1)
		if v, ok := step["MetricIntervalLowerBound"].(float64); ok {
			lower = v
		}
		if v, ok := step["MetricIntervalUpperBound"].(float64); ok {
			upper = v
		}
		if beyond >= 0 && lower <= beyond && beyond < upper || beyond < 0 && lower < beyond && beyond <= upper {
			return step.Number("ScalingAdjustment", 0), true
		}
	}
	return 0, false
}

// adjusted applies an adjustment to a capacity, by Auto Scaling's rounding: toward
// zero beyond one instance, away from it below one.
func adjusted(kind string, current, change, least int) int {
	switch kind {
	case "ExactCapacity":
		return change
	case "PercentChangeInCapacity":
		n := current * change / 100
		sign := 1
		if change < 0 {
			sign = -1
		}
		if n == 0 && current*change != 0 {
			n = sign
		}
		if n*sign < least {
			n = sign * least
		}
		return current + n
	}
	return current + change
}

// followScaling takes over what a policy of the region has done to a group's capacity.
func (s *Service) followScaling(ctx context.Context, region string, g group, sg *cloud.ServerGroup) (group, error) {
	if sg.Capacity == g.Capacity || len(g.Pending) > 0 || g.Deleting {
		return g, nil
	}
	made, err := s.groups.Update(ctx, region+"/"+g.Name, func(now *group) error {
		if len(now.Pending) > 0 || now.Capacity == sg.Capacity || now.Capacity != g.Capacity || now.Actions != g.Actions {
			return nil
		}
		why, at := "the capacity was changed on the region's side", s.Now()
		if sg.Scaled != nil && sg.Scaled.To == sg.Capacity.Desired {
			at, why = sg.Scaled.At, "a monitor of the region ("+sg.Scaled.Why+") triggered policy "+sg.Scaled.Policy
		}
		if now.Capacity.Desired != sg.Capacity.Desired {
			now.because(at, "%s changing the desired capacity from %d to %d.", why, now.Capacity.Desired, sg.Capacity.Desired)
		}
		now.Capacity = sg.Capacity
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = nil
	}
	return made, err
}
