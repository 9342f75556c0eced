// Package fleet measures what the fleet costs and how fast it heals: the time
// from an instance's death to its replacement answering, the memory of a region
// for its instances, what a region keeps after hundreds of deployments, and how
// long a list of a thousand instances takes.
//
//	make build && cd bench && go run ./scale fleet -showrunner ../bin/showrunner
//
// The instances of the list are simulated, by a region that only says that it
// has them; everything that lists them is the built program.
package fleet

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/local"
	"showrunner/cloud"
	"showrunner/pipeline"
)

// instanceVariable makes this program an instance.
const instanceVariable = "BENCH_INSTANCE"

// Budgets.
const (
	mostReplacement = 500 * time.Millisecond
	mostIdle        = 64 << 20 // of a region, in bytes
	mostList        = 100 * time.Millisecond
	mostPaint       = time.Second
)

type settings struct {
	exe                                          string
	kills, serving, many, simulated, deployments int
	seed                                         uint64
}

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("scale fleet", flag.ExitOnError)
	if os.Getenv(instanceVariable) != "" {
		fmt.Fprintln(os.Stderr, instance())
		os.Exit(1)
	}
	var s settings
	exe := command.ProgramFlag(flags)
	parts := flags.String("parts", "replacement,memory,growth,list", "what to measure")
	flags.IntVar(&s.kills, "kills", 40, "instances killed (SIGKILL), one after the other")
	flags.IntVar(&s.serving, "serving", 6, "instances that serve meanwhile")
	flags.IntVar(&s.many, "many", 100, "instances of the memory's measurement")
	flags.IntVar(&s.deployments, "deployments", 240, "deployments of the growth's measurement, at least 8")
	flags.IntVar(&s.simulated, "simulated", 1000, "instances of the list")
	flags.Uint64Var(&s.seed, "seed", 0, "of which instance is killed; 0 draws one")
	_ = flags.Parse(args) // the flag set exits on an error
	s.exe = *exe
	if s.seed == 0 {
		s.seed = rand.Uint64()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	all := true
	for _, part := range strings.Split(*parts, ",") {
		measure := map[string]func(context.Context, settings) (bool, error){"replacement": replacement, "memory": memory, "growth": growth, "list": list}[part]
		if measure == nil {
			fmt.Fprintf(os.Stderr, "fleet: there is no part %q\n", part)
			os.Exit(2)
		}
		met, err := measure(ctx, s)
		if err != nil {
			fmt.Fprintf(os.Stderr, "fleet: %s: %v\n", part, err)
			os.Exit(2)
		}
		all = all && met
	}
	if !all {
		os.Exit(1)
	}
}

