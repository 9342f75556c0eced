package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/store"
	"showrunner/store/pgtest"
)

// server is the PostgreSQL of this package's tests; nil where there is none.
var server *pgtest.Server

func TestMain(m *testing.M) {
	executiontest.KillChild(func(ctx context.Context, address string) (execution.Store, error) {
		return store.Open(ctx, address, store.Options{Lease: 2 * time.Second})
	})
	journalChild()
	openAndClose()
	var err error
	server, err = pgtest.Start(context.Background())
	if err != nil && !errors.Is(err, pgtest.ErrNone) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if server != nil {
		if err := server.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

// openAndClose opens and closes the database that a test names, in a process that
// the test kills meanwhile.
func openAndClose() {
	at := os.Getenv("SHOWRUNNER_OPEN_AND_CLOSE")
	if at == "" {
		return
	}
	s, err := store.Open(context.Background(), at, store.Options{})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// address returns that of a new, empty database of one of the two kinds.
func address(t testing.TB, kind string) string {
	t.Helper()
	if kind == "sqlite" {
		return filepath.Join(t.TempDir(), "db")
	}
	if server == nil {
		t.Skip(pgtest.ErrNone)
	}
	a, err := server.Database(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func open(t testing.TB, at string) store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), at, store.Options{Lease: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
