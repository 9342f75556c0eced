package server

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
)

const (
	logSize = 10 << 20 // of one file
	logKeep = 3        // older files: name.1 is the youngest
	logLast = 20       // lines remembered as evidence
)

// processLog keeps what a process writes: in files that are rotated by size,
// the last lines in memory, and every line on echo with the process's name.
// What cannot be written to the file is dropped: a full disk must not stop the
// process.
type processLog struct {
	path   string
	echo   io.Writer
	prefix string

	mu    sync.Mutex
	file  *os.File
	size  int64
	part  []byte
	lines []string
}

// Write implements io.Writer; it never fails.
func (l *processLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok && len(l.part) < 64<<10 {
			break
		}
		l.line(string(line))
		l.part = rest
	}
	return len(b), nil
}

func (l *processLog) line(s string) {
	if l.lines = append(l.lines, s); len(l.lines) > logLast {
		l.lines = l.lines[1:]
	}
	if l.echo != nil {
		fmt.Fprintf(l.echo, "%s%s\n", l.prefix, s)
	}
	if l.file == nil || l.size > logSize {
		l.rotate()
	}
	if l.file != nil {
		n, _ := fmt.Fprintln(l.file, s)
		l.size += int64(n)
	}
}

// rotate opens the file, moving one that is full out of the way.
func (l *processLog) rotate() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
	if info, err := os.Stat(l.path); err == nil && info.Size() > logSize {
		for i := logKeep; i > 1; i-- {
			os.Rename(fmt.Sprintf("%s.%d", l.path, i-1), fmt.Sprintf("%s.%d", l.path, i))
		}
		os.Rename(l.path, l.path+".1")
	}
	f, err := os.OpenFile(l.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return
	}
	l.file, l.size = f, 0
	if info, err := f.Stat(); err == nil {
		l.size = info.Size()
	}
}

// last are the last lines, oldest first.
func (l *processLog) last() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

func (l *processLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.part) > 0 {
		l.line(string(l.part))
		l.part = nil
	}
	if l.file == nil {
		return nil
	}
	err := l.file.Close()
	l.file = nil
	return err
}
