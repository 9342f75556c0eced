package ecs

import (
	"context"
	"fmt"
	"slices"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// protected is a task that scaling and deployments leave alone for a time.
type protected struct {
	Until time.Time `json:"until"`
	Told  bool      `json:"told,omitempty"` // the region knows
	End   bool      `json:"end,omitempty"`  // it is to be taken back
}

// How long a task is protected, in minutes.
const (
	protectedFor = 120
	protectedMax = 2880
)

// protect protects tasks of services for a time, or takes that back.
func (s *Service) protect(ctx context.Context, c *wire.Call, in object) (object, error) {
	minutes := in.Number("expiresInMinutes", protectedFor)
	if minutes < 1 || minutes > protectedMax {
		return nil, invalid("expiresInMinutes must be between 1 and %d.", protectedMax)
	}
	on := in.Is("protectionEnabled")
	until := s.Now().UTC().Add(time.Duration(minutes) * time.Minute)
	return s.eachTask(ctx, c, in, func(t task) error {
		doc, err := s.protections.Put(ctx, c.Region+"/"+t.instance.ID, func(p *protected) error {
			*p = protected{Until: until, End: !on}
			return nil
		})
		if err != nil {
			return err
		}
		return s.carryProtection(ctx, c.Region, t.instance, doc)
	})
}

func (s *Service) protection(ctx context.Context, c *wire.Call, in object) (object, error) {
	return s.eachTask(ctx, c, in, func(task) error { return nil })
}

// eachTask does something with the tasks that a request names, or with all of the cluster,
// and tells how they are protected then.
func (s *Service) eachTask(ctx context.Context, c *wire.Call, in object, do func(task) error) (object, error) {
	cluster := clusterOf(in, "cluster")
	if _, err := s.cluster(ctx, c.Region, cluster); err != nil {
		return nil, err
	}
	all, err := s.tasks(ctx, c.Region, cluster)
	if err != nil {
		return nil, err
	}
	names := in.Texts("tasks")
	if len(names) == 0 {
		for _, t := range all {
			if t.run == nil && t.instance.Lifecycle != cloud.Terminated {
				names = append(names, t.id)
			}
		}
	}
	told, failures := []any{}, []any{}
	for _, name := range names {
		at := slices.IndexFunc(all, func(t task) bool { return t.id == last(name) })
		switch {
		case at < 0:
			failures = append(failures, missing(s.arn(c.Region, "task/"+cluster+"/"+last(name))))
			continue
		case all[at].run != nil || all[at].instance.Lifecycle != cloud.InService:
			failures = append(failures, object{"arn": s.taskARN(c.Region, all[at]), "reason": "TASK_NOT_VALID", "detail": "The task is not a running task of a service."})
			continue
		}
		if err := do(all[at]); err != nil {
			return nil, err
		}
		p, err := s.protections.Get(ctx, c.Region+"/"+all[at].instance.ID)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return nil, err
		}
		o := object{"taskArn": s.taskARN(c.Region, all[at]), "protectionEnabled": err == nil && !p.End}
		if err == nil && !p.End {
			o["expirationDate"] = p.Until
		}
		told = append(told, o)
	}
	return object{"protectedTasks": told, "failures": failures}, nil
}

// carryProtection tells the region what is recorded of a task's protection.
func (s *Service) carryProtection(ctx context.Context, region string, i cloud.Instance, p protected) error {
	on := !p.End && p.Until.After(s.Now())
	if p.Told && on {
		return nil
	}
	err := s.Groups.Change(ctx, region, i, control.InstanceChange{Protect: &on, Key: fmt.Sprintf("aws.ecs/%s/protect/%d/%v", i.ID, p.Until.UnixNano(), on)})
	if problem.CodeOf(err) == problem.NotFound {
		on, err = false, nil // it has ended
	}
	if err != nil {
		return err
	}
	key := region + "/" + i.ID
	if on {
		_, err = s.protections.Update(ctx, key, func(now *protected) error {
			now.Told = now.Told || now.Until.Equal(p.Until)
			return nil
		})
	} else {
		err = s.protections.Delete(ctx, key, func(now protected) error {
			if !now.Until.Equal(p.Until) {
				return errUnchanged // it was protected anew
			}
			return nil
		})
	}
	if err == errUnchanged || problem.CodeOf(err) == problem.NotFound {
		err = nil
	}
	return err
}

// carryProtections tells the region what was not told, and takes back what has expired.
func (s *Service) carryProtections(ctx context.Context, region string, groups []cloud.ServerGroup) error {
	for e, err := range s.protections.All(ctx, region+"/") {
		if err != nil {
			return err
		}
		i := cloud.Instance{ID: e.Key[len(region)+1:], Region: region}
		for _, g := range groups {
			for _, one := range g.Instances {
				if one.ID == i.ID {
					i = one
				}
			}
		}
		if err := s.carryProtection(ctx, region, i, e.Doc); err != nil {
			return err
		}
	}
	return nil
}
