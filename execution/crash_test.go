package execution_test

import (
	"path/filepath"
	"testing"

	"showrunner/execution"
	"showrunner/execution/executiontest"
)

func TestEveryWriteIsACrashPoint(t *testing.T) {
	for _, fault := range []executiontest.Fault{executiontest.CrashBefore, executiontest.CrashAfter, executiontest.Stall} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			executiontest.Simulate(t, func(t *testing.T) execution.Store {
				st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
				t.Cleanup(func() { closeStore(t, st) })
				return st
			}, fault)
		})
	}
}

func TestASuccessorDiesToo(t *testing.T) {
	for _, fault := range []executiontest.Fault{executiontest.CrashBefore, executiontest.CrashAfter} {
		t.Run(fault.String(), func(t *testing.T) {
			t.Parallel()
			executiontest.SimulateTwice(t, func(t *testing.T) execution.Store {
				st := openSQLite(t, filepath.Join(t.TempDir(), "db"))
				t.Cleanup(func() { closeStore(t, st) })
				return st
			}, fault, 1, 4, 6, 9)
		})
	}
}
