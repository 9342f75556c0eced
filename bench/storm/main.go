// Command storm shows from outside what users notice of failures: the built
// program as `showrunner up` runs it, a service in three regions, an open loop of
// requests through the edge, and blows to instances, a zone and a region.
//
//	go build -o bin/showrunner ./cmd/showrunner && go run ./bench/storm -showrunner bin/showrunner
//
// The promise is: no request that may be repeated fails. Others, which are made
// at a tenth of the rate, are counted apart: one that an instance took with it
// when it was killed cannot be repeated without asking whoever sent it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"showrunner/balancer/loadtest"
	"showrunner/pipeline"
)

// settings are the command line.
type settings struct {
	rate, instances      int
	length               time.Duration
	kills, hangs         int
	seed                 uint64
	phases               []string
	surgeBase, surgePeak int
}

func main() {
	if os.Getenv(instanceVariable) != "" {
		if err := instance(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var s settings
	exe := flag.String("showrunner", "bin/showrunner", "the program to storm")
	phases := flag.String("phases", "quiet,kills,hangs,zone,region,surge", "what happens, in this order")
	flag.IntVar(&s.rate, "rate", 500, "requests a second that may be repeated")
	flag.DurationVar(&s.length, "for", time.Minute, "the least that each phase takes")
	flag.IntVar(&s.instances, "instances", 4, "in each of the three regions")
	flag.IntVar(&s.kills, "kills", 50, "instances killed (SIGKILL), at random times of the phase")
	flag.IntVar(&s.hangs, "hangs", 10, "instances stopped (SIGSTOP), at random times of the phase")
	flag.IntVar(&s.surgeBase, "surge-base", 60, "requests a second before and after the surge, which is ten times as high")
	flag.Uint64Var(&s.seed, "seed", 0, "of what is hit and when; 0 draws one")
	asJSON := flag.Bool("json", false, "print the rows as JSON")
	flag.Parse()
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
		fmt.Fprintln(os.Stderr, "bench/storm:", err)
		os.Exit(2)
	case noticed:
		os.Exit(1)
	}
}

// row is what one phase came to.
type row struct {
	Phase  string          `json:"phase"`
	What   string          `json:"what"`
	Safe   loadtest.Report `json:"repeatable"`
	Unsafe loadtest.Report `json:"others"`
	Load   string          `json:"loadAverage"`
}

func run(ctx context.Context, exe string, s settings) (rows []row, err error) {
	exe, err = filepath.Abs(exe)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "storm-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	w, err := start(ctx, exe, dir)
	if err != nil {
		return nil, err
	}
	defer w.stop()
	capacity := pipeline.Capacity{Min: s.instances, Desired: s.instances, Max: 2 * s.instances}
	if err := w.deploy(ctx, capacity, nil); err != nil {
		return nil, err
	}
	fmt.Printf("seed %d: %d requests a second for at least %s a phase, %d instances in each of %d regions\n", s.seed, s.rate, s.length, s.instances, len(regions))
	fmt.Printf("%-8s %9s %7s %9s %9s %9s | %7s %7s %9s | %-5s  %s\n", "phase", "requests", "failed", "p50", "p99", "max", "others", "failed", "p99", "load", "what happened")
	for n, name := range s.phases {
		phase := phases[name]
		if phase == nil {
			return rows, fmt.Errorf("there is no phase %q", name)
		}
		rng := rand.New(rand.NewPCG(s.seed, uint64(n)))
		r, err := phase(ctx, w, s, rng)
		r.Phase, r.Load = name, loadAverage()
		rows = append(rows, r)
		r.print()
		if err != nil {
			return rows, fmt.Errorf("%s: %w", name, err)
		}
	}
	return rows, nil
}

func (r row) print() {
	ms := func(d time.Duration) string { return fmt.Sprintf("%.1fms", d.Seconds()*1000) }
	fmt.Printf("%-8s %9d %7d %9s %9s %9s | %7d %7d %9s | %-5s  %s\n", r.Phase, r.Safe.Requests, r.Safe.Failed, ms(r.Safe.P50), ms(r.Safe.P99), ms(r.Safe.Max),
		r.Unsafe.Requests, r.Unsafe.Failed, ms(r.Unsafe.P99), r.Load, r.What)
	for _, f := range r.Safe.Failures {
		fmt.Println("  FAILED:", f)
	}
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	return strings.Fields(string(text))[0]
}
