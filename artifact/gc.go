package artifact

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"showrunner/problem"
)

// Collected says what a collection removed.
type Collected struct {
	Artifacts int
	Blobs     int
	Bytes     int64
}

// sweepBatch is how many files are deleted under one exclusive lock. It bounds
// how long a writer waits for the lock.
const sweepBatch = 256

// GC removes artifacts that keep does not claim, and contents that no artifact
// needs, if they were last stored longer than olderThan ago. A file that is still
// being written is always younger than olderThan. One collection runs at a time,
// and other collections wait for it; writers are not blocked. Errors: invalid,
// unavailable, and internal when a kept manifest is damaged. In that case no
// content is removed at all, since GC cannot know which contents the manifest
// needs.
func (s *Store) GC(ctx context.Context, keep func(Ref) bool, olderThan time.Duration) (Collected, error) {
	const op = "artifact.gc"
	var done Collected
	if olderThan <= 0 {
		return done, problem.New(problem.Invalid, op, "the age must be above zero, so that files that are being written are kept")
	}
	cutoff := time.Now().Add(-olderThan)
	if err := s.gcManifests(ctx, keep, cutoff, &done); err != nil {
		return done, err
	}
	needed, err := s.neededBlobs(ctx)
	if err != nil {
		return done, err
	}
	err = s.sweep(ctx, "blobs", cutoff, func(hex string) bool { return !needed[hex] }, func(_ string, size int64) {
		done.Blobs++
		done.Bytes += size
	})
	if err != nil {
		return done, err
	}
	return done, s.gcTemporary(cutoff)
}

func (s *Store) gcManifests(ctx context.Context, keep func(Ref) bool, cutoff time.Time, done *Collected) error {
	return s.sweep(ctx, "manifests", cutoff,
		func(hex string) bool { return !keep(Ref(algorithm + hex)) },
		func(hex string, size int64) {
			os.RemoveAll(s.path("statements", hex))
			done.Artifacts++
			done.Bytes += size
		})
}

// neededBlobs is the union of the blobs that all manifests name. A manifest that
// is stored after this function has read the folder has renewed the age of its
// blobs, so the sweep spares them.
func (s *Store) neededBlobs(ctx context.Context) (map[string]bool, error) {
	needed := map[string]bool{}
	err := s.each(ctx, "manifests", func(hex string, _ fs.FileInfo) error {
		m, err := s.Manifest(ctx, Ref(algorithm+hex))
		if problem.CodeOf(err) == problem.NotFound {
			return nil
		}
		for _, e := range m.Entries {
			if h, err := digestHex(e.Digest); err == nil {
				needed[h] = true
			}
		}
		return err
	})
	return needed, err
}

// sweep deletes files of a kind that are older than cutoff and not wanted. It
// checks the age again under the lock, since a writer may have renewed it.
func (s *Store) sweep(ctx context.Context, kind string, cutoff time.Time, unwanted func(hex string) bool, deleted func(string, int64)) error {
	var batch []string
	flush := func() error {
		defer func() { batch = batch[:0] }()
		return s.exclusive(func() error {
			for _, hex := range batch {
				name := s.path(kind, hex)
				info, err := os.Stat(name)
				if err != nil || !info.ModTime().Before(cutoff) {
					continue
				}
				if err := os.Remove(name); err != nil {
					return unavailable(err, "artifact.gc", "%s", name)
				}
				deleted(hex, info.Size())
			}
			return nil
		})
	}
	err := s.each(ctx, kind, func(hex string, info fs.FileInfo) error {
		if !info.ModTime().Before(cutoff) || !unwanted(hex) {
			return nil
		}
		if batch = append(batch, hex); len(batch) < sweepBatch {
			return nil
		}
		return flush()
	})
	if err == nil && len(batch) > 0 {
		err = flush()
	}
	return err
}

// each visits the files of a kind. It skips files that disappear meanwhile.
func (s *Store) each(ctx context.Context, kind string, visit func(hex string, info fs.FileInfo) error) error {
	dirs, err := os.ReadDir(filepath.Join(s.dir, kind))
	if err != nil {
		return unavailable(err, "artifact.gc", "%s", kind)
	}
	for _, dir := range dirs {
		files, err := os.ReadDir(filepath.Join(s.dir, kind, dir.Name()))
		if err != nil {
			return unavailable(err, "artifact.gc", "%s", kind)
		}
		for _, f := range files {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			info, err := f.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return unavailable(err, "artifact.gc", "%s", f.Name())
			}
			if _, err := digestHex(algorithm + f.Name()); err != nil {
				continue // not a file of the store
			}
			if err := visit(f.Name(), info); err != nil {
				return err
			}
		}
	}
	return nil
}

// gcTemporary removes the temporary files of writers that crashed.
func (s *Store) gcTemporary(cutoff time.Time) error {
	dir := filepath.Join(s.dir, "tmp")
	files, err := os.ReadDir(dir)
	if err != nil {
		return unavailable(err, "artifact.gc", "%s", dir)
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil && info.ModTime().Before(cutoff) {
			os.Remove(filepath.Join(dir, f.Name()))
		}
	}
	return nil
}
