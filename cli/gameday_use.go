package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"showrunner/api"
	"showrunner/api/client"
	"showrunner/chaos/gameday"
	"showrunner/control"
	"showrunner/problem"
)

// gamedayUnder holds a game day on a running environment, puts back what it changed, and
// has the control plane keep the report.
func (a *app) gamedayUnder(cmd *cobra.Command, s gameday.Settings, regions []string, out string) error {
	ctx := cmd.Context()
	dir, err := os.MkdirTemp("", "showrunner-gameday-")
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "gameday", "a folder for its service")
	}
	defer os.RemoveAll(dir)
	g := &gamedayService{app: a, client: a.connect(), regions: regions, folder: dir, seed: s.Seed}
	var version api.Version
	if err := g.client.Do(ctx, http.MethodGet, "/version", nil, &version); err != nil {
		return err
	}
	if g.edge = version.Edge; g.edge == "" {
		return problem.New(problem.Precondition, "gameday", "the control plane does not say where its edge is").WithHelp("start it with --edge")
	}
	known, err := g.regionsOf(ctx)
	if err != nil {
		return err
	}
	if g.regions, err = localRegions(known, regions); err != nil {
		return err
	}
	var weights []control.EdgeRegion
	if err := g.do(ctx, http.MethodGet, "/edge/regions", nil, &weights); err != nil {
		return err
	}
	report, err := a.holdGameday(ctx, s, g, out)
	after := g.putBack(context.WithoutCancel(ctx), weights)
	if err != nil {
		return err
	}
	if after != nil {
		a.say("not everything is as it was before: %s", problem.Text(after))
	}
	var kept gameday.Summary
	if err := g.do(context.WithoutCancel(ctx), http.MethodPost, "/chaos/gamedays", report, &kept); err != nil {
		a.say("the report is in %s, and not kept in the control plane: %s", out, problem.Text(err))
	} else {
		a.say("the control plane keeps the report: showrunner gameday show %s", kept.ID)
	}
	return a.gamedayEnded(report, out)
}

// localRegions are the regions of the local cloud, or those chosen of them.
func localRegions(known []control.RegionStatus, chosen []string) (names []string, err error) {
	there := map[string]bool{}
	for _, r := range known {
		if r.Account == control.DefaultAccount {
			there[r.Name] = true
			names = append(names, r.Name)
		}
	}
	if len(chosen) > 0 {
		names = chosen
	}
	for _, name := range names {
		if !there[name] {
			return nil, problem.New(problem.NotFound, "gameday", "there is no region %q of the local cloud", name).WithHelp("showrunner regions lists them")
		}
	}
	if len(names) == 0 {
		return nil, problem.New(problem.Precondition, "gameday", "the control plane has no region of the local cloud")
	}
	return names, nil
}

// putBack gives the regions their weights of before, forgets the service's pipeline, and
// leaves one instance of it in each region: the last ones are not taken away.
func (g *gamedayService) putBack(ctx context.Context, before []control.EdgeRegion) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	weights := map[string]*float64{}
	for _, r := range before {
		weights[r.Name] = r.Weight
	}
	var list []control.EdgeRegion
	if err := g.do(ctx, http.MethodPatch, "/edge/weights", weights, &list); err != nil {
		return err
	}
	one := 1
	if err := g.do(ctx, http.MethodPatch, "/clusters/"+gamedayName, control.ClusterChange{Capacity: &control.CapacityChange{Min: &one, Desired: &one}}, nil, client.IdempotencyKey(g.key("shrink"))); err != nil {
		return err
	}
	return g.do(ctx, http.MethodDelete, "/applications/"+gamedayName, nil, nil)
}

func newGamedayList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Game days whose reports the control plane keeps, the newest first", Args: exactArgs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var list []gameday.Summary
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos/gamedays", nil, &list); err != nil {
				return err
			}
			return a.print(list, func() (ids []string) {
				for _, g := range list {
					ids = append(ids, g.ID)
				}
				return ids
			}, func(w io.Writer) {
				row(w, "GAME DAY", "RESULT", "BEGAN", "TOOK", "BY", "VERDICT")
				for _, g := range list {
					result := "passed"
					if !g.Passed {
						result = "failed"
					}
					row(w, g.ID, result, stamp(g.Began), g.Took.Duration().Round(time.Second), g.By, g.Verdict)
				}
			})
		},
	}
}

