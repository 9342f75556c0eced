package environment

import (
	"context"
	"fmt"
	"time"

	"showrunner/cloud"
	"showrunner/control"
	"showrunner/rollout"
)

// Groups are a cluster's server groups in every region; a region that does not
// answer has none.
func (w *World) Groups(ctx context.Context, cluster string) []cloud.ServerGroup {
	var all []cloud.ServerGroup
	for _, r := range Regions() {
		if list, err := w.Cloud.ServerGroups(ctx, r, cluster); err == nil {
			all = append(all, list...)
		}
	}
	return all
}

// Serving lists the instances that take requests.
func (w *World) Serving(ctx context.Context, cluster string) []cloud.Instance {
	var list []cloud.Instance
	for _, g := range w.Groups(ctx, cluster) {
		for _, i := range g.Instances {
			if g.Enabled() && i.Serving() {
				list = append(list, i)
			}
		}
	}
	return list
}

// CleanedUp waits until the clean-up of every rollout has finished.
func (w *World) CleanedUp(ctx context.Context, cluster string, limit time.Duration) error {
	return Until(ctx, limit, "the replaced groups are cleaned up", func() error {
		var list []control.Cluster
		if err := w.Read(ctx, &list, "clusters", cluster); err != nil {
			return err
		}
		for _, c := range list {
			for _, f := range c.GroupCleanUps {
				if f.Action != rollout.Kept {
					return fmt.Errorf("%s: %s", f.ServerGroup, f.Text)
				}
			}
		}
		return nil
	})
}

// Whole waits until every region has one group in traffic with its full capacity
// in service, and every group has its exact number of instances.
func (w *World) Whole(ctx context.Context, cluster string, limit time.Duration) error {
	return Until(ctx, limit, "every region serves", func() error {
		inTraffic := map[string]bool{}
		for _, g := range w.Groups(ctx, cluster) {
			inTraffic[g.Region] = inTraffic[g.Region] || g.Enabled()
			if g.Destroying || g.Serving() != g.Capacity.Desired || len(g.Instances) != g.Capacity.Desired {
				return fmt.Errorf("%s: %d of %d serve, %d exist; last failure %+v", g.Name, g.Serving(), g.Capacity.Desired, len(g.Instances), g.LastFailure)
			}
		}
		for _, r := range Regions() {
			if !inTraffic[r] {
				return fmt.Errorf("%s has nothing in traffic, or does not answer", r)
			}
		}
		return nil
	})
}
