package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/chaos/gameday"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
)

func newGamedayCommand(a *app) *cobra.Command {
	s := gameday.Settings{Length: gameday.Seconds(10 * time.Minute), Rate: 1000, Kills: 50, Deployments: 10, Zones: 1, Regions: 1, Healing: true}
	var o upOptions
	var out string
	var unhealed, keep, use bool
	cmd := &cobra.Command{
		Use: "gameday", Short: "Rehearse outages under load and report what users noticed",
		Long: `Gameday starts an environment of its own on this machine (control plane, edge and the
local regions, with free ports and a data folder that is removed afterwards), delivers a
service into every region, and then for a chosen time keeps requests coming while it

  delivers new versions by canary,
  ends instances as in a power cut,
  takes a zone away, and a region.

The first and the last tenth of the time are quiet, for comparison. The report says what
users noticed: requests, failures and why, availability, p50 and p99 before, during and
after, and how long each recovery took. It is written as Markdown, JSON and a page with a
picture. The same seed and options give the same plan.

The exit code is 0 when no repeatable request failed and everything was recovered from,
and 1 otherwise. With --without-healing nothing is replaced, to see that it can fail.

--faults begins faults besides, each for a part of the time: latency, restart, hang,
region-outage and the other kinds of "showrunner chaos fault start". Those of instances hit one
instance of a region each.

--use holds it on a running environment (--data, --server) in place of one of its own: it
delivers the service there as the application gameday, gives every region a share of the
requests, and puts the shares back afterwards. The pipeline is removed then, and one
instance of the service stays in each region. The control plane keeps the report: list
and show read it, and the page of chaos has it. Outages hit everything that runs there.

It needs git and go. Ctrl-C ends it early, with a report of what there was.`,
		Example: "  showrunner gameday\n  showrunner gameday --for 2m --rate 300 --kills 10 --deployments 3 --seed 42\n  showrunner gameday --for 1m --without-healing\n  showrunner gameday --use --for 3m --rate 200 --kills 5 --deployments 1 --faults latency,restart",
		Args:    exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s.Healing = !unhealed
			if s.Seed == 0 {
				s.Seed = rand.Uint64()>>1 | 1
			}
			if err := checkGamedayFaults(s.Faults); err != nil {
				return err
			}
			if _, err := s.Plan(); err != nil {
				return err
			}
			if out == "" {
				out = fmt.Sprintf("gameday-%d", s.Seed)
			}
			if err := needsTools(); err != nil {
				return err
			}
			if use {
				if !cmd.Flags().Changed("regions") {
					o.regions = nil
				}
				if keep {
					return usage("--keep: --use has no data folder of its own")
				}
				return a.gamedayUnder(cmd, s, o.regions, out)
			}
			return a.gameday(cmd, s, o, out, keep)
		},
	}
	f := cmd.Flags()
	f.DurationVar((*time.Duration)(&s.Length), "for", s.Length.Duration(), "how long it lasts")
	f.IntVar(&s.Rate, "rate", s.Rate, "requests a second that may be repeated; others are made at a tenth of it")
	f.IntVar(&s.Kills, "kills", s.Kills, "instances to end")
	f.IntVar(&s.Deployments, "deployments", s.Deployments, "versions to deliver")
	f.IntVar(&s.Zones, "zone-outages", s.Zones, "outages of a zone")
	f.IntVar(&s.Regions, "region-outages", s.Regions, "outages of a region")
	f.Uint64Var(&s.Seed, "seed", 0, "seed of the plan (default: drawn, and in the report)")
	f.StringVar(&out, "out", "", "folder of the report (default gameday-SEED)")
	f.BoolVar(&unhealed, "without-healing", false, "replace nothing, to see that the report can fail")
	f.StringSliceVar(&s.Faults, "faults", nil, "kinds of faults to begin besides, such as latency,restart,region-outage; one may be named several times")
	f.BoolVar(&use, "use", false, "hold it on a running environment, and have its control plane keep the report")
	f.BoolVar(&keep, "keep", false, "keep the data folder afterwards, to look at logs")
	f.StringSliceVar(&o.regions, "regions", []string{"us-west-2", "us-east-1", "eu-west-1"}, "local regions (with --use: all that there are)")
	cmd.AddCommand(newGamedayList(a), newGamedayShow(a), newGamedayRecord(a))
	return cmd
}

// checkGamedayFaults refuses kinds that are not there, or that a game day does not hold.
func checkGamedayFaults(kinds []string) error {
	var known []string
	for _, k := range control.KnownFaults() {
		if k != control.FaultDatabase && k != control.FaultSlowDisk && k != "zone-outage" {
			known = append(known, string(k))
		}
	}
	for _, kind := range kinds {
		if !slices.Contains(known, kind) {
			return usage("--faults: there is no fault %q for a game day", kind).WithHelp("one of %s; --zone-outages has outages of a zone", strings.Join(known, ", "))
		}
	}
	return nil
}

