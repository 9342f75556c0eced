package server

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"showrunner/problem"
)

// down is what the file of a process that is down on purpose says.
type down struct {
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`
	Outage
}

// readDown reads the file of a process; nil: the process is not down on purpose. A file
// that cannot be read keeps it down until somebody brings it up.
func readDown(file string) *down {
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var d down
	if err == nil {
		err = json.Unmarshal(text, &d)
	}
	if err != nil {
		d = down{Reason: "the file " + file + " cannot be read: " + err.Error()}
	}
	return &d
}

func (d *down) outage() *Outage {
	if d.Fault == "" {
		return nil
	}
	return &d.Outage
}

// over is told when the outage's time is over: never without one.
func (d *down) over(now time.Time) (over <-chan time.Time, stop func()) {
	if d.Fault == "" {
		return nil, func() {}
	}
	t := time.NewTimer(d.Until.Sub(now))
	return t.C, func() { t.Stop() }
}

// take takes the process down on purpose, and remembers that across restarts
// of the supervisor. It returns when the process has ended. A fault does not take down
// what is down for another reason.
func (c *child) take(b stopBody) error {
	const op = "supervisor.stop"
	if c.process.Down == "" {
		return problem.New(problem.Precondition, op, "%s cannot be taken down alone", c.process.Name)
	}
	c.mu.Lock()
	was := c.down
	c.mu.Unlock()
	if was != nil && b.Fault != "" && was.Fault != b.Fault {
		return problem.New(problem.Precondition, op, "%s is down already: %s", c.process.Name, was.Reason)
	}
	now := &down{b.Reason, c.s.options.Now(), b.Outage}
	data, err := json.Marshal(now)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(c.process.Down), 0o700)
	}
	if err == nil {
		err = replaceFile(c.process.Down, data)
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "marking %s as down", c.process.Name)
	}
	c.mark(now)
	c.mu.Lock()
	proc, ended := c.proc, c.ended
	c.mu.Unlock()
	if proc != nil && b.Kill {
		syscall.Kill(-proc.Pid, syscall.SIGKILL)
		<-ended
	} else {
		c.end(c.s.options.StopTimeout)
	}
	c.set(func(e *Event) { e.State, e.PID, e.Reason, e.Outage = Stopped, 0, b.Reason, now.outage() })
	return nil
}

// replaceFile writes a file in one step: a supervisor that is killed leaves the earlier
// file or the new one.
func replaceFile(name string, data []byte) error {
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// bring has the process started again after take; it does not wait. With a fault it ends
// that outage alone: a process that is down for another reason stays down.
func (c *child) bring(fault string) error {
	c.mu.Lock()
	was := c.down
	c.mu.Unlock()
	if fault != "" && (was == nil || was.Fault != fault) {
		return nil
	}
	if c.process.Down != "" {
		if err := os.Remove(c.process.Down); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return problem.Wrap(err, problem.Unavailable, "supervisor.start", "%s stays down", c.process.Name)
		}
	}
	c.mark(nil)
	return nil
}

func (c *child) mark(d *down) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down = d
	close(c.changed)
	c.changed = make(chan struct{})
}
