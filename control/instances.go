package control

import (
	"context"
	"io"
	"slices"

	"showrunner/cloud"
	"showrunner/problem"
)

// Instances lists instances, newest group first; application selects. With ended
// it lists the last that ended instead, each with its failure when it had one,
// those of groups that are gone after those of groups that are there. Errors:
// not_found (an unknown application), denied, unavailable.
func (s *Service) Instances(ctx context.Context, p Principal, application string, ended bool) ([]cloud.Instance, error) {
	clusters, err := s.Clusters(ctx, p, "", application, "")
	if err != nil {
		return nil, err
	}
	list := []cloud.Instance{}
	for _, c := range clusters {
		for _, g := range slices.Backward(c.Groups) {
			if ended {
				list = append(list, g.Ended...)
			} else {
				list = append(list, g.Instances...)
			}
		}
	}
	if !ended {
		if application != "" && len(clusters) == 0 {
			return list, s.KnownApplication(ctx, application)
		}
		return list, nil
	}
	past, err := s.past(ctx)
	for _, i := range past {
		if application == "" || i.application == application {
			list = append(list, i.Instance)
		}
	}
	if err == nil && application != "" && len(clusters) == 0 && len(list) == 0 {
		err = s.KnownApplication(ctx, application)
	}
	return list, err
}

// pastInstance is an instance that ended in a server group that is gone.
type pastInstance struct {
	cloud.Instance
	application string
	account     *cloud.Account
}

// past lists the instances that ended in groups that are gone. Regions that do
// not answer have none.
func (s *Service) past(ctx context.Context) ([]pastInstance, error) {
	var all []pastInstance
	for _, name := range s.Accounts.Names() {
		a, err := s.Accounts.Account(name)
		if err != nil {
			return nil, err
		}
		regions, err := a.Regions(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range regions {
			bounded, cancel := asking(ctx, r)
			list, err := a.EndedInstances(bounded, r.Name)
			cancel()
			if err != nil && problem.CodeOf(err) != problem.Unavailable {
				return nil, err
			}
			for _, i := range list {
				all = append(all, pastInstance{i, cloud.ApplicationOfGroup(i.ServerGroup), a})
			}
		}
	}
	return all, nil
}

// InstanceChange is one change of an instance by hand.
type InstanceChange struct {
	Terminate bool             `json:"terminate,omitempty"`
	Kill      bool             `json:"kill,omitempty"`      // with Terminate: at once, without draining
	Decrement bool             `json:"decrement,omitempty"` // with Terminate: do not replace it
	Standby   *bool            `json:"standby,omitempty"`
	Protect   *bool            `json:"protect,omitempty"`
	Healthy   *bool            `json:"healthy,omitempty"` // false has it replaced whatever its checks say; true takes that back
	Hook      cloud.HookAnswer `json:"hook,omitempty"`    // to one whose lifecycle hook waits: continue, abandon, or heartbeat for more time
	Last      bool             `json:"-"`                 // with Terminate: also the last that serves
	Key       string           `json:"-"`
}

// ChangeInstance makes one change of an instance. Errors: not_found, precondition, invalid, denied.
func (s *Service) ChangeInstance(ctx context.Context, p Principal, id string, ch InstanceChange) error {
	op, err := ch.op()
	if err != nil {
		return err
	}
	subject := Subject{Kind: KindInstance, Name: id}
	if err := s.permit(p, opRead, subject); err != nil {
		return err
	}
	a, application, inst, unknown := s.instance(ctx, p, id)
	if unknown == nil {
		subject.Account, subject.Application = a.Name(), application
	}
	return s.perform(ctx, p, op, subject, ch.details(), func() (map[string]any, error) {
		if unknown != nil {
			return nil, unknown
		}
		return nil, changeInstance(ctx, a, inst, op, ch)
	})
}

// op is the operation that a change is. Errors: invalid.
func (ch InstanceChange) op() (string, error) {
	switch {
	case ch.Standby != nil:
		return opStandby, nil
	case ch.Protect != nil:
		return opProtect, nil
	case ch.Healthy != nil:
		return opHealth, nil
	case ch.Hook == cloud.HookHeartbeat:
		return opHeartbeat, nil
	case ch.Hook != "":
		return opHook, nil
	case !ch.Terminate:
		return "", problem.New(problem.Invalid, "instance.change", "nothing to change was named").WithHelp("give one of terminate, standby, protect, healthy, hook")
	}
	return opTerminate, nil
}

// details are what the audit log keeps of a change that is asked for.
func (ch InstanceChange) details() map[string]any {
	d := map[string]any{}
	switch {
	case ch.Standby != nil:
		d["standby"] = *ch.Standby
	case ch.Protect != nil:
		d["protect"] = *ch.Protect
	case ch.Healthy != nil:
		d["healthy"] = *ch.Healthy
	case ch.Hook != "":
		d["answer"] = ch.Hook
	default:
		d["kill"], d["decrement"] = ch.Kill, ch.Decrement
	}
	return d
}

func changeInstance(ctx context.Context, a *cloud.Account, inst cloud.Instance, op string, ch InstanceChange) error {
	switch op {
	case opTerminate:
		return a.Terminate(ctx, inst.Region, inst.ID, cloud.TerminateOptions{Kill: ch.Kill, Decrement: ch.Decrement, Guard: cloud.Guard{LastOne: !ch.Kill && !ch.Last}}, ch.Key)
	case opHook, opHeartbeat:
		return a.AnswerHook(ctx, inst.Region, inst.ID, ch.Hook, ch.Key)
	case opStandby:
		return a.SetStandby(ctx, inst.Region, inst.ID, *ch.Standby, ch.Key)
	case opHealth:
		return a.SetHealth(ctx, inst.Region, inst.ID, *ch.Healthy, ch.Key)
	}
	return a.SetProtection(ctx, inst.Region, inst.ID, *ch.Protect, ch.Key)
}

// instance finds an instance by its ID in any account, those that ended and are still remembered included.
func (s *Service) instance(ctx context.Context, p Principal, id string) (a *cloud.Account, application string, i cloud.Instance, err error) {
	clusters, err := s.Clusters(ctx, p, "", "", "")
	if err != nil {
		return nil, "", i, err
	}
	for _, c := range clusters {
		for _, g := range c.Groups {
			for _, i := range slices.Concat(g.Instances, g.Ended) {
				if i.ID == id {
					a, err := s.Accounts.Account(c.Account)
					return a, c.Application, i, err
				}
			}
		}
	}
	past, err := s.past(ctx)
	if err != nil {
		return nil, "", i, err
	}
	for _, i := range past {
		if i.ID == id {
			return i.account, i.application, i.Instance, nil
		}
	}
	return nil, "", i, problem.New(problem.NotFound, "instance", "there is no instance %q", id).
		WithHelp("showrunner instances lists them")
}

// InstanceLog copies what an instance wrote. Errors: not_found, precondition.
func (s *Service) InstanceLog(ctx context.Context, p Principal, id string, follow bool, w io.Writer) error {
	a, _, inst, err := s.instance(ctx, p, id)
	if err != nil {
		return err
	}
	return a.InstanceLog(ctx, inst.Region, id, follow, w)
}
