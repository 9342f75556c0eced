// Package canaries measures what a canary's judge and analysis do for users: the built
// program as `showrunner up` runs it, a service with errors and latencies of its own in
// three regions under a load that swings, regressions that are delivered by canary with a
// fresh baseline, and good versions delivered again and again.
//
//	cd bench && go run ./load canaries [-good 200] [-services 3] [-for 30m] [-period 4m] [-showrunner ../bin/showrunner]
//
// Each regression has to be found and undone in every region, with nothing left. Of the
// good versions, of several services at once, at most as many may fail as alpha allows:
// the run fails when that many false alarms have a probability below one in a thousand.
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
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"showrunner/bench/command"
	"showrunner/bench/environment"
)

const (
	alpha = 0.01 // of the judge; the analysis' memory metric has no such bound
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
	services          int
	limit, period     time.Duration
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
	flags.IntVar(&s.services, "services", 1, "services that get good versions at once, each with the load of -rate")
	flags.DurationVar(&s.limit, "for", 24*time.Hour, "begin no delivery of a good version after this time")
	flags.DurationVar(&s.period, "period", 40*time.Second, "in which the share of errors swings")
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
	var trials []*trial
	for i := range max(1, s.services) {
		t, err := newTrial(ctx, w, s, fmt.Sprintf("shop%d", i+1), dir)
		if err != nil {
			return false, err
		}
		trials = append(trials, t)
	}
	weights := []string{"edge", "weights"}
	for _, region := range environment.Regions() {
		weights = append(weights, region+"=1")
	}
	if said, err := w.CLI(ctx, weights...); err != nil || said.Exit != 0 {
		return false, fmt.Errorf("dividing the requests over the regions: %s%s: %w", said.Out, said.Err, err)
	}
	for _, t := range trials {
		stop := t.load(ctx)
		defer stop()
	}
	kept, err := trials[0].bad(ctx)
	if err != nil {
		return false, err
	}
	fine, err := healthy(ctx, s, trials)
	return kept && fine, err
}

// newTrial makes a service of that name with its first version.
func newTrial(ctx context.Context, w *environment.World, s settings, name, dir string) (*trial, error) {
	t := &trial{World: w, settings: s, cluster: name}
	var err error
	if t.repository, err = environment.NewRepository(ctx, filepath.Join(dir, "repository-"+name)); err != nil {
		return nil, err
	}
	if err := environment.Service(ctx, t.repository.Dir); err != nil {
		return nil, err
	}
	if err := t.Apply(ctx, t.pipeline()); err != nil {
		return nil, err
	}
	if first, err := t.deliver(ctx, parameters(errors, latency, ""), s.shortPause); err != nil || first.exit != 0 {
		return nil, fmt.Errorf("the first version of %s: exit %d: %w", name, first.exit, err)
	}
	return t, nil
}

// bad delivers each regression.
func (t *trial) bad(ctx context.Context) (kept bool, err error) {
	kept = true
	fmt.Printf("%d requests/s in three regions and as many again half of the time, %g %% of which fail ±%d %% within %s, median %s; canary 10 %% and 25 %%, %s each, alpha %g\n", t.rate, 100*errors, 80, t.period, latency, t.pause, alpha)
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
		if err := t.Whole(ctx, t.cluster, time.Minute); err != nil {
			return false, err
		}
		for _, g := range t.Groups(ctx, t.cluster) {
			if g.IsBaseline() || strings.HasPrefix(d.version, g.Spec.Version) || g.Enabled() && g.Weight != 100 {
				kept = false
				fmt.Printf("  WRONG: %s is left in %s with weight %g\n", g.Name, g.Region, g.Weight)
			}
		}
	}
	return kept, nil
}

// healthy delivers good versions of all services at once, each one after the other.
func healthy(ctx context.Context, s settings, trials []*trial) (bool, error) {
	var mu sync.Mutex
	alarms, undecided, begun, done := 0, 0, 0, 0
	began := time.Now()
	next := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if begun >= s.good || time.Since(began) > s.limit {
			return false
		}
		begun++
		return true
	}
	var group errgroup.Group
	for _, t := range trials {
		group.Go(func() error {
			for next() {
				d, err := t.deliver(ctx, parameters(errors, latency, ""), t.shortPause)
				if err != nil {
					return err
				}
				mu.Lock()
				done++
				switch {
				case d.exit == 0:
				case slices.Contains([]string{"CANARY_ERRORS", "CANARY_SLOW", "CANARY_METRICS"}, d.code):
					alarms++
					fmt.Println("  false alarm:", d.cause)
				default:
					undecided++
					fmt.Printf("  not delivered: exit %d %s: %s\n", d.exit, d.code, d.cause)
				}
				mu.Unlock()
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return false, err
	}
	chance := atLeast(done, alarms, alpha)
	fmt.Printf("good versions: %d false alarms and %d not delivered of %d in %s, %d services at once; alpha %g allows %g on average, and so many by chance has the probability %.2g\n",
		alarms, undecided, done, time.Since(began).Round(time.Second), len(trials), alpha, alpha*float64(done), chance)
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
