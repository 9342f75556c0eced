package autoscaling

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// memberOf finds an instance of a group, and the group, by its identifier; name, when
// given, is the group that it has to be of.
func (s *Service) memberOf(ctx context.Context, region, name, id string) (group, *cloud.ServerGroup, cloud.Instance, error) {
	groups, err := s.list(ctx, region)
	if err != nil {
		return group{}, nil, cloud.Instance{}, err
	}
	all, err := s.Groups.List(ctx, region, "")
	if err != nil {
		return group{}, nil, cloud.Instance{}, err
	}
	for _, g := range groups {
		sg := observed(g, all)
		if sg == nil || name != "" && g.Name != name {
			continue
		}
		for _, i := range sg.Instances {
			if i.ID == id {
				return g, sg, i, nil
			}
		}
	}
	if name != "" {
		return group{}, nil, cloud.Instance{}, invalid("The instance %s is not part of Auto Scaling group %s.", id, name)
	}
	return group{}, nil, cloud.Instance{}, invalid("Instance Id not found - No managed instance found for instance ID: %s", id)
}

// refusedBy is an error of the region in Auto Scaling's words.
func refusedBy(err error) error {
	if code := problem.CodeOf(err); code == problem.Precondition || code == problem.Conflict || code == problem.Invalid {
		if p, ok := problem.Of(err); ok {
			return invalid("%s", p.Message)
		}
	}
	return err
}

func (s *Service) terminate(ctx context.Context, c *wire.Call, in object) (object, error) {
	id, decrement := in.Text("InstanceId"), in.Is("ShouldDecrementDesiredCapacity")
	g, sg, i, err := s.memberOf(ctx, c.Region, "", id)
	if err != nil {
		return nil, err
	}
	at := s.Now().UTC()
	cause := fmt.Sprintf("At %s instance %s was taken out of service in response to a user request.", stamp(at), id)
	if decrement {
		if sg.Capacity.Desired <= sg.Capacity.Min {
			return nil, invalid("Currently, desiredSize equals minSize (%d). Terminating instance without replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower group's min size.", sg.Capacity.Min)
		}
		cause = fmt.Sprintf("At %s instance %s was taken out of service in response to a user request, shrinking the capacity from %d to %d.", stamp(at), id, sg.Capacity.Desired, sg.Capacity.Desired-1)
	}
	a := newActivity(g, "terminate", i, at, cause)
	if err := s.keepActivity(ctx, c.Region, g, a); err != nil {
		return nil, err
	}
	key := fmt.Sprintf("aws.autoscaling/%s/terminate/%v", id, decrement)
	if err := s.Groups.Change(ctx, c.Region, i, control.InstanceChange{Terminate: true, Decrement: decrement, Last: true, Key: key}); err != nil {
		return nil, refusedBy(err)
	}
	return object{"Activity": a.told(g)}, nil
}

func (s *Service) setHealth(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, _, i, err := s.memberOf(ctx, c.Region, "", in.Text("InstanceId"))
	if err != nil {
		return nil, err
	}
	status := in.Text("HealthStatus")
	if status != "Healthy" && status != "Unhealthy" {
		return nil, invalid("Health status %s is not valid; it is Healthy or Unhealthy", status)
	}
	healthy := status == "Healthy"
	err = s.Groups.Change(ctx, c.Region, i, control.InstanceChange{Healthy: &healthy, Key: "aws.autoscaling/health/" + c.ID})
	return object{}, refusedBy(err)
}

func (s *Service) protect(ctx context.Context, c *wire.Call, in object) (object, error) {
	protected := in.Is("ProtectedFromScaleIn")
	for _, id := range in.Texts("InstanceIds") {
		_, _, i, err := s.memberOf(ctx, c.Region, in.Text("AutoScalingGroupName"), id)
		if err != nil {
			return nil, err
		}
		if err := s.Groups.Change(ctx, c.Region, i, control.InstanceChange{Protect: &protected, Key: "aws.autoscaling/protect/" + id + "/" + c.ID}); err != nil {
			return nil, refusedBy(err)
		}
	}
	return object{}, nil
}

