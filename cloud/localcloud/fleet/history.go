package fleet

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"time"

	"showrunner/cloud/driver"
)

// The limits on ended instances of removed groups: the newest of each region are
// kept until one of the limits is reached.
const (
	pastInstances = 200
	pastBytes     = 64 << 20
	pastAge       = 7 * 24 * time.Hour
)

// remember stores an instance's description beside its output. If that fails,
// only the list of ended instances is incomplete.
func (f *Fleet) remember(group string, i driver.Instance) {
	dir := f.folder.instance(group, i.ID)
	text, err := json.Marshal(i)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, recordName), text, 0o600)
	}
	if err != nil {
		f.config.Log.Warn("the description of an ended instance was not stored", "instance", i.ID, "err", err)
	}
}

const recordName = "instance.json"

// remembered reads the ended instances from a folder of instances, newest first.
func remembered(folder string) []driver.Instance {
	paths, err := filepath.Glob(filepath.Join(folder, "i-*", recordName))
	if err != nil {
		return nil
	}
	var list []driver.Instance
	for _, path := range paths {
		var i driver.Instance
		if text, err := os.ReadFile(path); err == nil && json.Unmarshal(text, &i) == nil && instanceID.MatchString(i.ID) {
			list = append(list, i)
		}
	}
	slices.SortFunc(list, func(a, b driver.Instance) int { return b.Ended.Compare(a.Ended) })
	return list
}

func (f *folder) past() string { return filepath.Join(f.path, "ended") }

// archive moves the ended instances of a removed group to the archive, and
// removes the group's folder. It may be repeated.
func (f *folder) archive(group string, now time.Time) error {
	instances := filepath.Join(f.group(group), "instances")
	if err := os.MkdirAll(f.past(), 0o700); err != nil {
		return err
	}
	for _, i := range remembered(instances) {
		if err := os.Rename(filepath.Join(instances, i.ID), filepath.Join(f.past(), i.ID)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(f.group(group)); err != nil {
		return err
	}
	return f.prunePast(now)
}

// prunePast enforces the limits on ended instances of removed groups.
func (f *folder) prunePast(now time.Time) error {
	var bytes int64
	for n, i := range remembered(f.past()) {
		dir := filepath.Join(f.past(), i.ID)
		bytes += sizeOf(dir)
		if n < pastInstances && bytes <= pastBytes && now.Sub(i.Ended) <= pastAge {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

func sizeOf(dir string) (total int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && !e.IsDir() {
			total += info.Size()
		}
	}
	return total
}

// EndedInstances implements driver.History.
func (f *Fleet) EndedInstances(_ context.Context, region string) ([]driver.Instance, error) {
	if err := f.checkRegion("fleet.ended", region); err != nil {
		return nil, err
	}
	list := remembered(f.folder.past())
	if list == nil {
		list = []driver.Instance{}
	}
	return list, nil
}
