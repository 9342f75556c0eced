package cli

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/chaos/experiment"
	"showrunner/chaos/toolkit"
	"showrunner/control"
	"showrunner/problem"
	"showrunner/telemetry/promapi"
)

func newChaosExperimentCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "experiment", Short: "Run, list and stop experiments: our own, and Chaos Toolkit's",
		Long: `An experiment states what holds (the steady state), does something to the system (the
method), and looks again.

An own experiment is YAML, and is carried out by the control plane: faults with a
duration, kills, waits, HTTP requests, traffic between regions.

  experiment: checkout-survives-a-slow-catalog
  application: storefront               # whose freezes and budget hold
  steadyState:                          # holds before and after, or the run deviated
    - { name: page, http: { url: "http://127.0.0.1:8080/", header: { Host: storefront.localhost }, within: 1s } }
    - { name: errors, promql: 'sum(rate(showrunner_requests_total{code="5xx"}[1m]))', below: 1, whenNoData: ignore }
  stopConditions:                       # any of them ends the method at once
    - { alarm: checkout-errors }
    - { promql: 'showrunner_instances', below: 2 }
  method:                               # one after the other, each waits for the one before
    - name: slow
      fault: { kind: latency, region: us-west-2, cluster: catalog, latency: 300ms, for: 2m }
    - parallel:                         # at once; the next action waits for all of them
        - kill: { region: us-west-2, count: 2 }
        - wait: 10s
    - name: early
      after: [slow]                     # waits for these alone; [] for none
      fault: { kind: zone-outage, region: eu-west-1, zone: eu-west-1a, for: 1m }
    - check: { http: { url: "http://127.0.0.1:8080/healthz" } }
    - traffic: { eu-west-1: 0 }         # weights at the edge
  rollbacks:                            # run in any case, once the method has begun
    - traffic: { eu-west-1: null }

Faults are undone by themselves when the run ends, however it ends: also when its control
plane is killed, by the next one, which also carries the rollbacks out. The journal of
each run is kept: list and show print it. plan says what a run would do now.

A file of Chaos Toolkit, JSON or YAML, runs as it is, in this process. Rollbacks always
run, unless the file's runtime.rollbacks or --rollback-strategy says otherwise. A run whose
process was killed left its journal behind: "chaos experiment rollback JOURNAL" undoes it.

What cannot be run is said with its line before anything begins.`,
		Example: `  showrunner chaos experiment validate experiment.yaml
  showrunner chaos experiment run experiment.yaml
  showrunner chaos experiment list
  showrunner chaos experiment run toolkit.json --var url=http://127.0.0.1:8080/ --hypothesis-strategy continuously --fail-fast
  showrunner chaos experiment rollback journal.json`,
	}
	cmd.AddCommand(newExperimentValidate(a), newExperimentPlan(a), newExperimentRun(a), newExperimentRecord(a), newExperimentList(a), newExperimentShow(a), newExperimentStop(a), newExperimentRollback(a))
	return cmd
}

func newExperimentValidate(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE", Aliases: []string{"check"}, Short: "Say whether an experiment can be run here, and what is missing", Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readFile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if experiment.Is(text) {
				e, err := control.ParseExperiment(text, promapi.CheckQuery)
				if err != nil {
					return err
				}
				return a.print(map[string]any{"experiment": e.Name, "actions": len(e.Actions)}, func() []string { return []string{e.Name} }, func(w io.Writer) {
					fmt.Fprintf(w, "%s: can be run (actions: %d, stop conditions: %d, rollbacks: %d)\n", args[0], len(e.Actions), len(e.StopConditions), len(e.Rollbacks))
				})
			}
			e, err := toolkit.Parse(cmd.Context(), text, toolkit.Options{})
			if err != nil {
				return err
			}
			return a.print(map[string]any{"title": e.Title, "notes": e.Notes}, func() []string { return []string{e.Title} }, func(w io.Writer) {
				for _, n := range e.Notes {
					fmt.Fprintln(w, "note:", n)
				}
				fmt.Fprintf(w, "%s: can be run (activities: %d, rollbacks: %d)\n", args[0], len(e.Method), len(e.Rollbacks))
			})
		},
	}
}

type experimentFlags struct {
	journal, hypothesis, rollbacks string
	variables                      []string
	frequency                      time.Duration
	failFast, detach               bool
}

