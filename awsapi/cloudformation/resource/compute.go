package resource

import (
	"context"
	"strconv"
	"strings"

	"showrunner/awsapi/wire"
)

func computeTypes() []*Type {
	list := func(names ...string) []string { return names }
	return []*Type{{
		Name: "AWS::EC2::LaunchTemplate", Properties: list("LaunchTemplateName", "LaunchTemplateData", "TagSpecifications", "VersionDescription"), Required: list("LaunchTemplateData"),
		Replace: list("LaunchTemplateName"), Attributes: list("LaunchTemplateId", "LatestVersionNumber", "DefaultVersionNumber"), Identifiers: list("LaunchTemplateId"),
		Repeatable: true, Needs: [2]string{"ec2", "CreateLaunchTemplate"}, Handler: launchTemplate{},
	}, {
		Name: "AWS::EC2::Instance", Properties: list("ImageId", "InstanceType", "LaunchTemplate", "SubnetId", "SecurityGroupIds", "SecurityGroups", "UserData", "KeyName", "IamInstanceProfile", "AvailabilityZone", "Tags", "Monitoring", "EbsOptimized", "BlockDeviceMappings", "NetworkInterfaces", "DisableApiTermination"),
		Replace:    list("ImageId", "InstanceType", "LaunchTemplate", "SubnetId", "SecurityGroupIds", "SecurityGroups", "UserData", "KeyName", "IamInstanceProfile", "AvailabilityZone", "NetworkInterfaces", "BlockDeviceMappings", "EbsOptimized", "Monitoring"),
		Attributes: list("InstanceId", "PrivateIp", "PublicIp", "AvailabilityZone", "PrivateDnsName", "PublicDnsName"), Identifiers: list("InstanceId"), Tagged: true, Assigned: true,
		Repeatable: true, Needs: [2]string{"ec2", "RunInstances"}, Handler: instance{},
	}, {
		Name: "AWS::AutoScaling::LaunchConfiguration", Properties: list("LaunchConfigurationName", "ImageId", "InstanceType", "SecurityGroups", "UserData", "KeyName", "IamInstanceProfile", "AssociatePublicIpAddress", "BlockDeviceMappings", "InstanceMonitoring", "MetadataOptions", "EbsOptimized"),
		Required:   list("ImageId", "InstanceType"),
		Replace:    list("LaunchConfigurationName", "ImageId", "InstanceType", "SecurityGroups", "UserData", "KeyName", "IamInstanceProfile", "AssociatePublicIpAddress", "BlockDeviceMappings", "InstanceMonitoring", "MetadataOptions", "EbsOptimized"),
		Attributes: list("LaunchConfigurationName"), Named: "LaunchConfigurationName", Identifiers: list("LaunchConfigurationName"), Needs: [2]string{"autoscaling", "CreateLaunchConfiguration"}, Handler: launchConfiguration{},
	}, {
		Name: "AWS::AutoScaling::AutoScalingGroup", Properties: list("AutoScalingGroupName", "MinSize", "MaxSize", "DesiredCapacity", "LaunchTemplate", "LaunchConfigurationName", "MixedInstancesPolicy", "VPCZoneIdentifier", "AvailabilityZones", "TargetGroupARNs",
			"HealthCheckType", "HealthCheckGracePeriod", "Cooldown", "DefaultInstanceWarmup", "TerminationPolicies", "NewInstancesProtectedFromScaleIn", "MaxInstanceLifetime", "CapacityRebalance", "LifecycleHookSpecificationList", "MetricsCollection", "Tags"),
		Required: list("MinSize", "MaxSize"), Kept: list("MetricsCollection"), Replace: list("AutoScalingGroupName"),
		Attributes: list("AutoScalingGroupARN"), Named: "AutoScalingGroupName", Identifiers: list("AutoScalingGroupName"), Tagged: true, Needs: [2]string{"autoscaling", "CreateAutoScalingGroup"}, Handler: scalingGroup{},
	}, {
		Name: "AWS::AutoScaling::ScalingPolicy", Properties: list("AutoScalingGroupName", "PolicyType", "AdjustmentType", "ScalingAdjustment", "Cooldown", "StepAdjustments", "MetricAggregationType", "EstimatedInstanceWarmup", "MinAdjustmentMagnitude", "TargetTrackingConfiguration"),
		Required: list("AutoScalingGroupName"), Replace: list("AutoScalingGroupName"), Attributes: list("Arn", "PolicyName"), Identifiers: list("Arn"),
		Needs: [2]string{"autoscaling", "PutScalingPolicy"}, Handler: scalingPolicy{},
	}, {
		Name: "AWS::AutoScaling::LifecycleHook", Properties: list("AutoScalingGroupName", "LifecycleHookName", "LifecycleTransition", "DefaultResult", "HeartbeatTimeout", "NotificationMetadata", "NotificationTargetARN", "RoleARN"),
		Required: list("AutoScalingGroupName", "LifecycleTransition"), Replace: list("AutoScalingGroupName", "LifecycleHookName"), Named: "LifecycleHookName",
		Needs: [2]string{"autoscaling", "PutLifecycleHook"}, Handler: lifecycleHook{},
	}, {
		Name: "AWS::AutoScaling::ScheduledAction", Properties: list("AutoScalingGroupName", "DesiredCapacity", "MinSize", "MaxSize", "Recurrence", "StartTime", "EndTime", "TimeZone"),
		Required: list("AutoScalingGroupName"), Replace: list("AutoScalingGroupName"), Attributes: list("ScheduledActionName"),
		Needs: [2]string{"autoscaling", "PutScheduledUpdateGroupAction"}, Handler: scheduledAction{},
	}}
}

