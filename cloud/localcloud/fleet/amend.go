package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// Amend implements driver.Amender. A new artifact gets a folder of its own:
// running instances keep the files they were started with.
func (f *Fleet) Amend(_ context.Context, region, name string, spec driver.ServerGroupSpec, key string) error {
	const op = "fleet.amend"
	spec, err := checkSpec(spec)
	if err == nil {
		err = f.checkZones(op, spec)
	}
	if err != nil {
		return err
	}
	_, err = f.mutate(op, region, key, []any{name, driver.Identity(spec)}, func(next *document) (func(), *madeOnce, error) {
		g, r, err := f.find(next, op, name)
		if err != nil {
			return nil, nil, err
		}
		if r.Destroying {
			return nil, nil, problem.New(problem.Conflict, op, "server group %s is being destroyed", name)
		}
		if err := driver.CheckAmend(r.Spec, spec); err != nil {
			return nil, nil, err
		}
		env := plainEnv(spec.Env)
		if r.Env, err = f.folder.seal(env); err != nil {
			return nil, nil, problem.Wrap(err, problem.Internal, op, "the environment of %s cannot be encrypted", name)
		}
		if r.Spec.Workload.Artifact() != spec.Workload.Artifact() {
			r.Copies++
		}
		was := r.Spec
		r.Spec = spec
		r.Spec.Env, r.Spec.Capacity, r.Spec.Weight = nil, was.Capacity, was.Weight
		next.Groups[name] = r
		return func() {
			fresh := f.newGroup(name, r, env)
			g.env, g.unenforced = env, fresh.unenforced
			g.scaler.amend(fresh.scaler)
			g.backoff = backoff{} // the next launches use the new specification
			f.push(g.cluster)
			f.bump(g.cluster)
		}, nil, nil
	})
	return err
}

// amend applies new policies; unchanged policies keep their evidence and their
// next due time.
func (s *scaler) amend(fresh scaler) {
	for n, p := range fresh.policies {
		at := slices.IndexFunc(s.policies, func(was policy) bool { return equalPolicy(was, p) })
		if at >= 0 {
			fresh.policies[n] = s.policies[at]
		}
	}
	s.policies = fresh.policies
}

func equalPolicy(a, b policy) bool {
	same, err := json.Marshal([]any{a.ScalingPolicy})
	other, err2 := json.Marshal([]any{b.ScalingPolicy})
	return err == nil && err2 == nil && bytes.Equal(same, other)
}

// checkZones refuses zones that the region does not have.
func (f *Fleet) checkZones(op string, s driver.ServerGroupSpec) error {
	for _, z := range s.Zones {
		if !slices.Contains(f.config.Zones, z) {
			return problem.New(problem.Invalid, op, "there is no zone %s in %s", z, f.config.Region).WithHelp("the zones are %v", f.config.Zones)
		}
	}
	return nil
}
