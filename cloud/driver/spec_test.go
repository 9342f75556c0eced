package driver_test

import (
	"strings"
	"testing"
	"time"

	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

var everything = driver.Facts{Workloads: []driver.WorkloadKind{driver.ProcessWorkload, driver.ImageWorkload, driver.FunctionWorkload}, References: true}

func image() driver.Workload {
	return driver.Workload{Image: &driver.Image{Reference: "registry.example/team/app@sha256:" + strings.Repeat("a1", 32)}}
}

func function() driver.ServerGroupSpec {
	return driver.ServerGroupSpec{Cluster: "app", Version: "1", Workload: driver.Workload{Function: &driver.Function{
		Artifact: "sha256:1", Handler: "main.handle", Runtime: "provided", Memory: 128, Timeout: time.Second}}}
}

func TestCheckSpec(t *testing.T) {
	process := driver.Facts{Workloads: []driver.WorkloadKind{driver.ProcessWorkload}}
	with := func(s driver.ServerGroupSpec, change func(*driver.ServerGroupSpec)) driver.ServerGroupSpec {
		change(&s)
		return s
	}
	for what, c := range map[string]struct {
		spec  driver.ServerGroupSpec
		facts driver.Facts
		code  problem.Code
		says  string
	}{
		"a process":               {whole(), process, "", ""},
		"an image":                {with(whole(), func(s *driver.ServerGroupSpec) { s.Workload = image() }), everything, "", ""},
		"a function":              {function(), everything, "", ""},
		"an image where none run": {with(whole(), func(s *driver.ServerGroupSpec) { s.Workload = image() }), process, problem.Precondition, "kind image"},
		"a function where none":   {function(), process, problem.Precondition, "kind function"},
		"a tag": {with(whole(), func(s *driver.ServerGroupSpec) {
			s.Workload = driver.Workload{Image: &driver.Image{Reference: "app:latest"}}
		}),
			everything, problem.Invalid, "by its digest"},
		"two":  {with(whole(), func(s *driver.ServerGroupSpec) { s.Workload.Image = image().Image }), everything, problem.Invalid, "exactly one"},
		"none": {with(whole(), func(s *driver.ServerGroupSpec) { s.Workload = driver.Workload{} }), everything, problem.Invalid, "exactly one"},
		"a function without a handler": {with(function(), func(s *driver.ServerGroupSpec) { s.Workload.Function = &driver.Function{Artifact: "a", Runtime: "go"} }),
			everything, problem.Invalid, "handler"},
		"a function with hooks": {with(function(), func(s *driver.ServerGroupSpec) { s.Hooks = &pipeline.LifecycleHooks{} }), everything, problem.Invalid, "hooks is an option of instances"},
		"a function with a capacity": {with(function(), func(s *driver.ServerGroupSpec) { s.Capacity.Max = 1 }),
			everything, problem.Invalid, "capacity is an option of instances"},
		"a reference where none are kept": {with(whole(), func(s *driver.ServerGroupSpec) { s.Env["T"] = driver.EnvValue{Secret: "arn:x"} }),
			process, problem.Precondition, "T refers to a secret"},
		"a value and a reference": {with(whole(), func(s *driver.ServerGroupSpec) { s.Env["T"] = driver.EnvValue{Value: "v", Secret: "arn:x"} }),
			everything, problem.Invalid, "both a value and a reference"},
	} {
		got, err := driver.CheckSpec(c.spec, c.facts)
		if problem.CodeOf(err) != c.code || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q with %q", what, err, c.code, c.says)
		}
		if err == nil && got.Application != "app" {
			t.Errorf("%s: it belongs to application %q", what, got.Application)
		}
	}
}

func TestApplicationOf(t *testing.T) {
	for want, s := range map[string]driver.ServerGroupSpec{
		"stored": {Application: "stored", Cluster: "app-prod"},
		"app":    {Cluster: "app-prod-blue"},
		"single": {Cluster: "single"},
	} {
		if got := driver.ApplicationOf(s); got != want {
			t.Errorf("%+v belongs to %q, want %q", s, got, want)
		}
	}
}
