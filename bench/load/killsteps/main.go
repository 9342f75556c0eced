// Package killsteps shows that a deployment survives the death of the processes
// that carry it out, at any step. For every strategy, at every step of its
// recorded state, the control plane is killed (SIGKILL), and in another
// deployment the process of the region that is at this step.
//
//	make build && cd bench && go run ./load killsteps -showrunner ../bin/showrunner
//
// Steps are read from the execution's state as the API shows it: a first
// deployment by each strategy names them. Each cell of the matrix is one
// deployment of a new version under load. It has to end well or be undone, with
// all of the capacity, no process or folder left, and no failed request that may
// be repeated. "missed" is a step that passed too quickly to be hit in three
// deployments; it is reported, but is not a failure.
package killsteps

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/environment"
)

const cluster = "fleet"

// strategy is one pipeline.
type strategy struct{ name, text string }

func strategies() []strategy {
	return []strategy{
		{"none", "none: {}"},
		{"highlander", "highlander: {}"},
		{"red-black", "red-black: { keep: 1, scaleDown: true, scaleDownDelay: 500ms }"},
		{"rolling", "rolling: { steps: [50, 100], pause: 300ms, keep: 1, scaleDownDelay: 300ms }"},
		{"canary", "canary: { steps: [10, 50], pause: 300ms, keep: 1, scaleDownDelay: 300ms, judge: { maxErrorRate: 0.5 } }"},
		{undone, "canary: { steps: [10, 50], pause: 300ms, keep: 1, scaleDownDelay: 300ms }"},
	}
}

// undone is the row of a version that is never healthy: its steps are the steps
// of undoing.
const undone = "undone"

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("load killsteps", flag.ExitOnError)
	exe := command.ProgramFlag(flags)
	rate := flags.Int("rate", 500, "requests a second that may be repeated")
	only := flags.String("strategies", "", "which, separated by commas; empty for all")
	victims := flags.String("victims", "control,region", "which process is killed")
	_ = flags.Parse(args) // the flag set exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m := &matrix{rate: *rate, victims: strings.Split(*victims, ",")}
	err := m.run(ctx, *exe, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "killsteps:", err)
		os.Exit(2)
	}
	word := "KEPT"
	if m.wrong > 0 {
		word = "NOT KEPT"
	}
	fmt.Printf("%s: %d kills, %d deployments ended well, %d were undone, %d steps missed, %d things wrong; %d of %d repeatable requests failed, %d of %d others\n",
		word, m.kills, m.well, m.undone, m.missed, m.wrong, m.total.Safe.Failed, m.total.Safe.Requests, m.total.Unsafe.Failed, m.total.Unsafe.Requests)
	if m.wrong > 0 {
		os.Exit(1)
	}
}

func (m *matrix) run(ctx context.Context, exe, only string) error {
	dir, err := os.MkdirTemp("", "killsteps-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if m.World, err = environment.Start(ctx, exe, dir); err != nil {
		return err
	}
	err = m.all(ctx, only)
	m.Stop()
	if err != nil {
		return err
	}
	m.check(environment.Until(ctx, 5*time.Second, "everything has ended", func() error {
		if list := m.Processes(); len(list) > 0 {
			return fmt.Errorf("%v", list)
		}
		return nil
	}))
	return nil
}

// all runs every cell of the matrix.
func (m *matrix) all(ctx context.Context, only string) error {
	if err := m.prepare(ctx); err != nil {
		return err
	}
	for _, s := range strategies() {
		if only != "" && !slices.Contains(strings.Split(only, ","), s.name) {
			continue
		}
		dry, err := m.deploy(ctx, s.name, "", "")
		if err != nil {
			return fmt.Errorf("%s, undisturbed: %w", s.name, err)
		}
		fmt.Printf("%s: %d steps, %s undisturbed\n", s.name, len(dry.steps), dry.took.Round(10*time.Millisecond))
		fmt.Printf("  %-34s", "killed at")
		for _, v := range m.victims {
			fmt.Printf(" %-26s", v)
		}
		fmt.Println()
		for _, step := range dry.steps {
			fmt.Printf("  %-34s", step)
			var wrong []string
			for _, victim := range m.victims {
				cell, w, err := m.cell(ctx, s.name, step, victim)
				if err != nil {
					return fmt.Errorf("%s, %s killed at %q: %w", s.name, victim, step, err)
				}
				fmt.Printf(" %-26s", cell)
				wrong = append(wrong, w...)
			}
			fmt.Println()
			for _, w := range wrong {
				m.check(fmt.Errorf("%s", w))
			}
		}
	}
	return nil
}
