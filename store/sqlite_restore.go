package store

import (
	"context"
	"database/sql"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"showrunner/problem"
)

// restoreSQLite fills a file of another name and gives it the database's name
// once it is whole and on disk: until then a crash leaves nothing behind that
// counts, so nothing has to be written twice.
func restoreSQLite(ctx context.Context, path string, r io.Reader, o Options) error {
	s, err := OpenSQLite(ctx, path, o)
	if err != nil {
		return err
	}
	var held bool
	if err := s.conn.QueryRowContext(ctx, holdsSomething).Scan(&held); err != nil || held {
		if err == nil {
			err = notEmpty()
		}
		return errors.Join(err, s.Close())
	}
	beside := path + ".restoring"
	defer os.Remove(beside)
	if err := fillSQLite(ctx, beside, r, o); err != nil {
		return errors.Join(err, s.Close())
	}
	lock := s.lock
	s.lock = io.NopCloser(nil) // kept until the new file is in its place
	if err = s.Close(); err == nil {
		err = replaceSQLite(beside, path)
	}
	return errors.Join(err, lock.Close())
}

// replaceSQLite puts one closed database in the place of another.
func replaceSQLite(from, to string) error {
	f, err := os.OpenFile(from, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if rerr := os.Remove(to + suffix); rerr != nil && !errors.Is(rerr, fs.ErrNotExist) {
			err = errors.Join(err, rerr)
		}
	}
	if err == nil {
		err = os.Rename(from, to)
	}
	if err == nil {
		err = syncFolder(filepath.Dir(to))
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, opRestore, "%s", to)
	}
	return nil
}

func fillSQLite(ctx context.Context, path string, r io.Reader, o Options) (err error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a restore that was broken off
		return problem.Wrap(err, problem.Precondition, opRestore, "%s", path)
	}
	s := &SQLite{path: path, options: o, lock: io.NopCloser(nil)}
	defer func() { err = errors.Join(err, s.release()) }()
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.execAll(ctx, `PRAGMA journal_mode = OFF`, `PRAGMA synchronous = OFF`, `PRAGMA cache_size = -64000`); err != nil {
		return err
	}
	return s.transaction(ctx, opRestore, func(ctx context.Context) error {
		indexes, err := s.dropIndexes(ctx)
		if err == nil {
			err = s.execAll(ctx, `INSERT INTO word (word, rank) VALUES ('hashsize', 33554432)`) // as long as it is filled
		}
		if err != nil {
			return err
		}
		in := &sqliteFiller{ctx: ctx, conn: s.conn, stmts: map[string]*sql.Stmt{}}
		defer in.close()
		for row, err := range readBackup(r) {
			if err == nil {
				err = in.add(row)
			}
			if err != nil {
				return err
			}
		}
		if err := in.flush(); err != nil {
			return err
		}
		return s.execAll(ctx, append(indexes, `INSERT INTO word (word, rank) VALUES ('hashsize', 1048576)`)...)
	})
}

func (s *SQLite) execAll(ctx context.Context, texts ...string) error {
	for _, text := range texts {
		if _, err := s.conn.ExecContext(ctx, text); err != nil {
			return sqliteError(err, opRestore)
		}
	}
	return nil
}

// dropIndexes removes what is faster made when the tables are full, and returns
// how to make it.
func (s *SQLite) dropIndexes(ctx context.Context) (texts []string, err error) {
	rows, err := s.conn.QueryContext(ctx, `SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`)
	if err != nil {
		return nil, sqliteError(err, opRestore)
	}
	defer rows.Close()
	var names []string
	for rows.Next() {
		var name, text string
		if err := rows.Scan(&name, &text); err != nil {
			return nil, sqliteError(err, opRestore)
		}
		names, texts = append(names, name), append(texts, text)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, sqliteError(err, opRestore)
	}
	for _, name := range names {
		if _, err := s.conn.ExecContext(ctx, `DROP INDEX `+name); err != nil {
			return nil, sqliteError(err, opRestore)
		}
	}
	return texts, nil
}

// fillRows is how many rows of a table one statement inserts.
const fillRows = 16

// sqliteFiller inserts rows, those of one table that follow each other together.
type sqliteFiller struct {
	ctx   context.Context
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
	rows  []restoredRow
	args  []any
}

func (in *sqliteFiller) add(row restoredRow) error {
	if len(in.rows) > 0 && (in.rows[0].table != row.table || len(in.rows) == fillRows) {
		if err := in.flush(); err != nil {
			return err
		}
	}
	in.rows = append(in.rows, row)
	return nil
}

func (in *sqliteFiller) flush() error {
	if len(in.rows) == 0 {
		return nil
	}
	t := in.rows[0].table
	in.args = in.args[:0]
	for _, row := range in.rows {
		in.args = append(in.args, row.values...)
	}
	marks := "(" + strings.Repeat("?, ", len(t.columns)-1) + "?)"
	err := in.exec(`INSERT INTO `+t.name+` (`+t.quoted()+`) VALUES `+strings.Repeat(marks+", ", len(in.rows)-1)+marks, in.args...)
	for _, row := range in.rows {
		if err == nil && row.terms != nil {
			err = in.exec(`INSERT INTO word (rowid, words) VALUES (?, ?)`, row.values[0], strings.Join(row.terms, " "))
		}
	}
	in.rows = in.rows[:0]
	return err
}

func (in *sqliteFiller) exec(text string, args ...any) (err error) {
	stmt := in.stmts[text]
	if stmt == nil {
		if stmt, err = in.conn.PrepareContext(in.ctx, text); err != nil {
			return sqliteError(err, opRestore)
		}
		in.stmts[text] = stmt
	}
	_, err = stmt.ExecContext(in.ctx, args...)
	return sqliteError(err, opRestore)
}

func (in *sqliteFiller) close() {
	for _, stmt := range in.stmts {
		_ = stmt.Close() // the connection is closed next
	}
}

// syncFolder makes the names in a folder durable, where folders can be opened.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return nil // this system does not open folders
	}
	return errors.Join(d.Sync(), d.Close())
}
