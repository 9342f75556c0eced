package deploy

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record/recordtest"
)

var threeRegions = []string{"eu-west-1", "us-east-1", "us-west-2"}

// fleetCloud is a fleet in memory; one of its regions can be unreachable.
type fleetCloud struct {
	*memcloud.Cloud
	unreachable atomic.Value // string
	claims      *Claims
	kinds       *Rollouts
	clean       *Cleaner
	woken       map[stage.Key]bool
	records     *recordtest.Records
	mu          sync.Mutex
	ended       map[string]bool // executions
	clockOffset time.Duration   // offset of the clock
}

func (c *fleetCloud) now() time.Time { return time.Now().Add(c.clockOffset) }

// skip advances the clock.
func (c *fleetCloud) skip(d time.Duration) { c.clockOffset += d }

// Wake implements stage.Waker.
func (c *fleetCloud) Wake(k stage.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.woken[k] = true
}

// cleaner is the common part of a test and a property.
type cleaner interface{ Cleanup(func()) }

func newFleetCloud(t cleaner) *fleetCloud {
	c := &fleetCloud{ended: map[string]bool{}, woken: map[stage.Key]bool{}, records: &recordtest.Records{}}
	c.claims = &Claims{Records: c.records, Waker: c, UnderWay: func(_ context.Context, k stage.Key) (bool, error) { return !c.ended[k.Execution], nil }}
	watchers := NewWatchers()
	t.Cleanup(watchers.Close)
	cleanUps := &CleanUps{Records: c.records, Claims: c.claims, Now: c.now}
	c.clean = NewCleaner(&Cleaner{CleanUps: cleanUps, Accounts: c, Watchers: watchers, Waker: c, Now: c.now, Log: slog.New(slog.DiscardHandler)})
	c.kinds = &Rollouts{Accounts: c, Now: c.now, Claims: c.claims, CleanUps: cleanUps, Watchers: watchers, Waker: c}
	c.unreachable.Store("")
	c.Cloud = memcloud.New(memcloud.Config{Regions: threeRegions, Fails: func(s cloud.ServerGroupSpec) *cloud.InstanceFailure {
		if strings.HasPrefix(s.Version, "bad") {
			return &cloud.InstanceFailure{Code: "EXITED", Cause: "exit status 3", LastLog: []string{"cannot read configuration"}}
		}
		return nil
	}})
	return c
}

func (c *fleetCloud) Account(string) (*cloud.Account, error) {
	return cloud.NewAccount("local", c, cloud.Options{Key: func(context.Context) ([]byte, error) { return []byte("key"), nil }}), nil
}

func (c *fleetCloud) ServerGroups(ctx context.Context, region, cluster string) ([]cloud.ServerGroup, error) {
	if unreachable := c.unreachable.Load(); unreachable == region || unreachable == "every one" {
		return nil, problem.New(problem.Unavailable, "test", "connection refused")
	}
	return c.Cloud.ServerGroups(ctx, region, cluster)
}

// weights lists "version=weight", oldest first.
func (c *fleetCloud) weights(t *testing.T, region string) string {
	t.Helper()
	groups, err := c.Cloud.ServerGroups(t.Context(), region, "api")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, g := range groups {
		list = append(list, fmt.Sprintf("%s=%g", g.Spec.Version, g.Weight))
	}
	return strings.Join(list, " ")
}

type plainSecrets struct{}

func (plainSecrets) Expand(_ context.Context, text string) (string, error) { return text, nil }

func fleetInput(execution, version string, config pipeline.Config, log *bytes.Buffer) *stage.Input {
	return &stage.Input{Key: stage.Key{Execution: execution, Stage: "service", Attempt: 1, Task: "rollout"}, Version: version, Config: config,
		Artifacts: map[string]artifact.Ref{"build": "sha256:0"}, Log: log, Secrets: plainSecrets{}, Progress: func(string, ...any) {}}
}

