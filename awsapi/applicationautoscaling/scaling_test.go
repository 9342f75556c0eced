package applicationautoscaling_test

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi"
	"showrunner/awsapi/applicationautoscaling"
	"showrunner/awsapi/awstest"
	"showrunner/awsapi/ec2"
	"showrunner/awsapi/ecs"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

// world is ECS with a service of two tasks, and a clock and metrics that the test sets.
type world struct {
	*awstest.Client
	*awstest.Fleet
	t       *testing.T
	server  *awsapi.Server
	records *recordtest.Records
	ecs     *ecs.Service
	scaling *applicationautoscaling.Service
	now     time.Time
	cpu     float64
	values  map[string]float64 // of a metric of CloudWatch, by minute
}

// Call is that of the endpoint, which is made after the services.
func (w *world) callInside(ctx context.Context, c wire.Call, service, operation string, in map[string]any) (map[string]any, error) {
	if operation == "GetMetricStatistics" {
		points := []any{}
		for minute, value := range w.values {
			at, err := time.Parse(time.RFC3339, minute)
			if err != nil {
				return nil, err
			}
			points = append(points, object{"Timestamp": at, "Average": value})
		}
		return object{"Datapoints": points}, nil
	}
	return w.server.Call(ctx, c, service, operation, in)
}

type callFunc func(context.Context, wire.Call, string, string, map[string]any) (map[string]any, error)

func (f callFunc) Call(ctx context.Context, c wire.Call, service, operation string, in map[string]any) (map[string]any, error) {
	return f(ctx, c, service, operation, in)
}

const resource = "service/web/api"

func open(t *testing.T) *world {
	t.Helper()
	records := &recordtest.Records{}
	w := &world{t: t, records: records, now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC), cpu: 10}
	w.Fleet = awstest.NewFleet(t, records, time.Now)
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	groups := w.Control(t, records, time.Now)
	instances := ec2.New(ec2.Config{Records: records, Groups: groups, Artifacts: w.Artifacts, Sample: []string{"showrunner", "sample-service"}, Regions: []string{awstest.Region}, Account: awsapi.Account, Log: log, Now: time.Now})
	w.ecs = ecs.New(ecs.Config{Records: records, Groups: groups, EC2: instances, Regions: []string{awstest.Region}, Account: awsapi.Account, Log: log, Now: time.Now,
		Image: func(context.Context, string) (control.AWSImage, error) {
			return control.AWSImage{Artifact: control.SampleImage}, nil
		}})
	w.ecs.Use(&awstest.TargetGroups{})
	w.scaling = w.service(groups)
	w.Client = awstest.New(t, instances.Service(), w.ecs.Service(), w.scaling.Service())
	w.server = w.Client.Server()
	w.Call("ecs", "CreateCluster", object{"clusterName": "web"})
	w.Call("ecs", "RegisterTaskDefinition", object{"family": "api", "containerDefinitions": []any{object{"name": "app", "image": "nginx", "memory": 128, "cpu": 512}}})
	w.Call("ecs", "CreateService", object{"cluster": "web", "serviceName": "api", "taskDefinition": "api", "desiredCount": 2})
	w.settle()
	return w
}

// service is Application Auto Scaling as another process would make it: with the records
// and without what was seen.
func (w *world) service(groups *control.Groups) *applicationautoscaling.Service {
	return applicationautoscaling.New(applicationautoscaling.Config{Records: w.records, Services: callFunc(w.callInside), Groups: groups, Regions: []string{awstest.Region}, Account: awsapi.Account,
		Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), Now: func() time.Time { return w.now },
		Loads: func(ctx context.Context, region string) ([]ecs.Load, error) {
			list, err := w.ecs.Loads(ctx, region)
			for n := range list {
				list[n].CPU = w.cpu
			}
			return list, err
		}})
}

// settle lets the service start and end its tasks.
func (w *world) settle() {
	w.t.Helper()
	for range 6 {
		if err := w.ecs.Carry(w.t.Context(), awstest.Region); err != nil {
			w.t.Fatal(err)
		}
	}
}

