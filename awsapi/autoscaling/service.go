package autoscaling

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/ec2"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// TargetGroups knows the load balancers' target groups.
type TargetGroups interface {
	// CheckTargetGroup refuses a target group that is not there.
	CheckTargetGroup(ctx context.Context, region, arn string) error
	// Changed is told that what is attached to target groups has changed.
	Changed(ctx context.Context, region string, arns []string) error
}

// Config is what the service needs.
type Config struct {
	Records state.Records
	Groups  *control.Groups
	EC2     *ec2.Service
	Regions []string
	Account string
	Log     *slog.Logger
	Now     func() time.Time
}

// Service is Auto Scaling.
type Service struct {
	Config
	groups         state.Collection[group]
	configurations state.Collection[configuration]
	activities     state.Collection[activity]
	targets        TargetGroups
}

// New makes the service.
func New(c Config) *Service {
	return &Service{Config: c, groups: state.New[group](c.Records, "aws.autoscaling.groups"), configurations: state.New[configuration](c.Records, "aws.autoscaling.configurations"),
		activities: state.New[activity](c.Records, "aws.autoscaling.activities")}
}

// Use tells the service who knows target groups. It is called once, before it serves.
func (s *Service) Use(t TargetGroups) { s.targets = t }

// Service is the operations of Auto Scaling that are served.
func (s *Service) Service() wire.Service {
	o := map[string]wire.Handler{}
	for name, f := range map[string]wire.ObjectFunc{
		"CreateAutoScalingGroup": s.create, "UpdateAutoScalingGroup": s.update, "DeleteAutoScalingGroup": s.remove, "DescribeAutoScalingGroups": s.describe,
		"SetDesiredCapacity": s.setDesired, "DescribeAutoScalingInstances": s.describeInstances,
		"TerminateInstanceInAutoScalingGroup": s.terminate, "SetInstanceHealth": s.setHealth, "SetInstanceProtection": s.protect, "EnterStandby": s.enterStandby, "ExitStandby": s.exitStandby,
		"AttachInstances": s.noInstances, "DetachInstances": s.noInstances,
		"SuspendProcesses": s.suspend, "ResumeProcesses": s.resume,
		"CreateOrUpdateTags": s.putTags, "DeleteTags": s.deleteTags, "DescribeTags": s.describeTags,
		"CreateLaunchConfiguration": s.createConfiguration, "DescribeLaunchConfigurations": s.describeConfigurations, "DeleteLaunchConfiguration": s.deleteConfiguration,
		"DescribeScalingActivities": s.describeActivities,
		"PutLifecycleHook":          s.putHook, "DescribeLifecycleHooks": s.describeHooks, "DeleteLifecycleHook": s.deleteHook, "CompleteLifecycleAction": s.complete, "RecordLifecycleActionHeartbeat": s.heartbeat,
		"PutScalingPolicy": s.putPolicy, "DescribePolicies": s.describePolicies, "DeletePolicy": s.deletePolicy, "ExecutePolicy": s.executePolicy,
		"PutScheduledUpdateGroupAction": s.putSchedule, "DescribeScheduledActions": s.describeSchedule, "DeleteScheduledAction": s.deleteSchedule,
		"AttachLoadBalancerTargetGroups": s.attachTargets, "DetachLoadBalancerTargetGroups": s.detachTargets, "DescribeLoadBalancerTargetGroups": s.describeTargets,
		"AttachTrafficSources": s.attachSources, "DetachTrafficSources": s.detachSources, "DescribeTrafficSources": s.describeSources,
		"StartInstanceRefresh": s.startRefresh, "DescribeInstanceRefreshes": s.describeRefreshes, "CancelInstanceRefresh": s.cancelRefresh,
		"EnableMetricsCollection": s.enableMetrics, "DisableMetricsCollection": s.disableMetrics,
		"DescribeAccountLimits": s.limits, "DescribeScalingProcessTypes": processTypes, "DescribeAdjustmentTypes": adjustmentTypes, "DescribeLifecycleHookTypes": hookTypes,
		"DescribeTerminationPolicyTypes": terminationTypes, "DescribeMetricCollectionTypes": metricTypes, "DescribeLoadBalancers": noLoadBalancers,
		"DescribeNotificationConfigurations": s.describeNotifications, "DescribeAutoScalingNotificationTypes": notificationTypes,
		"BatchPutScheduledUpdateGroupAction": s.putSchedules, "BatchDeleteScheduledAction": s.deleteSchedules, "DescribeWarmPool": s.describeWarmPool,
	} {
		o[name] = wire.HandleObject(f)
	}
	return wire.Service{Name: "autoscaling", Invalid: "ValidationError", Operations: o}
}

func invalid(format string, args ...any) error {
	return wire.Errorf("ValidationError", format, args...)
}

func noGroup(name string) error {
	return invalid("AutoScalingGroup name not found - AutoScalingGroup '%s' not found", name)
}

