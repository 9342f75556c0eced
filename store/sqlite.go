package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

//go:embed sqlite_schema.sql
var sqliteSchema string

//go:embed sqlite_words.sql
var sqliteWords string

//go:embed sqlite_operation.sql
var sqliteOperation string

// sqliteMigrations are applied in order, each in one transaction; forward only.
// The second and the fifth are of PostgreSQL alone; both databases count alike,
// so that a backup of one says what the other has to know. The fourth to the sixth
// version had a second file beside the database, which the seventh takes over (see
// readRecords).
var sqliteMigrations = [schemaVersion]string{sqliteSchema, `SELECT 1;`, sqliteWords, `SELECT 1;`, `SELECT 1;`, sqliteOperation, `SELECT 1;`}

// SQLite keeps everything in one file and its write-ahead log (-wal), for one
// process. Every commit is on disk before it is acknowledged (synchronous=FULL).
type SQLite struct {
	path    string
	options Options
	lock    io.Closer
	reads   *sql.DB
	writes  *sql.DB

	mu      sync.Mutex // of the writer and all below
	conn    *sql.Conn
	stmts   *sqliteStatements
	seq     int64 // of the last execution
	mailSeq int64
	session *sqliteSession

	position  int64          // of the last event
	newEvents []record.Event // written by the transaction under way
	recent    recentEvents
	logged    int // pages written to the log since checkpointLoop was last told

	grown      chan struct{} // the log has grown
	checkpoint sync.WaitGroup
	closing    chan struct{}
	reindexer  reindexer
	pruned     pruneProgress
}

// OpenSQLite opens or creates the database at path. A second process is refused.
func OpenSQLite(ctx context.Context, path string, o Options) (*SQLite, error) {
	const op = "store.open"
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, problem.Wrap(err, problem.Precondition, op, "the folder of %s", path)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, problem.Wrap(err, problem.Conflict, op, "the database %s is in use by another process", path).
			WithHelp("Stop the other showrunner that uses this data folder, or give this one a folder of its own with --data.")
	}
	s := &SQLite{path: path, options: o, lock: lock, grown: make(chan struct{}, 1), closing: make(chan struct{})}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.checkpoint.Go(s.checkpointLoop)
	s.reindexer.begin(s.reindexStep)
	return s, nil
}

func dataSource(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (s *SQLite) open(ctx context.Context) error {
	const op = "store.open"
	var err error
	// The log is written back by checkpointLoop, not in the middle of a commit.
	if s.writes, err = sql.Open("sqlite", dataSource(s.path, "wal_autocheckpoint(0)", "cache_size(-16000)", fmt.Sprintf("journal_size_limit(%d)", logKept))); err != nil {
		return problem.Wrap(err, problem.Internal, op, "%s", s.path)
	}
	if s.conn, err = s.writes.Conn(ctx); err != nil {
		return problem.Wrap(err, problem.Precondition, op, "the database %s cannot be opened", s.path)
	}
	if err := os.Chmod(s.path, 0o600); err != nil {
		return problem.Wrap(err, problem.Precondition, op, "%s", s.path)
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if s.reads, err = sql.Open("sqlite", dataSource(s.path, "query_only(ON)", "cache_size(-4000)")); err != nil {
		return problem.Wrap(err, problem.Internal, op, "%s", s.path)
	}
	s.reads.SetMaxOpenConns(4)
	s.reads.SetMaxIdleConns(4)
	row := s.conn.QueryRowContext(ctx, `SELECT
		max(coalesce((SELECT max(position) FROM event), 0), coalesce((SELECT value FROM meta WHERE key = 'floor'), 0)),
		max(coalesce((SELECT max(seq) FROM execution), 0), coalesce((SELECT value FROM meta WHERE key = 'seq'), 0)),
		coalesce((SELECT max(seq) FROM mail), 0)`)
	if err := row.Scan(&s.position, &s.seq, &s.mailSeq); err != nil {
		return problem.Wrap(err, problem.Precondition, op, "the database %s cannot be read", s.path)
	}
	s.recent.last = s.position
	s.stmts, err = prepareSQLite(ctx, s.conn)
	return err
}

// migrate brings the schema to the newest version; user_version holds where it is.
func (s *SQLite) migrate(ctx context.Context) error {
	const op = "store.open"
	var version int
	if err := s.conn.QueryRowContext(ctx, `PRAGMA user_version`).Scan(&version); err != nil {
		return problem.Wrap(err, problem.Precondition, op, "the database %s cannot be read", s.path)
	}
	if version > schemaVersion {
		return newerSchema(version)
	}
	records, err := s.readRecords(ctx, version)
	if err != nil {
		return err
	}
	for version++; version <= schemaVersion; version++ {
		if err := s.migrateTo(ctx, version, records); err != nil {
			_, _ = s.conn.ExecContext(ctx, `ROLLBACK`) // nothing has changed
			return err
		}
	}
	return s.removeRecordFile()
}

// migrateTo carries out one migration in a transaction; that to recordsSchema
// takes records over.
func (s *SQLite) migrateTo(ctx context.Context, version int, records []transitionRecord) error {
	failed := func(err error) error {
		return problem.Wrap(err, problem.Internal, "store.open", "migration %d of %s", version, s.path)
	}
	if _, err := s.conn.ExecContext(ctx, "BEGIN IMMEDIATE;\n"+sqliteMigrations[version-1]); err != nil {
		return failed(err)
	}
	if version == recordsSchema {
		if err := s.takeOver(ctx, records); err != nil {
			return err
		}
	}
	if _, err := s.conn.ExecContext(ctx, "PRAGMA user_version = "+strconv.Itoa(version)+";\nCOMMIT;"); err != nil {
		return failed(err)
	}
	return nil
}

// Close writes the log back and releases the file.
func (s *SQLite) Close() error {
	close(s.closing)
	s.reindexer.end()
	s.checkpoint.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.end()
		s.session = nil
	}
	return s.release()
}

func (s *SQLite) release() error {
	var errs []error
	if s.stmts != nil {
		s.stmts.close()
	}
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.writes != nil {
		errs = append(errs, s.writes.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

// Join implements execution.Store. An earlier session of this process is lost.
func (s *SQLite) Join(ctx context.Context, now func() time.Time) (execution.Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var n int64
	err := s.conn.QueryRowContext(ctx, `INSERT INTO meta (key, value) VALUES ('session', 1)
		ON CONFLICT (key) DO UPDATE SET value = value + 1 RETURNING value`).Scan(&n)
	if err != nil {
		return nil, sqliteError(err, "store.join")
	}
	if s.session != nil {
		s.session.end()
	}
	s.session = &sqliteSession{store: s, owner: "s" + strconv.FormatInt(n, 10), notices: make(chan execution.Notice, 1024)}
	return s.session, nil
}

// sqliteError gives a database's error its code: what cannot be written now may
// be writable later (a full disk), so it is unavailable.
func sqliteError(err error, op string) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return problem.Wrap(err, problem.Unavailable, op, "the call was given up")
	}
	return problem.Wrap(err, problem.Unavailable, op, "the database")
}

// Peers implements Store: the file's lock lets no other process in.
func (s *SQLite) Peers(context.Context) (int, error) { return 0, nil }

// Lives implements Store: the only session is this process's own.
func (s *SQLite) Lives(_ context.Context, owner string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session != nil && s.session.owner == owner, nil
}