// look evaluates the policies some times, a second apart.
func (w *world) look(times int) {
	w.t.Helper()
	for range times {
		w.now = w.now.Add(time.Second)
		if err := w.scaling.Carry(w.t.Context(), awstest.Region); err != nil {
			w.t.Fatal(err)
		}
	}
	w.settle()
}

func (w *world) desired() int {
	w.t.Helper()
	list := w.Call("ecs", "DescribeServices", object{"cluster": "web", "services": []any{"api"}})["services"].([]any)
	n, _ := list[0].(object)["desiredCount"].(float64)
	return int(n)
}

func (w *world) scale(operation string, more object) object {
	w.t.Helper()
	return w.Call("application-autoscaling", operation, named(more))
}

func named(more object) object {
	in := object{"ServiceNamespace": "ecs", "ResourceId": resource, "ScalableDimension": "ecs:service:DesiredCount"}
	for k, v := range more {
		in[k] = v
	}
	return in
}

func (w *world) refused(code, words, operation string, in object) {
	w.t.Helper()
	_, got, text := w.Try("application-autoscaling", operation, in)
	if got != code || !strings.Contains(text, words) {
		w.t.Errorf("%s(%v): %q %s; want %s with %q", operation, in, got, text, code, words)
	}
}

func (w *world) activities() []any {
	w.t.Helper()
	return w.Call("application-autoscaling", "DescribeScalingActivities", object{"ServiceNamespace": "ecs", "ResourceId": resource})["ScalingActivities"].([]any)
}

