package crash

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"showrunner/bench/command"
	"showrunner/internal/pause"
	"showrunner/store/pgtest"
)

// plan describes one run.
type plan struct {
	kills    int
	replicas int
	seed     uint64
	inFlight int
	every    time.Duration // average time between kills
	hang     float64       // fraction of the victims that are stopped instead, and resumed after hangFor
	hangFor  time.Duration
	outage   time.Duration // how long the database is unreachable, once, in the middle
	pause    bool          // the database is paused, not stopped
	database string        // postgres, sqlite, or an address
	binary   string
	old      string
	pooler   bool
	dir      string
	keep     bool
	verbose  bool
	// Other measurements, instead of deliveries under random kills:
	takeovers int   // kill this many replicas one by one, and measure how long their work stands still
	sizes     []int // sizes of the fleets for that
	scale     bool  // measure the throughput of fleets of several sizes
	waiting   int   // make this many executions wait for a place, and measure the rate at which they run
	spread    int   // measure the rate of this many stages of one execution on one host and on several
	// waitingFor is how long each of those rates is measured.
	waitingFor time.Duration
}

// Main runs the benchmark with the arguments of its part of the command line and
// exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("durability crash", flag.ExitOnError)
	var p plan
	flags.IntVar(&p.kills, "kills", 50, "how many control planes are killed")
	flags.IntVar(&p.replicas, "replicas", 3, "control planes at a time (one with -database sqlite)")
	flags.Uint64Var(&p.seed, "seed", 0, "of the moments and the victims; 0: a new one")
	flags.IntVar(&p.inFlight, "inflight", 8, "executions under way at a time")
	flags.DurationVar(&p.every, "every", 600*time.Millisecond, "time between kills, on average")
	flags.Float64Var(&p.hang, "hang", 0, "part of the victims that are stopped and woken again, instead of killed")
	flags.DurationVar(&p.hangFor, "hang-for", 8*time.Second, "how long those are stopped")
	flags.DurationVar(&p.outage, "outage", 0, "stop the database for as long, once")
	flags.BoolVar(&p.pause, "pause", false, "with -outage: stop its processes where they are, so that everything hangs")
	flags.StringVar(&p.database, "database", "postgres", "postgres (a private server), sqlite, or a postgres:// address")
	exe := command.ProgramFlag(flags)
	flags.StringVar(&p.old, "old", "", "another version to begin with, a binary or a Git revision of this repository; all are replaced by the other one while executions run")
	flags.BoolVar(&p.pooler, "pooler", false, "reach the database through pgbouncer in transaction mode")
	flags.StringVar(&p.dir, "dir", "", "folder for everything; empty: a temporary one")
	flags.BoolVar(&p.keep, "keep", false, "leave the folder")
	flags.BoolVar(&p.verbose, "v", false, "say each kill")
	flags.IntVar(&p.takeovers, "takeover", 0, "measure instead how long the work of as many killed replicas stands still, and of some that hang, in fleets of two and five")
	flags.BoolVar(&p.scale, "scale", false, "measure instead what one, two and four replicas get through")
	flags.IntVar(&p.waiting, "waiting", 0, "measure instead at what speed commands go while as many executions wait for a place")
	flags.IntVar(&p.spread, "spread", 0, "measure instead at what speed as many stages of one execution go on one host and on several")
	flags.DurationVar(&p.waitingFor, "waiting-for", 20*time.Second, "how long each of those speeds is measured")
	_ = flags.Parse(args) // the flag set exits on an error
	p.binary = *exe
	p.sizes = []int{2, 5}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "crash:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan) (err error) {
	if p.seed == 0 {
		p.seed = rand.Uint64N(1 << 32)
	}
	if p.database == "sqlite" {
		p.replicas = 1
	}
	if p.dir, err = os.MkdirTemp(p.dir, "crash-"); err != nil {
		return err
	}
	if !p.keep {
		defer os.RemoveAll(p.dir)
	}
	if err := os.Chmod(p.dir, 0o755); err != nil { // the database may run as another user
		return err
	}
	if p.binary, err = command.Program(ctx, p.binary, p.dir); err != nil {
		return err
	}
	if p.old != "" {
		if p.old, err = program(ctx, p.dir, p.old); err != nil {
			return err
		}
	}
	w, err := newTargets(p.dir)
	if err != nil {
		return err
	}
	defer w.close()
	f := &fleet{plan: p, targets: w}
	if p.database == "postgres" {
		server, err := pgtest.StartIn(ctx, p.dir, pgtest.Durable)
		if err != nil {
			return err
		}
		defer server.Stop()
		f.server = server
		if p.takeovers > 0 || p.scale || p.waiting > 0 || p.spread > 0 {
			return f.compare(ctx, server)
		}
		if f.address, err = server.Database(ctx); err != nil {
			return err
		}
		if p.pooler {
			stop, err := f.pool(ctx)
			if err != nil {
				return err
			}
			defer stop()
		}
	} else if strings.HasPrefix(p.database, "postgres") {
		f.address = p.database
	}
	fmt.Printf("seed %d: %d kills across %d control planes on %s\n", p.seed, p.kills, p.replicas, p.database)
	defer f.stop()
	if err := f.start(ctx); err != nil {
		return err
	}
	return f.deliver(ctx)
}

