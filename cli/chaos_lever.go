package cli

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"showrunner/control"
	"showrunner/problem"
)

// leverInterval is how often the lever is looked at while an experiment runs.
const leverInterval = 500 * time.Millisecond

// underLever answers a context that ends when somebody pulls the lever that stops all
// chaos, and a function that ends the looking. It refuses when the lever is pulled already.
// Without a control plane there is no lever: an experiment may be run without Showrunner.
// Errors: precondition, and those of the API, a refused token among them.
func (a *app) underLever(ctx context.Context) (context.Context, func(), error) {
	c := a.connect()
	stopped := func() error {
		var lever control.ChaosLever
		if err := c.Do(ctx, http.MethodGet, "/chaos", nil, &lever); err != nil {
			return err
		}
		if lever.Stopped {
			return problem.New(problem.Precondition, "chaos", "all chaos is stopped: %s (%s)", clean(lever.Reason), clean(lever.By)).
				WithHelp("once it may go on: showrunner chaos release")
		}
		return nil
	}
	err := stopped()
	switch {
	case problem.CodeOf(err) == problem.Unavailable:
		a.say("no control plane answers at %s: the lever that stops all chaos is not looked at", c.Base())
		return ctx, func() {}, nil
	case err != nil:
		return nil, nil, err
	}
	under, cancel := context.WithCancelCause(ctx)
	var looking sync.WaitGroup
	looking.Go(func() { watchLever(under, stopped, cancel) })
	return under, func() { cancel(nil); looking.Wait() }, nil
}

// watchLever ends the experiment when the lever is pulled. A control plane that does not
// answer for a while is asked again: it restarts.
func watchLever(ctx context.Context, stopped func() error, cancel context.CancelCauseFunc) {
	t := time.NewTicker(leverInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := stopped(); problem.CodeOf(err) == problem.Precondition {
			cancel(errors.New(problem.Text(err)))
			return
		}
	}
}