// find is the group of a name.
func (s *Service) find(ctx context.Context, region, name string) (group, error) {
	g, err := s.groups.Get(ctx, region+"/"+name)
	if problem.CodeOf(err) == problem.NotFound || err == nil && g.Deleting && g.ServerGroup == "" && len(g.Pending) == 0 {
		return g, noGroup(name)
	}
	return g, err
}

// change updates a group that is not being deleted, and has what it asks of the
// region carried out. A region that is unreachable is asked again later.
func (s *Service) change(ctx context.Context, region, name string, how func(*group) error) (group, error) {
	g, err := s.groups.Update(ctx, region+"/"+name, func(g *group) error {
		if g.Deleting {
			return wire.Errorf("ScalingActivityInProgress", "The group %s is being deleted.", name)
		}
		return how(g)
	})
	if problem.CodeOf(err) == problem.NotFound {
		return g, noGroup(name)
	}
	if err != nil {
		return g, err
	}
	g, err = s.carry(ctx, region, g)
	if problem.CodeOf(err) == problem.Unavailable {
		err = nil
	}
	return g, err
}

// observed is a group's server group as the region has it; nil while there is none.
func observed(g group, all []cloud.ServerGroup) *cloud.ServerGroup {
	at := slices.IndexFunc(all, func(sg cloud.ServerGroup) bool { return sg.Spec.Cluster == g.Cluster })
	if at < 0 {
		return nil
	}
	return &all[at]
}

// see is a group's server group now.
func (s *Service) see(ctx context.Context, region string, g group) (*cloud.ServerGroup, error) {
	all, err := s.Groups.List(ctx, region, g.Cluster)
	return observed(g, all), err
}

// now is the group's capacity: the region's, which policies change, and before there
// is a server group what was asked for.
func now(g group, sg *cloud.ServerGroup) (c struct{ Min, Desired, Max int }) {
	c.Min, c.Desired, c.Max = g.Capacity.Min, g.Capacity.Desired, g.Capacity.Max
	if sg != nil && !slices.ContainsFunc(g.Pending, func(a action) bool { return a.Capacity != nil }) {
		c.Min, c.Desired, c.Max = sg.Capacity.Min, sg.Capacity.Desired, sg.Capacity.Max
	}
	return c
}

// list are a region's groups by name.
func (s *Service) list(ctx context.Context, region string) ([]group, error) {
	var out []group
	for e, err := range s.groups.All(ctx, region+"/") {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Doc)
	}
	slices.SortFunc(out, func(a, b group) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// paging is how Auto Scaling pages its lists.
func paging(otherwise int) wire.Paging {
	return wire.Paging{Token: "NextToken", Most: "MaxRecords", Least: 1, Greatest: 100, Otherwise: otherwise,
		BadToken: func(string) error { return wire.Errorf("InvalidNextToken", "Invalid next token") },
		BadCount: func(v string) error { return invalid("The value '%s' for MaxRecords is not between 1 and 100", v) }}
}

// answer is one page of a list as an answer's member.
func answer(in object, member string, all []object, otherwise int, key func(object) string) (object, error) {
	out, next, err := wire.Cut(paging(otherwise), in, all, key)
	return object{member: wire.List(out)}.With(object{"NextToken": next}), err
}

func by(member string) func(object) string { return func(o object) string { return o.Text(member) } }

// Members implements ec2.Members.
func (s *Service) Members(ctx context.Context, region string) (func(cluster, version string) (ec2.Member, bool), error) {
	all, err := s.list(ctx, region)
	if err != nil {
		return nil, err
	}
	byCluster := map[string]group{}
	for _, g := range all {
		byCluster[g.Cluster] = g
	}
	return func(cluster, version string) (ec2.Member, bool) {
		g, ok := byCluster[cluster]
		if !ok {
			return ec2.Member{}, false
		}
		l := g.Launches[version]
		m := ec2.Member{Group: g.Name, Launch: l.Data, Template: l.Template, Tags: map[string]string{"aws:autoscaling:groupName": g.Name}, Subnets: g.Places}
		for _, spec := range l.Data.Objects("TagSpecifications") {
			if spec.Text("ResourceType") == "instance" {
				for _, t := range spec.Objects("Tags") {
					m.Tags[t.Text("Key")] = t.Text("Value")
				}
			}
		}
		for _, t := range g.Tags {
			if t.Is("PropagateAtLaunch") {
				m.Tags[t.Text("Key")] = t.Text("Value")
			}
		}
		if l.Template != nil {
			m.Tags["aws:ec2launchtemplate:id"], m.Tags["aws:ec2launchtemplate:version"] = l.Template.Text("LaunchTemplateId"), l.Template.Text("Version")
		}
		return m, true
	}, nil
}

// Clusters are the clusters of the groups that are attached to a target group.
func (s *Service) Clusters(ctx context.Context, region, targetGroup string) ([]string, error) {
	all, err := s.list(ctx, region)
	var out []string
	for _, g := range all {
		if !g.Deleting && slices.Contains(g.TargetGroups, targetGroup) {
			out = append(out, g.Cluster)
		}
	}
	return out, err
}
