package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"showrunner/api/client"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/store/record"
)

// logEnd is the position of the newest event: what is read from there on is new.
func (a *app) logEnd(ctx context.Context, c *client.Client) (int64, error) {
	var page struct {
		Next int64 `json:"next"`
	}
	err := retry(ctx, connectPatience, func() error {
		return c.Do(ctx, http.MethodGet, "/events"+query("from", "-1", "limit", "1"), nil, &page)
	})
	return page.Next, err
}

// tell prints a line for each change of any run after a position, until ctx
// ends. The run known was told of before.
func (a *app) tell(ctx context.Context, c *client.Client, position int64, known string) {
	views := map[string]*plainView{}
	for ctx.Err() == nil {
		// It ends when the control plane is unreachable for long, and begins again.
		_ = c.Follow(ctx, position, record.Filter{Types: []string{"execution.", "stage.", "trigger."}}, patience, func(e client.Event) error {
			position = max(position, e.Position)
			if e.Execution != known {
				a.tellEvent(ctx, c, views, e.Event)
			}
			return nil
		})
	}
}

func (a *app) tellEvent(ctx context.Context, c *client.Client, views map[string]*plainView, event record.Event) {
	if strings.HasPrefix(event.Type, "trigger.") {
		var d struct{ Error string }
		_ = json.Unmarshal(event.Data, &d) // an event without says what it is about all the same
		a.say("%s", strings.TrimSpace(clean(fmt.Sprintf("%s %s of %s/%s %s", now(), event.Type, event.Application, event.Pipeline, d.Error))))
		return
	}
	if event.Execution == "" {
		return
	}
	var e execution.Execution
	if err := c.Do(ctx, http.MethodGet, "/executions/"+seg(event.Execution), nil, &e); err != nil {
		return // a later event of the same run shows it again
	}
	v := views[e.ID]
	if v == nil {
		v = newPlainView(a)
		views[e.ID] = v
		a.say("")
		a.say("%s run=%s/%s#%d started by %s  %s", now(), e.Application, e.Pipeline, e.Number, e.By, clean(revisionNote(&e)))
	}
	before := v.seen[""]
	v.show(e)
	if e.Status.Complete() && v.seen[""] != before {
		for _, line := range a.failures(e) {
			a.say("%s", line)
		}
	}
}

func now() string { return time.Now().Format("15:04:05") }

// fleetEvery is how often the fleet is looked at: instances come and go without
// an event in the log.
const fleetEvery = time.Second

// tellFleet prints a line when instances that should serve do not, and when they
// do again, until ctx ends.
func (a *app) tellFleet(ctx context.Context, c *client.Client) {
	f := newFleetWatch()
	clock := time.NewTicker(fleetEvery)
	defer clock.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-clock.C:
		}
		var clusters []control.Cluster
		if err := c.Do(ctx, http.MethodGet, "/clusters", nil, &clusters); err != nil {
			continue // the supervisor tells of a control plane that is unreachable
		}
		for _, line := range f.changes(clusters) {
			a.say("%s %s", now(), clean(line))
		}
	}
}

// fleetWatch remembers what was said of the fleet.
type fleetWatch struct {
	whole map[string]bool   // groups that have had all of their instances: a rollout's new one has not yet
	said  map[string]string // by group, or by cluster and region
	ended map[string]string // when an instance of a group last failed
}

func newFleetWatch() *fleetWatch {
	return &fleetWatch{whole: map[string]bool{}, said: map[string]string{}, ended: map[string]string{}}
}

// failed tells of an instance that has failed since the last look: its
// replacement may serve already.
func (f *fleetWatch) failed(where string, g cloud.ServerGroup) string {
	if g.LastFailure == nil {
		f.ended[where] = ""
		return ""
	}
	at := g.LastFailure.At.String()
	before, known := f.ended[where]
	if f.ended[where] = at; !known || before == at {
		return ""
	}
	return fmt.Sprintf("%s: an instance failed, %s: %s; %d of %d serve", where, g.LastFailure.Code, g.LastFailure.Cause, g.Serving(), g.Capacity.Desired)
}

const regionUnreachable = "the region is unreachable; the edge serves from the others"

// changes compares what serves with what was said, and keeps what is said now.
func (f *fleetWatch) changes(clusters []control.Cluster) []string {
	var lines []string
	standing := map[string]string{} // "" where all is well
	again := map[string]string{}
	for _, cluster := range clusters {
		for _, g := range cluster.Groups {
			where, serving := g.Name+" in "+g.Region, g.Serving()
			if line := f.failed(where, g); line != "" {
				lines = append(lines, line)
			}
			switch {
			case !g.Enabled() || g.Capacity.Desired == 0:
			case serving >= g.Capacity.Desired:
				f.whole[where], standing[where] = true, ""
				again[where] = fmt.Sprintf("%d of %d instances serve again", serving, g.Capacity.Desired)
			case f.whole[where]:
				standing[where] = fmt.Sprintf("%d of %d instances serve", serving, g.Capacity.Desired)
			}
		}
		for region := range cluster.Unreachable {
			standing[cluster.Name+" in "+region] = regionUnreachable
		}
	}
	for _, where := range slices.Sorted(maps.Keys(standing)) {
		if state := standing[where]; state != f.said[where] {
			lines = append(lines, where+": "+cmp.Or(state, again[where]))
			f.said[where] = state
		}
	}
	for _, where := range slices.Sorted(maps.Keys(f.said)) {
		if _, ok := standing[where]; ok {
			continue
		}
		if f.said[where] == regionUnreachable {
			lines = append(lines, where+": the region answers again")
		}
		delete(f.said, where) // replaced, or destroyed
	}
	return lines
}
