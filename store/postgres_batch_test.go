package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store"
	"showrunner/store/record"
)

// However many executions live, a batch looks at its own: plans are made while the
// tables are empty, and kept.
func TestABatchLooksAtItsOwnExecutions(t *testing.T) {
	const many, some = 3000, 50
	at := address(t, "postgres")
	open(t, at)
	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context())) //nolint:errcheck // the test is over
	looked := func(tx pgx.Tx) (n int64, err error) {
		return n, tx.QueryRow(t.Context(), `SELECT sum(seq_tup_read + idx_tup_fetch)::bigint FROM pg_stat_xact_user_tables WHERE relname IN ('execution', 'stage')`).Scan(&n)
	}
	commit := func(changes ...*execution.Change) (n int64) {
		t.Helper()
		err := pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
			before, err := looked(tx)
			if err != nil {
				return err
			}
			if err := store.Within(t.Context(), tx, "me", changes...); err != nil {
				return err
			}
			n, err = looked(tx)
			n -= before
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, known := range []bool{false, true} {
		var creations, changes []*execution.Change
		for i := range many {
			h := execution.Head{ID: fmt.Sprintf("%t%d", known, i), Application: "app", Pipeline: "main", Status: execution.Running, Plan: "p", Created: time.Now()}
			creations = append(creations, &execution.Change{ID: h.ID, Create: &execution.Creation{Head: h, PlanData: []byte(`{}`)}, Stages: []execution.StageRow{{Data: []byte(`{}`)}}})
			if i < some {
				changes = append(changes, &execution.Change{ID: h.ID, Epoch: 1, Stages: []execution.StageRow{{Data: []byte(`{}`)}, {Index: 1, Data: []byte(`{}`)}},
					Head: &execution.HeadPatch{Status: execution.Running, State: h.State}})
			}
		}
		commit(creations[:some]...)
		commit(changes[:1]...) // with plans for what is there now
		if known {
			if _, err := conn.Exec(t.Context(), `ANALYZE`); err != nil {
				t.Fatal(err)
			}
			commit(changes[:1]...)
		}
		commit(creations[some:]...)
		if n := commit(changes...); n > 4*some {
			t.Errorf("tables known: %t: %d rows were looked at for changes of %d executions and their stages", known, n, some)
		}
	}
}

// Those who append at the same time share commits, and one whose event cannot be
// kept spoils it for nobody else.
func TestAppendingTogether(t *testing.T) {
	const callers = 40
	s := open(t, address(t, "postgres"))
	var all sync.WaitGroup
	errs := make([]error, callers)
	for i := range callers {
		all.Go(func() {
			by := fmt.Sprint(i)
			if i == 7 {
				by = "a\x00b" // no text to PostgreSQL
			}
			errs[i] = s.AppendEvents(t.Context(), record.Event{Time: time.Now(), Type: "audit.one", By: by}, record.Event{Time: time.Now(), Type: "audit.two", By: by})
		})
	}
	all.Wait()
	for i, err := range errs {
		if want := map[bool]problem.Code{true: problem.Internal}[i == 7]; problem.CodeOf(err) != want {
			t.Errorf("%d: %v", i, err)
		}
	}
	log, err := s.ReadEvents(t.Context(), 0, record.Filter{}, 1000)
	if err != nil || len(log.Events) != 2*(callers-1) {
		t.Fatal(len(log.Events), err)
	}
	for i, e := range log.Events {
		if e.Position != log.Events[0].Position+int64(i) || i%2 == 1 && (e.By != log.Events[i-1].By || !strings.HasSuffix(e.Type, "two")) {
			t.Errorf("%d: %+v", i, e)
		}
	}
}
