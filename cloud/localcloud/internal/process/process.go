// Package process runs the programs of a region: instances, their hooks and the
// environments of functions. It owns how a program starts, how it and everything that
// it started ends, also when the region is killed, and what they use. It refuses to
// know why a program runs.
package process

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

// Program is everything needed to start one process.
type Program struct {
	Command []string
	Dir     string
	Env     []string
	Output  *os.File // stdout and stderr; the caller closes its copy
	Files   int      // open file descriptors; 0: the system's own limit
	Nice    int
}

// Exit is how a program ended.
type Exit struct {
	Code   int            // -1 when a signal ended it
	Signal syscall.Signal // 0 when no signal ended it
}

// How says it in words.
func (e Exit) How() string {
	if e.Signal != 0 {
		return "ended by " + unix.SignalName(e.Signal)
	}
	return fmt.Sprintf("exit code %d", e.Code)
}

// kept is how many bytes of the output of a short command are returned.
const kept = 256

// Run runs a short command, and kills it when ctx ends. It returns the beginning of
// its output; all output goes to out.
func (s *System) Run(ctx context.Context, job Program, out io.Writer) (said string, end Exit, err error) {
	reader, writer, err := os.Pipe()
	if err != nil {
		return "", end, err
	}
	defer reader.Close()
	job.Output = writer
	running, err := s.Start(job)
	writer.Close()
	if err != nil {
		return "", end, err
	}
	var text bytes.Buffer
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.CopyN(io.MultiWriter(&text, out), reader, kept)
		_, _ = io.Copy(out, reader)
		_, _ = io.Copy(io.Discard, reader) // closes our copy of the write end, or the read would block
	}()
	stop := context.AfterFunc(ctx, func() { running.Signal(syscall.SIGKILL) })
	end = running.Wait()
	stop()
	_ = reader.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // a process that escaped the group may hold the write end
	<-read
	return strings.TrimSpace(strings.ToValidUTF8(text.String(), "\uFFFD")), end, nil
}
