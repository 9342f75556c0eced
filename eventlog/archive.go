package eventlog

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"showrunner/internal/checksum"
	"showrunner/internal/filelock"
	"showrunner/problem"
	"showrunner/store/record"
)

// Archive keeps events as newline-delimited JSON in a folder. Each file is named
// for the position of its first event; positions rise within and across files.
// Each line carries its checksum (package checksum) as the member "c". One
// process at a time appends; any number may read. The owner of the folder may
// copy the files, compress copies, and delete files from the front.
type Archive struct {
	dir string
	// FileSize is the size in bytes after which a new file is begun; default 64
	// MiB.
	FileSize int64

	sync  func(*os.File) error // flushes writes to disk
	mu    sync.Mutex
	last  int64                  // position of the last event, as of the last refresh
	hints map[int64]readPosition // where to continue reading after a position
}

// readPosition is the file and offset of the event after a position.
type readPosition struct {
	file   string
	offset int64
}

// maxHints bounds the number of remembered read positions.
const maxHints = 32

const suffix = ".ndjson"

// OpenArchive keeps events in dir, which is made when the first event is
// appended.
func OpenArchive(dir string) *Archive {
	return &Archive{dir: dir, FileSize: 64 << 20, hints: map[int64]readPosition{}, sync: (*os.File).Sync}
}

// files lists the archive's files in order, with the positions they begin at.
func (a *Archive) files() (names []string, firsts []int64, err error) {
	entries, err := os.ReadDir(a.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, problem.Wrap(err, problem.Unavailable, "archive", "folder %s", a.dir)
	}
	for _, e := range entries { // sorted by name, which means by position
		text, ok := strings.CutSuffix(e.Name(), suffix)
		first, err := strconv.ParseInt(text, 10, 64)
		if !ok || err != nil {
			continue
		}
		names, firsts = append(names, filepath.Join(a.dir, e.Name())), append(firsts, first)
	}
	return names, firsts, nil
}

// Append makes events durable. It skips events that the archive holds already, so
// an append that is repeated after a crash adds nothing twice. It first removes a
// line that a crash cut off.
func (a *Archive) Append(events []record.Event) error {
	const op = "archive.append"
	if len(events) == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "folder %s", a.dir)
	}
	// A replica that lost its connection to the database may still be writing
	// events that another replica has to write now.
	lock, err := filelock.Try(filepath.Join(a.dir, "lock"))
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "folder %s", a.dir)
	}
	defer lock.Close()
	names, _, err := a.files()
	if err != nil {
		return err
	}
	name, size, last := "", int64(0), int64(0)
	for i := len(names) - 1; i >= 0 && last == 0; i-- {
		name = names[i]
		if last, size, err = repair(name); err == nil && size == 0 {
			err = os.Remove(name) // a crash cut the file's first line off
			name = ""
		}
		if err != nil {
			return problem.Wrap(err, problem.Unavailable, op, "%s", names[i])
		}
	}
	for len(events) > 0 && events[0].Position <= last {
		events = events[1:]
	}
	if len(events) == 0 {
		a.last = last
		return nil
	}
	fresh := name == "" || size >= a.FileSize
	if fresh {
		name = filepath.Join(a.dir, fmt.Sprintf("%020d%s", events[0].Position, suffix))
	}
	if err := a.appendTo(name, events); err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "%s", name)
	}
	if fresh {
		if err := a.syncFolder(); err != nil {
			return problem.Wrap(err, problem.Unavailable, op, "folder %s", a.dir)
		}
	}
	a.last = events[len(events)-1].Position
	return nil
}

func (a *Archive) appendTo(name string, events []record.Event) error {
	var text []byte
	for _, e := range events {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		text = append(append(text, checksum.SealFile(line)...), '\n')
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, a.sync(f), f.Close())
}

func (a *Archive) syncFolder() error {
	f, err := os.Open(a.dir)
	if err != nil {
		return err
	}
	return errors.Join(a.sync(f), f.Close())
}

