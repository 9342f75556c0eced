package store

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"runtime"
	"strconv"

	"showrunner/execution"
	"showrunner/problem"
)

const opRestore = "store.restore"

// Restore fills an empty database from a backup. Errors: precondition when the
// database holds something, invalid when the backup is damaged or cut short; in
// both cases the database holds what it did before. VerifyBackup tells before a
// database is made for it.
func Restore(ctx context.Context, address string, r io.Reader, o Options) error {
	if IsPostgres(address) {
		s, err := OpenPostgres(ctx, address, o)
		if err != nil {
			return err
		}
		return errors.Join(s.restore(ctx, r), s.Close())
	}
	return restoreSQLite(ctx, address, r, o)
}

func notEmpty() error {
	return problem.New(problem.Precondition, opRestore, "the database is not empty").
		WithHelp("Restore into a new data folder or a new database.")
}

// holdsSomething is a statement that tells whether a database is in use.
const holdsSomething = `SELECT EXISTS (SELECT 1 FROM execution) OR EXISTS (SELECT 1 FROM record) OR EXISTS (SELECT 1 FROM event) OR EXISTS (SELECT 1 FROM operation)`

// restoredRow is a row of a backup; an execution's has the terms of its index too.
type restoredRow struct {
	table  *backupTable
	values []any
	terms  []string
}

// restoreChunk is how many lines are read and decoded at a time.
const restoreChunk = 512

// chunk is some lines on their way from the file to the database.
type chunk struct {
	before int // rows
	lines  [][]byte
	after  error // why no lines follow; nil: more do, or the last line is the end
	rows   []restoredRow
	ended  bool
	err    error
	done   chan struct{}
}

// readBackup yields the rows of a backup in their order, and an error when it is
// damaged or not whole. Lines are read and checked in one goroutine, and decoded
// on all processors.
func readBackup(r io.Reader) iter.Seq2[restoredRow, error] {
	return func(yield func(restoredRow, error) bool) {
		b, err := newBackupReader(r)
		if err != nil {
			yield(restoredRow{}, err)
			return
		}
		stop := make(chan struct{})
		defer close(stop)
		chunks := make(chan *chunk, 2*runtime.GOMAXPROCS(0))
		go readChunks(b, chunks, stop)
		for c := range chunks {
			<-c.done
			for _, row := range c.rows {
				if !yield(row, nil) {
					return
				}
			}
			if c.err != nil {
				yield(restoredRow{}, c.err)
			}
			if c.err != nil || c.ended {
				return
			}
		}
	}
}

// readChunks reads lines and has them decoded; the last chunk holds the backup's
// end, or says why it cannot be read.
func readChunks(b *backupReader, chunks chan<- *chunk, stop <-chan struct{}) {
	defer close(chunks)
	for ended := false; !ended; {
		c := &chunk{before: b.rows, done: make(chan struct{})}
		for !ended && c.after == nil && len(c.lines) < restoreChunk {
			var line []byte
			if line, ended, c.after = b.next(); c.after == nil {
				c.lines = append(c.lines, line)
			}
		}
		ended = ended || c.after != nil
		go c.decode()
		select {
		case chunks <- c:
		case <-stop:
			return
		}
	}
}

// decode turns lines into rows.
func (c *chunk) decode() {
	defer close(c.done)
	for i, text := range c.lines {
		var line backupLine
		if err := json.Unmarshal(text, &line); err != nil {
			c.err = problem.Wrap(err, problem.Invalid, opRestore, "row %d of the backup is damaged", c.before+i+1)
			return
		}
		if line.End {
			if c.ended = line.Rows == c.before+i; !c.ended {
				c.err = errRowCount(line.Rows, c.before+i)
			}
			return
		}
		row, err := restored(line, c.before+i)
		if err != nil {
			c.err = err
			return
		}
		c.rows = append(c.rows, row)
	}
	c.err = c.after
}

func restored(line backupLine, before int) (row restoredRow, err error) {
	for i := range backupTables {
		if backupTables[i].name == line.Table {
			row.table = &backupTables[i]
		}
	}
	if row.table == nil || len(line.Row) != len(row.table.columns) {
		return row, problem.New(problem.Invalid, opRestore, "row %d of the backup is for no table known here", before+1)
	}
	row.values = make([]any, len(line.Row))
	for i, raw := range line.Row {
		if row.values[i], err = backupValue(row.table.kinds[i], raw); err != nil {
			return row, problem.Wrap(err, problem.Invalid, opRestore, "row %d of the backup, column %s", before+1, row.table.columns[i])
		}
	}
	if row.table.name == "execution" {
		row.values[ownerColumn] = "" // no session of the old database owns anything here
		row.terms, err = restoredTerms(row.values)
	}
	return row, err
}

// backupValue is a column's value: JSON that is valid already.
func backupValue(kind byte, raw json.RawMessage) (any, error) {
	if string(raw) == "null" {
		return nil, nil
	}
	if kind == 'i' {
		return strconv.ParseInt(string(raw), 10, 64)
	}
	text := string(raw[1 : len(raw)-1])
	if raw[0] != '"' || bytes.IndexByte(raw, '\\') >= 0 {
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
	}
	if kind == 't' {
		return text, nil
	}
	return base64.StdEncoding.DecodeString(text)
}

// restoredTerms makes the index terms of an execution's row anew.
func restoredTerms(values []any) ([]string, error) {
	request, _ := values[17].([]byte)
	h := execution.Head{Seq: values[0].(int64), ID: values[1].(string), Application: values[2].(string), Pipeline: values[3].(string), Number: int(values[4].(int64))}
	if err := json.Unmarshal(request, &h.Request); err != nil {
		return nil, problem.Wrap(err, problem.Invalid, opRestore, "the request of execution %s is damaged", h.ID)
	}
	return indexTerms(&h), nil
}
