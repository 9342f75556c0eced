package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/problem"
)

const (
	// keptRefs is the prefix of refs that mark complete commits of a mirror. git
	// writes such a ref after it has checked that no object is missing.
	keptRefs = "refs/showrunner/"
	// manyPacks is the number of packs at which a mirror is tidied; each fetch
	// adds one pack.
	manyPacks = 40
	// keptCommits is how many commits tidying keeps.
	keptCommits = 20
)

// mirror is the bare repository that holds what was fetched from one remote.
type mirror struct {
	f      *Fetcher
	dir    string
	remote Remote
	format string // object format of the commits, used when the repository is made
	lock   *os.File
}

func (f *Fetcher) mirrorDir(r Remote) string {
	sum := sha256.Sum256([]byte(r.URL))
	return filepath.Join(f.o.Dir, hex.EncodeToString(sum[:16]))
}

// withMirror calls act with the mirror of r locked: exclusively for a fetch,
// shared for reading. A mirror that proves damaged under the exclusive lock is
// built anew, once.
func (f *Fetcher) withMirror(ctx context.Context, r Remote, commit string, alone bool, act func(*mirror) error) error {
	for attempt := 0; ; attempt++ {
		err := f.lockMirror(ctx, r, alone, func(m *mirror) error {
			if len(commit) == 64 {
				m.format = "sha256"
			}
			if alone {
				if err := m.prepare(ctx); err != nil {
					return err
				}
			}
			err := act(m)
			if alone && attempt == 0 && damaged(err) {
				f.o.Log.Warn("mirror damaged, building it anew", "url", r.URL, "error", err)
				return errors.Join(err, removeAll(m.dir))
			}
			return err
		})
		if !damaged(err) || !alone || attempt > 0 || ctx.Err() != nil {
			return err
		}
	}
}

func damaged(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.reason == MirrorDamaged
}

// lockMirror holds the mirror's lock during act. The kernel releases it when the
// last process that has it open ends: this process, or a git process that
// outlives it.
func (f *Fetcher) lockMirror(ctx context.Context, r Remote, alone bool, act func(*mirror) error) error {
	const op = "source.lock"
	dir := f.mirrorDir(r)
	lock, err := os.OpenFile(dir+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "opening the mirror of %s", r.URL)
	}
	defer lock.Close()
	how := unix.LOCK_SH
	if alone {
		how = unix.LOCK_EX
	}
	if err := waitLock(ctx, lock, how); err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "waiting for the mirror of %s", r.URL)
	}
	defer unix.Flock(int(lock.Fd()), unix.LOCK_UN) //nolint:errcheck // closing frees it as well
	return act(&mirror{f: f, dir: dir, remote: r, format: "sha1", lock: lock})
}

// waitLock polls for the lock, since a blocking flock cannot be interrupted when
// ctx ends.
func waitLock(ctx context.Context, file *os.File, how int) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
		if err == nil || !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

// prepare makes the repository when there is none, and removes what a killed git
// left behind. Nobody else uses the mirror while the lock is held.
func (m *mirror) prepare(ctx context.Context) error {
	if m.usable() {
		return m.sweep()
	}
	if err := removeAll(m.dir); err != nil {
		return problem.Wrap(err, problem.Unavailable, "source.mirror", "removing a damaged mirror")
	}
	fresh := m.dir + ".new"
	if err := removeAll(fresh); err != nil {
		return problem.Wrap(err, problem.Unavailable, "source.mirror", "removing an unfinished mirror")
	}
	if _, err := m.f.run(ctx, command{args: []string{"init", "--quiet", "--bare", "--template=", "--object-format=" + m.format, fresh}}); err != nil {
		return err
	}
	if err := os.Rename(fresh, m.dir); err != nil {
		return problem.Wrap(err, problem.Unavailable, "source.mirror", "making a mirror")
	}
	return nil
}

func (m *mirror) usable() bool {
	for _, name := range []string{"HEAD", "config"} {
		if info, err := os.Stat(filepath.Join(m.dir, name)); err != nil || info.Size() == 0 {
			return false
		}
	}
	for _, name := range []string{"objects", "refs"} {
		if info, err := os.Stat(filepath.Join(m.dir, name)); err != nil || !info.IsDir() {
			return false
		}
	}
	return true
}

