package fleet

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"showrunner/bench/local"
	"showrunner/cloud"
)

// Budgets of growth between the first quarter of the deployments and the last.
const (
	mostGrown     = 1.25      // of memory, as a factor
	mostGrownDisk = 256 << 10 // of the region's records, in bytes
)

// growth deploys version after version into one region, each shifted in twenty
// steps and the earlier one destroyed, and measures what the region keeps.
func growth(ctx context.Context, s settings) (met bool, err error) {
	region, err := local.Start(ctx, s.exe)
	if err != nil {
		return false, err
	}
	defer region.Stop()
	group, err := region.Deploy(ctx, spec(1))
	if err != nil {
		return false, err
	}
	fmt.Printf("\n%11s %12s %12s %12s %12s\n", "deployments", "memory", "state.json", "records", "all files")
	type reading struct{ memory, records int64 }
	var readings []reading
	every := max(1, s.deployments/8)
	for n := 1; n <= s.deployments; n++ {
		if group, err = replace(ctx, region, group, n); err != nil {
			return false, err
		}
		if n%every != 0 {
			continue
		}
		var r reading
		if r.memory, err = local.Resident(region.PID); err != nil {
			return false, err
		}
		var state, files int64
		if state, r.records, files, err = weigh(region.Folder()); err != nil {
			return false, err
		}
		readings = append(readings, r)
		fmt.Printf("%11d %8.1f MiB %8.1f KiB %8.1f KiB %8.1f MiB\n", n, mib(r.memory), float64(state)/1024, float64(r.records)/1024, mib(files))
	}
	first, last := readings[1], readings[len(readings)-1]
	met = float64(last.memory) <= mostGrown*float64(first.memory) && last.records-first.records <= mostGrownDisk
	fmt.Printf("between a quarter and all of them: memory %+.1f MiB (at most %.2f times as much), records %+.1f KiB (at most %d): %s\n",
		mib(last.memory-first.memory), mostGrown, float64(last.records-first.records)/1024, mostGrownDisk>>10, verdict(met))
	return met, nil
}

// replace deploys the next version and destroys the one before.
func replace(ctx context.Context, region *local.Region, old string, n int) (string, error) {
	next := spec(1)
	next.Version, next.Weight = fmt.Sprint(n+1), 0
	fresh, err := region.Deploy(ctx, next)
	if err != nil {
		return "", err
	}
	for step := range 20 {
		share := float64(step+1) * 5
		if err := region.Cloud.SetWeights(ctx, local.Name, "bench", map[string]float64{fresh: share, old: 100 - share}, cloud.Guard{MinServing: 1}, region.Key()); err != nil {
			return "", err
		}
	}
	if err := region.Cloud.Destroy(ctx, local.Name, old, cloud.Guard{MinServing: 1}, region.Key()); err != nil {
		return "", err
	}
	return fresh, gone(ctx, region, old)
}

// gone waits until a group no longer exists.
func gone(ctx context.Context, region *local.Region, name string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var seen cloud.Changes
	for {
		groups, err := region.Cloud.ServerGroups(ctx, local.Name, "bench")
		if err != nil {
			return err
		}
		there := false
		for _, g := range groups {
			there = there || g.Name == name
		}
		if !there {
			return nil
		}
		if seen, err = region.Cloud.WaitChanges(ctx, local.Name, seen.Revision); err != nil {
			return fmt.Errorf("%s is not gone: %w", name, err)
		}
	}
}

// weigh sums the sizes of files in a region's folder: its state, its records (all
// files except those that groups run from and write), and all files.
func weigh(folder string) (state, records, files int64, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // the file was removed meanwhile
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		files += info.Size()
		if d.Name() == "state.json" && filepath.Base(filepath.Dir(path)) == "fleet" {
			state = info.Size()
		}
		if rel, _ := filepath.Rel(folder, path); filepath.Dir(rel) == "fleet" || filepath.Dir(rel) == "." {
			records += info.Size()
		}
		return nil
	})
	return state, records, files, err
}
