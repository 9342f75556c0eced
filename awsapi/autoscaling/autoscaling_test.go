package autoscaling_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/awsapi/autoscaling"
	"showrunner/awsapi/awstest"
	"showrunner/awsapi/ec2"
	"showrunner/cloud"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

type world struct {
	*awstest.Client
	*awstest.Fleet
	awstest.TargetGroups
	t       *testing.T
	service *autoscaling.Service
	records *recordtest.Records
	later   *atomic.Int64
}

func open(t *testing.T, records *recordtest.Records, fleet *awstest.Fleet) *world {
	t.Helper()
	w := &world{t: t, records: records, later: new(atomic.Int64)}
	now := func() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }
	if fleet == nil {
		fleet = awstest.NewFleet(t, records, now)
	}
	w.Fleet = fleet
	groups, log := fleet.Control(t, records, now), slog.New(slog.NewTextHandler(t.Output(), nil))
	instances := ec2.New(ec2.Config{Records: records, Groups: groups, Artifacts: fleet.Artifacts, Sample: []string{"showrunner", "sample-service"}, Regions: []string{awstest.Region}, Account: "000000000000", Log: log, Now: now})
	w.service = autoscaling.New(autoscaling.Config{Records: records, Groups: groups, EC2: instances, Regions: []string{awstest.Region}, Account: "000000000000", Log: log, Now: now})
	instances.Use(w.service)
	w.service.Use(&w.TargetGroups)
	w.Client = awstest.New(t, instances.Service(), w.service.Service())
	return w
}

func (w *world) get(operation string, form ...string) string {
	w.t.Helper()
	return w.Get("autoscaling", operation, form...)
}

func (w *world) refused(code, message, operation string, form ...string) {
	w.t.Helper()
	_, got, text := w.Ask("autoscaling", operation, form...)
	if got != code || !strings.Contains(text, message) {
		w.t.Errorf("%s%v: %q %s; want %s with %q", operation, form, got, text, code, message)
	}
}

// article is the command of the article.
func article(name string) []string {
	return []string{"AutoScalingGroupName", name, "LaunchTemplate.LaunchTemplateName", ec2.TemplateName, "MinSize", "2", "MaxSize", "10", "DesiredCapacity", "2", "VPCZoneIdentifier", "subnet-12345678,subnet-87654321"}
}

// carry has what is recorded carried out.
func (w *world) carry() {
	w.t.Helper()
	if err := w.service.Carry(w.t.Context(), awstest.Region); err != nil {
		w.t.Fatal(err)
	}
}

