package store_test

import (
	"database/sql"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"showrunner/execution"
	"showrunner/store"
)

// A database of the schema before terms had segments is searched like any other
// once it has been indexed again.
func TestWhatAnOlderVersionIndexedIsFound(t *testing.T) {
	const n = 1200 // some steps
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			at := address(t, kind)
			s, err := store.Open(t.Context(), at, store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			session, err := s.Join(t.Context(), time.Now)
			if err != nil {
				t.Fatal(err)
			}
			var changes []*execution.Change
			for i := range n {
				h := execution.Head{ID: fmt.Sprintf("x%04d", i), Application: "app", Pipeline: "main", Status: execution.Succeeded, Plan: "p", Created: time.UnixMilli(int64(i)),
					Request: execution.HeadRequest{V: 1, Trigger: map[string]any{"kind": "push", "message": "hello"}}, State: execution.HeadState{V: 1}}
				changes = append(changes, &execution.Change{ID: h.ID, Create: &execution.Creation{Head: h, PlanData: []byte(`{}`)}})
			}
			if err := session.Commit(t.Context(), changes); err != nil {
				t.Fatal(err)
			}
			if err := session.Leave(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			older(t, kind, at)
			s = open(t, at)
			store.Reindexed(s)
			for _, q := range []execution.Query{{Text: "hello"}, {Trigger: "push"}, {Text: "hel", Application: "app"}} {
				q.Limit = n + 1
				if heads, _, err := s.List(t.Context(), q); err != nil || len(heads) != n {
					t.Errorf("%+v: %d of %d, %v", q, len(heads), n, err)
				}
			}
		})
	}
}

// older makes the index what version 2 of the schema had.
func older(t *testing.T, kind, at string) {
	t.Helper()
	if kind == "sqlite" {
		db, err := sql.Open("sqlite", "file:"+at)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		_, err = db.Exec(`DROP TABLE word;
			CREATE VIRTUAL TABLE word USING fts5 (words, content='', contentless_delete=1, tokenize="unicode61 remove_diacritics 0", detail=none);
			INSERT INTO word (rowid, words) SELECT seq, 'hello push ' || id FROM execution; DROP TABLE operation; PRAGMA user_version = 2`)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	conn, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, text := range []string{`UPDATE execution SET words = array_to_tsvector(ARRAY['hello', 'push', id])`,
		`DROP FUNCTION showrunner_facet`, `DROP TABLE operation`, `DELETE FROM showrunner_schema WHERE version > 2`} {
		if _, err := conn.Exec(t.Context(), text); err != nil {
			t.Fatal(err)
		}
	}
}
