package cloudtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/pipeline"
	"showrunner/problem"
)

// InstanceCloud is a driver that runs instances.
type InstanceCloud interface {
	driver.Cloud
	driver.Capacity
	driver.Terminator
	driver.Counter
}

// Target is a driver under test and its parameters.
type Target struct {
	Cloud  InstanceCloud
	Region string
	// Artifact holds the program that Command starts, in any Mode.
	Artifact artifact.Ref
	Command  []string
	// Reach sends a request through the load balancer as a user would and returns
	// the body of a 200, or an error. Nil when the driver forwards no requests.
	Reach func(ctx context.Context, cluster, path string) (string, error)
	// Patience bounds every wait; default a minute.
	Patience time.Duration
}

// Suite is the conformance suite over one target. Its wait methods also serve a
// driver's own tests.
type Suite struct {
	Target
	t       testing.TB
	suiteID string // a random part of this suite's keys: two suites over one cloud share no keys
	keys    int
}

// New makes a suite for a driver's own test.
func New(t testing.TB, target Target) *Suite {
	if target.Patience == 0 {
		target.Patience = time.Minute
	}
	return &Suite{Target: target, t: t, suiteID: rand.Text()}
}

// Run runs the whole suite. open returns a fresh, empty cloud each time.
func Run(t *testing.T, open func(t *testing.T) Target) {
	for name, check := range map[string]func(*Suite){
		"Create":     testCreate,
		"Copies":     testCopies,
		"Sequence":   testSequence,
		"Keys":       testKeys,
		"Refusals":   testRefusals,
		"Never":      testNeverHealthy,
		"Resize":     testResize,
		"Facts":      testFacts,
		"Counts":     testCounts,
		"Weights":    testWeights,
		"Guard":      testGuard,
		"Destroy":    testDestroy,
		"Terminate":  testTerminate,
		"Once":       testOnce,
		"Order":      testOrder,
		"Concurrent": testConcurrent,
		"Watch":      testWatch,
		"Operator":   testOperator,
		"Amend":      testAmend,
		"Hooks":      testHooks,
		"Balance":    testBalance,
		"Serving":    testServing,
		"Faults":     testFaults,
	} {
		t.Run(name, func(t *testing.T) { check(New(t, open(t))) })
	}
}

// Spec is a server group of the program in a mode, with frequent checks and no
// drain.
func (s *Suite) Spec(cluster string, mode Mode, n int) driver.ServerGroupSpec {
	return driver.ServerGroupSpec{
		Cluster: cluster, Version: "1.0", Workload: driver.Workload{Process: &driver.Process{Artifact: s.Artifact, Command: s.Command}},
		Env: driver.Values(map[string]string{ModeVariable: string(mode)}),
		Health: pipeline.Health{Path: "/healthz", Interval: pipeline.Duration(50 * time.Millisecond),
			Timeout: pipeline.Duration(2 * time.Second), Grace: pipeline.Duration(5 * time.Second)},
		Capacity: pipeline.Capacity{Min: 0, Desired: n, Max: n + 3},
		Drain:    2 * time.Second, StopTimeout: 2 * time.Second, Weight: 100,
	}
}

// Key returns an idempotency key that was not used before.
func (s *Suite) Key() string {
	s.keys++
	return fmt.Sprintf("%s/%s/%d", s.t.Name(), s.suiteID, s.keys)
}

// Create makes a server group, and fails the test when the driver refuses it.
func (s *Suite) Create(spec driver.ServerGroupSpec) driver.ServerGroup {
	s.t.Helper()
	g, err := s.Cloud.CreateServerGroup(s.t.Context(), s.Region, spec, s.Key())
	if err != nil {
		s.t.Fatalf("create %s: %v", spec.Cluster, err)
	}
	return g
}

// Group returns one group as it is now; false when it is gone.
func (s *Suite) Group(name string) (driver.ServerGroup, bool) {
	s.t.Helper()
	list, err := s.Cloud.ServerGroups(s.t.Context(), s.Region, "")
	if err != nil {
		s.t.Fatalf("server groups: %v", err)
	}
	for _, g := range list {
		if g.Name == name {
			return g, true
		}
	}
	return driver.ServerGroup{}, false
}

// Wait waits until a group satisfies is, and returns it. A group that is gone is
// the zero value.
func (s *Suite) Wait(name, what string, is func(driver.ServerGroup) bool) driver.ServerGroup {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), s.Patience)
	defer cancel()
	var last driver.Changes
	for {
		if w, ok := s.Cloud.(driver.Watcher); ok {
			last, _ = w.WaitChanges(ctx, s.Region, last.Revision) // the loop ends at its next check
		} else {
			pause := time.NewTimer(20 * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
		}
		g, _ := s.Group(name)
		if is(g) {
			return g
		}
		if ctx.Err() != nil {
			s.t.Fatalf("%s: not %s within %s: %s", name, what, s.Patience, summary(g))
		}
	}
}

// summary describes a group in a few lines.
func summary(g driver.ServerGroup) string {
	states := map[string]int{}
	for _, i := range g.Instances {
		state := string(i.Lifecycle)
		if !i.Healthy {
			state += ", not healthy"
		}
		states[state]++
	}
	return fmt.Sprintf("capacity %+v, weight %v, instances %v, %d failures, %d crashes, %d ended, last failure %+v",
		g.Capacity, g.Weight, states, g.Failures, g.Crashes, len(g.Ended), g.LastFailure)
}

// WaitServing waits until exactly n instances of a group serve and no other
// instance is starting.
func (s *Suite) WaitServing(name string, n int) driver.ServerGroup {
	s.t.Helper()
	return s.Wait(name, fmt.Sprintf("serving %d", n), func(g driver.ServerGroup) bool {
		return g.Name != "" && g.Serving() == n && len(g.Instances) == n
	})
}

// WaitGone waits until a group no longer exists.
func (s *Suite) WaitGone(name string) {
	s.t.Helper()
	s.Wait(name, "gone", func(g driver.ServerGroup) bool { return g.Name == "" })
}

// want checks an error's code; "" expects no error.
func (s *Suite) want(what string, err error, code problem.Code) {
	s.t.Helper()
	if problem.CodeOf(err) != code {
		s.t.Fatalf("%s: %v, want %q", what, err, code)
	}
}
