package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The budgets.
const (
	idleP50       = 2.5    // a transition of the only execution, in fdatasyncs of this disk
	idleP99       = 10     // ms
	sustained     = 20_000 // transitions a second, many in flight
	overRiver     = 20     // times as fast, many in flight
	overTemporal  = 100
	manyInFlight  = 64
	peersFraction = 20 // peers do that fraction of the work
)

// verdict compares the measurements with the budgets.
type verdict struct {
	disk  *disk
	unmet int
}

func (v *verdict) judge(met bool, format string, args ...any) {
	word := "met  "
	if !met {
		word = "UNMET"
		v.unmet++
	}
	fmt.Printf("  %s  %s\n", word, fmt.Sprintf(format, args...))
}

func (v *verdict) ours(all []measure) {
	sync := quantile(v.disk.inPlace, 0.5)
	for _, m := range all {
		switch {
		case m.InFlight == 1 && strings.HasSuffix(m.Engine, "sqlite"):
			v.judge(m.StepP50 <= idleP50*sync, "%s, one in flight: transition p50 %.3f ms is %.2f × one fdatasync in place (%.3f ms; growing %.3f ms); at most %.1f", m.Engine, m.StepP50, m.StepP50/sync, sync, quantile(v.disk.growing, 0.5), idleP50)
			v.judge(m.StepP99 <= idleP99, "%s, one in flight: transition p99 %.2f ms; at most %d", m.Engine, m.StepP99, idleP99)
		case m.InFlight == manyInFlight:
			v.judge(m.PerSecond*transitions >= sustained, "%s, %d in flight: %.0f transitions/s; at least %d", m.Engine, m.InFlight, m.PerSecond*transitions, sustained)
		}
	}
}

// means are the means of two measurements of the same work.
func means(before, after []measure) []measure {
	out := slices.Clone(before)
	for i := range out {
		out[i].PerSecond = (before[i].PerSecond + after[i].PerSecond) / 2
	}
	return out
}

// against compares with a peer: River on the same store, Temporal with both.
func (v *verdict) against(all, theirs []measure) {
	for _, m := range theirs {
		peer, on, _ := strings.Cut(m.Engine, " ")
		for _, o := range all {
			if o.InFlight != m.InFlight || peer == "river" && !strings.HasSuffix(o.Engine, on) {
				continue
			}
			times, least := o.PerSecond/m.PerSecond, float64(overRiver)
			if peer == "temporal" {
				least = overTemporal
			}
			if o.InFlight != manyInFlight {
				fmt.Printf("         %s is %.1f × as fast as %s with %d in flight\n", o.Engine, times, m.Engine, o.InFlight)
				continue
			}
			v.judge(times >= least, "%s is %.1f × as fast as %s with %d in flight; at least %.0f", o.Engine, times, m.Engine, o.InFlight, least)
		}
	}
}

func (v *verdict) err() error {
	if v.unmet > 0 {
		return fmt.Errorf("%d budgets are unmet", v.unmet)
	}
	return nil
}

// runPeer runs the same work on a peer, which is a module of its own, and returns
// its measurements, even when it failed afterwards.
func runPeer(name, dir, dsn string, n int, asJSON bool) ([]measure, error) {
	cmd := exec.Command("go", "run", ".", "-dir", dir, "-database", dsn, "-n", strconv.Itoa(max(n/peersFraction, 100)))
	cmd.Dir = filepath.Join("peers", "engine", name)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("the peer %s: %w", name, err)
	}
	var all []measure
	for line := range strings.Lines(string(out)) {
		var m measure
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			return all, fmt.Errorf("the peer %s printed %q: %w", name, line, err)
		}
		print(m, asJSON)
		all = append(all, m)
	}
	return all, err
}