func newExperimentRun(a *app) *cobra.Command {
	var f experimentFlags
	cmd := &cobra.Command{
		Use: "run FILE", Short: "Run an experiment and write its journal", Args: exactArgs("FILE"),
		Long: `Run carries an experiment out. The exit code is 0 when the steady state held, 1 when it
deviated, was stopped or failed, and 130 when it was interrupted.

An own experiment is carried out by the control plane (--data, --server). Ctrl-C stops it
there; with --detach this command does not wait. The flags of hypotheses, rollbacks and
values are Chaos Toolkit's.

A file of Chaos Toolkit is carried out in this process, and its journal written in Chaos
Toolkit's form. Programs run in the current folder.

Where a control plane answers (--data, --server), its lever holds: "showrunner chaos stop"
refuses an experiment that would begin, and interrupts one that runs, whose rollbacks then
run. The journal is kept there too, beside those of own experiments: list, show and stop
work for both, and the page of chaos has it.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readFile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if experiment.Is(text) {
				return a.runExperiment(cmd, text, f)
			}
			if f.detach {
				return usage("--detach: an experiment of Chaos Toolkit runs in this process")
			}
			e, err := toolkit.Parse(cmd.Context(), text, toolkit.Options{})
			if err != nil {
				return err
			}
			o, err := f.options(a)
			if err != nil {
				return err
			}
			ctx, done, err := a.underLever(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			if ctx != cmd.Context() { // a control plane answers
				var report *journalReport
				var end func()
				ctx, report, end = a.reportJournal(ctx)
				defer end()
				o.Record = func(j *toolkit.Journal) error { return cmp.Or(writeJournal(f.journal, j), report.record(j)) }
				a.say("run %s; showrunner chaos experiment stop %s ends it", report.id, report.id)
			}
			j, err := e.Run(ctx, o)
			if err != nil {
				return err
			}
			return a.experimentEnded(j, f.journal)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.journal, "journal-path", "journal.json", "where the journal is written")
	flags.StringArrayVar(&f.variables, "var", nil, "a value of the configuration, NAME=VALUE; may be repeated")
	flags.StringVar(&f.hypothesis, "hypothesis-strategy", "", "when the steady state is looked at: "+joined(toolkit.Strategies)+" (default: the file's, then default)")
	flags.StringVar(&f.rollbacks, "rollback-strategy", "", "when rollbacks run: "+joined(toolkit.RollbackStrategies)+" (default: the file's, then always)")
	flags.DurationVar(&f.frequency, "hypothesis-frequency", 0, "between two looks during the method (default: the file's, then 1s)")
	flags.BoolVar(&f.detach, "detach", false, "do not wait for the end of an own experiment")
	flags.BoolVar(&f.failFast, "fail-fast", false, "end the method when the steady state is not met during it")
	return cmd
}

func joined[T ~string](list []T) string {
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = string(list[i])
	}
	return strings.Join(texts, ", ")
}

// options checks the flags.
func (f experimentFlags) options(a *app) (toolkit.Options, error) {
	o := toolkit.Options{Hypothesis: toolkit.StrategyOf(f.hypothesis), Rollbacks: toolkit.RollbackStrategy(f.rollbacks), Frequency: f.frequency,
		FailFast: f.failFast, Version: Version(), Overrides: map[string]string{}}
	if err := oneOf("--hypothesis-strategy", o.Hypothesis, toolkit.Strategies); err != nil {
		return o, err
	}
	if err := oneOf("--rollback-strategy", o.Rollbacks, toolkit.RollbackStrategies); err != nil {
		return o, err
	}
	for _, v := range f.variables {
		name, value, ok := strings.Cut(v, "=")
		if !ok || name == "" {
			return o, usage("--var %s is not NAME=VALUE", v)
		}
		o.Overrides[name] = value
	}
	o.Say = a.say
	o.Record = func(j *toolkit.Journal) error { return writeJournal(f.journal, j) }
	return o, nil
}

func oneOf[T ~string](flag string, given T, list []T) error {
	if given == "" {
		return nil
	}
	for _, v := range list {
		if v == given {
			return nil
		}
	}
	return usage("%s: there is no %s", flag, given).WithHelp("one of %s", joined(list))
}

// writeJournal replaces the journal in one step: who reads it after a crash finds one
// that is whole.
func writeJournal(path string, j *toolkit.Journal) error {
	text, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return problem.Wrap(err, problem.Internal, "chaos", "the journal cannot be written")
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err == nil {
		if _, err = f.Write(append(text, '\n')); err == nil {
			err = f.Sync()
		}
		if closed := f.Close(); err == nil {
			err = closed
		}
		if err == nil {
			err = os.Rename(f.Name(), path)
		}
		if err != nil {
			os.Remove(f.Name())
		}
	}
	if err != nil {
		return problem.Wrap(err, problem.Invalid, "chaos", "the journal %s cannot be written", path).WithHelp("choose another place with --journal-path")
	}
	return nil
}

func (a *app) experimentEnded(j *toolkit.Journal, path string) error {
	err := a.print(j, func() []string { return []string{string(j.Status)} }, func(w io.Writer) {
		for _, n := range j.Notes {
			fmt.Fprintln(w, "note:", n)
		}
		verdict := "the steady state held"
		switch {
		case j.Deviated:
			verdict = "the steady state deviated: a weakness may have been found"
		case j.Status != toolkit.Completed || j.States.Before == nil && j.States.After == nil && len(j.States.During) == 0:
			verdict = "nothing is known of the steady state"
		}
		fmt.Fprintf(w, "%s: %s (%s)\n", j.Status, verdict, path)
	})
	switch {
	case err != nil:
		return err
	case j.Status == toolkit.Interrupted:
		return exitError{exitInterrupted}
	case j.Status != toolkit.Completed || j.Deviated:
		return exitError{exitFailed}
	}
	return nil
}

func newExperimentRollback(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rollback JOURNAL", Short: "Run the rollbacks of an experiment whose process died", Args: exactArgs("JOURNAL"),
		Long: `Rollback reads the journal of a run that was killed, runs the rollbacks of its experiment
in the current folder, and ends the journal. It refuses a journal whose run has ended.
The exit code is 0 when every rollback succeeded.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			j, err := a.readJournal(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			document, err := json.Marshal(j.Experiment)
			if err != nil {
				return problem.Wrap(err, problem.Invalid, "chaos", "%s holds no experiment", args[0])
			}
			e, err := toolkit.Parse(cmd.Context(), document, toolkit.Options{})
			if err != nil {
				return err
			}
			o, err := experimentFlags{journal: args[0]}.options(a)
			if err != nil {
				return err
			}
			ended, err := e.Rollback(cmd.Context(), &j, o)
			if err != nil {
				return err
			}
			if err := a.experimentEnded(ended, args[0]); !errors.Is(err, exitError{exitInterrupted}) {
				return err
			}
			if !ended.Undone() {
				return exitError{exitFailed}
			}
			return nil // what was interrupted is undone
		},
	}
}