// drive calls the kind's task until it ends, or until stop returns true.
func drive(t *testing.T, k stage.Kind, in *stage.Input, stop func() bool) stage.Result {
	t.Helper()
	for range 500 {
		r, err := k.Tasks()[0].Run(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if r.Outcome != stage.Again || stop != nil && stop() {
			in.State = r.State
			return r
		}
		in.State = r.State
	}
	t.Fatal("it never ended")
	return stage.Result{}
}

func deployConfig(regions ...string) pipeline.Deploy {
	c := pipeline.Deploy{Cluster: "api", Artifact: "build", Command: []string{"./api"}, Health: pipeline.Health{TCP: true}, Capacity: pipeline.Capacity{Min: 1, Desired: 3, Max: 4}, OnFailure: "all",
		Strategy: pipeline.Strategy{RedBlack: &pipeline.RedBlack{Keep: 2}}}
	if len(regions) > 0 {
		c.Waves = []pipeline.Wave{{Regions: regions}}
	}
	return c
}

func (c *fleetCloud) deliver(t *testing.T, version string, regions ...string) stage.Result {
	t.Helper()
	var log bytes.Buffer
	r := drive(t, NewService(c.kinds), fleetInput("deploy-"+version, version, deployConfig(regions...), &log), nil)
	c.ended["deploy-"+version] = true
	if r.Outcome != stage.Done {
		t.Logf("%s:\n%s", version, log.String())
	}
	return r
}

func (c *fleetCloud) rollback(t *testing.T, execution string, config pipeline.Rollback) stage.Result {
	t.Helper()
	var log bytes.Buffer
	r := drive(t, NewRollback(c.kinds), fleetInput(execution, "", config, &log), nil)
	c.ended[execution] = true
	return r
}

func TestRollbackReturnsToTheVersionBeforeOnlyWhereTheNewestServes(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.deliver(t, "v2")
	c.deliver(t, "v3", "us-west-2")
	if r := c.rollback(t, "back", pipeline.Rollback{Cluster: "api"}); r.Outcome != stage.Done || r.Outputs["version"] != "v2" {
		t.Fatalf("%+v", r)
	}
	for region, want := range map[string]string{"us-west-2": "v1=0 v2=100 v3=0", "us-east-1": "v1=0 v2=100", "eu-west-1": "v1=0 v2=100"} {
		if got := c.weights(t, region); got != want {
			t.Errorf("%s: %s, want %s", region, got, want)
		}
	}
	if r := c.rollback(t, "to", pipeline.Rollback{Cluster: "api", To: "v1", Regions: []string{"us-east-1"}}); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	if got := c.weights(t, "us-east-1"); got != "v1=100 v2=0" {
		t.Errorf("us-east-1: %s", got)
	}
}

func TestRollbackSaysWhichRegionItCouldNotAsk(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.deliver(t, "v2")
	c.unreachable.Store("us-east-1")
	r := c.rollback(t, "back", pipeline.Rollback{Cluster: "api"})
	if r.Failure == nil || r.Failure.Code != "ROLLED_BACK_PARTLY" || !strings.Contains(r.Failure.Help, "--to v1 --region us-east-1") || len(r.Failure.Evidence) != 1 {
		t.Fatalf("%+v", r)
	}
	if got := c.weights(t, "us-west-2"); got != "v1=100 v2=0" {
		t.Errorf("us-west-2: %s", got)
	}
	c.unreachable.Store("")
	if r := c.rollback(t, "again", pipeline.Rollback{Cluster: "api", To: "v1", Regions: []string{"us-east-1"}}); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	if got := c.weights(t, "us-east-1"); got != "v1=100 v2=0" {
		t.Errorf("us-east-1: %s", got)
	}
	if r := c.rollback(t, "none", pipeline.Rollback{Cluster: "api", To: "v9"}); r.Failure == nil || r.Failure.Code != "NO_EARLIER_VERSION" {
		t.Errorf("a version that is not kept: %+v", r)
	}
}

// A rollback or rollout that is canceled after any number of calls leaves the
// traffic as it was before.
func TestCanceledMidway(t *testing.T) {
	for calls := 1; ; calls++ {
		c := newFleetCloud(t)
		c.deliver(t, "v1")
		c.deliver(t, "v2")
		k := NewRollback(c.kinds)
		var log bytes.Buffer
		in := fleetInput("back", "", pipeline.Rollback{Cluster: "api"}, &log)
		n := 0
		r := drive(t, k, in, func() bool { n++; return n == calls })
		if r.Outcome != stage.Again {
			if calls < 3 {
				t.Errorf("it was canceled at %d moments only", calls)
			}
			return
		}
		finished := strings.Contains(string(in.State), `"finished"`)
		c.cancel(t, &run{kind: k, in: in})
		for _, region := range threeRegions {
			if got := c.weights(t, region); got != "v1=0 v2=100" && got != "v1=100 v2=0" {
				t.Fatalf("canceled after %d calls: %s: %s", calls, region, got)
			} else if got != "v1=0 v2=100" && !finished {
				t.Errorf("canceled after %d calls: %s: %s", calls, region, got)
			}
		}
	}
}

func TestABadVersionIsUndoneWithItsEvidence(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	r := c.deliver(t, "bad")
	if r.Failure == nil || r.Failure.Code != "EXITED" || !strings.Contains(strings.Join(r.Failure.Evidence, "\n"), "cannot read configuration") || len(r.Failure.Undone) != 3 {
		t.Fatalf("%+v", r)
	}
	for _, region := range threeRegions {
		if got := c.weights(t, region); got != "v1=100" {
			t.Errorf("%s: %s", region, got)
		}
	}
}

// A creation that every region refuses ends the stage at once, since nothing has
// to be undone.
func TestARefusedCreationEndsAtOnce(t *testing.T) {
	c := newFleetCloud(t)
	config := deployConfig()
	config.Command = nil
	var log bytes.Buffer
	r := drive(t, NewService(c.kinds), fleetInput("refused", "v1", config, &log), nil)
	if r.Failure == nil || r.Failure.Code != "CLOUD_REFUSED" || strings.Count(log.String(), "refused") != 3 {
		t.Fatalf("%+v\n%s", r, log.String())
	}
}