// repair removes an incomplete last line, and returns the position of the last
// event and the size of the file.
func repair(name string) (last, size int64, err error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, 0, err
	}
	size = info.Size()
	// The last whole line lies between the last two line feeds.
	for window := int64(64 << 10); ; window *= 4 {
		from := max(0, size-window)
		tail := make([]byte, size-from)
		if _, err := f.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		end := bytes.LastIndexByte(tail, '\n')
		begin := -1
		if end > 0 {
			begin = bytes.LastIndexByte(tail[:end], '\n')
		}
		if begin < 0 && from > 0 {
			continue // the last line is longer than the window
		}
		if whole := from + int64(end) + 1; whole < size {
			if err := f.Truncate(whole); err != nil {
				return 0, 0, err
			}
			size = whole
		}
		if end <= 0 {
			return 0, size, nil
		}
		e, err := decode(tail[begin+1 : end])
		if err != nil {
			return 0, 0, fmt.Errorf("the last line is damaged: %w", err)
		}
		return e.Position, size, nil
	}
}

// Read returns up to limit selected events after a position; ok is false when the
// archive does not hold the event right after the position. When the archive has
// been read to its end, Next is the position at which reading goes on in the log.
func (a *Archive) Read(from int64, f record.Filter, limit int) (s record.Slice, ok bool, err error) {
	const op = "archive.read"
	names, firsts, err := a.files()
	if err != nil || len(names) == 0 {
		return record.Slice{}, false, err
	}
	if firsts[0] > from+1 {
		return record.Slice{}, false, nil
	}
	at, _ := slices.BinarySearch(firsts, from+2) // the first file that begins after from+1
	at--
	s.Next = from
	for scanned := 0; at < len(names); at++ {
		n, more, err := a.readFile(names[at], &s, from, f, limit, scanWindow-scanned)
		if err != nil {
			code := problem.Unavailable
			if _, known := problem.Of(err); known {
				code = "" // damaged
			}
			return record.Slice{}, false, problem.Wrap(err, code, op, "%s", names[at])
		}
		if scanned += n; more {
			return s, true, nil
		}
	}
	return s, s.Next > from, nil
}

// scanWindow bounds how many events one read scans.
const scanWindow = 100_000

// readFile continues reading in one file; more says that it stopped before the
// file's end.
func (a *Archive) readFile(name string, s *record.Slice, from int64, f record.Filter, limit, window int) (scanned int, more bool, err error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, false, err
	}
	defer file.Close()
	offset := a.hint(s.Next, name)
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return 0, false, err
	}
	lines := bufio.NewReaderSize(file, 256<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			a.remember(s.Next, readPosition{name, offset})
			return scanned, false, nil // an incomplete line is being written, or was cut off by a crash
		}
		if err != nil {
			return scanned, false, err
		}
		size := int64(len(line))
		e, err := decode(line)
		if err != nil {
			return scanned, false, problem.Wrap(err, problem.Internal, "archive.read", "the line at byte %d, after position %d, is damaged", offset, s.Next).
				WithHelp("Put an undamaged copy of the file in its place.")
		}
		offset += size
		if e.Position <= from {
			continue
		}
		scanned++
		s.Next = e.Position
		if f.Match(e) {
			s.Events = append(s.Events, e)
		}
		if len(s.Events) == limit || scanned >= window {
			a.remember(s.Next, readPosition{name, offset})
			return scanned, true, nil
		}
	}
}

func (a *Archive) hint(position int64, name string) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, ok := a.hints[position]; ok && p.file == name {
		return p.offset
	}
	return 0
}

func (a *Archive) remember(position int64, p readPosition) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.hints) >= maxHints {
		clear(a.hints)
	}
	a.hints[position] = p
}

// Last returns the position of the last archived event, 0 for none. Refresh lists
// the folder first, since another process may have appended.
func (a *Archive) Last(refresh bool) int64 {
	if refresh {
		if names, _, err := a.files(); err == nil && len(names) > 0 {
			if last, err := lastOf(names[len(names)-1]); err == nil {
				a.mu.Lock()
				a.last = max(a.last, last)
				a.mu.Unlock()
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}

// lastOf finds the last position of a file that another process may be writing.
func lastOf(name string) (int64, error) {
	file, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	from := max(0, info.Size()-(4<<20))
	tail := make([]byte, info.Size()-from)
	if _, err := file.ReadAt(tail, from); err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	tail = tail[:bytes.LastIndexByte(tail, '\n')+1]
	line := bytes.TrimSuffix(tail, []byte("\n"))
	line = line[bytes.LastIndexByte(line, '\n')+1:]
	if len(line) == 0 {
		return 0, nil
	}
	e, err := decode(line)
	return e.Position, err
}

// decode parses a line and verifies its checksum; lines of an earlier version
// have no checksum.
func decode(line []byte) (e record.Event, err error) {
	if line, err = checksum.OpenFile(line); err == nil {
		err = json.Unmarshal(line, &e)
	}
	return e, err
}
