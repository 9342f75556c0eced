package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"time"

	"showrunner/internal/checksum"
	"showrunner/problem"
)

// BackupSummary says what a backup holds.
type BackupSummary struct {
	Time time.Time
	Rows int
	// Checked says that the backup has checksums; those of earlier versions have none.
	Checked bool
}

// VerifyBackup reads a backup to its end and checks every line of it. Errors:
// invalid, with the place, when it is damaged, cut short or no backup;
// precondition when a newer version wrote it; unavailable when it cannot be read.
func VerifyBackup(r io.Reader) (BackupSummary, error) {
	b, err := newBackupReader(r)
	if err != nil {
		return BackupSummary{}, err
	}
	for {
		line, ended, err := b.next()
		if err != nil {
			return BackupSummary{}, err
		}
		if !ended {
			continue
		}
		var last backupLine
		if err := json.Unmarshal(line, &last); err != nil || last.Rows != b.rows {
			return BackupSummary{}, errRowCount(last.Rows, b.rows)
		}
		return BackupSummary{Time: b.head.Time, Rows: b.rows, Checked: b.checked}, nil
	}
}

func errRowCount(said, found int) error {
	return problem.New(problem.Invalid, opRestore, "the backup says it has %d rows, and has %d", said, found)
}

// backupReader reads the lines of a backup and checks their checksums.
type backupReader struct {
	in      *bufio.Reader
	head    backupHead
	checked bool
	sum     uint32 // of all lines so far
	lines   int    // read so far
	bytes   int64  // of them
	rows    int
	table   string // of the last row
}

// newBackupReader reads the first line.
func newBackupReader(r io.Reader) (*backupReader, error) {
	b := &backupReader{in: bufio.NewReaderSize(r, 1<<20)}
	line, err := b.in.ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, errReading(err)
	}
	b.lines, b.bytes = 1, int64(len(line))
	object := bytes.TrimSuffix(line, []byte("\n"))
	if b.checked = checksum.Sealed(object); b.checked {
		if object, b.sum, err = checksum.Open(object, 0); err != nil {
			return nil, b.damaged(err, line)
		}
	}
	if err := json.Unmarshal(object, &b.head); err != nil || b.head.Showrunner != "backup" || len(object) == len(line) {
		return nil, problem.New(problem.Invalid, opRestore, "this is no backup of showrunner, or its first line is damaged")
	}
	if b.head.Schema > schemaVersion {
		return nil, newerSchema(b.head.Schema)
	}
	if !b.checked && b.head.Schema >= checksumSchema {
		return nil, b.damaged(errors.New("it has no checksum"), line)
	}
	return b, nil
}

// next returns the next line without its checksum; ended says that it is the last.
func (b *backupReader) next() (line []byte, ended bool, err error) {
	line, err = b.in.ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, errReading(err)
	}
	if len(line) == 0 {
		return nil, false, problem.New(problem.Invalid, opRestore, "the backup is cut short after line %d%s", b.lines, b.place())
	}
	b.lines++
	b.bytes += int64(len(line))
	if err != nil {
		return nil, false, b.damaged(errors.New("it has no end: the backup is cut short"), line)
	}
	object := line[:len(line)-1]
	if b.checked {
		if object, b.sum, err = checksum.Open(object, b.sum); err != nil {
			return nil, false, b.damaged(err, line)
		}
	}
	if ended = bytes.HasPrefix(object, []byte(`{"end":`)); ended {
		if _, err := b.in.ReadByte(); !errors.Is(err, io.EOF) {
			return nil, false, problem.New(problem.Invalid, opRestore, "something follows the last line of the backup, line %d", b.lines)
		}
		return object, true, nil
	}
	b.rows++
	if rest, ok := bytes.CutPrefix(object, []byte(`{"t":"`)); ok {
		if name, _, ok := bytes.Cut(rest, []byte(`"`)); ok && b.table != string(name) {
			b.table = string(name)
		}
	}
	return object, false, nil
}

// damaged says which line is damaged, the one read last.
func (b *backupReader) damaged(err error, line []byte) error {
	return problem.Wrap(err, problem.Invalid, opRestore, "line %d of the backup, bytes %d to %d%s, is damaged", b.lines, b.bytes-int64(len(line)), b.bytes-1, b.place()).
		WithHelp("Nothing was restored. Use another copy of this backup, or an earlier one.")
}

// place says what part of the backup the last good line was in.
func (b *backupReader) place() string {
	if b.table == "" {
		return ""
	}
	return ", after a row of table " + b.table
}

func errReading(err error) error {
	return problem.Wrap(err, problem.Unavailable, opRestore, "the backup cannot be read")
}
