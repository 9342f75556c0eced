package ecs

import (
	"context"
	"reflect"
	"slices"
	"time"

	"showrunner/awsapi/carry"
	"showrunner/cloud"
	"showrunner/problem"
)

// inactiveKept is how long a service is described after it has ended.
const inactiveKept = 24 * time.Hour

// carry asks the region for what a service's record says is still to be asked. It may
// be called again for the same, by several at once.
func (s *Service) carry(ctx context.Context, region string, v service) (service, error) {
	q := carry.Queue[service, action]{
		First: func(v service) (action, bool) {
			if len(v.Pending) == 0 {
				return action{}, false
			}
			return v.Pending[0], true
		},
		Act: func(ctx context.Context, v *service, a action) (string, error) { return s.act(ctx, region, v, a) },
		Strike: func(ctx context.Context, v service, a action, made string, failure error) (service, error) {
			return s.struck(ctx, region, v, a, made, failure)
		},
		Makes: func(a action) bool { return a.Do == "create" },
	}
	return q.Drain(ctx, v)
}

// act asks the region for one action. made is the server group of a creation.
func (s *Service) act(ctx context.Context, region string, v *service, a action) (made string, err error) {
	d, key := v.find(a.Deployment), v.key(a)
	if d == nil || d.Group == "" && a.Do != "create" { // it could not be made
		return "", nil
	}
	switch a.Do {
	case "create":
		g, err := s.Groups.Create(ctx, region, d.spec(v.Fleet, a.Count), key)
		return g.Name, err
	case "resize":
		return "", s.Groups.Resize(ctx, region, d.Group, capacity(a.Count), key)
	}
	return "", s.Groups.Destroy(ctx, region, d.Group, key)
}

// struck is a service without an action that was asked for. A deployment that can never
// be made has failed.
func (s *Service) struck(ctx context.Context, region string, v service, a action, made string, failure error) (service, error) {
	return s.services.Update(ctx, serviceKey(region, v), func(now *service) error {
		if !now.Created.Equal(v.Created) {
			return problem.New(problem.NotFound, "ecs", "the service %s is another one", v.Name)
		}
		if !slices.ContainsFunc(now.Pending, func(p action) bool { return p.Number == a.Number }) {
			return nil // another has struck it
		}
		now.Pending = slices.DeleteFunc(now.Pending, func(p action) bool { return p.Number == a.Number })
		d := now.find(a.Deployment)
		switch {
		case d == nil:
		case made != "":
			d.Group = made
		case failure != nil && a.Do == "create":
			d.State, d.Reason, d.Updated = failed, "ECS deployment failed: "+message(failure), s.Now().UTC()
			d.Making, d.Asked = false, 0
			now.say(s.Now(), "(deployment %s) deployment failed: %s", d.ID, message(failure))
		}
		return nil
	})
}

// Run carries out what is recorded and not done, and carries deployments on, until ctx
// ends: when a region changes, and every so often.
func (s *Service) Run(ctx context.Context, every time.Duration) {
	carry.Loop{Watcher: s.Groups, Regions: s.Regions, Every: every, Once: s.Carry, What: "services of ECS", Log: s.Log}.Run(ctx)
	s.following.Wait()
}

// Carry does once what Run does.
func (s *Service) Carry(ctx context.Context, region string) error {
	if err := s.carryRuns(ctx, region); err != nil {
		return err
	}
	list, err := s.list(ctx, region, "")
	if err != nil {
		return err
	}
	some, err := s.some(ctx, region)
	if err != nil || len(list) == 0 && !some {
		return err
	}
	groups, err := s.Groups.List(ctx, region, "")
	if err != nil {
		return err
	}
	failure := s.followOutputs(ctx, region, list, groups)
	for _, v := range list {
		if _, err := s.tend(ctx, region, v, groups); err != nil {
			failure = err
		}
	}
	if err := s.forgetStops(ctx, region); err != nil {
		failure = err
	}
	if err := s.carryProtections(ctx, region, groups); err != nil {
		failure = err
	}
	return failure
}

// some says whether tasks have run without a service, lately.
func (s *Service) some(ctx context.Context, region string) (bool, error) {
	for _, err := range s.runs.All(ctx, region+"/") {
		return err == nil, err
	}
	return false, nil
}

// tend does for one service what is due. The groups were listed after the service was read.
func (s *Service) tend(ctx context.Context, region string, v service, groups []cloud.ServerGroup) (service, error) {
	v, err := s.tellTargets(ctx, region, v)
	if err != nil {
		return v, err
	}
	if v.Status == inactive {
		if s.Now().Sub(v.Ended) < inactiveKept {
			return v, nil
		}
		err := s.services.Delete(ctx, serviceKey(region, v), func(now service) error { return v.same(now) })
		if problem.CodeOf(err) == problem.NotFound {
			err = nil
		}
		return v, err
	}
	if len(v.Pending) > 0 {
		return s.carry(ctx, region, v)
	}
	next, err := s.services.Update(ctx, serviceKey(region, v), func(now *service) error {
		if err := v.same(*now); err != nil {
			return err
		}
		before := now.clone()
		if now.advance(groups, s.Now()); reflect.DeepEqual(before, *now) {
			return errUnchanged
		}
		return nil
	})
	switch {
	case err == errUnchanged, problem.CodeOf(err) == problem.NotFound:
		return next, nil
	case err != nil:
		return next, err
	}
	return s.carry(ctx, region, next)
}

// errUnchanged ends an update that would change nothing.
var errUnchanged = problem.New(problem.Precondition, "ecs", "nothing has changed")

// same refuses a record that was asked for something since the other was read: what was
// seen of the region is older then.
func (s service) same(now service) error {
	if now.Created.Equal(s.Created) && now.Actions == s.Actions && len(now.Pending) == len(s.Pending) {
		return nil
	}
	return problem.New(problem.NotFound, "ecs", "the service %s is another one by now", s.Name)
}

// clone is a copy whose lists may be changed apart.
func (s service) clone() service {
	s.Deployments, s.History, s.Events, s.Tasks, s.Pending = slices.Clone(s.Deployments), slices.Clone(s.History), slices.Clone(s.Events), slices.Clone(s.Tasks), slices.Clone(s.Pending)
	return s
}

// settle carries a service on as far as it can be now. A region that is unreachable is asked
// again later.
func (s *Service) settle(ctx context.Context, region, key string) (service, error) {
	v, err := s.services.Get(ctx, key)
	for range 2 { // what was still to be asked first, then what follows from it
		if err != nil {
			break
		}
		var groups []cloud.ServerGroup
		if groups, err = s.Groups.List(ctx, region, v.Fleet); err == nil {
			v, err = s.tend(ctx, region, v, groups)
		}
	}
	if problem.CodeOf(err) == problem.Unavailable {
		err = nil
	}
	return v, err
}
