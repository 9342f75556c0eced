package sequential

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"showrunner/internal/plot"
)

// write puts the figures into the document and draws the picture.
func (f figures) write(t *testing.T) {
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- figures: begin -->\n", "<!-- figures: end -->\n"
	head, rest, ok := bytes.Cut(text, []byte(begin))
	_, tail, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the figures", document)
	}
	out := slices.Concat(head, []byte(begin), []byte(f.text()), []byte(end), tail)
	if err := os.WriteFile(document, out, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(picture, []byte(f.draw()), 0o644); err != nil {
		t.Fatal(err)
	}
}

func table(b *strings.Builder, head []string, rows ...[]string) {
	fmt.Fprintf(b, "| %s |\n|%s\n", strings.Join(head, " | "), strings.Repeat("---|", len(head)))
	for _, r := range rows {
		fmt.Fprintf(b, "| %s |\n", strings.Join(r, " | "))
	}
	b.WriteString("\n")
}

func percentText(v float64) string { return fmt.Sprintf("%.3g %%", 100*v) }

func median(values []float64, format string) string {
	if len(values) == 0 {
		return "-"
	}
	return fmt.Sprintf(format, percentile(values, .5))
}

func (f figures) text() string {
	var b strings.Builder
	n := f.runs
	fmt.Fprintf(&b, "Seed %d and the number of the run; made by `go test ./canary/judge/sequential -run OperatingCharacteristics -update`.\n\n", simulationSeed)
	fmt.Fprintf(&b, "**Shares of events** (half of the load each, alpha 0.01, looked at after every event; %d runs of %d events for the ratio 1, %d of 20000 else):\n\n", n.null, n.events, n.other)
	head, share, events := []string{"true ratio"}, []string{"ever rejected"}, []string{"events, median (p95)"}
	for _, r := range shareRatios {
		o := f.shares[r]
		head, share = append(head, fmt.Sprint(r)), append(share, percentText(o.share()))
		events = append(events, map[bool]string{true: fmt.Sprintf("%.0f (%.0f)", percentile(o.when, .5), percentile(o.when, .95)), false: "-"}[o.share() > .5])
	}
	table(&b, head, share, events)
	fmt.Fprintf(&b, "**Errors during a rollout** (100 requests/s ±50 %%, 1 %% of which fail ±80 %%; weights 5, 10, 25, 50 %% for 300 s each; alpha 0.01; %d runs each, %d with all guards):\n\n", n.other, n.guard)
	head = []string{"true ratio"}
	for _, r := range rolloutRatios {
		head = append(head, fmt.Sprint(r))
	}
	row := func(what string, of map[float64]outcome) []string {
		cells := []string{what}
		for _, r := range rolloutRatios {
			cell := percentText(of[r].share())
			if of[r].share() > .3 {
				cell += fmt.Sprintf(" (%s s, %s requests)", median(of[r].when, "%.0f"), median(of[r].counted, "%.0f"))
			}
			cells = append(cells, cell)
		}
		return cells
	}
	table(&b, head, row("fails, margin 1", f.fail), row("fails, margin 1.2", f.lenient), row("passes early at 1.5", f.pass), row("passes early at 2", f.pass2), row("fails, margin 1, all guards", f.whole))
	fmt.Fprintf(&b, "In brackets: the median time, and the median number of requests that the canary had served.\n\n**Latencies** (lognormal with the deviation 0.6, alpha 0.01, a look every 100 requests of each side, at most %d; %d runs each): share found, and the median number of requests of each side:\n\n", n.most, n.latency)
	head = []string{"slower by"}
	for _, s := range shifts {
		head = append(head, percentText(s))
	}
	var rows [][]string
	for _, name := range latencyTests {
		cells := []string{name}
		for _, s := range shifts {
			o := f.latency[name][s]
			cells = append(cells, percentText(o.share())+map[bool]string{true: " (" + median(o.when, "%.0f") + ")"}[o.share() > .3])
		}
		rows = append(rows, cells)
	}
	table(&b, head, rows...)
	fmt.Fprintf(&b, "**Guards**: versions that are no worse, under conditions that break the tests' assumptions (600 s at 100 requests/s; %d runs each):\n\n", n.guard)
	rows = nil
	for _, g := range f.guards {
		cells := []string{g.what, percentText(g.without.share()), percentText(g.failed.share())}
		for _, name := range []string{GuardSplit, GuardDispersion, GuardDrift} {
			cells = append(cells, percentText(float64(g.tripped[name])/float64(g.failed.runs)))
		}
		rows = append(rows, cells)
	}
	table(&b, []string{"condition", "would fail without guards", "fails", "held by split", "by dispersion", "by drift"}, rows...)
	fmt.Fprintf(&b, "**Failures that swing** by ±80 %% on both sides alike (2 %% of 40 requests/s, half to each side, 600 s; all guards; %d runs each):\n\n", n.guard)
	rows = nil
	for _, s := range f.swings {
		rows = append(rows, []string{fmt.Sprintf("%g s", s.period), fmt.Sprint(s.ratio), percentText(s.failed.share()), median(s.failed.when, "%.0f s"), percentText(float64(s.held) / float64(s.failed.runs))})
	}
	table(&b, []string{"period", "true ratio", "fails", "after, median", "held by dispersion"}, rows...)
	return b.String()
}

// draw shows how soon a rollout's errors are found, and what the test costs.
func (f figures) draw() string {
	cumulative := func(o outcome, most float64) (points [][2]float64) {
		for i := 0; i <= 120; i++ {
			x := math.Pow(most, float64(i)/120)
			n := 0
			for _, w := range o.when {
				if w <= x {
					n++
				}
			}
			points = append(points, [2]float64{x, 100 * float64(n) / float64(max(o.runs, 1))})
		}
		return points
	}
	lines := func(of map[float64]outcome, ratios []float64, most float64) (list []plot.Line) {
		for i, r := range ratios {
			list = append(list, plot.Line{Label: fmt.Sprintf("%g×", r), Class: fmt.Sprintf("c%d", i+1), Points: cumulative(of[r], most)})
		}
		return list
	}
	found := plot.Axis{Label: "found (%)", From: 0, To: 100}
	return plot.Sheet(
		plot.Chart{Title: "Errors during a rollout: failed by then", Width: 860, Height: 320, X: plot.Axis{Label: "seconds since the first request", Log: true, From: 1, To: rolloutSeconds}, Y: found,
			Lines: lines(f.fail, []float64{1, 1.5, 2, 3, 5, 10}, rolloutSeconds)},
		plot.Chart{Title: "The same with every guard", Width: 860, Height: 320, X: plot.Axis{Label: "seconds since the first request", Log: true, From: 1, To: rolloutSeconds}, Y: found,
			Lines: lines(f.whole, []float64{1, 1.5, 2, 3, 5, 10}, rolloutSeconds)},
		plot.Chart{Title: "Latency, all quantiles (band): found by then", Width: 860, Height: 320, X: plot.Axis{Label: "requests of each side", Log: true, From: 100, To: 20000}, Y: found,
			Lines: func() (list []plot.Line) {
				for i, s := range []float64{0, .1, .2, .5, 1} {
					l := plot.Line{Label: fmt.Sprintf("+%g %%", 100*s), Class: fmt.Sprintf("c%d", i+1)}
					for _, p := range cumulative(f.latency["band"][s], 20000) {
						if p[0] >= 100 {
							l.Points = append(l.Points, p)
						}
					}
					list = append(list, l)
				}
				return list
			}()},
	)
}
