package deploy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"showrunner/canary/judge/sequential"
	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/rollout"
)

// talking is a fleet whose instances write output, which may be unreadable.
type talking struct {
	*fleetCloud
	mute error
}

func (c talking) Account(string) (*cloud.Account, error) {
	return cloud.NewAccount("local", c, cloud.Options{Key: func(context.Context) ([]byte, error) { return []byte("key"), nil }}), nil
}

func (c talking) InstanceLog(_ context.Context, _, instance string, _ bool, to io.Writer) error {
	if c.mute != nil {
		return c.mute
	}
	for n := range 5000 {
		fmt.Fprintf(to, "request %d of %s\n", n, instance)
	}
	_, err := fmt.Fprintf(to, "panic: cannot log in with hunter22\n%s\n", strings.Repeat("x", 5000))
	return err
}

// vault knows one secret.
type vault struct{}

func (vault) Expand(_ context.Context, text string) (string, error) {
	return strings.ReplaceAll(text, "${{ secrets.password }}", "hunter22"), nil
}

// When a judge refuses a version, the failure contains the last output of its
// worst instances, in few and short lines without secrets, even after the version
// is destroyed. When the output cannot be read, the failure says so and is
// otherwise the same.
func TestAFailedCanaryKeepsWhatItsInstancesWrote(t *testing.T) {
	for name, mute := range map[string]error{"": nil, "mute": problem.New(problem.Unavailable, "test", "the disk is gone")} {
		c := talking{newFleetCloud(t), mute}
		c.kinds.Accounts = c
		if r := c.deliver(t, "v1", "us-west-2"); r.Failure != nil {
			t.Fatal(r.Failure)
		}
		config := deployConfig("us-west-2")
		config.Env = map[string]string{"PASSWORD": "a ${{ secrets.password }}"}
		config.Strategy = pipeline.Strategy{Canary: &pipeline.Canary{Baseline: "production", Steps: []float64{50, 100}, Judge: &pipeline.Judge{MaxErrorRate: 0.05, MinRequests: 20}}}
		var log bytes.Buffer
		in := fleetInput("e2", "v2", config, &log)
		in.Secrets = vault{}
		worst := ""
		counted := func(requests, errors uint64) {
			list := []cloud.Counts{{ServerGroup: "api-v000", Epoch: "1", Requests: requests}, {ServerGroup: "api-v001", Epoch: "1", Requests: requests, Errors: errors}}
			groups, err := c.Cloud.ServerGroups(t.Context(), "us-west-2", "api")
			if err != nil {
				t.Fatal(err)
			}
			for _, g := range groups {
				for n, i := range g.Instances {
					if g.Name == "api-v001" {
						list = append(list, cloud.Counts{ServerGroup: g.Name, Instance: i.ID, Epoch: "1", Requests: requests / 2, Errors: errors / 4 * uint64(n)})
						worst = i.ID
					}
				}
			}
			c.SetCounts("us-west-2", "api", list)
		}
		counting, seconds := false, uint64(0)
		r := drive(t, NewService(c.kinds), in, func() bool {
			if counting = counting || strings.Contains(string(in.State), `"counted"`); counting {
				seconds++
				counted(40*seconds, 20*seconds)
			} else {
				counted(0, 0)
			}
			c.skip(time.Second)
			return false
		})
		if r.Failure == nil || r.Failure.Code != "CANARY_ERRORS" {
			t.Fatalf("%q: %+v\n%s", name, r, log.String())
		}
		reports, _ := r.Outputs[OutputVerdicts].(map[string]rollout.Report)
		if v := reports["us-west-2"].Verdict; v.Decision != sequential.Fail || len(v.Metrics) == 0 || len(reports["us-west-2"].Series) == 0 {
			t.Errorf("the report of a failed canary: %+v", r.Outputs)
		}
		text := strings.Join(r.Failure.Evidence, "\n")
		if mute != nil {
			if !strings.Contains(text, "could not be read: the disk is gone") {
				t.Errorf("it does not say that nothing could be read:\n%s", text)
			}
			continue
		}
		for _, want := range []string{worst + " in us-west-2b: 40 errors in 160 requests", "limit 5 %; failed: 160 of 320", "log: panic: cannot log in with ***", "log: request 4999 of " + worst} {
			if !strings.Contains(text, want) {
				t.Errorf("the evidence does not say %q:\n%s", want, text)
			}
		}
		if logs := strings.Join(reports["us-west-2"].Logs, "\n"); !strings.Contains(logs, "log: request 4999 of "+worst) || !strings.Contains(logs, "log: panic: cannot log in with ***") || strings.Contains(logs, "hunter22") {
			t.Errorf("the judge's report has other logs:\n%s", logs)
		}
		if strings.Contains(text, "hunter22") || strings.Contains(text, "request 10 of") || len(text) > 16<<10 {
			t.Errorf("%d bytes of evidence:\n%s", len(text), text)
		}
	}
}
