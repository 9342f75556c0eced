package store

import (
	"context"
	_ "embed"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"showrunner/problem"
)

//go:embed postgres_schema.sql
var postgresSchema string

//go:embed postgres_fence.sql
var postgresFence string

//go:embed postgres_words.sql
var postgresWords string

//go:embed postgres_batch.sql
var postgresBatch string

//go:embed postgres_operation.sql
var postgresOperation string

// postgresMigrations are applied in order, each in one transaction; forward only.
// The fourth and the seventh are of SQLite alone.
var postgresMigrations = [schemaVersion]string{postgresSchema, postgresFence, postgresWords, `SELECT 1;`, postgresBatch, postgresOperation, `SELECT 1;`}

// connectTimeout is how long making a connection may take where the address does not say.
const connectTimeout = 5 * time.Second

// migrationLock is the advisory lock under which one process at a time migrates.
const migrationLock = 0x53686f77

// Postgres keeps everything in a PostgreSQL database that any number of
// replicas share.
type Postgres struct {
	pool    *pgxpool.Pool
	direct  *pgx.ConnConfig // of a replica's own session, never through a pooler
	options Options

	reindexer reindexer
	pruned    pruneProgress
	queue     eventQueue

	mu   sync.Mutex
	last string // the session that this process had before, whose work it may take over at once
}

// OpenPostgres opens the database at a postgres:// address and brings its
// schema to the newest version.
func OpenPostgres(ctx context.Context, address string, o Options) (*Postgres, error) {
	const op = "store.open"
	if o.Lease <= 0 {
		o.Lease = 5 * time.Second
	}
	cfg, err := pgxpool.ParseConfig(address)
	if err != nil {
		return nil, problem.New(problem.Invalid, op, "the address of the database is not understood").WithHelp("It looks like postgres://user:password@host:5432/name.")
	}
	cfg.MaxConns = max(cfg.MaxConns, 8)
	// A database that cannot be reached is noticed, whatever the network does with what is sent.
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
	}
	direct := cfg.ConnConfig.Copy()
	if o.Direct != "" {
		if direct, err = pgx.ParseConfig(o.Direct); err != nil {
			return nil, problem.New(problem.Invalid, op, "the direct address of the database is not understood")
		}
		// Through a pooler the next transaction may be on another connection, where
		// statements prepared before have no name, unless the pooler knows of them.
		if cfg.ConnConfig.DefaultQueryExecMode == pgx.QueryExecModeCacheStatement {
			cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeCacheDescribe
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, problem.Wrap(err, problem.Unavailable, op, "the database")
	}
	p := &Postgres{pool: pool, direct: direct, options: o}
	if o.Direct == "" {
		err = p.refusePooler(ctx)
	}
	if err == nil {
		err = p.migrate(ctx)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	p.reindexer.begin(p.reindexStep)
	return p, nil
}

// refusePooler finds out before anything else is tried that the address leads
// through a pooler and no other was given.
func (p *Postgres) refusePooler(ctx context.Context) error {
	const op = "store.open"
	err := p.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return notPooled(ctx, c.Conn(), op) })
	return pgError(err, op)
}

// notPooled refuses a connection whose server process is not the one it was told
// of when it was made. It prepares nothing. Errors: precondition.
func notPooled(ctx context.Context, conn *pgx.Conn, op string) error {
	var pid uint32
	if err := conn.QueryRow(ctx, `SELECT pg_backend_pid()`, pgx.QueryExecModeSimpleProtocol).Scan(&pid); err != nil {
		return err
	}
	if pid == conn.PgConn().PID() {
		return nil
	}
	return problem.New(problem.Precondition, op, "the database is reached through a connection pooler, and a replica's session must not be: its lock and its notifications live on one server connection").
		WithHelp("Give the server's own address too, with --database-direct; everything else may go through the pooler.")
}

// migrate is done by one replica at a time; the others wait and find it done.
func (p *Postgres) migrate(ctx context.Context) error {
	const op = "store.open"
	err := pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS showrunner_schema (version integer NOT NULL)`); err != nil {
			return err
		}
		version := 0
		if err := tx.QueryRow(ctx, `SELECT coalesce(max(version), 0) FROM showrunner_schema`).Scan(&version); err != nil {
			return err
		}
		if version > schemaVersion {
			return newerSchema(version)
		}
		for ; version < schemaVersion; version++ {
			if _, err := tx.Conn().PgConn().Exec(ctx, postgresMigrations[version]).ReadAll(); err != nil {
				return problem.Wrap(err, problem.Internal, op, "migration %d", version+1)
			}
			if _, err := tx.Exec(ctx, `INSERT INTO showrunner_schema VALUES ($1)`, version+1); err != nil {
				return err
			}
		}
		return nil
	})
	return pgError(err, op)
}

// Close closes every connection. A session has to be left before.
func (p *Postgres) Close() error {
	p.reindexer.end()
	p.pool.Close()
	return nil
}

// pgError gives a database's error its code. What the server refuses for good
// is our defect; everything else may work later.
func pgError(err error, op string) error {
	if err == nil {
		return nil
	}
	if _, ok := problem.Of(err); ok {
		return err
	}
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		switch pe.Code[:2] {
		case "22", "23", "42": // wrong data, broken constraint, wrong statement
			return problem.Wrap(err, problem.Internal, op, "the database refused a statement")
		}
	}
	return problem.Wrap(err, problem.Unavailable, op, "the database")
}

// isCode tells whether the server raised an error with this SQLSTATE.
func isCode(err error, code string) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && pe.Code == code
}

// dollar names the nth parameter.
func dollar(n int) string { return "$" + strconv.Itoa(n) }
