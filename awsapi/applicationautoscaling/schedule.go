package applicationautoscaling

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"showrunner/awsapi/ecs"
	"showrunner/awsapi/wire"
)

// scheduled changes the bounds of a target by the clock.
type scheduled struct {
	Name     string    `json:"name"`
	ARN      string    `json:"arn"`
	Schedule string    `json:"schedule"` // at(…), rate(…) or cron(…)
	Zone     string    `json:"zone,omitempty"`
	Start    time.Time `json:"start,omitzero"`
	End      time.Time `json:"end,omitzero"`
	Min      *int      `json:"min,omitempty"`
	Max      *int      `json:"max,omitempty"`
	Created  time.Time `json:"created"`
	Next     time.Time `json:"next,omitzero"`
}

// after is when the action is due next after a time; zero for never.
func (a scheduled) after(t time.Time) (time.Time, error) {
	zone, err := time.LoadLocation(cmp.Or(a.Zone, "UTC"))
	if err != nil {
		return time.Time{}, invalid("Unknown timezone: %s", a.Zone)
	}
	kind, expression, _ := strings.Cut(strings.TrimSuffix(a.Schedule, ")"), "(")
	begin := a.Created
	if !a.Start.IsZero() {
		begin = a.Start
	}
	var next time.Time
	switch kind {
	case "at":
		at, err := time.ParseInLocation("2006-01-02T15:04:05", expression, zone)
		if err != nil {
			return time.Time{}, invalid("Schedule expression %s is invalid: at(yyyy-mm-ddThh:mm:ss) is one", a.Schedule)
		}
		if at.After(t) {
			next = at
		}
	case "rate":
		every, err := rateOf(expression)
		if err != nil {
			return time.Time{}, invalid("Schedule expression %s is invalid: rate(5 minutes) is one", a.Schedule)
		}
		next = begin
		if passed := t.Sub(begin); passed >= 0 {
			next = begin.Add((passed/every + 1) * every)
		}
	case "cron":
		schedule, err := parseCron(expression)
		if err != nil {
			return time.Time{}, invalid("Schedule expression %s is invalid: %v", a.Schedule, err)
		}
		if a.Start.After(t) {
			t = a.Start.Add(-time.Second)
		}
		next = schedule.Next(t.In(zone))
	default:
		return time.Time{}, invalid("Schedule expression %s is invalid: it is at(…), rate(…) or cron(…)", a.Schedule)
	}
	if !a.End.IsZero() && next.After(a.End) || next.IsZero() {
		return time.Time{}, nil
	}
	return next.UTC(), nil
}

// rateOf is the value of a rate expression, such as 5 minutes.
func rateOf(expression string) (time.Duration, error) {
	number, unit, _ := strings.Cut(expression, " ")
	n, err := strconv.Atoi(number)
	each := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.TrimSuffix(unit, "s")]
	if err != nil || n < 1 || each == 0 {
		return 0, errors.New("no rate")
	}
	return time.Duration(n) * each, nil
}

// parseCron reads AWS's six fields: minutes, hours, day of the month, month, day of the
// week from 1 (Sunday) on, year.
func parseCron(expression string) (cron.Schedule, error) {
	f := strings.Fields(expression)
	if len(f) != 6 {
		return nil, errors.New("cron has six fields: minutes hours day-of-month month day-of-week year")
	}
	if f[5] != "*" {
		return nil, errors.New("the year can only be * here")
	}
	if (f[2] == "?") == (f[4] == "?") {
		return nil, errors.New("exactly one of day-of-month and day-of-week is ?")
	}
	days := strings.Split(f[4], ",")
	for n, day := range days {
		base, step, stepped := strings.Cut(day, "/")
		parts := strings.Split(base, "-")
		for m, part := range parts {
			if number, err := strconv.Atoi(part); err == nil {
				if number < 1 || number > 7 {
					return nil, fmt.Errorf("there is no day %d of the week: 1 is Sunday, 7 is Saturday", number)
				}
				parts[m] = strconv.Itoa(number - 1)
			}
		}
		if days[n] = strings.Join(parts, "-"); stepped {
			days[n] += "/" + step
		}
	}
	f[4] = strings.Join(days, ",")
	return cron.ParseStandard(strings.Join(f[:5], " "))
}

func (a scheduled) told(t target) object {
	action := object{}
	if a.Min != nil {
		action["MinCapacity"] = *a.Min
	}
	if a.Max != nil {
		action["MaxCapacity"] = *a.Max
	}
	o := object{"ScheduledActionName": a.Name, "ScheduledActionARN": a.ARN, "ServiceNamespace": t.Namespace, "ResourceId": t.Resource, "ScalableDimension": t.Dimension, "Schedule": a.Schedule, "Timezone": a.Zone,
		"ScalableTargetAction": action, "CreationTime": a.Created}
	if !a.Start.IsZero() {
		o["StartTime"] = a.Start
	}
	if !a.End.IsZero() {
		o["EndTime"] = a.End
	}
	return o.With(nil)
}