// instance is the service: it only answers.
func instance() error {
	return http.ListenAndServe(net.JoinHostPort(os.Getenv("HOST"), os.Getenv("PORT")), http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
}

func spec(n int) cloud.ServerGroupSpec {
	return cloud.ServerGroupSpec{Cluster: "bench", Workload: cloud.Workload{Process: &cloud.Process{Command: []string{"./service", "fleet"}}}, Version: "1", Weight: 100, Drain: time.Second, StopTimeout: 5 * time.Second, Env: cloud.Values(map[string]string{instanceVariable: "1"}),
		Health:   pipeline.Health{Path: "/healthz", Interval: pipeline.Duration(500 * time.Millisecond), Timeout: pipeline.Duration(time.Second)},
		Capacity: pipeline.Capacity{Min: n, Desired: n, Max: 2 * n}}
}

// replacement kills instances and measures the time from each signal until a new
// instance is in service and answers.
func replacement(ctx context.Context, s settings) (met bool, err error) {
	alone, err := startUp(ctx, 20)
	if err != nil {
		return false, err
	}
	region, err := local.Start(ctx, s.exe)
	if err != nil {
		return false, err
	}
	defer region.Stop()
	if _, err := region.Deploy(ctx, spec(s.serving)); err != nil {
		return false, err
	}
	rng := rand.New(rand.NewPCG(s.seed, 0))
	var took []time.Duration
	for range s.kills {
		groups, err := region.Whole(ctx, "bench", time.Minute)
		if err != nil {
			return false, err
		}
		victim := groups[0].Instances[rng.IntN(len(groups[0].Instances))]
		began := time.Now()
		if err := syscall.Kill(victim.PID, syscall.SIGKILL); err != nil {
			return false, err
		}
		if err := replaced(ctx, region, groups[0].Instances); err != nil {
			return false, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2], took[min(len(took)-1, len(took)*99/100)]
	own := alone[len(alone)/2]
	met = p99-own <= mostReplacement
	fmt.Printf("replacement: seed %d, %d kills of %d instances: p50 %s, p99 %s, max %s; the program's own start-up %s (median of %d); without it p50 %s, p99 %s (budget %s): %s\n",
		s.seed, s.kills, s.serving, ms(p50), ms(p99), ms(took[len(took)-1]), ms(own), len(alone), ms(p50-own), ms(p99-own), mostReplacement, verdict(met))
	return met, nil
}

// replaced waits until an instance that is not among the old ones serves and
// answers.
func replaced(ctx context.Context, region *local.Region, old []cloud.Instance) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var last cloud.Changes
	for {
		groups, err := region.Cloud.ServerGroups(ctx, local.Name, "bench")
		if err != nil {
			return err
		}
		for _, i := range groups[0].Instances {
			if i.Serving() && !slices.ContainsFunc(old, func(o cloud.Instance) bool { return o.ID == i.ID }) {
				return answers(ctx, i.Address)
			}
		}
		if last, err = region.Cloud.WaitChanges(ctx, local.Name, last.Revision); err != nil {
			return err
		}
	}
}

// answers repeats a request until it is answered, as fast as refused connections
// allow.
func answers(ctx context.Context, address string) error {
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			defer c.Close()
			if _, err = c.Write([]byte("GET /healthz HTTP/1.0\r\n\r\n")); err == nil {
				_, err = c.Read(make([]byte, 1))
			}
		}
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", address, err)
		}
	}
}

// startUp is the time from the service's start to its first answer, without other
// instances.
func startUp(ctx context.Context, n int) (took []time.Duration, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		host, port, err := net.SplitHostPort(l.Addr().String())
		l.Close()
		if err != nil {
			return nil, err
		}
		began := time.Now()
		process, err := os.StartProcess(self, []string{self, "fleet"}, &os.ProcAttr{Env: append(os.Environ(), instanceVariable+"=1", "HOST="+host, "PORT="+port)})
		if err != nil {
			return nil, err
		}
		err = answers(ctx, net.JoinHostPort(host, port))
		took = append(took, time.Since(began))
		_ = process.Kill()
		_, _ = process.Wait() // it was killed
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(took)
	return took, nil
}

// memory measures a region process without instances and with many.
func memory(ctx context.Context, s settings) (met bool, err error) {
	region, err := local.Start(ctx, s.exe)
	if err != nil {
		return false, err
	}
	defer region.Stop()
	settle := func() (int64, error) { // the minimum over a while, since the amount of uncollected garbage is random
		least := int64(1) << 62
		for range 20 {
			select {
			case <-time.After(250 * time.Millisecond):
			case <-ctx.Done():
				return 0, ctx.Err()
			}
			now, err := local.Resident(region.PID)
			if err != nil {
				return 0, err
			}
			least = min(least, now)
		}
		return least, nil
	}
	idle, err := settle()
	if err != nil {
		return false, err
	}
	began := time.Now()
	if _, err := region.Deploy(ctx, spec(s.many)); err != nil {
		return false, err
	}
	up := time.Since(began)
	full, err := settle()
	if err != nil {
		return false, err
	}
	met = idle <= mostIdle
	fmt.Printf("memory: a region without instances %.1f MiB (budget %d MiB: %s); with %d real ones, all serving after %s, %.1f MiB: %.1f MiB for 100 instances\n",
		mib(idle), mostIdle>>20, verdict(met), s.many, up.Round(time.Millisecond), mib(full), mib(full-idle)*100/float64(s.many))
	return met, nil
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func ms(d time.Duration) string { return fmt.Sprintf("%.1fms", d.Seconds()*1000) }

func verdict(met bool) string { return map[bool]string{true: "met", false: "NOT met"}[met] }
