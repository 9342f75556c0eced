package overload

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"showrunner/bench/environment"
)

const (
	flood    = 600 // runs of one application; more than a replica's concurrent calls
	commands = 60  // of those, runs with a process each
	turns    = 5   // runs of another application meanwhile, one after the other
	// fairBudget is how much longer another application's run may take than
	// alone: far less than the flood's own runs, which last holdFor and longer.
	fairBudget = 5 * time.Second
	holdFor    = 20 * time.Second
)

// fair floods the control plane with one application's runs, and measures another
// application's runs among them: first with long calls, which occupy the
// replica's concurrent calls, then with commands, which occupy the machine.
func (b *bench) fair(ctx context.Context) error {
	var calls atomic.Int64
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	slow := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		t := time.NewTimer(holdFor)
		defer t.Stop()
		select {
		case <-t.C:
		case <-r.Context().Done():
		}
	})}
	go slow.Serve(listener) //nolint:errcheck // it is closed
	defer slow.Close()
	held := "{ webhook: { url: 'http://" + listener.Addr().String() + "/' } }"
	if err := b.among(ctx, "calls", flood, held, "{ wait: { for: 1ms } }"); err != nil {
		return err
	}
	fmt.Printf("  %d calls of the flood had arrived\n", calls.Load())
	return b.among(ctx, "commands", commands, "{ run: { commands: ['sleep 20'] } }", "{ run: { commands: ['true'] } }")
}

// among measures one application's runs alone and during the flood of another.
func (b *bench) among(ctx context.Context, name string, flood int, many, one string) error {
	file := func(application, stage string) string {
		return "application: " + application + "\npipelines:\n  p:\n    concurrency: parallel\n    stages:\n      a: " + stage + "\n"
	}
	greedy, modest := "greedy-"+name, "modest-"+name
	for application, stage := range map[string]string{greedy: many, modest: one} {
		if err := b.Apply(ctx, file(application, stage)); err != nil {
			return err
		}
	}
	alone, err := b.timed(ctx, modest)
	if err != nil {
		return err
	}
	ids := make([]string, flood)
	began := time.Now()
	for i := range ids {
		if ids[i], err = b.start(ctx, greedy, "p"); err != nil {
			return err
		}
	}
	started := time.Since(began)
	among, err := b.timed(ctx, modest)
	if err != nil {
		return err
	}
	left := 0
	for _, id := range ids {
		s, err := b.status(ctx, id)
		if err != nil {
			return err
		}
		if s == "NotStarted" || s == "Running" {
			left++
		}
	}
	fmt.Printf("fair, %s: %d runs of one application started in %s; another's run, start to end: alone p50 %s worst %s, among them p50 %s worst %s; %d of the flood had not ended then\n",
		name, flood, started.Round(time.Millisecond), ms(alone[turns/2]), ms(alone[turns-1]), ms(among[turns/2]), ms(among[turns-1]), left)
	b.must(left > 0, "%s: the flood ended too early to show that no other run waits behind it", name)
	b.must(among[turns-1] < alone[turns-1]+fairBudget, "%s: another application's run took %s among the flood", name, ms(among[turns-1]))
	for _, id := range ids {
		if err := environment.Until(ctx, 5*time.Minute, "the flood ends", func() error {
			if s, err := b.status(ctx, id); err != nil || s == "NotStarted" || s == "Running" {
				return fmt.Errorf("%s is %s: %w", id, s, err)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	fmt.Printf("  all of it had ended %s after its first start\n", ms(time.Since(began)))
	return nil
}

func ms(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

// timed are the durations of an application's runs from the request to their end,
// as a client sees them, sorted.
func (b *bench) timed(ctx context.Context, application string) (took []time.Duration, err error) {
	for range turns {
		asked := time.Now()
		id, err := b.start(ctx, application, "p")
		if err != nil {
			return nil, err
		}
		if err := environment.Until(ctx, 2*time.Minute, "another application's run ends", func() error {
			s, err := b.status(ctx, id)
			if s == "Terminal" {
				b.must(false, "%s failed", id)
			} else if err != nil || s != "Succeeded" {
				return fmt.Errorf("it is %s: %w", s, err)
			}
			return nil
		}); err != nil {
			return nil, err
		}
		took = append(took, time.Since(asked))
	}
	slices.Sort(took)
	return took, nil
}
