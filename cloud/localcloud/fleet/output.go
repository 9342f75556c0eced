package fleet

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// An instance's output is stored in two files of at most outputSize bytes; the
// older one is complete. So at least the last outputSize bytes are always
// available.
const (
	outputSize = 4 << 20
	tailBytes  = 64 << 10
	tailLines  = 20
)

// crashHead matches the first line that a runtime writes when it ends a program.
// The stacks and registers after it can be longer than the last lines.
var crashHead = regexp.MustCompile(`^(panic|fatal error|SIG[A-Z]+|terminate called|Exception in thread)\b`)

// output stores the output of a process, bounded, and lets readers follow it.
type output struct {
	path string

	mu        sync.Mutex
	file      *os.File
	size      int64
	rotations int           // how often it has been rotated
	changed   chan struct{} // closed and replaced with every write
	closed    bool
	limit     int64
}

func openOutput(path string, limit int64) (*output, error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	return &output{path: path, file: file, changed: make(chan struct{}), limit: limit}, nil
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, os.ErrClosed
	}
	if o.size > 0 && o.size+int64(len(p)) > o.limit {
		if err := os.Rename(o.path, o.path+".1"); err != nil {
			return 0, err
		}
		next, err := os.OpenFile(o.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return 0, err
		}
		o.file.Close()
		o.file, o.size = next, 0
		o.rotations++
	}
	n, err := o.file.Write(p)
	o.size += int64(n)
	close(o.changed)
	o.changed = make(chan struct{})
	return n, err
}

// Close ends the output: followers return once they have read all of it.
func (o *output) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	close(o.changed)
	return o.file.Close()
}

// state is the position data of a follower. It is taken before a read, so that
// nothing written meanwhile is missed.
func (o *output) state() (turn int, closed bool, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.rotations, o.closed, o.changed
}

// follow copies all stored output to w and continues until the output closes or
// ctx ends.
func (o *output) follow(ctx context.Context, w io.Writer) error {
	o.mu.Lock() // no rotation between opening the two files
	older, olderErr := os.Open(o.path + ".1")
	file, err := os.Open(o.path)
	turn := o.rotations
	o.mu.Unlock()
	if olderErr == nil {
		defer older.Close()
	}
	if err != nil {
		return err
	}
	defer func() { file.Close() }()
	if olderErr == nil {
		if _, err := io.Copy(w, older); err != nil {
			return err
		}
	}
	for {
		now, closed, changed := o.state()
		if _, err := io.Copy(w, file); err != nil {
			return err
		}
		if now != turn { // the old file has been read to its end
			next, err := os.Open(o.path)
			if err != nil {
				return err
			}
			file.Close()
			file, turn = next, now
			continue
		}
		if closed {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

// copyKept copies the stored output of an instance that may have ended.
func copyKept(path string, w io.Writer) error {
	if err := copyFile(path+".1", w); err != nil {
		return err
	}
	return copyFile(path, w)
}

// copyFile copies a file to w; a missing file counts as empty.
func copyFile(path string, w io.Writer) error {
	file, err := os.Open(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(w, file)
	return err
}

// lastLines are the last lines of an output, for the evidence of a failure. When
// they are the end of a dump, the dump's first lines are put before them.
func lastLines(path string) []string {
	var kept []byte
	for _, name := range []string{path, path + ".1"} {
		kept = append(tailOf(name, tailBytes-len(kept)), kept...)
		if len(kept) >= tailBytes {
			break
		}
	}
	text := strings.TrimRight(strings.ToValidUTF8(string(bytes.ReplaceAll(kept, []byte{0}, nil)), "\uFFFD"), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	last := lines[max(0, len(lines)-tailLines):]
	if !slices.ContainsFunc(last, crashHead.MatchString) {
		for _, line := range slices.Backward(lines[:len(lines)-len(last)]) {
			if crashHead.MatchString(line) {
				return append([]string{line}, last[1:]...)
			}
		}
	}
	return last
}

func tailOf(path string, n int) []byte {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.Size() > int64(n) {
		if _, err := file.Seek(-int64(n), io.SeekEnd); err != nil {
			return nil
		}
	}
	text, _ := io.ReadAll(io.LimitReader(file, int64(n)))
	return text
}