// launchTemplate acts for AWS::EC2::LaunchTemplate. Its identifier is EC2's; before
// it is made, its name.
type launchTemplate struct{}

func (launchTemplate) name(r *Request) string {
	if name := r.Text("LaunchTemplateName"); name != "" {
		return name
	}
	return r.Physical
}

func templateMade(t any) Made {
	number := func(name string) string {
		n, _ := at(t, name).(int64)
		return strconv.FormatInt(n, 10)
	}
	id := textAt(t, "LaunchTemplateId")
	return Made{Physical: id, Attributes: map[string]any{"LaunchTemplateId": id, "LatestVersionNumber": number("LatestVersionNumber"), "DefaultVersionNumber": number("DefaultVersionNumber")}}
}

func (h launchTemplate) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"LaunchTemplateData": "LaunchTemplateData", "VersionDescription": "VersionDescription", "TagSpecifications": "TagSpecifications"})
	in["LaunchTemplateName"], in["ClientToken"] = h.name(r), UUID(r.Token)
	out, err := r.call(ctx, "ec2", "CreateLaunchTemplate", in)
	return templateMade(out["LaunchTemplate"]), err
}

// Update makes another version. The token keeps a repeated call from making two.
func (h launchTemplate) Update(ctx context.Context, r *Request) (Made, error) {
	if !Same(r.Old["LaunchTemplateData"], r.Properties["LaunchTemplateData"]) {
		in := map[string]any{"LaunchTemplateId": r.Physical, "LaunchTemplateData": r.Properties["LaunchTemplateData"], "ClientToken": UUID(r.Token)}
		if _, err := r.call(ctx, "ec2", "CreateLaunchTemplateVersion", in); err != nil {
			return Made{}, err
		}
	}
	out, err := r.call(ctx, "ec2", "DescribeLaunchTemplates", map[string]any{"LaunchTemplateIds": []any{r.Physical}})
	return templateMade(first(out["LaunchTemplates"])), err
}

func (launchTemplate) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "ec2", "DeleteLaunchTemplate", map[string]any{"LaunchTemplateId": r.Physical})
	return gone(err, "InvalidLaunchTemplateId.NotFound", "InvalidLaunchTemplateName.NotFoundException", "InvalidLaunchTemplateId.Malformed")
}

func (h launchTemplate) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "ec2", "DescribeLaunchTemplates", map[string]any{"Filters": []any{map[string]any{"Name": "launch-template-name", "Values": []any{h.name(r)}}}})
	one := first(out["LaunchTemplates"])
	return templateMade(one), one != nil, err
}

// instance acts for AWS::EC2::Instance.
type instance struct{}

func instanceMade(i any) Made {
	m := Made{Physical: textAt(i, "InstanceId"), Attributes: map[string]any{"AvailabilityZone": textAt(i, "Placement", "AvailabilityZone")}}
	for attribute, member := range map[string]string{"InstanceId": "InstanceId", "PrivateIp": "PrivateIpAddress", "PublicIp": "PublicIpAddress", "PrivateDnsName": "PrivateDnsName", "PublicDnsName": "PublicDnsName"} {
		m.Attributes[attribute] = textAt(i, member)
	}
	m.Settling = textAt(i, "State", "Name") == "pending"
	return m
}

