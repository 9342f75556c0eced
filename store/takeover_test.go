package store_test

import (
	"context"
	"sync"
	"syscall"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/stage"
)

// A replica that is killed, and one that hangs, are noticed, and what they had
// under way is asked for by another. The times are logged; budgets are measured
// on an idle machine.
func TestTakeOver(t *testing.T) {
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "hung": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			at := address(t, "postgres")
			asked := make(chan time.Time, 1)
			first := sync.OnceFunc(func() { asked <- time.Now() })
			done := func(context.Context, *stage.Input) (stage.Result, error) {
				first()
				return stage.Result{Outcome: stage.Done}, nil
			}
			kind := executiontest.Kind{KindName: "act", List: []stage.Task{{Name: "one", Run: done, Resume: done}, {Name: "two", Run: done, Resume: done}}}
			e, _ := executiontest.Start(t, execution.Config{Store: open(t, at), Kinds: []stage.Kind{kind}})
			dir, sent := t.TempDir(), time.Time{}
			for idle := true; idle; {
				child := executiontest.Spawn(t, executiontest.KillPlan{Address: at, Executions: 5000}, dir)
				defer func() {
					_ = child.Process.Kill()
					_ = child.Wait() // it was killed
				}()
				waitForWork(t, e)
				sent = time.Now()
				if err := child.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				// Between two of its executions there is nothing to take over: another moment, then.
				p, err := e.List(t.Context(), execution.Query{Statuses: []execution.Status{execution.NotStarted, execution.Running}})
				if err != nil {
					t.Fatal(err)
				}
				idle = len(p.Executions) == 0 && len(asked) == 0
			}
			select {
			case when := <-asked:
				t.Logf("%s: its work was asked for after %v", name, when.Sub(sent).Round(time.Millisecond))
			case <-time.After(executiontest.WaitTime):
				t.Fatal("nobody took over")
			}
		})
	}
}

// waitForWork waits until the other process has a few executions under way and
// this one has seen it alive.
func waitForWork(t *testing.T, e *execution.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), executiontest.WaitTime)
	defer cancel()
	for tick := time.NewTicker(300 * time.Millisecond); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			t.Fatal("the other process does no work")
		}
		p, err := e.List(ctx, execution.Query{Statuses: []execution.Status{execution.Succeeded}})
		if err == nil && len(p.Executions) > 10 {
			tick.Stop()
			return
		}
	}
}
