package fleet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"showrunner/cloud/cloudtest"
	"showrunner/cloud/driver"
)

// The output of the instances of a removed version, and the reasons of their end,
// can be read, also after a restart of the region.
func TestEvidenceOutlivesAVersion(t *testing.T) {
	t.Parallel()
	r := openReal(t)
	g := r.Create(r.Spec("app", cloudtest.ExitAtOnce, 1))
	g = r.Wait(g.Name, "failing", func(g driver.ServerGroup) bool { return len(g.Ended) > 0 })
	id := g.Ended[len(g.Ended)-1].ID
	served := r.WaitServing(r.Create(r.Spec("other", cloudtest.Serve, 1)).Name, 1)
	for _, name := range []string{g.Name, served.Name} {
		if err := r.Destroy(t.Context(), "test-1", name, driver.Guard{}, r.Key()); err != nil {
			t.Fatal(err)
		}
		r.WaitGone(name)
	}
	check := func(when string) {
		t.Helper()
		eventually(t, when+": both are among those that ended", func() bool {
			list, err := r.EndedInstances(t.Context(), "test-1")
			if err != nil {
				t.Fatal(err)
			}
			found := 0
			for _, i := range list {
				switch {
				case i.ID == id && i.Failure != nil && i.Failure.Code == "EXITED" && strings.Contains(strings.Join(i.Failure.LastLog, "\n"), "the configuration is missing"):
					found++
				case i.ID == served.Instances[0].ID && i.Failure == nil && !i.Ended.IsZero() && i.ServerGroup == served.Name:
					found++
				}
			}
			return found == 2
		})
		for id, wrote := range map[string]string{id: "the configuration is missing", served.Instances[0].ID: "draining"} {
			var log bytes.Buffer
			if err := r.InstanceLog(t.Context(), "test-1", id, false, &log); err != nil || !strings.Contains(log.String(), wrote) {
				t.Errorf("%s: the log of %s: %q, %v", when, id, log.String(), err)
			}
		}
	}
	check("once the versions are gone")
	if _, err := os.Stat(filepath.Join(r.dir, "groups", g.Name)); !os.IsNotExist(err) {
		t.Errorf("the folder of a removed group is left: %v", err)
	}
	again := r.Create(r.Spec("again", cloudtest.ExitAtOnce, 1))
	r.Wait(again.Name, "failing", func(g driver.ServerGroup) bool { return len(g.Ended) > 0 })
	r.stop()
	r.start()
	check("after a restart")
	if g, _ := cloudtest.New(t, r.target()).Group(again.Name); len(g.Ended) == 0 {
		t.Error("after a restart an existing version has forgotten its ended instances")
	}
}

// Ended instances of removed groups are limited by number, by size and by age.
func TestEndedInstancesAreLimited(t *testing.T) {
	f := &folder{path: t.TempDir()}
	now := epoch.Add(30 * 24 * time.Hour)
	keep := func(n int, ended time.Time, output int) string {
		i := driver.Instance{ID: fmt.Sprintf("i-%017x", n), Ended: ended}
		fleet := &Fleet{folder: f}
		fleet.remember("app-v000", i)
		dir := f.instance("app-v000", i.ID)
		if err := os.WriteFile(filepath.Join(dir, "output.log"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(dir, "output.log"), int64(output)); err != nil {
			t.Fatal(err)
		}
		return i.ID
	}
	there := func(id string) bool { _, err := os.Stat(filepath.Join(f.past(), id)); return err == nil }
	old := keep(1, now.Add(-pastAge-time.Hour), 1)
	young := keep(2, now.Add(-time.Hour), 1)
	if err := f.archive("app-v000", now); err != nil {
		t.Fatal(err)
	}
	if there(old) || !there(young) {
		t.Errorf("by age: the old one is kept: %v, the young one: %v", there(old), there(young))
	}
	large := keep(3, now.Add(-time.Minute), pastBytes)
	small := keep(4, now, 10)
	if err := f.archive("app-v000", now); err != nil {
		t.Fatal(err)
	}
	if there(large) || there(young) || !there(small) {
		t.Errorf("by size: the large one is kept: %v, the older one: %v, the newest: %v", there(large), there(young), there(small))
	}
	for n := range pastInstances + 50 {
		keep(10+n, now.Add(time.Duration(n)*time.Second), 1)
	}
	if err := f.archive("app-v000", now); err != nil {
		t.Fatal(err)
	}
	if list := remembered(f.past()); len(list) != pastInstances || list[0].ID != fmt.Sprintf("i-%017x", 10+pastInstances+49) {
		t.Errorf("by number: %d are kept, the newest is %s", len(list), list[0].ID)
	}
}
