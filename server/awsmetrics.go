package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"showrunner/awsapi/applicationautoscaling"
	"showrunner/awsapi/autoscaling"
	"showrunner/awsapi/cloudwatch"
	"showrunner/awsapi/ecs"
	"showrunner/awsapi/elbv2"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// measureEvery is how often the local cloud is measured for CloudWatch.
const measureEvery = time.Minute

// alarmActions carries the actions of alarms out: policies of Auto Scaling groups and of
// services of ECS.
func (c *controlPlane) alarmActions(owner control.Principal, scaling *autoscaling.Service, services *applicationautoscaling.Service) cloudwatch.Act {
	return func(ctx context.Context, region, arn string, change cloudwatch.Change) error {
		call := control.AWSCall{Service: "autoscaling", Operation: "ExecutePolicy", Region: region, Caller: "alarm " + change.Alarm}
		switch {
		case applicationautoscaling.Owns(arn):
			call.Service = "application-autoscaling"
			return c.control.AWS(ctx, owner, call, func() error { return services.Execute(ctx, region, arn, change.Alarm, change.Breach) })
		case strings.Contains(arn, ":autoscaling:"):
			return c.control.AWS(ctx, owner, call, func() error { return scaling.Execute(ctx, region, arn, change.Alarm, change.Breach) })
		}
		return problem.New(problem.Precondition, "cloudwatch.action", "nothing here carries out %s", arn)
	}
}

// measurer publishes what the local cloud does as the metrics that AWS has for it.
type measurer struct {
	groups    *control.Groups
	scaling   *autoscaling.Service
	balancing *elbv2.Service
	services  *ecs.Service
	alarms    *cloudwatch.CloudWatch
	regions   []string
	counts    requestCounts
}

// measure publishes once. Regions that are unreachable are left out: they have no data then.
func (m measurer) measure(ctx context.Context) error {
	var failures []error
	for _, region := range m.regions {
		list, err := m.groups.List(ctx, region, "")
		if err != nil {
			continue
		}
		groupOf, err := m.scaling.Members(ctx, region)
		if err == nil {
			err = m.alarms.Publish(ctx, region, measurements(list, func(g cloud.ServerGroup) string {
				member, _ := groupOf(g.Spec.Cluster, g.Spec.Version)
				return member.Group
			}))
		}
		failures = append(failures, err, m.measureServices(ctx, region))
	}
	return errors.Join(failures...)
}

// measureServices publishes what services of ECS and load balancers did.
func (m measurer) measureServices(ctx context.Context, region string) error {
	loads, err := m.services.Loads(ctx, region)
	if err != nil {
		return err
	}
	requests, err := m.measureRequests(ctx, region)
	if err != nil {
		return err
	}
	return m.alarms.Publish(ctx, region, append(serviceMeasurements(loads), requests...))
}

// measurements are those of instances, and of the Auto Scaling groups that they belong to.
func measurements(list []cloud.ServerGroup, groupOf func(cloud.ServerGroup) string) (out []cloudwatch.Measurement) {
	type totals struct{ minimum, maximum, desired, pending, serving, standby, ending, total int }
	groups := map[string]*totals{}
	for _, g := range list {
		name := groupOf(g)
		t := groups[name]
		if t == nil {
			t = &totals{}
			groups[name] = t
		}
		t.minimum, t.maximum, t.desired = g.Capacity.Min, g.Capacity.Max, g.Capacity.Desired // the newest's, which comes last
		for _, i := range g.Instances {
			t.total++
			switch i.Lifecycle {
			case cloud.Pending, cloud.PendingWait:
				t.pending++
			case cloud.InService:
				t.serving++
			case cloud.Standby:
				t.standby++
			case cloud.Terminating, cloud.TerminatingWait:
				t.ending++
			}
			cpu := func(dimensions ...string) cloudwatch.Measurement {
				return cloudwatch.Measurement{Namespace: "AWS/EC2", Name: "CPUUtilization", Unit: "Percent", Dimensions: dimensions, Value: 100 * i.CPU}
			}
			out = append(out, cpu("InstanceId", i.ID))
			if name != "" {
				out = append(out, cpu("AutoScalingGroupName", name))
			}
		}
	}
	for name, t := range groups {
		if name == "" {
			continue // these instances are in no group
		}
		for metric, n := range map[string]int{"GroupMinSize": t.minimum, "GroupMaxSize": t.maximum, "GroupDesiredCapacity": t.desired, "GroupPendingInstances": t.pending,
			"GroupInServiceInstances": t.serving, "GroupStandbyInstances": t.standby, "GroupTerminatingInstances": t.ending, "GroupTotalInstances": t.total} {
			out = append(out, cloudwatch.Measurement{Namespace: "AWS/AutoScaling", Name: metric, Unit: "None", Dimensions: []string{"AutoScalingGroupName", name}, Value: float64(n)})
		}
	}
	return out
}
