package storm

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"

	"showrunner/bench/environment"
	"showrunner/cloud"
	"showrunner/internal/pause"
	"showrunner/pipeline"
)

type phase func(ctx context.Context, w fleet, s settings, rng *rand.Rand) (row, error)

var phases = map[string]phase{
	"quiet": func(ctx context.Context, w fleet, s settings, _ *rand.Rand) (row, error) {
		return w.phase(ctx, s, func() (string, error) { return "nothing", nil })
	},
	"kills": func(ctx context.Context, w fleet, s settings, rng *rand.Rand) (row, error) {
		return w.phase(ctx, s, func() (string, error) { return w.signalInstances(ctx, s, rng, s.kills, syscall.SIGKILL) })
	},
	"hangs": func(ctx context.Context, w fleet, s settings, rng *rand.Rand) (row, error) {
		return w.phase(ctx, s, func() (string, error) { return w.signalInstances(ctx, s, rng, s.hangs, syscall.SIGSTOP) })
	},
	"zone": func(ctx context.Context, w fleet, s settings, rng *rand.Rand) (row, error) {
		return w.phase(ctx, s, func() (string, error) { return w.zone(ctx, s, rng) })
	},
	"region": func(ctx context.Context, w fleet, s settings, rng *rand.Rand) (row, error) {
		return w.phase(ctx, s, func() (string, error) { return w.region(ctx, s, rng) })
	},
	"surge": surge,
}

// phase makes requests while f runs, for at least the length of a phase, and
// until everything serves again.
func (w fleet) phase(ctx context.Context, s settings, f func() (string, error)) (r row, err error) {
	r.Load, err = w.Attack(ctx, cluster, s.rate, func() error {
		end := time.Now().Add(s.length)
		var err error
		if r.What, err = f(); err != nil {
			return err
		}
		if err := w.Whole(ctx, cluster, 2*time.Minute); err != nil {
			return err
		}
		return pause.For(ctx, time.Until(end))
	})
	return r, err
}

