package ecs_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/ec2"
	"showrunner/awsapi/ecs"
	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

type world struct {
	*awstest.Client
	*awstest.Fleet
	awstest.TargetGroups
	t       *testing.T
	service *ecs.Service
	ctx     context.Context // ends with the process
	die     func()
}

func open(t *testing.T, records *recordtest.Records, fleet *awstest.Fleet) *world {
	t.Helper()
	return openWith(t, records, fleet, func(*ecs.Config) {})
}

// openWith is open with another configuration, and with more services.
func openWith(t *testing.T, records *recordtest.Records, fleet *awstest.Fleet, with func(*ecs.Config), more ...wire.Service) *world {
	t.Helper()
	w := &world{t: t}
	w.ctx, w.die = context.WithCancel(t.Context())
	t.Cleanup(w.die)
	if fleet == nil {
		fleet = awstest.NewFleet(t, records, time.Now)
	}
	w.Fleet = fleet
	groups, log := fleet.Control(t, records, time.Now), slog.New(slog.NewTextHandler(t.Output(), nil))
	instances := ec2.New(ec2.Config{Records: records, Groups: groups, Artifacts: fleet.Artifacts, Sample: []string{"showrunner", "sample-service"}, Regions: []string{awstest.Region}, Account: "000000000000", Log: log, Now: time.Now})
	config := ecs.Config{Records: records, Groups: groups, EC2: instances, Regions: []string{awstest.Region}, Account: "000000000000", Log: log, Now: time.Now, Image: image}
	with(&config)
	w.service = ecs.New(config)
	w.service.Use(&w.TargetGroups)
	w.Client = awstest.New(t, append(more, instances.Service(), w.service.Service())...)
	return w
}

// image is the sample for nginx, and nothing for others.
func image(_ context.Context, name string) (control.AWSImage, error) {
	if name == "nginx" {
		return control.AWSImage{Name: name, Artifact: control.SampleImage}, nil
	}
	return control.AWSImage{}, problem.New(problem.NotFound, "test", "nothing stands for %s", name)
}

type object = map[string]any

func (w *world) call(operation string, in object) object {
	w.t.Helper()
	return w.Call("ecs", operation, in)
}

func (w *world) refused(code, message, operation string, in object) {
	w.t.Helper()
	_, got, text := w.Try("ecs", operation, in)
	if got != code || !strings.Contains(text, message) {
		w.t.Errorf("%s(%v): %q %s; want %s with %q", operation, in, got, text, code, message)
	}
}

// task is the smallest task definition of the article, with members that differ.
func task(more object) object {
	container := object{"name": "app", "image": "nginx", "memory": 128}
	for k, v := range more {
		container[k] = v
	}
	return object{"family": "MyTask", "containerDefinitions": []any{container}}
}

// begin makes what the article makes before its service.
func (w *world) begin() {
	w.t.Helper()
	w.call("CreateCluster", object{"clusterName": "MyCluster"})
	w.call("RegisterTaskDefinition", task(nil))
}

func article() object {
	return object{"cluster": "MyCluster", "serviceName": "MyService", "taskDefinition": "MyTask", "desiredCount": 2}
}

