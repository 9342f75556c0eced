package cli

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"showrunner/chaos/experiment"
	"showrunner/chaos/toolkit"
	"showrunner/problem"
)

// How often the control plane is asked whether the end of a run was asked for, and how
// often its journal is sent although it is the same: the control plane takes a command
// that reports nothing for two minutes to be gone.
const (
	reportLook  = 2 * time.Second
	reportAgain = 20 * time.Second
	reportLimit = 10 * time.Second // of the last report
)

// journalReport sends the journal of a run of Chaos Toolkit to the control plane as the
// run goes on, so that it is on the page of chaos, and can be stopped there.
type journalReport struct {
	app  *app
	id   string
	stop context.CancelCauseFunc

	mu     sync.Mutex
	latest []byte // not sent yet; nil: nothing new
	last   []byte
	wake   chan struct{}
}

// reportJournal begins to report under a name of its own. The answer's context ends when
// somebody asks for the end of the run; the function sends the last report.
func (a *app) reportJournal(ctx context.Context) (context.Context, *journalReport, func()) {
	ctx, stop := context.WithCancelCause(ctx)
	r := &journalReport{app: a, id: strings.ToLower(rand.Text()), stop: stop, wake: make(chan struct{}, 1)}
	var sending sync.WaitGroup
	until, end := context.WithCancel(context.WithoutCancel(ctx))
	sending.Go(func() { r.run(until) })
	return ctx, r, func() {
		end()
		sending.Wait()
		stop(nil)
	}
}

// record takes a journal in; it is sent soon.
func (r *journalReport) record(j *toolkit.Journal) error {
	text, err := json.Marshal(j.Public())
	if err != nil {
		return problem.Wrap(err, problem.Internal, "chaos", "the journal cannot be encoded")
	}
	r.mu.Lock()
	r.latest, r.last = text, text
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return nil
}

func (r *journalReport) run(ctx context.Context) {
	t := time.NewTicker(reportLook)
	defer t.Stop()
	sent, told := time.Now(), false
	for {
		var err error
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), reportLimit)
			defer cancel()
			if err := r.send(last, false); err != nil {
				r.app.say("the end of the run is not recorded in the control plane: %s; showrunner chaos experiment record JOURNAL --as %s records it", problem.Text(err), r.id)
			}
			return
		case <-r.wake:
			if err = r.send(ctx, false); err == nil {
				sent = time.Now()
			}
		case <-t.C:
			if again := time.Since(sent) > reportAgain; again {
				if err = r.send(ctx, true); err == nil {
					sent = time.Now()
				}
			} else {
				err = r.look(ctx)
			}
		}
		if err != nil && ctx.Err() == nil && !told {
			told = true
			r.app.say("the run is not recorded in the control plane now: %s", problem.Text(err))
		}
	}
}

// send sends what is new, or again what was sent.
func (r *journalReport) send(ctx context.Context, again bool) error {
	r.mu.Lock()
	text := r.latest
	if text == nil && again {
		text = r.last
	}
	r.latest = nil
	r.mu.Unlock()
	if text == nil {
		return nil
	}
	var run experiment.Run
	err := r.app.connect().Do(ctx, http.MethodPut, r.path()+"/journal", json.RawMessage(text), &run)
	if err != nil {
		r.mu.Lock()
		if r.latest == nil {
			r.latest = text // it is sent with the next report
		}
		r.mu.Unlock()
		return err
	}
	r.asked(run)
	return nil
}

func (r *journalReport) path() string { return "/chaos/experiments/" + seg(r.id) }

// look asks whether the end of the run was asked for.
func (r *journalReport) look(ctx context.Context) error {
	r.mu.Lock()
	begun := r.last != nil
	r.mu.Unlock()
	if !begun {
		return nil
	}
	var run experiment.Run
	if err := r.app.connect().Do(ctx, http.MethodGet, r.path(), nil, &run); err != nil {
		return err
	}
	r.asked(run)
	return nil
}

func (r *journalReport) asked(run experiment.Run) {
	if run.StopAsked != "" {
		r.stop(errors.New("stopped by " + run.StopAsked))
	}
}

func newExperimentRecord(a *app) *cobra.Command {
	var as string
	cmd := &cobra.Command{
		Use: "record JOURNAL", Short: "Keep the journal of a run of Chaos Toolkit in the control plane", Args: exactArgs("JOURNAL"),
		Long: `Record sends a journal to the control plane, beside those of own experiments: list, show
and the page of chaos have it then. It may be one of "chaos experiment run" or of Chaos
Toolkit's own "chaos run". Values of secrets are left out. The same journal again is the same
record.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := a.readJournal(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if as == "" {
				as = fmt.Sprintf("journal-%d", j.Start.UnixMicro())
			}
			var run experiment.Run
			if err := a.connect().Do(cmd.Context(), http.MethodPut, "/chaos/experiments/"+seg(as)+"/journal", j.Public(), &run); err != nil {
				return err
			}
			return a.printRun(run)
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "name of the record (default: by the time of the run)")
	return cmd
}

func newExperimentPlan(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "plan FILE", Short: "Say what a run of an own experiment would do, and how its steady state is now", Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.planExperiment(cmd.Context(), args[0]) },
	}
}

// readJournal reads the journal of a run of Chaos Toolkit. Errors: invalid.
func (a *app) readJournal(ctx context.Context, file string) (j toolkit.Journal, err error) {
	text, err := a.readFile(ctx, file)
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(text, &j); err != nil {
		return j, problem.Wrap(err, problem.Invalid, "chaos", "%s is no journal", file)
	}
	return j, nil
}
