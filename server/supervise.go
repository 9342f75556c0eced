package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"showrunner/internal/filelock"
	"showrunner/internal/ready"
	"showrunner/problem"
)

// Options say what a supervisor runs.
type Options struct {
	Data      string    // the data folder; one supervisor at a time
	Processes []Process // in the order of starting; they stop by Process.Order
	Exe       string    // the program; default this one
	// Logs are kept in Data/logs. Echo also gets every line, with the process's name before it. May be nil.
	Echo io.Writer
	// Before is called once the data folder is this supervisor's, before anything is
	// started; its error ends the whole. May be nil.
	Before func() error
	// Report is told of every change, one at a time. May be nil.
	Report func(Event)
	Log    *slog.Logger
	Now    func() time.Time
	// StopTimeout is how long a process may take to end before it is killed; default 15s.
	StopTimeout time.Duration
	// Backoff is how long to wait before start number n+1 in a row of quick ends; default Backoff.
	Backoff func(n int) time.Duration
}

// Process is one child: this program with arguments.
type Process struct {
	Name string   // "control", "edge", "region-us-west-2"
	Args []string // after the program
	Env  []string // added to what it has of this process's own
	// Only names the variables of this process that it has; nil is all of them.
	Only  []string
	Order int    // of stopping: the lowest first, equal ones together
	Down  string // a file that says that it is down on purpose; "" when that cannot be
}

// State is what a supervised process is doing.
type State string

const (
	Starting State = "starting"
	Ready    State = "ready"
	Waiting  State = "waiting" // for its next start
	Stopped  State = "stopped" // on purpose
)

// Event is one change of one process.
type Event struct {
	Process  string            `json:"process"`
	State    State             `json:"state"`
	PID      int               `json:"pid,omitempty"`
	Listens  map[string]string `json:"listens,omitempty"`
	Since    time.Time         `json:"since"`
	Took     time.Duration     `json:"took,omitempty"`   // from start to ready
	Starts   int               `json:"starts"`           // so far
	Reason   string            `json:"reason,omitempty"` // of an end or a stop
	LastLog  []string          `json:"lastLog,omitempty"`
	NextWait time.Duration     `json:"nextWait,omitempty"` // before the next start
	Outage   *Outage           `json:"outage,omitempty"`   // by which it is stopped
}

// serving are the variables that the processes which carry users' requests have
// of whoever starts them. What else a shell holds, credentials above all, is not
// theirs. (sockpath needs TMPDIR; GOGC and the like tune them.)
var serving = []string{"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "GOGC", "GOMEMLIMIT", "GOMAXPROCS", "GOTRACEBACK"}

// Processes are the children of `showrunner up`. Regions, and the instances in
// them, also have the variables named by pass.
func Processes(data, listen, edge string, regions, pass []string) []Process {
	all := strings.Join(regions, ",")
	list := []Process{
		{Name: "control", Args: []string{"control", "--data", data, "--listen", listen, "--edge", edge, "--regions", all}, Order: 3},
		{Name: "edge", Args: []string{"edge", "--data", data, "--listen", edge, "--regions", all}, Order: 1, Only: serving},
	}
	for _, r := range regions {
		list = append(list, Process{
			Name: "region-" + r, Args: regionArgs(data, r, pass), Order: 2, Down: DownFile(data, r), Only: slices.Concat(serving, pass),
		})
	}
	return list
}

func regionArgs(data, region string, pass []string) []string {
	args := []string{"region", "--data", data, "--name", region}
	if len(pass) > 0 {
		args = append(args, "--pass-env", strings.Join(pass, ","))
	}
	return args
}

// DownFile marks a region that is down on purpose: an outage outlives a
// restart of the supervisor.
func DownFile(data, region string) string { return filepath.Join(data, "regions", region, "down") }

// Backoff starts again at once after a first end, then waits 100 ms, doubled
// each time, to at most 5 s.
func Backoff(n int) time.Duration {
	if n == 0 {
		return 0
	}
	return min(100*time.Millisecond<<min(n-1, 10), 5*time.Second)
}

// steady is how long a process must have run for its end to count as the first
// of a row.
const steady = 10 * time.Second

func (o Options) withDefaults() (Options, error) {
	var err error
	if o.Data, err = filepath.Abs(o.Data); err != nil {
		return o, problem.Wrap(err, problem.Invalid, "up", "data folder %s", o.Data)
	}
	if o.Exe == "" {
		if o.Exe, err = os.Executable(); err != nil {
			return o, problem.Wrap(err, problem.Internal, "up", "finding this program")
		}
	}
	if o.Report == nil {
		o.Report = func(Event) {}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.StopTimeout <= 0 {
		o.StopTimeout = 15 * time.Second
	}
	if o.Backoff == nil {
		o.Backoff = Backoff
	}
	return o, nil
}

// Supervise runs the processes until ctx ends, then stops them in order. It
// starts again what ends by itself, and not what was stopped on purpose. A
// process that ends before it was ready for the first time ends the whole with
// what it said. Errors: conflict when the data folder has a supervisor already.
func Supervise(ctx context.Context, options Options) error {
	const op = "up"
	options, err := options.withDefaults()
	if err != nil {
		return err
	}
	for _, dir := range []string{options.Data, filepath.Join(options.Data, "logs")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return problem.Wrap(err, problem.Unavailable, op, "making folder %s", dir)
		}
	}
	unlock, err := lockData(options.Data)
	if err != nil {
		return err
	}
	defer unlock()
	if options.Before != nil {
		if err := options.Before(); err != nil {
			return err
		}
	}
	s := newSupervisor(options)
	defer s.forker.stop()
	closeAPI, err := s.listen()
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "the supervisor's socket")
	}
	defer closeAPI()
	return s.run(ctx)
}

