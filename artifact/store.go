package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"showrunner/problem"
)

// Store keeps artifacts in a folder:
//
//	blobs/ab/<hex>               the content of files
//	manifests/ab/<hex>           what each artifact holds
//	statements/ab/<hex>/<name>   where each came from
//	tmp/                         what is being written
//	lock                         orders writers against GC
//
// Any number of processes may use one folder at once. A file outside tmp is
// always complete and flushed to disk; a crash leaves unfinished files in tmp
// alone, which GC removes.
type Store struct {
	dir string
}

// Open makes the folder if it is not there. Errors: unavailable.
func Open(dir string) (*Store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "artifact.open", "folder %s", dir)
	}
	for _, sub := range []string{"blobs", "manifests", "statements", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return nil, unavailable(err, "artifact.open", "folder %s", dir)
		}
	}
	return &Store{dir: dir}, nil
}

func (s *Store) path(kind, hex string) string { return filepath.Join(s.dir, kind, hex[:2], hex) }

// shared runs f while no collection deletes anything. The lock is held briefly:
// between checking that something exists and relying on it.
func (s *Store) shared(f func() error) error    { return s.locked(syscall.LOCK_SH, f) }
func (s *Store) exclusive(f func() error) error { return s.locked(syscall.LOCK_EX, f) }

func (s *Store) locked(how int, f func() error) error {
	// A lock belongs to an open file, so each holder opens its own.
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return unavailable(err, "artifact.lock", "folder %s", s.dir)
	}
	defer lock.Close()
	for {
		err = syscall.Flock(int(lock.Fd()), how)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return unavailable(err, "artifact.lock", "folder %s", s.dir)
	}
	return f()
}

// Manifest returns what an artifact holds. Errors: not_found, internal when
// the stored manifest is damaged.
func (s *Store) Manifest(_ context.Context, ref Ref) (Manifest, error) {
	const op = "artifact.manifest"
	hex, err := digestHex(string(ref))
	if err != nil {
		return Manifest{}, err
	}
	data, err := os.ReadFile(s.path("manifests", hex))
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, problem.New(problem.NotFound, op, "no artifact %s", ref).
			WithHelp("It may have been collected; run the stage that makes it again.")
	}
	if err != nil {
		return Manifest{}, unavailable(err, op, "artifact %s", ref)
	}
	sum := sha256.Sum256(data)
	m, err := decodeManifest(data)
	if err != nil || Ref(digestOf(sum[:])) != ref {
		return Manifest{}, corrupt(op, "manifest", string(ref))
	}
	return m, nil
}

// Has tells whether an artifact is in the store.
func (s *Store) Has(ref Ref) bool {
	hex, err := digestHex(string(ref))
	if err != nil {
		return false
	}
	_, err = os.Stat(s.path("manifests", hex))
	return err == nil
}

func corrupt(op, what, digest string) error {
	return problem.New(problem.Internal, op, "%s %s is damaged: the content on the disk does not have this digest", what, digest).
		WithHelp("Check the disk, remove the damaged file, and run the stage that makes this artifact again.")
}

// unavailable classifies a failure of the file system.
func unavailable(err error, op, format string, args ...any) error {
	code := problem.Unavailable
	if errors.Is(err, fs.ErrPermission) {
		code = problem.Denied
	}
	e := problem.Wrap(err, code, op, format, args...)
	if errors.Is(err, syscall.ENOSPC) {
		return e.WithHelp("The disk is full: free some space, or keep artifacts for a shorter time.")
	}
	return e
}
