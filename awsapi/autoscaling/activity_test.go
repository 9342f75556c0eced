package autoscaling

import (
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
)

// Activities say what an instance was launched and ended for, and are written once.
func TestActivitiesSayWhy(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	g := group{Name: "g", Cluster: "aws-asg-g", Requests: []request{{began, "a user request created an AutoScalingGroup changing the desired capacity from 0 to 2."}}}
	at := func(seconds int) time.Time { return began.Add(time.Duration(seconds) * time.Second) }
	sg := cloud.ServerGroup{
		Ended: []cloud.Instance{{ID: "i-killed", Lifecycle: cloud.Terminated, Launched: at(1), ServingSince: at(2), Ended: at(60), Why: "ended on request"}},
		Instances: []cloud.Instance{
			{ID: "i-stays", Lifecycle: cloud.InService, Healthy: true, Launched: at(1), ServingSince: at(2)},
			{ID: "i-replaces", Lifecycle: cloud.Pending, Launched: at(60)},
			{ID: "i-waits", Lifecycle: cloud.PendingWait, Launched: at(300)},
		},
	}
	g.Requests = append(g.Requests, request{at(299), "a user request explicitly set group desired capacity changing the desired capacity from 2 to 3."})
	known := map[string]activity{}
	for _, a := range happened(g, sg, known) {
		known[a.ID] = a
	}
	for _, want := range []struct{ kind, id, status, cause string }{
		{"launch", "i-killed", "Successful", "a user request created"},
		{"terminate", "i-killed", "Successful", "health check indicating it has been terminated or stopped"},
		{"launch", "i-replaces", "InProgress", "an unhealthy instance needing to be replaced"},
		{"launch", "i-waits", "MidLifecycleAction", "explicitly set group desired capacity"},
	} {
		a := known[derivedUUID(g.Cluster, want.kind, want.id)]
		if a.Status != want.status || !strings.Contains(a.Cause, want.cause) {
			t.Errorf("%s of %s: %s %q; want %s with %q", want.kind, want.id, a.Status, a.Cause, want.status, want.cause)
		}
	}
	if again := happened(g, sg, known); len(again) != 0 {
		t.Errorf("the same picture says %+v", again)
	}
	sg.Instances[1].Lifecycle, sg.Instances[1].ServingSince = cloud.InService, at(61)
	if again := happened(g, sg, known); len(again) != 1 || again[0].Status != "Successful" {
		t.Errorf("one that serves by now: %+v", again)
	}
}
