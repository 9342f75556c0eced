package crash

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"showrunner/internal/pause"
)

const (
	spreadPlaces = 2 // places of each host
	// spreadStage is the duration of a stage's command. It is long enough that
	// places limit the rate, not the processors of the machine that runs all
	// hosts.
	spreadStage = 300 * time.Millisecond
	spreadLimit = 15 * time.Minute
	// minSpreadRatio is the fraction of the rate of one host with as many places
	// that several hosts have to reach together.
	minSpreadRatio = 0.7
)

// spread measures the rate of the parallel stages of one execution on one host
// and on p.replicas hosts, each with a data folder and places of its own, and
// counts the stages of each host.
func spread(ctx context.Context, p plan, w *targets, databases func(context.Context) (string, error)) error {
	var alone float64
	for _, hosts := range []int{1, p.replicas} {
		p.replicas = hosts
		rate, byHost, err := spreadOver(ctx, p, w, databases)
		if err != nil {
			return err
		}
		fmt.Printf("%d stages of one execution on %d hosts with %d places each: %.1f commands/s; by host: %v\n", p.spread, hosts, spreadPlaces, rate, byHost)
		if hosts == 1 {
			alone = rate
			continue
		}
		fmt.Printf("  %.2f times the speed of one host\n", rate/alone)
		if rate < minSpreadRatio*alone*float64(hosts) {
			return fmt.Errorf("%d hosts are %.2f times as fast as one", hosts, rate/alone)
		}
	}
	return nil
}

// spreadOver runs one execution on hosts of its own.
func spreadOver(ctx context.Context, p plan, w *targets, databases func(context.Context) (string, error)) (rate float64, byHost []int, err error) {
	ctx, cancel := context.WithTimeout(ctx, spreadLimit)
	defer cancel()
	p.dir = filepath.Join(p.dir, fmt.Sprintf("spread-%d", p.replicas))
	if err := os.MkdirAll(p.dir, 0o755); err != nil {
		return 0, nil, err
	}
	f := &fleet{plan: p, targets: w}
	if f.address, err = databases(ctx); err != nil {
		return 0, nil, err
	}
	defer f.stop()
	if err := f.start(ctx); err != nil {
		return 0, nil, err
	}
	effects := filepath.Join(p.dir, "effects")
	var b strings.Builder
	b.WriteString("application: many\npipelines:\n  spread:\n    concurrency: parallel\n    stages:\n")
	for i := range p.spread {
		fmt.Fprintf(&b, "      s%d: { run: { commands: [\"echo %d $PWD >> %s; sleep %g\"] } }\n", i, i, effects, spreadStage.Seconds())
	}
	if err := f.apply(ctx, b.String()); err != nil {
		return 0, nil, err
	}
	began := time.Now()
	if err := f.begin(ctx, "spread", 1); err != nil {
		return 0, nil, err
	}
	for {
		counted, byHost, err := f.countByHost(effects)
		if err != nil || len(counted) == p.spread {
			rate = float64(p.spread) / time.Since(began).Seconds()
			for stage, n := range counted {
				if n > 1 {
					err = errors.Join(err, fmt.Errorf("stage %s ran %d times", stage, n))
				}
			}
			return rate, byHost, err
		}
		if err := pause.For(ctx, 100*time.Millisecond); err != nil {
			return 0, nil, fmt.Errorf("%d of %d stages ran: %w", len(counted), p.spread, err)
		}
	}
}

// countByHost counts finished stages by stage and by host.
func (f *fleet) countByHost(effects string) (byStage map[string]int, byHost []int, err error) {
	text, err := os.ReadFile(effects)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // no stage has written yet
		return nil, nil, err
	}
	byStage, byHost = map[string]int{}, make([]int, len(f.members))
	for line := range strings.Lines(string(text)) {
		stage, dir, whole := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		if !whole || !strings.HasSuffix(line, "\n") {
			continue // the file is being written
		}
		byStage[stage]++
		for i, r := range f.members {
			if strings.HasPrefix(dir, r.data()+"/") {
				byHost[i]++
			}
		}
	}
	return byStage, byHost, nil
}
