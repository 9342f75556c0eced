// Package stagelog keeps what stages write: one file for each attempt at a
// stage, appended to while it runs, followed live, read later from any offset.
// It survives the process that writes it.
package stagelog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"showrunner/problem"
	"showrunner/stage"
)

// MaxSize bounds one attempt's log, in bytes; what comes after is counted and left out.
const MaxSize = 256 << 20

// Folder keeps the logs under one folder: <execution>/<stage>.<attempt>.log.
type Folder struct {
	dir string
	now func() time.Time

	mu      sync.Mutex
	writers map[string]*state // of the files that are open here
}

// state is what the followers of a file in this process wait for.
type state struct {
	grown chan struct{} // closed and replaced when the file grows
	open  int
}

// New keeps logs in dir.
func New(dir string) *Folder { return &Folder{dir: dir, now: time.Now, writers: map[string]*state{}} }

func (f *Folder) path(execution, stageName string, attempt int) (string, error) {
	for _, part := range []string{execution, stageName} {
		if part == "" || part == "." || part == ".." || strings.ContainsAny(part, "/\\\x00") {
			return "", problem.New(problem.Invalid, "stagelog", "%q cannot be part of a log's name", part)
		}
	}
	return filepath.Join(f.dir, execution, fmt.Sprintf("%s.%d.log", stageName, attempt)), nil
}

// Open appends to the log of a stage's attempt.
func (f *Folder) Open(key stage.Key) (io.WriteCloser, error) {
	name, err := f.path(key.Execution, key.Stage, key.Attempt)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "stagelog.open", "the folder of %s", name)
	}
	file, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "stagelog.open", "opening %s", name)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, problem.Wrap(err, problem.Unavailable, "stagelog.open", "reading %s", name)
	}
	times, err := openTimes(name)
	if err != nil {
		file.Close()
		return nil, problem.Wrap(err, problem.Unavailable, "stagelog.open", "opening %s", name+timesSuffix)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.writers[name]
	if st == nil {
		st = &state{grown: make(chan struct{})}
		f.writers[name] = st
	}
	st.open++
	return &writer{folder: f, name: name, file: file, times: times, size: info.Size()}, nil
}

type writer struct {
	folder *Folder
	name   string

	mu     sync.Mutex
	file   *os.File
	times  *os.File // nil: not kept any more
	noted  time.Time
	size   int64
	missed int64 // bytes left out
}

// Write implements io.Writer. A full log takes no more, and says how much it left out when it is closed.
func (w *writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return 0, fs.ErrClosed
	}
	room := max(0, min(int64(len(p)), MaxSize-w.size))
	if room > 0 {
		w.note(w.folder.now())
		n, err := w.file.Write(p[:room])
		w.size += int64(n)
		w.folder.grow(w.name)
		if err != nil {
			return n, err
		}
	}
	w.missed += int64(len(p)) - room
	return len(p), nil
}

// Close implements io.Closer.
func (w *writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.file == nil {
		return nil
	}
	var err error
	if w.missed > 0 {
		_, err = fmt.Fprintf(w.file, "\n[log full: %d bytes left out]\n", w.missed)
	}
	err = errors.Join(err, w.file.Close())
	if w.times != nil {
		err = errors.Join(err, w.times.Close())
	}
	w.file = nil
	w.folder.leave(w.name)
	return err
}

// grow wakes those who follow the file.
func (f *Folder) grow(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if st := f.writers[name]; st != nil {
		close(st.grown)
		st.grown = make(chan struct{})
	}
}

func (f *Folder) leave(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	st := f.writers[name]
	if st == nil {
		return
	}
	close(st.grown)
	st.grown = make(chan struct{})
	if st.open--; st.open == 0 {
		delete(f.writers, name)
	}
}

// wait returns what is closed when the file grows; a file that nobody writes
// here (another replica does) is looked at again from time to time.
func (f *Folder) wait(name string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	if st := f.writers[name]; st != nil {
		return st.grown
	}
	return nil
}

// elsewhere is how often a file that is written by another process is looked at.
const elsewhere = 300 * time.Millisecond

// Read copies an attempt's log from a byte offset. With follow it goes on until
// ctx ends or done is closed, and then to the log's present end. A log that has
// not begun is empty. Errors: not_found when nothing was ever written and
// nothing is waited for.
func (f *Folder) Read(ctx context.Context, execution, stageName string, attempt int, from int64, follow bool, done <-chan struct{}, to io.Writer) error {
	name, err := f.path(execution, stageName, attempt)
	if err != nil {
		return err
	}
	for over := !follow; ; {
		grown := f.wait(name)
		n, err := copyFrom(name, from, to)
		from += n
		missing := errors.Is(err, fs.ErrNotExist)
		if err != nil && !missing {
			return err
		}
		if over {
			if missing && from == 0 {
				return problem.New(problem.NotFound, "stagelog.read", "stage %s of %s has written nothing", stageName, execution)
			}
			return nil
		}
		var clock <-chan time.Time
		if grown == nil {
			clock = time.After(elsewhere) // not a timer to stop: following would gather one for each look
		}
		select {
		case <-grown:
		case <-clock:
		case <-done:
			over = true
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func copyFrom(name string, from int64, to io.Writer) (int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return 0, err
	}
	return io.Copy(to, file)
}

// Remove forgets an execution's logs.
func (f *Folder) Remove(execution string) error {
	name, err := f.path(execution, "x", 1)
	if err != nil {
		return err
	}
	return os.RemoveAll(filepath.Dir(name))
}
