package autoscaling

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// activity is a launch or an end of an instance, with why. Its identifier follows
// from the instance, so that it is written down once.
type activity struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"` // launch, terminate, standby, in-service
	Instance    string    `json:"instance"`
	Zone        string    `json:"zone"`
	Subnet      string    `json:"subnet,omitempty"`
	Description string    `json:"description"`
	Cause       string    `json:"cause"`
	Status      string    `json:"status"`
	Message     string    `json:"message,omitempty"`
	Progress    int       `json:"progress"`
	Started     time.Time `json:"started"`
	Ended       time.Time `json:"ended,omitzero"`
}

// activitiesKept is how long activities are described.
const activitiesKept = 6 * 7 * 24 * time.Hour

func derivedUUID(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}

var descriptions = map[string]string{"launch": "Launching a new EC2 instance: ", "terminate": "Terminating EC2 instance: ", "standby": "Moving EC2 instance to Standby: ", "in-service": "Moving EC2 instance out of Standby: "}

func newActivity(g group, kind string, i cloud.Instance, at time.Time, cause string) activity {
	status, progress := "InProgress", 50
	return activity{ID: derivedUUID(g.Cluster, kind, i.ID), Kind: kind, Instance: i.ID, Zone: i.Zone, Subnet: g.Places[i.Zone], Description: descriptions[kind] + i.ID, Cause: cause, Status: status, Progress: progress, Started: at.UTC()}
}

// activityPrefix is what the keys of a group's activities begin with: another group
// of the same name has others.
func activityPrefix(region string, g group) string {
	return fmt.Sprintf("%s/%s/%d/", region, g.Cluster, g.Created.UnixNano())
}

func (s *Service) keepActivity(ctx context.Context, region string, g group, a activity) error {
	err := s.activities.Create(ctx, activityPrefix(region, g)+a.ID, a)
	if problem.CodeOf(err) == problem.Conflict {
		return nil
	}
	return err
}

func (a activity) told(g group) object {
	details, err := json.Marshal(map[string]string{"Subnet ID": a.Subnet, "Availability Zone": a.Zone})
	if err != nil {
		details = nil // not reached: texts encode
	}
	state := "active"
	if g.Deleting {
		state = "deleted"
	}
	return object{"ActivityId": a.ID, "AutoScalingGroupName": g.Name, "AutoScalingGroupARN": g.ARN, "AutoScalingGroupState": state, "Description": a.Description, "Cause": a.Cause, "Details": string(details),
		"StartTime": a.Started, "EndTime": a.Ended, "StatusCode": a.Status, "StatusMessage": a.Message, "Progress": a.Progress}.With(nil)
}

// watch takes note of what the region has done to a group by itself: its capacity
// first, which is why instances were launched and ended then.
func (s *Service) watch(ctx context.Context, region string, g group, sg *cloud.ServerGroup) (group, error) {
	if sg == nil {
		return g, nil
	}
	g, err := s.followScaling(ctx, region, g, sg)
	if err != nil {
		return g, err
	}
	return g, s.witness(ctx, region, g, *sg)
}

