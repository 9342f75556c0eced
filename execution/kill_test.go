package execution_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/store"
)

var (
	kills = flag.Int("kills", 5, "how often the kill loop kills")
	seed  = flag.Uint64("seed", 1, "of the kill loop's moments")
)

func openAddress(ctx context.Context, address string) (execution.Store, error) {
	return store.OpenSQLite(ctx, address, store.Options{})
}

func TestMain(m *testing.M) {
	executiontest.KillChild(openAddress)
	flag.Parse()
	os.Exit(m.Run())
}

func TestKillLoop(t *testing.T) {
	executiontest.KillLoop(t, executiontest.KillPlan{Address: filepath.Join(t.TempDir(), "db"), Executions: 20 + 20**kills, Kills: *kills, Seed: *seed}, openAddress)
}
