package autoscaling

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/pipeline"
)

// scheduled is a change of a group's capacity by the clock.
type scheduled struct {
	Name       string    `json:"name"`
	ARN        string    `json:"arn"`
	Recurrence string    `json:"recurrence,omitempty"`
	Zone       string    `json:"zone,omitempty"`
	Start      time.Time `json:"start,omitzero"`
	End        time.Time `json:"end,omitzero"`
	Capacity   object    `json:"capacity"` // MinSize, MaxSize, DesiredCapacity, those that are named
	Next       time.Time `json:"next,omitzero"`
}

// after is when the action is due next after a time; zero for never.
func (a scheduled) after(t time.Time) (time.Time, error) {
	if a.Recurrence == "" {
		if a.Start.After(t) {
			return a.Start, nil
		}
		return time.Time{}, nil
	}
	zone, err := time.LoadLocation(cmp.Or(a.Zone, "UTC"))
	if err != nil {
		return time.Time{}, invalid("The time zone %s is not known", a.Zone)
	}
	schedule, err := cron.ParseStandard(a.Recurrence)
	if err != nil {
		return time.Time{}, invalid("Given recurrence string: %s is invalid", a.Recurrence)
	}
	if a.Start.After(t) {
		t = a.Start.Add(-time.Second)
	}
	next := schedule.Next(t.In(zone)).UTC()
	if !a.End.IsZero() && next.After(a.End) {
		return time.Time{}, nil
	}
	return next, nil
}

func (a scheduled) told(g group) object {
	return object{"ScheduledActionName": a.Name, "ScheduledActionARN": a.ARN, "AutoScalingGroupName": g.Name, "Recurrence": a.Recurrence, "TimeZone": a.Zone, "StartTime": a.Start, "Time": a.Start, "EndTime": a.End}.With(a.Capacity)
}

func (s *Service) putSchedule(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		name := in.Text("ScheduledActionName")
		a := scheduled{Name: name, Recurrence: in.Text("Recurrence"), Zone: in.Text("TimeZone"), Capacity: in.Only("MinSize", "MaxSize", "DesiredCapacity").Clone(),
			ARN: "arn:aws:autoscaling:" + c.Region + ":" + c.Account + ":scheduledUpdateGroupAction:" + derivedUUID(g.ARN, "schedule", name) + ":autoScalingGroupName/" + g.Name + ":scheduledActionName/" + name}
		a.Start, _ = in["StartTime"].(time.Time)
		if a.Start.IsZero() {
			a.Start, _ = in["Time"].(time.Time)
		}
		a.End, _ = in["EndTime"].(time.Time)
		now := s.Now()
		switch {
		case len(a.Capacity) == 0:
			return invalid("At least one of MinSize, MaxSize and DesiredCapacity must be given")
		case a.Recurrence == "" && a.Start.IsZero():
			return invalid("StartTime or Recurrence must be given")
		case !a.Start.IsZero() && a.Recurrence == "" && !a.Start.After(now):
			return invalid("Given start time is in the past")
		}
		var err error
		if a.Next, err = a.after(now); err != nil {
			return err
		}
		g.Schedule = append(slices.DeleteFunc(g.Schedule, func(have scheduled) bool { return have.Name == name }), a)
		return nil
	})
	return object{}, err
}

func (s *Service) describeSchedule(ctx context.Context, c *wire.Call, in object) (object, error) {
	groups, err := s.list(ctx, c.Region)
	if name := in.Text("AutoScalingGroupName"); err == nil && name != "" {
		var g group
		g, err = s.find(ctx, c.Region, name)
		groups = []group{g}
	}
	if err != nil {
		return nil, err
	}
	names := in.Texts("ScheduledActionNames")
	var all []object
	for _, g := range groups {
		for _, a := range g.Schedule {
			if len(names) == 0 || slices.Contains(names, a.Name) {
				all = append(all, a.told(g))
			}
		}
	}
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.Text("ScheduledActionARN"), b.Text("ScheduledActionARN")) })
	return answer(in, "ScheduledUpdateGroupActions", all, 50, by("ScheduledActionARN"))
}

func (s *Service) deleteSchedule(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("ScheduledActionName")
	_, err := s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		left := slices.DeleteFunc(slices.Clone(g.Schedule), func(a scheduled) bool { return a.Name == name })
		if len(left) == len(g.Schedule) {
			return invalid("Scheduled action name not found")
		}
		g.Schedule = left
		return nil
	})
	return object{}, err
}

// putSchedules puts several actions; those that fail are named.
func (s *Service) putSchedules(ctx context.Context, c *wire.Call, in object) (object, error) {
	group, failed := in.Only("AutoScalingGroupName"), []any{}
	if _, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName")); err != nil {
		return nil, err
	}
	for _, a := range in.Objects("ScheduledUpdateGroupActions") {
		if _, err := s.putSchedule(ctx, c, group.With(a)); err != nil {
			one, fatal := failedSchedule(a.Text("ScheduledActionName"), err)
			if fatal != nil {
				return nil, fatal
			}
			failed = append(failed, one)
		}
	}
	return object{"FailedScheduledUpdateGroupActions": failed}, nil
}

// deleteSchedules deletes several actions; those that fail are named.
func (s *Service) deleteSchedules(ctx context.Context, c *wire.Call, in object) (object, error) {
	group, failed := in.Only("AutoScalingGroupName"), []any{}
	if _, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName")); err != nil {
		return nil, err
	}
	for _, name := range in.Texts("ScheduledActionNames") {
		if _, err := s.deleteSchedule(ctx, c, group.With(object{"ScheduledActionName": name})); err != nil {
			one, fatal := failedSchedule(name, err)
			if fatal != nil {
				return nil, fatal
			}
			failed = append(failed, one)
		}
	}
	return object{"FailedScheduledActions": failed}, nil
}

// failedSchedule tells of an action that was refused; fatal is an error of another kind.
func failedSchedule(name string, err error) (told object, fatal error) {
	var e *wire.Error
	if !errors.As(err, &e) {
		return nil, err
	}
	return object{"ScheduledActionName": name, "ErrorCode": e.Code, "ErrorMessage": e.Message}, nil
}

// followSchedule carries out the actions that are due. One that was missed while
// nothing ran is carried out once.
func (s *Service) followSchedule(ctx context.Context, region string, g group, sg *cloud.ServerGroup) error {
	at := s.Now()
	if !slices.ContainsFunc(g.Schedule, func(a scheduled) bool { return !a.Next.IsZero() && !at.Before(a.Next) }) {
		return nil
	}
	_, err := s.change(ctx, region, g.Name, func(g *group) error {
		for n, a := range g.Schedule {
			if a.Next.IsZero() || at.Before(a.Next) {
				continue
			}
			next, err := a.after(at)
			if err != nil {
				return err
			}
			g.Schedule[n].Next = next
			was := now(*g, sg)
			to := capacity(a.Capacity, was)
			to.Max = max(to.Max, to.Min)
			to.Desired = max(to.Min, min(to.Desired, to.Max))
			if g.isSuspended("ScheduledActions") || to == pipeline.Capacity(was) {
				continue
			}
			g.because(at, "a scheduled action %s executed changing the desired capacity from %d to %d.", a.Name, was.Desired, to.Desired)
			g.Capacity = to
			g.ask(action{Do: "resize", Capacity: &to})
		}
		return nil
	})
	return err
}
