package artifact

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"

	"showrunner/problem"
)

// OpenBlob opens the content with a digest. It is verified while it is read:
// the Read that would return the last bytes of a damaged content fails instead.
// Errors: not_found, internal when damaged.
func (s *Store) OpenBlob(_ context.Context, digest string) (io.ReadCloser, error) {
	const op = "artifact.read"
	hex, err := digestHex(digest)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(s.path("blobs", hex))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.NotFound, op, "no content %s", digest)
	}
	if err != nil {
		return nil, unavailable(err, op, "content %s", digest)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, unavailable(err, op, "content %s", digest)
	}
	r := &verifier{f: f, left: info.Size(), hash: sha256.New(), want: digest}
	if r.left == 0 {
		if err := r.verify(); err != nil {
			f.Close()
			return nil, err
		}
	}
	return r, nil
}

type verifier struct {
	f    *os.File
	left int64
	hash hash.Hash
	want string
	err  error
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.f.Read(p)
	v.hash.Write(p[:n])
	v.left -= int64(n)
	if n > 0 && v.left == 0 || errors.Is(err, io.EOF) && v.left > 0 || v.left < 0 {
		if v.err = v.verify(); v.err != nil {
			clear(p[:n])
			return 0, v.err
		}
	}
	return n, err
}

func (v *verifier) verify() error {
	if v.left == 0 && digestOf(v.hash.Sum(nil)) == v.want {
		return nil
	}
	return corrupt("artifact.read", "content", v.want)
}

func (v *verifier) Close() error { return v.f.Close() }

// Extract writes the files of an artifact below dir, which is made if it does not
// exist. Nothing is written outside dir, even if dir holds links that lead out; a
// file that is in the way is replaced. Errors: not_found, internal when damaged,
// unavailable.
func (s *Store) Extract(ctx context.Context, ref Ref, dir string) error {
	const op = "artifact.extract"
	m, err := s.Manifest(ctx, ref)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return unavailable(err, op, "folder %s", dir)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return unavailable(err, op, "folder %s", dir)
	}
	defer root.Close()
	made := map[string]bool{".": true}
	for _, e := range m.Entries {
		if parent := path.Dir(e.Path); !made[parent] {
			if err := root.MkdirAll(filepath.FromSlash(parent), 0o755); err != nil {
				return unavailable(err, op, "folder %s", parent)
			}
			made[parent] = true
		}
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for _, e := range m.Entries {
		if e.Link == "" {
			group.Go(func() error { return s.extractFile(groupCtx, root, e) })
		}
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// Links are made last, so that no file is written through a link.
	for _, e := range m.Entries {
		if e.Link == "" {
			continue
		}
		name := filepath.FromSlash(e.Path)
		err := root.Symlink(filepath.FromSlash(e.Link), name)
		if errors.Is(err, fs.ErrExist) {
			if err = root.Remove(name); err == nil {
				err = root.Symlink(filepath.FromSlash(e.Link), name)
			}
		}
		if err != nil {
			return unavailable(err, op, "link %s", e.Path)
		}
	}
	return nil
}

func (s *Store) extractFile(ctx context.Context, root *os.Root, e Entry) error {
	const op = "artifact.extract"
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	name := filepath.FromSlash(e.Path)
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	f, err := root.OpenFile(name, flags, fs.FileMode(e.Mode))
	if errors.Is(err, fs.ErrExist) {
		if err = root.Remove(name); err == nil {
			f, err = root.OpenFile(name, flags, fs.FileMode(e.Mode))
		}
	}
	if err != nil {
		return unavailable(err, op, "%s", e.Path)
	}
	err = s.copyBlob(ctx, f, e)
	if cerr := f.Close(); err == nil && cerr != nil {
		err = unavailable(cerr, op, "%s", e.Path)
	}
	if err != nil {
		root.Remove(name)
	}
	return err
}

// copyBlob writes the content of an entry to w.
func (s *Store) copyBlob(ctx context.Context, w io.Writer, e Entry) error {
	r, err := s.OpenBlob(ctx, e.Digest)
	if err != nil {
		return problem.Wrap(err, "", "artifact.read", "%s", e.Path)
	}
	defer r.Close()
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	n, err := copyContext(ctx, w, r, *buf)
	if err == nil && n != e.Size {
		err = corrupt("artifact.read", "content", e.Digest)
	}
	if err != nil {
		if _, ok := problem.Of(err); ok {
			return problem.Wrap(err, "", "artifact.read", "%s", e.Path)
		}
		return unavailable(err, "artifact.read", "%s", e.Path)
	}
	return nil
}

// ReadFile returns the content of one file of an artifact, links followed. It is
// meant for small files: a file with more than limit bytes is an error. Errors:
// not_found, invalid.
func (s *Store) ReadFile(ctx context.Context, ref Ref, name string, limit int64) ([]byte, error) {
	const op = "artifact.read"
	m, err := s.Manifest(ctx, ref)
	if err != nil {
		return nil, err
	}
	e, ok := m.Resolve(path.Clean(name))
	if !ok {
		return nil, problem.New(problem.NotFound, op, "no file %s in artifact %s", name, ref)
	}
	if e.Size > limit {
		return nil, problem.New(problem.Invalid, op, "%s has %d bytes; at most %d are allowed", name, e.Size, limit)
	}
	var buf bytes.Buffer
	err = s.copyBlob(ctx, &buf, e)
	return buf.Bytes(), err
}