// witness writes down what has become of a group's instances since it was looked at
// last: what began, what has ended, and why.
func (s *Service) witness(ctx context.Context, region string, g group, sg cloud.ServerGroup) error {
	prefix := activityPrefix(region, g)
	known := map[string]activity{}
	for e, err := range s.activities.All(ctx, prefix) {
		if err != nil {
			return err
		}
		if s.Now().Sub(e.Doc.Started) > activitiesKept {
			if err := s.activities.Delete(ctx, e.Key, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
				return err
			}
			continue
		}
		known[e.Doc.ID] = e.Doc
	}
	for _, a := range happened(g, sg, known) {
		_, err := s.activities.Put(ctx, prefix+a.ID, func(have *activity) error {
			if have.ID != "" { // the cause that was written first stays
				a.Cause, a.Started = have.Cause, have.Started
			}
			*have = a
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// happened decides which activities a group's instances say, beyond those that are
// known, and which of the known have got on. It is pure.
func happened(g group, sg cloud.ServerGroup, known map[string]activity) []activity {
	var out []activity
	all := slices.Concat(sg.Ended, sg.Instances)
	slices.SortFunc(all, func(a, b cloud.Instance) int { return a.Launched.Compare(b.Launched) })
	for n, i := range all {
		a := newActivity(g, "launch", i, i.Launched, launchCause(g, all[:n], i))
		switch {
		case !i.ServingSince.IsZero() || i.Lifecycle == cloud.InService || i.Lifecycle == cloud.Standby:
			a.Status, a.Progress, a.Ended = "Successful", 100, cmp.Or(i.ServingSince, i.Launched)
		case i.Lifecycle == cloud.Terminated:
			a.Status, a.Progress, a.Ended = "Failed", 100, i.Ended
			if i.Failure != nil {
				a.Message = i.Failure.Cause
			}
		case i.Lifecycle == cloud.PendingWait:
			a.Status, a.Progress = "MidLifecycleAction", 60
		default:
			a.Progress = 30
		}
		out = add(out, known, a)
		if i.Lifecycle != cloud.Terminated && i.Lifecycle != cloud.Terminating && i.Lifecycle != cloud.TerminatingWait {
			continue
		}
		at := i.Ended
		if i.Failure != nil && i.Failure.At.Before(at) {
			at = i.Failure.At
		}
		before, seen := known[derivedUUID(g.Cluster, "terminate", i.ID)]
		if seen {
			at = before.Started
		}
		e := newActivity(g, "terminate", i, at, endCause(g, i, at))
		switch i.Lifecycle {
		case cloud.Terminated:
			e.Status, e.Progress, e.Ended = "Successful", 100, i.Ended
		case cloud.TerminatingWait:
			e.Status, e.Progress = "MidLifecycleAction", 60
		}
		out = add(out, known, e)
	}
	return out
}

// add adds an activity that is not known, or has got on.
func add(out []activity, known map[string]activity, a activity) []activity {
	have, seen := known[a.ID]
	if seen && (have.Status == a.Status && have.Progress == a.Progress || have.Progress == 100) {
		return out
	}
	return append(out, a)
}

// launchCause is why an instance was launched: another that ended without being
// wanted to, or the last change of the capacity.
func launchCause(g group, before []cloud.Instance, i cloud.Instance) string {
	at := stamp(i.Launched)
	var last request
	for _, r := range g.Requests {
		if !r.At.After(i.Launched) {
			last = r
		}
	}
	for _, b := range slices.Backward(before) {
		lost := b.Ended
		if b.Failure != nil && (lost.IsZero() || b.Failure.At.Before(lost)) {
			lost = b.Failure.At
		}
		if b.Lifecycle == cloud.Terminating && lost.IsZero() {
			lost = i.Launched
		}
		if replaced(b) && !lost.IsZero() && lost.After(last.At) && !lost.After(i.Launched.Add(time.Second)) {
			return fmt.Sprintf("At %s an instance was launched in response to an unhealthy instance needing to be replaced.", at)
		}
	}
	if last.Cause == "" {
		return fmt.Sprintf("At %s an instance was started in response to a difference between desired and actual capacity.", at)
	}
	return fmt.Sprintf("At %s %s  At %s an instance was started in response to a difference between desired and actual capacity.", stamp(last.At), last.Cause, at)
}

// replaced says whether an instance's end has another take its place.
func replaced(i cloud.Instance) bool {
	return i.Failure != nil || i.Why == "ended on request" || i.Why == "it does not run" || i.Why == "it is unhealthy"
}

// endCause is why an instance ends.
func endCause(g group, i cloud.Instance, at time.Time) string {
	when := stamp(at)
	switch {
	case strings.HasPrefix(i.Why, "scaled down"):
		cause := ""
		for _, r := range g.Requests {
			if !r.At.After(at) {
				cause = fmt.Sprintf("At %s %s  ", stamp(r.At), r.Cause)
			}
		}
		return fmt.Sprintf("%sAt %s an instance was taken out of service in response to a difference between desired and actual capacity.  At %s instance %s was selected for termination.", cause, when, when, i.ID)
	case i.Why == "ended on request", i.Why == "it does not run", i.Why == "" && i.Failure != nil:
		cause := fmt.Sprintf("At %s an instance was taken out of service in response to an EC2 health check indicating it has been terminated or stopped.", when)
		if i.Failure != nil {
			cause += "  " + i.Failure.Cause + "."
		}
		return cause
	case i.Why == "it is unhealthy":
		cause := fmt.Sprintf("At %s an instance was taken out of service in response to an ELB system health check failure.", when)
		if i.Failure != nil {
			cause += "  " + i.Failure.Cause + "."
		}
		return cause
	}
	return fmt.Sprintf("At %s an instance was taken out of service: %s.", when, cmp.Or(i.Why, "it has ended"))
}

func (s *Service) describeActivities(ctx context.Context, c *wire.Call, in object) (object, error) {
	groups, err := s.list(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	name, ids := in.Text("AutoScalingGroupName"), in.Texts("ActivityIds")
	if name != "" {
		g, err := s.find(ctx, c.Region, name)
		if err != nil {
			return nil, err
		}
		groups = []group{g}
		sg, err := s.see(ctx, c.Region, g)
		if err == nil {
			_, err = s.watch(ctx, c.Region, g, sg)
		}
		if err != nil {
			return nil, err
		}
	}
	type entry struct {
		at  time.Time
		key string
		o   object
	}
	var all []entry
	for _, g := range groups {
		for e, err := range s.activities.All(ctx, activityPrefix(c.Region, g)) {
			if err != nil {
				return nil, err
			}
			if len(ids) == 0 || slices.Contains(ids, e.Doc.ID) {
				all = append(all, entry{e.Doc.Started, fmt.Sprintf("%020d/%s", -e.Doc.Started.UnixNano()+1<<62, e.Doc.ID), e.Doc.told(g)})
			}
		}
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Compare(a.key, b.key) }) // the newest first
	out, next, err := wire.Cut(paging(100), in, all, func(e entry) string { return e.key })
	told := []any{}
	for _, e := range out {
		told = append(told, e.o)
	}
	return object{"Activities": told}.With(object{"NextToken": next}), err
}
