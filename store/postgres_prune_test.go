package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/store"
	"showrunner/store/record"
)

// A plan is not removed with the last execution that is over while another one
// of it is being created.
func TestPruneKeepsThePlanOfACreationUnderWay(t *testing.T) {
	at := address(t, "postgres")
	s := open(t, at)
	fillSome(t, s, 1) // of the plan p
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the test is over
	other, err := pgx.Connect(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.WithoutCancel(ctx)) //nolint:errcheck // the test is over
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	h := execution.Head{ID: "new", Application: "app0", Pipeline: "main", Status: execution.Running, Plan: "p", Created: time.Now()}
	if err := store.Within(ctx, tx, "me", &execution.Change{ID: h.ID, Create: &execution.Creation{Head: h, PlanData: []byte(`{}`)}}); err != nil {
		t.Fatal(err)
	}
	pruned := make(chan error, 1)
	go func() {
		_, _, err := s.Prune(ctx, execution.Retention{Age: time.Hour}, time.Now().Add(100*time.Hour), func([]record.Event) error { return nil })
		pruned <- err
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for waits := false; !waits; {
		select {
		case err := <-pruned:
			t.Fatalf("it did not wait for the creation: %v", err)
		case <-tick.C:
			if err := other.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'plan'::regclass)`).Scan(&waits); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if err := <-pruned; err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plan(ctx, "p"); err != nil {
		t.Errorf("the plan of the new execution: %v", err)
	}
	if _, err := s.Load(ctx, "x00000"); err == nil {
		t.Error("the old execution is still there")
	}
}
