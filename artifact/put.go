package artifact

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"showrunner/problem"
)

// File puts one file into an artifact.
type File struct {
	Path   string // in the artifact
	Source string // the file whose content it gets; a link is followed
	Link   string // when set, Path becomes a link with this target, and Source is not read
}

// bufferSize is how much memory one copy uses; files that fit are read once.
const bufferSize = 256 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, bufferSize); return &b }}

// PutDir stores the files and links below root that paths name (relative,
// slash-separated; a folder stands for all files below it), or all of them when
// paths is nil. Links stay links. It never reads outside root.
//
// Errors: invalid when something cannot be stored (a socket, a link that leads
// out of root), not_found for a path that does not exist, unavailable.
func (s *Store) PutDir(ctx context.Context, root string, paths []string) (Ref, Manifest, error) {
	const op = "artifact.put"
	dir, err := os.OpenRoot(root)
	if err != nil {
		return "", Manifest{}, unreadable(err, op, root)
	}
	defer dir.Close()
	if paths == nil {
		paths = []string{"."}
	}
	found := map[string]source{}
	for _, p := range paths {
		if p != "." {
			if err := checkPath(p); err != nil {
				return "", Manifest{}, err
			}
		}
		if err := walkInto(ctx, dir, p, found); err != nil {
			return "", Manifest{}, err
		}
	}
	list := make([]source, 0, len(found))
	for _, src := range found {
		list = append(list, src)
	}
	return s.put(ctx, list)
}

// Put stores the files given. Errors: as PutDir, and invalid when two of them
// claim one path.
func (s *Store) Put(ctx context.Context, files []File) (Ref, Manifest, error) {
	list := make([]source, 0, len(files))
	for _, f := range files {
		if err := checkPath(f.Path); err != nil {
			return "", Manifest{}, err
		}
		list = append(list, source{path: f.Path, link: f.Link, open: func() (*os.File, error) { return os.Open(f.Source) }})
	}
	return s.put(ctx, list)
}

// put stores contents first and the manifest last. So a crash at any moment
// leaves no named file that is incomplete.
func (s *Store) put(ctx context.Context, list []source) (Ref, Manifest, error) {
	slices.SortFunc(list, func(a, b source) int { return strings.Compare(a.path, b.path) })
	// A collection may delete an old blob after we have found it and before the
	// manifest that keeps it is stored. The blob is then stored again.
	for {
		m, err := s.putBlobs(ctx, list)
		if err != nil {
			return "", Manifest{}, err
		}
		if err := m.check(); err != nil {
			return "", Manifest{}, err
		}
		ref, err := s.publish(m)
		if errors.Is(err, errVanished) {
			continue
		}
		return ref, m, err
	}
}

