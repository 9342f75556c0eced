package ecs_test

import (
	"strings"
	"testing"

	"showrunner/store/record/recordtest"
)

func (w *world) serviceDeployments(more object) []any {
	w.t.Helper()
	in := object{"cluster": "MyCluster", "service": "MyService"}
	for k, v := range more {
		in[k] = v
	}
	return w.call("ListServiceDeployments", in)["serviceDeployments"].([]any)
}

// Each change of what a service runs is a service deployment, from its request to its end.
func TestServiceDeploymentsAreWhatHappened(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	w.call("CreateService", article())
	if list := w.serviceDeployments(nil); len(list) != 1 || list[0].(object)["status"] != "IN_PROGRESS" && list[0].(object)["status"] != "SUCCESSFUL" {
		t.Fatalf("%v", list)
	}
	w.carry()
	w.call("UpdateService", object{"cluster": "MyCluster", "service": "MyService", "forceNewDeployment": true})
	w.carry()
	list := w.serviceDeployments(nil)
	if len(list) != 2 {
		t.Fatalf("%v", list)
	}
	newest := list[0].(object)
	if newest["status"] != "SUCCESSFUL" || newest["finishedAt"] == nil {
		t.Errorf("%v", newest)
	}
	out := w.call("DescribeServiceDeployments", object{"serviceDeploymentArns": []any{newest["serviceDeploymentArn"], "arn:aws:ecs:us-west-2:000000000000:service-deployment/MyCluster/MyService/none"}})
	one := out["serviceDeployments"].([]any)[0].(object)
	target := one["targetServiceRevision"].(object)
	if number(target, "runningTaskCount") != 2 || target["arn"] != newest["targetServiceRevisionArn"] || len(one["sourceServiceRevisions"].([]any)) != 1 || len(out["failures"].([]any)) != 1 {
		t.Errorf("%v", out)
	}
	revisions := w.call("DescribeServiceRevisions", object{"serviceRevisionArns": []any{target["arn"]}})["serviceRevisions"].([]any)
	if images := revisions[0].(object)["containerImages"].([]any); images[0].(object)["image"] != "nginx" || !strings.HasSuffix(revisions[0].(object)["taskDefinition"].(string), "MyTask:1") {
		t.Errorf("%v", revisions)
	}
	if list := w.serviceDeployments(object{"status": []any{"STOPPED"}}); len(list) != 0 {
		t.Errorf("%v", list)
	}
	if page := w.call("ListServiceDeployments", object{"cluster": "MyCluster", "service": "MyService", "maxResults": 1}); page["nextToken"] == nil || page["serviceDeployments"].([]any)[0].(object)["serviceDeploymentArn"] != newest["serviceDeploymentArn"] {
		t.Errorf("%v", page)
	}
	w.refused("ConflictException", "has ended", "StopServiceDeployment", object{"serviceDeploymentArn": newest["serviceDeploymentArn"]})
	w.refused("ServiceDeploymentNotFoundException", "doesn't exist", "StopServiceDeployment", object{"serviceDeploymentArn": "arn:aws:ecs:us-west-2:000000000000:service-deployment/MyCluster/MyService/none"})
}

// A service deployment that is stopped is rolled back to what ran before.
func TestAStoppedServiceDeploymentIsRolledBack(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	w.call("RegisterTaskDefinition", task(object{"command": []any{"other"}}))
	in := article()
	in["taskDefinition"], in["deploymentConfiguration"] = "MyTask:1", object{"minimumHealthyPercent": 50, "maximumPercent": 100} // one task after the other
	w.call("CreateService", in)
	w.carry()
	w.call("UpdateService", object{"cluster": "MyCluster", "service": "MyService", "taskDefinition": "MyTask:2"})
	arn := w.serviceDeployments(nil)[0].(object)["serviceDeploymentArn"]
	w.call("StopServiceDeployment", object{"serviceDeploymentArn": arn})
	w.carry()
	one := w.serviceDeployments(nil)[0].(object)
	if v := w.described(); !strings.HasSuffix(v["taskDefinition"].(string), "MyTask:1") || one["status"] != "ROLLBACK_SUCCESSFUL" {
		t.Errorf("%v %v", one, v["taskDefinition"])
	}
}

// A protected task is kept when its service shrinks, until its protection is taken back.
func TestAProtectedTaskIsKept(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	w.call("CreateService", article())
	w.carry()
	tasks := w.tasks(nil)
	in := object{"cluster": "MyCluster", "tasks": []any{tasks[0], tasks[1], "none"}, "protectionEnabled": true, "expiresInMinutes": 5}
	out := w.call("UpdateTaskProtection", in)
	if list := out["protectedTasks"].([]any); len(list) != 2 || list[0].(object)["protectionEnabled"] != true || list[0].(object)["expirationDate"] == nil || len(out["failures"].([]any)) != 1 {
		t.Fatalf("%v", out)
	}
	if list := w.call("GetTaskProtection", object{"cluster": "MyCluster"})["protectedTasks"].([]any); len(list) != 2 || list[0].(object)["protectionEnabled"] != true {
		t.Errorf("%v", list)
	}
	w.call("UpdateService", object{"cluster": "MyCluster", "service": "MyService", "desiredCount": 0})
	w.carry()
	if left := w.tasks(nil); len(left) != 2 {
		t.Errorf("protected tasks have ended: %v", left)
	}
	in["protectionEnabled"] = false
	w.call("UpdateTaskProtection", in)
	w.carry()
	if left := w.tasks(nil); len(left) != 0 {
		t.Errorf("%v", left)
	}
	in["expiresInMinutes"] = 0
	w.refused("InvalidParameterException", "between 1 and 2880", "UpdateTaskProtection", in)
}
