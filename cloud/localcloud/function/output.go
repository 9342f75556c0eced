package function

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"showrunner/cloud/driver"
)

// mostLine is the longest line of a log, in bytes; a longer one becomes several.
const mostLine = 256 << 10

// mostKept bounds what is kept of an output that nobody takes, in bytes.
const mostKept = 4 << 20

// output is what an environment's process has written and nobody has taken yet.
type output struct {
	file    *os.File
	now     func() time.Time
	changed chan struct{} // a signal that there is more

	mu    sync.Mutex
	rest  []byte // the beginning of a line
	lines []driver.LogLine
	size  int
	ended bool
}

func newOutput(file *os.File, now func() time.Time) *output {
	return &output{file: file, now: now, changed: make(chan struct{}, 1)}
}

// read reads until the end of the output.
func (o *output) read() {
	conn, err := o.file.SyscallConn()
	if err != nil {
		return // not reached: it is a pipe
	}
	for ended := false; !ended; {
		err := conn.Read(func(fd uintptr) bool {
			o.mu.Lock()
			defer o.mu.Unlock()
			var some bool
			some, ended = o.pull(int(fd))
			return some || ended
		})
		ended = ended || err != nil
		select {
		case o.changed <- struct{}{}:
		default:
		}
	}
}

// pull reads what is there now. The output is locked.
func (o *output) pull(fd int) (some, ended bool) {
	var buffer [16 << 10]byte
	for !o.ended {
		n, err := unix.Read(fd, buffer[:])
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return some, false
		case n <= 0:
			o.ended = true
		default:
			some = true
			o.add(buffer[:n])
		}
	}
	return some, true
}

// add splits what was written into lines. The output is locked.
func (o *output) add(text []byte) {
	o.rest = append(o.rest, text...)
	for {
		end := bytes.IndexByte(o.rest, '\n')
		if end < 0 && len(o.rest) >= mostLine {
			end = mostLine - 1
		}
		if end < 0 {
			return
		}
		o.line(o.rest[:end+1])
		o.rest = o.rest[end+1:]
	}
}

func (o *output) line(text []byte) {
	for o.size > mostKept && len(o.lines) > 0 { // the oldest ones go
		o.size -= len(o.lines[0].Text)
		o.lines = o.lines[1:]
	}
	o.size += len(text)
	// The runtimes write the lines of one entry with carriage returns between them.
	plain := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\r", "\n")
	o.lines = append(o.lines, driver.LogLine{At: o.now(), Text: strings.ToValidUTF8(plain, "\uFFFD")})
}

// take takes everything that was written before the call; whole says that a line
// without an end is one too.
func (o *output) take(whole bool) []driver.LogLine {
	conn, err := o.file.SyscallConn()
	o.mu.Lock()
	defer o.mu.Unlock()
	if err == nil {
		_ = conn.Control(func(fd uintptr) { o.pull(int(fd)) }) // a closed one has no more
	}
	if len(o.rest) > 0 && (whole || o.ended) {
		o.line(append(o.rest, '\n'))
		o.rest = nil
	}
	list := o.lines
	o.lines, o.size = nil, 0
	return list
}

func (o *output) close() { _ = o.file.Close() }
