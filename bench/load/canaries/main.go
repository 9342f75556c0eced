// Package canaries measures what a canary's judge and analysis do for users: the built
// program as `showrunner up` runs it, a service with errors and latencies of its own in
// three regions under a load that swings, regressions that are delivered by canary with a
// fresh baseline, and good versions delivered again and again.
//
//	cd bench && go run ./load canaries [-good 200] [-showrunner ../bin/showrunner]
//
// Each regression has to be found and undone in every region, with nothing left. Of the
// good versions at most as many may fail as alpha allows: the run fails when that many
// false alarms have a probability below one in a thousand.
package canaries

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/environment"
)

const (
	cluster = "shop"
	alpha   = 0.01 // of the judge; the analysis' memory metric has no such bound
	// errors is the share of requests that fail in a good version, and latency its median.
	errors  = 0.02
	latency = 6 * time.Millisecond
)

// regression is one kind of bad version.
type regression struct {
	name  string
	env   map[string]string
	codes []string // of the failure
}

var regressions = []regression{
	{"errors 2x", parameters(2*errors, latency, ""), []string{"CANARY_ERRORS"}},
	{"errors 5x", parameters(5*errors, latency, ""), []string{"CANARY_ERRORS"}},
	{"errors 10x", parameters(10*errors, latency, ""), []string{"CANARY_ERRORS"}},
	{"latency +50 %", parameters(errors, latency*3/2, ""), []string{"CANARY_SLOW"}},
	{"memory leak", parameters(errors, latency, "eats-memory"), []string{"CRASH_LOOP", "CANARY_METRICS"}},
	{"crash loop", parameters(errors, latency, "crashes"), []string{"CRASH_LOOP"}},
}

func parameters(errors float64, latency time.Duration, mode string) map[string]string {
	return map[string]string{"errors": fmt.Sprint(errors), "latency": latency.String(), "mode": mode}
}

// settings are the flags.
type settings struct {
	exe               string
	rate, good        int
	pause, shortPause time.Duration
	only              string
}

// Main runs the benchmark with the arguments of its part of the command line and exits
// with 1 when a promise is not kept.
func Main(args []string) {
	var s settings
	flags := flag.NewFlagSet("load canaries", flag.ExitOnError)
	exe := command.ProgramFlag(flags)
	flags.IntVar(&s.rate, "rate", 300, "requests a second, in all regions together; a second load of the same rate comes and goes")
	flags.IntVar(&s.good, "good", 200, "deliveries of good versions")
	flags.DurationVar(&s.pause, "pause", 2*time.Minute, "least time at each step of a regression")
	flags.DurationVar(&s.shortPause, "good-pause", 5*time.Second, "least time at each step of a good version")
	flags.StringVar(&s.only, "only", "", "regressions, separated by commas; empty for all, none for none")
	_ = flags.Parse(args) // the flag set exits on an error
	s.exe = *exe
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	kept, err := run(ctx, s)
	if err != nil {
		fmt.Fprintln(os.Stderr, "canaries:", err)
		os.Exit(2)
	}
	if !kept {
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (bool, error) {
	dir, err := os.MkdirTemp("", "canaries-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	w, err := environment.Start(ctx, s.exe, dir)
	if err != nil {
		return false, err
	}
	defer w.Stop()
	t := &trial{World: w, settings: s}
	if t.repository, err = environment.NewRepository(ctx, filepath.Join(dir, "repository")); err != nil {
		return false, err
	}
	if err := environment.Service(ctx, t.repository.Dir); err != nil {
		return false, err
	}
	if err := t.Apply(ctx, t.pipeline()); err != nil {
		return false, err
	}
	if first, err := t.deliver(ctx, parameters(errors, latency, ""), s.shortPause); err != nil || first.exit != 0 {
		return false, fmt.Errorf("the first version: exit %d: %w", first.exit, err)
	}
	weights := []string{"edge", "weights"}
	for _, region := range environment.Regions() {
		weights = append(weights, region+"=1")
	}
	if said, err := t.CLI(ctx, weights...); err != nil || said.Exit != 0 {
		return false, fmt.Errorf("dividing the requests over the regions: %s%s: %w", said.Out, said.Err, err)
	}
	stop := t.load(ctx)
	defer stop()
	kept, err := t.bad(ctx)
	if err != nil {
		return false, err
	}
	fine, err := t.healthy(ctx)
	return kept && fine, err
}

// bad delivers each regression.
func (t *trial) bad(ctx context.Context) (kept bool, err error) {
	kept = true
	fmt.Printf("%d requests/s in three regions and as many again half of the time, %g %% of which fail ±%d %%, median %s; canary 10 %% and 25 %%, alpha %g\n", t.rate, 100*errors, 80, latency, alpha)
	fmt.Println("| regression | found by | in all regions after | requests that it answered | of them failed |\n|---|---|---|---|---|")
	for _, r := range regressions {
		if t.only != "" && !slices.Contains(strings.Split(t.only, ","), r.name) {
			continue
		}
		d, err := t.deliver(ctx, r.env, t.pause)
		if err != nil {
			return false, err
		}
		fmt.Printf("| %s | `%s` | %.0f s | %d | %d |\n", r.name, d.code, d.served.Seconds(), d.hit, d.failed)
		if d.exit != 4 || !slices.Contains(r.codes, d.code) {
			kept = false
			fmt.Printf("  WRONG: exit %d with %q, not one of %v: %s\n", d.exit, d.code, r.codes, d.cause)
		}
		if err := t.Whole(ctx, cluster, time.Minute); err != nil {
			return false, err
		}
		for _, g := range t.Groups(ctx, cluster) {
			if g.IsBaseline() || strings.HasPrefix(d.version, g.Spec.Version) || g.Enabled() && g.Weight != 100 {
				kept = false
				fmt.Printf("  WRONG: %s is left in %s with weight %g\n", g.Name, g.Region, g.Weight)
			}
		}
	}
	return kept, nil
}

// healthy delivers good versions.
func (t *trial) healthy(ctx context.Context) (bool, error) {
	alarms, undecided := 0, 0
	began := time.Now()
	for range t.good {
		d, err := t.deliver(ctx, parameters(errors, latency, ""), t.shortPause)
		switch {
		case err != nil:
			return false, err
		case d.exit == 0:
		case slices.Contains([]string{"CANARY_ERRORS", "CANARY_SLOW", "CANARY_METRICS"}, d.code):
			alarms++
			fmt.Println("  false alarm:", d.cause)
		default:
			undecided++
			fmt.Printf("  not delivered: exit %d %s: %s\n", d.exit, d.code, d.cause)
		}
	}
	chance := atLeast(t.good, alarms, alpha)
	fmt.Printf("good versions: %d false alarms and %d not delivered of %d in %s; alpha %g allows %g on average, and so many by chance has the probability %.2g\n",
		alarms, undecided, t.good, time.Since(began).Round(time.Second), alpha, alpha*float64(t.good), chance)
	return chance >= 0.001 && undecided == 0, nil
}

// atLeast is the probability of k or more of n events of probability p.
func atLeast(n, k int, p float64) float64 {
	below := 0.0
	for i := range k {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(i + 1))
		c, _ := math.Lgamma(float64(n - i + 1))
		below += math.Exp(a - b - c + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
	}
	return 1 - below
}
