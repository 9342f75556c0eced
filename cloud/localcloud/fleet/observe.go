package fleet

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// ZoneState is one zone of the region.
type ZoneState struct {
	Name      string `json:"name"`
	Down      bool   `json:"down"`
	Instances int    `json:"instances"` // instances that have not ended
}

// Regions implements driver.Cloud: only this region.
func (f *Fleet) Regions(context.Context) ([]driver.Region, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := driver.Region{Name: f.config.Region, Zones: slices.Clone(f.config.Zones), Healthy: !f.closing, Since: f.since,
		Address: f.config.Address, S3: f.config.S3, Processes: len(f.instances)}
	for _, z := range f.config.Zones {
		if _, down := f.doc.DownZones[z]; down {
			r.DownZones = append(r.DownZones, z)
		}
	}
	return []driver.Region{r}, nil
}

// Zones lists the region's zones.
func (f *Fleet) Zones(_ context.Context, region string) ([]ZoneState, error) {
	if err := f.checkRegion("fleet.zones", region); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []ZoneState
	for _, z := range f.config.Zones {
		state := ZoneState{Name: z}
		_, state.Down = f.doc.DownZones[z]
		for _, i := range f.instances {
			if i.zone == z {
				state.Instances++
			}
		}
		list = append(list, state)
	}
	return list, nil
}

// ServerGroups implements driver.Versions.
func (f *Fleet) ServerGroups(_ context.Context, region, cluster string) ([]driver.ServerGroup, error) {
	if err := f.checkRegion("fleet.list", region); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := []driver.ServerGroup{}
	for _, g := range f.groupsOf(cluster) {
		list = append(list, f.observe(g))
	}
	return list, nil
}

// Counts implements driver.Counter.
func (f *Fleet) Counts(_ context.Context, region, cluster string) ([]driver.Counts, error) {
	if err := f.checkRegion("fleet.counts", region); err != nil {
		return nil, err
	}
	return f.config.Balancer.Counts(cluster), nil
}

// WaitChanges implements driver.Watcher.
func (f *Fleet) WaitChanges(ctx context.Context, region string, revision uint64) (driver.Changes, error) {
	if err := f.checkRegion("fleet.wait", region); err != nil {
		return driver.Changes{}, err
	}
	for {
		f.mu.Lock()
		now, changed, closing := f.changesSince(revision), f.changed, f.closing
		f.mu.Unlock()
		if closing {
			return driver.Changes{}, problem.New(problem.Unavailable, "fleet.wait", "region %s shuts down", f.config.Region)
		}
		if now.All || now.Revision != revision {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// changesSince lists the clusters that have changed since a revision of this
// region process. The fleet is locked.
func (f *Fleet) changesSince(revision uint64) driver.Changes {
	now := driver.Changes{Revision: f.revision}
	if first := uint64(f.since.UnixNano()); revision < first || revision > f.revision {
		now.All = true
		return now
	}
	if revision == f.revision {
		return now
	}
	for cluster, changed := range f.revisions {
		if changed > revision {
			now.Clusters = append(now.Clusters, cluster)
		}
	}
	slices.Sort(now.Clusters)
	return now
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

var instanceID = regexp.MustCompile(`^i-[0-9a-f]{17}$`)

// InstanceLog implements driver.Logs. The output of ended instances is kept for a
// while, also across restarts of the region. Following ends with the instance.
func (f *Fleet) InstanceLog(ctx context.Context, region, id string, follow bool, to io.Writer) error {
	const op = "fleet.log"
	if err := f.checkRegion(op, region); err != nil {
		return err
	}
	none := problem.New(problem.NotFound, op, "there is no output of an instance %s in %s", id, region)
	if !instanceID.MatchString(id) {
		return none
	}
	for follow {
		f.mu.Lock()
		i := f.instances[id]
		var out *output
		var started <-chan struct{}
		if i != nil {
			out, started = i.output, f.changed
		}
		f.mu.Unlock()
		switch {
		case i == nil:
			follow = false
		case out != nil:
			return out.follow(ctx, to)
		default:
			select { // its process has not started yet
			case <-started:
			case <-ctx.Done():
				return nil
			}
		}
	}
	found, err := filepath.Glob(filepath.Join(f.folder.path, "groups", "*", "instances", id))
	if past := filepath.Join(f.folder.past(), id); err == nil && len(found) == 0 && exists(past) {
		found = []string{past}
	}
	if err != nil || len(found) == 0 {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.instances[id] != nil {
			return nil // no output yet
		}
		return none
	}
	path := filepath.Join(found[0], "output.log")
	if _, err := os.Stat(path); err != nil {
		return nil
	}
	return copyKept(path, to)
}
