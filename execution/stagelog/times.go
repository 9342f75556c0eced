package stagelog

import (
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"os"
	"sort"
	"time"

	"showrunner/problem"
)

// Beside each log stands a file of times: entries of an offset and the time at which
// what begins there was written, both increasing. A log without one has no times.
const (
	timesSuffix = ".times"
	timesEntry  = 16 // bytes: the offset, and milliseconds since 1970
	timesEvery  = 50 * time.Millisecond
	mostTimes   = 100_000 // entries of one answer
)

// Written is when what begins at an offset of a log was written.
type Written struct {
	Offset int64     `json:"offset"`
	At     time.Time `json:"at"`
}

// openTimes opens the file of times of a log for appending; an entry that a crash has
// torn is cut off.
func openTimes(name string) (*os.File, error) {
	file, err := os.OpenFile(name+timesSuffix, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && info.Size()%timesEntry != 0 {
		err = file.Truncate(info.Size() - info.Size()%timesEntry)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// note keeps when what comes next is written. Writes that follow each other closely
// share an entry.
func (w *writer) note(now time.Time) {
	if w.times == nil || now.Sub(w.noted) < timesEvery {
		return
	}
	w.noted = now
	var entry [timesEntry]byte
	binary.BigEndian.PutUint64(entry[:8], uint64(w.size))
	binary.BigEndian.PutUint64(entry[8:], uint64(now.UnixMilli()))
	if _, err := w.times.Write(entry[:]); err != nil { // a log without times is better than none
		w.times.Close()
		w.times = nil
	}
}

// Times tells when the bytes from one offset of an attempt's log to another one were
// written: the entry before the first byte, and those up to the last one. Empty where
// that is not known. Errors: invalid, unavailable.
func (f *Folder) Times(execution, stageName string, attempt int, from, to int64) ([]Written, error) {
	name, err := f.path(execution, stageName, attempt)
	if err != nil {
		return nil, err
	}
	unreadable := func(err error) ([]Written, error) {
		return nil, problem.Wrap(err, problem.Unavailable, "stagelog.times", "reading %s", name+timesSuffix)
	}
	file, err := os.Open(name + timesSuffix)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return unreadable(err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return unreadable(err)
	}
	var failed error
	entry := func(i int) (at Written) {
		var raw [timesEntry]byte
		if _, err := file.ReadAt(raw[:], int64(i)*timesEntry); err != nil && failed == nil {
			failed = err
		}
		return decodeTime(raw[:])
	}
	n := int(info.Size() / timesEntry)
	first := max(0, sort.Search(n, func(i int) bool { return entry(i).Offset > from })-1)
	last := min(n, first+mostTimes, sort.Search(n, func(i int) bool { return entry(i).Offset >= to }))
	if failed != nil {
		return unreadable(failed)
	}
	raw := make([]byte, max(0, last-first)*timesEntry)
	if _, err := file.ReadAt(raw, int64(first)*timesEntry); err != nil && !errors.Is(err, io.EOF) {
		return unreadable(err)
	}
	var list []Written
	for ; len(raw) > 0; raw = raw[timesEntry:] {
		list = append(list, decodeTime(raw))
	}
	return list, nil
}

func decodeTime(raw []byte) Written {
	return Written{int64(binary.BigEndian.Uint64(raw[:8])), time.UnixMilli(int64(binary.BigEndian.Uint64(raw[8:timesEntry]))).UTC()}
}
