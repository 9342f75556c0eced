package applicationautoscaling

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// The states of an activity.
const (
	pending    = "Pending" // ECS is still to be asked
	inProgress = "InProgress"
	successful = "Successful"
	failed     = "Failed"
	overridden = "Overridden" // another one has begun meanwhile
)

// activity is one change of a target's capacity.
type activity struct {
	ID     string    `json:"id"`
	To     int       `json:"to"`
	From   int       `json:"from"`
	Cause  string    `json:"cause"`
	Policy string    `json:"policy,omitempty"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended,omitzero"`
	State  string    `json:"state"`
	Reason string    `json:"reason,omitempty"` // of one that has failed
}

// activitiesKept is how many activities of a target are described.
const activitiesKept = 100

// begin records a change of the capacity, for ECS to be asked for next.
func (t *target) begin(now time.Time, from, to int, policy, cause string) {
	for n := range t.Activities {
		if a := &t.Activities[n]; a.State == pending || a.State == inProgress {
			a.State, a.Ended = overridden, now.UTC()
		}
	}
	a := activity{ID: carry.NewUUID(), From: from, To: to, Cause: cause, Policy: policy, Began: now.UTC(), State: pending}
	t.Activities = append([]activity{a}, t.Activities[:min(len(t.Activities), activitiesKept-1)]...)
	t.Began++
}

func (a activity) told(t target) object {
	message := map[string]string{
		pending:    "",
		inProgress: fmt.Sprintf("Successfully set desired count to %d. Waiting for change to be fulfilled by ecs.", a.To),
		successful: fmt.Sprintf("Successfully set desired count to %d. Change successfully fulfilled by ecs.", a.To),
		overridden: fmt.Sprintf("Successfully set desired count to %d. Another activity began before the change was fulfilled by ecs.", a.To),
		failed:     a.Reason,
	}[a.State]
	o := object{"ActivityId": a.ID, "ServiceNamespace": t.Namespace, "ResourceId": t.Resource, "ScalableDimension": t.Dimension, "Description": fmt.Sprintf("Setting desired count to %d.", a.To), "Cause": a.Cause,
		"StartTime": a.Began, "StatusCode": a.State, "StatusMessage": message}
	if !a.Ended.IsZero() {
		o["EndTime"] = a.Ended
	}
	return o.With(nil)
}

func (s *Service) describeActivities(ctx context.Context, c *wire.Call, in object) (object, error) {
	list, err := s.list(ctx, c, in)
	if err != nil {
		return nil, err
	}
	type told struct {
		key string
		object
	}
	var all []told
	for _, t := range list {
		for _, a := range t.Activities { // the newest first, in the order of the paging's keys
			all = append(all, told{fmt.Sprintf("%020d/%s", uint64(1<<63)-uint64(a.Began.UnixNano()), a.ID), a.told(t)})
		}
	}
	slices.SortFunc(all, func(a, b told) int { return cmp.Compare(a.key, b.key) })
	var objects []object
	keys := map[string]string{}
	for _, a := range all {
		objects = append(objects, a.object)
		keys[a.Text("ActivityId")] = a.key
	}
	return page(in, "ScalingActivities", objects, func(o object) string { return keys[o.Text("ActivityId")] })
}

// scaler is who changes services, in the audit log.
func (s *Service) scaler(region string) wire.Call {
	return wire.Call{Region: region, Caller: "arn:aws:sts::" + s.Account + ":assumed-role/AWSServiceRoleForApplicationAutoScaling_ECSService/AutoScaling-UpdateDesiredCapacity"}
}

// carryActivity asks ECS for the newest change, and sees whether it is fulfilled.
func (s *Service) carryActivity(ctx context.Context, region string, t target) error {
	if len(t.Activities) == 0 {
		return nil
	}
	a := t.Activities[0]
	switch a.State {
	case pending:
		cluster, name := t.names()
		_, err := s.Services.Call(ctx, s.scaler(region), "ecs", "UpdateService", map[string]any{"cluster": cluster, "service": name, "desiredCount": a.To})
		switch code := wire.CodeOf(err); {
		case err == nil:
			return s.setActivity(ctx, region, t, a.ID, inProgress, "")
		case ctx.Err() != nil, problem.CodeOf(err) == problem.Unavailable, code == "InternalFailure", code == "ServiceUnavailable":
			return err // it is asked for again
		default:
			return s.setActivity(ctx, region, t, a.ID, failed, "Failed to set desired count to "+fmt.Sprint(a.To)+". Reason: "+err.Error())
		}
	case inProgress:
		desired, running, err := s.capacity(ctx, s.scaler(region), t)
		if wire.CodeOf(err) == "ValidationException" {
			return s.setActivity(ctx, region, t, a.ID, failed, err.Error())
		}
		switch {
		case err != nil:
			return err
		case desired != a.To: // somebody else has asked for another number
			return s.setActivity(ctx, region, t, a.ID, overridden, "")
		case running == a.To:
			return s.setActivity(ctx, region, t, a.ID, successful, "")
		}
	}
	return nil
}

func (s *Service) setActivity(ctx context.Context, region string, t target, id, state, reason string) error {
	_, err := s.change(ctx, region, t.Resource, func(now *target) error {
		for n := range now.Activities {
			if a := &now.Activities[n]; a.ID == id && (a.State == pending || a.State == inProgress) {
				a.State, a.Reason = state, reason
				if state != inProgress {
					a.Ended = s.Now().UTC()
				}
			}
		}
		return nil
	})
	return err
}
