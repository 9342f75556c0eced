package engine

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"showrunner/execution"
	"showrunner/execution/executiontest"
	"showrunner/pipeline"
	"showrunner/stage"
	"showrunner/store"
	"showrunner/store/pgtest"
)

// The work: stages × tasks, as the budgets define it. Each execution is started
// durably and has one durable transition for each task.
const (
	stages = 5
	tasks  = 2
	// transitions of one execution: its start, and the end of each task.
	transitions = 1 + stages*tasks
)

// measure is one line of the result; the peer prints the same form.
type measure struct {
	Engine     string  `json:"engine"`
	InFlight   int     `json:"inFlight"`
	Executions int     `json:"executions"`
	PerSecond  float64 `json:"executionsPerSecond"`
	P50        float64 `json:"executionP50ms"`
	P99        float64 `json:"executionP99ms"`
	StepP50    float64 `json:"transitionP50ms,omitempty"` // from a task's start to the start of the next one
	StepP99    float64 `json:"transitionP99ms,omitempty"`
	CPU        float64 `json:"cpuMsPerExecution"` // of this process
}

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("peers engine", flag.ExitOnError)
	n := flags.Int("n", 3000, "executions with many in flight; with one in flight a tenth of it")
	inflight := flags.String("inflight", "1,64", "executions in flight")
	stores := flags.String("store", "sqlite,postgres", "stores to measure")
	dsn := flags.String("database", "", "postgres:// address for the postgres store; empty: a private server in -dir, with its defaults")
	dir := flags.String("dir", "..", "folder for the SQLite file, on the disk to be measured")
	peer := flags.Bool("peer", false, "also run the peer engines: River on both stores, and Temporal's server")
	profile := flags.String("cpuprofile", "", "write a CPU profile here")
	asJSON := flags.Bool("json", false, "print JSON lines")
	_ = flags.Parse(args) // the flag set exits on an error
	if err := run(*n, *inflight, *stores, *dsn, *dir, *peer, *profile, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(n int, inflight, stores, dsn, dir string, peer bool, profile string, asJSON bool) error {
	if profile != "" {
		f, err := os.Create(profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	dir, err := filepath.Abs(dir) // the peers run in separate folders
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp(dir, "bench-engine-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if err := os.Chmod(tmp, 0o755); err != nil { // the server may run as another user
		return err
	}
	disk, err := openDisk(tmp)
	if err != nil {
		return err
	}
	defer disk.file.Close()
	if dsn == "" && strings.Contains(stores, "postgres") {
		pg, err := pgtest.StartIn(context.Background(), tmp, pgtest.Durable)
		if err != nil {
			return err
		}
		defer pg.Stop()
		if dsn, err = pg.Database(context.Background()); err != nil {
			return err
		}
		if err := settleLog(context.Background(), pg, dsn); err != nil {
			return err
		}
	}
	b := &bench{n: n, inflight: inflight, stores: stores, dir: tmp, dsn: dsn, disk: disk, asJSON: asJSON}
	all, err := b.measureAll()
	if err != nil {
		return err
	}
	if disk.asked > 0 {
		fmt.Println(disk)
	}
	v := &verdict{disk: disk}
	v.ours(all)
	if peer {
		for _, name := range []string{"river", "temporal"} {
			theirs, perr := runPeer(name, tmp, dsn, n, asJSON)
			// The machine's speed varies from one minute to the next: a peer is
			// compared with the mean of our runs right before and right after it.
			after, err := b.measureAll()
			if err != nil {
				return err
			}
			v.against(means(all, after), theirs)
			if perr != nil { // the other peer may still run
				v.judge(false, "%v", perr)
			}
			all = after
		}
	}
	return v.err()
}

// bench is what to measure, and where.
type bench struct {
	n                int
	inflight, stores string
	dir, dsn         string
	disk             *disk
	asJSON           bool
}

// measureAll measures every store with every number in flight, and prints it.
func (b *bench) measureAll() (all []measure, err error) {
	for _, kind := range strings.Split(b.stores, ",") {
		address := filepath.Join(b.dir, "bench.db")
		if kind == "postgres" {
			address = b.dsn
		}
		for _, k := range strings.Split(b.inflight, ",") {
			parallel, err := strconv.Atoi(k)
			if err != nil {
				return nil, err
			}
			count := b.n
			if parallel == 1 {
				count = max(b.n/10, 50)
			}
			beside := b.disk
			if parallel > 1 || kind != "sqlite" {
				beside = nil
			}
			m, err := measureEngine(kind, address, count, parallel, beside)
			if err != nil {
				return nil, err
			}
			all = append(all, m)
			print(m, b.asJSON)
		}
	}
	return all, nil
}

// settleLog brings a new server's log into the state of a server that has run for
// a while: past a checkpoint, after which its files are overwritten. The first
// files are created and filled with zeros during commits, which does not happen
// in sustained operation.
func settleLog(ctx context.Context, pg *pgtest.Server, dsn string) error {
	const files = 16 // of 16 MiB
	for range files {
		if _, err := pg.Query(ctx, dsn, `SELECT pg_logical_emit_message(false, 'bench', '-'); SELECT pg_switch_wal()`); err != nil {
			return err
		}
	}
	_, err := pg.Query(ctx, dsn, `CHECKPOINT`)
	return err
}

func print(m measure, asJSON bool) {
	if asJSON {
		_ = json.NewEncoder(os.Stdout).Encode(m) // written to a terminal or a pipe
		return
	}
	fmt.Printf("%-22s %3d in flight: %8.0f transitions/s (%6.0f executions/s), execution p50 %.1f p99 %.1f ms, transition p50 %.2f p99 %.2f ms, CPU %.2f ms/execution\n",
		m.Engine, m.InFlight, m.PerSecond*transitions, m.PerSecond, m.P50, m.P99, m.StepP50, m.StepP99, m.CPU)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func quantile(v []float64, q float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[min(len(v)-1, int(q*float64(len(v))))]
}

// steps collects the times between the starts of consecutive tasks of one execution.
type steps struct {
	mu   sync.Mutex
	last map[string]time.Time
	took []float64
}

func (s *steps) see(execution string) {
	now := time.Now()
	s.mu.Lock()
	if at, ok := s.last[execution]; ok {
		s.took = append(s.took, ms(now.Sub(at)))
	}
	s.last[execution] = now
	s.mu.Unlock()
}

func noop(s *steps) stage.Kind {
	act := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		s.see(in.Key.Execution)
		return stage.Result{Outcome: stage.Done}, nil
	}
	k := executiontest.Kind{KindName: "noop"}
	for i := range tasks {
		k.List = append(k.List, stage.Task{Name: "t" + strconv.Itoa(i), Run: act, Resume: stage.Repeat})
	}
	return k
}

func definition() pipeline.Pipeline {
	p := pipeline.Pipeline{Name: "bench", Concurrency: pipeline.Parallel}
	for i := range stages {
		s := pipeline.Stage{Name: "s" + strconv.Itoa(i), Kind: "noop"}
		if i > 0 {
			s.Needs = []string{"s" + strconv.Itoa(i-1)}
		}
		p.Stages = append(p.Stages, s)
	}
	return p
}

// turns is the number of parts into which an engine's work is split when the disk
// is measured in between.
const turns = 20

// measureEngine runs n executions; beside is the disk to measure in turns, or
// nil.
func measureEngine(kind, address string, n, inflight int, beside *disk) (measure, error) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	st, err := store.Open(ctx, address, store.Options{})
	if err != nil {
		return measure{}, err
	}
	defer st.Close()
	seen := &steps{last: map[string]time.Time{}}
	e, err := execution.New(execution.Config{Store: st, Kinds: []stage.Kind{noop(seen)}, Resolver: executiontest.Plain{},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return measure{}, err
	}
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	<-e.Ready()
	warm := max(n/10, 10)
	if _, err := load(ctx, e, warm, inflight); err != nil {
		return measure{}, err
	}
	seen.mu.Lock()
	seen.took = nil
	seen.mu.Unlock()
	parts := 1
	if beside != nil {
		parts = turns
	}
	var took []float64
	var cpu, wall time.Duration
	for range parts {
		if beside != nil {
			if err := beside.sample(2 * diskBlocks / turns); err != nil {
				return measure{}, err
			}
		}
		usage, start := cpuTime(), time.Now()
		part, err := load(ctx, e, n/parts, inflight)
		if err != nil {
			return measure{}, err
		}
		took = append(took, part...)
		cpu, wall = cpu+cpuTime()-usage, wall+time.Since(start)
	}
	m := measure{Engine: "showrunner " + kind, InFlight: inflight, Executions: len(took), PerSecond: float64(len(took)) / wall.Seconds(),
		P50: quantile(took, 0.5), P99: quantile(took, 0.99), CPU: ms(cpu) / float64(len(took))}
	m.StepP50, m.StepP99 = quantile(seen.took, 0.5), quantile(seen.took, 0.99)
	cancel()
	return m, <-done
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// load runs n executions, inflight at a time, and returns how long each one took.
func load(ctx context.Context, e *execution.Engine, n, inflight int) ([]float64, error) {
	ends, err := newEndings(ctx, e)
	if err != nil {
		return nil, err
	}
	def := definition()
	var next atomic.Int64
	var mu sync.Mutex
	var took []float64
	var wg sync.WaitGroup
	errs := make(chan error, inflight)
	for range inflight {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				start := time.Now()
				x, _, err := e.Start(ctx, execution.StartRequest{Application: "bench", Definition: def})
				if err != nil {
					errs <- err
					return
				}
				ends.wait(x.ID)
				mu.Lock()
				took = append(took, ms(time.Since(start)))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	ends.stop()
	select {
	case err := <-errs:
		return nil, err
	default:
		return took, nil
	}
}
