package store

import (
	"context"

	"showrunner/problem"
)

// OpenPostgres opens the database at a postgres:// address.
func OpenPostgres(_ context.Context, _ string, _ Options) (Store, error) {
	return nil, problem.New(problem.Unavailable, "store.open", "PostgreSQL is not wired yet")
}