func (s *Service) putSchedule(ctx context.Context, c *wire.Call, in object) (object, error) {
	if err := checkNames(in); err != nil {
		return nil, err
	}
	name := in.Text("ScheduledActionName")
	_, err := s.change(ctx, c.Region, in.Text("ResourceId"), func(t *target) error {
		a := scheduled{Name: name, Created: s.Now().UTC(), ARN: "arn:aws:autoscaling:" + c.Region + ":" + c.Account + ":scheduledAction:" + derived(t.ARN, name) + ":resource/ecs/" + t.Resource + ":scheduledActionName/" + name}
		at := slices.IndexFunc(t.Schedule, func(a scheduled) bool { return a.Name == name })
		if at >= 0 {
			a = t.Schedule[at]
		}
		a.Schedule, a.Zone = cmp.Or(in.Text("Schedule"), a.Schedule), cmp.Or(in.Text("Timezone"), a.Zone)
		if v, ok := in["StartTime"].(time.Time); ok {
			a.Start = v
		}
		if v, ok := in["EndTime"].(time.Time); ok {
			a.End = v
		}
		if action := in.Inner("ScalableTargetAction"); action != nil {
			a.Min, a.Max = bound(action, "MinCapacity"), bound(action, "MaxCapacity")
		}
		switch {
		case a.Schedule == "":
			return invalid("Schedule is required for a new scheduled action")
		case a.Min == nil && a.Max == nil:
			return invalid("At least one of MinCapacity and MaxCapacity is required for a scheduled action")
		case a.Min != nil && a.Max != nil && *a.Min > *a.Max:
			return invalid("Maximum capacity cannot be less than minimum capacity")
		}
		var err error
		if a.Next, err = a.after(s.Now()); err != nil {
			return err
		}
		if at >= 0 {
			t.Schedule[at] = a
		} else {
			t.Schedule = append(t.Schedule, a)
		}
		return nil
	})
	return object{}, err
}

func bound(action object, member string) *int {
	if !action.Has(member) {
		return nil
	}
	n := action.Number(member, 0)
	return &n
}

func (s *Service) describeSchedule(ctx context.Context, c *wire.Call, in object) (object, error) {
	list, err := s.list(ctx, c, in)
	if err != nil {
		return nil, err
	}
	names := in.Texts("ScheduledActionNames")
	var all []object
	for _, t := range list {
		for _, a := range t.Schedule {
			if len(names) == 0 || slices.Contains(names, a.Name) {
				all = append(all, a.told(t))
			}
		}
	}
	slices.SortFunc(all, func(a, b object) int { return cmp.Compare(a.Text("ScheduledActionARN"), b.Text("ScheduledActionARN")) })
	return page(in, "ScheduledActions", all, func(o object) string { return o.Text("ScheduledActionARN") })
}

func (s *Service) deleteSchedule(ctx context.Context, c *wire.Call, in object) (object, error) {
	if err := checkNames(in); err != nil {
		return nil, err
	}
	name, resource := in.Text("ScheduledActionName"), in.Text("ResourceId")
	none := wire.Errorf("ObjectNotFoundException", "No scheduled action found for service namespace: %s, resource ID: %s, scalable dimension: %s, scheduled action name: %s", ecsNamespace, resource, desiredCount, name)
	_, err := s.change(ctx, c.Region, resource, func(t *target) error {
		left := slices.DeleteFunc(slices.Clone(t.Schedule), func(a scheduled) bool { return a.Name == name })
		if len(left) == len(t.Schedule) {
			return none
		}
		t.Schedule = left
		return nil
	})
	if wire.CodeOf(err) == "ObjectNotFoundException" {
		err = none
	}
	return object{}, err
}

// carrySchedule carries out the scheduled actions that are due: they set the target's
// bounds, and bring the capacity within them.
func (s *Service) carrySchedule(ctx context.Context, region string, t target, load ecs.Load) error {
	now := s.Now()
	due := func(a scheduled) bool { return !a.Next.IsZero() && !a.Next.After(now) }
	if !slices.ContainsFunc(t.Schedule, due) {
		return nil
	}
	made, err := s.change(ctx, region, t.Resource, func(t *target) error {
		for n := range t.Schedule {
			a := &t.Schedule[n]
			if !due(*a) {
				continue
			}
			next, err := a.after(now)
			if err != nil {
				return err
			}
			if a.Next = next; t.is("ScheduledScalingSuspended") {
				continue
			}
			if a.Min != nil {
				t.Min, t.Max = *a.Min, max(t.Max, *a.Min)
			}
			if a.Max != nil {
				t.Max, t.Min = *a.Max, min(t.Min, *a.Max)
			}
			if to := max(t.Min, min(load.Desired, t.Max)); to != load.Desired {
				t.begin(now, load.Desired, to, "", "scheduled action name "+a.Name+" was triggered")
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.carryActivity(ctx, region, made)
}
