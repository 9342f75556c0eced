package autoscaling

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/pipeline"
	"showrunner/problem"
)

func (s *Service) create(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("AutoScalingGroupName")
	if _, err := s.find(ctx, c.Region, name); err == nil {
		return nil, exists(name)
	} else if wire.CodeOf(err) != "ValidationError" {
		return nil, err
	}
	if err := refuse(in); err != nil {
		return nil, err
	}
	others, err := s.list(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	created := s.Now().UTC()
	g := group{Name: name, Created: created, HealthCheckType: "EC2", Cooldown: 300, Launches: map[string]launch{},
		Cluster: carry.ClusterName(clusterPrefix, name, func(cluster string) bool {
			return slices.ContainsFunc(others, func(g group) bool { return g.Cluster == cluster && g.Name != name })
		}),
		ARN: "arn:aws:autoscaling:" + c.Region + ":" + c.Account + ":autoScalingGroup:" + carry.NewUUID() + ":autoScalingGroupName/" + name}
	if err := s.apply(ctx, c.Region, &g, in); err != nil {
		return nil, err
	}
	if len(g.Zones) == 0 {
		return nil, invalid("At least one Availability Zone or VPC Subnet is required.")
	}
	if g.Version == "" {
		return nil, invalid("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
	}
	g.Capacity = pipeline.Capacity{Min: in.Number("MinSize", 0), Max: in.Number("MaxSize", 0)}
	g.Capacity.Desired = in.Number("DesiredCapacity", g.Capacity.Min)
	if err := checkCapacity(g.Capacity); err != nil {
		return nil, err
	}
	for _, h := range in.Objects("LifecycleHookSpecificationList") {
		if err := g.putHook(h); err != nil {
			return nil, err
		}
	}
	if g.Tags, err = newTags(ctx, nil, in.Objects("Tags")); err != nil {
		return nil, err
	}
	if g.TargetGroups, err = s.targetGroups(ctx, c.Region, in); err != nil {
		return nil, err
	}
	if _, err := s.EC2.Spec(ctx, c.Region, g.Launches[g.Version].Data); err != nil {
		return nil, err
	}
	if _, err := s.Groups.List(ctx, c.Region, g.Cluster); err != nil { // a region that is unreachable makes nothing
		return nil, err
	}
	g.because(created, "a user request created an AutoScalingGroup changing the desired capacity from 0 to %d.", g.Capacity.Desired)
	g.ask(action{Do: "create"})
	g.tellTargets(g.TargetGroups)
	if err := s.groups.Create(ctx, c.Region+"/"+name, g); err != nil {
		if problem.CodeOf(err) == problem.Conflict {
			err = exists(name)
		}
		return nil, err
	}
	if _, err = s.carry(ctx, c.Region, g); err != nil && problem.CodeOf(err) != problem.Unavailable {
		return nil, errors.Join(err, s.groups.Delete(ctx, c.Region+"/"+name, nil))
	}
	return object{}, nil
}

func exists(name string) error {
	return wire.Errorf("AlreadyExists", "AutoScalingGroup by this name already exists - A group with the name %s already exists", name)
}

// refuse names what a group cannot have here, before anything is made.
func refuse(in object) error {
	for _, no := range []struct {
		asked bool
		what  string
	}{
		{in.Has("MixedInstancesPolicy"), "MixedInstancesPolicy: a group launches one thing at a time"},
		{in.Has("InstanceId"), "InstanceId: name a launch template"},
		{len(in.Texts("LoadBalancerNames")) > 0, "LoadBalancerNames (classic load balancers): name target groups"},
		{in.Number("MaxInstanceLifetime", 0) > 0, "MaxInstanceLifetime"},
		{in.Is("NewInstancesProtectedFromScaleIn"), "NewInstancesProtectedFromScaleIn: protect instances by SetInstanceProtection"},
		{in.Is("CapacityRebalance"), "CapacityRebalance (of spot instances)"},
		{in.Text("PlacementGroup") != "", "PlacementGroup"},
		{in.Text("DesiredCapacityType") != "" && in.Text("DesiredCapacityType") != "units", "DesiredCapacityType " + in.Text("DesiredCapacityType")},
	} {
		if no.asked {
			return invalid("This cannot be had here: %s", no.what)
		}
	}
	for _, p := range in.Texts("TerminationPolicies") {
		if p != "Default" && p != "OldestInstance" {
			return invalid("This cannot be had here: the termination policy %s; there are Default and OldestInstance", p)
		}
	}
	switch t := in.Text("HealthCheckType"); t {
	case "", "EC2", "ELB", "EC2,ELB", "ELB,EC2":
	default:
		return invalid("This cannot be had here: the health check type %s; there are EC2 and ELB", t)
	}
	return nil
}

// apply sets what a request to create or update a group names, but for its capacity.
func (s *Service) apply(ctx context.Context, region string, g *group, in object) error {
	if err := s.applyLaunch(ctx, region, g, in); err != nil {
		return err
	}
	if err := s.applyPlaces(ctx, region, g, in); err != nil {
		return err
	}
	if t := in.Text("HealthCheckType"); t != "" {
		g.HealthCheckType = t
		if strings.Contains(t, "ELB") {
			g.HealthCheckType = "ELB"
		}
	}
	g.Grace, g.Cooldown = in.Number("HealthCheckGracePeriod", g.Grace), in.Number("DefaultCooldown", g.Cooldown)
	if p := in.Inner("InstanceMaintenancePolicy"); p != nil {
		g.Maintenance = p.Clone()
	}
	g.Kept = g.Kept.With(in.Only("TerminationPolicies", "Context", "DefaultInstanceWarmup", "ServiceLinkedRoleARN", "DesiredCapacityType")).Clone()
	return nil
}

// applyLaunch resolves what a group launches.
func (s *Service) applyLaunch(ctx context.Context, region string, g *group, in object) error {
	template, name := in.Inner("LaunchTemplate"), in.Text("LaunchConfigurationName")
	switch {
	case template != nil && name != "":
		return invalid("Valid requests must contain either LaunchTemplate, LaunchConfigurationName, InstanceId or MixedInstancesPolicy parameter.")
	case name != "":
		d, err := s.configuration(ctx, region, name)
		if err != nil {
			return err
		}
		g.Configuration, g.Template = name, nil
		g.launches("configuration/"+name, launch{Data: d.launchData()})
	case template != nil:
		version, l, err := s.resolve(ctx, region, template)
		if err != nil {
			return err
		}
		g.Template, g.Configuration = template.Only("LaunchTemplateId", "LaunchTemplateName", "Version").Clone(), ""
		g.Template["Version"] = cmp.Or(g.Template.Text("Version"), "$Default")
		g.launches(version, l)
	}
	return nil
}

// launches has a group launch something from now on.
func (g *group) launches(version string, l launch) {
	g.Version = version
	if g.Launches == nil {
		g.Launches = map[string]launch{}
	}
	g.Launches[version] = l
}

// resolve is what a launch template means now, and what that version is called.
func (s *Service) resolve(ctx context.Context, region string, template object) (version string, l launch, err error) {
	data, which, err := s.EC2.TemplateData(ctx, region, template)
	if err == nil {
		err = s.EC2.CheckLaunch(ctx, region, data)
	}
	var e *wire.Error
	if errors.As(err, &e) {
		return "", l, invalid("You must use a valid fully-formed launch template. %s", e.Message)
	}
	if err != nil {
		return "", l, err
	}
	return which.Text("LaunchTemplateName") + ":" + which.Text("Version"), launch{Data: data.Clone(), Template: which}, nil
}

// applyPlaces resolves subnets and zones.
func (s *Service) applyPlaces(ctx context.Context, region string, g *group, in object) error {
	subnets, zones := in.Text("VPCZoneIdentifier"), in.Texts("AvailabilityZones")
	if subnets == "" && len(zones) == 0 {
		return nil
	}
	places, found := map[string]string{}, []string(nil)
	var ids []string
	for id := range strings.SplitSeq(subnets, ",") {
		if id = strings.TrimSpace(id); id == "" {
			continue
		}
		zone, _, err := s.EC2.Subnet(ctx, region, id)
		var e *wire.Error
		if errors.As(err, &e) {
			return invalid("%s", e.Message)
		}
		if err != nil {
			return err
		}
		ids = append(ids, id)
		if places[zone] == "" {
			places[zone] = id
			found = append(found, zone)
		}
	}
	if len(ids) > 0 {
		for _, z := range zones {
			if places[z] == "" {
				return invalid("The availability zones of the specified subnets and the AutoScalingGroup do not match")
			}
		}
	} else {
		for _, z := range zones {
			if err := s.EC2.CheckZone(ctx, region, z); err != nil {
				return err
			}
		}
		found = zones
	}
	slices.Sort(found)
	g.Zones, g.Subnets, g.Places = slices.Compact(found), ids, places
	return nil
}

func checkCapacity(c pipeline.Capacity) error {
	switch {
	case c.Min > c.Max:
		return invalid("Max bound, %d, must be greater than or equal to min bound, %d", c.Max, c.Min)
	case c.Desired < c.Min || c.Desired > c.Max:
		return invalid("Desired capacity:%d must be between the specified min size:%d and max size:%d", c.Desired, c.Min, c.Max)
	case c.Max > mostCapacity:
		return invalid("MaxSize %d is more than the %d instances that a group may have here", c.Max, mostCapacity)
	}
	return nil
}

// mostCapacity is how many instances a server group may have.
const mostCapacity = 10000

// capacity is what a request asks for, the rest as it is: a desired capacity that is
// not named stays within the bounds.
func capacity(in object, c struct{ Min, Desired, Max int }) pipeline.Capacity {
	to := pipeline.Capacity{Min: in.Number("MinSize", c.Min), Max: in.Number("MaxSize", c.Max), Desired: c.Desired}
	if in.Has("DesiredCapacity") {
		to.Desired = in.Number("DesiredCapacity", c.Desired)
	} else {
		to.Desired = max(to.Min, min(to.Desired, to.Max))
	}
	return to
}

func (s *Service) update(ctx context.Context, c *wire.Call, in object) (object, error) {
	g, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName"))
	if err == nil {
		err = refuse(in)
	}
	if err != nil {
		return nil, err
	}
	sg, err := s.see(ctx, c.Region, g)
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, c.Region, g.Name, func(g *group) error {
		if err := s.apply(ctx, c.Region, g, in); err != nil {
			return err
		}
		was := now(*g, sg)
		to := capacity(in, was)
		if err := checkCapacity(to); err != nil {
			return err
		}
		if amends(in) {
			g.ask(action{Do: "amend"})
		}
		if to != pipeline.Capacity(was) {
			g.because(s.Now(), "a user request update of AutoScalingGroup constraints to min: %d, max: %d, desired: %d changing the desired capacity from %d to %d.", to.Min, to.Max, to.Desired, was.Desired, to.Desired)
			g.Capacity = to
			g.ask(action{Do: "resize", Capacity: &to})
		}
		return nil
	})
	return object{}, err
}

// amends says whether a request changes what the server group is, beyond its capacity.
func amends(in object) bool {
	return slices.ContainsFunc([]string{"LaunchTemplate", "LaunchConfigurationName", "VPCZoneIdentifier", "AvailabilityZones", "HealthCheckType", "HealthCheckGracePeriod", "InstanceMaintenancePolicy"}, in.Has)
}

func (s *Service) setDesired(ctx context.Context, c *wire.Call, in object) (object, error) {
	g, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName"))
	if err != nil {
		return nil, err
	}
	sg, err := s.see(ctx, c.Region, g)
	if err != nil {
		return nil, err
	}
	want := in.Number("DesiredCapacity", 0)
	_, err = s.change(ctx, c.Region, g.Name, func(g *group) error {
		was := now(*g, sg)
		switch {
		case want > was.Max:
			return invalid("New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.", want, was.Max)
		case want < was.Min:
			return invalid("New SetDesiredCapacity value %d is below min value %d for the AutoScalingGroup.", want, was.Min)
		case in.Is("HonorCooldown") && g.cooling(s.Now()):
			return wire.Errorf("ScalingActivityInProgress", "Scaling activity is in progress: the cooldown of %d seconds has not ended", g.Cooldown)
		case want == was.Desired:
			return nil
		}
		to := pipeline.Capacity{Min: was.Min, Max: was.Max, Desired: want}
		g.because(s.Now(), "a user request explicitly set group desired capacity changing the desired capacity from %d to %d.", was.Desired, want)
		g.Capacity = to
		g.ask(action{Do: "resize", Capacity: &to})
		return nil
	})
	return object{}, err
}

// cooling says whether the group's cooldown since its last change goes on.
func (g *group) cooling(now time.Time) bool {
	return len(g.Requests) > 0 && now.Sub(g.Requests[len(g.Requests)-1].At) < time.Duration(cmp.Or(g.Cooldown, 300))*time.Second
}

func (s *Service) remove(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("AutoScalingGroupName")
	g, err := s.find(ctx, c.Region, name)
	if err != nil {
		return nil, err
	}
	sg, err := s.see(ctx, c.Region, g)
	if err != nil {
		return nil, err
	}
	if !in.Is("ForceDelete") && sg != nil && (len(sg.Instances) > 0 || sg.Capacity.Desired > 0) {
		return nil, wire.Errorf("ResourceInUse", "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group.")
	}
	_, err = s.groups.Update(ctx, c.Region+"/"+name, func(g *group) error {
		if !g.Deleting {
			g.Deleting = true
			g.ask(action{Do: "destroy"})
			g.tellTargets(g.TargetGroups)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if g, err = s.groups.Get(ctx, c.Region+"/"+name); err == nil {
		_, err = s.carry(ctx, c.Region, g)
	}
	if err != nil && problem.CodeOf(err) != problem.Unavailable && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	return object{}, nil
}
