package store

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// A transition that only moves stages on need not wait for the database: it is
// one short record in a file of its own that is on disk before the transition
// is acknowledged, and goes into the database with the next transaction, before
// anything that could read it. The file lies beside the database, has its full
// size from the start, and is written over again and again, so that making a
// record durable is one write in place, and one flush of the disk.
//
// The database says up to which record it holds (meta, ahead). After a crash
// the records that follow are applied before anything else happens.

const (
	aheadSuffix = "-ahead" // of the file's name, after the database's
	aheadSize   = 1 << 20
	aheadHeader = 16 // length and checksum of what follows, number of the record
	// aheadMany is how many transitions may wait for the database before it is
	// brought up to date although nobody asks for them.
	aheadMany = 64
)

// ahead is the file, and what is in it and not in the database.
type ahead struct {
	mu     sync.Mutex // held over each record, and over each transaction
	file   *os.File
	direct *directFile // for writing; nil: by file, and fdatasync
	number int64       // of the last record
	end    int64       // where the next one goes
	broken bool        // a write failed: the end of the file is not known
	buffer []byte

	waiting []*execution.Change
	events  []record.Event // of those, with their positions
}

// openAhead opens or creates the file at path and reads what follows the record
// with the number given.
func openAhead(path string, after int64) (*ahead, error) {
	const op = "store.open"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, problem.Wrap(err, problem.Precondition, op, "%s", path)
	}
	a := &ahead{file: f, number: after, buffer: make([]byte, 0, 4096)}
	if err := a.prepare(); err != nil {
		return nil, errors.Join(problem.Wrap(err, problem.Precondition, op, "%s", path), f.Close())
	}
	data, err := a.read()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	a.direct = openDirect(path, aheadSize, data)
	return a, nil
}

func (a *ahead) close() error {
	if a.direct != nil {
		a.direct.close()
	}
	return a.file.Close()
}

// prepare gives the file its size, with blocks that are there.
func (a *ahead) prepare() error {
	info, err := a.file.Stat()
	if err != nil || info.Size() >= aheadSize {
		return err
	}
	if _, err := a.file.WriteAt(make([]byte, aheadSize-info.Size()), info.Size()); err != nil {
		return err
	}
	if err := a.file.Sync(); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(a.file.Name()))
}

// read takes in the records that the database does not hold. They stand at the
// beginning of the file, numbered without a gap; what follows the last one is
// from an earlier time, or torn. It returns all that stands before that.
func (a *ahead) read() ([]byte, error) {
	data, err := io.ReadAll(io.NewSectionReader(a.file, 0, aheadSize))
	if err != nil {
		return nil, problem.Wrap(err, problem.Precondition, "store.open", "%s", a.file.Name())
	}
	number := int64(-1)
	for {
		body, n, ok := cutRecord(data[a.end:])
		if !ok || number >= 0 && n != number+1 || number < 0 && n > a.number+1 {
			return data[:a.end], nil
		}
		number = n
		a.end += int64(aheadHeader + len(body))
		if n <= a.number {
			continue
		}
		changes, events, err := decodeAhead(body)
		if err != nil {
			return nil, err
		}
		a.number = n
		a.waiting, a.events = append(a.waiting, changes...), append(a.events, events...)
	}
}

