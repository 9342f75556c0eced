package acceptance

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/execution"
)

// commandsPipelines are a pipeline that deploys at any time, one in a window that
// is closed now in its own zone, and two that wait for people.
func commandsPipelines(now time.Time) string {
	const deploy = `deploy:
          cluster: fleet
          artifact: build
          command: [./api]
          health: { path: /healthz, interval: 300ms }
          capacity: { min: 1, desired: 2, max: 5 }
          strategy: { red-black: { keep: 2, scaleDownDelay: 0s } }
          drain: 2s
          stopTimeout: 2s`
	// Kathmandu is at +5:45, so a window in any other zone would differ.
	zone := time.FixedZone("Asia/Kathmandu", (5*60+45)*60)
	from, to := now.In(zone).Add(2*time.Hour).Format("15:04"), now.In(zone).Add(3*time.Hour).Format("15:04")
	return fmt.Sprintf(`application: fleet
pipelines:
  release:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service:
        needs: [build]
        %[1]s
  windowed:
    stages:
      source: { git: { url: ., branch: main } }
      build: { needs: [source], build: {} }
      service:
        needs: [build]
        windows: [ { from: %[2]q, to: %[3]q, zone: Asia/Kathmandu } ]
        %[1]s
  asked:
    stages:
      self: { approval: { instructions: Look., forbidSelf: true } }
  one:
    stages:
      yes: { approval: { instructions: Look once. } }
`, deploy, from, to)
}

// session is a person at a terminal who checks the effects of the commands.
type session struct {
	*world
	repo *repo
}

// Every operational command, one after the other as a person would type them, and
// the state of the fleet afterwards.
func TestEveryOperationalCommand(t *testing.T) {
	t.Parallel()
	files := serviceFiles("red-black", "good", "zero")
	files["showrunner.yaml"] = commandsPipelines(time.Now())
	s := &session{newWorld(t), newRepo(t, files)}
	s.must("apply", "-f", filepath.Join(s.repo.dir, "showrunner.yaml"))
	s.delivering()
	s.capacity()
	s.perInstance()
	s.traffic()
	s.rollback()
	s.drift()
	s.held()
}

// say runs a command that has to end with an exit code and print every text.
func (s *session) say(command string, exit int, texts ...string) {
	s.t.Helper()
	s.sayArgs(strings.Fields(command), exit, texts...)
}

func (s *session) sayArgs(args []string, exit int, texts ...string) {
	s.t.Helper()
	out, errs, code := s.cli(args...)
	if code != exit {
		s.t.Errorf("%q: exit %d, not %d: %s%s", args, code, exit, out, errs)
	}
	for _, text := range texts {
		if !strings.Contains(out+errs, text) {
			s.t.Errorf("%q does not say %q: %s%s", args, text, out, errs)
		}
	}
}

// groups lists the cluster's server groups;
func (s *session) groups() (list []cloud.ServerGroup) {
	var clusters []control.Cluster
	s.json(&clusters, "clusters", "fleet")
	for _, c := range clusters {
		list = append(list, c.Groups...)
	}
	return list
}

// see waits until the fleet is in the required state.
func (s *session) see(what string, ok func([]cloud.ServerGroup) error) {
	s.t.Helper()
	s.eventually(30*time.Second, what, func() error { return ok(s.groups()) })
}

// release commits a version and delivers it; it returns the commit.
func (s *session) release(version string) string {
	s.t.Helper()
	commit := s.repo.commit(version, map[string]string{"version": version})
	s.say("run fleet/release --watch", 0, commit[:7])
	return commit[:7]
}

func (s *session) delivering() {
	s.say("clusters", 0, "No clusters")
	s.say("plan fleet/release", 0, "create the next version of fleet with 2 instances", "us-west-2", "eu-west-1", "there is no earlier version")
	first := s.release("first")
	s.say("clusters fleet", 0, first, "fleet-v000", "100%", "2/2", "1..5")
	s.say("plan fleet/release", 0, "shift traffic from fleet-v000", "keep fleet-v000")
	s.say("regions", 0, "us-west-2", "us-west-2a", "✓ up")
	s.say("instances fleet", 0, "InService", "fleet-v000", "us-east-1")
	s.say("instances nothing", 6, "NOT_FOUND")
}

