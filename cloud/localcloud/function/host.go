package function

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/internal/process"
	"showrunner/problem"
)

const (
	// markName is the environment variable by which a later region process finds the
	// environments that this one left.
	markName = "SHOWRUNNER_FUNCTIONS"
	// idleFor is how long an environment stays that nobody needs.
	idleFor = 5 * time.Minute
	// oldest is the greatest age of an environment: its credentials end some time.
	oldest = 6 * time.Hour
	// remembered is how long the result of a request is kept for who asks again.
	remembered = 2 * time.Minute
)

// Artifacts unpacks artifacts.
type Artifacts interface {
	Extract(ctx context.Context, ref artifact.Ref, dir string) error
}

// Config is what a Host needs.
type Config struct {
	Region    string
	Dir       string // its folder
	Artifacts Artifacts
	PassEnv   []string // variables of this process that functions inherit
	Log       *slog.Logger
	Now       func() time.Time
	IdleFor   time.Duration // default 5 minutes
	MostInit  time.Duration // how long a start may take before the function's timeout counts; default 10 s
}

// Host runs functions.
type Host struct {
	config   Config
	mark     string
	system   *process.System
	runtimes *runtimes
	code     *code

	mu        sync.Mutex
	functions map[string]*function   // by driver.Invocation.Function
	requests  map[string]*invocation // that may be joined
	all       map[*environment]bool
	atOnce    int
	closed    bool
	quit      chan struct{}
	work      sync.WaitGroup
}

// function is what is known of one function.
type function struct {
	atOnce int
	idle   []*environment // the one that was used last comes last
}

// New starts a host. Environments that an earlier process of this folder left are ended.
func New(c Config) (*Host, error) {
	if c.IdleFor == 0 {
		c.IdleFor = idleFor
	}
	if c.MostInit == 0 {
		c.MostInit = 10 * time.Second
	}
	dir, err := filepath.Abs(c.Dir)
	if err != nil {
		return nil, problem.Wrap(err, problem.Invalid, "function.open", "folder %s", c.Dir)
	}
	c.Dir = dir
	h := &Host{config: c, mark: dir, functions: map[string]*function{}, requests: map[string]*invocation{}, all: map[*environment]bool{}, quit: make(chan struct{})}
	h.system = process.NewSystem(c.Log)
	if n := h.system.Sweep(markName + "=" + h.mark); n > 0 {
		c.Log.Info("ended environments of functions that an earlier region process left", "region", c.Region, "count", n)
	}
	for _, name := range []string{"environments", "code.part"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			h.system.Close()
			return nil, problem.Wrap(err, problem.Unavailable, "function.open", "emptying %s", filepath.Join(dir, name))
		}
	}
	if h.runtimes, err = newRuntimes(filepath.Join(dir, "runtime")); err != nil {
		h.system.Close()
		return nil, err
	}
	h.code = &code{dir: dir, artifacts: c.Artifacts, roots: map[artifact.Ref]*root{}}
	h.work.Go(h.tidy)
	return h, nil
}

// Close ends every environment, and with them the requests that are under way.
func (h *Host) Close() {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return
	}
	h.closed = true
	close(h.quit)
	var list []*environment
	for e := range h.all {
		list = append(list, e)
	}
	h.mu.Unlock()
	for _, e := range list {
		e.end()
	}
	h.work.Wait()
	h.system.Close()
}

// Runtimes lists the runtimes, with what they need here: the one of a name, or with none
// all of them.
func (h *Host) Runtimes(name string) []driver.Runtime { return h.runtimes.list(name) }

// EndFunction ends the environments of a function that are idle, and those that answer
// a request once they have answered it.
func (h *Host) EndFunction(name string) {
	h.mu.Lock()
	f := h.functions[name]
	var idle []*environment
	if f != nil {
		idle, f.idle = f.idle, nil
	}
	for e := range h.all {
		if e.key.function == name {
			e.retired = true
		}
	}
	h.mu.Unlock()
	for _, e := range idle {
		e.end()
	}
}

// tidy ends what is idle for too long and forgets old results.
func (h *Host) tidy() {
	every := min(h.config.IdleFor/4, 15*time.Second)
	tick := time.NewTicker(max(every, 10*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-h.quit:
			return
		}
		for _, e := range h.outdated() {
			e.end()
		}
		if err := h.code.tidy(); err != nil {
			h.config.Log.Warn("removing code of functions that nobody uses", "region", h.config.Region, "error", err)
		}
	}
}

// outdated are the environments that have to end now; they are no longer idle ones.
func (h *Host) outdated() (list []*environment) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.config.Now()
	for _, f := range h.functions {
		var keep []*environment
		for _, e := range f.idle {
			if now.Sub(e.used) >= h.config.IdleFor || now.Sub(e.started) >= oldest {
				list = append(list, e)
			} else {
				keep = append(keep, e)
			}
		}
		f.idle = keep
	}
	for id, v := range h.requests {
		if !v.ended.IsZero() && now.Sub(v.ended) >= remembered {
			delete(h.requests, id)
		}
	}
	return list
}
