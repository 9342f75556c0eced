package ecs_test

import (
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

// A control plane that dies after any of its writes leaves what the next one
// completes: there is one server group, as it was asked for.
func TestServicesSurviveTheDeathOfControl(t *testing.T) {
	t.Parallel()
	for _, operation := range []string{"CreateService", "UpdateService", "DeleteService"} {
		survived := 0
		for n := 1; ; n++ {
			records := &recordtest.Records{}
			w := open(t, records, nil)
			w.begin()
			ports := []any{object{"containerPort": 80}}
			w.call("RegisterTaskDefinition", task(object{"portMappings": ports}))
			w.call("RegisterTaskDefinition", task(object{"portMappings": ports, "command": []any{"other"}}))
			in, want := article(), 2
			in["taskDefinition"] = "MyTask:2"
			in["loadBalancers"] = []any{object{"targetGroupArn": awstest.WebTargets, "containerName": "app", "containerPort": 80}}
			if operation != "CreateService" {
				w.call("CreateService", in)
				w.carry()
			}
			switch operation {
			case "UpdateService":
				in, want = object{"cluster": "MyCluster", "service": "MyService", "taskDefinition": "MyTask:3", "desiredCount": 3, "loadBalancers": in["loadBalancers"]}, 3
			case "DeleteService":
				in, want = object{"cluster": "MyCluster", "service": "MyService", "force": true}, 0
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
			w.Try("ecs", operation, in)
			if err := w.service.Carry(t.Context(), awstest.Region); err != nil {
				t.Logf("carrying on: %v", err)
			}
			died := left <= 0
			records.Fail = nil
			next := open(t, records, w.Fleet)
			next.carry()
			if _, code, message := next.Try("ecs", operation, in); code != "" && !strings.Contains(message, "not idempotent") && code != "ServiceNotActiveException" {
				t.Errorf("%s, dead at write %d, asked again: %s %s", operation, n, code, message)
			}
			next.carry()
			instances, groups := 0, next.groups()
			for _, g := range groups {
				instances += len(g.Instances)
			}
			v := next.described()
			if instances != want || len(groups) > 1 || number(v, "runningCount") != want || operation == "UpdateService" && groups[0].Spec.Version != "MyTask:3" || (v["status"] == "INACTIVE") != (want == 0) {
				t.Fatalf("%s, dead at write %d: %v %+v", operation, n, v, groups)
			}
			if len(w.Told)+len(next.Told) == 0 {
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