func (s *session) capacity() {
	s.say("resize fleet", 2, "no number was given")
	s.say("resize nothing --desired 2", 6, "nothing")
	s.say("resize fleeet --desired 2", 6, "did you mean fleet?")
	s.say("resize fleet --desired 2 --region us-wst-2", 6, `no region "us-wst-2"`, "did you mean us-west-2?")
	s.say("resize fleet --desired 4 --region us-east-1", 0, "us-east-1", "4 instances")
	s.see("us-east-1 serves with four", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			if want := map[string]int{"us-east-1": 4}[g.Region]; g.Enabled() && g.Serving() != max(want, 2) {
				return fmt.Errorf("%s serves with %d", g.Region, g.Serving())
			}
		}
		return nil
	})
	s.say("resize fleet --desired 0 --min 0", 7, "last serving instance") // refused by the traffic guard
	s.say("resize fleet --min 3 --max 2", 2)
	s.say("suspend-processes fleet Launch --region us-west-2", 0, "suspended Launch")
	s.say("suspend-processes fleet Nonsense", 2, "Nonsense")
	s.say("resize fleet --desired 3 --region us-west-2", 0)
	s.say("resume-processes fleet Launch --region us-west-2", 0, "resumed Launch")
	s.see("us-west-2 serves with three", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 3) })
}

func serving(groups []cloud.ServerGroup, region string, n int) error {
	for _, g := range groups {
		if g.Region == region && g.Enabled() && (g.Serving() != n || g.Capacity.Desired != n) {
			return fmt.Errorf("%s serves with %d of %d", g.Name, g.Serving(), g.Capacity.Desired)
		}
	}
	return nil
}

// serves is a serving instance of a region.
func (s *session) serves(region string) cloud.Instance {
	s.t.Helper()
	for _, g := range s.groups() {
		for _, i := range g.Instances {
			if g.Region == region && g.Enabled() && i.Serving() {
				return i
			}
		}
	}
	s.t.Fatalf("nothing serves in %s", region)
	return cloud.Instance{}
}

func (s *session) perInstance() {
	i := s.serves("us-west-2")
	s.say("logs "+i.ID, 0, "serves version first")
	s.say("logs i-nonsense", 6)
	s.follow(i)
	s.say("protect "+i.ID+" on", 0)
	s.say("instances fleet", 0, "InService, protected")
	s.say("resize fleet --desired 1 --region us-west-2", 0)
	s.see("the protected one stays", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			for _, x := range g.Instances {
				if g.Region == "us-west-2" && (x.ID != i.ID || !x.Protected) {
					return fmt.Errorf("%s is there, protected %v", x.ID, x.Protected)
				}
			}
		}
		return serving(groups, "us-west-2", 1)
	})
	s.say("standby "+i.ID+" on", 7) // it is the minimum, and the last instance
	s.say("protect "+i.ID+" off", 0)
	s.say("resize fleet --desired 2 --region us-west-2", 0)
	s.see("two serve", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 2) })
	s.say("standby "+i.ID+" on", 0)
	s.say("instances fleet", 0, "Standby")
	s.see("one serves beside one in standby", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 1) })
	s.say("standby "+i.ID+" off", 0)
	s.see("it is back", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 2) })
	s.unhealthy()
	s.say("terminate "+i.ID, 0)
	s.see("it is replaced", replaced(i.ID, "us-west-2", 2))
	s.say("instances fleet --ended", 0, i.ID, "ended on request")
	s.say("logs "+i.ID, 0, "serves version first") // it has ended, and its output is kept
	s.say("terminate "+s.serves("us-west-2").ID+" --kill --decrement", 0)
	s.see("one is left", func(groups []cloud.ServerGroup) error { return serving(groups, "us-west-2", 1) })
	s.say("terminate "+s.serves("us-west-2").ID, 7, "last serving instance")
	s.say("terminate i-nonsense", 6)
}

// replaced says whether an instance is gone and n instances serve in its region.
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

// unhealthy marks an instance whose checks pass as unhealthy; it serves until it
// is replaced.
func (s *session) unhealthy() {
	i := s.serves("us-east-1")
	s.say("set-health "+i.ID+" ill", 2, "neither healthy nor unhealthy")
	s.say("set-health i-nonsense unhealthy", 6)
	s.say("complete-hook "+i.ID+" ill", 2, "neither continue nor abandon")
	s.say("complete-hook "+i.ID+" continue", 7, "does not wait")
	s.say("heartbeat "+i.ID, 7, "does not wait")
	s.say("set-health "+i.ID+" unhealthy", 0)
	s.see("the instance that was set to unhealthy is replaced", replaced(i.ID, "us-east-1", 4))
	s.say("instances fleet --ended", 0, i.ID, "CONDEMNED")
	s.say("explain CONDEMNED", 0, "set-health")
}

// follow reads an instance's log as it is written; it does not end by itself.
func (s *session) follow(i cloud.Instance) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), binary, "logs", i.ID, "--follow", "--data", s.data)
	text := &lockedBuffer{}
	cmd.Stdout = text
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.eventually(20*time.Second, "logs --follow shows the log", func() error {
		if !strings.Contains(text.String(), "serves version first") {
			return fmt.Errorf("it says %q", text.String())
		}
		return nil
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		s.t.Errorf("logs --follow ended by itself: %v", err)
	}
	cmd.Wait() // the test interrupted it
}

