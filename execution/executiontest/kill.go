package executiontest

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/stage"
)

// The kill loop runs the engine in processes of their own (the test binary run
// again), kills them at random moments, and counts effects in a file that the
// product knows nothing of.

// KillPlan says how a kill loop goes.
type KillPlan struct {
	Address    string // of the store, as open understands it
	Executions int
	Kills      int
	Replicas   int // processes at a time; default 1
	Seed       uint64
}

const (
	childDir     = "SHOWRUNNER_KILL_DIR"
	childAddress = "SHOWRUNNER_KILL_ADDRESS"
	childCount   = "SHOWRUNNER_KILL_EXECUTIONS"
	inFlight     = 64
)

// KillChild has to be called by TestMain: in a process that a kill loop has
// started it does that process's work and never returns.
func KillChild(open func(ctx context.Context, address string) (execution.Store, error)) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	if err := killChild(dir, open); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// effectFile is the world of the kill loop: one line for each effect.
type effectFile struct{ path string }

func (w effectFile) act(key string) error {
	f, err := os.OpenFile(w.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(key + "\n") // one write: whole, or not there at all
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func (w effectFile) counts() (map[string]int, error) {
	f, err := os.Open(w.path)
	if os.IsNotExist(err) {
		return map[string]int{}, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	seen := map[string]int{}
	for s := bufio.NewScanner(f); s.Scan(); {
		seen[s.Text()]++
	}
	return seen, nil
}

func (w effectFile) kind() stage.Kind {
	run := func(ctx context.Context, in *stage.Input) (stage.Result, error) {
		before := time.NewTimer(2 * time.Millisecond) // so that kills find tasks before and after their effect
		defer before.Stop()
		select {
		case <-before.C:
		case <-ctx.Done():
			return stage.Result{}, context.Cause(ctx)
		}
		if err := w.act(in.Key.String()); err != nil {
			return stage.Result{}, err
		}
		return stage.Result{Outcome: stage.Done}, nil
	}
	resume := func(_ context.Context, in *stage.Input) (stage.Result, error) {
		seen, err := w.counts()
		if err != nil {
			return stage.Result{}, err
		}
		if seen[in.Key.String()] > 0 {
			return stage.Result{Outcome: stage.Done}, nil
		}
		return stage.Result{Outcome: stage.NotStarted}, nil
	}
	return Kind{KindName: "act", List: []stage.Task{{Name: "one", Run: run, Resume: resume}, {Name: "two", Run: run, Resume: resume}}}
}

// killPipeline has six stages, two of them side by side.
func killPipeline() pipeline.Pipeline {
	p := pipeline.Pipeline{Name: "kill", Concurrency: pipeline.Parallel}
	for _, s := range []string{"a", "b a", "c a", "d b c", "e d", "f e"} {
		words := strings.Fields(s)
		p.Stages = append(p.Stages, pipeline.Stage{Name: words[0], Kind: "act", Needs: words[1:]})
	}
	return p
}

const killEffects = 6 * 2 // of one execution

func killChild(dir string, open func(ctx context.Context, address string) (execution.Store, error)) error {
	ctx := context.Background()
	var total int
	if _, err := fmt.Sscan(os.Getenv(childCount), &total); err != nil {
		return err
	}
	st, err := open(ctx, os.Getenv(childAddress))
	if err != nil {
		return err
	}
	e, err := execution.New(execution.Config{Store: st, Kinds: []stage.Kind{effectFile{filepath.Join(dir, "effects")}.kind()}, Resolver: Plain{},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(run) }()
	<-e.Ready()
	acknowledged := effectFile{filepath.Join(dir, "acknowledged")}
	slots := make(chan struct{}, inFlight)
	var wg sync.WaitGroup
	for i := range total {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			for {
				x, _, err := e.Start(ctx, execution.StartRequest{Application: "app", Definition: killPipeline(), TriggerID: "loop", EventID: fmt.Sprint(i)})
				if err != nil {
					pause(5 * time.Millisecond) // the store is unreachable or busy
					continue
				}
				if err := acknowledged.act(x.ID); err != nil {
					continue
				}
				for !x.Status.Complete() {
					pause(5 * time.Millisecond)
					if y, err := e.Get(ctx, x.ID); err == nil {
						x = y
					}
				}
				return
			}
		})
	}
	wg.Wait()
	stop()
	return <-ended
}

// Spawn starts one process of a kill loop, which counts its effects in dir.
func Spawn(t *testing.T, p KillPlan, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childAddress+"="+p.Address, childCount+"="+fmt.Sprint(p.Executions))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// pause lets time go by between what processes of their own do.
func pause(d time.Duration) { <-time.After(d) }

// KillLoop carries a plan out. Lost or doubled effects fail the test, and so
// does anything that is still under way long after the last kill.
func KillLoop(t *testing.T, p KillPlan, open func(ctx context.Context, address string) (execution.Store, error)) {
	t.Helper()
	t.Logf("kill loop: seed %d, %d executions, %d kills, %d replicas", p.Seed, p.Executions, p.Kills, max(p.Replicas, 1))
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(p.Seed, 0))
	var children []*exec.Cmd
	spawn := func() *exec.Cmd { return Spawn(t, p, dir) }
	for range max(p.Replicas, 1) {
		children = append(children, spawn())
	}
	defer func() {
		for _, c := range children {
			_ = c.Process.Kill() // ended already when all went well
			_ = c.Wait()
		}
	}()
	for range p.Kills {
		pause(time.Duration(30+random.IntN(250)) * time.Millisecond) // the random moment is what is tested
		victim := random.IntN(len(children))
		_ = children[victim].Process.Kill()
		_ = children[victim].Wait()
		children[victim] = spawn()
	}
	for i, c := range children {
		done := make(chan error, 1)
		go func() { done <- c.Wait() }()
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("replica %d ended with %v", i, err)
			}
		case <-time.After(60 * time.Second):
			t.Fatal("work was stuck for a minute after the last kill")
		}
	}
	countKills(t, p, dir, open)
}

func countKills(t *testing.T, p KillPlan, dir string, open func(ctx context.Context, address string) (execution.Store, error)) {
	t.Helper()
	st, err := open(t.Context(), p.Address)
	if err != nil {
		t.Fatal(err)
	}
	if c, ok := st.(interface{ Close() error }); ok {
		defer c.Close()
	}
	acks, err := effectFile{filepath.Join(dir, "acknowledged")}.counts()
	if err != nil {
		t.Fatal(err)
	}
	if len(acks) != p.Executions {
		t.Errorf("%d executions were acknowledged for %d events", len(acks), p.Executions)
	}
	for id := range acks {
		snap, err := st.Load(t.Context(), id)
		if err != nil || snap.Head.Status != execution.Succeeded {
			t.Errorf("execution %s was acknowledged and is %s (%v)", id, snap.Head.Status, err)
		}
	}
	effects, err := effectFile{filepath.Join(dir, "effects")}.counts()
	if err != nil {
		t.Fatal(err)
	}
	doubled := 0
	for key, n := range effects {
		if n != 1 {
			doubled++
			t.Errorf("effect %s happened %d times", key, n)
		}
	}
	if want := p.Executions * killEffects; len(effects) != want {
		t.Errorf("%d effects, want %d", len(effects), want)
	}
	t.Logf("%d executions, %d effects, %d doubled", len(acks), len(effects), doubled)
}
