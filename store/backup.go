package store

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"showrunner/internal/checksum"
	"showrunner/problem"
)

// A backup is newline JSON that names no database, so that what was kept
// in one can be restored into the other: a first line that says what it is, a
// line for each row, and a last line with their number, without which it is cut
// short. Its version is that of the schema. Each line carries the checksum of all
// lines up to it, so that a line that is damaged, missing or in another place is
// found, and which one it is.

type backupHead struct {
	Showrunner string    `json:"showrunner"` // "backup"
	Schema     int       `json:"schema"`
	Time       time.Time `json:"time"`
}

type backupLine struct {
	Table string            `json:"t,omitempty"`
	Row   []json.RawMessage `json:"r,omitempty"`
	End   bool              `json:"end,omitempty"`
	Rows  int               `json:"rows,omitempty"`
}

// checksumSchema is the first version of the schema whose backups have checksums.
const checksumSchema = 7

// backupTable is a table as backups hold it. kinds has a letter for each column:
// i for integers, t for text, b for bytes.
type backupTable struct {
	name, order string
	columns     []string
	kinds       string
}

var backupTables = []backupTable{
	{"plan", "digest", []string{"digest", "data"}, "tb"},
	{"pipeline", "application, name", []string{"application", "name", "number", "ord"}, "ttii"},
	{"execution", "seq", []string{"seq", "id", "application", "pipeline", "number", "ord", "status", "live", "owner", "epoch", "plan", "lane",
		"parent", "rollback_of", "created", "started", "ended", "request", "state"}, "itttiitititittiiibb"},
	{"stage", "execution, idx", []string{"execution", "idx", "wake", "data"}, "tiib"},
	{"mail", "seq", []string{"seq", "execution", "stage", "id", "data"}, "itttb"},
	{"trigger_event", "trigger, event", []string{"trigger", "event", "execution", "time"}, "ttti"},
	{"record", "collection, key", []string{"collection", "key", "version", "data", "updated"}, "ttibi"},
	{"operation", "account, region, key", []string{"account", "region", "key", "operation", "fingerprint", "answer", "changed"}, "tttttbi"},
	{"event", "position", []string{"position", "time", "type", "application", "pipeline", "execution", "stage", "by", "data"}, "iittttttb"},
}

// Events are never changed, and most of a backup: they are its last table, and are
// read a few at a time up to the position of the moment that all others are of.
// That moment need not be held for as long, which keeps SQLite from using its log
// again and PostgreSQL from removing what is dead.
const backupEvents = 5000

// eventTable is that of the events; snapshotTables are the others.
var eventTable, snapshotTables = backupTables[len(backupTables)-1], backupTables[:len(backupTables)-1]

// selectEvents selects the next ones after a position, up to another.
func selectEvents(param func(int) string) string {
	return `SELECT ` + eventTable.quoted() + ` FROM event WHERE position > ` + param(1) + ` AND position <= ` + param(2) + ` ORDER BY position LIMIT ` + param(3)
}

// ownerColumn is the index of the owner among the columns of an execution.
const ownerColumn = 8

// quoted writes the columns so that words such as trigger and by are names.
func (b backupTable) quoted() string { return `"` + strings.Join(b.columns, `", "`) + `"` }

// backupWriter writes a backup's lines.
type backupWriter struct {
	out  *bufio.Writer
	line []byte // being written
	sum  uint32 // of all lines so far
	rows int
}

func newBackupWriter(w io.Writer, now time.Time) (*backupWriter, error) {
	b := &backupWriter{out: bufio.NewWriterSize(w, 1<<16)}
	return b, b.object(backupHead{Showrunner: "backup", Schema: schemaVersion, Time: now})
}

// object writes a line that is no row.
func (b *backupWriter) object(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return b.write(line)
}

func (b *backupWriter) write(line []byte) error {
	b.line, b.sum = checksum.Seal(line, b.sum)
	b.line = append(b.line, '\n')
	_, err := b.out.Write(b.line)
	return err
}

// row writes what encoding/json would of a backupLine with these values: an int64,
// a string, bytes or nil each.
func (b *backupWriter) row(t backupTable, values []any) error {
	b.rows++
	line := append(b.line[:0], `{"t":"`+t.name+`","r":[`...)
	for i, v := range values {
		if i > 0 {
			line = append(line, ',')
		}
		var err error
		if line, err = appendValue(line, v); err != nil {
			return problem.Wrap(err, problem.Internal, "store.backup", "table %s", t.name)
		}
	}
	return b.write(append(line, "]}"...))
}

func appendValue(line []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(line, "null"...), nil
	case int64:
		return strconv.AppendInt(line, v, 10), nil
	case []byte:
		if v == nil {
			return append(line, "null"...), nil
		}
		return append(base64.StdEncoding.AppendEncode(append(line, '"'), v), '"'), nil
	case string:
		if isPlain(v) {
			return append(append(append(line, '"'), v...), '"'), nil
		}
		text, err := json.Marshal(v)
		return append(line, text...), err
	}
	return line, problem.New(problem.Internal, "store.backup", "a value is a %T", v)
}

// isPlain tells whether JSON writes a text as it is.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

func (b *backupWriter) end() error {
	if err := b.object(backupLine{End: true, Rows: b.rows}); err != nil {
		return err
	}
	return b.out.Flush()
}