// lockData takes the data folder; the system lets go of it however this
// process ends. The file says who has it.
func lockData(data string) (unlock func(), err error) {
	name := filepath.Join(data, "up.lock")
	f, err := filelock.Claim(name)
	if errors.Is(err, filelock.ErrHeld) {
		holder, _ := os.ReadFile(name) // for the message only
		return nil, problem.New(problem.Conflict, "up", "showrunner is already up on %s (pid %s)", data, strings.TrimSpace(string(holder))).
			WithHelp("stop that one first, or choose another folder with --data and other addresses with --listen and --edge")
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, "up", "locking %s", name)
	}
	err = errors.Join(f.Truncate(0), func() error { _, err := fmt.Fprintln(f, os.Getpid()); return err }())
	if err != nil {
		f.Close()
		return nil, problem.Wrap(err, problem.Unavailable, "up", "writing %s", name)
	}
	return func() { f.Close() }, nil
}

// supervisor runs children.
type supervisor struct {
	options  Options
	forker   *forker
	children []*child
	report   sync.Mutex
	stopping chan struct{} // closed when the whole stops: nothing is started any more
	failed   chan error    // a child that never became ready
}

func newSupervisor(o Options) *supervisor {
	s := &supervisor{options: o, forker: newForker(), stopping: make(chan struct{}), failed: make(chan error, len(o.Processes))}
	for _, p := range o.Processes {
		s.children = append(s.children, newChild(s, p))
	}
	return s
}

// run returns when every child has ended.
func (s *supervisor) run(ctx context.Context) error {
	var loops sync.WaitGroup
	for _, c := range s.children {
		loops.Go(c.loop)
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.failed:
	}
	close(s.stopping)
	s.shutdown()
	loops.Wait()
	return err
}

// shutdown stops the children, group after group in their order.
func (s *supervisor) shutdown() {
	orders := map[int][]*child{}
	for _, c := range s.children {
		orders[c.process.Order] = append(orders[c.process.Order], c)
	}
	for _, order := range slices.Sorted(func(yield func(int) bool) {
		for o := range orders {
			if !yield(o) {
				return
			}
		}
	}) {
		var group sync.WaitGroup
		for _, c := range orders[order] {
			group.Go(func() { c.end(s.options.StopTimeout) })
		}
		group.Wait()
	}
}

func (s *supervisor) child(name string) (*child, error) {
	for _, c := range s.children {
		if c.process.Name == name {
			return c, nil
		}
	}
	return nil, problem.New(problem.NotFound, "supervisor", "there is no process %q", name)
}

// env is the environment of a child: this process's own, without what was
// meant for this process alone.
func (p Process) env() []string {
	env := slices.DeleteFunc(os.Environ(), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return name == ready.Env || p.Only != nil && !slices.Contains(p.Only, name)
	})
	return append(append(env, p.Env...), ready.Env+"=3")
}
