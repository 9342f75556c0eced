// Package badversions shows that no bad version stays in traffic: the built
// program as `showrunner up` runs it, a good version in three regions under an
// open loop of requests, and a series of bad versions, each with a different
// defect, delivered by the pipeline as a canary.
//
//	make build && cd bench && go run ./load badversions -showrunner ../bin/showrunner
//
// Each has to end with a clear reason (a code, a cause, evidence with the last
// lines, the undone changes, and help). No request that may be repeated may fail,
// no version that was never healthy may answer, and nothing may be left behind:
// the good version serves as before, and no process, server group or folder of
// the bad version exists.
package badversions

import (
	"context"
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

const cluster = "fleet"

// bad is one kind of bad version, and its expected end.
type bad struct {
	name, mode, after, program string
	// codes are the allowed failure codes; none: the delivery succeeds, and the
	// defect shows when the next version replaces it.
	codes []string
	// tells is the text that cause and evidence together have to contain.
	tells []string
	// healthy says that the version is healthy for a while, so that it serves
	// some requests.
	healthy bool
}

// badKinds are all kinds of bad versions.
var badKinds = []bad{
	{name: "never healthy", mode: "never-healthy", codes: []string{"NEVER_HEALTHY", "HEALTH_TIMEOUT"}, tells: []string{"503", "cannot reach the database", "serves version"}},
	{name: "healthy, then crashes", mode: "crashes", codes: []string{"CRASH_LOOP"}, tells: []string{"exit code 3", "panic: index out of range"}, healthy: true},
	{name: "healthy, then SIGSEGV", mode: "kills-itself", codes: []string{"CRASH_LOOP"}, tells: []string{"segmentation"}, healthy: true},
	{name: "exits at once", mode: "exits-at-once", codes: []string{"EXITED"}, tells: []string{"exit code 7", "DATABASE_URL is not set"}},
	{name: "no such program", mode: "", program: "servce", codes: []string{"START_FAILED"}, tells: []string{"no file ./servce"}},
	{name: "ignores SIGTERM", mode: "ignores-sigterm", healthy: true},
	{name: "unhealthy and ignores SIGTERM", mode: "ill-and-deaf", codes: []string{"NEVER_HEALTHY", "HEALTH_TIMEOUT"}, tells: []string{"503"}},
	{name: "leaks file handles", mode: "leaks-handles", codes: []string{"CRASH_LOOP", "HEALTH_TIMEOUT"}, tells: []string{"too many open files"}, healthy: true},
	{name: "eats memory", mode: "eats-memory", codes: []string{"CRASH_LOOP"}, tells: []string{"its limit is 96MiB", "caching"}, healthy: true},
	{name: "listens on a wrong port", mode: "wrong-port", codes: []string{"NEVER_HEALTHY"}, tells: []string{"nothing listens on $PORT"}},
	{name: "listens on 127.0.0.1", mode: "wrong-host", codes: []string{"NEVER_HEALTHY"}, tells: []string{"127.0.0.1"}},
	{name: "starts slowly", mode: "slow-start", after: "1500ms", healthy: true},
	{name: "starts too slowly", mode: "slow-start", after: "1m", codes: []string{"NEVER_HEALTHY"}, tells: []string{"warming caches"}},
	{name: "turns ill", mode: "turns-ill", codes: []string{"CRASH_LOOP", "HEALTH_TIMEOUT"}, tells: []string{"500", "the queue is stuck"}, healthy: true},
	{name: "hangs", mode: "hangs", codes: []string{"CRASH_LOOP", "HEALTH_TIMEOUT"}, tells: []string{"no answer within"}, healthy: true},
	{name: "answers checks too late", mode: "slow-health", codes: []string{"NEVER_HEALTHY"}, tells: []string{"no answer within"}},
	{name: "closes its listener", mode: "closes-listener", codes: []string{"CRASH_LOOP", "HEALTH_TIMEOUT"}, tells: []string{"connection refused", "the listener is closed"}, healthy: true},
	{name: "children survive it", mode: "forks-and-crashes", codes: []string{"CRASH_LOOP"}, tells: []string{"exit code 3", "child"}, healthy: true},
	{name: "writes without end", mode: "floods-and-ill", codes: []string{"NEVER_HEALTHY", "HEALTH_TIMEOUT"}, tells: []string{"retrying the connection"}},
}

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("load badversions", flag.ExitOnError)
	exe := command.ProgramFlag(flags)
	rate := flags.Int("rate", 500, "requests a second that may be repeated")
	only := flags.String("only", "", "modes, separated by commas; empty for all")
	verbose := flags.Bool("v", false, "print each failure whole")
	_ = flags.Parse(args) // the flag set exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	kept, err := run(ctx, *exe, *rate, *only, *verbose)
	if err != nil {
		fmt.Fprintln(os.Stderr, "badversions:", err)
		os.Exit(2)
	}
	if !kept {
		os.Exit(1)
	}
}

func run(ctx context.Context, exe string, rate int, only string, verbose bool) (bool, error) {
	dir, err := os.MkdirTemp("", "badversions-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	w, err := environment.Start(ctx, exe, dir)
	if err != nil {
		return false, err
	}
	t := &trial{World: w, rate: rate, verbose: verbose}
	good, err := t.all(ctx, only)
	w.Stop()
	if err != nil {
		return false, err
	}
	if err := environment.Until(ctx, 5*time.Second, "everything has ended", func() error {
		if list := w.Processes(); len(list) > 0 {
			return fmt.Errorf("%v", list)
		}
		return nil
	}); err != nil {
		good = false
		fmt.Println("  WRONG:", err)
	}
	word := "KEPT"
	if !good {
		word = "NOT KEPT"
	}
	fmt.Printf("%s: %d bad versions, %d of %d repeatable requests failed, %d of %d others\n", word, t.tried, t.total.Safe.Failed, t.total.Safe.Requests, t.total.Unsafe.Failed, t.total.Unsafe.Requests)
	return good, nil
}

// all tries every kind, starting from a good version that is delivered first.
func (t *trial) all(ctx context.Context, only string) (bool, error) {
	var err error
	if t.repository, err = environment.NewRepository(ctx, filepath.Join(t.Dir, "repository")); err != nil {
		return false, err
	}
	if err := environment.Service(ctx, t.repository.Dir); err != nil {
		return false, err
	}
	if err := t.Apply(ctx, t.pipeline()); err != nil {
		return false, err
	}
	if err := t.good(ctx, "first"); err != nil {
		return false, err
	}
	fmt.Printf("%-24s %-5s %-14s %8s %8s %7s %7s %7s  %s\n", "the version", "exit", "code", "took", "requests", "failed", "others", "by it", "cause")
	kept := true
	for _, b := range badKinds {
		if only != "" && !slices.Contains(strings.Split(only, ","), b.mode) {
			continue
		}
		wrong, err := t.try(ctx, b)
		if err != nil {
			return false, fmt.Errorf("%s: %w", b.name, err)
		}
		for _, x := range wrong {
			kept = false
			fmt.Println("  WRONG:", x)
		}
		t.tried++
	}
	return kept, nil
}
