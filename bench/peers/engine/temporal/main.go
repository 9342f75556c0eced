// Command temporal does the work of the benchmark peers engine on Temporal's server with its
// SDK, both in this process: workflows of ten activities that do nothing, one
// after the other, every one recorded before the next starts. It is a module of
// its own, so that the product does not depend on it. The server is the one of
// Temporal's own package temporaltest, whose SQLite is in memory: it waits for
// no disk, which is to its advantage.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.temporal.io/server/temporaltest"
)

const tasks = 5 * 2

func noop(context.Context) error { return nil }

func deliver(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	for range tasks {
		if err := workflow.ExecuteActivity(ctx, noop).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	n := flag.Int("n", 200, "executions with many in flight; with one in flight a tenth of it")
	flag.String("database", "", "not used")
	flag.String("dir", "", "not used")
	flag.Parse()
	quiet := log.NewStructuredLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))
	server := temporaltest.NewServer(temporaltest.WithBaseClientOptions(client.Options{Logger: quiet}))
	server.NewWorkerWithOptions("bench", func(r worker.Registry) {
		r.RegisterWorkflow(deliver)
		r.RegisterActivity(noop)
	}, worker.Options{MaxConcurrentActivityTaskPollers: 16, MaxConcurrentWorkflowTaskPollers: 16})
	for _, inflight := range []int{1, 64} {
		count := *n
		if inflight == 1 {
			count = max(*n/10, 10)
		}
		if err := measure(context.Background(), server.GetDefaultClient(), count, inflight); err != nil {
			fmt.Fprintln(os.Stderr, "temporal:", err)
			os.Exit(1)
		}
	}
	os.Exit(0) // its server has no state to save
}

func measure(ctx context.Context, c client.Client, n, inflight int) error {
	run := func() error {
		r, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: "bench"}, deliver)
		if err != nil {
			return err
		}
		return r.Get(ctx, nil)
	}
	if err := run(); err != nil { // one-time initialisation ends here
		return err
	}
	var took []float64
	var mu sync.Mutex
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make(chan error, inflight)
	start := time.Now()
	for range inflight {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				began := time.Now()
				if err := run(); err != nil {
					failed <- err
					return
				}
				mu.Lock()
				took = append(took, float64(time.Since(began))/float64(time.Millisecond))
				mu.Unlock()
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
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"engine": "temporal memory", "inFlight": inflight, "executions": n,
		"executionsPerSecond": float64(n) / time.Since(start).Seconds(), "executionP50ms": took[n/2], "executionP99ms": took[n*99/100]})
}
