package ecs_test

import (
	"testing"

	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

// described are the tasks of the article's cluster that are wanted in a state.
func (w *world) tasksIn(state string) []object {
	w.t.Helper()
	names := w.call("ListTasks", object{"cluster": "MyCluster", "desiredStatus": state})["taskArns"].([]any)
	if len(names) == 0 {
		return nil
	}
	var out []object
	for _, t := range w.call("DescribeTasks", object{"cluster": "MyCluster", "tasks": names})["tasks"].([]any) {
		out = append(out, t.(object))
	}
	return out
}

func TestATaskRunsOnce(t *testing.T) {
	t.Parallel()
	w := open(t, &recordtest.Records{}, nil)
	w.begin()
	in := object{"cluster": "MyCluster", "taskDefinition": "MyTask", "count": 2, "startedBy": "me", "clientToken": "token-of-the-call",
		"overrides": object{"containerOverrides": []any{object{"name": "app", "command": []any{"other", "words"}, "environment": []any{object{"name": "A", "value": "b"}}}}}}
	made := w.call("RunTask", in)["tasks"].([]any)
	if len(made) != 2 || made[0].(object)["lastStatus"] != "PENDING" || made[0].(object)["group"] != "family:MyTask" || made[0].(object)["startedBy"] != "me" {
		t.Fatalf("made: %v", made)
	}
	if again := w.call("RunTask", in)["tasks"].([]any); again[1].(object)["taskArn"] != made[1].(object)["taskArn"] || len(w.groups()) != 2 {
		t.Errorf("the same token made %v", again)
	}
	w.carry()
	tasks := w.tasksIn("RUNNING")
	if len(tasks) != 2 || tasks[0]["lastStatus"] != "RUNNING" || tasks[0]["healthStatus"] != "UNKNOWN" {
		t.Fatalf("the tasks: %v", tasks)
	}
	spec := w.groups()[0].Spec
	if command := spec.Workload.Process.Command; len(command) != 2 || command[0] != "other" || !spec.Once {
		t.Errorf("it runs %v", command)
	}
	if n := number(w.call("DescribeClusters", object{"clusters": []any{"MyCluster"}})["clusters"].([]any)[0].(object), "runningTasksCount"); n != 2 {
		t.Errorf("the cluster counts %d tasks", n)
	}
	w.refused("ClusterContainsTasksException", "", "DeleteCluster", object{"cluster": "MyCluster"})
	w.call("StopTask", object{"cluster": "MyCluster", "task": tasks[0]["taskArn"], "reason": "enough"})
	w.carry()
	if left := w.tasksIn("RUNNING"); len(left) != 1 || left[0]["taskArn"] != tasks[1]["taskArn"] {
		t.Errorf("after one was stopped: %v", left)
	}
	ended := w.tasksIn("STOPPED")
	if len(ended) != 1 || ended[0]["lastStatus"] != "STOPPED" || ended[0]["stopCode"] != "UserInitiated" || ended[0]["stoppedReason"] != "enough" || len(w.groups()) != 1 {
		t.Errorf("the stopped task: %v, of %d groups", ended, len(w.groups()))
	}
	if by := w.call("ListTasks", object{"cluster": "MyCluster", "startedBy": "somebody"})["taskArns"].([]any); len(by) != 0 {
		t.Errorf("started by somebody else: %v", by)
	}
	w.refused("ClientException", "TaskDefinition not found.", "RunTask", object{"cluster": "MyCluster", "taskDefinition": "None"})
	w.refused("InvalidParameterException", "Override for container named none", "RunTask", object{"cluster": "MyCluster", "taskDefinition": "MyTask", "overrides": object{"containerOverrides": []any{object{"name": "none"}}}})
	w.refused("ClientException", "placementConstraints", "RunTask", object{"cluster": "MyCluster", "taskDefinition": "MyTask", "placementConstraints": []any{object{"type": "distinctInstance"}}})
	w.refused("ConflictException", "", "RunTask", object{"cluster": "MyCluster", "taskDefinition": "MyTask", "count": 2, "clientToken": "token-of-the-call"})
}

// A control plane that dies after any of its writes leaves one task, however often the
// call is sent again.
func TestTasksSurviveTheDeathOfControl(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		records := &recordtest.Records{}
		w := open(t, records, nil)
		w.begin()
		in := object{"cluster": "MyCluster", "taskDefinition": "MyTask", "clientToken": "the-token"}
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
		w.Try("ecs", "RunTask", in)
		died := left <= 0
		records.Fail = nil
		next := open(t, records, w.Fleet)
		next.carry()
		next.call("RunTask", in)
		next.carry()
		tasks, groups := next.tasksIn("RUNNING"), next.groups()
		if len(tasks) != 1 || tasks[0]["lastStatus"] != "RUNNING" || len(groups) != 1 {
			t.Fatalf("dead at write %d: %v %+v", n, tasks, groups)
		}
		next.call("StopTask", object{"cluster": "MyCluster", "task": tasks[0]["taskArn"]})
		next.carry()
		if groups := next.groups(); len(groups) != 0 {
			t.Fatalf("dead at write %d: %+v is left", n, groups)
		}
		if !died {
			if n < 3 {
				t.Errorf("control died at %d writes only", n-1)
			}
			return
		}
	}
}