// signalInstances sends a signal to n random serving instances at random times of the
// phase, whether or not earlier ones have been replaced.
func (w fleet) signalInstances(ctx context.Context, s settings, rng *rand.Rand, n int, sig syscall.Signal) (string, error) {
	began := time.Now()
	at := make([]time.Duration, n)
	for i := range at {
		at[i] = time.Duration(rng.Int64N(int64(s.length)))
	}
	slices.Sort(at)
	for _, when := range at {
		if err := pause.For(ctx, time.Until(began.Add(when))); err != nil {
			return "", err
		}
		if err := w.signalOne(ctx, rng, sig); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d × %s", n, sig), nil
}

// signalOne sends a signal to a random serving instance. One that has just ended does
// not count: another is chosen.
func (w fleet) signalOne(ctx context.Context, rng *rand.Rand, sig syscall.Signal) error {
	for {
		serving := w.Serving(ctx, cluster)
		if len(serving) == 0 {
			return fmt.Errorf("nothing serves")
		}
		err := syscall.Kill(serving[rng.IntN(len(serving))].PID, sig)
		if !errors.Is(err, syscall.ESRCH) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// zone takes one zone away for a third of the phase.
func (w fleet) zone(ctx context.Context, s settings, rng *rand.Rand) (string, error) {
	region := environment.Regions()[rng.IntN(len(environment.Regions()))]
	list, err := w.Cloud.Regions(ctx)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(list, func(r cloud.Region) bool { return r.Name == region })
	name := list[at].Zones[rng.IntN(len(list[at].Zones))]
	if err := pause.For(ctx, s.length/6); err != nil {
		return "", err
	}
	if err := w.Cloud.SetZone(ctx, region, name, true, w.Key()); err != nil {
		return "", err
	}
	began := time.Now()
	if err := environment.Until(ctx, time.Minute, "nothing runs in "+name, func() error {
		for _, g := range w.Groups(ctx, cluster) {
			for _, i := range g.Instances {
				if i.Zone == name {
					return fmt.Errorf("%s is there", i.ID)
				}
			}
		}
		return nil
	}); err != nil {
		return "", err
	}
	if err := w.Whole(ctx, cluster, time.Minute); err != nil {
		return "", err
	}
	whole := time.Since(began)
	if err := pause.For(ctx, s.length/3); err != nil {
		return "", err
	}
	if err := w.Cloud.SetZone(ctx, region, name, false, w.Key()); err != nil {
		return "", err
	}
	return fmt.Sprintf("zone %s gone for %s; all desired served again after %s", name, s.length/3, whole.Round(time.Millisecond)), nil
}

// region kills a region's process with everything in it; up restarts it.
func (w fleet) region(ctx context.Context, s settings, rng *rand.Rand) (string, error) {
	name := environment.Regions()[rng.IntN(len(environment.Regions()))]
	if err := pause.For(ctx, s.length/6); err != nil {
		return "", err
	}
	var before []int
	for _, g := range w.Groups(ctx, cluster) {
		for _, i := range g.Instances {
			if g.Region == name {
				before = append(before, i.PID)
			}
		}
	}
	began := time.Now()
	if err := w.Kill(ctx, "region-"+name); err != nil {
		return "", err
	}
	if err := w.Whole(ctx, cluster, time.Minute); err != nil {
		return "", err
	}
	whole := time.Since(began)
	for _, i := range before {
		if environment.Runs(i) {
			return "", fmt.Errorf("instance process %d outlived its region", i)
		}
	}
	return fmt.Sprintf("process of %s killed; back with all its instances after %s", name, whole.Round(time.Millisecond)), nil
}

// surge tests target tracking with a load that grows tenfold and falls back. One
// region takes all of the load, so that only its policy acts.
func surge(ctx context.Context, w fleet, s settings, _ *rand.Rand) (r row, err error) {
	target := float64(s.surgeBase) / 2 // two instances are enough before and after
	policy := pipeline.ScalingPolicy{Name: "requests", Target: &pipeline.TargetTracking{Metric: "requests-per-target", Value: target, Warmup: pipeline.Duration(2 * time.Second)}}
	if err := w.replaceAll(ctx, pipeline.Capacity{Min: 1, Desired: 2, Max: 30}, []pipeline.ScalingPolicy{policy}); err != nil {
		return r, err
	}
	size := func() int {
		n := 0
		for _, g := range w.Groups(ctx, cluster) {
			n += g.Serving()
		}
		return n
	}
	before := size()
	calm, err := w.Attack(ctx, cluster, s.surgeBase*len(environment.Regions()), func() error { return pause.For(ctx, s.length/4) })
	if err != nil {
		return r, err
	}
	var held time.Duration
	peak := 0
	r.Load, err = w.Attack(ctx, cluster, s.surgePeak*len(environment.Regions()), func() error {
		began := time.Now()
		need := len(environment.Regions()) * s.surgePeak / int(target)
		if err := environment.Until(ctx, time.Minute, "the surge is held", func() error {
			if n := size(); n < need {
				return fmt.Errorf("%d instances serve, %d are needed", n, need)
			}
			return nil
		}); err != nil {
			return err
		}
		held = time.Since(began)
		return nil
	})
	if err != nil {
		return r, err
	}
	holding, err := w.Attack(ctx, cluster, s.surgePeak*len(environment.Regions()), func() error { return pause.For(ctx, s.length/2) })
	if err != nil {
		return r, err
	}
	peak = size()
	after, err := w.Attack(ctx, cluster, s.surgeBase*len(environment.Regions()), func() error {
		return environment.Until(ctx, 2*time.Minute, "the fleet has shrunk", func() error {
			if n := size(); n > before+len(environment.Regions()) {
				return fmt.Errorf("%d instances serve, %d did before", n, before)
			}
			return nil
		})
	})
	for _, l := range []environment.Load{calm, holding, after} {
		r.Safe.Requests, r.Safe.Failed = r.Safe.Requests+l.Safe.Requests, r.Safe.Failed+l.Safe.Failed
		r.Safe.Failures = append(r.Safe.Failures, l.Safe.Failures...)
		r.Unsafe.Requests, r.Unsafe.Failed = r.Unsafe.Requests+l.Unsafe.Requests, r.Unsafe.Failed+l.Unsafe.Failed
	}
	r.What = fmt.Sprintf("%d/s → %d/s → %d/s: %d instances → %d (enough after %s) → %d; times are of the growing, p99 was %s before it, %s once there were enough and %s after the surge",
		s.surgeBase*len(environment.Regions()), s.surgePeak*len(environment.Regions()), s.surgeBase*len(environment.Regions()), before, peak, held.Round(time.Millisecond), size(),
		calm.Safe.P99.Round(time.Millisecond), holding.Safe.P99.Round(time.Millisecond), after.Safe.P99.Round(time.Millisecond))
	return r, err
}

// replaceAll deploys the service anew and removes the earlier groups, as
// highlander does.
func (w fleet) replaceAll(ctx context.Context, capacity pipeline.Capacity, scaling []pipeline.ScalingPolicy) error {
	for _, g := range w.Groups(ctx, cluster) {
		if err := w.Cloud.Destroy(ctx, g.Region, g.Name, cloud.Guard{}, w.Key()); err != nil {
			return err
		}
	}
	if err := environment.Until(ctx, time.Minute, "the earlier groups are gone", func() error {
		if n := len(w.Groups(ctx, cluster)); n > 0 {
			return fmt.Errorf("%d groups are there", n)
		}
		return nil
	}); err != nil {
		return err
	}
	return w.deploy(ctx, capacity, scaling)
}
