package fleet

import (
	"os"
	"syscall"
	"time"
)

// runner starts programs; the real one is system, tests use their own.
type runner interface {
	start(program) (process, error)
	// sweep kills every process of the machine that carries the mark, NAME=value,
	// in its environment, and says how many there were.
	sweep(mark string) int
	close()
}

// program is everything needed to start one process.
type program struct {
	Command []string
	Dir     string
	Env     []string
	Output  *os.File // stdout and stderr; the caller closes its copy
	Files   int      // open file descriptors; 0: the system's own limit
	Nice    int
}

// process is a started program and everything it starts, as one process group.
type process interface {
	pid() int
	// signal reaches the whole process group; a group that is gone is no error.
	signal(syscall.Signal)
	// wait returns once the program itself has ended; called once.
	wait() exit
	// usage sums processor time and resident memory of the program and its children.
	usage() (cpu time.Duration, memory int64, ok bool)
}

// exit is how a program ended.
type exit struct {
	Code   int            // -1 when a signal ended it
	Signal syscall.Signal // 0 when none did
}