func (s *Store) putBlobs(ctx context.Context, list []source) (Manifest, error) {
	batch := &batch{store: s}
	defer batch.discard()
	entries := make([]Entry, len(list))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for i, src := range list {
		if src.link != "" {
			entries[i] = Entry{Path: src.path, Mode: ModeLink, Link: src.link}
			continue
		}
		group.Go(func() (err error) {
			if err = ctx.Err(); err == nil {
				entries[i], err = batch.add(ctx, src)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Manifest{}, err
	}
	if err := batch.commit(); err != nil {
		return Manifest{}, err
	}
	return Manifest{MediaType: MediaType, Entries: entries}, nil
}

// batch collects new contents in tmp and renames them together: one flush to disk
// for all of them instead of one for each.
type batch struct {
	store *Store
	mu    sync.Mutex
	files []pending
}

type pending struct{ tmp, final string }

func (b *batch) add(ctx context.Context, src source) (Entry, error) {
	const op = "artifact.put"
	f, err := src.open()
	if err != nil {
		return Entry{}, unreadable(err, op, src.path)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Entry{}, unreadable(err, op, src.path)
	}
	if !info.Mode().IsRegular() {
		return Entry{}, problem.New(problem.Invalid, op, "%s is not a file", src.path)
	}
	entry := Entry{Path: src.path, Mode: ModeFile}
	if info.Mode()&0o111 != 0 {
		entry.Mode = ModeProgram
	}
	// Content that is stored already is read once and not written. New content
	// that is large is read twice, the second time from the page cache.
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	whole, sum, size, err := digest(ctx, f, *buf)
	if err != nil {
		return Entry{}, unreadable(err, op, src.path)
	}
	entry.Size, entry.Digest = size, digestOf(sum)
	if have, err := b.store.refresh(entry.Digest, size); have || err != nil {
		return entry, err
	}
	tmp, err := os.CreateTemp(filepath.Join(b.store.dir, "tmp"), "blob-")
	if err != nil {
		return Entry{}, unavailable(err, op, "%s", src.path)
	}
	defer tmp.Close()
	b.note(pending{tmp: tmp.Name()})
	if whole != nil {
		_, err = tmp.Write(whole)
	} else {
		if _, err = f.Seek(0, io.SeekStart); err == nil {
			h := sha256.New()
			size, err = copyContext(ctx, tmp, io.TeeReader(f, h), *buf)
			// The file may have changed since it was first read. The copy is
			// stored, so its digest counts.
			entry.Size, entry.Digest = size, digestOf(h.Sum(nil))
		}
	}
	if err == nil {
		err = tmp.Chmod(0o400)
	}
	if err != nil {
		return Entry{}, unavailable(err, op, "%s", src.path)
	}
	hex, _ := digestHex(entry.Digest)
	b.note(pending{tmp: tmp.Name(), final: b.store.path("blobs", hex)})
	return entry, nil
}

func (b *batch) note(p pending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.IndexFunc(b.files, func(q pending) bool { return q.tmp == p.tmp }); i >= 0 {
		b.files[i] = p
		return
	}
	b.files = append(b.files, p)
}

// commit makes the contents durable and gives them their names.
func (b *batch) commit() error {
	const op = "artifact.put"
	if len(b.files) == 0 {
		return nil
	}
	names := make([]string, len(b.files))
	for i, p := range b.files {
		names[i] = p.tmp
	}
	if err := syncFiles(filepath.Join(b.store.dir, "tmp"), names); err != nil {
		return unavailable(err, op, "flush to disk")
	}
	dirs := map[string]bool{filepath.Join(b.store.dir, "blobs"): true}
	for i, p := range b.files {
		dir := filepath.Dir(p.final)
		if !dirs[dir] {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return unavailable(err, op, "folder %s", dir)
			}
			dirs[dir] = true
		}
		if err := os.Rename(p.tmp, p.final); err != nil {
			return unavailable(err, op, "content %s", filepath.Base(p.final))
		}
		b.files[i].tmp = ""
	}
	return syncDirs(dirs)
}

func (b *batch) discard() {
	for _, p := range b.files {
		if p.tmp != "" {
			os.Remove(p.tmp)
		}
	}
}

// refresh tells whether a blob is stored, and renews its age, so that a running
// collection does not remove it.
func (s *Store) refresh(digest string, size int64) (bool, error) {
	hex, err := digestHex(digest)
	if err != nil {
		return false, err
	}
	have := false
	err = s.shared(func() error {
		have = s.touch(s.path("blobs", hex), size)
		return nil
	})
	return have, err
}

// touch returns false when the file is missing or has the wrong size, which is a
// sign of damage.
func (s *Store) touch(name string, size int64) bool {
	info, err := os.Stat(name)
	if err != nil || size >= 0 && info.Size() != size {
		return false
	}
	now := time.Now()
	return os.Chtimes(name, now, now) == nil
}

var errVanished = errors.New("a blob was collected before its manifest was stored")

// publish stores the manifest after making sure that every blob it needs is
// stored and will not be collected.
func (s *Store) publish(m Manifest) (Ref, error) {
	const op = "artifact.put"
	data, ref, err := m.encode()
	if err != nil {
		return "", problem.Wrap(err, problem.Internal, op, "manifest")
	}
	name := s.path("manifests", ref.Hex())
	err = s.shared(func() error {
		for _, e := range m.Entries {
			if e.Link != "" {
				continue
			}
			hex, _ := digestHex(e.Digest)
			if !s.touch(s.path("blobs", hex), e.Size) {
				return errVanished
			}
		}
		if s.touch(name, int64(len(data))) {
			return nil
		}
		return s.writeFile(name, data)
	})
	if err != nil {
		return "", err
	}
	return ref, nil
}

// writeFile writes a small file atomically: the file is complete or does not
// exist.
func (s *Store) writeFile(name string, data []byte) error {
	const op = "artifact.put"
	tmp, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "file-")
	if err != nil {
		return unavailable(err, op, "%s", name)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	if _, err = tmp.Write(data); err == nil {
		err = tmp.Sync()
	}
	dir := filepath.Dir(name)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err == nil {
		err = syncDirs(map[string]bool{dir: true, filepath.Dir(dir): true})
	}
	if err != nil {
		return unavailable(err, op, "%s", name)
	}
	return nil
}

// unreadable classifies a failure to read the content that was to be stored.
func unreadable(err error, op, name string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return problem.Wrap(err, problem.NotFound, op, "%s", path.Clean(name))
	}
	return unavailable(err, op, "%s", path.Clean(name))
}
