package deploy

import (
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
)

// cleanUp looks at every clean-up until none has anything to do now, and returns
// how many are left.
func (c *fleetCloud) cleanUp(t testing.TB) int {
	t.Helper()
	for range 50 {
		list, err := c.kinds.CleanUps.List(t.Context(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		busy := false
		for _, u := range list {
			again, err := c.clean.step(t.Context(), claimKey(u.Account, u.Cluster, u.Region))
			if err != nil {
				t.Fatal(err)
			}
			busy = busy || !again.IsZero() && !again.After(c.now())
		}
		if !busy {
			list, err := c.kinds.CleanUps.List(t.Context(), "", "")
			if err != nil {
				t.Fatal(err)
			}
			return len(list)
		}
	}
	t.Fatal("cleaning up never ended")
	return 0
}

// events lists the types of the clean-ups' events with their regions.
func (c *fleetCloud) events(types ...string) (list []record.Event) {
	for _, e := range c.records.Events() {
		for _, typ := range types {
			if e.Type == typ {
				list = append(list, e)
			}
		}
	}
	return list
}

func delayed(d *pipeline.Deploy) {
	d.Strategy = pipeline.Strategy{RedBlack: &pipeline.RedBlack{ScaleDownDelay: pipeline.Duration(10 * time.Minute)}}
}

// A deployment ends when its traffic has shifted. The groups that it replaced are
// kept as long as the strategy says, and then removed by the cleaner.
func TestADeploymentEndsBeforeWhatItReplacedIsRemoved(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.cleanUp(t)
	first := c.deployment("v2", delayed)
	if r := first.end(t, c); r.Outcome != stage.Done {
		t.Fatalf("%+v\n%s", r, first.log.String())
	}
	c.skip(9 * time.Minute)
	if left := c.cleanUp(t); left != 3 {
		t.Fatalf("%d clean-ups wait, want one a region", left)
	}
	for _, region := range threeRegions {
		if got := c.weights(t, region); got != "v1=0 v2=100" {
			t.Fatalf("%s: %s", region, got)
		}
	}
	c.skip(2 * time.Minute)
	if left := c.cleanUp(t); left != 0 {
		t.Fatalf("%d clean-ups are left", left)
	}
	for _, region := range threeRegions {
		if got := c.weights(t, region); got != "v2=100" {
			t.Errorf("%s: %s", region, got)
		}
	}
	done := c.events(EventCleanUpDone)
	if last := done[len(done)-1]; len(done) != 6 || last.Execution != "deploy-v2" || last.Stage != "service" || !strings.Contains(string(last.Data), "destroy api-v000") {
		t.Errorf("%d events, the last is %+v with %s", len(done), last, last.Data)
	}
}

// A rollback does not wait while the old version is only being kept: it returns
// to it unchanged, and the groups that were due for removal stay.
func TestARollbackCancelsTheCleanUp(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.cleanUp(t)
	if r := c.deployment("v2", delayed).end(t, c); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	c.skip(5 * time.Minute)
	back := c.back("back")
	for range 3 {
		back.step(t)
	}
	c.skip(10 * time.Minute) // v1 would be due now
	if left := c.cleanUp(t); left != 3 {
		t.Fatalf("%d clean-ups are held", left)
	}
	if r := back.end(t, c); r.Outcome != stage.Done || r.Outputs["version"] != "v1" {
		t.Fatalf("%+v\n%s", r, back.log.String())
	}
	if left := c.cleanUp(t); left != 0 {
		t.Fatalf("%d clean-ups are left", left)
	}
	for _, region := range threeRegions {
		if got := c.weights(t, region); got != "v1=100 v2=0" {
			t.Errorf("%s: %s", region, got)
		}
	}
	if n := len(c.events(EventCleanUpReplaced)); n != 3 {
		t.Errorf("%d events tell that a clean-up was replaced, want 3", n)
	}
}

// An undone rollout has made no lasting change: the earlier clean-up is still
// due.
func TestAnUndoneRolloutReleasesTheCleanUp(t *testing.T) {
	for _, how := range []string{"fails", "is canceled", "is canceled while it waits"} {
		c := newFleetCloud(t)
		c.deliver(t, "v1")
		c.cleanUp(t)
		if r := c.deployment("v2", delayed).end(t, c); r.Outcome != stage.Done {
			t.Fatalf("%+v", r)
		}
		switch how {
		case "fails":
			if r := c.deployment("bad", nil).end(t, c); r.Failure == nil {
				t.Fatalf("%s: %+v", how, r)
			}
		default:
			next := c.deployment("v3", nil)
			next.step(t)
			next.step(t)
			if how == "is canceled" {
				next.until(t, func() bool { return strings.Contains(string(next.in.State), `"rollout":{"v":1`) })
			}
			c.cancel(t, next)
		}
		c.skip(20 * time.Minute)
		if left := c.cleanUp(t); left != 0 {
			t.Errorf("%s: %d clean-ups are left", how, left)
		}
		for _, region := range threeRegions {
			if got := c.weights(t, region); got != "v2=100" {
				t.Errorf("%s: %s: %s", how, region, got)
			}
		}
	}
}

// cancel cancels a stage as the engine does, and ends its execution.
func (c *fleetCloud) cancel(t testing.TB, r *run) {
	t.Helper()
	for range 500 {
		err := r.kind.Tasks()[0].Cancel(t.Context(), r.in)
		still, ok := err.(*stage.Stopping)
		if !ok {
			if err != nil {
				t.Fatal(err)
			}
			c.ended[r.in.Key.Execution] = true
			return
		}
		r.in.State = still.State
	}
	t.Fatalf("its end was never confirmed:\n%s", r.log.String())
}

// An unreachable region fails only its clean-up: the delivery has succeeded, the
// failure is reported once, and the clean-up is done when the region is back.
func TestACleanUpThatFailsIsItsOwnProblem(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.cleanUp(t)
	if r := c.deployment("v2", func(d *pipeline.Deploy) { d.Strategy = pipeline.Strategy{Highlander: &struct{}{}} }).end(t, c); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	c.unreachable.Store("us-east-1")
	for range 3 * failingAfter {
		if left := c.cleanUp(t); left != 1 {
			t.Fatalf("%d clean-ups are left, want that of the region that is unreachable", left)
		}
		c.skip(lastRetry)
	}
	failing := c.events(EventCleanUpFailing)
	if len(failing) != 1 || failing[0].Execution != "deploy-v2" || !strings.Contains(string(failing[0].Data), "connection refused") {
		t.Errorf("events: %+v", failing)
	}
	list, err := c.kinds.CleanUps.List(t.Context(), "local", "api")
	if err != nil || len(list) != 1 || !strings.Contains(list[0].Text(c.now()), "connection refused") {
		t.Errorf("%+v, %v", list, err)
	}
	c.unreachable.Store("")
	if left := c.cleanUp(t); left != 0 {
		t.Errorf("%d clean-ups are left", left)
	}
	if got := c.weights(t, "us-east-1"); got != "v2=100" {
		t.Errorf("us-east-1: %s", got)
	}
}

// A cleaner may die while it holds its lease: a rollout that begins waits for the
// lease to expire, and another cleaner continues later. While a change is really
// being made, the rollout is woken as soon as it is done.
func TestARolloutWaitsForAChangeThatIsBeingMade(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.cleanUp(t)
	if r := c.deployment("v2", delayed).end(t, c); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	key := claimKey("local", "api", threeRegions[0])
	if err := c.kinds.CleanUps.update(t.Context(), key, func(u *CleanUp) bool { u.Acting = c.now().Add(actingLease); return true }); err != nil {
		t.Fatal(err)
	}
	back := c.back("back")
	for range 5 {
		back.step(t)
	}
	if r := back.last; !strings.Contains(r.Waits, "to finish the change") || r.After > waitForOthers || strings.Contains(string(r.State), `"claim"`) {
		t.Fatalf("%+v %s", r, r.State)
	}
	u, r, err := c.kinds.CleanUps.read(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	r.Version-- // the cleaner that holds the lease does not know the rollout
	if err := c.clean.finish(t.Context(), r, u); err != nil {
		t.Fatal(err)
	}
	if !c.woken[back.in.Key] {
		t.Error("the rollout was not woken when the change had been made")
	}
	if r := back.end(t, c); r.Outcome != stage.Done || r.Outputs["version"] != "v1" {
		t.Fatalf("%+v\n%s", r, back.log.String())
	}
}

// The cloud refuses a planned change when the group serves again.
func TestAGroupThatServesAgainIsNotCleanedUp(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.cleanUp(t)
	if r := c.deployment("v2", func(d *pipeline.Deploy) { d.Strategy = pipeline.Strategy{Highlander: &struct{}{}} }).end(t, c); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	account, _ := c.Account("")
	u, _, err := c.kinds.CleanUps.read(t.Context(), claimKey("local", "api", threeRegions[0]))
	if err != nil {
		t.Fatal(err)
	}
	changes, _, err := c.clean.plan(t.Context(), account, u)
	if err != nil || len(changes) != 1 {
		t.Fatalf("%v, %v", changes, err)
	}
	// A person puts a part of the traffic back.
	if err := account.SetWeights(t.Context(), threeRegions[0], "api", map[string]float64{"api-v000": 10, "api-v001": 90}, changes[0].Guard, "by hand"); err != nil {
		t.Fatal(err)
	}
	if err := makeChange(t.Context(), account, "api", changes[0], "late/"); problem.CodeOf(err) != problem.Precondition {
		t.Fatalf("what serves is removed: %v", err)
	}
	if left := c.cleanUp(t); left != 0 {
		t.Errorf("%d clean-ups are left", left)
	}
	if got := c.weights(t, threeRegions[0]); got != "v1=10 v2=90" {
		t.Errorf("%s", got)
	}
}

// A rollback that cannot reach a region keeps the groups there, since the region
// may be returned to them.
func TestARollbackKeepsWhatARegionThatIsUnreachableMayReturnTo(t *testing.T) {
	c := newFleetCloud(t)
	c.deliver(t, "v1")
	c.cleanUp(t)
	if r := c.deployment("v2", delayed).end(t, c); r.Outcome != stage.Done {
		t.Fatalf("%+v", r)
	}
	c.unreachable.Store("us-east-1")
	if r := c.back("back").end(t, c); r.Failure == nil || r.Failure.Code != "ROLLED_BACK_PARTLY" {
		t.Fatalf("%+v", r)
	}
	c.unreachable.Store("")
	c.skip(time.Hour)
	if left := c.cleanUp(t); left != 0 {
		t.Errorf("%d clean-ups are left", left)
	}
	if got := c.weights(t, "us-east-1"); got != "v1=0 v2=100" {
		t.Errorf("us-east-1: %s", got)
	}
}

// A baseline that a failed rollout could not remove, since its region was lost, is removed
// once the region is back, also when it has a share of the traffic by then.
func TestALostBaselineIsRemovedLater(t *testing.T) {
	for name, earlier := range map[string]bool{"no clean-up is recorded": false, "an earlier clean-up is recorded": true} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			c := newFleetCloud(t)
			c.deliver(t, "v1")
			c.cleanUp(t)
			if earlier {
				if r := c.deployment("v2", delayed).end(t, c); r.Outcome != stage.Done {
					t.Fatalf("%+v", r)
				}
			}
			account, _ := c.Account("")
			region := threeRegions[0]
			groups, err := account.ServerGroups(t.Context(), region, "api")
			if err != nil {
				t.Fatal(err)
			}
			live := groups[len(groups)-1]
			_, err = account.CreateServerGroup(t.Context(), region, cloud.ServerGroupSpec{Cluster: "api", CopyOf: live.Name, Role: cloud.RoleBaseline, Capacity: live.Capacity, Weight: 5}, "baseline")
			if err != nil {
				t.Fatal(err)
			}
			d := c.deployment("v3", delayed)
			s := subject{account: "local", cluster: "api", regions: threeRegions, claimed: threeRegions}
			for range 2 { // it may be repeated
				if err := c.kinds.CleanUps.removeBaselines(t.Context(), s, d.in, []string{region}); err != nil {
					t.Fatal(err)
				}
			}
			c.skip(time.Hour)
			if left := c.cleanUp(t); left != 0 {
				t.Fatalf("%d clean-ups are left", left)
			}
			want := live.Spec.Version + "=100"
			if got := c.weights(t, region); got != want {
				t.Errorf("%s, want %s", got, want)
			}
		})
	}
}
