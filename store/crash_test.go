package store_test

import (
	"context"
	"flag"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/store"
)

var (
	kills = flag.Int("kills", 4, "how often each kill loop kills")
	seed  = flag.Uint64("seed", 1, "of the kill loops' moments")
)

func TestEveryWriteIsACrashPointOnPostgres(t *testing.T) {
	for _, fault := range []executiontest.Fault{executiontest.CrashBefore, executiontest.CrashAfter, executiontest.Stall} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			executiontest.Simulate(t, func(t *testing.T) execution.Store { return open(t, address(t, "postgres")) }, fault)
		})
	}
}

func TestKillLoopsOnPostgres(t *testing.T) {
	for name, replicas := range map[string]int{"one": 1, "two": 2} {
		t.Run(name, func(t *testing.T) {
			executiontest.KillLoop(t, executiontest.KillPlan{Address: address(t, "postgres"), Executions: 20 + 20**kills, Kills: *kills, Replicas: replicas, Seed: *seed},
				func(ctx context.Context, at string) (execution.Store, error) {
					return store.Open(ctx, at, store.Options{Lease: 2 * time.Second})
				})
		})
	}
}
