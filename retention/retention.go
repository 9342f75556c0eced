package retention

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/build"
	"showrunner/cloud"
	"showrunner/cloud/journal"
	"showrunner/execution"
	"showrunner/internal/filelock"
	"showrunner/problem"
)

// Executions are the executions that the engine still keeps.
type Executions interface {
	// List returns a page without stages. Errors: unavailable.
	List(ctx context.Context, q execution.Query) (execution.Page, error)
	// Get returns one with its stages. Errors: not_found, unavailable.
	Get(ctx context.Context, id string) (execution.Execution, error)
}

// Accounts are the clouds that artifacts were delivered to.
type Accounts interface {
	Names() []string
	Account(name string) (*cloud.Account, error)
}

// Claims record which host runs which build.
type Claims interface {
	// Prune forgets those that have not changed since a time and whose execution
	// has ended. Errors: unavailable, internal, and those of ended.
	Prune(ctx context.Context, before time.Time, ended func(execution string) (bool, error)) error
}

// Operations is the journal of operations on clouds.
type Operations interface {
	// ForgetOperations removes the entries that have not changed since a time.
	// Errors: unavailable.
	ForgetOperations(ctx context.Context, before time.Time) (int, error)
}

// Sweeper removes files that are no longer needed from a data folder. Several
// control planes on one folder may each have a Sweeper; one of them sweeps at a
// time.
type Sweeper struct {
	Data string // the folder, with logs/ and cache/ in it
	// BuildFolder is where the builds of this host are; empty: builds/ in Data.
	BuildFolder string
	// Claims record which host runs which build; nil when there is one host.
	Claims     Claims
	Executions Executions
	Artifacts  *artifact.Store
	Accounts   Accounts
	Operations Operations // nil: there is no journal
	// Images are artifacts that are kept because they can be launched again; nil: there are none.
	Images func(ctx context.Context) ([]artifact.Ref, error)
	// Age is how long an execution is kept, except for the newest of each
	// pipeline. Files younger than Age are never removed. Zero keeps artifacts
	// and logs forever.
	Age time.Duration
	// Builds is how long the folder of a build is kept after its end, unless its
	// execution is still running. Zero keeps it forever.
	Builds time.Duration
	// Every is the time between sweeps; default an hour.
	Every time.Duration
	Now   func() time.Time
	Log   *slog.Logger
}

// Swept counts the files that a sweep removed.
type Swept struct {
	Artifacts int   // artifacts
	Contents  int   // files in the artifact store that no remaining artifact needs
	Bytes     int64 // of artifacts and contents
	Logs      int   // executions whose logs were removed
	Builds    int   // folders
	Caches    int   // entries of build caches
	// Operations counts the removed entries of the journal.
	Operations int
}

// Run sweeps periodically until ctx ends.
func (s *Sweeper) Run(ctx context.Context) {
	every := s.Every
	if every <= 0 {
		every = time.Hour
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			done, err := s.Sweep(ctx)
			if err != nil && ctx.Err() == nil {
				s.Log.Warn("some unneeded files could not be removed; the next sweep tries again", "error", err)
			}
			if done != (Swept{}) {
				s.Log.Info("removed unneeded files", "artifacts", done.Artifacts, "contents", done.Contents, "bytes", done.Bytes, "logs", done.Logs, "builds", done.Builds, "caches", done.Caches, "operations", done.Operations)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Sweep removes unneeded files. A kind of files is left for the next sweep when
// it cannot be judged now, for example because a region is down; the other kinds
// are still removed. While another sweep of the folder runs, Sweep touches no
// file. Errors: unavailable, internal; the counts of removed files are returned
// beside an error.
func (s *Sweeper) Sweep(ctx context.Context) (done Swept, err error) {
	if s.Operations != nil {
		done.Operations, err = s.Operations.ForgetOperations(ctx, s.Now().Add(-journal.Age))
	}
	sweeps := func() error { return errors.Join(s.artifacts(ctx, &done), s.logs(ctx, &done)) }
	if local := filepath.Dir(s.buildFolder()); local != filepath.Clean(s.Data) {
		err = errors.Join(err, withSweepLock(s.Data, sweeps), withSweepLock(local, func() error { return s.builds(ctx, &done) }))
		return done, err
	}
	return done, errors.Join(err, withSweepLock(s.Data, func() error { return errors.Join(sweeps(), s.builds(ctx, &done)) }))
}

// withSweepLock calls sweep unless another sweep of the folder runs.
func withSweepLock(dir string, sweep func() error) error {
	name := filepath.Join(dir, "sweep.lock")
	lock, err := filelock.Try(name)
	if errors.Is(err, filelock.ErrHeld) {
		return nil
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "retention.sweep", "locking %s", name)
	}
	defer lock.Close()
	return sweep()
}

func (s *Sweeper) buildFolder() string {
	return cmp.Or(s.BuildFolder, filepath.Join(s.Data, "builds"))
}

func (s *Sweeper) artifacts(ctx context.Context, done *Swept) error {
	if s.Age <= 0 {
		return nil
	}
	needed := map[artifact.Ref]bool{}
	if err := s.markKept(ctx, needed); err != nil {
		return err
	}
	if err := s.markDelivered(ctx, needed); err != nil {
		return err
	}
	if err := s.markCached(needed, done); err != nil {
		return err
	}
	if s.Images != nil {
		images, err := s.Images(ctx)
		if err != nil {
			return err
		}
		for _, ref := range images {
			needed[ref] = true
		}
	}
	collected, err := s.Artifacts.GC(ctx, func(r artifact.Ref) bool { return needed[r] }, s.Age)
	done.Artifacts, done.Contents, done.Bytes = collected.Artifacts, collected.Blobs, collected.Bytes
	return err
}

// markKept marks the artifacts of kept executions that are older than the age:
// the newest of each pipeline, and those that are running. Younger executions
// need no mark, since their files are younger too.
func (s *Sweeper) markKept(ctx context.Context, needed map[artifact.Ref]bool) error {
	// The clocks of several control planes differ by less than this.
	margin := min(time.Hour, s.Age/2)
	q := execution.Query{Until: s.Now().Add(margin - s.Age), Limit: 500}
	for {
		page, err := s.Executions.List(ctx, q)
		if err != nil {
			return err
		}
		for _, head := range page.Executions {
			e, err := s.Executions.Get(ctx, head.ID)
			if problem.CodeOf(err) == problem.NotFound {
				continue // retention removed the execution meanwhile
			}
			if err != nil {
				return err
			}
			for _, st := range e.Stages {
				for _, ref := range st.Artifacts {
					needed[ref] = true
				}
			}
		}
		if page.Next == "" {
			return nil
		}
		q.After = page.Next
	}
}

// markCached forgets the cache entries that no build has used for as long as
// executions are kept, and marks the artifacts of the other entries. An entry
// that is saved meanwhile has young files.
func (s *Sweeper) markCached(needed map[artifact.Ref]bool, done *Swept) (err error) {
	cache := build.Cache{Dir: filepath.Join(s.Data, "cache")}
	if done.Caches, err = cache.Prune(s.Now().Add(-s.Age)); err != nil {
		return err
	}
	refs, err := cache.Refs()
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "retention.sweep", "%s", cache.Dir)
	}
	for _, ref := range refs {
		needed[ref] = true
	}
	return nil
}

