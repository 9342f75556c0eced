package source

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/internal/filelock"
	"showrunner/problem"
)

// scratch is a private folder for one operation. It holds a lock as long as its
// process lives. A later process recognises the folders of killed processes by
// their free lock.
type scratch struct {
	dir  string
	lock *os.File
}

// A folder in use has the prefix inUse. A folder that is still being made has the
// prefix beingMade and is renamed once it is locked, so every folder with the
// first prefix is locked as long as its process lives.
const (
	inUse     = "w-"
	beingMade = "new-"
)

func newScratch(parent string) (*scratch, error) {
	dir, err := os.MkdirTemp(parent, beingMade) // mode 0700
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "source.scratch", "making a temporary folder")
	}
	s := &scratch{dir: dir}
	if s.lock, err = filelock.Try(s.path("lock")); err == nil {
		s.dir = filepath.Join(parent, inUse+strings.TrimPrefix(filepath.Base(dir), beingMade))
		err = os.Rename(dir, s.dir)
	}
	if err != nil {
		s.dir = dir
		s.remove()
		return nil, problem.Wrap(err, problem.Unavailable, "source.scratch", "locking a temporary folder")
	}
	return s, nil
}

func (s *scratch) path(name string) string { return filepath.Join(s.dir, name) }

func (s *scratch) remove() error {
	if s.lock != nil {
		defer s.lock.Close()
	}
	return removeAll(s.dir)
}

// removeAll removes a tree in which a checkout or a repository may have made
// read-only folders.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, os.ErrPermission) {
		return err
	}
	walkErr := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(p, 0o700)
		}
		return err
	})
	return errors.Join(walkErr, os.RemoveAll(dir))
}

// sweep removes the folders of processes that have ended, since they may hold
// credentials.
func sweep(parent string) error {
	if err := sweepUnmade(parent); err != nil {
		return err
	}
	left, err := filepath.Glob(filepath.Join(parent, inUse+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue // another process is making it, or was killed before it held anything
		}
		if err != nil {
			return err
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			err = removeAll(dir)
		}
		lock.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// unmadeAfter is the age at which an unfinished folder counts as abandoned.
const unmadeAfter = time.Hour

// sweepUnmade removes the folders of processes that were killed while making
// them. These folders are empty.
func sweepUnmade(parent string) error {
	left, err := filepath.Glob(filepath.Join(parent, beingMade+"*"))
	for _, dir := range left {
		info, gone := os.Stat(dir)
		if gone == nil && time.Since(info.ModTime()) > unmadeAfter {
			err = errors.Join(err, removeAll(dir))
		}
	}
	return err
}
