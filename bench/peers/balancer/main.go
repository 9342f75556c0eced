// Package balancer measures a region's load balancer beside nginx and HAProxy:
// the built program as a region, with its retries, metrics and health checks
// on; the peers as reverse proxies before the same instances; the same load, in
// turns, so that what else the machine does meets all of them.
//
//	make build && cd bench && go run ./peers balancer -showrunner ../bin/showrunner
//
// The ratios to the peers are the result. The budget is 0.7 of nginx's
// throughput, and a 99th percentile at the same load of at most twice its.
// On a machine with other work these ratios tell little; -old measures another
// build of the program in the same rounds.
package balancer

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/local"
	"showrunner/cloud"
	"showrunner/pipeline"
)

// host is the host of the requests.
const host = "bench.localhost"

// Budgets, relative to nginx.
const (
	leastThroughput = 0.7
	mostP99         = 2.0
)

type settings struct {
	exe, old                      string
	rounds, connections, backends int
	size, rate, workers           int
	length                        time.Duration
	closes                        bool
}

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("peers balancer", flag.ExitOnError)
	if os.Getenv(backendVariable) != "" {
		if err := backend(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	var s settings
	exe := command.ProgramFlag(flags)
	flags.StringVar(&s.old, "old", "", "another build of the program, to be measured in turn with it; before instances of its own")
	flags.IntVar(&s.rounds, "rounds", 7, "how often each is measured, in turns; medians are the result")
	flags.DurationVar(&s.length, "for", 4*time.Second, "length of each measurement")
	flags.IntVar(&s.connections, "connections", 64, "kept-alive connections of the load")
	flags.IntVar(&s.backends, "backends", 4, "instances")
	flags.IntVar(&s.size, "size", 1024, "bytes of an answer")
	flags.IntVar(&s.rate, "rate", 0, "requests a second of the steady load; 0: half of what the slowest can do")
	flags.IntVar(&s.workers, "workers", runtime.NumCPU(), "workers of nginx, threads of HAProxy, GOMAXPROCS of the region")
	flags.BoolVar(&s.closes, "close", false, "under full load, each request on a connection of its own")
	_ = flags.Parse(args) // the flag set exits on an error
	s.exe = *exe
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	met, err := run(ctx, s)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "balancer:", err)
		os.Exit(2)
	case !met:
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (met bool, err error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return false, fmt.Errorf("wrk makes the load, and is not installed: %w", err)
	}
	list, stop, err := open(ctx, s)
	if err != nil {
		return false, err
	}
	defer stop()
	fmt.Printf("%d instances answer %d bytes; %d connections; %d workers each; %d rounds of %s\n", s.backends, s.size, s.connections, s.workers, s.rounds, s.length)
	results, err := measure(ctx, s, list)
	if err != nil {
		return false, err
	}
	return report(results), nil
}

// open starts all contenders; the first is the region.
func open(ctx context.Context, s settings) (list []*contender, stop func(), err error) {
	stop = func() {
		for i := len(list) - 1; i >= 0; i-- {
			if list[i].stop != nil {
				list[i].stop()
			}
		}
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	if err := os.Setenv("GOMAXPROCS", strconv.Itoa(s.workers)); err != nil {
		return nil, nil, err
	}
	ours, addresses, err := startRegion(ctx, s, "showrunner", s.exe)
	if err != nil {
		return nil, nil, err
	}
	list = append(list, ours)
	dir, err := os.MkdirTemp("", "bench-balancer-")
	if err != nil {
		return nil, nil, err
	}
	list = append(list, &contender{name: "direct", address: addresses[0], stop: func() { os.RemoveAll(dir) }})
	if s.old != "" {
		old, _, err := startRegion(ctx, s, "old", s.old)
		if err != nil {
			return nil, nil, err
		}
		list = append(list, old)
	}
	for _, peer := range peers {
		c, err := peer.start(ctx, dir, s.workers, addresses)
		switch {
		case errors.Is(err, exec.ErrNotFound):
			fmt.Printf("%s is not installed: it is left out\n", peer.name)
		case err != nil:
			return nil, nil, err
		default:
			list = append(list, c)
		}
	}
	return list, stop, nil
}

// startRegion runs exe as a region with instances, and returns their addresses.
func startRegion(ctx context.Context, s settings, name, exe string) (c *contender, addresses []string, err error) {
	region, err := local.Start(ctx, exe)
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			region.Stop()
		}
	}()
	if _, err := region.Deploy(ctx, cloud.ServerGroupSpec{Cluster: "bench", Workload: cloud.Workload{Process: &cloud.Process{Command: []string{"./service", "balancer"}}}, Version: "1", Weight: 100, Drain: time.Second, StopTimeout: 5 * time.Second,
		Env:      cloud.Values(map[string]string{backendVariable: strconv.Itoa(s.size)}),
		Health:   pipeline.Health{Path: "/healthz", Interval: pipeline.Duration(500 * time.Millisecond), Timeout: pipeline.Duration(time.Second)},
		Capacity: pipeline.Capacity{Min: s.backends, Desired: s.backends, Max: s.backends}}); err != nil {
		return nil, nil, err
	}
	groups, err := region.Cloud.ServerGroups(ctx, local.Name, "bench")
	if err != nil {
		return nil, nil, err
	}
	for _, i := range groups[0].Instances {
		addresses = append(addresses, i.Address)
	}
	return &contender{name: name, address: region.Front, stop: region.Stop, pids: func() ([]int, error) { return []int{region.PID}, nil }}, addresses, nil
}