// markDelivered marks the artifacts that the clouds still use: those of server
// groups, and those of site deployments that a rollback may return to.
func (s *Sweeper) markDelivered(ctx context.Context, needed map[artifact.Ref]bool) error {
	for _, name := range s.Accounts.Names() {
		a, err := s.Accounts.Account(name)
		if err != nil {
			return err
		}
		regions, err := a.Regions(ctx)
		if err != nil {
			return err
		}
		sites, err := a.Sites()
		if err != nil && problem.CodeOf(err) != problem.Precondition { // an account may host no sites
			return err
		}
		for _, r := range regions {
			groups, err := a.ServerGroups(ctx, r.Name, "")
			if err != nil {
				return err
			}
			for _, g := range groups {
				needed[g.Spec.Workload.Artifact()] = true
			}
			if sites == nil {
				continue
			}
			if err := markDeployments(ctx, sites, r.Name, needed); err != nil {
				return err
			}
		}
	}
	return nil
}

func markDeployments(ctx context.Context, sites *cloud.Sites, region string, needed map[artifact.Ref]bool) error {
	list, err := sites.List(ctx, region)
	if err != nil {
		return err
	}
	for _, site := range list {
		history, err := sites.Deployments(ctx, region, site.Name)
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
		for _, d := range history {
			needed[d.Artifact] = true
		}
	}
	return nil
}

// logs removes the logs of executions that are no longer kept.
func (s *Sweeper) logs(ctx context.Context, done *Swept) error {
	if s.Age <= 0 {
		return nil
	}
	return s.folders(ctx, filepath.Join(s.Data, "logs"), s.Age, func(name string) string { return name }, func(e *execution.Execution) bool { return e == nil }, os.RemoveAll, &done.Logs)
}

// builds removes the folders of builds that have ended and whose result nobody
// waits for. A build without a result counts as ended when its folder has not
// changed for the same time.
func (s *Sweeper) builds(ctx context.Context, done *Swept) error {
	if s.Builds <= 0 {
		return nil
	}
	ended := func(e *execution.Execution) bool { return e == nil || e.Status.Complete() }
	executionOf := func(name string) string { id, _, _ := strings.Cut(name, "."); return id }
	err := s.folders(ctx, s.buildFolder(), s.Builds, executionOf, ended, build.RemoveAll, &done.Builds)
	if s.Claims == nil {
		return err
	}
	return errors.Join(err, s.Claims.Prune(ctx, s.Now().Add(-s.Builds), func(id string) (bool, error) {
		e, err := s.find(ctx, id)
		return err == nil && ended(e), err
	}))
}

// find returns an execution, nil when it is not kept.
func (s *Sweeper) find(ctx context.Context, id string) (*execution.Execution, error) {
	e, err := s.Executions.Get(ctx, id)
	if problem.CodeOf(err) == problem.NotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &e, nil
}

// folders removes the folders below dir that are older than age and whose
// execution does not need them. The execution is nil when it is no longer kept.
func (s *Sweeper) folders(ctx context.Context, dir string, age time.Duration, executionOf func(string) string, free func(*execution.Execution) bool, remove func(string) error, count *int) error {
	const op = "retention.sweep"
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "%s", dir)
	}
	cutoff := s.Now().Add(-age)
	for _, entry := range entries {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!entry.IsDir() || !info.ModTime().Before(cutoff)) {
			continue
		}
		if err != nil {
			return problem.Wrap(err, problem.Unavailable, op, "%s", entry.Name())
		}
		kept, err := s.find(ctx, executionOf(entry.Name()))
		if err != nil {
			return err
		}
		if !free(kept) {
			continue
		}
		if err := remove(filepath.Join(dir, entry.Name())); err != nil {
			return problem.Wrap(err, problem.Unavailable, op, "%s", entry.Name())
		}
		*count++
	}
	return nil
}