func (instance) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties, "Tags", "AvailabilityZone", "IamInstanceProfile", "Monitoring")
	in["MinCount"], in["MaxCount"], in["ClientToken"] = 1, 1, UUID(r.Token)
	in["TagSpecifications"] = []any{map[string]any{"ResourceType": "instance", "Tags": r.tagList()}}
	if zone := r.Text("AvailabilityZone"); zone != "" {
		in["Placement"] = map[string]any{"AvailabilityZone": zone}
	}
	if name := r.Text("IamInstanceProfile"); name != "" {
		in["IamInstanceProfile"] = map[string]any{"Name": name}
	}
	if _, there := r.Properties["Monitoring"]; there {
		in["Monitoring"] = map[string]any{"Enabled": r.Flag("Monitoring")}
	}
	out, err := r.call(ctx, "ec2", "RunInstances", in)
	return instanceMade(first(out["Instances"])), err
}

func (instance) describe(ctx context.Context, r *Request, in map[string]any) ([]any, error) {
	out, err := r.call(ctx, "ec2", "DescribeInstances", in)
	var all []any
	reservations, _ := out["Reservations"].([]any)
	for _, v := range reservations {
		list, _ := at(v, "Instances").([]any)
		all = append(all, list...)
	}
	return all, err
}

// Settled waits until the instance runs.
func (h instance) Settled(ctx context.Context, r *Request) (Made, error) {
	list, err := h.describe(ctx, r, map[string]any{"InstanceIds": []any{r.Physical}})
	if err != nil {
		return Made{}, err
	}
	m := instanceMade(first(list))
	if state := textAt(first(list), "State", "Name"); state != "running" && !m.Settling {
		return m, wire.Errorf("NotStabilized", "The instance %s is %s: %s", r.Physical, state, textAt(first(list), "StateReason", "Message"))
	}
	return m, nil
}

// Update changes tags alone.
func (h instance) Update(ctx context.Context, r *Request) (Made, error) {
	if _, err := r.call(ctx, "ec2", "CreateTags", map[string]any{"Resources": []any{r.Physical}, "Tags": r.tagList()}); err != nil {
		return Made{}, err
	}
	return h.Settled(ctx, r)
}

// Delete ends the instance, and asks for another call until it has ended.
func (h instance) Delete(ctx context.Context, r *Request) error {
	out, err := r.call(ctx, "ec2", "TerminateInstances", map[string]any{"InstanceIds": []any{r.Physical}})
	if err != nil {
		return gone(err, "InvalidInstanceID.NotFound")
	}
	if state := textAt(first(out["TerminatingInstances"]), "CurrentState", "Name"); state == "terminated" {
		return nil
	}
	return &Later{"the instance " + r.Physical + " is shutting down"}
}

func (h instance) Find(ctx context.Context, r *Request) (Made, bool, error) {
	filter := func(name, value string) any { return map[string]any{"Name": name, "Values": []any{value}} }
	list, err := h.describe(ctx, r, map[string]any{"Filters": []any{filter("tag:aws:cloudformation:stack-id", r.StackID), filter("tag:aws:cloudformation:logical-id", r.Logical)}})
	for _, i := range list {
		state := textAt(i, "State", "Name")
		if m := instanceMade(i); m.Physical != r.Replaced && state != "terminated" && state != "shutting-down" {
			return m, true, nil
		}
	}
	return Made{}, false, err
}

// launchConfiguration acts for AWS::AutoScaling::LaunchConfiguration.
type launchConfiguration struct{ simple }

func (launchConfiguration) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"LaunchConfigurationName": r.Physical}}
}

func (h launchConfiguration) Create(ctx context.Context, r *Request) (Made, error) {
	in := without(r.Properties)
	in["LaunchConfigurationName"] = r.Physical
	if v, there := in["InstanceMonitoring"]; there {
		in["InstanceMonitoring"] = map[string]any{"Enabled": v}
	}
	_, err := r.call(ctx, "autoscaling", "CreateLaunchConfiguration", in)
	return h.made(r), err
}

func (launchConfiguration) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "autoscaling", "DeleteLaunchConfiguration", map[string]any{"LaunchConfigurationName": r.Physical})
	if err != nil && strings.Contains(message(err), "not found") {
		return nil
	}
	return err
}

func (h launchConfiguration) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "autoscaling", "DescribeLaunchConfigurations", map[string]any{"LaunchConfigurationNames": []any{r.Physical}})
	return h.made(r), first(out["LaunchConfigurations"]) != nil, err
}
