// Command peer does the work of bench/engine on River, a durable job queue on
// PostgreSQL, in the same words: executions of five stages with two tasks each
// that do nothing, every task recorded before the next one starts. It is a
// module of its own, so that the product does not depend on it. River is tuned
// as far as its settings allow: it fetches every millisecond it may.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const tasks = 5 * 2

type step struct {
	Execution int `json:"execution"`
	Task      int `json:"task"`
}

func (step) Kind() string { return "step" }

// worker records that a task is done and its successor in one transaction.
type worker struct {
	river.WorkerDefaults[step]
	pool  *pgxpool.Pool
	mu    sync.Mutex
	ended map[int]chan struct{}
}

func (w *worker) Work(ctx context.Context, job *river.Job[step]) error {
	err := pgx.BeginFunc(ctx, w.pool, func(tx pgx.Tx) error {
		if job.Args.Task+1 < tasks {
			client := river.ClientFromContext[pgx.Tx](ctx)
			if _, err := client.InsertTx(ctx, tx, step{job.Args.Execution, job.Args.Task + 1}, nil); err != nil {
				return err
			}
		}
		_, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job)
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
	database := flag.String("database", "", "postgres:// address")
	n := flag.Int("n", 200, "executions with many in flight; with one in flight a tenth of it")
	flag.String("dir", "", "not used")
	flag.Parse()
	for _, inflight := range []int{1, 64} {
		count := *n
		if inflight == 1 {
			count = max(*n/10, 20)
		}
		if err := measure(context.Background(), *database, count, inflight); err != nil {
			fmt.Fprintln(os.Stderr, "peer:", err)
			os.Exit(1)
		}
	}
}

func measure(ctx context.Context, database string, n, inflight int) error {
	pool, err := pgxpool.New(ctx, database)
	if err != nil {
		return err
	}
	defer pool.Close()
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	w := &worker{pool: pool, ended: map[int]chan struct{}{}}
	workers := river.NewWorkers()
	river.AddWorker(workers, w)
	client, err := river.NewClient(driver, &river.Config{Workers: workers, FetchCooldown: time.Millisecond, FetchPollInterval: 5 * time.Millisecond,
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 64}}})
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
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"engine": "river postgres", "inFlight": inflight, "executions": n,
		"executionsPerSecond": float64(n) / time.Since(start).Seconds(), "executionP50ms": took[n/2], "executionP99ms": took[n*99/100]})
}