// compare runs fleets of several sizes, each on a database of its own.
func (f *fleet) compare(ctx context.Context, server *pgtest.Server) error {
	fmt.Printf("seed %d\n", f.seed)
	var errs []error
	if f.takeovers > 0 {
		errs = append(errs, takeover(ctx, f.plan, f.targets, server.Database, server.Query))
	}
	if f.waiting > 0 {
		errs = append(errs, waiting(ctx, f.plan, f.targets, server.Database, server.Query))
	}
	if f.spread > 0 {
		errs = append(errs, spread(ctx, f.plan, f.targets, server.Database))
	}
	if f.scale {
		errs = append(errs, scale(ctx, f.plan, f.targets, server.Database))
	}
	return errors.Join(errs...)
}

// deliver runs the load, the kills and the count.
func (f *fleet) deliver(ctx context.Context) error {
	l := newLoad(f)
	l.begin(ctx)
	began := time.Now()
	if err := f.killRandomly(ctx, l); err != nil {
		return err
	}
	if err := l.finish(ctx); err != nil {
		return err
	}
	if err := f.verdict(ctx, l, time.Since(began)); err != nil || f.old == "" {
		return err
	}
	return f.refuse(ctx)
}

// killRandomly kills replicas until the plan is done.
func (f *fleet) killRandomly(ctx context.Context, l *load) error {
	random := rand.New(rand.NewPCG(f.seed, 1))
	middle := f.kills / 2
	for n := range f.kills {
		if err := pause.For(ctx, time.Duration(float64(f.every)*(0.2+1.6*random.Float64()))); err != nil {
			return err
		}
		victim := f.members[random.IntN(len(f.members))]
		if random.Float64() < f.hang {
			if err := victim.hang(ctx, f.hangFor, f.verbose); err != nil {
				return err
			}
			f.hangs++
			continue
		}
		if err := victim.kill(); err != nil {
			return err
		}
		f.killed++
		if f.verbose {
			fmt.Printf("kill %d: %s\n", n+1, victim.listen)
		}
		if err := pause.For(ctx, time.Duration(random.IntN(300))*time.Millisecond); err != nil {
			return err
		}
		if err := victim.start(); err != nil {
			return err
		}
		if n == middle {
			if err := f.midRunEvent(ctx, l); err != nil {
				return err
			}
		}
		if f.killed%100 == 0 {
			fmt.Printf("  %d kills, %s\n", f.killed, l.progress())
		}
	}
	if f.kills == 0 {
		return f.midRunEvent(ctx, l)
	}
	return nil
}

// midRunEvent is the single event in the middle: the upgrade or the outage.
func (f *fleet) midRunEvent(ctx context.Context, l *load) error {
	if f.old != "" {
		fmt.Printf("upgrading, one replica after the other, with %s\n", l.progress())
		for _, r := range f.members {
			if err := r.replace(ctx, f.binary); err != nil {
				return err
			}
		}
	}
	if f.outage > 0 {
		if f.server == nil {
			return fmt.Errorf("-outage needs the private server of -database postgres")
		}
		return f.databaseOutage(ctx, l)
	}
	if f.kills == 0 && f.outage == 0 {
		return pause.For(ctx, 10*time.Second)
	}
	return nil
}
