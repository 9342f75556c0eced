// Command river does the work of the benchmark peers engine on River, a durable job queue on
// PostgreSQL and SQLite, in the same words: executions of five stages with two
// tasks each that do nothing, every task recorded before the next one starts.
// It is a module of its own, so that the product does not depend on it. River is
// tuned as far as its settings allow: it fetches every millisecond it may. Its
// SQLite is set as durable as ours (WAL, synchronous=FULL).
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const tasks = 5 * 2

type step struct {
	Execution int `json:"execution"`
	Task      int `json:"task"`
}

func (step) Kind() string { return "step" }

// database is River's database, with its kind of transactions.
type database[T any] struct {
	name       string
	driver     riverdriver.Driver[T]
	transact   func(ctx context.Context, f func(tx T) error) error
	completeTx func(ctx context.Context, tx T, job *river.Job[step]) (*river.Job[step], error)
	poll       time.Duration
}

// worker records that a task is done and its successor in one transaction.
type worker[T any] struct {
	river.WorkerDefaults[step]
	database[T]
	mu    sync.Mutex
	ended map[int]chan struct{}
}

func (w *worker[T]) Work(ctx context.Context, job *river.Job[step]) error {
	err := w.transact(ctx, func(tx T) error {
		if job.Args.Task+1 < tasks {
			client := river.ClientFromContext[T](ctx)
			if _, err := client.InsertTx(ctx, tx, step{job.Args.Execution, job.Args.Task + 1}, nil); err != nil {
				return err
			}
		}
		_, err := w.completeTx(ctx, tx, job)
		return err
	})
	if err == nil && job.Args.Task+1 == tasks {
		w.mu.Lock()
		close(w.ended[job.Args.Execution])
		w.mu.Unlock()
	}
	return err
}

func main() {
	address := flag.String("database", "", "postgres:// address; empty: none")
	n := flag.Int("n", 200, "executions with many in flight; with one in flight a tenth of it")
	dir := flag.String("dir", "", "folder for a SQLite file; empty: none")
	flag.Parse()
	if err := run(context.Background(), *address, *dir, *n); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, dir string, n int) error {
	if dir != "" {
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "river.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(10000)")
		if err != nil {
			return err
		}
		defer db.Close()
		db.SetMaxOpenConns(1) // as its documentation requires
		err = measureBoth(ctx, n, database[*sql.Tx]{name: "river sqlite", driver: riversqlite.New(db), poll: 5 * time.Millisecond,
			completeTx: func(ctx context.Context, tx *sql.Tx, job *river.Job[step]) (*river.Job[step], error) {
				return river.JobCompleteTx[*riversqlite.Driver](ctx, tx, job)
			},
			transact: func(ctx context.Context, f func(*sql.Tx) error) error {
				tx, err := db.BeginTx(ctx, nil)
				if err != nil {
					return err
				}
				if err := f(tx); err != nil {
					return errors.Join(err, tx.Rollback())
				}
				return tx.Commit()
			}})
		if err != nil {
			return err
		}
	}
	if address == "" {
		return nil
	}
	pool, err := pgxpool.New(ctx, address)
	if err != nil {
		return err
	}
	defer pool.Close()
	return measureBoth(ctx, n, database[pgx.Tx]{name: "river postgres", driver: riverpgxv5.New(pool), poll: 5 * time.Millisecond,
		completeTx: func(ctx context.Context, tx pgx.Tx, job *river.Job[step]) (*river.Job[step], error) {
			return river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
		},
		transact: func(ctx context.Context, f func(pgx.Tx) error) error { return pgx.BeginFunc(ctx, pool, f) }})
}

func measureBoth[T any](ctx context.Context, n int, db database[T]) error {
	migrator, err := rivermigrate.New(db.driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	if err := measure(ctx, db, max(n/10, 20), 1); err != nil {
		return err
	}
	return measure(ctx, db, n, 64)
}

func measure[T any](ctx context.Context, db database[T], n, inflight int) error {
	w := &worker[T]{database: db, ended: map[int]chan struct{}{}}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	client, err := river.NewClient(db.driver, &river.Config{Workers: workers, FetchCooldown: time.Millisecond, FetchPollInterval: db.poll,
		Logger: slog.New(slog.DiscardHandler), Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 64}}})
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	defer func() { _ = client.Stop(ctx) }() // the measurement is over
	took := make([]float64, 0, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, inflight)
	start := time.Now()
	for range inflight {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				began, done := time.Now(), make(chan struct{})
				w.mu.Lock()
				w.ended[int(i)] = done
				w.mu.Unlock()
				if _, err := client.Insert(ctx, step{Execution: int(i)}, nil); err != nil {
					failed <- err
					return
				}
				<-done
				w.mu.Lock()
				took = append(took, float64(time.Since(began))/float64(time.Millisecond))
				w.mu.Unlock()
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	slices.Sort(took)
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"engine": db.name, "inFlight": inflight, "executions": n,
		"executionsPerSecond": float64(n) / time.Since(start).Seconds(), "executionP50ms": took[n/2], "executionP99ms": took[n*99/100]})
}
