package build

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"showrunner/artifact"
	"showrunner/build/buildspec"
	"showrunner/internal/checksum"
	"showrunner/internal/filelock"
	"showrunner/problem"
)

// Job is a build for a supervisor: the request and where the rest is. It is
// written down; secrets travel beside it, through a pipe, and are not.
type Job struct {
	Request
	Source  artifact.Ref            `json:"source,omitempty"` // empty: an empty folder
	Sources map[string]artifact.Ref `json:"sources,omitempty"`
	Store   string                  `json:"store"`           // folder of the artifacts
	Cache   string                  `json:"cache,omitempty"` // folder of the caches; empty: no cache
	// Deadline ends the build even while no process watches it; zero leaves it to Timeout.
	Deadline time.Time `json:"deadline,omitzero"`
	// Place is a file that the supervisor keeps open while the build runs, so that
	// a lock on it lasts as long; nil for none.
	Place  *os.File `json:"-"`
	Placed bool     `json:"placed,omitempty"` // set by Launcher.Start
}

// placeDescriptor is where a supervisor finds the place of its build.
const placeDescriptor = 3

// The files of a supervised build's folder.
const (
	fileJob     = "job.json"
	fileState   = "state.json"
	fileResult  = "result.json"
	fileLog     = "log"
	fileCancel  = "cancel"
	fileGivenUp = "given-up" // it has not begun and never will
	fileLock    = "lock"
	fileErrors  = "supervisor.log"
)

// State is what a supervisor has written down about itself. It is there from
// before the first command runs.
type State struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // with PID, an identity
	Mark    string `json:"mark"`    // of the build's processes
	Work    string `json:"work"`    // folder of the build
	Result  Result `json:"result"`  // so far
}

// supervision is one supervisor at work.
type supervision struct {
	dir    string
	job    Job
	state  State
	log    *sharedLog
	place  *os.File // nil: none
	end    context.CancelCauseFunc
	done   chan struct{} // closed when the result is written
	writes sync.Mutex    // of the state
}

// Supervise runs the build of a folder to its end, whatever happens to the
// process that asked for it. It is what the build-supervisor process does:
// secrets come as JSON on stdin, and "ready" goes to stdout once the build can
// be reached. Errors: conflict when another supervisor has the build.
func Supervise(ctx context.Context, dir string) error {
	const op = "build.supervise"
	lock, err := lockBuild(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if exists(filepath.Join(dir, fileResult)) {
		return problem.New(problem.Conflict, op, "the build has ended")
	}
	if exists(filepath.Join(dir, fileGivenUp)) {
		return ErrGivenUp
	}
	if exists(filepath.Join(dir, fileState)) {
		return problem.New(problem.Conflict, op, "the build was begun before and cannot begin again")
	}
	s := &supervision{dir: dir, done: make(chan struct{})}
	if err := readJSON(filepath.Join(dir, fileJob), &s.job); err != nil {
		return problem.Wrap(err, problem.Invalid, op, "the job")
	}
	if s.job.Placed {
		syscall.CloseOnExec(placeDescriptor) // no command of the build has it
		s.place = os.NewFile(placeDescriptor, "place")
		defer s.place.Close()
	}
	var secrets map[string]string
	if err := json.NewDecoder(os.Stdin).Decode(&secrets); err != nil {
		return problem.Wrap(err, problem.Invalid, op, "the secrets")
	}
	store, err := artifact.Open(s.job.Store)
	if err != nil {
		return err
	}
	// A supervisor ends by its build's end, or by being told through its socket
	// or by SIGTERM; a closed terminal or pipe is none of its business.
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	ctx, s.end = context.WithCancelCause(context.WithoutCancel(ctx))
	defer s.end(nil)
	return s.serve(ctx, store, secrets)
}

func (s *supervision) serve(ctx context.Context, store *artifact.Store, secrets map[string]string) error {
	const op = "build.supervise"
	work, err := workFolder(s.dir, s.job.Request)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "folder of the build")
	}
	if s.log, err = openSharedLog(filepath.Join(s.dir, fileLog)); err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "log")
	}
	defer s.log.close()
	self, _ := readProcess(os.Getpid())
	s.state = State{PID: os.Getpid(), Started: self.started, Mark: newMark(), Work: work}
	if err := s.save(); err != nil {
		return err
	}
	listener, err := s.listen()
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "socket")
	}
	defer listener.Close()
	terminate := make(chan os.Signal, 1)
	signal.Notify(terminate, syscall.SIGTERM, os.Interrupt)
	go func() {
		select {
		case <-terminate:
			s.end(ErrStopped)
		case <-s.done:
		}
	}()
	if reason, err := os.ReadFile(filepath.Join(s.dir, fileCancel)); err == nil {
		s.end(cancelCause(string(reason)))
	}
	fmt.Println("ready")
	os.Stdout.Close()

	if !s.job.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, s.job.Deadline, ErrTimedOut)
		defer cancel()
	}
	result := Run(ctx, s.job.Request, s.host(store, secrets))
	RemoveAll(work) //nolint:errcheck // Prune tries again
	if s.place != nil {
		s.place.Close() // whoever sees the result finds the place free
	}
	if err := writeJSON(filepath.Join(s.dir, fileResult), result); err != nil {
		return err
	}
	s.state.Result = result
	s.log.finish()
	close(s.done)
	return s.drain(listener)
}

