package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"showrunner/internal/ready"
	"showrunner/problem"
)

// child is one supervised process. Its loop is the only one that starts it.
type child struct {
	s       *supervisor
	process Process
	log     *processLog

	mu      sync.Mutex
	now     Event
	proc    *os.Process
	ended   chan struct{} // closed when proc has ended; nil without one
	down    *down         // nil unless it is down on purpose
	changed chan struct{} // closed and replaced when down changes
	wasUp   bool          // has been ready once
}

func newChild(s *supervisor, p Process) *child {
	c := &child{s: s, process: p, changed: make(chan struct{}), now: Event{Process: p.Name, State: Stopped}}
	c.log = &processLog{path: filepath.Join(s.options.Data, "logs", p.Name+".log"), echo: s.options.Echo, prefix: p.Name + " | "}
	if p.Down != "" {
		c.down = readDown(p.Down)
		c.wasUp = c.down != nil // when it is brought up and fails, the others are not to suffer
	}
	return c
}

// set records and reports a change.
func (c *child) set(change func(*Event)) {
	c.s.report.Lock()
	defer c.s.report.Unlock()
	c.mu.Lock()
	change(&c.now)
	c.now.Since = c.s.options.Now()
	e := c.now
	c.mu.Unlock()
	c.s.options.Report(e)
}

func (c *child) event() Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// loop starts the process, and starts it again, until the whole stops.
func (c *child) loop() {
	defer c.log.Close()
	quick := 0
	for c.waitWanted() {
		began := c.s.options.Now()
		reason := c.once()
		if c.s.options.Now().Sub(began) >= steady {
			quick = 0
		}
		if c.isDown() {
			quick = 0
			continue
		}
		if !c.hasBeenUp() {
			c.s.failed <- c.neverReady(reason)
			<-c.s.stopping
			return
		}
		wait := c.s.options.Backoff(quick)
		quick++
		c.set(func(e *Event) {
			e.State, e.PID, e.Reason, e.NextWait, e.LastLog = Waiting, 0, reason, wait, c.log.last()
		})
		c.s.options.Log.Warn("process ended", "process", c.process.Name, "reason", reason, "again", wait)
		if !c.pause(wait) {
			break
		}
	}
	if e := c.event(); e.State != Stopped {
		c.set(func(e *Event) { e.State, e.PID = Stopped, 0 })
	}
}

func (c *child) neverReady(reason string) error {
	last := c.log.last()
	err := problem.New(problem.Unavailable, "up", "%s did not start: %s", c.process.Name, reason)
	if len(last) > 0 {
		err.Err = errors.New(strings.TrimSpace(last[len(last)-1]))
	}
	return err.WithHelp("its log is %s", c.log.path)
}

// once starts the process and returns when it has ended, with the reason.
func (c *child) once() string {
	r, w, err := os.Pipe()
	if err != nil {
		return err.Error()
	}
	defer r.Close()
	cmd := exec.Command(c.s.options.Exe, c.process.Args...)
	cmd.Env = c.process.env()
	cmd.Stdout, cmd.Stderr = c.log, c.log
	cmd.ExtraFiles = []*os.File{w} // descriptor 3
	cmd.SysProcAttr = childAttributes()
	cmd.WaitDelay = time.Second // builds outlive the control process and may hold its output
	began := c.s.options.Now()
	c.set(func(e *Event) {
		e.State, e.PID, e.Listens, e.Took, e.NextWait, e.Outage = Starting, 0, nil, 0, 0, nil
		e.Starts++
	})

	c.mu.Lock()
	if c.down != nil || c.s.isStopping() {
		c.mu.Unlock()
		w.Close()
		return "stopped before it started"
	}
	err = c.s.forker.start(cmd)
	w.Close()
	if err != nil {
		c.mu.Unlock()
		return err.Error()
	}
	ended := make(chan struct{})
	c.proc, c.ended, c.now.PID = cmd.Process, ended, cmd.Process.Pid
	c.mu.Unlock()

	go c.watchReady(r, began, ended)
	awaitEnd(cmd.Process.Pid)
	// What it started and left behind goes with it, but for what has a group of
	// its own: instances die with their region, builds live on.
	syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	err = cmd.Wait()
	c.mu.Lock()
	c.proc, c.ended = nil, nil
	c.mu.Unlock()
	close(ended)
	return describeEnd(err)
}

// watchReady reads the line with which the process says that it serves.
func (c *child) watchReady(r io.Reader, began time.Time, ended <-chan struct{}) {
	var m ready.Message
	if json.NewDecoder(r).Decode(&m) != nil {
		return // it ended, or closed the pipe: the loop sees the end
	}
	select {
	case <-ended:
		return
	default:
	}
	c.mu.Lock()
	c.wasUp = true
	c.mu.Unlock()
	c.set(func(e *Event) {
		if e.State == Starting {
			e.State, e.Listens, e.Took, e.Reason, e.LastLog = Ready, m.Listens, c.s.options.Now().Sub(began), "", nil
		}
	})
}

func describeEnd(err error) string {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "it ended by itself with exit code 0"
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return fmt.Sprintf("it was ended by signal %d (%s)", int(ws.Signal()), ws.Signal())
		}
		return fmt.Sprintf("it ended with exit code %d", exit.ExitCode())
	}
	return err.Error()
}

func (s *supervisor) isStopping() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

func (c *child) isDown() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.down != nil || c.s.isStopping()
}

func (c *child) hasBeenUp() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.wasUp
}

// waitWanted returns true when the process should run, false when the whole stops.
func (c *child) waitWanted() bool {
	for {
		c.mu.Lock()
		down, changed := c.down, c.changed
		c.mu.Unlock()
		if c.s.isStopping() {
			return false
		}
		if down == nil {
			return true
		}
		if e := c.event(); e.State != Stopped || e.Since.IsZero() {
			c.set(func(e *Event) { e.State, e.PID, e.Outage = Stopped, 0, down.outage() })
		}
		over, stop := down.over(c.s.options.Now())
		select {
		case <-changed:
		case <-over:
			if err := c.bring(down.Fault); err != nil {
				c.s.options.Log.Error("an outage goes on after its time", "process", c.process.Name, "error", err)
				c.pause(time.Second)
			}
		case <-c.s.stopping:
		}
		stop()
	}
}

// pause waits before the next start; false when the whole stops.
func (c *child) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	c.mu.Lock()
	changed := c.changed
	c.mu.Unlock()
	select {
	case <-timer.C:
	case <-changed:
	case <-c.s.stopping:
		return false
	}
	return true
}

// end asks the process to end, kills it when it takes longer than allowed, and
// returns when it has ended.
func (c *child) end(timeout time.Duration) {
	c.mu.Lock()
	proc, ended := c.proc, c.ended
	c.mu.Unlock()
	if proc == nil {
		return
	}
	proc.Signal(syscall.SIGTERM) // it may just have ended
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-ended:
		return
	case <-timer.C:
	}
	c.s.options.Log.Warn("killed: it did not end in time", "process", c.process.Name, "timeout", timeout)
	syscall.Kill(-proc.Pid, syscall.SIGKILL)
	<-ended
}
