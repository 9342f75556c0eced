// Package storm shows which failures users notice: the built program as
// `showrunner up` runs it, a service in three regions, an open loop of requests
// through the edge, and kills of instances, a zone and a region.
//
//	make build && cd bench && go run ./load storm -showrunner ../bin/showrunner
//
// The promise is: no request that may be repeated fails. Others, which are made
// at a tenth of the rate, are counted separately: a request that was in flight at
// a killed instance cannot be repeated without its sender.
package storm

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/environment"
	"showrunner/pipeline"
)

// settings are the command line's options.
type settings struct {
	rate, instances      int
	length               time.Duration
	kills, hangs         int
	seed                 uint64
	phases               []string
	surgeBase, surgePeak int
}

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("load storm", flag.ExitOnError)
	var s settings
	exe := command.ProgramFlag(flags)
	phases := flags.String("phases", "quiet,kills,hangs,zone,region,surge", "what happens, in this order")
	flags.IntVar(&s.rate, "rate", 500, "requests a second that may be repeated")
	flags.DurationVar(&s.length, "for", time.Minute, "the least that each phase takes")
	flags.IntVar(&s.instances, "instances", 4, "in each of the three regions")
	flags.IntVar(&s.kills, "kills", 50, "instances killed (SIGKILL), at random times of the phase")
	flags.IntVar(&s.hangs, "hangs", 10, "instances stopped (SIGSTOP), at random times of the phase")
	flags.IntVar(&s.surgeBase, "surge-base", 60, "requests a second before and after the surge, which is ten times as high")
	flags.Uint64Var(&s.seed, "seed", 0, "seed for the targets and times of kills; 0 draws one")
	asJSON := flags.Bool("json", false, "print the rows as JSON")
	_ = flags.Parse(args) // the flag set exits on an error
	s.surgePeak, s.phases = 10*s.surgeBase, strings.Split(*phases, ",")
	if s.seed == 0 {
		s.seed = rand.Uint64()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	rows, err := run(ctx, *exe, s)
	if *asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(rows)
	}
	noticed := slices.ContainsFunc(rows, func(r row) bool { return r.Safe.Failed > 0 })
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "storm:", err)
		os.Exit(2)
	case noticed:
		os.Exit(1)
	}
}

// row is the result of one phase.
type row struct {
	Phase string `json:"phase"`
	What  string `json:"what"`
	environment.Load
}

func run(ctx context.Context, exe string, s settings) (rows []row, err error) {
	dir, err := os.MkdirTemp("", "storm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	base, err := environment.Start(ctx, exe, dir)
	if err != nil {
		return nil, err
	}
	defer base.Stop()
	w := fleet{base}
	capacity := pipeline.Capacity{Min: s.instances, Desired: s.instances, Max: 2 * s.instances}
	if err := w.deploy(ctx, capacity, nil); err != nil {
		return nil, err
	}
	fmt.Printf("seed %d: %d requests a second for at least %s a phase, %d instances in each of %d regions\n", s.seed, s.rate, s.length, s.instances, len(environment.Regions()))
	fmt.Printf("%-8s %s  %s\n", "phase", environment.LoadHead(), "what happened")
	for n, name := range s.phases {
		phase := phases[name]
		if phase == nil {
			return rows, fmt.Errorf("there is no phase %q", name)
		}
		rng := rand.New(rand.NewPCG(s.seed, uint64(n)))
		r, err := phase(ctx, w, s, rng)
		r.Phase = name
		rows = append(rows, r)
		r.print()
		if err != nil {
			return rows, fmt.Errorf("%s: %w", name, err)
		}
	}
	return rows, nil
}

func (r row) print() {
	fmt.Printf("%-8s %s  %s\n", r.Phase, r.Row(), r.What)
	for _, f := range r.Safe.Failures {
		fmt.Println("  FAILED:", f)
	}
}
