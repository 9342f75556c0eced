package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	_ "embed"
	"errors"
	"io"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"; the only registration, and the driver's own

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
// so that a backup of one says what the other has to know. The fourth changes no
// table: a program that does not know of the records ahead of the database must
// not open it without them.
var sqliteMigrations = [schemaVersion]string{sqliteSchema, `SELECT 1;`, sqliteWords, `SELECT 1;`, `SELECT 1;`, sqliteOperation}

// SQLite keeps everything in one file, for one process, and what is on its way
// there in a second one. Every commit is on disk before it is acknowledged
// (WAL, synchronous=FULL; see ahead).
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

	ahead    *ahead         // its lock is taken after mu
	position int64          // of the last event; the lock is that of ahead
	fresh    []record.Event // written by the transaction under way
	tail     tail
	// lastCheckpoint is the position at which the log was last asked to be written back.
	lastCheckpoint int64

	grown      chan struct{} // the write-ahead log has grown
	behind     chan struct{} // the database is behind the file ahead of it
	checkpoint sync.WaitGroup
	closing    chan struct{}
	reword     rewording
	pruned     pruneMark
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
	s := &SQLite{path: path, options: o, lock: lock, grown: make(chan struct{}, 1), behind: make(chan struct{}, 1), closing: make(chan struct{})}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.checkpoint.Go(s.checkpointLoop)
	s.reword.begin(s.rewordStep)
	return s, nil
}

func dataSource(path string, pragmas ...string) string {
	q := url.Values{"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(ON)", "temp_store(MEMORY)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String()
}

func (s *SQLite) open(ctx context.Context) error {
	const op = "store.open"
	var err error
	// The log is written back by checkpointLoop, not in the middle of a commit. It
	// grows while somebody reads for long, and gives the disk back afterwards.
	if s.writes, err = sql.Open("sqlite", dataSource(s.path, "wal_autocheckpoint(0)", "cache_size(-16000)", "journal_size_limit(67108864)")); err != nil {
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
	s.tail.last = s.position
	if s.stmts, err = prepareSQLite(ctx, s.conn); err != nil {
		return err
	}
	return s.openAhead(ctx)
}

// openAhead brings the database up to date with the records beside it.
func (s *SQLite) openAhead(ctx context.Context) error {
	const op = "store.open"
	// The numbers of another database's file are none of this one's.
	first, err := rand.Int(rand.Reader, big.NewInt(1<<48))
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "a random number")
	}
	if _, err := s.conn.ExecContext(ctx, `INSERT INTO meta (key, value) VALUES ('ahead', ?) ON CONFLICT DO NOTHING`, first.Int64()); err != nil {
		return sqliteError(err, op)
	}
	var number int64
	if err := s.conn.QueryRowContext(ctx, `SELECT value FROM meta WHERE key = 'ahead'`).Scan(&number); err != nil {
		return sqliteError(err, op)
	}
	if s.ahead, err = openAhead(s.path+aheadSuffix, number); err != nil {
		return err
	}
	s.position = max(s.position, s.ahead.last())
	s.tail.last = s.position
	return s.settle(ctx)
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
	for ; version < schemaVersion; version++ {
		script := "BEGIN IMMEDIATE;\n" + sqliteMigrations[version] + "\nPRAGMA user_version = " + strconv.Itoa(version+1) + ";\nCOMMIT;"
		if _, err := s.conn.ExecContext(ctx, script); err != nil {
			_, _ = s.conn.ExecContext(ctx, `ROLLBACK`)
			return problem.Wrap(err, problem.Internal, op, "migration %d of %s", version+1, s.path)
		}
	}
	return nil
}

// checkpointPages is after how many pages of log they are written back.
const checkpointPages = 2000

// fewPages is how many pages of log commits may wait for to be written back;
// checkpointPasses is after how many tries they have to, however many there are.
const (
	fewPages         = 200
	checkpointPasses = 5
)

// checkpointLoop writes the log back into the database in the background, so
// that no commit has to wait for it and the log is used again from its start.
func (s *SQLite) checkpointLoop() {
	db, err := sql.Open("sqlite", dataSource(s.path, "wal_autocheckpoint(0)"))
	if err != nil {
		return // Close still writes the log back
	}
	defer db.Close()
	for {
		select {
		case <-s.closing:
			return
		case <-s.grown:
		case <-s.behind:
			_ = s.settle(context.Background()) // what does not succeed now is in the file
			continue
		}
		s.writeBack(db)
	}
}

// writeBack writes the log back. A failure is tried again when the log has grown
// further; nothing is lost by it. The log is used again from its start once all of
// it is written back, which takes a moment without a writer: so what commits have
// added meanwhile is written back without holding them up until it is little, and
// not at all where somebody reads what the log held earlier, as a backup does.
func (s *SQLite) writeBack(db *sql.DB) {
	var held, before, written int
	pass := func() (whole bool, err error) {
		var log int
		err = db.QueryRow(`PRAGMA wal_checkpoint(PASSIVE)`).Scan(&held, &log, &written)
		whole, before = err == nil && held == 0 && written >= log, log
		return whole, err
	}
	for range checkpointPasses {
		was := before
		if whole, err := pass(); err != nil || !whole {
			return
		}
		if before-was <= fewPages {
			break
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = pass()
}

// Close writes the log back and releases the file.
func (s *SQLite) Close() error {
	close(s.closing)
	s.reword.end()
	s.checkpoint.Wait()
	err := s.settle(context.Background())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session != nil {
		s.session.end()
		s.session = nil
	}
	return errors.Join(err, s.release())
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
	if s.ahead != nil {
		errs = append(errs, s.ahead.close())
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

// Peers implements Store: the file's lock lets nobody else in.
func (s *SQLite) Peers(context.Context) (int, error) { return 0, nil }

// Lives implements Store: the only session is this process's own.
func (s *SQLite) Lives(_ context.Context, owner string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.session != nil && s.session.owner == owner, nil
}
