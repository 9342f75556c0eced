// Package deployments shows whether users notice deployments: the built program
// as `showrunner up` runs it, a service in three regions, an open loop of
// requests through the edge, and one new version after the other, each a commit
// that is fetched and rolled out by the pipeline.
//
//	make build && cd bench && go run ./load deployments -showrunner ../bin/showrunner
//
// The promise is: no request that may be repeated fails. Others, which are made
// at a tenth of the rate, are counted separately. After each deployment every
// region has to serve only the new version, and to keep exactly the old groups
// that the strategy keeps; in the end no process is left.
package deployments

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/environment"
)

// settings are the command line's options.
type settings struct {
	rate, instances, count int
	length                 time.Duration
	phases                 []string
}

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("load deployments", flag.ExitOnError)
	var s settings
	exe := command.ProgramFlag(flags)
	phases := flags.String("phases", "quiet,red-black,rolling,canary", "what happens, in this order: quiet, highlander, red-black, rolling, canary")
	flags.IntVar(&s.rate, "rate", 500, "requests a second that may be repeated")
	flags.DurationVar(&s.length, "for", time.Minute, "the least that each phase takes")
	flags.IntVar(&s.instances, "instances", 3, "in each of the three regions")
	flags.IntVar(&s.count, "n", 20, "deployments in each phase")
	asJSON := flags.Bool("json", false, "print the rows as JSON")
	_ = flags.Parse(args) // the flag set exits on an error
	s.phases = strings.Split(*phases, ",")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rows, err := run(ctx, *exe, s)
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(rows)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "deployments:", err)
		os.Exit(2)
	}
	if !verdict(rows) {
		os.Exit(1)
	}
}

// row is the result of one phase.
type row struct {
	Phase       string          `json:"phase"`
	Deployments int             `json:"deployments"`
	Took        []time.Duration `json:"took,omitempty"` // each, in order
	Wrong       []string        `json:"wrong,omitempty"`
	environment.Load
}

func run(ctx context.Context, exe string, s settings) (rows []row, err error) {
	dir, err := os.MkdirTemp("", "deployments-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	w, err := environment.Start(ctx, exe, dir)
	if err != nil {
		return nil, err
	}
	stopped := false
	defer func() {
		if !stopped {
			w.Stop()
		}
	}()
	r, err := newReleases(ctx, w, s)
	if err != nil {
		return nil, err
	}
	if _, wrong, err := r.release(ctx, "highlander"); err != nil || len(wrong) > 0 {
		return nil, fmt.Errorf("the first version: %w %v", err, wrong)
	}
	fmt.Printf("%d requests a second for at least %s a phase, %d deployments each into %d regions with %d instances\n", s.rate, s.length, s.count, len(environment.Regions()), s.instances)
	fmt.Printf("%-10s %s  %s\n", "phase", environment.LoadHead(), "what happened")
	for _, name := range s.phases {
		phase, err := r.phase(ctx, name)
		rows = append(rows, phase)
		phase.print()
		if err != nil {
			return rows, fmt.Errorf("%s: %w", name, err)
		}
	}
	w.Stop()
	stopped = true
	left := row{Phase: "the end"}
	if err := environment.Until(ctx, 5*time.Second, "everything has ended", func() error {
		if list := w.Processes(); len(list) > 0 {
			return fmt.Errorf("%d processes run: %v", len(list), list)
		}
		return nil
	}); err != nil {
		left.Wrong = append(left.Wrong, err.Error())
	}
	return append(rows, left), nil
}

func (r row) print() {
	what := "nothing"
	if r.Deployments > 0 {
		sorted := slices.Sorted(slices.Values(r.Took))
		what = fmt.Sprintf("%d deployments, median %s, longest %s", r.Deployments, sorted[len(sorted)/2].Round(time.Millisecond), sorted[len(sorted)-1].Round(time.Millisecond))
	}
	fmt.Printf("%-10s %s  %s\n", r.Phase, r.Row(), what)
	for _, f := range r.Safe.Failures {
		fmt.Println("  FAILED:", f)
	}
	for _, f := range r.Unsafe.Failures {
		fmt.Println("  failed, not repeatable:", f)
	}
	for _, x := range r.Wrong {
		fmt.Println("  WRONG:", x)
	}
}

// verdict describes the result in a line; false means that a promise was not
// kept.
func verdict(rows []row) bool {
	var deployments, requests, failed, others, othersFailed, wrong int
	var quiet, worst time.Duration
	for _, r := range rows {
		deployments, requests, failed, wrong = deployments+r.Deployments, requests+r.Safe.Requests, failed+r.Safe.Failed, wrong+len(r.Wrong)
		others, othersFailed = others+r.Unsafe.Requests, othersFailed+r.Unsafe.Failed
		if r.Phase == "quiet" {
			quiet = r.Safe.P99
		} else {
			worst = max(worst, r.Safe.P99)
		}
		if r.Phase == "the end" {
			for _, x := range r.Wrong {
				fmt.Println("  WRONG:", x)
			}
		}
	}
	ok := failed == 0 && wrong == 0
	word := "KEPT"
	if !ok {
		word = "NOT KEPT"
	}
	ratio := ""
	if quiet > 0 {
		ratio = fmt.Sprintf("; p99 at most %.1f times that of the quiet phase", worst.Seconds()/quiet.Seconds())
	}
	fmt.Printf("%s: %d deployments, %d of %d repeatable requests failed, %d of %d others, %d things wrong%s\n", word, deployments, failed, requests, othersFailed, others, wrong, ratio)
	return ok
}

// newReleases makes the repository and applies the pipelines.
func newReleases(ctx context.Context, w *environment.World, s settings) (*releases, error) {
	r := &releases{World: w, settings: s}
	var err error
	if r.repository, err = environment.NewRepository(ctx, filepath.Join(w.Dir, "repository")); err != nil {
		return nil, err
	}
	if err := environment.Service(ctx, r.repository.Dir); err != nil {
		return nil, err
	}
	return r, w.Apply(ctx, pipelines(r.repository.Dir, s.instances))
}
