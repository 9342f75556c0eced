package autoscaling

import (
	"context"
	"slices"

	"showrunner/awsapi/wire"
)

// targetGroups are the target groups that a request names, each of which is there.
func (s *Service) targetGroups(ctx context.Context, region string, in object) ([]string, error) {
	arns := in.Texts("TargetGroupARNs")
	for _, t := range in.Objects("TrafficSources") {
		if kind := t.Text("Type"); kind != "" && kind != "elbv2" {
			return nil, invalid("This cannot be had here: the traffic source type %s; there is elbv2", kind)
		}
		arns = append(arns, t.Text("Identifier"))
	}
	for _, arn := range arns {
		if s.targets == nil {
			return nil, invalid("Provided Target Groups may not be valid. Please ensure they exist and try again.")
		}
		if err := s.targets.CheckTargetGroup(ctx, region, arn); err != nil {
			if wire.CodeOf(err) == "InternalFailure" {
				return nil, err
			}
			return nil, invalid("Provided Target Groups may not be valid. Please ensure they exist and try again.")
		}
	}
	return arns, nil
}

// tellTargets has the load balancers look at what is attached.
func (g *group) tellTargets(arns []string) {
	if len(arns) > 0 {
		g.ask(action{Do: "targets", Targets: arns})
	}
}

// attach changes which target groups a group's instances are registered with.
func (s *Service) attach(ctx context.Context, c *wire.Call, in object, attach bool) (object, error) {
	arns, err := s.targetGroups(ctx, c.Region, in)
	if err != nil && attach {
		return nil, err
	}
	if !attach {
		arns = in.Texts("TargetGroupARNs")
		for _, t := range in.Objects("TrafficSources") {
			arns = append(arns, t.Text("Identifier"))
		}
	}
	_, err = s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		for _, arn := range arns {
			have := slices.Contains(g.TargetGroups, arn)
			switch {
			case attach && !have:
				g.TargetGroups = append(g.TargetGroups, arn)
			case !attach && !have:
				return invalid("Trying to remove Target Groups that are not part of the group")
			case !attach:
				g.TargetGroups = slices.DeleteFunc(g.TargetGroups, func(have string) bool { return have == arn })
			}
		}
		g.tellTargets(arns)
		return nil
	})
	return object{}, err
}

func (s *Service) attachTargets(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.attach(ctx, c, in, true)
}

func (s *Service) detachTargets(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.attach(ctx, c, in, false)
}

func (s *Service) attachSources(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.attach(ctx, c, in, true)
}

func (s *Service) detachSources(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.attach(ctx, c, in, false)
}

// attached are the target groups of a group with the state of what is attached: its
// instances are registered as soon as they serve.
func (s *Service) attached(ctx context.Context, region, name string) ([]string, string, error) {
	g, err := s.find(ctx, region, name)
	if err != nil {
		return nil, "", err
	}
	sg, err := s.see(ctx, region, g)
	state := "Adding"
	switch {
	case g.Deleting:
		state = "Removing"
	case sg != nil && sg.Serving() > 0:
		state = "InService"
	case sg != nil:
		state = "Added"
	}
	return slices.Sorted(slices.Values(g.TargetGroups)), state, err
}

func (s *Service) describeTargets(ctx context.Context, c *wire.Call, in object) (object, error) {
	arns, state, err := s.attached(ctx, c.Region, in.Text("AutoScalingGroupName"))
	if err != nil {
		return nil, err
	}
	var all []object
	for _, arn := range arns {
		all = append(all, object{"LoadBalancerTargetGroupARN": arn, "State": state})
	}
	return answer(in, "LoadBalancerTargetGroups", all, 100, by("LoadBalancerTargetGroupARN"))
}

func (s *Service) describeSources(ctx context.Context, c *wire.Call, in object) (object, error) {
	arns, state, err := s.attached(ctx, c.Region, in.Text("AutoScalingGroupName"))
	if err != nil {
		return nil, err
	}
	var all []object
	for _, arn := range arns {
		all = append(all, object{"Identifier": arn, "TrafficSource": arn, "Type": "elbv2", "State": state})
	}
	return answer(in, "TrafficSources", all, 50, by("Identifier"))
}
