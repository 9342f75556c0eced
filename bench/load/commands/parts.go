package commands

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"showrunner/bench/world"
	"showrunner/cloud"
	"showrunner/execution"
)

func (s *session) delivering(ctx context.Context) {
	s.say(ctx, "clusters", 0, "No clusters")
	s.say(ctx, "plan fleet/release", 0, "create the next version of fleet with 2 instances", "us-west-2", "eu-west-1", "there is no earlier version")
	first := s.deliver(ctx, "first", "release")
	s.say(ctx, "clusters fleet", 0, first, "fleet-v000", "100%", "2/2", "1..5")
	s.say(ctx, "plan fleet/release", 0, "shift traffic from fleet-v000", "keep fleet-v000")
	s.say(ctx, "regions", 0, "us-west-2", "us-west-2a", "✓ up")
	s.say(ctx, "instances fleet", 0, "InService", "fleet-v000", "us-east-1")
	s.say(ctx, "instances nothing", 6, "NOT_FOUND")
}

func (s *session) capacity(ctx context.Context) {
	s.say(ctx, "resize fleet", 2, "no number was given")
	s.say(ctx, "resize nothing --desired 2", 6, "nothing")
	s.say(ctx, "resize fleet --desired 4 --region us-east-1", 0, "us-east-1", "4 instances")
	s.see(ctx, "us-east-1 serves with four", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			if want := map[string]int{"us-east-1": 4}[g.Region]; g.Enabled() && g.Serving() != max(want, 2) {
				return fmt.Errorf("%s serves with %d", g.Region, g.Serving())
			}
		}
		return nil
	})
	s.say(ctx, "resize fleet --desired 0 --min 0", 7, "last serving instance") // the guard
	s.say(ctx, "resize fleet --min 3 --max 2", 2)
	s.say(ctx, "suspend-processes fleet Launch --region us-west-2", 0, "suspended Launch")
	s.say(ctx, "suspend-processes fleet Nonsense", 2, "Nonsense")
	s.say(ctx, "resize fleet --desired 3 --region us-west-2", 0)
	s.say(ctx, "resume-processes fleet Launch --region us-west-2", 0, "resumed Launch")
	s.see(ctx, "us-west-2 serves with three", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 3) })
}

func serving(groups []cloud.ServerGroup, region string, n int) error {
	for _, g := range groups {
		if g.Region == region && g.Enabled() && (g.Serving() != n || g.Capacity.Desired != n) {
			return fmt.Errorf("%s serves with %d of %d", g.Name, g.Serving(), g.Capacity.Desired)
		}
	}
	return nil
}

// one is a serving instance of a region.
func (s *session) one(ctx context.Context, region string) cloud.Instance {
	for _, i := range s.Serving(ctx, cluster) {
		if i.Region == region {
			return i
		}
	}
	s.fail("nothing serves in %s", region)
	return cloud.Instance{ID: "none"}
}

func (s *session) instances(ctx context.Context) {
	i := s.one(ctx, "us-west-2")
	s.say(ctx, "logs "+i.ID, 0, "serves version first")
	s.say(ctx, "logs i-nonsense", 6)
	s.follow(ctx, i)
	s.say(ctx, "protect "+i.ID+" on", 0)
	s.say(ctx, "instances fleet", 0, "InService, protected")
	s.say(ctx, "resize fleet --desired 1 --region us-west-2", 0)
	s.see(ctx, "the protected one stays", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			for _, x := range g.Instances {
				if g.Region == "us-west-2" && (x.ID != i.ID || !x.Protected) {
					return fmt.Errorf("%s is there, protected %v", x.ID, x.Protected)
				}
			}
		}
		return serving(groups, "us-west-2", 1)
	})
	s.say(ctx, "standby "+i.ID+" on", 7) // it is the least, and the last
	s.say(ctx, "protect "+i.ID+" off", 0)
	s.say(ctx, "resize fleet --desired 2 --region us-west-2", 0)
	s.see(ctx, "two serve", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 2) })
	s.say(ctx, "standby "+i.ID+" on", 0)
	s.say(ctx, "instances fleet", 0, "Standby")
	s.see(ctx, "one serves beside one in standby", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 1) })
	s.say(ctx, "standby "+i.ID+" off", 0)
	s.see(ctx, "it is back", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 2) })
	s.unhealthy(ctx)
	s.say(ctx, "terminate "+i.ID, 0)
	s.see(ctx, "it is replaced", replaced(i.ID, "us-west-2", 2))
	s.say(ctx, "instances fleet --ended", 0, i.ID, "ended on request")
	s.say(ctx, "logs "+i.ID, 0, "serves version first") // it has ended, and its output is kept
	s.say(ctx, "terminate "+s.one(ctx, "us-west-2").ID+" --kill --decrement", 0)
	s.see(ctx, "one is left", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 1) })
	s.say(ctx, "terminate "+s.one(ctx, "us-west-2").ID, 7, "last serving instance")
	s.say(ctx, "terminate i-nonsense", 6)
}

