package deploy

import (
	"bytes"
	"testing"
	"time"

	"showrunner/pipeline"
	"showrunner/stage"
)

// With the same commit, every changed option makes a new version, and an
// unchanged deployment makes none. So the running version is always the requested
// one.
func TestAChangedOptionIsANewVersion(t *testing.T) {
	base := func() pipeline.Deploy {
		c := deployConfig("us-west-2")
		c.Env = map[string]string{"GREETING": "hello", "MODE": "plain"}
		c.Limits = &pipeline.Limits{Memory: "256MiB"}
		return c
	}
	deliver := func(t *testing.T, c *fleetCloud, execution string, config pipeline.Deploy) {
		t.Helper()
		var log bytes.Buffer
		if r := drive(t, NewService(c.kinds), fleetInput(execution, "commit", config, &log), nil); r.Outcome != stage.Done {
			t.Fatalf("%s: %+v\n%s", execution, r, log.String())
		}
		c.ended[execution] = true
	}
	for what, change := range map[string]func(*pipeline.Deploy){
		"a variable removed": func(c *pipeline.Deploy) { delete(c.Env, "GREETING") },
		"a variable added":   func(c *pipeline.Deploy) { c.Env["MORE"] = "" },
		"a value changed":    func(c *pipeline.Deploy) { c.Env["GREETING"] = "goodbye" },
		"health":             func(c *pipeline.Deploy) { c.Health.Unhealthy = 5 },
		"liveness":           func(c *pipeline.Deploy) { c.Liveness = &pipeline.Health{TCP: true} },
		"limits":             func(c *pipeline.Deploy) { c.Limits.Memory = "512MiB" },
		"limits removed":     func(c *pipeline.Deploy) { c.Limits = nil },
		"stickiness":         func(c *pipeline.Deploy) { c.Sticky = true },
		"traffic":            func(c *pipeline.Deploy) { c.Traffic = &pipeline.Traffic{MaxInFlight: 3} },
		"drain":              func(c *pipeline.Deploy) { c.Drain = pipeline.Duration(time.Minute) },
		"stop timeout":       func(c *pipeline.Deploy) { c.StopTimeout = pipeline.Duration(time.Minute) },
		"hooks": func(c *pipeline.Deploy) {
			c.Hooks = &pipeline.LifecycleHooks{Terminate: &pipeline.LifecycleHook{Command: []string{"x"}}}
		},
		"maintenance": func(c *pipeline.Deploy) { c.Maintenance = &pipeline.Maintenance{MinHealthy: 100, MaxHealthy: 150} },
		"scaling": func(c *pipeline.Deploy) {
			c.Scaling = []pipeline.ScalingPolicy{{Name: "cpu", Target: &pipeline.TargetTracking{Metric: "cpu", Value: .5}}}
		},
		"command":               func(c *pipeline.Deploy) { c.Command = []string{"./api", "--verbose"} },
		"nothing":               func(*pipeline.Deploy) {},
		"the strategy alone":    func(c *pipeline.Deploy) { c.Strategy = pipeline.Strategy{Highlander: &struct{}{}} },
		"the capacity's bounds": func(c *pipeline.Deploy) { c.Capacity.Max = 9 },
	} {
		t.Run(what, func(t *testing.T) {
			c := newFleetCloud(t)
			deliver(t, c, "first", base())
			changed := base()
			change(&changed)
			deliver(t, c, "second", changed)
			c.skip(time.Minute)
			groups, err := c.Cloud.ServerGroups(t.Context(), "us-west-2", "api")
			if err != nil {
				t.Fatal(err)
			}
			newest := groups[len(groups)-1]
			same := what == "nothing" || what == "the strategy alone" || what == "the capacity's bounds"
			if want := map[bool]string{true: "api-v000", false: "api-v001"}[same]; newest.Name != want || newest.Weight != 100 {
				t.Fatalf("%s with weight %v serves, want %s with 100", newest.Name, newest.Weight, want)
			}
			if newest.Capacity != changed.Capacity {
				t.Errorf("its capacity is %+v, want %+v", newest.Capacity, changed.Capacity)
			}
			if newest.Spec.Application != "api" {
				t.Errorf("it belongs to the application %q", newest.Spec.Application)
			}
			// Back to the first configuration: its group is still kept, and is
			// returned to instead of created anew.
			deliver(t, c, "third", base())
			if groups, _ = c.Cloud.ServerGroups(t.Context(), "us-west-2", "api"); groups[0].Name != "api-v000" || groups[0].Weight != 100 {
				t.Errorf("the first version does not serve again: %s has weight %v", groups[0].Name, groups[0].Weight)
			}
		})
	}
}
