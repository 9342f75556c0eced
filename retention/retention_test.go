package retention

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/cloud/journal"
	"showrunner/execution"
	"showrunner/internal/filelock"
	"showrunner/pipeline"
	"showrunner/problem"
)

const age = 24 * time.Hour

// kept is the executions that the engine still keeps.
type kept map[string]execution.Execution

func (k kept) Get(_ context.Context, id string) (execution.Execution, error) {
	if e, ok := k[id]; ok {
		return e, nil
	}
	return execution.Execution{}, problem.New(problem.NotFound, "test", "no execution %s", id)
}

// List returns one execution a page, so that paging is part of every test.
func (k kept) List(_ context.Context, q execution.Query) (page execution.Page, err error) {
	var ids []string
	for id, e := range k {
		if e.Created.Before(q.Until) && id > q.After {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	if len(ids) > 0 {
		page.Executions = []execution.Execution{{ID: ids[0]}} // without stages
	}
	if len(ids) > 1 {
		page.Next = ids[0]
	}
	return page, nil
}

// accounts is one account, local.
type accounts struct{ local *cloud.Account }

func (accounts) Names() []string                          { return []string{"local"} }
func (a accounts) Account(string) (*cloud.Account, error) { return a.local, nil }

// unreachableCloud is a cloud with one region that does not answer.
type unreachableCloud struct{ *memcloud.Cloud }

func (a unreachableCloud) ServerGroups(ctx context.Context, region, cluster string) ([]cloud.ServerGroup, error) {
	return nil, problem.New(problem.Unavailable, "test", "region %s is unreachable", region)
}

// fixture is a data folder in which all files are older than age.
type fixture struct {
	t *testing.T
	*Sweeper
	cloud *memcloud.Cloud
	kept  kept
	now   time.Time
}

func newFixture(t *testing.T) *fixture {
	now := time.Now()
	w := &fixture{t: t, kept: kept{}, now: now, cloud: memcloud.New(memcloud.Config{Regions: []string{"us-west-2"}, Now: func() time.Time { return now }})}
	data := t.TempDir()
	store, err := artifact.Open(filepath.Join(data, "artifacts"))
	if err != nil {
		t.Fatal(err)
	}
	w.Sweeper = &Sweeper{Data: data, Executions: w.kept, Artifacts: store, Accounts: accounts{cloud.NewAccount("local", w.cloud, cloud.Options{Now: func() time.Time { return now }})},
		Age: age, Builds: age, Now: func() time.Time { return now }, Log: slog.New(slog.DiscardHandler)}
	return w
}

// artifact stores an artifact with a file of its own and a file that all
// artifacts share.
func (w *fixture) artifact(name string) artifact.Ref {
	w.t.Helper()
	dir := w.t.TempDir()
	for file, text := range map[string]string{name: "the content of " + name, "common": "the same in all"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
	ref, _, err := w.Artifacts.PutDir(w.t.Context(), dir, []string{name, "common"})
	if err != nil {
		w.t.Fatal(err)
	}
	return ref
}

func (w *fixture) folder(kind, name string) string {
	w.t.Helper()
	dir := filepath.Join(w.Data, kind, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log"), []byte("text"), 0o600); err != nil {
		w.t.Fatal(err)
	}
	return dir
}

// makeOld makes all existing files older than age.
func (w *fixture) makeOld() {
	w.t.Helper()
	old := w.now.Add(-age - time.Hour)
	err := filepath.WalkDir(w.Data, func(path string, _ os.DirEntry, err error) error {
		return errors.Join(err, os.Chtimes(path, old, old))
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// whole says whether an artifact is complete.
func (w *fixture) whole(ref artifact.Ref) bool {
	return w.Artifacts.Extract(w.t.Context(), ref, filepath.Join(w.t.TempDir(), "out")) == nil
}

func (w *fixture) execution(id string, status execution.Status, created time.Time, refs ...artifact.Ref) {
	e := execution.Execution{ID: id, Status: status, Created: created}
	for i, r := range refs {
		e.Stages = append(e.Stages, execution.StageState{Artifacts: map[string]artifact.Ref{fmt.Sprint("a", i): r}})
	}
	w.kept[id] = e
}

// TestSweepRemovesWhatNothingNeeds sweeps twice over one file of every kind.
func TestSweepRemovesWhatNothingNeeds(t *testing.T) {
	w := newFixture(t)
	gone, ofKept, ofRunning, deployed := w.artifact("gone"), w.artifact("kept"), w.artifact("running"), w.artifact("deployed")
	long := w.now.Add(-10 * age)
	w.execution("1kept", execution.Succeeded, long, ofKept)
	w.execution("2running", execution.Running, long, ofRunning)
	spec := cloud.ServerGroupSpec{Cluster: "app", Workload: cloud.Workload{Process: &cloud.Process{Artifact: deployed, Command: []string{"x"}}}, Health: pipeline.Health{Path: "/"}, Capacity: pipeline.Capacity{Min: 1, Desired: 1, Max: 1}}
	if _, err := w.cloud.CreateServerGroup(t.Context(), "us-west-2", spec, "k"); err != nil {
		t.Fatal(err)
	}
	logs := []string{w.folder("logs", "1kept"), w.folder("logs", "0gone")}
	builds := []string{w.folder("builds", "2running.build.1.abc"), w.folder("builds", "1kept.build.1.abc"), w.folder("builds", "0gone.build.1.abc")}
	// A build may leave read-only folders.
	if err := os.Chmod(builds[2], 0o500); err != nil {
		t.Fatal(err)
	}
	w.makeOld()
	young, youngLog, youngBuild := w.artifact("young"), w.folder("logs", "0young"), w.folder("builds", "1kept.other.1.abc")

	done, err := w.Sweep(t.Context())
	if err != nil || done.Artifacts != 1 || done.Contents != 1 || done.Logs != 1 || done.Builds != 2 || done.Bytes == 0 {
		t.Errorf("swept %+v, %v", done, err)
	}
	for ref, want := range map[artifact.Ref]bool{gone: false, ofKept: true, ofRunning: true, deployed: true, young: true} {
		if w.whole(ref) != want {
			t.Errorf("artifact %s exists: %v", ref, !want)
		}
	}
	for dir, want := range map[string]bool{logs[0]: true, logs[1]: false, builds[0]: true, builds[1]: false, builds[2]: false, youngLog: true, youngBuild: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s exists: %v", dir, !want)
		}
	}
	if done, err := w.Sweep(t.Context()); err != nil || done != (Swept{}) {
		t.Errorf("again: %+v, %v", done, err)
	}
}

// TestSweepKeepsCaches: a cache entry that builds still use is kept, however long
// ago it was saved. An unused entry is removed, and then its artifact too.
func TestSweepKeepsCaches(t *testing.T) {
	w := newFixture(t)
	used, forgotten := w.artifact("used"), w.artifact("forgotten")
	dir := w.folder("cache", "project")
	for name, ref := range map[string]artifact.Ref{"used.json": used, "forgotten.json": forgotten} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(`{"key": "k", "source": "`+string(ref)+`"}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.makeOld()
	if err := os.Chtimes(filepath.Join(dir, "used.json"), w.now, w.now); err != nil {
		t.Fatal(err)
	}
	if done, err := w.Sweep(t.Context()); err != nil || done.Caches != 1 || done.Artifacts != 1 {
		t.Errorf("swept %+v, %v", done, err)
	}
	if !w.whole(used) || w.whole(forgotten) {
		t.Errorf("the used entry exists: %v, the unused one: %v", w.whole(used), w.whole(forgotten))
	}
}

// TestSweepKeepsArtifactsWhileARegionIsDown: while a region does not answer, no artifact
// is removed, but logs and builds still are.
func TestSweepKeepsArtifactsWhileARegionIsDown(t *testing.T) {
	w := newFixture(t)
	ref, log := w.artifact("maybe"), w.folder("logs", "0gone")
	w.makeOld()
	w.Accounts = accounts{cloud.NewAccount("local", unreachableCloud{w.cloud}, cloud.Options{Now: w.Now})}
	done, err := w.Sweep(t.Context())
	if problem.CodeOf(err) != problem.Unavailable || done.Artifacts+done.Contents != 0 || done.Logs != 1 {
		t.Errorf("swept %+v, %v", done, err)
	}
	if !w.whole(ref) {
		t.Error("the artifact is gone")
	}
	if _, err := os.Stat(log); err == nil {
		t.Error("the log still exists")
	}
}

// TestOneSweepAtATime: while one control plane sweeps a folder, a second one does
// not.
func TestOneSweepAtATime(t *testing.T) {
	w := newFixture(t)
	log := w.folder("logs", "0gone")
	w.makeOld()
	lock, err := filelock.Try(filepath.Join(w.Data, "sweep.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if done, err := w.Sweep(t.Context()); err != nil || done != (Swept{}) {
		t.Errorf("swept %+v, %v", done, err)
	}
	lock.Close()
	if done, err := w.Sweep(t.Context()); err != nil || done.Logs != 1 {
		t.Errorf("swept %+v, %v", done, err)
	}
	if _, err := os.Stat(log); err == nil {
		t.Error("the log still exists")
	}
}

// TestWithoutAnAgeAllIsKept: zero keeps everything forever.
func TestWithoutAnAgeAllIsKept(t *testing.T) {
	w := newFixture(t)
	ref := w.artifact("a")
	w.folder("logs", "0gone")
	w.folder("builds", "0gone.build.1.abc")
	w.makeOld()
	w.Age, w.Builds = 0, 0
	if done, err := w.Sweep(t.Context()); err != nil || done != (Swept{}) || !w.whole(ref) {
		t.Errorf("swept %+v, %v", done, err)
	}
}

// operations is the journal of operations; it records the cutoffs it was called
// with.
type operations struct{ before time.Time }

func (o *operations) ForgetOperations(_ context.Context, before time.Time) (int, error) {
	o.before = before
	return 3, nil
}

func TestSweepForgetsOldOperations(t *testing.T) {
	w, o := newFixture(t), &operations{}
	w.Operations = o
	done, err := w.Sweep(t.Context())
	if err != nil || done.Operations != 3 || !o.before.Equal(w.now.Add(-journal.Age)) {
		t.Fatal(done, err, o.before)
	}
}