func (s *session) traffic() {
	s.say("resize fleet --desired 2", 0)
	second := s.release("second")
	s.say("enable fleet --region us-west-2", 0, "enabled")
	s.say("clusters fleet", 0, "50%", second)
	s.say("disable fleet --region us-west-2 --server-group fleet-v000", 0, "disabled")
	s.say("drain fleet --region us-west-2", 7, "last serving instance")
	s.say("destroy fleet --region us-west-2 --server-group fleet-v001", 7, "last serving instance")
}

func (s *session) rollback() {
	var made, back execution.Execution
	s.json(&made, "executions", "show", "fleet/release")
	s.say("rollback fleet", 0)
	s.json(&back, "executions", "show", "fleet/rollback")
	if back.RollbackOf != made.ID {
		s.t.Errorf("the rollback is of %q, the execution was %s", back.RollbackOf, made.ID)
	}
	s.say("executions show "+made.ID, 0, back.ID) // linked both ways
	s.see("the first version serves", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			if g.Enabled() != (g.Name == "fleet-v000") {
				return fmt.Errorf("%s in %s has weight %g", g.Name, g.Region, g.Weight)
			}
		}
		return nil
	})
	s.say("rollback fleet --to nonsense", 6, `cluster fleet keeps no version "nonsense"`, "it can be returned to: fleet-v001")
	s.say("rollback fleet --region us-wst-2", 6, `no region "us-wst-2"`, "did you mean us-west-2?")
	// Fast path: the version that was just replaced is delivered again, and
	// nothing is built anew.
	s.say("rollback fleet --to fleet-v001", 0)
	s.see("the second version serves", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			if g.Enabled() != (g.Name == "fleet-v001") {
				return fmt.Errorf("%s in %s has weight %g", g.Name, g.Region, g.Weight)
			}
		}
		return nil
	})
}

func (s *session) drift() {
	s.say("drift fleet", 0, "as deployed")
	s.say("resize fleet --desired 4 --region us-east-1", 0)
	s.say("suspend-processes fleet HealthCheck --region eu-west-1", 0)
	s.say("enable fleet --region us-west-2 --server-group fleet-v000", 0)
	s.say("drift fleet", 10, "us-east-1", "eu-west-1", "us-west-2")
	s.say("drift fleet --repair", 0)
	s.say("drift fleet", 0, "as deployed")
	s.see("everything is as deployed", func(groups []cloud.ServerGroup) error {
		for _, g := range groups {
			if g.Enabled() != (g.Name == "fleet-v001") || len(g.Suspended) > 0 || g.Enabled() && g.Serving() != 2 {
				return fmt.Errorf("%s in %s: weight %g, suspended %v, %d serve", g.Name, g.Region, g.Weight, g.Suspended, g.Serving())
			}
		}
		return nil
	})
	s.say("drift --cluster nothing", 6)
}

func (s *session) held() {
	s.say("plan fleet/windowed", 0, "held now", "window")
	s.say("run fleet/windowed", 0)
	s.reason("fleet/windowed", "service", "window is closed until")
	s.say("executions cancel fleet/windowed", 0)
	s.sayArgs([]string{"freeze", "set", "peak", "--reason", "peak week", "--application", "fleet", "--exempt", "fleet/one", "--exempt-reason", "needed"}, 0)
	s.say("freeze list", 0, "peak week", "fleet")
	s.say("plan fleet/release", 0, "held now", "peak week")
	s.say("run fleet/release", 0)
	s.reason("fleet/release", "service", "peak week")
	s.say("executions cancel fleet/release", 0)
	s.say("run fleet/one", 0)
	s.say("approve fleet/one yes -m fine", 0)
	s.say("executions watch fleet/one", 0)
	s.say("freeze delete peak", 0)
	s.say("run fleet/asked", 0)
	s.say("approve fleet/asked self", 5, "started")
	s.say("reject fleet/asked self -m no", 0)
	s.say("executions watch fleet/asked", 1, "REJECTED")
	s.say("audit", 0, "rollback", "freeze")
}

// reason waits until a stage says why it waits.
func (s *session) reason(name, stage, text string) {
	s.t.Helper()
	s.eventually(30*time.Second, name+" waits", func() error {
		var e execution.Execution
		s.json(&e, "executions", "show", name)
		st, _ := e.Stage(stage)
		if !strings.Contains(st.Reason+st.Progress, text) {
			return fmt.Errorf("%s: %q %q", stage, st.Reason, st.Progress)
		}
		return nil
	})
}