// result is the measurements of one contender, one value a round.
type result struct {
	name                 string
	perSecond, cpu       []float64 // cpu: microseconds a request
	p50, p99             []time.Duration
	steadyP50, steadyP99 []time.Duration
	failed               int
}

// measure runs rounds over the contenders, first at full load and then at a load
// that every contender can take.
func measure(ctx context.Context, s settings, list []*contender) ([]*result, error) {
	var results []*result
	for _, c := range list {
		results = append(results, &result{name: c.name})
		if _, err := full(ctx, c.address, s.connections, time.Second, s.closes); err != nil { // warm-up
			return nil, err
		}
	}
	for round := range s.rounds {
		for _, i := range turns(round, len(list)) {
			c := list[i]
			before, err := c.cpu()
			if err != nil {
				return nil, err
			}
			l, err := full(ctx, c.address, s.connections, s.length, s.closes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			after, err := c.cpu()
			if err != nil {
				return nil, err
			}
			r := results[i]
			r.perSecond = append(r.perSecond, l.requests/l.took.Seconds())
			r.cpu = append(r.cpu, float64((after-before).Microseconds())/l.requests)
			r.p50, r.p99, r.failed = append(r.p50, l.p50), append(r.p99, l.p99), r.failed+l.failed
		}
	}
	rate := s.rate
	if rate == 0 {
		slowest := median(results[0].perSecond)
		for _, r := range results {
			slowest = min(slowest, median(r.perSecond))
		}
		rate = int(slowest / 2)
	}
	fmt.Printf("steady load: %d requests a second\n", rate)
	for round := range s.rounds {
		for _, i := range turns(round, len(list)) {
			c := list[i]
			l, err := steady(ctx, c.address, s.connections, rate, s.length)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			r := results[i]
			r.steadyP50, r.steadyP99, r.failed = append(r.steadyP50, l.p50), append(r.steadyP99, l.p99), r.failed+l.failed
		}
	}
	return results, nil
}

// turns is the order of the contenders in a round: each round begins with another
// one, and every second round is reversed, so that no contender always follows
// the same one.
func turns(round, n int) []int {
	var order []int
	for i := range n {
		order = append(order, (round/2+i)%n)
	}
	if round%2 == 1 {
		slices.Reverse(order)
	}
	return order
}

func (c *contender) cpu() (time.Duration, error) {
	if c.pids == nil {
		return 0, nil
	}
	pids, err := c.pids()
	if err != nil {
		return 0, err
	}
	return local.CPU(pids...)
}

// report prints the medians and the ratios, and says whether the budget is met.
func report(results []*result) bool {
	fmt.Printf("%-11s %11s %8s %9s %9s | steady: %9s %9s | %s\n", "", "requests/s", "CPU µs", "p50", "p99", "p50", "p99", "failed")
	for _, r := range results {
		fmt.Printf("%-11s %11.0f %8.1f %9s %9s |         %9s %9s | %d\n", r.name, median(r.perSecond), median(r.cpu), short(median(r.p50)), short(median(r.p99)),
			short(median(r.steadyP50)), short(median(r.steadyP99)), r.failed)
	}
	ours := results[0]
	met := ours.failed == 0
	for _, r := range results[1:] {
		if r.name == "direct" {
			if busy := median(ours.perSecond) / median(r.perSecond); busy > 0.7 {
				fmt.Printf("the instances are close to what limits this: one of them alone answers %.0f requests a second\n", median(r.perSecond))
			}
			continue
		}
		throughput := ratio(ours.perSecond, r.perSecond)
		p99, steady := ratio(ours.p99, r.p99), ratio(ours.steadyP99, r.steadyP99)
		fmt.Printf("to %s: throughput %.2f (rounds %s), CPU per request %.2f, p99 under full load %.2f, p99 at the same load %.2f (rounds %s)\n", r.name,
			median(throughput), spread(throughput), median(ratio(ours.cpu, r.cpu)), median(p99), median(steady), spread(steady))
		if r.name == "nginx" {
			met = met && median(throughput) >= leastThroughput && median(steady) <= mostP99
		}
	}
	verdict := map[bool]string{true: "met", false: "NOT met"}[met]
	fmt.Printf("budget (nothing failed, at least %.1f of nginx's throughput, p99 at the same load at most %.1f of its): %s\n", leastThroughput, mostP99, verdict)
	return met
}

// ratio divides round by round.
func ratio[T float64 | time.Duration](a, b []T) []float64 {
	var list []float64
	for i := range a {
		list = append(list, float64(a[i])/float64(b[i]))
	}
	return list
}

func spread(list []float64) string {
	var all []string
	for _, v := range list {
		all = append(all, fmt.Sprintf("%.2f", v))
	}
	return strings.Join(all, " ")
}

func short(d time.Duration) string { return fmt.Sprintf("%.2fms", d.Seconds()*1000) }