// needsTools refuses a game day without the programs that deliver the service.
func needsTools() error {
	for _, name := range []string{"git", "go"} {
		if _, err := exec.LookPath(name); err != nil {
			return problem.New(problem.Precondition, "gameday", "no %s command is there", name).WithHelp("install it: the service is a Git repository, built with Go")
		}
	}
	return nil
}

// errGamedayOver ends the environment once the report is there.
var errGamedayOver = errors.New("the game day is over")

// gameday starts an environment in a folder of its own, and holds a game day on it.
func (a *app) gameday(cmd *cobra.Command, s gameday.Settings, o upOptions, out string, keep bool) error {
	if !cmd.Flags().Changed("data") {
		dir, err := os.MkdirTemp("", "showrunner-gameday-")
		if err != nil {
			return problem.Wrap(err, problem.Unavailable, "gameday", "a folder for its data")
		}
		a.data = dir
		if keep {
			a.say("the data folder is %s", dir)
		} else {
			defer os.RemoveAll(dir)
		}
	}
	o.listen, o.edge, o.aws = "127.0.0.1:0", "127.0.0.1:0", ""
	var err error
	if o.listen, err = fixedPort(o.listen); err == nil {
		o.edge, err = fixedPort(o.edge)
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "gameday", "finding free ports")
	}
	a.server = ""
	var report *gameday.Report
	err = a.up(context.WithoutCancel(cmd.Context()), o, func(ctx context.Context) error {
		// The environment outlives an interrupt, so that outages are taken back and the
		// report is written.
		held, stop := context.WithCancel(ctx)
		defer stop()
		defer context.AfterFunc(cmd.Context(), stop)()
		g := &gamedayService{app: a, client: a.connect(), edge: o.edge, regions: o.regions, folder: filepath.Join(a.data, "gameday"), seed: s.Seed}
		if report, err = a.holdGameday(held, s, g, out); err != nil {
			return err
		}
		return errGamedayOver
	})
	if err != nil && !errors.Is(err, errGamedayOver) {
		return err
	}
	if report == nil {
		return problem.New(problem.Internal, "gameday", "the environment ended before the game day")
	}
	return a.gamedayEnded(report, out)
}

// gamedayEnded prints the verdict; a game day that failed is an error.
func (a *app) gamedayEnded(report *gameday.Report, out string) error {
	if err := a.print(report, func() []string { return []string{report.Verdict()} }, func(w io.Writer) {
		fmt.Fprintf(w, "%s\nreport: %s\n", report.Verdict(), filepath.Join(out, "report.html"))
	}); err != nil {
		return err
	}
	if !report.Passed {
		return exitError{exitFailed}
	}
	return nil
}

// holdGameday delivers the service, holds the game day, and writes the report.
func (a *app) holdGameday(ctx context.Context, s gameday.Settings, g *gamedayService, out string) (*gameday.Report, error) {
	a.say("delivering the service into %d regions; the first build takes up to a minute", len(g.regions))
	if err := g.prepare(ctx); err != nil {
		return nil, err
	}
	a.say("game day with seed %d: %s at %d requests a second", s.Seed, s.Length.Duration(), s.Rate)
	r, err := gameday.Run(ctx, s, g, a.say)
	if err != nil {
		return nil, err
	}
	return r, writeGameday(out, r)
}

// writeGameday writes report.json, report.md and report.html.
func writeGameday(dir string, r *gameday.Report) error {
	const op = "gameday"
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return problem.Wrap(err, problem.Invalid, op, "the folder of the report").WithHelp("choose another one with --out")
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "encoding the report")
	}
	page, err := os.Create(filepath.Join(dir, "report.html"))
	if err == nil {
		err = errors.Join(r.Page(page), page.Close(), os.WriteFile(filepath.Join(dir, "report.json"), append(text, '\n'), 0o644),
			os.WriteFile(filepath.Join(dir, "report.md"), []byte(r.Markdown()), 0o644))
	}
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "writing the report into %s", dir)
	}
	return nil
}

// regionsOf lists the regions as control knows them.
func (g *gamedayService) regionsOf(ctx context.Context) ([]control.RegionStatus, error) {
	var list []control.RegionStatus
	err := g.do(ctx, http.MethodGet, "/regions", nil, &list)
	return list, err
}

// do is a request of the API, made again while control restarts.
func (g *gamedayService) do(ctx context.Context, method, path string, in, out any, options ...client.Option) error {
	return retry(ctx, patience, func() error { return g.client.Do(ctx, method, path, in, out, options...) })
}

// execute starts a run and waits until it has ended.
func (g *gamedayService) execute(ctx context.Context, key string) (execution.Execution, error) {
	var started api.Started
	err := g.do(ctx, http.MethodPost, "/applications/"+gamedayName+"/pipelines/release/executions", control.RunRequest{}, &started, client.IdempotencyKey(key))
	if err != nil {
		return execution.Execution{}, err
	}
	for {
		var e execution.Execution
		if err := g.do(ctx, http.MethodGet, "/executions/"+seg(started.Execution.ID), nil, &e); err != nil {
			return e, err
		}
		if e.Status.Complete() {
			return e, nil
		}
		select {
		case <-ctx.Done():
			return e, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}
