package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"showrunner/internal/pause"
)

// verdict counts losses and repetitions, from the database's answers and from the
// effects outside.
func (f *fleet) verdict(ctx context.Context, l *load, took time.Duration) error {
	statuses, err := f.executions(ctx)
	if err != nil {
		return err
	}
	positions, err := f.positions(ctx)
	if err != nil {
		return err
	}
	effects, err := f.targets.count()
	if err != nil {
		return err
	}
	keys, calls := f.targets.called()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lost, notDone, doubled, missing, unknown []string
	for id := range l.started {
		if _, there := statuses[id]; !there {
			lost = append(lost, id)
		}
	}
	for id, status := range statuses {
		if _, ours := l.started[id]; !ours {
			unknown = append(unknown, id)
		}
		if status.Status != "Succeeded" {
			notDone = append(notDone, id+" "+status.Status+f.why(ctx, id))
		}
		for _, s := range shellStages[status.Pipeline] {
			key := id + " " + s
			if n := effects[key]; n == 0 {
				missing = append(missing, key)
			} else if n > 1 {
				doubled = append(doubled, fmt.Sprintf("%s ×%d", key, n))
			}
		}
		for _, s := range callStages[status.Pipeline] {
			path := "/" + id + "/" + s
			if n := keys[path]; n == 0 {
				missing = append(missing, path)
			} else if n > 1 {
				doubled = append(doubled, fmt.Sprintf("%s under %d keys", path, n))
			}
		}
	}
	fmt.Printf("%d kills and %d hangs in %s; %d executions acknowledged, %d kept\n", f.killed, f.hangs, took.Round(time.Second), len(l.started), len(statuses))
	fmt.Printf("lost %d, not succeeded %d, started twice %d, kept but never acknowledged %d\n", len(lost), len(notDone), len(l.unlike), len(unknown))
	fmt.Printf("effects: %d by shell, %d calls under %d keys; twice %d, missing %d\n", len(effects), calls, len(keys), len(doubled), len(missing))
	fmt.Printf("stuck longer than %s: %d (longest without an event: %s); answers that said come back later: %d\n", stuckAfter, len(l.stuck), l.longest.Round(time.Millisecond), l.busy)
	fmt.Printf("event log: %d read while it happened, %d when read again from 0, repeated %d\n", len(l.seen), len(positions), l.repeated)
	var errs []error
	for what, list := range map[string][]string{"lost": lost, "not succeeded": notDone, "started twice": l.unlike, "never acknowledged": unknown,
		"effects twice": doubled, "effects missing": missing, "stuck": l.stuck} {
		if len(list) > 0 {
			errs = append(errs, fmt.Errorf("%s: %v", what, list[:min(len(list), 10)]))
		}
	}
	// Events after the last reading do not count as a difference.
	if n := len(l.seen); l.repeated > 0 || n > len(positions) || !slices.Equal(l.seen, positions[:n]) {
		errs = append(errs, errors.New("the log read while it happened is not the log read afterwards"))
	}
	return errors.Join(errs...)
}

type status struct{ ID, Pipeline, Status string }

// why returns the reasons of an execution's failed stages.
func (f *fleet) why(ctx context.Context, id string) string {
	var x struct {
		Stages []struct {
			Name, Status, Reason string
			Failure              json.RawMessage
		}
	}
	if err := f.ask(ctx, "/api/v1/executions/"+id, &x); err != nil {
		return " (" + err.Error() + ")"
	}
	text := ""
	for _, s := range x.Stages {
		if s.Failure != nil || s.Reason != "" {
			text += fmt.Sprintf("; %s %s %s %s", s.Name, s.Status, s.Reason, s.Failure)
		}
	}
	return text
}

// executions lists all executions that are kept.
func (f *fleet) executions(ctx context.Context) (map[string]status, error) {
	all := map[string]status{}
	for after := ""; ; {
		var page struct {
			Executions []status
			Next       string
		}
		if err := f.ask(ctx, "/api/v1/executions?limit=500&after="+after, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Executions {
			all[e.ID] = e
		}
		if after = page.Next; after == "" {
			return all, nil
		}
	}
}

// positions reads the log from its beginning.
func (f *fleet) positions(ctx context.Context) ([]int64, error) {
	var all []int64
	for from := int64(0); ; {
		var page struct {
			Events []event
			Next   int64
		}
		if err := f.ask(ctx, "/api/v1/events?limit=1000&from="+strconv.FormatInt(from, 10), &page); err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			all = append(all, e.Position)
		}
		if page.Next <= from {
			return all, nil
		}
		from = page.Next
	}
}

// ask queries any replica that answers.
func (f *fleet) ask(ctx context.Context, path string, out any) error {
	var err error
	for i := range 200 {
		if err = f.members[i%len(f.members)].call(ctx, http.MethodGet, path, nil, out, ""); err == nil {
			return nil
		}
		if perr := pause.For(ctx, 50*time.Millisecond); perr != nil {
			return perr
		}
	}
	return err
}