func tracking(value float64, more object) object {
	configuration := object{"TargetValue": value, "PredefinedMetricSpecification": object{"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}}
	for k, v := range more {
		configuration[k] = v
	}
	return object{"PolicyName": "cpu", "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": configuration}
}

// A service has as many tasks as its metric asks for: more once three looks have found it
// above its target, fewer after fifteen below, within the target's bounds and the cooldowns.
func TestAServiceFollowsItsMetric(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.scale("RegisterScalableTarget", object{"MinCapacity": 1, "MaxCapacity": 5})
	w.scale("PutScalingPolicy", tracking(50, nil))
	w.cpu = 90
	w.look(2)
	if n := w.desired(); n != 2 {
		t.Fatalf("%d tasks after two looks, want 2", n)
	}
	w.look(1)
	if n := w.desired(); n != 4 { // 2 × 90 / 50 = 3.6
		t.Fatalf("%d tasks after three looks, want 4", n)
	}
	w.look(1)
	first := w.activities()[0].(object)
	if first["StatusCode"] != "Successful" || first["Description"] != "Setting desired count to 4." || !strings.Contains(first["Cause"].(string), "triggered policy cpu") {
		t.Errorf("%v", first)
	}
	w.look(10) // what was added counts until the cooldown ends: 2 × 1.8 is 4 again
	if n := w.desired(); n != 4 {
		t.Fatalf("%d tasks within the cooldown, want 4", n)
	}
	w.now = w.now.Add(5 * time.Minute)
	w.look(3)
	if n := w.desired(); n != 5 { // 4 × 1.8, and no more than the maximum
		t.Fatalf("%d tasks, want the maximum of 5", n)
	}
	w.cpu = 20
	w.look(14)
	if n := w.desired(); n != 5 {
		t.Fatalf("%d tasks after 14 looks below, want 5", n)
	}
	w.look(1)
	if n := w.desired(); n != 2 { // 5 × 20 / 50
		t.Fatalf("%d tasks after 15 looks below, want 2", n)
	}
	w.cpu = 0
	w.look(100)
	if n := w.desired(); n != 2 {
		t.Fatalf("%d tasks within the cooldown of the reduction, want 2", n)
	}
	w.now = w.now.Add(5 * time.Minute)
	w.look(15)
	if n := w.desired(); n != 1 {
		t.Fatalf("%d tasks, want the minimum of 1", n)
	}
	w.cpu = math.NaN()
	w.look(100)
	if n := w.desired(); n != 1 {
		t.Errorf("%d tasks without a metric", n)
	}
	w.cpu = 1
	w.look(20)
	w.now = w.now.Add(5 * time.Minute)
	w.Call("ecs", "UpdateService", object{"cluster": "web", "service": "api", "desiredCount": 3})
	w.settle()
	w.look(14) // what was seen before somebody else changed the capacity does not count
	if n := w.desired(); n != 3 {
		t.Fatalf("%d tasks after 14 looks at the new capacity, want 3", n)
	}
	w.look(1)
	if n := w.desired(); n != 1 {
		t.Fatalf("%d tasks after 15 looks at the new capacity, want 1", n)
	}
	w.scale("DeleteScalingPolicy", object{"PolicyName": "cpu"})
	w.refused("ObjectNotFoundException", "policy name: cpu", "DeleteScalingPolicy", named(object{"PolicyName": "cpu"}))
	w.scale("DeregisterScalableTarget", nil)
	w.refused("ObjectNotFoundException", "No scalable target registered", "DeregisterScalableTarget", named(nil))
}

// Suspended scaling and a policy that may not take tasks away leave the service alone; a
// service that is out of its bounds is brought within them.
func TestBoundsAndSuspension(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.scale("RegisterScalableTarget", object{"MinCapacity": 1, "MaxCapacity": 9, "SuspendedState": object{"DynamicScalingOutSuspended": true}})
	w.scale("PutScalingPolicy", tracking(50, object{"DisableScaleIn": true}))
	w.cpu = 100
	w.look(20)
	if n := w.desired(); n != 2 {
		t.Errorf("%d tasks although growing is suspended", n)
	}
	w.cpu = 1
	w.look(40)
	if n := w.desired(); n != 2 {
		t.Errorf("%d tasks although the policy may take none away", n)
	}
	w.scale("RegisterScalableTarget", object{"MinCapacity": 3})
	w.look(1)
	if n := w.desired(); n != 3 {
		t.Errorf("%d tasks with a minimum of 3", n)
	}
	told := w.Call("application-autoscaling", "DescribeScalableTargets", object{"ServiceNamespace": "ecs"})["ScalableTargets"].([]any)[0].(object)
	if told["MaxCapacity"] != 9.0 || told["SuspendedState"].(object)["DynamicScalingOutSuspended"] != true {
		t.Errorf("%v", told)
	}
}

// Requests are those that the load balancer has counted, a minute and a task.
func TestRequestsOfATask(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.scale("RegisterScalableTarget", object{"MinCapacity": 1, "MaxCapacity": 20})
	policy := tracking(60, nil)
	policy["TargetTrackingScalingPolicyConfiguration"].(object)["PredefinedMetricSpecification"] = object{"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": "app/a/1/targetgroup/b/2"}
	w.scale("PutScalingPolicy", policy)
	groups, err := w.Cloud.ServerGroups(t.Context(), awstest.Region, "")
	if err != nil {
		t.Fatal(err)
	}
	for n := range 6 { // eight requests a second: 240 a minute and task
		counts := []cloud.Counts{{ServerGroup: groups[0].Name, Requests: 99}}
		for _, i := range groups[0].Instances {
			counts = append(counts, cloud.Counts{ServerGroup: groups[0].Name, Instance: i.ID, Epoch: "e", Requests: uint64(1000 + 4*n)})
		}
		w.Cloud.SetCounts(awstest.Region, groups[0].Spec.Cluster, counts)
		w.look(1)
	}
	if n := w.desired(); n != 8 {
		t.Errorf("%d tasks for 240 requests a minute and task at a target of 60, want 8", n)
	}
}

// A metric of CloudWatch is followed by its minutes: three above, fifteen below.
func TestAMetricOfCloudWatch(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.scale("RegisterScalableTarget", object{"MinCapacity": 1, "MaxCapacity": 20})
	policy := tracking(10, nil)
	delete(policy["TargetTrackingScalingPolicyConfiguration"].(object), "PredefinedMetricSpecification")
	policy["TargetTrackingScalingPolicyConfiguration"].(object)["CustomizedMetricSpecification"] = object{"MetricName": "Depth", "Namespace": "Queue", "Statistic": "Average"}
	w.scale("PutScalingPolicy", policy)
	minutes := func(values ...float64) {
		w.values = map[string]float64{}
		for n, v := range values { // the newest first
			w.values[w.now.Truncate(time.Minute).Add(-time.Duration(n+1)*time.Minute).Format(time.RFC3339)] = v
		}
	}
	minutes(30, 30, 5)
	w.look(2)
	if n := w.desired(); n != 2 {
		t.Fatalf("%d tasks after two minutes above, want 2", n)
	}
	minutes(30, 25, 20, 1)
	w.look(1)
	if n := w.desired(); n != 6 {
		t.Fatalf("%d tasks after three minutes above, want 6", n)
	}
	low := make([]float64, 14)
	minutes(low...)
	w.look(1)
	if n := w.desired(); n != 6 {
		t.Fatalf("%d tasks after 14 minutes below, want 6", n)
	}
	minutes(append(low, 0)...)
	w.look(1)
	if n := w.desired(); n != 1 {
		t.Fatalf("%d tasks after 15 minutes below, want 1", n)
	}
}

// Steps are taken by how far the metric is beyond its alarm's threshold.
func TestStepsAreTakenByAlarms(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.scale("RegisterScalableTarget", object{"MinCapacity": 1, "MaxCapacity": 20})
	arn := w.scale("PutScalingPolicy", object{"PolicyName": "steps", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": object{"AdjustmentType": "ChangeInCapacity", "Cooldown": 60,
		"StepAdjustments": []any{object{"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 20, "ScalingAdjustment": 1}, object{"MetricIntervalLowerBound": 20, "ScalingAdjustment": 5}}}})["PolicyARN"].(string)
	if !applicationautoscaling.Owns(arn) {
		t.Fatalf("%s is not its own", arn)
	}
	execute := func(beyond float64) {
		t.Helper()
		if err := w.scaling.Execute(t.Context(), awstest.Region, arn, "high", beyond); err != nil {
			t.Fatal(err)
		}
		w.settle()
	}
	for _, step := range []struct {
		after  time.Duration
		beyond float64
		want   int
	}{{0, 5, 3}, {10 * time.Second, 5, 3}, {10 * time.Second, 30, 7}, {time.Minute, 5, 8}, {time.Minute, -5, 8}} {
		w.now = w.now.Add(step.after)
		execute(step.beyond)
		if n := w.desired(); n != step.want {
			t.Errorf("%v beyond after %s: %d tasks, want %d", step.beyond, step.after, n, step.want)
		}
	}
}

// Scheduled actions set the bounds when they are due, at their time zone's time.
func TestScheduledActions(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.scale("RegisterScalableTarget", object{"MinCapacity": 1, "MaxCapacity": 20})
	w.scale("PutScheduledAction", object{"ScheduledActionName": "noon", "Schedule": "cron(30 13 ? * 3 *)", "Timezone": "Europe/Berlin", "ScalableTargetAction": object{"MinCapacity": 4}}) // a Tuesday
	w.scale("PutScheduledAction", object{"ScheduledActionName": "once", "Schedule": "at(2026-12-01T12:40:00)", "ScalableTargetAction": object{"MinCapacity": 1, "MaxCapacity": 3}})
	w.look(1)
	if n := w.desired(); n != 2 {
		t.Fatalf("%d tasks before any is due", n)
	}
	w.now = time.Date(2026, 12, 1, 12, 30, 0, 0, time.UTC)
	w.look(1)
	if n := w.desired(); n != 4 {
		t.Fatalf("%d tasks at half past one in Berlin, want 4", n)
	}
	w.now = time.Date(2026, 12, 1, 12, 40, 0, 0, time.UTC)
	w.look(1)
	if n := w.desired(); n != 3 {
		t.Fatalf("%d tasks after the second one, want 3", n)
	}
	if cause := w.activities()[0].(object)["Cause"]; cause != "scheduled action name once was triggered" {
		t.Errorf("%v", cause)
	}
	for _, schedule := range []string{"cron(0 12 * * * *)", "cron(0 12 * * ?)", "cron(0 12 ? * 8 *)", "cron(0 12 ? * MON 2027)", "rate(0 minutes)", "rate(5 weeks)", "at(tomorrow)", "daily"} {
		w.refused("ValidationException", "invalid", "PutScheduledAction", named(object{"ScheduledActionName": "x", "Schedule": schedule, "ScalableTargetAction": object{"MinCapacity": 4}}))
	}
	w.scale("DeleteScheduledAction", object{"ScheduledActionName": "noon"})
	w.refused("ObjectNotFoundException", "scheduled action name: noon", "DeleteScheduledAction", named(object{"ScheduledActionName": "noon"}))
}

// What is not whole or cannot be had is refused before anything is kept.
func TestWhatCannotBeScaledIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	w.refused("ValidationException", "ECS service doesn't exist: service/web/none", "RegisterScalableTarget", object{"ServiceNamespace": "ecs", "ResourceId": "service/web/none", "ScalableDimension": "ecs:service:DesiredCount", "MinCapacity": 1, "MaxCapacity": 2})
	w.refused("ValidationException", "the service namespace dynamodb", "RegisterScalableTarget", object{"ServiceNamespace": "dynamodb", "ResourceId": "table/x", "ScalableDimension": "dynamodb:table:ReadCapacityUnits", "MinCapacity": 1, "MaxCapacity": 2})
	w.refused("ValidationException", "Both MinCapacity and MaxCapacity", "RegisterScalableTarget", named(object{"MinCapacity": 1}))
	w.refused("ValidationException", "cannot be less", "RegisterScalableTarget", named(object{"MinCapacity": 3, "MaxCapacity": 2}))
	w.refused("ObjectNotFoundException", "No scalable target registered for service namespace: ecs, resource ID: service/web/api", "PutScalingPolicy", named(tracking(50, nil)))
	w.scale("RegisterScalableTarget", object{"MinCapacity": 1, "MaxCapacity": 2})
	w.refused("ValidationException", "greater than 0", "PutScalingPolicy", named(tracking(0, nil)))
	w.refused("ValidationException", "RDSReaderAverageCPUUtilization", "PutScalingPolicy", named(tracking(5, object{"PredefinedMetricSpecification": object{"PredefinedMetricType": "RDSReaderAverageCPUUtilization"}})))
	w.refused("ValidationException", "ResourceLabel", "PutScalingPolicy", named(tracking(5, object{"PredefinedMetricSpecification": object{"PredefinedMetricType": "ALBRequestCountPerTarget"}})))
	w.refused("ValidationException", "Metrics of a Customized", "PutScalingPolicy", named(object{"PolicyName": "m", "PolicyType": "TargetTrackingScaling", "TargetTrackingScalingPolicyConfiguration": object{"TargetValue": 1,
		"CustomizedMetricSpecification": object{"Metrics": []any{object{"Id": "a", "Expression": "1"}}}}}))
	w.refused("ValidationException", "overlap", "PutScalingPolicy", named(object{"PolicyName": "s", "PolicyType": "StepScaling", "StepScalingPolicyConfiguration": object{"AdjustmentType": "ExactCapacity",
		"StepAdjustments": []any{object{"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}, object{"MetricIntervalLowerBound": 5, "ScalingAdjustment": 2}}}}))
}

// A control plane that dies at any write of a scaling is followed by another one that
// carries it on: the service ends with the tasks that the metric asked for, by one activity.
func TestScalingSurvivesTheDeathOfControl(t *testing.T) {
	t.Parallel()
	survived := 0
	for n := 1; survived == 0; n++ {
		w := open(t)
		w.scale("RegisterScalableTarget", object{"MinCapacity": 1, "MaxCapacity": 9})
		w.scale("PutScalingPolicy", tracking(50, nil))
		w.cpu = 100
		w.look(2)
		left := n
		w.records.Fail = func(op, _, _ string) error {
			if op == "put" || op == "append" || op == "delete" {
				left--
			}
			if left <= 0 {
				return problem.New(problem.Unavailable, "test", "control is dead")
			}
			return nil
		}
		w.now = w.now.Add(time.Second)
		if err := w.scaling.Carry(t.Context(), awstest.Region); err == nil {
			survived = n
		}
		w.records.Fail = nil
		w.scaling = w.service(w.Control(t, w.records, time.Now))
		w.look(5)
		w.look(1)
		if got := w.desired(); got != 4 {
			t.Errorf("dead at write %d: %d tasks, want 4", n, got)
		}
		if list := w.activities(); len(list) != 1 || list[0].(object)["StatusCode"] != "Successful" {
			t.Errorf("dead at write %d: %v", n, list)
		}
	}
	if survived < 3 {
		t.Errorf("it survived at write %d: nothing was tried", survived)
	}
}
