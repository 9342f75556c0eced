package crash

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/internal/pause"
)

const (
	waitingFirst = 100   // executions whose rate is the reference
	waitingWide  = 1_000 // run stages of one execution, in parallel
	// startsWithin is how long a start is retried: a busy replica says when to
	// try again.
	startsWithin = time.Minute
	// minRateRatio is the fraction of the reference rate that has to be kept.
	minRateRatio = 0.7
)

// waiting measures the rate of commands while very many wait for a place: a
// hundred executions alone, one execution of a thousand parallel stages, and then
// p.waiting executions, all started on one replica, before and after each replica
// was killed. No command may have its effect twice.
func waiting(ctx context.Context, p plan, w *targets, databases func(context.Context) (string, error), ask databaseQuery) error {
	f := &fleet{plan: p, targets: w}
	var err error
	if f.address, err = databases(ctx); err != nil {
		return err
	}
	defer f.stop()
	if err := f.start(ctx); err != nil {
		return err
	}
	first, err := f.timed(ctx, "one", waitingFirst, waitingFirst)
	if err != nil {
		return err
	}
	fmt.Printf("%d executions: %.1f commands/s\n", waitingFirst, first)
	var slow []string
	say := func(what string, rate float64) {
		fmt.Printf("%s: %.1f commands/s, %.2f of the first\n", what, rate, rate/first)
		if rate < minRateRatio*first {
			slow = append(slow, what)
		}
	}
	wide, err := f.timed(ctx, "wide", 1, waitingWide)
	if err != nil {
		return err
	}
	say(fmt.Sprintf("one execution of %d parallel stages", waitingWide), wide)
	began := time.Now()
	if err := f.begin(ctx, "one", f.waiting); err != nil {
		return err
	}
	fmt.Printf("%d executions were started on one replica in %s\n", f.waiting, time.Since(began).Round(time.Millisecond))
	for n := -1; n < len(f.members); n++ {
		what := fmt.Sprintf("%d executions", f.waiting)
		if n >= 0 {
			what = fmt.Sprintf("after replica %d was killed", n+1)
			if err := f.members[n].kill(); err != nil {
				return err
			}
			if err := f.members[n].start(); err != nil {
				return err
			}
		}
		rate, err := f.rate(ctx)
		if err != nil {
			return err
		}
		say(what, rate)
		owners, err := ask(ctx, f.address, `SELECT owner, count(*)::text FROM execution WHERE live = 1 GROUP BY owner ORDER BY owner`)
		if err != nil {
			return err
		}
		fmt.Printf("  live executions by replica: %v\n", owners)
	}
	return f.eachOnce(slow)
}

// eachOnce checks that each effect happened once.
func (f *fleet) eachOnce(slow []string) error {
	effects, err := f.targets.count()
	if err != nil {
		return err
	}
	doubled := 0
	for _, n := range effects {
		if n > 1 {
			doubled++
		}
	}
	fmt.Printf("%d commands had their effect, %d of them twice\n", len(effects), doubled)
	if doubled > 0 {
		err = fmt.Errorf("%d effects happened twice", doubled)
	}
	if len(slow) > 0 {
		err = errors.Join(err, fmt.Errorf("too slow: %s", strings.Join(slow, "; ")))
	}
	return err
}

// timed starts executions and returns the rate of their commands' effects, until
// all have happened.
func (f *fleet) timed(ctx context.Context, pipeline string, executions, commands int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	before, began := f.effects(), time.Now()
	if err := f.begin(ctx, pipeline, executions); err != nil {
		return 0, err
	}
	for f.effects()-before < commands {
		if err := pause.For(ctx, 20*time.Millisecond); err != nil {
			return 0, fmt.Errorf("%d of %d commands: %w", f.effects()-before, commands, err)
		}
	}
	return float64(commands) / time.Since(began).Seconds(), nil
}

// begin starts executions on the first replica.
func (f *fleet) begin(ctx context.Context, pipeline string, n int) error {
	var left atomic.Int64
	var failed atomic.Pointer[error]
	left.Store(int64(n))
	var work sync.WaitGroup
	for range 16 {
		work.Go(func() {
			for left.Add(-1) >= 0 {
				key := rand.Text() // a start without an answer is repeated, and starts the same execution
				err := errors.New("not tried")
				for began := time.Now(); err != nil && time.Since(began) < startsWithin; {
					if err = f.members[0].call(ctx, http.MethodPost, "/api/v1/applications/many/pipelines/"+pipeline+"/executions", struct{}{}, nil, key); err != nil {
						_ = pause.For(ctx, 200*time.Millisecond) // ctx makes the next call fail
					}
				}
				if err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	work.Wait()
	if err := failed.Load(); err != nil {
		return fmt.Errorf("a start failed for %s: %w", startsWithin, *err)
	}
	return nil
}

// effectBytes is the length of the line that each of these commands writes.
const effectBytes = len("18-characters-long 0000\n")

// effects is how many commands have had their effect.
func (f *fleet) effects() int {
	info, err := os.Stat(f.targets.effects)
	if err != nil {
		return 0 // no command has written yet
	}
	return int(info.Size()) / effectBytes
}

// rate measures the effects per second, for a while.
func (f *fleet) rate(ctx context.Context) (float64, error) {
	if err := pause.For(ctx, 3*time.Second); err != nil { // until the rate is steady
		return 0, err
	}
	before, began := f.effects(), time.Now()
	if err := pause.For(ctx, f.waitingFor); err != nil {
		return 0, err
	}
	return float64(f.effects()-before) / time.Since(began).Seconds(), nil
}

// manyPipelines are the pipelines of the waiting benchmark.
func (w *targets) manyPipelines() string {
	var b strings.Builder
	b.WriteString("application: many\npipelines:\n")
	for _, p := range []struct {
		name   string
		stages int
	}{{"one", 1}, {"wide", waitingWide}} {
		fmt.Fprintf(&b, "  %s:\n    concurrency: parallel\n    stages:\n", p.name)
		for i := range p.stages {
			fmt.Fprintf(&b, "      s%d: { run: { commands: [\"echo ${{ execution.id }} %04d >> %s\"] } }\n", i, i, w.effects)
		}
	}
	return b.String()
}