// groups are the server groups of the region.
func (w *world) groups() []cloud.ServerGroup {
	w.t.Helper()
	list, err := w.Cloud.ServerGroups(w.t.Context(), awstest.Region, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

func (w *world) instances(name string) []string {
	w.t.Helper()
	return awstest.All(w.get("DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1", name), "<InstanceId>", "</InstanceId>")
}

func TestTheArticlesGroupHasTwoInstancesThatAreReplaced(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.get("CreateAutoScalingGroup", article("NetflixASG")...)
	before := w.instances("NetflixASG")
	groups := w.groups()
	if len(before) != 2 || len(groups) != 1 || groups[0].Spec.Cluster != "aws-asg-netflixasg" || !slices.Equal(groups[0].Spec.Zones, []string{"us-west-2a", "us-west-2b"}) {
		t.Fatalf("%v %+v", before, groups)
	}
	w.refused("AlreadyExists", "A group with the name NetflixASG already exists", "CreateAutoScalingGroup", article("NetflixASG")...)
	described := w.Get("ec2", "DescribeInstances")
	if n := len(awstest.All(described, "<reservationId>", "</reservationId>")); n != 2 || !strings.Contains(described, "<key>aws:autoscaling:groupName</key>") || !strings.Contains(described, "subnet-87654321") {
		t.Errorf("%d reservations: %s", n, described)
	}
	w.Get("ec2", "TerminateInstances", "InstanceId.1", before[0])
	after := w.instances("NetflixASG")
	if len(after) != 2 || slices.Contains(after, before[0]) || !slices.Contains(after, before[1]) {
		t.Errorf("%v became %v", before, after)
	}
}

func TestCapacityIsKeptWithinItsBounds(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.get("CreateAutoScalingGroup", article("g")...)
	w.refused("ValidationError", "above max value 10", "SetDesiredCapacity", "AutoScalingGroupName", "g", "DesiredCapacity", "11")
	w.refused("ValidationError", "below min value 2", "SetDesiredCapacity", "AutoScalingGroupName", "g", "DesiredCapacity", "1")
	w.get("SetDesiredCapacity", "AutoScalingGroupName", "g", "DesiredCapacity", "4")
	if n := len(w.instances("g")); n != 4 {
		t.Errorf("%d instances", n)
	}
	w.get("UpdateAutoScalingGroup", "AutoScalingGroupName", "g", "MinSize", "0", "MaxSize", "3")
	body := w.get("DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1", "g")
	if awstest.Between(body, "<DesiredCapacity>", "<") != "3" || len(w.instances("g")) != 3 {
		t.Error(body)
	}
	w.refused("ValidationError", "Desired capacity:5 must be between", "UpdateAutoScalingGroup", "AutoScalingGroupName", "g", "DesiredCapacity", "5")
	w.refused("ResourceInUse", "while there are instances", "DeleteAutoScalingGroup", "AutoScalingGroupName", "g")
	id := w.instances("g")[0]
	w.get("TerminateInstanceInAutoScalingGroup", "InstanceId", id, "ShouldDecrementDesiredCapacity", "true")
	if list := w.instances("g"); len(list) != 2 || slices.Contains(list, id) {
		t.Errorf("%v still has %s", list, id)
	}
	w.get("UpdateAutoScalingGroup", "AutoScalingGroupName", "g", "MinSize", "2")
	w.refused("ValidationError", "violate group's min size constraint", "TerminateInstanceInAutoScalingGroup", "InstanceId", w.instances("g")[0], "ShouldDecrementDesiredCapacity", "true")
	w.get("DeleteAutoScalingGroup", "AutoScalingGroupName", "g", "ForceDelete", "true")
	w.carry()
	if len(w.groups()) != 0 {
		t.Errorf("%+v", w.groups())
	}
	w.refused("ValidationError", "name not found", "SetDesiredCapacity", "AutoScalingGroupName", "g", "DesiredCapacity", "1")
	w.get("CreateAutoScalingGroup", article("g")...)
	if len(w.instances("g")) != 2 {
		t.Error("a group of the name of a deleted one")
	}
}

func TestGroupsThatCannotBeHadAreRefusedBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	with := func(name, value string) []string {
		form := article("g")
		if at := slices.Index(form, name); at >= 0 {
			form[at+1] = value
			return form
		}
		return append(form, name, value)
	}
	w.refused("ValidationError", "The subnet ID 'subnet-00000000' does not exist", "CreateAutoScalingGroup", with("VPCZoneIdentifier", "subnet-00000000")...)
	w.refused("ValidationError", "with template name None", "CreateAutoScalingGroup", with("LaunchTemplate.LaunchTemplateName", "None")...)
	w.refused("ValidationError", "MaxInstanceLifetime", "CreateAutoScalingGroup", with("MaxInstanceLifetime", "86400")...)
	w.refused("ValidationError", "MixedInstancesPolicy", "CreateAutoScalingGroup", with("MixedInstancesPolicy.InstancesDistribution.SpotInstancePools", "1")...)
	w.refused("ValidationError", "LoadBalancerNames", "CreateAutoScalingGroup", with("LoadBalancerNames.member.1", "classic")...)
	w.refused("ValidationError", "Max bound, 1", "CreateAutoScalingGroup", with("MaxSize", "1")...)
	w.refused("ValidationError", "Target Groups may not be valid", "CreateAutoScalingGroup", with("TargetGroupARNs.member.1", "arn:none")...)
	w.refused("ValidationError", "either LaunchTemplate", "CreateAutoScalingGroup", "AutoScalingGroupName", "g", "MinSize", "0", "MaxSize", "1", "VPCZoneIdentifier", "subnet-12345678")
	if len(w.groups()) != 0 {
		t.Errorf("%+v", w.groups())
	}
}

func TestWhatAGroupLaunchesFollowsItsTemplate(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.get("CreateAutoScalingGroup", article("g")...)
	w.Get("ec2", "CreateLaunchTemplateVersion", "LaunchTemplateName", ec2.TemplateName, "SourceVersion", "1", "LaunchTemplateData.InstanceType", "t3.small")
	w.Get("ec2", "ModifyLaunchTemplate", "LaunchTemplateName", ec2.TemplateName, "SetDefaultVersion", "2")
	w.carry()
	w.get("SetDesiredCapacity", "AutoScalingGroupName", "g", "DesiredCapacity", "3")
	body := w.get("DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1", "g")
	if types := awstest.All(body, "<InstanceType>", "</InstanceType>"); !slices.Equal(types, []string{"t3.micro", "t3.micro", "t3.small"}) {
		t.Errorf("types %v", types)
	}
	w.get("StartInstanceRefresh", "AutoScalingGroupName", "g", "Preferences.SkipMatching", "true")
	w.refused("InstanceRefreshInProgress", "already in progress", "StartInstanceRefresh", "AutoScalingGroupName", "g")
	for range 4 { // one at a time of three
		w.carry()
	}
	body = w.get("DescribeAutoScalingGroups", "AutoScalingGroupNames.member.1", "g")
	if types := awstest.All(body, "<InstanceType>", "</InstanceType>"); !slices.Equal(types, []string{"t3.small", "t3.small", "t3.small"}) {
		t.Errorf("after the refresh: %v", types)
	}
	if body := w.get("DescribeInstanceRefreshes", "AutoScalingGroupName", "g"); awstest.Between(body, "<Status>", "<") != "Successful" || awstest.Between(body, "<PercentageComplete>", "<") != "100" {
		t.Error(body)
	}
}

func TestPoliciesAreExecuted(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.get("CreateAutoScalingGroup", article("g")...)
	w.get("PutScalingPolicy", "AutoScalingGroupName", "g", "PolicyName", "simple", "AdjustmentType", "ChangeInCapacity", "ScalingAdjustment", "2", "Cooldown", "60")
	w.get("ExecutePolicy", "AutoScalingGroupName", "g", "PolicyName", "simple", "HonorCooldown", "true")
	if n := len(w.instances("g")); n != 4 {
		t.Errorf("%d instances", n)
	}
	w.refused("ScalingActivityInProgress", "cooldown", "ExecutePolicy", "AutoScalingGroupName", "g", "PolicyName", "simple", "HonorCooldown", "true")
	w.later.Add(int64(time.Minute))
	body := w.get("PutScalingPolicy", "AutoScalingGroupName", "g", "PolicyName", "step", "PolicyType", "StepScaling", "AdjustmentType", "PercentChangeInCapacity", "MinAdjustmentMagnitude", "2",
		"StepAdjustments.member.1.MetricIntervalLowerBound", "0", "StepAdjustments.member.1.MetricIntervalUpperBound", "10", "StepAdjustments.member.1.ScalingAdjustment", "10",
		"StepAdjustments.member.2.MetricIntervalLowerBound", "10", "StepAdjustments.member.2.ScalingAdjustment", "100")
	arn := awstest.Between(body, "<PolicyARN>", "<")
	if err := w.service.Execute(t.Context(), awstest.Region, arn, "high", 3); err != nil {
		t.Fatal(err)
	}
	if n := len(w.instances("g")); n != 6 {
		t.Errorf("10%% of 4, at least 2, made %d", n)
	}
	w.get("ExecutePolicy", "AutoScalingGroupName", "g", "PolicyName", "step", "MetricValue", "70", "BreachThreshold", "50")
	if n := len(w.instances("g")); n != 10 {
		t.Errorf("100%% of 6 within 10 made %d", n)
	}
	w.get("PutScalingPolicy", "AutoScalingGroupName", "g", "PolicyName", "target", "PolicyType", "TargetTrackingScaling", "TargetTrackingConfiguration.TargetValue", "50",
		"TargetTrackingConfiguration.PredefinedMetricSpecification.PredefinedMetricType", "ASGAverageCPUUtilization")
	if s := w.groups()[0].Spec.Scaling; len(s) != 1 || s[0].Target.Metric != "cpu" || s[0].Target.Value != .5 {
		t.Errorf("%+v", s)
	}
	w.get("DeletePolicy", "AutoScalingGroupName", "g", "PolicyName", "target")
	if s := w.groups()[0].Spec.Scaling; len(s) != 0 {
		t.Errorf("%+v", s)
	}
	w.refused("ValidationError", "CustomizedMetricSpecification", "PutScalingPolicy", "AutoScalingGroupName", "g", "PolicyName", "target", "PolicyType", "TargetTrackingScaling", "TargetTrackingConfiguration.TargetValue", "50",
		"TargetTrackingConfiguration.CustomizedMetricSpecification.MetricName", "m")
}

func TestScheduledActionsAreCarriedOutOnce(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.get("CreateAutoScalingGroup", article("g")...)
	w.refused("ValidationError", "in the past", "PutScheduledUpdateGroupAction", "AutoScalingGroupName", "g", "ScheduledActionName", "late", "StartTime", "2020-01-01T00:00:00Z", "DesiredCapacity", "5")
	w.get("PutScheduledUpdateGroupAction", "AutoScalingGroupName", "g", "ScheduledActionName", "grow", "StartTime", time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "DesiredCapacity", "5")
	w.carry()
	if n := len(w.instances("g")); n != 2 {
		t.Errorf("before its time: %d", n)
	}
	w.later.Add(int64(2 * time.Hour))
	w.carry()
	w.get("SetDesiredCapacity", "AutoScalingGroupName", "g", "DesiredCapacity", "3")
	w.carry()
	if n := len(w.instances("g")); n != 3 {
		t.Errorf("%d instances: it was carried out again, or not at all", n)
	}
}

// A control plane that dies after any of its writes leaves what the next one
// completes: there is one server group, as it was asked for.
func TestGroupsSurviveTheDeathOfControl(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"CreateAutoScalingGroup", "SetDesiredCapacity", "UpdateAutoScalingGroup", "DeleteAutoScalingGroup"} {
		survived := 0
		for n := 1; ; n++ {
			records := &recordtest.Records{}
			w := open(t, records, nil)
			w.Get("ec2", "DescribeVpcs") // the default network is another test's
			form := append(article("g"), "TargetGroupARNs.member.1", "arn:web")
			if operation != "CreateAutoScalingGroup" {
				w.get("CreateAutoScalingGroup", form...)
				form = []string{"AutoScalingGroupName", "g"}
			}
			switch operation {
			case "SetDesiredCapacity":
				form = append(form, "DesiredCapacity", "4")
			case "UpdateAutoScalingGroup":
				form = append(form, "MinSize", "4", "VPCZoneIdentifier", "subnet-12345678")
			case "DeleteAutoScalingGroup":
				form = append(form, "ForceDelete", "true")
			}
			w.Told = nil
			left := n
			records.Fail = func(op, _, _ string) error {
				if op == "put" || op == "append" || op == "delete" {
					left--
				}
				if left <= 0 {
					w.Dead = true
					return problem.New(problem.Unavailable, "test", "control is dead")
				}
				return nil
			}
			w.Ask("autoscaling", operation, form...)
			died := left <= 0
			records.Fail = nil
			next := open(t, records, w.Fleet)
			next.carry()
			if _, code, message := next.Ask("autoscaling", operation, form...); code != "" && code != "AlreadyExists" && !strings.Contains(message, "name not found") {
				t.Errorf("%s, dead at write %d, asked again: %s %s", operation, n, code, message)
			}
			next.carry()
			groups := next.groups()
			ok := len(groups) == 1 && len(groups[0].Instances) == map[string]int{"CreateAutoScalingGroup": 2, "SetDesiredCapacity": 4, "UpdateAutoScalingGroup": 4}[operation]
			switch operation {
			case "UpdateAutoScalingGroup":
				ok = ok && slices.Equal(groups[0].Spec.Zones, []string{"us-west-2a"}) && groups[0].Capacity.Min == 4
			case "DeleteAutoScalingGroup":
				ok = len(groups) == 0 && !strings.Contains(next.get("DescribeAutoScalingGroups"), "<member>")
			}
			if !ok {
				t.Fatalf("%s, dead at write %d: %s", operation, n, fmt.Sprint(groups))
			}
			if told := len(w.Told) + len(next.Told); told == 0 && (operation == "CreateAutoScalingGroup" || operation == "DeleteAutoScalingGroup") {
				t.Errorf("%s, dead at write %d: the load balancers are not told", operation, n)
			}
			if !died {
				break
			}
			survived++
		}
		if survived < 3 {
			t.Errorf("%s: control died at %d writes only", operation, survived)
		}
	}
}
