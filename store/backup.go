package store

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"time"

	"showrunner/execution"
	"showrunner/problem"
)

// A backup is newline JSON that names no database, so that what was kept
// in one can be restored into the other: a first line that says what it is, a
// line for each row, and a last line with their number, without which it is cut
// short. Its version is that of the schema.

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
	{"event", "position", []string{"position", "time", "type", "application", "pipeline", "execution", "stage", "by", "data"}, "iittttttb"},
	{"trigger_event", "trigger, event", []string{"trigger", "event", "execution", "time"}, "ttti"},
	{"record", "collection, key", []string{"collection", "key", "version", "data", "updated"}, "ttibi"},
}

// ownerColumn is the index of the owner among the columns of an execution.
const ownerColumn = 8

// quoted writes the columns so that words such as trigger and by are names.
func (b backupTable) quoted() string { return `"` + strings.Join(b.columns, `", "`) + `"` }

// backupWriter writes a backup's lines.
type backupWriter struct {
	out  *bufio.Writer
	enc  *json.Encoder
	rows int
}

func newBackupWriter(w io.Writer, now time.Time) (*backupWriter, error) {
	b := &backupWriter{out: bufio.NewWriterSize(w, 1<<16)}
	b.enc = json.NewEncoder(b.out)
	b.enc.SetEscapeHTML(false)
	return b, b.enc.Encode(backupHead{Showrunner: "backup", Schema: schemaVersion, Time: now})
}

func (b *backupWriter) row(t backupTable, values []any) error {
	b.rows++
	return b.enc.Encode(struct {
		Table string `json:"t"`
		Row   []any  `json:"r"`
	}{t.name, values})
}

func (b *backupWriter) end() error {
	if err := b.enc.Encode(backupLine{End: true, Rows: b.rows}); err != nil {
		return err
	}
	return b.out.Flush()
}

// readBackup calls insert for every row of a backup, and checks that it is whole.
func readBackup(r io.Reader, insert func(t backupTable, values []any) error) error {
	const op = "store.restore"
	dec := json.NewDecoder(bufio.NewReaderSize(r, 1<<16))
	var head backupHead
	if err := dec.Decode(&head); err != nil || head.Showrunner != "backup" {
		return problem.Wrap(err, problem.Invalid, op, "this is no backup of showrunner")
	}
	if head.Schema > schemaVersion {
		return newerSchema(head.Schema)
	}
	tables := map[string]backupTable{}
	for _, t := range backupTables {
		tables[t.name] = t
	}
	for rows := 0; ; rows++ {
		var line backupLine
		if err := dec.Decode(&line); err != nil {
			return problem.Wrap(err, problem.Invalid, op, "the backup is cut short after %d rows", rows)
		}
		if line.End {
			if line.Rows != rows {
				return problem.New(problem.Invalid, op, "the backup says it has %d rows, and has %d", line.Rows, rows)
			}
			return nil
		}
		t, ok := tables[line.Table]
		if !ok || len(line.Row) != len(t.columns) {
			return problem.New(problem.Invalid, op, "row %d of the backup is for no table known here", rows+1)
		}
		values := make([]any, len(line.Row))
		for i, raw := range line.Row {
			v, err := backupValue(t.kinds[i], raw)
			if err != nil {
				return problem.Wrap(err, problem.Invalid, op, "row %d of the backup, column %s", rows+1, t.columns[i])
			}
			values[i] = v
		}
		if t.name == "execution" {
			values[ownerColumn] = "" // no session of the old database owns anything here
		}
		if err := insert(t, values); err != nil {
			return err
		}
	}
}

func backupValue(kind byte, raw json.RawMessage) (any, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	switch kind {
	case 'i':
		var v int64
		err := json.Unmarshal(raw, &v)
		return v, err
	case 't':
		var v string
		err := json.Unmarshal(raw, &v)
		return v, err
	}
	var v []byte
	err := json.Unmarshal(raw, &v)
	return v, err
}

// restoredWords makes the search words of an execution's row anew.
func restoredWords(values []any) (seq int64, words []string, err error) {
	h := execution.Head{ID: values[1].(string), Number: int(values[4].(int64))}
	seq = values[0].(int64)
	request, _ := values[17].([]byte)
	if err := json.Unmarshal(request, &h.Request); err != nil {
		return 0, nil, problem.Wrap(err, problem.Invalid, "store.restore", "the request of execution %s is damaged", h.ID)
	}
	return seq, execution.SearchWords(&h), nil
}

// Restore fills an empty database from a backup. Errors: precondition when the
// database holds something, invalid when the backup is damaged or cut short; in
// both cases nothing has changed.
func Restore(ctx context.Context, address string, r io.Reader, o Options) error {
	if IsPostgres(address) {
		s, err := OpenPostgres(ctx, address, o)
		if err != nil {
			return err
		}
		return errors.Join(s.restore(ctx, r), s.Close())
	}
	s, err := OpenSQLite(ctx, address, o)
	if err != nil {
		return err
	}
	return errors.Join(s.restore(ctx, r), s.Close())
}

func notEmpty() error {
	return problem.New(problem.Precondition, "store.restore", "the database is not empty").
		WithHelp("Restore into a new data folder or a new database.")
}
