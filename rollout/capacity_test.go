package rollout_test

import (
	"testing"

	"pgregory.net/rapid"

	"showrunner/pipeline"
	"showrunner/rollout"
)

// The capacity that a finished rollout records is the capacity of its group, as
// drift compares them: also when the group is not new, and when it is larger than
// the specification asks for, because scaling or a person has grown it.
func TestAFinishedRolloutRecordsTheCapacityOfItsGroup(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		spec, old, name := drawSpec(t)
		spec.Group.Fingerprint = "new"
		spec.Group.Capacity.Max = rapid.IntRange(spec.Group.Capacity.Desired, 40).Draw(t, "max")
		spec.Group.Capacity.Min = rapid.IntRange(0, spec.Group.Capacity.Desired).Draw(t, "min")
		s := newSimOf(t, old)
		had := rapid.SampledFrom([]string{"another version", "in traffic", "kept"}).Draw(t, "had")
		for _, r := range s.regions {
			if had == "another version" || len(r.groups) == 0 {
				continue
			}
			r.groups[0].Spec.Fingerprint = "new"
			if had == "kept" {
				newer := r.groups[0].Spec
				newer.Fingerprint, newer.Capacity, newer.Weight = "newer", pipeline.Capacity{Min: 1, Desired: rapid.IntRange(1, 24).Draw(t, "newer"), Max: 40}, 100
				r.groups[0].Weight = 0
				r.create(s, newer)
				for i := range r.groups[1].Instances {
					r.groups[1].Instances[i].Healthy = true
				}
			}
		}
		st, failure, done := s.run(spec, rapid.Bool().Draw(t, "crashes"), func(rollout.State) {})
		if !done || failure != nil {
			t.Fatalf("%s: done %v, failure %+v", name, done, failure)
		}
		for region, r := range s.regions {
			for _, g := range r.groups {
				if rs := st.Regions[region]; g.Name == rs.New && g.Capacity != rs.FinalCapacity {
					t.Errorf("%s, %s: %s in %s has %+v, and the rollout records %+v", name, had, g.Name, region, g.Capacity, rs.FinalCapacity)
				}
			}
		}
	})
}
