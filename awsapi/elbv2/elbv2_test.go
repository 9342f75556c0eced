package elbv2_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/autoscaling"
	"showrunner/awsapi/awstest"
	"showrunner/awsapi/ec2"
	"showrunner/awsapi/elbv2"
	"showrunner/cloud"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

type world struct {
	*awstest.Client
	*awstest.Fleet
	t       *testing.T
	service *elbv2.Service
	records *recordtest.Records
}

func open(t *testing.T, records *recordtest.Records, fleet *awstest.Fleet) *world {
	t.Helper()
	if fleet == nil {
		fleet = awstest.NewFleet(t, records, time.Now)
	}
	w := &world{t: t, records: records, Fleet: fleet}
	groups, log, regions := fleet.Control(t, records, time.Now), slog.New(slog.NewTextHandler(t.Output(), nil)), []string{awstest.Region}
	instances := ec2.New(ec2.Config{Records: records, Groups: groups, Artifacts: fleet.Artifacts, Sample: []string{"showrunner", "sample-service"}, Regions: regions, Account: "000000000000", Log: log, Now: time.Now})
	scaling := autoscaling.New(autoscaling.Config{Records: records, Groups: groups, EC2: instances, Regions: regions, Account: "000000000000", Log: log, Now: time.Now})
	instances.Use(scaling)
	w.service = elbv2.New(elbv2.Config{Records: records, Groups: groups, EC2: instances, Attached: []elbv2.Attached{scaling.Clusters}, Regions: regions, Account: "000000000000", Edge: "127.0.0.1:8080", Log: log, Now: time.Now})
	scaling.Use(w.service)
	w.Client = awstest.New(t, instances.Service(), scaling.Service(), w.service.Service())
	return w
}

func (w *world) get(operation string, form ...string) string {
	w.t.Helper()
	return w.Get("elasticloadbalancingv2", operation, form...)
}

func (w *world) refused(code, operation string, form ...string) {
	w.t.Helper()
	if _, got, message := w.Ask("elasticloadbalancingv2", operation, form...); got != code {
		w.t.Errorf("%s%v: %q %s; want %s", operation, form, got, message, code)
	}
}

// targetGroup makes a target group and returns its ARN.
func (w *world) targetGroup(name string) string {
	w.t.Helper()
	vpc := awstest.Between(w.Get("ec2", "DescribeVpcs"), "<vpcId>", "</vpcId>")
	return awstest.Between(w.get("CreateTargetGroup", "Name", name, "Protocol", "HTTP", "Port", "80", "VpcId", vpc), "<TargetGroupArn>", "<")
}

// balancer makes a load balancer and returns its ARN and its DNS name.
func (w *world) balancer(name string) (arn, dns string) {
	w.t.Helper()
	body := w.get("CreateLoadBalancer", "Name", name, "Subnets.member.1", "subnet-12345678", "Subnets.member.2", "subnet-87654321")
	return awstest.Between(body, "<LoadBalancerArn>", "<"), awstest.Between(body, "<DNSName>", "<")
}

// forward is an action's form.
func forward(prefix string, arns ...string) []string {
	form := []string{prefix + ".member.1.Type", "forward"}
	for n, arn := range arns {
		at := fmt.Sprintf("%s.member.1.ForwardConfig.TargetGroups.member.%d.", prefix, n+1)
		form = append(form, at+"TargetGroupArn", arn, at+"Weight", fmt.Sprint(90-80*n))
	}
	return form
}

// region is the one load balancer that the region has.
func (w *world) region() cloud.LoadBalancer {
	w.t.Helper()
	all := w.Cloud.LoadBalancers(awstest.Region)
	if len(all) != 1 {
		w.t.Fatalf("%d load balancers", len(all))
	}
	for _, lb := range all {
		return lb
	}
	return cloud.LoadBalancer{}
}

