package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/chaos/experiment"
	"showrunner/control"
	"showrunner/internal/pause"
	"showrunner/problem"
	"showrunner/telemetry/promapi"
)

// toolkitFlags are those of run that an own experiment has no use for.
var toolkitFlags = []string{"var", "hypothesis-strategy", "rollback-strategy", "hypothesis-frequency", "fail-fast", "journal-path"}

// runExperiment has the control plane carry an experiment out, and waits for its end.
func (a *app) runExperiment(cmd *cobra.Command, text []byte, f experimentFlags) error {
	for _, name := range toolkitFlags {
		if cmd.Flags().Changed(name) {
			return usage("--%s: it is for experiments of Chaos Toolkit", name).WithHelp("write it into the file; chaos experiment --help describes the file")
		}
	}
	if _, err := control.ParseExperiment(text, promapi.CheckQuery); err != nil {
		return err
	}
	var run experiment.Run
	if err := a.connect().Do(cmd.Context(), http.MethodPost, "/chaos/experiments", api.ExperimentRequest{Source: string(text)}, &run, client.IdempotencyKey(rand.Text())); err != nil {
		return err
	}
	a.say("run %s; showrunner chaos experiment stop %s ends it", clean(run.ID), clean(run.ID))
	if f.detach {
		return a.printRun(run)
	}
	run, err := a.followRun(cmd.Context(), run)
	if err != nil {
		return err
	}
	if err := a.printRun(run); err != nil {
		return err
	}
	switch {
	case cmd.Context().Err() != nil || run.Status == experiment.Interrupted:
		return exitError{exitInterrupted}
	case run.Status != experiment.Completed || run.Deviated:
		return exitError{exitFailed}
	}
	return nil
}

// followRun tells of a run's actions until it has ended. The end of ctx stops the run, and
// its undoing is waited for.
func (a *app) followRun(ctx context.Context, run experiment.Run) (experiment.Run, error) {
	told := map[string]experiment.State{}
	held, asked := context.WithoutCancel(ctx), false
	var unreachable time.Time
	for {
		if ctx.Err() != nil && !asked {
			asked = true
			a.say("stopping the run; what it did is undone")
			if err := a.connect().Do(held, http.MethodPost, "/chaos/experiments/"+seg(run.ID)+"/stop", nil, &run); err != nil {
				return run, err
			}
		}
		var now experiment.Run
		err := a.connect().Do(held, http.MethodGet, "/chaos/experiments/"+seg(run.ID), nil, &now)
		switch {
		case err == nil:
			run, unreachable = now, time.Time{}
		case problem.CodeOf(err) != problem.Unavailable || asked:
			return run, err
		case unreachable.IsZero():
			unreachable = time.Now() // control restarts, and undoes the run then
		case time.Since(unreachable) > time.Minute:
			return run, err
		}
		for _, act := range run.Actions {
			if act.State != told[act.Name] && act.State != experiment.Waiting {
				told[act.Name] = act.State
				a.say("%s %s: %s %s", act.Kind, clean(act.Name), act.State, clean(act.What))
			}
		}
		if run.Status != experiment.Running {
			return run, nil
		}
		if err := pause.For(ctx, 300*time.Millisecond); err != nil && asked {
			_ = pause.For(held, 300*time.Millisecond) // it never ends early
		}
	}
}

func (a *app) printRun(run experiment.Run) error {
	return a.print(run, func() []string { return []string{run.ID} }, func(w io.Writer) { runTable(w, run) })
}

func runTable(w io.Writer, run experiment.Run) {
	row(w, "ACTION", "KIND", "STATE", "BEGAN", "TOOK", "WHAT")
	for _, list := range [][]experiment.ActionRun{run.Actions, run.Rollbacks} {
		for _, act := range list {
			began, took := "", ""
			if !act.Began.IsZero() {
				began = stamp(act.Began)
			}
			if !act.Ended.IsZero() {
				took = act.Ended.Sub(act.Began).Round(10 * time.Millisecond).String()
			}
			row(w, act.Name, act.Kind, act.State, began, took, act.What)
		}
	}
	for _, looks := range []struct {
		when string
		list []experiment.Look
	}{{"before", run.Before}, {"after", run.After}} {
		for _, l := range looks.list {
			verdict := "holds"
			if l.Wrong != "" {
				verdict = l.Wrong
			}
			row(w, l.Condition, "steady state", looks.when, stamp(l.At), "", verdict)
		}
	}
	row(w, run.ID, run.Name, verdictOf(run), stamp(run.Began), "", run.Reason)
}

// verdictOf is how a run stands, in a word or two.
func verdictOf(run experiment.Run) string {
	if run.Deviated {
		return string(run.Status) + ", deviated"
	}
	return string(run.Status)
}

func newExperimentList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Runs of own experiments, the newest first", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []experiment.Run
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos/experiments", nil, &list); err != nil {
				return err
			}
			return a.print(list, func() (ids []string) {
				for _, r := range list {
					ids = append(ids, r.ID)
				}
				return ids
			}, func(w io.Writer) {
				row(w, "RUN", "EXPERIMENT", "STATUS", "BEGAN", "BY", "REASON")
				for _, r := range list {
					row(w, r.ID, r.Name, verdictOf(r), stamp(r.Began), r.By, r.Reason)
				}
			})
		},
	}
}

func newExperimentShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show RUN", Short: "The journal of one run", Args: exactArgs("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var run experiment.Run
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos/experiments/"+seg(args[0]), nil, &run); err != nil {
				return err
			}
			return a.printRun(run)
		},
	}
}

func newExperimentStop(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "stop RUN", Short: "End a run; what it did is undone, and its rollbacks run", Args: exactArgs("RUN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var run experiment.Run
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/chaos/experiments/"+seg(args[0])+"/stop", nil, &run); err != nil {
				return err
			}
			run, err := a.followRun(cmd.Context(), run)
			if err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			return a.printRun(run)
		},
	}
}
