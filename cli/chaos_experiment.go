package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/chaos/toolkit"
	"showrunner/problem"
)

func newChaosExperimentCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "experiment", Short: "Run experiments written for Chaos Toolkit",
		Long: `Experiment runs a file of Chaos Toolkit, JSON or YAML, as it is: the steady-state
hypothesis, the method, the hypothesis again, and the rollbacks. Activities are HTTP
requests, programs, and functions of Python modules that are installed here.

Rollbacks always run, unless the file's runtime.rollbacks or --rollback-strategy says
otherwise: also when a probe cannot be made, and on Ctrl-C. A run whose process was
killed left its journal behind: "chaos experiment rollback JOURNAL" undoes it.

What cannot be run is said with its line before anything begins.`,
		Example: `  showrunner chaos experiment check experiment.json
  showrunner chaos experiment run experiment.yaml
  showrunner chaos experiment run experiment.json --var url=http://127.0.0.1:8080/ --hypothesis-strategy continuously --fail-fast
  showrunner chaos experiment rollback journal.json`,
	}
	cmd.AddCommand(newExperimentCheck(a), newExperimentRun(a), newExperimentRollback(a))
	return cmd
}

func newExperimentCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "check FILE", Short: "Say whether an experiment can be run here, and what is missing", Args: exactArgs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.experiment(cmd.Context(), args[0])
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

// experiment reads and checks a file.
func (a *app) experiment(ctx context.Context, file string) (*toolkit.Experiment, error) {
	text, err := a.readFile(ctx, file)
	if err != nil {
		return nil, err
	}
	return toolkit.Parse(ctx, text, toolkit.Options{})
}

type experimentFlags struct {
	journal, hypothesis, rollbacks string
	variables                      []string
	frequency                      time.Duration
	failFast                       bool
}

func newExperimentRun(a *app) *cobra.Command {
	var f experimentFlags
	cmd := &cobra.Command{
		Use: "run FILE", Short: "Run an experiment and write its journal", Args: exactArgs("FILE"),
		Long: `Run carries an experiment out and writes its journal, in Chaos Toolkit's form. Programs
run in the current folder. The exit code is 0 when the steady state held, 1 when it
deviated or the experiment failed, and 130 when it was interrupted.

Where a control plane answers (--data, --server), its lever holds: "showrunner chaos stop"
refuses an experiment that would begin, and interrupts one that runs, whose rollbacks then
run.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := a.experiment(cmd.Context(), args[0])
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
			text, err := a.readFile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var j toolkit.Journal
			if err := json.Unmarshal(text, &j); err != nil {
				return problem.Wrap(err, problem.Invalid, "chaos", "%s is no journal", args[0])
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
