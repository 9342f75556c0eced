package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

// Versions with schema 4 to 6 made transitions durable in a second file beside
// the database, named like it with "-ahead", before the database had them. The
// file holds numbered records from its start on, without a gap, and is written
// over from the start again once the database holds all of them; what follows the
// newest record is older. The database remembers the number of the newest record
// that it holds (meta, "ahead").
//
// Migration 7 writes the records that are only in the file into the database, and
// removes the file. Both the rows and the new schema version are one transaction:
// after a crash the migration begins anew, or the file is a leftover.

const (
	recordFileSuffix = "-ahead"
	recordFileSize   = 1 << 20 // it has this size from the start
	recordHeader     = 16      // length and checksum of what follows, number of the record
	recordsSchema    = 7       // the schema version without the file
)

// readRecords returns the records that are only in the record file of a database
// with a schema version. It changes nothing, so that an earlier version can still
// open what is refused here. Errors: precondition when the file is missing,
// damaged, or does not belong to the database.
func (s *SQLite) readRecords(ctx context.Context, version int) ([]transitionRecord, error) {
	const op = "store.open"
	if version < 4 || version >= recordsSchema {
		return nil, nil
	}
	var held int64
	err := s.conn.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'ahead'`).Scan(&held)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil // it never had the file
	}
	if err != nil {
		return nil, sqliteError(err, op)
	}
	path := s.path + recordFileSuffix
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.Precondition, op, "the file %s is missing: an earlier version kept the newest transitions of the database %s in it", path, s.path).
			WithHelp("Put the file back beside the database, or restore a backup. %s", withoutRecords(path))
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Precondition, op, "%s", path)
	}
	records, err := newRecords(data, held)
	if err != nil {
		return nil, problem.Wrap(err, problem.Precondition, op, "the file %s, which belongs to the database %s", path, s.path).
			WithHelp("Put an undamaged copy of the file in its place, or restore a backup. %s", withoutRecords(path))
	}
	return records, nil
}

// takeOver writes records into the database, within the transaction of the migration.
func (s *SQLite) takeOver(ctx context.Context, records []transitionRecord) error {
	for _, r := range records {
		if err := s.applyRecord(ctx, r); err != nil {
			return err
		}
	}
	_, err := s.conn.ExecContext(ctx, `DELETE FROM meta WHERE key = 'ahead'`)
	return sqliteError(err, "store.open")
}

func withoutRecords(path string) string {
	return "To go on without what only the file held, put an empty file in its place: `: > '" + path + "'`. " +
		"Nothing is lost by that if the earlier version was stopped in an orderly way; otherwise tasks that ended in its last moments are asked for, or run, again."
}

// applyRecord writes the rows and events of one record.
func (s *SQLite) applyRecord(ctx context.Context, r transitionRecord) error {
	const op = "store.open"
	for _, c := range r.changes {
		for i := range c.Stages {
			row := &c.Stages[i]
			_, err := s.conn.ExecContext(ctx, `INSERT INTO stage (execution, idx, wake, data) VALUES (?, ?, ?, ?)
				ON CONFLICT (execution, idx) DO UPDATE SET wake = excluded.wake, data = excluded.data`, c.ID, row.Index, millis(&row.Wake), row.Data)
			if err != nil {
				return sqliteError(err, op)
			}
		}
	}
	for _, e := range r.events {
		_, err := s.conn.ExecContext(ctx, `INSERT INTO event (position, time, type, application, pipeline, execution, stage, by, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.Position, e.Time.UnixMilli(), e.Type, e.Application, e.Pipeline, e.Execution, e.Stage, e.By, nullableBytes(e.Data))
		if err != nil {
			return sqliteError(err, op)
		}
	}
	return nil
}

// removeRecordFile removes the file once the database holds all that was in it.
func (s *SQLite) removeRecordFile() error {
	path := s.path + recordFileSuffix
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = syncFolder(filepath.Dir(path))
	}
	if err != nil {
		return problem.Wrap(err, problem.Precondition, "store.open", "the file %s is no longer needed and cannot be removed", path)
	}
	return nil
}

// transitionRecord is what one record holds.
type transitionRecord struct {
	changes []*execution.Change
	events  []record.Event // with their positions
}