// host is where a supervised build runs: source and artifacts are in the store.
func (s *supervision) host(store *artifact.Store, secrets map[string]string) Host {
	host := Host{
		Dir: s.state.Work, Log: s.log, Secrets: secrets, Exclusive: true, Mark: s.state.Mark, Now: time.Now,
		Prepare: func(ctx context.Context, dir string, inputs map[string]string) error {
			if s.job.Source != "" {
				if err := store.Extract(ctx, s.job.Source, dir); err != nil {
					return err
				}
			}
			for id, to := range inputs {
				if err := store.Extract(ctx, s.job.Sources[id], to); err != nil {
					return err
				}
			}
			return nil
		},
		Deliver: func(ctx context.Context, _ string, files []artifact.File) (Delivery, error) {
			ref, _, err := store.Put(ctx, files)
			return Delivery{Ref: ref}, err
		},
		Changed: func(r Result) {
			s.writes.Lock()
			s.state.Result = r
			s.writes.Unlock()
			s.save() //nolint:errcheck // what is lost is how far a crashed build was
		},
	}
	if s.job.Cache != "" {
		host.Cache = &Cache{Dir: s.job.Cache, Store: store}
	}
	return host
}

func (s *supervision) save() error {
	s.writes.Lock()
	defer s.writes.Unlock()
	return writeJSON(filepath.Join(s.dir, fileState), s.state)
}

// workFolder makes the folder of the build: below the supervised folder, or,
// when the buildspec runs commands as another user, where that user can go.
func workFolder(dir string, req Request) (string, error) {
	spec, err := buildspec.Parse(req.SpecName, []byte(req.Spec))
	if err == nil && spec.SwitchesUser() && req.Image == "" {
		work, err := os.MkdirTemp("", "showrunner-build-")
		if err != nil {
			return "", err
		}
		return work, os.Chmod(work, 0o711)
	}
	work := filepath.Join(dir, "work")
	return work, os.MkdirAll(work, 0o700)
}

// lockBuild takes the lock that a build's supervisor holds while it lives.
// Errors: conflict when another one does.
func lockBuild(dir string) (*os.File, error) {
	f, err := filelock.Try(filepath.Join(dir, fileLock))
	if errors.Is(err, filelock.ErrHeld) {
		return nil, problem.Wrap(err, problem.Conflict, "build.lock", "the build has a supervisor")
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "build.lock", "folder %s", dir)
	}
	return f, nil
}

// readJSON reads a file that writeJSON wrote. Errors: invalid when it is damaged.
func readJSON(name string, v any) error {
	data, err := os.ReadFile(name)
	if err == nil {
		data, err = checksum.OpenFile(data)
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(data, v)
}

// writeJSON replaces a file so that it is there whole or as it was.
func writeJSON(name string, v any) error {
	const op = "build.write"
	data, err := json.Marshal(v)
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "%s", filepath.Base(name))
	}
	data = checksum.SealFile(data)
	tmp, err := os.CreateTemp(filepath.Dir(name), ".tmp-")
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "%s", filepath.Base(name))
	}
	defer os.Remove(tmp.Name())
	if _, err = tmp.Write(data); err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "%s", filepath.Base(name))
	}
	return nil
}

// sharedLog is a log that is written and followed at the same time.
type sharedLog struct {
	mu     sync.Mutex
	grown  *sync.Cond
	f      *os.File
	size   int64
	ending bool
}

func openSharedLog(name string) (*sharedLog, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	l := &sharedLog{f: f}
	l.grown = sync.NewCond(&l.mu)
	if info, err := f.Stat(); err == nil {
		l.size = info.Size()
	}
	return l, nil
}

func (l *sharedLog) Write(p []byte) (int, error) {
	n, err := l.f.Write(p)
	l.mu.Lock()
	l.size += int64(n)
	l.mu.Unlock()
	l.grown.Broadcast()
	return n, err
}

func (l *sharedLog) finish() {
	l.mu.Lock()
	l.ending = true
	l.mu.Unlock()
	l.grown.Broadcast()
}

func (l *sharedLog) close() { l.f.Close() }

// follow copies the log from an offset on, until its end or until w fails.
func (l *sharedLog) follow(offset int64, w io.Writer) error {
	buf := make([]byte, 64<<10)
	for {
		l.mu.Lock()
		for l.size <= offset && !l.ending {
			l.grown.Wait()
		}
		size, ending := l.size, l.ending
		l.mu.Unlock()
		for offset < size {
			n, err := l.f.ReadAt(buf[:min(int64(len(buf)), size-offset)], offset)
			if n > 0 {
				if _, err := w.Write(buf[:n]); err != nil {
					return err
				}
				offset += int64(n)
			}
			if err != nil && !errors.Is(err, io.EOF) {
				return err
			}
		}
		if ending {
			return nil
		}
	}
}