func newGamedayShow(a *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "show GAMEDAY", Short: "The report of a game day", Args: exactArgs("GAMEDAY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var r gameday.Report
			if err := a.connect().Do(cmd.Context(), http.MethodGet, "/chaos/gamedays/"+seg(args[0]), nil, &r); err != nil {
				return err
			}
			if out != "" {
				if err := writeGameday(out, &r); err != nil {
					return err
				}
				a.say("report: %s", filepath.Join(out, "report.html"))
			}
			return a.print(r, func() []string { return []string{r.ID()} }, func(w io.Writer) {
				for line := range strings.Lines(r.Markdown()) {
					fmt.Fprintln(w, clean(strings.TrimSuffix(line, "\n")))
				}
			})
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "write report.html, report.md and report.json into a folder")
	return cmd
}

func newGamedayRecord(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "record REPORT.JSON", Short: "Have the control plane keep the report of a game day", Args: exactArgs("REPORT.JSON"),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readFile(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var r gameday.Report
			if err := json.Unmarshal(text, &r); err != nil {
				return problem.Wrap(err, problem.Invalid, "gameday", "%s is no report of a game day", args[0]).WithHelp("report.json of its folder is one")
			}
			var kept gameday.Summary
			if err := a.connect().Do(cmd.Context(), http.MethodPost, "/chaos/gamedays", r, &kept); err != nil {
				return err
			}
			return a.print(kept, func() []string { return []string{kept.ID} }, func(w io.Writer) { fmt.Fprintln(w, kept.ID) })
		},
	}
}

// gamedayFault is the request for a fault of a game day: a mild one, as it hits one
// instance of a service that has several.
func gamedayFault(kind string) (r control.FaultRequest) {
	switch kind {
	case "latency", "slow-close":
		r.LatencyMillis = 100
	case "errors":
		r.Status = http.StatusServiceUnavailable
	case "bandwidth":
		r.Bandwidth = 100_000
	case "cpu":
		r.Cores = 0.5
	case "memory", "disk":
		r.Bytes = 64 << 20
	}
	if !strings.HasPrefix(kind, "region") && kind != "partition" {
		r.Cluster, r.Count = gamedayName, 1
	}
	return r
}

// Fault implements gameday.Environment.
func (g *gamedayService) Fault(ctx context.Context, kind string, choice float64, lasts time.Duration, gone func(gameday.Effect)) error {
	r := gamedayFault(kind)
	region, since := pick(g.regions, choice), time.Now()
	for _, k := range control.KnownFaults() {
		if string(k) == kind {
			r.Kind = k
		}
	}
	r.Region, r.DurationSeconds, r.DuringRollouts = region, lasts.Seconds(), true
	var fault control.ChaosFault
	if err := g.do(ctx, http.MethodPost, "/chaos/faults", r, &fault, client.IdempotencyKey(g.key("fault"))); err != nil {
		return err
	}
	what := fmt.Sprintf("%s in %s for %s", kind, region, lasts.Round(time.Second))
	if len(fault.Instances) > 0 {
		what = fmt.Sprintf("%s of %s", what, strings.Join(fault.Instances, ", "))
	}
	gone(gameday.Effect{What: what, Region: region, Since: since})
	return g.faultEnds(ctx, fault)
}

// faultEnds waits until a fault is over, and is undone at once when ctx ends.
func (g *gamedayService) faultEnds(ctx context.Context, fault control.ChaosFault) error {
	held := context.WithoutCancel(ctx)
	for {
		wait := max(time.Until(fault.Until), 200*time.Millisecond)
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return g.do(held, http.MethodPost, "/chaos/faults/"+seg(fault.ID)+"/undo", nil, &fault)
		case <-timer.C:
		}
		var list []control.ChaosFault
		if err := g.do(held, http.MethodGet, "/chaos/faults", nil, &list); err != nil {
			return err
		}
		open := false
		for _, f := range list {
			if f.ID != fault.ID {
				continue
			}
			if open = f.Open(); f.State == control.FaultFailed {
				return problem.New(problem.Precondition, "gameday", "the fault failed: %s", f.Reason)
			}
		}
		if !open {
			return nil
		}
	}
}
