package acceptance

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settled waits until all started executions have ended, all events are archived
// and sent, and all expired data are removed.
func (f *trio) settled(s *subscriber) {
	f.t.Helper()
	h := f.hosts[0]
	h.eventually(30*time.Second, "what follows has ended", func() error {
		first, next := len(f.since(0, "&pipeline=left&type=execution.started")), len(f.since(0, "&pipeline=next&type=execution.succeeded"))
		if next < first {
			return fmt.Errorf("%d of %d", next, first)
		}
		return nil
	})
	end := f.since(0, "")
	last := end[len(end)-1].Position
	h.eventually(30*time.Second, "everything is archived and sent", func() error {
		all := archived(f.t, filepath.Join(h.shared, "archive"))
		if len(all) == 0 || all[len(all)-1].Position < last || s.last() < last {
			return fmt.Errorf("the archive has %d events, the subscriber is at %d of %d", len(all), s.last(), last)
		}
		return nil
	})
	h.eventually(15*time.Second, "what is old is removed", func() error {
		var page struct {
			Executions []struct{ ID, Pipeline string }
		}
		if err := f.c.Do(f.t.Context(), http.MethodGet, "/executions?limit=500", nil, &page); err != nil {
			return err
		}
		kept, logs := map[string]int{}, map[string]bool{}
		for _, e := range page.Executions {
			kept[e.Pipeline]++
			if e.Pipeline == "next" {
				logs[e.ID] = true
			}
		}
		for p, n := range kept {
			if n > 2 {
				return fmt.Errorf("%d of %s", n, p)
			}
		}
		entries, err := os.ReadDir(filepath.Join(h.shared, "logs"))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !logs[e.Name()] {
				return fmt.Errorf("the log of %s is kept", e.Name())
			}
			delete(logs, e.Name())
		}
		if kept["next"] != 2 || len(logs) > 0 {
			f.t.Fatalf("%v is kept, and no logs of %v", kept, logs)
		}
		return nil
	})
}

// check compares the effects outside with the expected ones.
func (f *trio) check(s *subscriber, tips map[string]bool, minute time.Time, schedules int) {
	t := f.t
	t.Helper()
	all := archived(t, filepath.Join(f.hosts[0].shared, "archive"))
	counts := startsOf(t, all)
	ended := 0
	for _, e := range all {
		if e.Type == "execution.succeeded" && e.Pipeline == "left" {
			ended++
			if n := counts["next "+strconv.FormatInt(e.Position, 10)]; n != 1 {
				t.Errorf("what follows the end at %d was started %d times", e.Position, n)
			}
		}
	}
	for what, n := range counts {
		if n != 1 {
			t.Errorf("%s was started %d times", what, n)
		}
		if p, tip, _ := strings.Cut(what, " "); p == "left" || p == "right" {
			if _, ok := tips[tip]; !ok {
				t.Errorf("%s was started, for which nobody has made a commit", what)
			}
		}
	}
	for tip, must := range tips {
		for _, p := range []string{"left", "right"} {
			if must && counts[p+" "+tip] != 1 {
				t.Errorf("%s %s was started %d times", p, tip, counts[p+" "+tip])
			}
		}
	}
	for n := range schedules {
		if what := fmt.Sprintf("clock%d %s", n, minute.UTC().Format(time.RFC3339)); counts[what] != 1 {
			t.Errorf("%s was started %d times", what, counts[what])
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.wrong) > 0 {
		t.Errorf("messages that are wrong: %v", s.wrong)
	}
	sent, ids, highest := map[int64]string{}, map[string]int64{}, int64(0)
	sources := map[string]bool{}
	for _, d := range s.got {
		sources[d.source] = true
		if id, again := sent[d.position]; again && id != d.id {
			t.Errorf("event %d was sent as %s and as %s", d.position, id, d.id)
		} else if !again && d.position < highest {
			t.Errorf("event %d was sent after %d", d.position, highest)
		}
		if p, ok := ids[d.id]; ok && p != d.position {
			t.Errorf("%s was sent for the events %d and %d", d.id, p, d.position)
		}
		sent[d.position], ids[d.id], highest = d.id, d.position, max(highest, d.position)
	}
	for _, e := range all {
		if _, ok := sent[e.Position]; !ok && e.Type != "stage.progress" {
			t.Errorf("event %d, %s, was never sent", e.Position, e.Type)
		}
		delete(sent, e.Position)
	}
	for p := range sent {
		if p <= all[len(all)-1].Position {
			t.Errorf("event %d was sent and is not in the archive", p)
		}
	}
	if len(sources) != 1 {
		t.Errorf("the same events come from several sources: %v", slices.Collect(maps.Keys(sources)))
	}
	t.Logf("%d starts by %d commits, the minute %s and %d ends; %d events archived, %d messages for them", len(counts), len(tips), minute.UTC().Format("15:04"), ended, len(all), len(s.got))
}