// replaced says whether an instance is gone and so many serve in its region.
func replaced(id, region string, serve int) func([]cloud.ServerGroup) error {
	return func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			for _, x := range g.Instances {
				if x.ID == id {
					return fmt.Errorf("%s is %s", x.ID, x.Lifecycle)
				}
			}
		}
		return serving(groups, region, serve)
	}
}

// unhealthy has an instance replaced whose checks pass, while it serves.
func (s *session) unhealthy(ctx context.Context) {
	i := s.one(ctx, "us-east-1")
	s.say(ctx, "set-health "+i.ID+" ill", 2, "neither healthy nor unhealthy")
	s.say(ctx, "set-health i-nonsense unhealthy", 6)
	s.say(ctx, "complete-hook "+i.ID+" ill", 2, "neither continue nor abandon")
	s.say(ctx, "complete-hook "+i.ID+" continue", 7, "does not wait")
	s.say(ctx, "heartbeat "+i.ID, 7, "does not wait")
	s.say(ctx, "set-health "+i.ID+" unhealthy", 0)
	s.see(ctx, "the one that was said to be unhealthy is replaced", replaced(i.ID, "us-east-1", 4))
	s.say(ctx, "instances fleet --ended", 0, i.ID, "CONDEMNED")
	s.say(ctx, "explain CONDEMNED", 0, "set-health")
}

// follow reads an instance's log as it is written, until the instance ends.
func (s *session) follow(ctx context.Context, i cloud.Instance) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	s.commands++
	cmd := exec.CommandContext(ctx, s.Exe, "logs", i.ID, "--follow", "--data", s.Data)
	var text strings.Builder
	cmd.Stdout = &text
	if err := cmd.Start(); err != nil {
		s.fail("%v", err)
		return
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		s.fail("logs --follow ended by itself: %v", err)
	case <-time.After(time.Second):
	}
	cancel()
	<-ended
	fmt.Printf("%-3s %-62s %.110s\n", "", "logs "+i.ID+" --follow", strings.TrimSpace(text.String()))
	if !strings.Contains(text.String(), "serves version first") {
		s.fail("logs --follow said %q", text.String())
	}
}

func (s *session) traffic(ctx context.Context) {
	s.say(ctx, "resize fleet --desired 2", 0)
	second := s.deliver(ctx, "second", "release")
	s.say(ctx, "enable fleet --region us-west-2", 0, "enabled")
	s.say(ctx, "clusters fleet", 0, "50%", second)
	s.say(ctx, "disable fleet --region us-west-2 --server-group fleet-v000", 0, "disabled")
	s.say(ctx, "drain fleet --region us-west-2", 7, "last serving instance")
	s.say(ctx, "destroy fleet --region us-west-2 --server-group fleet-v001", 7, "last serving instance")
}