// carry has what is recorded carried out until nothing is left.
func (w *world) carry() {
	w.t.Helper()
	for range 6 {
		if err := w.service.Carry(w.ctx, awstest.Region); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) groups() []cloud.ServerGroup {
	w.t.Helper()
	list, err := w.Cloud.ServerGroups(w.t.Context(), awstest.Region, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return list
}

// described is the service of the article.
func (w *world) described() object {
	w.t.Helper()
	list := w.call("DescribeServices", object{"cluster": "MyCluster", "services": []any{"MyService"}})["services"].([]any)
	return list[0].(object)
}

func (w *world) tasks(more object) []any {
	w.t.Helper()
	in := object{"cluster": "MyCluster"}
	for k, v := range more {
		in[k] = v
	}
	return w.call("ListTasks", in)["taskArns"].([]any)
}

func number(o object, member string) int {
	n, _ := o[member].(float64)
	return int(n)
}

func TestTheArticlesServiceIsStableBecauseItsTasksRun(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	if again := w.call("CreateCluster", object{"clusterName": "MyCluster"})["cluster"].(object); again["clusterArn"] != "arn:aws:ecs:us-west-2:000000000000:cluster/MyCluster" {
		t.Errorf("the same cluster again: %v", again)
	}
	w.call("CreateService", article())
	w.carry()
	v := w.described()
	groups := w.groups()
	if number(v, "runningCount") != 2 || number(v, "pendingCount") != 0 || len(v["deployments"].([]any)) != 1 || len(groups) != 1 || groups[0].Spec.Limits.Memory != "128MiB" {
		t.Fatalf("%v %+v", v, groups)
	}
	w.refused("InvalidParameterException", "Creation of service was not idempotent.", "CreateService", article())
	w.refused("ClusterNotFoundException", "Cluster not found.", "DescribeServices", object{"services": []any{"MyService"}})

	before := w.tasks(object{"serviceName": "MyService"})
	if len(before) != 2 {
		t.Fatal(before)
	}
	told := w.call("DescribeTasks", object{"cluster": "MyCluster", "tasks": []any{before[0], "none"}})
	one := told["tasks"].([]any)[0].(object)
	container := one["containers"].([]any)[0].(object)
	if one["lastStatus"] != "RUNNING" || one["group"] != "service:MyService" || container["runtimeId"] == "" || len(container["networkBindings"].([]any)) != 1 || len(told["failures"].([]any)) != 1 {
		t.Errorf("%v", told)
	}
	stopped := w.call("StopTask", object{"cluster": "MyCluster", "task": before[0], "reason": "chaos"})["task"].(object)
	if stopped["desiredStatus"] != "STOPPED" || stopped["stopCode"] != "UserInitiated" || stopped["stoppedReason"] != "chaos" {
		t.Errorf("%v", stopped)
	}
	w.carry()
	if after := w.tasks(nil); len(after) != 2 || slices.Contains(after, before[0]) || !slices.Contains(after, before[1]) {
		t.Errorf("%v became %v", before, after)
	}
	events := fmt.Sprint(w.described()["events"])
	for _, want := range []string{"has started 2 tasks: (task ", "has stopped 1 running tasks: (task ", "has started 1 tasks: (task ", "(service MyService) has reached a steady state.", "deployment completed."} {
		if !strings.Contains(events, want) {
			t.Errorf("no event says %q: %s", want, events)
		}
	}
}

func TestServicesAreUpdatedScaledAndDeleted(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	w.call("CreateService", article())
	w.carry()
	first := w.described()["deployments"].([]any)[0].(object)
	w.call("RegisterTaskDefinition", task(object{"environment": []any{object{"name": "A", "value": "b"}}}))
	if d := w.call("UpdateService", object{"cluster": "MyCluster", "service": "MyService", "desiredCount": 3})["service"].(object)["deployments"].([]any); len(d) != 1 || d[0].(object)["id"] != first["id"] {
		t.Errorf("scaling began a deployment: %v", d)
	}
	w.call("UpdateService", object{"cluster": "MyCluster", "service": "MyService", "taskDefinition": "MyTask:2"})
	w.carry()
	v, groups := w.described(), w.groups()
	if d := v["deployments"].([]any); len(d) != 1 || d[0].(object)["id"] == first["id"] || d[0].(object)["rolloutState"] != "COMPLETED" || len(groups) != 1 || groups[0].Spec.Version != "MyTask:2" || number(v, "runningCount") != 3 {
		t.Errorf("%v %+v", v, groups)
	}
	w.call("UpdateService", object{"cluster": "MyCluster", "service": "MyService", "forceNewDeployment": true})
	w.carry()
	if g := w.groups(); len(g) != 1 || g[0].Name == groups[0].Name {
		t.Errorf("the same again: %+v", g)
	}
	cluster := w.call("DescribeClusters", object{"clusters": []any{"MyCluster"}})["clusters"].([]any)[0].(object)
	if number(cluster, "runningTasksCount") != 3 || number(cluster, "activeServicesCount") != 1 {
		t.Errorf("%v", cluster)
	}
	w.refused("InvalidParameterException", "scaled above 0", "DeleteService", object{"cluster": "MyCluster", "service": "MyService"})
	w.refused("ClusterContainsServicesException", "while Services are active", "DeleteCluster", object{"cluster": "MyCluster"})
	w.call("DeleteService", object{"cluster": "MyCluster", "service": "MyService", "force": true})
	w.carry()
	if v := w.described(); v["status"] != "INACTIVE" || len(w.groups()) != 0 {
		t.Errorf("%v %+v", v, w.groups())
	}
	w.refused("ServiceNotActiveException", "Service was not ACTIVE.", "UpdateService", object{"cluster": "MyCluster", "service": "MyService", "desiredCount": 1})
	w.refused("ServiceNotFoundException", "Service not found.", "UpdateService", object{"cluster": "MyCluster", "service": "none", "desiredCount": 1})
	w.call("CreateService", article())
	w.carry()
	if v := w.described(); v["status"] != "ACTIVE" || number(v, "runningCount") != 2 {
		t.Errorf("a service of the name of a deleted one: %v", v)
	}
}

func TestTaskDefinitionsHaveRevisions(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	for n := 1; n <= 3; n++ {
		if d := w.call("RegisterTaskDefinition", task(nil))["taskDefinition"].(object); number(d, "revision") != n || !strings.HasSuffix(d["taskDefinitionArn"].(string), fmt.Sprintf("task-definition/MyTask:%d", n)) {
			t.Errorf("%v", d)
		}
	}
	w.call("DeregisterTaskDefinition", object{"taskDefinition": "MyTask:3"})
	if d := w.call("DescribeTaskDefinition", object{"taskDefinition": "MyTask"})["taskDefinition"].(object); number(d, "revision") != 2 {
		t.Errorf("the newest active one is %v", d)
	}
	w.call("DeleteTaskDefinitions", object{"taskDefinitions": []any{"MyTask:3"}})
	if d := w.call("RegisterTaskDefinition", task(nil))["taskDefinition"].(object); number(d, "revision") != 4 {
		t.Errorf("a revision came twice: %v", d)
	}
	var listed []string
	for in := (object{"maxResults": 2, "sort": "DESC"}); ; {
		out := w.call("ListTaskDefinitions", in)
		for _, arn := range out["taskDefinitionArns"].([]any) {
			listed = append(listed, strings.TrimPrefix(arn.(string), "arn:aws:ecs:us-west-2:000000000000:task-definition/"))
		}
		if in["nextToken"] = out["nextToken"]; out["nextToken"] == nil {
			break
		}
	}
	if !slices.Equal(listed, []string{"MyTask:4", "MyTask:2", "MyTask:1"}) {
		t.Error(listed)
	}
	w.refused("ClientException", "Unable to describe task definition.", "DescribeTaskDefinition", object{"taskDefinition": "none"})
	w.refused("ClientException", "The specified task definition does not exist.", "DeregisterTaskDefinition", object{"taskDefinition": "none:1"})
}

func TestWhatCannotBeHadIsRefusedBeforeAnythingIsMade(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	two := task(nil)
	two["containerDefinitions"] = append(two["containerDefinitions"].([]any), object{"name": "side", "image": "nginx", "memory": 64})
	w.refused("ClientException", "more than one container", "RegisterTaskDefinition", two)
	w.refused("ClientException", "At least one of 'memory' or 'memoryReservation' must be specified.", "RegisterTaskDefinition", task(object{"memory": nil}))
	w.refused("ClientException", "Container list cannot be empty.", "RegisterTaskDefinition", object{"family": "f", "containerDefinitions": []any{}})
	w.refused("ClientException", "secrets of the container app", "RegisterTaskDefinition", task(object{"secrets": []any{object{"name": "A", "valueFrom": "b"}}}))
	fargate := task(nil)
	fargate["requiresCompatibilities"] = []any{"FARGATE"}
	w.refused("ClientException", "Fargate only supports network mode", "RegisterTaskDefinition", fargate)

	with := func(member string, value any) object {
		in := article()
		in[member] = value
		return in
	}
	balanced := func(arn, container string, port int) object {
		in := with("taskDefinition", "ports")
		in["loadBalancers"] = []any{object{"targetGroupArn": arn, "containerName": container, "containerPort": port}}
		return in
	}
	ports := task(object{"portMappings": []any{object{"containerPort": 80}}})
	ports["family"] = "ports"
	w.call("RegisterTaskDefinition", ports)
	w.refused("InvalidParameterException", "The target group none does not exist.", "CreateService", balanced("none", "app", 80))
	w.refused("InvalidParameterException", "did not have a container port 81", "CreateService", balanced(awstest.WebTargets, "app", 81))
	w.refused("InvalidParameterException", "The container other does not exist", "CreateService", balanced(awstest.WebTargets, "other", 80))
	w.refused("ClientException", "loadBalancerName", "CreateService", with("loadBalancers", []any{object{"loadBalancerName": "classic"}}))
	w.refused("ClientException", "TaskDefinition not found.", "CreateService", with("taskDefinition", "none"))
	w.refused("ClientException", "DAEMON", "CreateService", with("schedulingStrategy", "DAEMON"))
	w.refused("InvalidParameterException", "will block deployments", "CreateService", with("deploymentConfiguration", object{"minimumHealthyPercent": 100, "maximumPercent": 100}))
	w.refused("InvalidParameterException", "not valid for the given networkMode", "CreateService", with("networkConfiguration", object{"awsvpcConfiguration": object{"subnets": []any{"subnet-12345678"}}}))
	w.refused("ClusterNotFoundException", "Cluster not found.", "CreateService", with("cluster", "none"))
	w.call("RegisterTaskDefinition", object{"family": "other", "containerDefinitions": []any{object{"name": "a", "image": "shop:1", "memory": 64}}})
	w.refused("ClientException", "showrunner aws image shop:1=ARTIFACT", "CreateService", with("taskDefinition", "other"))
	network := task(nil)
	network["family"], network["networkMode"] = "network", "awsvpc"
	w.call("RegisterTaskDefinition", network)
	w.refused("InvalidParameterException", "Network Configuration must be provided", "CreateService", with("taskDefinition", "network"))
	in := with("taskDefinition", "network")
	in["networkConfiguration"] = object{"awsvpcConfiguration": object{"subnets": []any{"subnet-00000000"}}}
	w.refused("InvalidParameterException", "The subnet ID 'subnet-00000000' does not exist", "CreateService", in)
	if len(w.groups()) != 0 {
		t.Errorf("%+v", w.groups())
	}
	in["networkConfiguration"] = object{"awsvpcConfiguration": object{"subnets": []any{"subnet-87654321"}}}
	w.call("CreateService", in)
	if g := w.groups(); len(g) != 1 || !slices.Equal(g[0].Spec.Zones, []string{"us-west-2b"}) {
		t.Errorf("%+v", g)
	}
}

// The tasks of a service are a target group's as long as the service is active.
func TestServicesAreAttachedToTargetGroups(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	w.call("RegisterTaskDefinition", task(object{"portMappings": []any{object{"containerPort": 80}}}))
	attached := func(want ...string) {
		t.Helper()
		if got, err := w.service.Clusters(t.Context(), awstest.Region, awstest.WebTargets); err != nil || !slices.Equal(got, want) {
			t.Errorf("attached are %v, %v; want %v", got, err, want)
		}
	}
	in := article()
	in["loadBalancers"] = []any{object{"targetGroupArn": awstest.WebTargets, "containerName": "app", "containerPort": 80}}
	if v := w.call("CreateService", in)["service"].(object); len(v["loadBalancers"].([]any)) != 1 {
		t.Errorf("%v", v)
	}
	attached("aws-ecs-mycluster-myservice")
	w.carry()
	w.refused("InvalidParameterException", "did not have a container port 80", "UpdateService", object{"cluster": "MyCluster", "service": "MyService", "taskDefinition": "MyTask:1"})
	w.call("UpdateService", object{"cluster": "MyCluster", "service": "MyService", "loadBalancers": []any{}})
	attached()
	w.call("UpdateService", object{"cluster": "MyCluster", "service": "MyService", "loadBalancers": in["loadBalancers"]})
	attached("aws-ecs-mycluster-myservice")
	w.call("DeleteService", object{"cluster": "MyCluster", "service": "MyService", "force": true})
	attached()
	if len(w.Told) != 4 {
		t.Errorf("the load balancers were told of %v", w.Told)
	}
}

func TestTagsAreKept(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	in := article()
	in["tags"] = []any{object{"key": "team", "value": "web"}}
	arn := w.call("CreateService", in)["service"].(object)["serviceArn"]
	for _, arn := range []any{arn, "arn:aws:ecs:us-west-2:000000000000:cluster/MyCluster", "arn:aws:ecs:us-west-2:000000000000:task-definition/MyTask:1"} {
		w.call("TagResource", object{"resourceArn": arn, "tags": []any{object{"key": "a", "value": "1"}, object{"key": "b", "value": "2"}}})
		w.call("UntagResource", object{"resourceArn": arn, "tagKeys": []any{"a", "team"}})
		if tags := fmt.Sprint(w.call("ListTagsForResource", object{"resourceArn": arn})["tags"]); tags != "[map[key:b value:2]]" {
			t.Errorf("%v has %s", arn, tags)
		}
	}
}
