package autoscaling

import (
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
)

// member is an instance as its group tells it.
func (g *group) member(i cloud.Instance) object {
	l := g.Launches[i.Version]
	health := "Healthy"
	if i.Lifecycle == cloud.InService && !i.Healthy || i.Lifecycle == cloud.Terminating && i.Failure != nil {
		health = "Unhealthy"
	}
	o := object{"InstanceId": i.ID, "AvailabilityZone": i.Zone, "LifecycleState": string(i.Lifecycle), "HealthStatus": health, "ProtectedFromScaleIn": i.Protected, "InstanceType": l.Data.Text("InstanceType")}
	if l.Template != nil {
		o["LaunchTemplate"] = l.Template
	} else if name, ok := strings.CutPrefix(i.Version, "configuration/"); ok {
		o["LaunchConfigurationName"] = name
	}
	return o.With(nil)
}

// told is a group as it is described.
func (g *group) tell(sg *cloud.ServerGroup) object {
	c := now(*g, sg)
	instances := []any{}
	if sg != nil {
		for _, i := range sg.Instances {
			instances = append(instances, g.member(i))
		}
	}
	o := object{
		"AutoScalingGroupName": g.Name, "AutoScalingGroupARN": g.ARN, "CreatedTime": g.Created, "MinSize": c.Min, "MaxSize": c.Max, "DesiredCapacity": c.Desired, "DefaultCooldown": g.Cooldown,
		"AvailabilityZones": wire.List(g.Zones), "VPCZoneIdentifier": strings.Join(g.Subnets, ","), "HealthCheckType": g.HealthCheckType, "HealthCheckGracePeriod": g.Grace,
		"LoadBalancerNames": []any{}, "TargetGroupARNs": wire.List(g.TargetGroups), "Instances": instances, "SuspendedProcesses": g.suspended(), "EnabledMetrics": g.metrics(), "Tags": g.told(),
		"TerminationPolicies": []any{"Default"}, "NewInstancesProtectedFromScaleIn": false, "CapacityRebalance": false, "TrafficSources": g.sources(), "InstanceMaintenancePolicy": maintenance(g.Maintenance),
		"ServiceLinkedRoleARN": strings.Split(g.ARN, ":autoscaling:")[0] + ":iam::" + strings.Split(g.ARN, ":")[4] + ":role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling",
	}.With(g.Kept)
	if g.Template != nil {
		named := g.Launches[g.Version].Template.Only("LaunchTemplateId", "LaunchTemplateName")
		o["LaunchTemplate"] = named.With(object{"Version": g.Template.Text("Version")})
	} else if g.Configuration != "" {
		o["LaunchConfigurationName"] = g.Configuration
	}
	if g.Deleting {
		o["Status"] = "Delete in progress"
	}
	return o.With(nil)
}

func maintenance(p object) any {
	if len(p) == 0 {
		return nil
	}
	return p
}

func (g *group) sources() []any {
	out := []any{}
	for _, arn := range g.TargetGroups {
		out = append(out, object{"Identifier": arn, "Type": "elbv2"})
	}
	return out
}

