package sites

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"showrunner/internal/checksum"
	"showrunner/problem"
)

// files are the files of one site.
type files struct {
	dir string
	// last is the index that was read or written last. Usually it is the live
	// one, which a publish needs at several steps.
	last *lastIndex
}

type lastIndex struct {
	mu     sync.Mutex
	digest string
	index  index
}

func (l *lastIndex) get(digest string) (index, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.index, l.digest == digest
}

func (l *lastIndex) set(digest string, x index) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.digest, l.index = digest, x
}

func (f files) state() string              { return filepath.Join(f.dir, "state.json") }
func (f files) foreign() string            { return filepath.Join(f.dir, "foreign") }
func (f files) index(digest string) string { return filepath.Join(f.dir, "indexes", digest+".json") }
func (f files) object(id string) string    { return filepath.Join(f.dir, "objects", id[:2], id) }
func (f files) tmp() string                { return filepath.Join(f.dir, "tmp") }

func (f files) make() error {
	for _, sub := range []string{"indexes", "objects", "tmp"} {
		if err := os.MkdirAll(filepath.Join(f.dir, sub), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func (f files) loadState() (*state, error) {
	s := &state{Version: stateVersion}
	data, err := os.ReadFile(f.state())
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if data, err = checksum.OpenFile(data); err == nil {
		err = json.Unmarshal(data, s)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "sites.open", "%s is damaged", f.state()).
			WithHelp("put an undamaged copy of the file in its place, or move the folder away and deploy the sites again")
	}
	if s.Version > stateVersion {
		return nil, problem.New(problem.Precondition, "sites.open", "%s was written by a newer version", f.state())
	}
	return s, nil
}

func (f files) saveState(s *state) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return replaceFile(f.state(), checksum.SealFile(data))
}

// saveIndex writes an index and returns its digest.
func (f files) saveIndex(x index) (string, error) {
	data, err := json.Marshal(x) // maps are encoded in sorted order, so equal indexes give equal bytes
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	if _, err := os.Stat(f.index(digest)); err != nil {
		if err := replaceFile(f.index(digest), data); err != nil {
			return "", err
		}
	}
	f.last.set(digest, x)
	return digest, nil
}

// loadIndex reads an index, which must not be changed.
func (f files) loadIndex(digest string) (index, error) {
	if x, ok := f.last.get(digest); ok {
		return x, nil
	}
	var x index
	data, err := os.ReadFile(f.index(digest))
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != digest {
		return nil, problem.New(problem.Internal, "sites.open", "%s is damaged: its content does not have the digest that it is named for", f.index(digest)).
			WithHelp("deploy the site again")
	}
	if err := json.Unmarshal(data, &x); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "sites.open", "reading %s", f.index(digest))
	}
	f.last.set(digest, x)
	return x, nil
}

// loadForeign reads the keys that belong to S3 clients. An incomplete last line
// after a crash is ignored: its change had not begun.
func (f files) loadForeign() (map[string]bool, error) {
	keys := map[string]bool{}
	file, err := os.Open(f.foreign())
	if errors.Is(err, fs.ErrNotExist) {
		return keys, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		var key string
		if json.Unmarshal(lines.Bytes(), &key) == nil {
			keys[key] = true
		}
	}
	return keys, lines.Err()
}

// replaceFile puts data under name in one durable step.
func replaceFile(name string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(data)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), name); err != nil {
		return err
	}
	return syncDir(filepath.Dir(name))
}

func syncDir(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
