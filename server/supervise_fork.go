package server

import (
	"os/exec"
	"runtime"
)

// forker starts processes from one thread that lives as long as the
// supervisor: the system's notion of a parent, for the signal that a child gets
// when its parent dies, is the thread, and Go ends threads as it likes.
type forker struct{ jobs chan func() }

func newForker() *forker {
	f := &forker{jobs: make(chan func())}
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for job := range f.jobs {
			job()
		}
	}()
	return f
}

func (f *forker) start(cmd *exec.Cmd) error {
	done := make(chan error, 1)
	f.jobs <- func() { done <- cmd.Start() }
	return <-done
}

// stop ends the thread, and with it, on Linux, whatever it started and still runs.
func (f *forker) stop() { close(f.jobs) }