func (s *Service) enterStandby(ctx context.Context, c *wire.Call, in object) (object, error) {
	if !in.Is("ShouldDecrementDesiredCapacity") {
		return nil, invalid("This cannot be had here: standby without lowering the desired capacity (ShouldDecrementDesiredCapacity false)")
	}
	return s.standby(ctx, c, in, true)
}

func (s *Service) exitStandby(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.standby(ctx, c, in, false)
}

func (s *Service) standby(ctx context.Context, c *wire.Call, in object, standby bool) (object, error) {
	var out []any
	for _, id := range in.Texts("InstanceIds") {
		g, sg, i, err := s.memberOf(ctx, c.Region, in.Text("AutoScalingGroupName"), id)
		if err != nil {
			return nil, err
		}
		if !standby && i.Lifecycle != cloud.Standby {
			return nil, invalid("The instance %s is not in Standby.", id)
		}
		if err := s.Groups.Change(ctx, c.Region, i, control.InstanceChange{Standby: &standby, Key: "aws.autoscaling/standby/" + id + "/" + c.ID}); err != nil {
			return nil, refusedBy(err)
		}
		at, to, kind := s.Now().UTC(), sg.Capacity.Desired-1, "standby"
		cause := fmt.Sprintf("At %s instance %s was moved to standby in response to a user request, shrinking the capacity from %d to %d.", stamp(at), id, sg.Capacity.Desired, to)
		if !standby {
			to, kind = sg.Capacity.Desired+1, "in-service"
			cause = fmt.Sprintf("At %s instance %s was moved out of standby in response to a user request, increasing the capacity from %d to %d.", stamp(at), id, sg.Capacity.Desired, to)
		}
		a := newActivity(g, kind, i, at, cause)
		a.ID, a.Status, a.Progress, a.Ended = derivedUUID(a.ID, c.ID), "Successful", 100, at
		if err := s.keepActivity(ctx, c.Region, g, a); err != nil {
			return nil, err
		}
		out = append(out, a.told(g))
	}
	return object{"Activities": out}, nil
}

// noInstances refuses to move instances between groups: a process is of the server
// group that started it.
func (s *Service) noInstances(ctx context.Context, c *wire.Call, in object) (object, error) {
	if _, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName")); err != nil {
		return nil, err
	}
	return nil, invalid("This cannot be had here: attaching and detaching instances; an instance stays in the group that launched it")
}

// suspension are the processes that a request names, all when none is named.
func suspension(in object) ([]string, error) {
	named := in.Texts("ScalingProcesses")
	if len(named) == 0 {
		return processes, nil
	}
	for _, p := range named {
		if !slices.Contains(processes, p) {
			return nil, invalid("%s is not a valid scaling process; they are %s", p, strings.Join(processes, ", "))
		}
	}
	return named, nil
}

func (s *Service) suspend(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.setSuspended(ctx, c, in, true)
}

func (s *Service) resume(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.setSuspended(ctx, c, in, false)
}

func (s *Service) setSuspended(ctx context.Context, c *wire.Call, in object, suspend bool) error {
	named, err := suspension(in)
	if err != nil {
		return err
	}
	_, err = s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		left := slices.DeleteFunc(slices.Clone(g.Suspended), func(have suspended) bool { return slices.Contains(named, have.Process) })
		ours := slices.DeleteFunc(slices.Clone(named), func(p string) bool { return p == "InstanceRefresh" }) // that is carried out here
		do := "resume"
		if suspend {
			do = "suspend"
			for _, p := range named {
				left = append(left, suspended{p, s.Now().UTC()})
			}
		}
		g.Suspended = left
		if len(ours) > 0 {
			g.ask(action{Do: do, Processes: ours})
		}
		return nil
	})
	return err
}

func (g *group) isSuspended(process string) bool {
	return slices.ContainsFunc(g.Suspended, func(s suspended) bool { return s.Process == process })
}

func (g *group) suspended() []any {
	out := []any{}
	for _, p := range g.Suspended {
		out = append(out, object{"ProcessName": p.Process, "SuspensionReason": "User suspended at " + stamp(p.At)})
	}
	return out
}

// stamp is a time as Auto Scaling's sentences have it.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
