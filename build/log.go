package build

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"showrunner/secret"
)

// buildLog writes commands' output and the runner's own lines, masked.
type buildLog struct {
	mu     sync.Mutex
	masker *secret.Masker
	keys   *keyMasker
	end    *tail
	now    func() time.Time
}

func newBuildLog(w io.Writer, now func() time.Time) *buildLog {
	end := &tail{w: w, newline: true}
	keys := &keyMasker{w: end}
	return &buildLog{masker: secret.NewMasker(keys), keys: keys, end: end, now: now}
}

// Write passes commands' output on.
func (l *buildLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.masker.Write(p) //nolint:errcheck // a log never fails a build
	return len(p), nil
}

// say writes a line of the runner's own, always at the beginning of a line.
func (l *buildLog) say(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if !l.end.newline {
		io.WriteString(l.masker, "\n") //nolint:errcheck
	}
	line := strings.TrimRight(fmt.Sprintf(format, args...), "\n")
	fmt.Fprintf(l.masker, "[Container] %s %s\n", l.now().UTC().Format("2006/01/02 15:04:05.000000"), line)
	l.flush()
}

// flush lets go what was held back as the possible beginning of a secret.
func (l *buildLog) flush() {
	l.masker.Flush() //nolint:errcheck
	l.keys.flush()
}

// mark begins a new command's output; since returns the end of it.
func (l *buildLog) mark() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	l.end.kept = l.end.kept[:0]
}

func (l *buildLog) since() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	return strings.ToValidUTF8(string(l.end.kept), "\uFFFD")
}

// tail remembers the last of what is written.
type tail struct {
	w       io.Writer
	kept    []byte
	newline bool
}

const keptTail = 32 << 10

func (t *tail) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.newline = p[len(p)-1] == '\n'
	if len(p) >= keptTail {
		t.kept = append(t.kept[:0], p[len(p)-keptTail:]...)
	} else {
		if over := len(t.kept) + len(p) - keptTail; over > 0 {
			t.kept = append(t.kept[:0], t.kept[over:]...)
		}
		t.kept = append(t.kept, p...)
	}
	t.w.Write(p) //nolint:errcheck // a log never fails a build
	return len(p), nil
}

// keyMasker replaces AWS access key identifiers, wherever writes are cut.
type keyMasker struct {
	w    io.Writer
	held []byte
}

const keyLength = 20 // AKIA or ASIA, and 16 capitals and digits

func (k *keyMasker) Write(p []byte) (int, error) {
	data := p
	if len(k.held) > 0 {
		data = append(k.held, p...)
		k.held = nil
	}
	var out []byte
	for len(data) > 0 {
		i := bytes.IndexByte(data, 'A')
		if i < 0 {
			out = append(out, data...)
			break
		}
		out, data = append(out, data[:i]...), data[i:]
		n := 0
		for n < min(len(data), keyLength) && keyByte(n, data[n], data) {
			n++
		}
		switch {
		case n == keyLength:
			out, data = append(out, "***"...), data[n:]
		case n == len(data):
			k.held, data = append([]byte(nil), data...), nil
		default:
			out, data = append(out, data[0]), data[1:]
		}
	}
	if len(out) > 0 {
		k.w.Write(out) //nolint:errcheck // a log never fails a build
	}
	return len(p), nil
}

func keyByte(i int, c byte, data []byte) bool {
	switch i {
	case 0, 3:
		return c == 'A'
	case 1:
		return c == 'K' || c == 'S'
	case 2:
		return c == 'I'
	}
	return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

func (k *keyMasker) flush() {
	if len(k.held) > 0 {
		k.w.Write(k.held) //nolint:errcheck
		k.held = nil
	}
}

// lastLines returns the last n lines of text that say something.
func lastLines(text string, n int) []string {
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' })
	kept := lines[:0]
	for _, line := range lines {
		if line = strings.TrimRight(line, " \t"); line != "" {
			kept = append(kept, line)
		}
	}
	return kept[max(0, len(kept)-n):]
}
