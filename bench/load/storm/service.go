package storm

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"showrunner/artifact"
	"showrunner/bench/environment"
	"showrunner/cloud"
	"showrunner/pipeline"
)

const cluster = "storm"

// fleet is an environment with the service in every region of it.
type fleet struct{ *environment.World }

// deploy creates the service in every region and waits until it serves.
func (w fleet) deploy(ctx context.Context, capacity pipeline.Capacity, scaling []pipeline.ScalingPolicy) error {
	dir, err := os.MkdirTemp(w.Dir, "service-")
	if err != nil {
		return err
	}
	if err := environment.Service(ctx, dir); err != nil {
		return err
	}
	store, err := artifact.Open(filepath.Join(w.Data, "artifacts"))
	if err != nil {
		return err
	}
	ref, _, err := store.PutDir(ctx, dir, nil)
	if err != nil {
		return err
	}
	for _, r := range environment.Regions() {
		spec := cloud.ServerGroupSpec{Cluster: cluster, Version: "1", Workload: cloud.Workload{Process: &cloud.Process{Artifact: ref, Command: []string{"./service"}}},
			Health:   pipeline.Health{Path: "/healthz", Interval: pipeline.Duration(500 * time.Millisecond), Timeout: pipeline.Duration(time.Second)},
			Capacity: capacity, Scaling: scaling, Drain: 10 * time.Second, StopTimeout: 5 * time.Second, Weight: 100}
		if _, err := w.Cloud.CreateServerGroup(ctx, r, spec, w.Key()); err != nil {
			return err
		}
	}
	return w.Whole(ctx, cluster, time.Minute)
}
