package autoscaling

import (
	"cmp"
	"context"
	"slices"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
)

// The transitions that hooks hold.
const (
	launching   = "autoscaling:EC2_INSTANCE_LAUNCHING"
	terminating = "autoscaling:EC2_INSTANCE_TERMINATING"
)

// hook is a lifecycle hook: an instance waits in it for a word.
type hook struct {
	Name       string `json:"name"`
	Transition string `json:"transition"`
	Timeout    int    `json:"timeout"` // seconds, of a heartbeat
	Default    string `json:"default"` // ABANDON, CONTINUE
	Kept       object `json:"kept,omitempty"`
}

func (h hook) told(g group) object {
	return object{"LifecycleHookName": h.Name, "AutoScalingGroupName": g.Name, "LifecycleTransition": h.Transition, "HeartbeatTimeout": h.Timeout, "GlobalTimeout": min(172800, 100*h.Timeout), "DefaultResult": h.Default}.With(h.Kept)
}

// putHook adds a hook or changes it. A group has one of each transition.
func (g *group) putHook(in object) error {
	if arn := in.Text("NotificationTargetARN"); arn != "" {
		return invalid("This cannot be had here: NotificationTargetARN %s; a hook that waits is shown by DescribeAutoScalingInstances", arn)
	}
	at := slices.IndexFunc(g.Hooks, func(h hook) bool { return h.Name == in.Text("LifecycleHookName") })
	h := hook{Name: in.Text("LifecycleHookName"), Timeout: 3600, Default: "ABANDON"}
	if at >= 0 {
		h = g.Hooks[at]
	}
	h.Transition = cmp.Or(in.Text("LifecycleTransition"), h.Transition)
	h.Timeout, h.Default = in.Number("HeartbeatTimeout", h.Timeout), cmp.Or(in.Text("DefaultResult"), h.Default)
	h.Kept = h.Kept.With(in.Only("NotificationMetadata", "RoleARN")).Clone()
	switch {
	case h.Transition != launching && h.Transition != terminating:
		return invalid("Lifecycle transition is %s; it is %s or %s", h.Transition, launching, terminating)
	case h.Timeout < 30 || h.Timeout > 7200:
		return invalid("Heartbeat timeout %d must be between 30 and 7200 seconds", h.Timeout)
	case h.Default != "ABANDON" && h.Default != "CONTINUE":
		return invalid("Default result %s is ABANDON or CONTINUE", h.Default)
	}
	for n, other := range g.Hooks {
		if n != at && other.Transition == h.Transition {
			return wire.Errorf("LimitExceeded", "This cannot be had here: more than one hook of %s; the group has %s", h.Transition, other.Name)
		}
	}
	if at >= 0 {
		g.Hooks[at] = h
	} else {
		g.Hooks = append(g.Hooks, h)
	}
	return nil
}

func (s *Service) putHook(ctx context.Context, c *wire.Call, in object) (object, error) {
	_, err := s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		if err := g.putHook(in); err != nil {
			return err
		}
		g.ask(action{Do: "amend"})
		return nil
	})
	return object{}, err
}

func (s *Service) describeHooks(ctx context.Context, c *wire.Call, in object) (object, error) {
	g, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName"))
	names := in.Texts("LifecycleHookNames")
	out := []any{}
	for _, h := range g.Hooks {
		if len(names) == 0 || slices.Contains(names, h.Name) {
			out = append(out, h.told(g))
		}
	}
	return object{"LifecycleHooks": out}, err
}

func noHook(name string) error { return invalid("No Lifecycle Hook found by name %s.", name) }

func (s *Service) deleteHook(ctx context.Context, c *wire.Call, in object) (object, error) {
	name := in.Text("LifecycleHookName")
	_, err := s.change(ctx, c.Region, in.Text("AutoScalingGroupName"), func(g *group) error {
		at := slices.IndexFunc(g.Hooks, func(h hook) bool { return h.Name == name })
		if at < 0 {
			return noHook(name)
		}
		g.Hooks = slices.Delete(g.Hooks, at, at+1)
		g.ask(action{Do: "amend"})
		return nil
	})
	return object{}, err
}

// say answers the hook that an instance waits in. The token of a lifecycle action is
// told to nobody here, so that the instance has to be named.
func (s *Service) say(ctx context.Context, c *wire.Call, in object, word cloud.HookAnswer) error {
	g, err := s.find(ctx, c.Region, in.Text("AutoScalingGroupName"))
	if err != nil {
		return err
	}
	name, id := in.Text("LifecycleHookName"), in.Text("InstanceId")
	at := slices.IndexFunc(g.Hooks, func(h hook) bool { return h.Name == name })
	switch {
	case at < 0:
		return noHook(name)
	case id == "":
		return invalid("InstanceId is needed here: no lifecycle action token was given out")
	}
	_, _, i, err := s.memberOf(ctx, c.Region, g.Name, id)
	none := invalid("No active Lifecycle Action found with instance ID %s", id)
	if wire.CodeOf(err) == "ValidationError" {
		return none
	}
	if err != nil {
		return err
	}
	waits := cloud.PendingWait
	if g.Hooks[at].Transition == terminating {
		waits = cloud.TerminatingWait
	}
	if i.Lifecycle != waits {
		return none
	}
	return refusedBy(s.Groups.Change(ctx, c.Region, i, control.InstanceChange{Hook: word, Key: "aws.autoscaling/hook/" + id + "/" + c.ID}))
}

func (s *Service) complete(ctx context.Context, c *wire.Call, in object) (object, error) {
	switch result := in.Text("LifecycleActionResult"); result {
	case "CONTINUE":
		return object{}, s.say(ctx, c, in, cloud.HookContinue)
	case "ABANDON":
		return object{}, s.say(ctx, c, in, cloud.HookAbandon)
	default:
		return nil, invalid("Lifecycle Action Result %s is CONTINUE or ABANDON", result)
	}
}

func (s *Service) heartbeat(ctx context.Context, c *wire.Call, in object) (object, error) {
	return object{}, s.say(ctx, c, in, cloud.HookHeartbeat)
}
