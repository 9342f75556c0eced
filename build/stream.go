package build

import (
	"bytes"
	"io"
	"strconv"
)

// The shell says on its output what became of a command:
//
//	RS nonce SP kind code RS
//
// with kind 'd' for done, 'x' for a shell that is about to end, and '!' which
// the runner writes itself when the process has ended: in the same pipe, so
// that everything written before has been passed on.
const rs = 0x1e

// event is one such word.
type event struct {
	kind byte
	code int
}

// stream takes events out of a shell's output and passes on the rest.
type stream struct {
	w      io.Writer
	prefix []byte // RS nonce SP
	held   []byte
	events chan<- event
}

// maxWord bounds what follows the prefix: a kind, a number, RS.
const maxWord = 16

// Write implements io.Writer.
func (s *stream) Write(p []byte) (int, error) {
	data := p
	if len(s.held) > 0 {
		data = append(s.held, p...)
		s.held = nil
	}
	for len(data) > 0 {
		i := bytes.IndexByte(data, rs)
		if i < 0 {
			s.w.Write(data) //nolint:errcheck // a log never fails a build
			break
		}
		if i > 0 {
			s.w.Write(data[:i]) //nolint:errcheck
			data = data[i:]
		}
		n, ev, whole := s.word(data)
		switch {
		case ev != nil:
			s.events <- *ev
			data = data[n:]
		case !whole:
			s.held = append([]byte(nil), data...)
			return len(p), nil
		default:
			s.w.Write(data[:1]) //nolint:errcheck
			data = data[1:]
		}
	}
	return len(p), nil
}

// word reads the event that data begins with. Without one, whole says whether
// more data could not make it one.
func (s *stream) word(data []byte) (length int, ev *event, whole bool) {
	n := min(len(data), len(s.prefix))
	if !bytes.Equal(data[:n], s.prefix[:n]) {
		return 0, nil, true
	}
	rest := data[n:]
	if n < len(s.prefix) || len(rest) == 0 {
		return 0, nil, false
	}
	end := bytes.IndexByte(rest, rs)
	if end < 0 {
		return 0, nil, len(rest) > maxWord
	}
	code, err := strconv.Atoi(string(rest[1:end]))
	if err != nil {
		return 0, nil, true
	}
	return n + end + 1, &event{kind: rest[0], code: code}, true
}
