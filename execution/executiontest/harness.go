package executiontest

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/stage"
)

// Kind is a stage kind made of tasks.
type Kind struct {
	KindName    string
	KindVersion int
	List        []stage.Task
}

// Name implements stage.Kind.
func (k Kind) Name() string { return k.KindName }

// Version implements stage.Kind.
func (k Kind) Version() int { return max(k.KindVersion, 1) }

// Tasks implements stage.Kind.
func (k Kind) Tasks() []stage.Task { return k.List }

// Raw is a configuration that is what the file says.
type Raw json.RawMessage

// Kind implements pipeline.Config.
func (Raw) Kind() string { return "raw" }

// Plain is a Resolver without an expression language: conditions are "true",
// "false", or "succeeded NAME" and "failed NAME"; "error" does not evaluate.
type Plain struct{}

// Parameters implements execution.Resolver.
func (Plain) Parameters(_ *pipeline.Pipeline, given map[string]string) (map[string]string, error) {
	return given, nil
}

// When implements execution.Resolver.
func (Plain) When(s *pipeline.Stage, sc execution.Scope) (bool, error) {
	word, name, _ := strings.Cut(s.When, " ")
	st, ok := sc.Stage(name)
	switch word {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "succeeded":
		return ok && st.Status == execution.Succeeded, nil
	case "failed":
		return ok && st.Status == execution.FailedContinue, nil
	}
	return false, errors.New("it does not evaluate")
}

// Config implements execution.Resolver.
func (Plain) Config(s *pipeline.Stage, _ execution.Scope) (pipeline.Config, error) {
	return Raw(s.With), nil
}

// Start runs an engine until the test ends, or until stop is called.
func Start(t testing.TB, cfg execution.Config) (e *execution.Engine, stop func()) {
	t.Helper()
	if cfg.Resolver == nil {
		cfg.Resolver = Plain{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e, err := execution.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	select {
	case <-e.Ready():
	case err := <-done:
		cancel()
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the engine stopped with: %v", err)
		}
	}
	t.Cleanup(stop)
	return e, stop
}

// WaitTime bounds every wait of a test.
const WaitTime = 20 * time.Second

// Until follows an execution's events and returns the first picture of it that
// satisfies ok.
func Until(t testing.TB, e *execution.Engine, id string, ok func(execution.Execution) bool) execution.Execution {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), WaitTime)
	defer cancel()
	var last execution.Execution
	for {
		x, err := e.Get(ctx, id)
		if err == nil {
			if last = x; ok(x) {
				return x
			}
		}
		timer := time.NewTimer(2 * time.Millisecond) // what is waited for happens in the engine, outside the test's sight
		select {
		case <-timer.C:
		case <-ctx.Done():
			text, _ := json.MarshalIndent(last, "", "  ")
			t.Fatalf("execution %s did not come to what was waited for; it is\n%s", id, text)
		}
	}
}

// End waits until an execution is complete.
func End(t testing.TB, e *execution.Engine, id string) execution.Execution {
	t.Helper()
	return Until(t, e, id, func(x execution.Execution) bool { return x.Status.Complete() })
}