func (s *session) rollback(ctx context.Context) {
	var made, back execution.Execution
	if err := s.Read(ctx, &made, "executions", "show", "fleet/release"); err != nil {
		s.fail("%v", err)
	}
	began := time.Now()
	s.say(ctx, "rollback fleet", 0)
	took := time.Since(began)
	if err := s.Read(ctx, &back, "executions", "show", "fleet/rollback"); err != nil {
		s.fail("%v", err)
	}
	if back.RollbackOf != made.ID {
		s.fail("the rollback is of %q, the execution was %s", back.RollbackOf, made.ID)
	}
	s.say(ctx, "executions show "+made.ID, 0, back.ID) // linked both ways
	s.see(ctx, "the first version serves", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			if g.Enabled() != (g.Name == "fleet-v000") {
				return fmt.Errorf("%s in %s has weight %g", g.Name, g.Region, g.Weight)
			}
		}
		return nil
	})
	fmt.Println("    the rollback took", took.Round(time.Millisecond))
	s.say(ctx, "rollback fleet --to nonsense", 1, "NO_EARLIER_VERSION")
	// The fast path: the version that was just left is delivered again, and nothing is made anew.
	if _, err := s.repository.Git(ctx, "checkout", "--quiet", "main"); err != nil {
		s.fail("%v", err)
	}
	s.say(ctx, "rollback fleet --to fleet-v001", 0)
	s.see(ctx, "the second version serves", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			if g.Enabled() != (g.Name == "fleet-v001") {
				return fmt.Errorf("%s in %s has weight %g", g.Name, g.Region, g.Weight)
			}
		}
		return nil
	})
}

func (s *session) drift(ctx context.Context) {
	s.say(ctx, "drift fleet", 0, "as deployed")
	s.say(ctx, "resize fleet --desired 4 --region us-east-1", 0)
	s.say(ctx, "suspend-processes fleet HealthCheck --region eu-west-1", 0)
	s.say(ctx, "enable fleet --region us-west-2 --server-group fleet-v000", 0)
	s.say(ctx, "drift fleet", 10, "us-east-1", "eu-west-1", "us-west-2")
	s.say(ctx, "drift fleet --repair", 0)
	s.say(ctx, "drift fleet", 0, "as deployed")
	s.see(ctx, "everything is as deployed", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			if g.Enabled() != (g.Name == "fleet-v001") || len(g.Suspended) > 0 || g.Enabled() && g.Serving() != 2 {
				return fmt.Errorf("%s in %s: weight %g, suspended %v, %d serve", g.Name, g.Region, g.Weight, g.Suspended, g.Serving())
			}
		}
		return nil
	})
	s.say(ctx, "drift --cluster nothing", 6)
}

func (s *session) gates(ctx context.Context) {
	s.say(ctx, "plan fleet/windowed", 0, "held now", "window")
	s.say(ctx, "run fleet/windowed", 0)
	s.reason(ctx, "fleet/windowed", "service", "window is closed until")
	s.say(ctx, "executions cancel fleet/windowed", 0)
	s.commands++
	if said, err := s.CLI(ctx, "freeze", "set", "peak", "--reason", "peak week", "--application", "fleet", "--exempt", "fleet/one", "--exempt-reason", "needed"); err != nil || said.Exit != 0 {
		s.fail("freeze set: %v %s%s", err, said.Out, said.Err)
	}
	s.say(ctx, "freeze list", 0, "peak week", "fleet")
	s.say(ctx, "plan fleet/release", 0, "held now", "peak week")
	s.say(ctx, "run fleet/release", 0)
	s.reason(ctx, "fleet/release", "service", "peak week")
	s.say(ctx, "executions cancel fleet/release", 0)
	s.say(ctx, "run fleet/one", 0)
	s.say(ctx, "approve fleet/one yes -m fine", 0)
	s.say(ctx, "executions watch fleet/one", 0)
	s.say(ctx, "freeze delete peak", 0)
	s.say(ctx, "run fleet/asked", 0)
	s.say(ctx, "approve fleet/asked self", 5, "started")
	s.say(ctx, "reject fleet/asked self -m no", 0)
	s.say(ctx, "executions watch fleet/asked", 1, "REJECTED")
	s.say(ctx, "audit", 0, "rollback", "freeze")
}

// reason waits until a stage says why it waits.
func (s *session) reason(ctx context.Context, name, stage, text string) {
	if err := world.Until(ctx, 20*time.Second, name+" waits", func() error {
		var e execution.Execution
		if err := s.Read(ctx, &e, "executions", "show", name); err != nil {
			return err
		}
		st, _ := e.Stage(stage)
		if !strings.Contains(st.Reason+st.Progress, text) {
			return fmt.Errorf("%s: %q %q", stage, st.Reason, st.Progress)
		}
		return nil
	}); err != nil {
		s.fail("%v", err)
	}
}
