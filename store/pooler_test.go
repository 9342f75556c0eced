package store_test

import (
	"bytes"
	"errors"
	"testing"

	"showrunner/problem"
	"showrunner/store"
	"showrunner/store/pgtest"
	"showrunner/store/storetest"
)

// pooled returns the addresses of a new database behind a pooler, and of itself.
func pooled(t *testing.T) (through, direct string) {
	t.Helper()
	direct = address(t, "postgres")
	through, stop, err := server.Pool(t.Context(), direct)
	if errors.Is(err, pgtest.ErrNoPooler) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return through, direct
}

func TestAPoolerAloneIsRefused(t *testing.T) {
	through, _ := pooled(t)
	_, err := store.Open(t.Context(), through, store.Options{})
	if problem.CodeOf(err) != problem.Precondition || problem.HelpOf(err) == "" {
		t.Fatal(err)
	}
}

// Everything works through a pooler in transaction mode that knows of no
// prepared statements, as long as a replica's own session is direct.
func TestConformanceThroughAPooler(t *testing.T) {
	open := func(t *testing.T) (store.Store, string, store.Options) {
		through, direct := pooled(t)
		o := store.Options{Direct: direct}
		s, err := store.Open(t.Context(), through, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
		return s, through, o
	}
	storetest.Run(t, func(t *testing.T) store.Store {
		s, _, _ := open(t)
		return s
	}, func(t *testing.T, backup []byte) store.Store {
		s, through, o := open(t)
		if err := store.Restore(t.Context(), through, bytes.NewReader(backup), o); err != nil {
			t.Fatal(err)
		}
		return s
	})
}