func (m *mirror) sweep() error {
	err := filepath.WalkDir(m.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		rel := strings.TrimPrefix(p, m.dir+"/")
		switch {
		case d.IsDir() && strings.HasPrefix(rel, "objects/") && (strings.HasPrefix(name, "tmp_objdir-") || strings.HasPrefix(name, "incoming-")):
			if err := removeAll(p); err != nil {
				return err
			}
			return fs.SkipDir
		case d.IsDir() && strings.HasPrefix(rel, "objects/") && len(name) == 2:
			return fs.SkipDir // loose objects need no cleanup: git writes each under its final name in one step
		case !d.IsDir() && strings.HasSuffix(name, ".lock"),
			!d.IsDir() && strings.HasPrefix(rel, "objects/pack/") && (strings.HasPrefix(name, "tmp_") || strings.HasPrefix(name, ".tmp-")):
			return os.Remove(p)
		}
		return nil
	})
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "source.mirror", "clearing the mirror of %s", m.remote.URL)
	}
	return nil
}

// git runs a command in the mirror.
func (m *mirror) git(ctx context.Context, args ...string) (string, error) {
	return m.f.run(ctx, command{dir: m.dir, args: append([]string{"--git-dir=" + m.dir}, args...), lock: m.lock})
}

// has tells whether the mirror holds the commit and every object it needs.
func (m *mirror) has(ctx context.Context, commit string) bool {
	out, err := m.git(ctx, "rev-parse", "--verify", "--quiet", "--end-of-options", keptRefs+commit+"^{commit}")
	return err == nil && strings.TrimSpace(out) == commit
}

// fetch brings a commit into the mirror. It fetches the commit alone, without
// history, where the remote supports that, and otherwise everything that the
// branches and tags reach.
func (m *mirror) fetch(ctx context.Context, commit string, a access, progress func(string)) error {
	if m.has(ctx, commit) {
		return nil
	}
	spec := "+" + commit + ":" + keptRefs + commit
	err := m.pull(ctx, a, progress, "--depth=1", spec)
	if err != nil && strings.Contains(stderrOf(err), "does not support shallow") {
		err = m.pull(ctx, a, progress, "", spec)
	}
	if refused(err) {
		if err = m.fetchAll(ctx, a, progress); err != nil {
			return err
		}
		if _, err = m.git(ctx, "cat-file", "-e", commit+"^{commit}"); err != nil {
			return missing("commit", commit, nil)
		}
		_, err = m.git(ctx, "update-ref", keptRefs+commit, commit)
	}
	if err != nil {
		return err
	}
	return m.tidy(ctx, commit)
}

// fetchAll brings in every branch and tag with its whole history.
func (m *mirror) fetchAll(ctx context.Context, a access, progress func(string)) error {
	specs := []string{"+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"}
	err := m.pull(ctx, a, progress, "--depth=2147483647", specs...)
	if err != nil && strings.Contains(stderrOf(err), "does not support shallow") {
		err = m.pull(ctx, a, progress, "", specs...)
	}
	return err
}

func (m *mirror) pull(ctx context.Context, a access, progress func(string), depth string, specs ...string) error {
	args := []string{"--git-dir=" + m.dir, "fetch", "--progress", "--no-tags", "--force", "--no-write-fetch-head", "--no-auto-maintenance"}
	if depth != "" {
		args = append(args, depth)
	}
	args = append(append(args, "--", m.remote.URL), specs...)
	_, err := m.f.run(ctx, command{dir: m.dir, args: args, access: a, lock: m.lock, progress: progress, remote: true})
	return err
}

// refused tells whether the remote refuses to serve a commit by its hash.
func refused(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.reason == RefMissing
}

func stderrOf(err error) string {
	var f *failure
	if errors.As(err, &f) {
		return f.stderr
	}
	return ""
}

// tidy keeps a mirror from growing without bound. It spares the commit that is
// needed now.
func (m *mirror) tidy(ctx context.Context, wanted string) error {
	packs, err := filepath.Glob(filepath.Join(m.dir, "objects", "pack", "*.pack"))
	if err != nil || len(packs) <= manyPacks {
		return err
	}
	out, err := m.git(ctx, "for-each-ref", "--sort=-committerdate", "--format=%(refname)", keptRefs)
	if err != nil {
		return err
	}
	for i, name := range strings.Fields(out) {
		if i >= keptCommits && name != keptRefs+wanted {
			if _, err := m.git(ctx, "update-ref", "-d", name); err != nil {
				return err
			}
		}
	}
	_, err = m.git(ctx, "gc", "--quiet", "--prune=now")
	return err
}
