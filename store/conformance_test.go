package store_test

import (
	"bytes"
	"strings"
	"testing"

	"showrunner/problem"
	"showrunner/store"
	"showrunner/store/storetest"
)

func TestConformance(t *testing.T) {
	for _, kind := range []string{"sqlite", "postgres"} {
		t.Run(kind, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store { return open(t, address(t, kind)) }, func(t *testing.T, backup []byte) store.Store {
				at := address(t, kind)
				if err := store.Restore(t.Context(), at, bytes.NewReader(backup), store.Options{}); err != nil {
					t.Fatal(err)
				}
				if err := store.Restore(t.Context(), at, bytes.NewReader(backup), store.Options{}); problem.CodeOf(err) != problem.Precondition {
					t.Errorf("a database that holds something was restored into: %v", err)
				}
				if err := store.Restore(t.Context(), address(t, kind), bytes.NewReader(backup[:len(backup)-20]), store.Options{}); problem.CodeOf(err) != problem.Invalid {
					t.Errorf("a backup that is cut short was restored: %v", err)
				}
				return open(t, at)
			})
		})
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	at := address(t, "sqlite")
	open(t, at)
	_, err := store.Open(t.Context(), at, store.Options{})
	if problem.CodeOf(err) != problem.Conflict || !strings.Contains(err.Error(), "in use by another process") || problem.HelpOf(err) == "" {
		t.Fatal(err)
	}
}