func TestTheRegionCarriesOutTheRules(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	blue, green := w.targetGroup("blue"), w.targetGroup("green")
	arn, dns := w.balancer("Web")
	if !strings.HasPrefix(dns, "web-") || !strings.HasSuffix(dns, ".us-west-2.elb.localhost:8080") {
		t.Errorf("DNS name %s", dns)
	}
	listener := awstest.Between(w.get("CreateListener", append([]string{"LoadBalancerArn", arn, "Protocol", "HTTP", "Port", "80"}, forward("DefaultActions", blue, green)...)...), "<ListenerArn>", "<")
	w.Get("autoscaling", "CreateAutoScalingGroup", "AutoScalingGroupName", "g", "LaunchTemplate.LaunchTemplateName", ec2.TemplateName, "MinSize", "2", "MaxSize", "2", "VPCZoneIdentifier", "subnet-12345678", "TargetGroupARNs.member.1", blue)
	id := awstest.Between(w.Get("ec2", "RunInstances", "ImageId", ec2.SampleImage, "MinCount", "1", "MaxCount", "1"), "<instanceId>", "<")
	w.get("RegisterTargets", "TargetGroupArn", green, "Targets.member.1.Id", id)
	lb := w.region()
	if len(lb.Rules) != 1 || len(lb.Rules[0].Forward) != 2 || lb.Rules[0].Forward[0].Weight != 90 || lb.Rules[0].Forward[1].Weight != 10 {
		t.Errorf("rules %+v", lb.Rules)
	}
	if got := fmt.Sprint(lb.Pools[0].Clusters, lb.Pools[1].Instances); got != fmt.Sprintf("[aws-asg-g] [%s]", id) {
		t.Errorf("pools %+v", lb.Pools)
	}
	rule := awstest.Between(w.get("CreateRule", append([]string{"ListenerArn", listener, "Priority", "5", "Conditions.member.1.Field", "path-pattern", "Conditions.member.1.Values.member.1", "/api/*",
		"Conditions.member.2.Field", "host-header", "Conditions.member.2.HostHeaderConfig.Values.member.1", "api.example.com"}, forward("Actions", green)...)...), "<RuleArn>", "<")
	lb = w.region()
	if len(lb.Rules) != 2 || lb.Rules[0].Conditions[0].On != "path" || fmt.Sprint(lb.Hosts[1:]) != "[api.example.com]" {
		t.Errorf("%+v", lb)
	}
	w.refused("PriorityInUse", "CreateRule", append([]string{"ListenerArn", listener, "Priority", "5", "Conditions.member.1.Field", "path-pattern", "Conditions.member.1.Values.member.1", "/x"}, forward("Actions", green)...)...)
	w.refused("ResourceInUse", "DeleteTargetGroup", "TargetGroupArn", green)
	if body := w.get("DescribeTargetHealth", "TargetGroupArn", blue); strings.Count(body, "<State>healthy</State>") != 2 {
		t.Error(body)
	}
	w.get("DeleteRule", "RuleArn", rule)
	w.get("DeregisterTargets", "TargetGroupArn", green, "Targets.member.1.Id", id)
	if lb = w.region(); len(lb.Rules) != 1 || len(lb.Pools[1].Instances) != 0 {
		t.Errorf("%+v", lb)
	}
	w.get("DeleteLoadBalancer", "LoadBalancerArn", arn)
	if n := len(w.Cloud.LoadBalancers(awstest.Region)); n != 0 {
		t.Errorf("%d load balancers are left", n)
	}
	if body := w.get("DescribeTargetHealth", "TargetGroupArn", blue); strings.Count(body, "Target.NotInUse") != 2 {
		t.Error(body)
	}
	w.get("DeleteTargetGroup", "TargetGroupArn", green)
}

func TestWhatCannotBeBalancedIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	arn, _ := w.balancer("web")
	var groups []string
	for n := range 6 {
		groups = append(groups, w.targetGroup(fmt.Sprintf("tg-%d", n)))
	}
	listen := func(form ...string) []string {
		return append([]string{"LoadBalancerArn", arn, "Protocol", "HTTP", "Port", "80"}, form...)
	}
	six := []string{"DefaultActions.member.1.Type", "forward"}
	for n, g := range groups {
		six = append(six, fmt.Sprintf("DefaultActions.member.1.ForwardConfig.TargetGroups.member.%d.TargetGroupArn", n+1), g)
	}
	w.refused("TooManyTargetGroups", "CreateListener", listen(six...)...)
	w.get("CreateListener", listen(six[:2+2*5]...)...) // five may be
	w.refused("DuplicateListener", "CreateListener", listen(six[:4]...)...)
	w.refused("UnsupportedProtocol", "CreateListener", "LoadBalancerArn", arn, "Protocol", "HTTPS", "Port", "443", "DefaultActions.member.1.Type", "forward", "DefaultActions.member.1.TargetGroupArn", groups[0])
	w.refused("ValidationError", "DescribeListeners")
	w.refused("ValidationError", "DescribeRules")
	w.refused("ValidationError", "CreateLoadBalancer", "Name", "net", "Type", "network", "Subnets.member.1", "subnet-12345678", "Subnets.member.2", "subnet-87654321")
	w.refused("ValidationError", "CreateLoadBalancer", "Name", "one", "Subnets.member.1", "subnet-12345678")
	w.refused("SubnetNotFound", "CreateLoadBalancer", "Name", "none", "Subnets.member.1", "subnet-12345678", "Subnets.member.2", "subnet-00000000")
	w.refused("LoadBalancerNotFound", "DescribeLoadBalancers", "Names.member.1", "none")
	w.refused("TargetGroupNotFound", "DescribeTargetHealth", "TargetGroupArn", "arn:aws:elasticloadbalancing:us-west-2:000000000000:targetgroup/none/0123456789abcdef")
	w.refused("InvalidTarget", "RegisterTargets", "TargetGroupArn", groups[0], "Targets.member.1.Id", "i-0123456789abcdef0")
	again, _ := w.balancer("web")
	if again != arn {
		t.Errorf("the same again made %s", again)
	}
}

// A control plane that dies after any of its writes leaves what the next one tells
// the region.
func TestLoadBalancersSurviveTheDeathOfControl(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"CreateListener", "DeleteLoadBalancer"} {
		survived := 0
		for n := 1; ; n++ {
			records := &recordtest.Records{}
			w := open(t, records, nil)
			group := w.targetGroup("tg")
			arn, _ := w.balancer("web")
			form := append([]string{"LoadBalancerArn", arn, "Protocol", "HTTP", "Port", "80"}, forward("DefaultActions", group)...)
			if operation == "DeleteLoadBalancer" {
				w.get("CreateListener", form...)
				form = form[:2]
			}
			left := n
			records.Fail = func(op, _, _ string) error {
				if op == "put" || op == "append" || op == "delete" {
					left--
				}
				if left <= 0 {
					return problem.New(problem.Unavailable, "test", "control is dead")
				}
				return nil
			}
			w.Ask("elasticloadbalancingv2", operation, form...)
			died := left <= 0
			records.Fail = nil
			next := open(t, records, w.Fleet)
			if err := next.service.Carry(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, code, message := next.Ask("elasticloadbalancingv2", operation, form...); code != "" && code != "DuplicateListener" {
				t.Errorf("%s, dead at write %d, asked again: %s %s", operation, n, code, message)
			}
			all := next.Cloud.LoadBalancers(awstest.Region)
			if operation == "DeleteLoadBalancer" && len(all) != 0 {
				t.Fatalf("dead at write %d: %+v", n, all)
			}
			if operation == "CreateListener" && (len(all) != 1 || len(next.region().Rules) != 1) {
				t.Fatalf("dead at write %d: %+v", n, all)
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