func cutRecord(data []byte) (body []byte, number int64, ok bool) {
	if len(data) < aheadHeader {
		return nil, 0, false
	}
	size := binary.LittleEndian.Uint32(data)
	if size == 0 || uint64(size) > uint64(len(data)-aheadHeader) {
		return nil, 0, false
	}
	if crc32.Checksum(data[8:aheadHeader+size], castagnoli()) != binary.LittleEndian.Uint32(data[4:]) {
		return nil, 0, false
	}
	return data[aheadHeader : aheadHeader+size], int64(binary.LittleEndian.Uint64(data[8:])), true
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // made once by the package

// fits tells whether a batch can go ahead of the database: it only writes rows
// of stages and events, which nothing can refuse.
func (a *ahead) fits(batch []*execution.Change) bool {
	for _, c := range batch {
		if c.Create != nil || c.Revive || c.Strict || c.Head != nil || len(c.Mail) > 0 {
			return false
		}
	}
	return true
}

// write makes a batch durable; false: it did not, and the database has to. The
// events have their positions.
func (a *ahead) write(batch []*execution.Change, events []record.Event) bool {
	if a.broken || len(a.waiting)+len(batch) > 8*aheadMany {
		return false
	}
	b := append(a.buffer[:0], make([]byte, aheadHeader)...)
	b = encodeAhead(b, batch, events)
	a.buffer = b
	if a.end+int64(len(b)) > aheadSize {
		return false
	}
	binary.LittleEndian.PutUint32(b, uint32(len(b)-aheadHeader))
	binary.LittleEndian.PutUint64(b[8:], uint64(a.number+1))
	binary.LittleEndian.PutUint32(b[4:], crc32.Checksum(b[8:], castagnoli()))
	if err := a.put(b); err != nil {
		a.broken = true
		return false
	}
	a.number++
	a.end += int64(len(b))
	a.waiting, a.events = append(a.waiting, batch...), append(a.events, events...)
	return true
}

// put makes a record durable after the last one.
func (a *ahead) put(record []byte) error {
	if a.direct != nil {
		err := a.direct.writeAt(record, a.end)
		if !errors.Is(err, syscall.EINVAL) {
			return err
		}
		a.direct.close()
		a.direct = nil
	}
	if _, err := a.file.WriteAt(record, a.end); err != nil {
		return err
	}
	return syncData(a.file)
}

// last is the position of the last event in the file.
func (a *ahead) last() int64 {
	if n := len(a.events); n > 0 {
		return a.events[n-1].Position
	}
	return 0
}

// pending tells whether the database is behind, or the file not to be trusted.
func (a *ahead) pending() bool { return len(a.waiting) > 0 || a.end > 0 || a.broken }

// passed is the number that the database has to remember when it has taken
// everything in. A record whose write failed may be on disk all the same, and
// counts: it must never be applied.
func (a *ahead) passed() int64 {
	if a.broken {
		return a.number + 1
	}
	return a.number
}

// begin starts the file over, once the database holds everything.
func (a *ahead) begin() {
	a.number, a.end, a.broken = a.passed(), 0, false
	clear(a.waiting)
	clear(a.events)
	a.waiting, a.events = a.waiting[:0], a.events[:0]
}

// rows are the rows to write, the last state of each.
func (a *ahead) rows() []aheadRow {
	at := make(map[stageKey]int, len(a.waiting))
	rows := make([]aheadRow, 0, len(a.waiting))
	for _, c := range a.waiting {
		for i := range c.Stages {
			k := stageKey{c.ID, c.Stages[i].Index}
			if n, ok := at[k]; ok {
				rows[n].row = &c.Stages[i]
				continue
			}
			at[k] = len(rows)
			rows = append(rows, aheadRow{c.ID, &c.Stages[i]})
		}
	}
	return rows
}

type aheadRow struct {
	execution string
	row       *execution.StageRow
}

func encodeAhead(b []byte, batch []*execution.Change, events []record.Event) []byte {
	b = binary.AppendUvarint(b, uint64(len(batch)))
	for _, c := range batch {
		b = appendText(b, c.ID)
		b = binary.AppendUvarint(b, uint64(len(c.Stages)))
		for i := range c.Stages {
			r := &c.Stages[i]
			b = binary.AppendUvarint(b, uint64(r.Index))
			wake := int64(-1)
			if !r.Wake.IsZero() {
				wake = r.Wake.UnixMilli()
			}
			b = binary.AppendVarint(b, wake)
			b = appendText(b, r.Data)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(events)))
	for i := range events {
		e := &events[i]
		b = binary.AppendVarint(b, e.Position)
		b = binary.AppendVarint(b, e.Time.UnixMilli())
		for _, s := range [...]string{e.Type, e.Application, e.Pipeline, e.Execution, e.Stage, e.By} {
			b = appendText(b, s)
		}
		b = appendText(b, e.Data)
	}
	return b
}

func appendText[T ~string | ~[]byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// decodeAhead is the reverse of encodeAhead. The checksum was right, so what is
// wrong here was written wrong.
func decodeAhead(body []byte) ([]*execution.Change, []record.Event, error) {
	r := &aheadReader{b: body}
	var changes []*execution.Change
	for range r.count() {
		c := &execution.Change{ID: string(r.text())}
		for range r.count() {
			row := execution.StageRow{Index: int(r.unsigned())}
			if wake := r.signed(); wake >= 0 {
				row.Wake = fromMillis(wake)
			}
			row.Data = r.text()
			c.Stages = append(c.Stages, row)
		}
		changes = append(changes, c)
	}
	var events []record.Event
	for range r.count() {
		e := record.Event{Position: r.signed(), Time: fromMillis(r.signed())}
		for _, s := range [...]*string{&e.Type, &e.Application, &e.Pipeline, &e.Execution, &e.Stage, &e.By} {
			*s = string(r.text())
		}
		if data := r.text(); len(data) > 0 {
			e.Data = data
		}
		events = append(events, e)
	}
	if r.bad || len(r.b) > 0 {
		return nil, nil, problem.New(problem.Internal, "store.open", "a record beside the database is damaged")
	}
	return changes, events, nil
}

// aheadReader reads numbers and texts; bad says that there were too few bytes.
type aheadReader struct {
	b   []byte
	bad bool
}

func (r *aheadReader) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		return r.fail()
	}
	r.b = r.b[n:]
	return v
}

func (r *aheadReader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		return int64(r.fail())
	}
	r.b = r.b[n:]
	return v
}

// fail has everything that follows read as zero.
func (r *aheadReader) fail() uint64 {
	r.b, r.bad = nil, true
	return 0
}

// count is how many follow, each of at least a byte.
func (r *aheadReader) count() int {
	n := r.unsigned()
	if n > uint64(len(r.b)) {
		n = r.fail()
	}
	return int(n)
}

func (r *aheadReader) text() []byte {
	n := r.count()
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}

// syncFolder makes the names in a folder durable, where folders can be opened.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // there is nothing to be done about it
	}
	_ = d.Sync() // not every system knows it
	return d.Close()
}