// newRecords returns the records of a file that a database does not hold, which
// holds those up to a number. Only the newest record may be torn: it was being
// written when the process ended, and nobody was told of it. Everything else that
// is not as the earlier version left it is an error: a damaged record with newer
// ones behind it, a gap, and a file that is cut short, older than the database, or
// another database's. An empty file was put there to go on without.
func newRecords(data []byte, held int64) ([]transitionRecord, error) {
	if len(data) == 0 {
		return nil, nil
	}
	bodies, first, end := leadingRecords(data)
	newest := first + int64(len(bodies)) - 1
	if len(bodies) == 0 {
		newest = held
	}
	damaged := func(format string, args ...any) error {
		return problem.New(problem.Precondition, "store.open", format, args...)
	}
	switch {
	case len(bodies) > 0 && len(data) < recordFileSize:
		return nil, damaged("it is cut short: it has %d bytes, and should have %d", len(data), recordFileSize)
	case len(bodies) > 0 && first > held+1:
		return nil, damaged("it begins with record %d, and the database holds only those up to %d: the database is an older copy, or the file is another database's", first, held)
	case newest < held-1: // the number after the newest may be that of a record whose writing failed
		return nil, damaged("it ends with record %d, and the database holds %d: the file is an older copy, or another database's", newest, held)
	}
	if at, number, found := findRecord(data[end:], newest); found {
		return nil, damaged("the record at byte %d is damaged, and record %d follows it at byte %d", end, number, end+at)
	}
	var records []transitionRecord
	for i, body := range bodies {
		if first+int64(i) <= held {
			continue
		}
		r, err := decodeRecord(body)
		if err != nil {
			return nil, err
		}
		records = append(records, r)
	}
	return records, nil
}

// leadingRecords cuts the records at the start of a file, numbered without a gap
// from first on; end is where they end.
func leadingRecords(data []byte) (bodies [][]byte, first int64, end int) {
	for {
		body, number, ok := cutRecord(data[end:])
		if !ok || len(bodies) > 0 && number != first+int64(len(bodies)) {
			return bodies, first, end
		}
		if len(bodies) == 0 {
			first = number
		}
		bodies = append(bodies, body)
		end += recordHeader + len(body)
	}
}

// findRecord finds a whole record that is newer than a number. Its place is not
// known, since the length of what stands before it may be damaged.
func findRecord(data []byte, than int64) (at int, number int64, found bool) {
	for at = range max(0, len(data)-recordHeader) {
		// The number is looked at first: it is right by chance once in 2^48 times.
		if n := int64(binary.LittleEndian.Uint64(data[at+8:])); n <= than || n > than+recordFileSize {
			continue
		}
		if _, number, found = cutRecord(data[at:]); found {
			return at, number, true
		}
	}
	return 0, 0, false
}

// cutRecord reads the record at the start of data, if there is a whole one.
func cutRecord(data []byte) (body []byte, number int64, ok bool) {
	if len(data) < recordHeader {
		return nil, 0, false
	}
	size := binary.LittleEndian.Uint32(data)
	if size == 0 || uint64(size) > uint64(len(data)-recordHeader) {
		return nil, 0, false
	}
	if crc32.Checksum(data[8:recordHeader+size], castagnoli()) != binary.LittleEndian.Uint32(data[4:]) {
		return nil, 0, false
	}
	return data[recordHeader : recordHeader+size], int64(binary.LittleEndian.Uint64(data[8:])), true
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) } // made once by the package

// decodeRecord reads the rows and events of a record whose checksum was right.
func decodeRecord(body []byte) (transitionRecord, error) {
	r := &recordReader{b: body}
	var out transitionRecord
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
		out.changes = append(out.changes, c)
	}
	for range r.count() {
		e := record.Event{Position: r.signed(), Time: fromMillis(r.signed())}
		for _, s := range [...]*string{&e.Type, &e.Application, &e.Pipeline, &e.Execution, &e.Stage, &e.By} {
			*s = string(r.text())
		}
		if data := r.text(); len(data) > 0 {
			e.Data = data
		}
		out.events = append(out.events, e)
	}
	if r.bad || len(r.b) > 0 {
		return transitionRecord{}, problem.New(problem.Precondition, "store.open", "a record with a right checksum cannot be read")
	}
	return out, nil
}

// recordReader reads numbers and texts; bad says that there were too few bytes.
type recordReader struct {
	b   []byte
	bad bool
}

func (r *recordReader) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		return r.fail()
	}
	r.b = r.b[n:]
	return v
}

func (r *recordReader) signed() int64 {
	v, n := binary.Varint(r.b)
	if n <= 0 {
		return int64(r.fail())
	}
	r.b = r.b[n:]
	return v
}

// fail has everything that follows read as zero.
func (r *recordReader) fail() uint64 {
	r.b, r.bad = nil, true
	return 0
}

// count reads how many items follow, each of at least a byte.
func (r *recordReader) count() int {
	n := r.unsigned()
	if n > uint64(len(r.b)) {
		n = r.fail()
	}
	return int(n)
}

func (r *recordReader) text() []byte {
	n := r.count()
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}
