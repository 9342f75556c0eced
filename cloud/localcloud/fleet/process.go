package fleet

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// runner starts programs; system is the real one, tests use their own.
type runner interface {
	start(program) (process, error)
	// sweep kills every process of the machine that has the mark, NAME=value, in
	// its environment, and returns their number.
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

// process is a started program with all processes it starts, as one process
// group.
type process interface {
	pid() int
	// signal signals the whole process group; it succeeds for a group that is
	// gone.
	signal(syscall.Signal)
	// wait returns once the program itself has ended; called once.
	wait() exit
	// usage sums processor time and resident memory of the program and its children.
	usage() (cpu time.Duration, memory int64, ok bool)
}

// exit is how a program ended.
type exit struct {
	Code   int            // -1 when a signal ended it
	Signal syscall.Signal // 0 when no signal ended it
}

func (e exit) how() string {
	if e.Signal != 0 {
		return "ended by " + unix.SignalName(e.Signal)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// runCommand runs a short command, and kills it when ctx ends. It returns the
// beginning of its output; all output goes to out.
func runCommand(ctx context.Context, r runner, job program, out io.Writer) (said string, end exit, err error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return "", end, err
	}
	defer reader.Close()
	job.Output = writer
	running, err := r.start(job)
	writer.Close()
	if err != nil {
		return "", end, err
	}
	var text bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.CopyN(io.MultiWriter(&text, out), reader, probeBody)
		_, _ = io.Copy(out, reader)
		_, _ = io.Copy(io.Discard, reader) // closes our copy of the write end, or the read would block
	}()
	stop := context.AfterFunc(ctx, func() { running.signal(syscall.SIGKILL) })
	end = running.wait()
	stop()
	_ = reader.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // a process that escaped the group may hold the write end
	<-read
	return strings.TrimSpace(strings.ToValidUTF8(text.String(), "\uFFFD")), end, nil
}
