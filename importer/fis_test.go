package importer_test

import (
	"strings"
	"testing"

	"showrunner/chaos/experiment"
	"showrunner/importer"
	"showrunner/problem"
)

const fisTemplate = `{
  "description": "Stop and stress", "roleArn": "arn:aws:iam::1:role/fis", "tags": {"Name": "stress"},
  "stopConditions": [{"source": "aws:cloudwatch:alarm", "value": "arn:aws:cloudwatch:us-west-2:1:alarm:late"}],
  "targets": {
    "some": {"resourceType": "aws:ec2:instance", "resourceTags": {"env": "prod"}, "selectionMode": "COUNT(2)", "filters": [{"path": "State.Name", "values": ["running"]}]},
    "one": {"resourceType": "aws:ec2:instance", "resourceArns": ["arn:aws:ec2:eu-west-1:1:instance/i-1"], "selectionMode": "ALL"},
    "tasks": {"resourceType": "aws:ecs:task", "parameters": {"cluster": "c", "service": "web"}, "selectionMode": "PERCENT(50)"}
  },
  "actions": {
    "z-stop": {"actionId": "aws:ec2:stop-instances", "parameters": {"startInstancesAfterDuration": "PT1M30S"}, "targets": {"Instances": "one"}},
    "end": {"actionId": "aws:ec2:terminate-instances", "targets": {"Instances": "some"}, "startAfter": ["z-stop"]},
    "wait": {"actionId": "aws:fis:wait", "parameters": {"duration": "PT2M"}},
    "cpu": {"actionId": "aws:ssm:send-command", "targets": {"Instances": "some"}, "startAfter": ["wait", "end"],
      "parameters": {"duration": "PT5M", "documentArn": "arn:aws:ssm:us-west-2::document/AWSFIS-Run-CPU-Stress", "documentParameters": "{\"DurationSeconds\":\"120\",\"LoadPercent\":\"50\",\"CPU\":\"2\"}"}},
    "late": {"actionId": "aws:ecs:task-network-latency", "targets": {"Tasks": "tasks"}, "parameters": {"duration": "PT1M", "delayMilliseconds": "300"}}
  }
}`

func TestFIS(t *testing.T) {
	t.Parallel()
	r, err := importer.FIS([]byte(fisTemplate), importer.FISOptions{Cluster: "", Region: "us-west-2", Application: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Refused) != 3 { // those whose cluster is not known
		t.Errorf("%v", r.Refused)
	}
	r, err = importer.FIS([]byte(fisTemplate), importer.FISOptions{Cluster: "shop-web", Region: "us-west-2", Application: "shop"})
	if err != nil || len(r.Refused) > 0 {
		t.Fatalf("%+v, %v", r.Refused, err)
	}
	e, err := experiment.Parse(r.YAML, []string{"cpu", "restart", "latency", "blackhole"}, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, r.YAML)
	}
	found := map[string]experiment.Action{}
	after := map[string]string{}
	for _, a := range e.Actions {
		found[a.Name] = a
		var names []string
		for _, k := range a.After {
			names = append(names, e.Actions[k].Name)
		}
		after[a.Name] = strings.Join(names, " ")
	}
	if e.Name != "stress" || e.Application != "shop" || len(e.StopConditions) != 1 || e.StopConditions[0].Alarm != "late" || len(e.Actions) != 5 {
		t.Errorf("%+v", e.File)
	}
	for name, want := range map[string]string{"z-stop": "", "end": "z-stop", "wait": "", "cpu": "wait end", "late": ""} {
		if after[name] != want {
			t.Errorf("%s waits for %q, want %q", name, after[name], want)
		}
	}
	if f := found["z-stop"].Fault; f.Kind != "restart" || f.For.String() != "1m30s" || f.Region != "eu-west-1" || f.Instances[0] != "i-1" || !f.All {
		t.Errorf("%+v", f)
	}
	if f := found["cpu"].Fault; f.Kind != "cpu" || f.For.String() != "2m" || f.Cores != 1 || f.Count != 2 || f.Cluster != "shop-web" {
		t.Errorf("%+v", f)
	}
	if f := found["late"].Fault; f.Kind != "latency" || f.Latency.String() != "300ms" || f.Jitter.String() != "10ms" || f.Share != 50 {
		t.Errorf("%+v", f)
	}
	if k := found["end"].Kill; k.Count != 2 || k.Cluster != "shop-web" || k.Region != "us-west-2" {
		t.Errorf("%+v", k)
	}
}

