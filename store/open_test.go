package store_test

import (
	"database/sql"
	"strings"
	"testing"

	"showrunner/problem"
	"showrunner/store"
)

// TestANewerSchemaIsRefused: a database that a newer program has taken on is not
// opened by this one, which says so; what is returned is no store.
func TestANewerSchemaIsRefused(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			at := address(t, kind)
			whole, err := store.Open(t.Context(), at, store.Options{})
			if err == nil {
				err = whole.Close()
			}
			if err != nil {
				t.Fatal(err)
			}
			raise(t, kind, at)
			s, err := store.Open(t.Context(), at, store.Options{})
			if s != nil {
				t.Errorf("it returned %v", s)
			}
			if problem.CodeOf(err) != problem.Precondition || !strings.Contains(err.Error(), "schema version 99") || problem.HelpOf(err) == "" {
				t.Errorf("it was refused with %v (%q)", err, problem.HelpOf(err))
			}
		})
	}
}

func raise(t *testing.T, kind, at string) {
	t.Helper()
	if kind == "postgres" {
		if _, err := server.Query(t.Context(), at, `INSERT INTO showrunner_schema VALUES (99)`); err != nil {
			t.Fatal(err)
		}
		return
	}
	db, err := sql.Open("sqlite", at)
	if err == nil {
		_, err = db.Exec(`PRAGMA user_version = 99`)
	}
	if err == nil {
		err = db.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatCannotBeOpenedIsNoStore: an interface that holds a nil pointer is not
// nil, and who closes what it has would call a method of nothing.
func TestWhatCannotBeOpenedIsNoStore(t *testing.T) {
	at := address(t, "sqlite")
	open(t, at)
	if s, err := store.Open(t.Context(), at, store.Options{}); s != nil || err == nil {
		t.Errorf("a database in use was opened as %v (%v)", s, err)
	}
	if s, err := store.Open(t.Context(), "postgres://127.0.0.1:1/none?connect_timeout=1", store.Options{}); s != nil || err == nil {
		t.Errorf("a server that is not there was opened as %v (%v)", s, err)
	}
}