func (s *Service) describe(ctx context.Context, c *wire.Call, in object) (object, error) {
	groups, err := s.list(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	var all []cloud.ServerGroup
	if len(groups) > 0 {
		if all, err = s.Groups.List(ctx, c.Region, ""); err != nil {
			return nil, err
		}
	}
	names := in.Texts("AutoScalingGroupNames")
	var out []object
	for _, g := range groups {
		sg := observed(g, all)
		gone := g.Deleting && sg == nil && len(g.Pending) == 0
		if !gone && (len(names) == 0 || slices.Contains(names, g.Name)) && filtered(in, g) {
			out = append(out, g.tell(sg))
		}
	}
	return answer(in, "AutoScalingGroups", out, 50, by("AutoScalingGroupName"))
}

// filtered says whether a group has the tags that a request wants.
func filtered(in object, g group) bool {
	for _, f := range in.Objects("Filters") {
		name, values := f.Text("Name"), f.Texts("Values")
		ok := slices.ContainsFunc(g.Tags, func(t object) bool {
			switch key, isTag := strings.CutPrefix(name, "tag:"); {
			case isTag:
				return t.Text("Key") == key && slices.Contains(values, t.Text("Value"))
			case name == "tag-key":
				return slices.Contains(values, t.Text("Key"))
			case name == "tag-value":
				return slices.Contains(values, t.Text("Value"))
			}
			return false
		})
		if !ok {
			return false
		}
	}
	return true
}

func (s *Service) describeInstances(ctx context.Context, c *wire.Call, in object) (object, error) {
	groups, err := s.list(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	all, err := s.Groups.List(ctx, c.Region, "")
	if err != nil {
		return nil, err
	}
	ids := in.Texts("InstanceIds")
	var out []object
	for _, g := range groups {
		sg := observed(g, all)
		if sg == nil {
			continue
		}
		for _, i := range sg.Instances {
			if len(ids) == 0 || slices.Contains(ids, i.ID) {
				o := g.member(i).With(object{"AutoScalingGroupName": g.Name})
				o["HealthStatus"] = strings.ToUpper(o.Text("HealthStatus"))
				out = append(out, o)
			}
		}
	}
	slices.SortFunc(out, func(a, b object) int { return strings.Compare(a.Text("InstanceId"), b.Text("InstanceId")) })
	return answer(in, "AutoScalingInstances", out, 50, by("InstanceId"))
}

func (s *Service) limits(ctx context.Context, c *wire.Call, _ object) (object, error) {
	groups, err := s.list(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, err := range s.configurations.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		n++
	}
	return object{"MaxNumberOfAutoScalingGroups": 500, "MaxNumberOfLaunchConfigurations": 200, "NumberOfAutoScalingGroups": len(groups), "NumberOfLaunchConfigurations": n}, nil
}

// processes are the processes of a group that can be suspended.
var processes = []string{"AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh", "Launch", "ReplaceUnhealthy", "ScheduledActions", "Terminate"}

func processTypes(context.Context, *wire.Call, object) (object, error) {
	return object{"Processes": each("ProcessName", processes)}, nil
}

func each(member string, values []string) []any {
	var out []any
	for _, v := range values {
		out = append(out, object{member: v})
	}
	return out
}

func adjustmentTypes(context.Context, *wire.Call, object) (object, error) {
	return object{"AdjustmentTypes": each("AdjustmentType", []string{"ChangeInCapacity", "ExactCapacity", "PercentChangeInCapacity"})}, nil
}

func hookTypes(context.Context, *wire.Call, object) (object, error) {
	return object{"LifecycleHookTypes": []any{launching, terminating}}, nil
}

func terminationTypes(context.Context, *wire.Call, object) (object, error) {
	return object{"TerminationPolicyTypes": []any{"Default", "OldestInstance"}}, nil
}

// metricNames are the metrics of a group that can be collected.
var metricNames = []string{"GroupDesiredCapacity", "GroupInServiceInstances", "GroupMaxSize", "GroupMinSize", "GroupPendingInstances", "GroupStandbyInstances", "GroupTerminatingInstances", "GroupTotalInstances"}

func metricTypes(context.Context, *wire.Call, object) (object, error) {
	return object{"Metrics": each("Metric", metricNames), "Granularities": each("Granularity", []string{"1Minute"})}, nil
}

func noLoadBalancers(context.Context, *wire.Call, object) (object, error) {
	return object{"LoadBalancers": []any{}}, nil
}

func (s *Service) describeNotifications(ctx context.Context, c *wire.Call, _ object) (object, error) {
	return object{"NotificationConfigurations": []any{}}, nil
}

// notificationTypes are those of AWS; nothing here sends notifications.
func notificationTypes(context.Context, *wire.Call, object) (object, error) {
	return object{"AutoScalingNotificationTypes": []any{"autoscaling:EC2_INSTANCE_LAUNCH", "autoscaling:EC2_INSTANCE_LAUNCH_ERROR", "autoscaling:EC2_INSTANCE_TERMINATE",
		"autoscaling:EC2_INSTANCE_TERMINATE_ERROR", "autoscaling:TEST_NOTIFICATION"}}, nil
}

// describeWarmPool answers for a group without one: none can be made here.
func (s *Service) describeWarmPool(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName"))
	return object{"Instances": []any{}}, err
}