// TestFISRefuses: what has no equivalent is named with its line, and what is no template
// is an error.
func TestFISRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		from, to, says string
		invalid        bool
	}{
		"action":         {"aws:fis:wait", "aws:rds:failover-db-cluster", "line 12: actions.wait.actionId: aws:rds:failover-db-cluster has no equivalent", false},
		"document":       {"AWSFIS-Run-CPU-Stress", "AWSFIS-Run-IO-Stress", "AWSFIS-Run-IO-Stress has no equivalent", false},
		"parameter":      {`\"CPU\":\"2\"`, `\"CPU\":\"2\",\"Depth\":\"9\"`, "the parameter Depth has no equivalent", false},
		"share of kills": {"COUNT(2)", "PERCENT(10)", "a share of them, cannot be ended", false},
		"selection":      {"PERCENT(50)", "HALF", `"HALF" is no selection`, false},
		"filter":         {`"State.Name", "values": ["running"]`, `"VpcId", "values": ["v"]`, "the filter VpcId is not known", false},
		"resource":       {`"aws:ecs:task", `, `"aws:eks:pod", `, "aws:eks:pod has no equivalent", false},
		"sources":        {`"delayMilliseconds": "300"`, `"delayMilliseconds": "300", "sources": "10.0.0.1"`, "do not say which service calls", false},
		"alarm":          {":alarm:late", ":alert:late", "is no ARN of an alarm", false},
		"accounts":       {`"tags":`, `"experimentOptions": {"accountTargeting": "multi-account"}, "tags":`, "several accounts", false},
		"circle":         {`"PT2M"}}`, `"PT2M"}, "startAfter": ["cpu"]}`, "in a circle", true},
		"unknown before": {`["z-stop"]`, `["stop"]`, `line 11: actions.end.startAfter[0]: there is no action "stop"`, true},
		"unknown member": {`"description": "Stop`, `"desc": "Stop`, "desc is not known here", true},
		"no stop":        {`"stopConditions"`, `"stopCondition"`, "stopConditions is missing", true},
		"duration":       {"PT2M", "2m", `"2m" is no duration`, false},
	} {
		text := strings.Replace(fisTemplate, tt.from, tt.to, 1)
		if text == fisTemplate {
			t.Fatalf("%s changes nothing", name)
		}
		r, err := importer.FIS([]byte(text), importer.FISOptions{Cluster: "shop-web", Region: "us-west-2", Application: "shop"})
		said := ""
		if err != nil {
			said = err.Error()
		}
		for _, p := range r.Refused {
			said += p.String() + "\n"
		}
		if (problem.CodeOf(err) == problem.Invalid) != tt.invalid || !strings.Contains(said, tt.says) {
			t.Errorf("%s: %s", name, said)
		}
	}
}

func FuzzFIS(f *testing.F) {
	f.Add(fisTemplate)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := importer.FIS([]byte(text), importer.FISOptions{Cluster: "c", Region: "r", Application: "a"})
		if err != nil || r.YAML == nil || len(r.Refused) > 0 {
			return
		}
		if _, err := experiment.Parse(r.YAML, []string{"cpu", "restart", "latency", "blackhole"}, nil); err != nil && !strings.Contains(err.Error(), " cannot ") && !strings.Contains(err.Error(), "name") {
			t.Errorf("%v\n%s", err, r.YAML)
		}
	})
}
