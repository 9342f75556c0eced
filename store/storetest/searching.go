package storetest

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"showrunner/execution"
)

// testSearch runs random queries over more executions than one part of the index
// holds, and compares each answer with a scan of all executions.
func testSearch(t *testing.T, f *fixture) {
	const n, seed = 8_700, 4
	random := rand.New(rand.NewPCG(seed, 0))
	pick := func(of ...string) string { return of[random.IntN(len(of))] }
	var all []execution.Head
	for len(all) < n {
		var batch []*execution.Change
		for range 300 {
			c := f.creation(func(h *execution.Head) {
				h.Application = pick("app", "web")
				if f.n <= 3 {
					h.Application = "old"
				}
				h.Pipeline = pick("main", "main", "night")
				h.Created = start.Add(time.Duration(f.n) * 5 * time.Millisecond)
				h.Status = execution.Status(pick(string(execution.Succeeded), string(execution.Succeeded), string(execution.Terminal)))
				if f.n == 7 || f.n == 8_500 {
					h.Status = execution.Canceled
				}
				ended := h.Created
				h.Ended = &ended
				h.Request.Trigger = map[string]any{"kind": pick("push", "schedule"), "message": pick("mend the checkout", "größer werden", "main line"), "commit": fmt.Sprintf("c%05d", f.n*7%n)}
				h.Request.Parameters = map[string]string{"version": pick("1.0", "2.0 beta")}
			})
			batch = append(batch, c)
		}
		f.commit(batch...)
		for _, c := range batch {
			all = append(all, c.Head2)
		}
	}
	slices.SortFunc(all, func(a, b execution.Head) int { return cmp.Compare(a.Seq, b.Seq) })
	when := func() time.Time { return start.Add(time.Duration(random.IntN(n)) * 5 * time.Millisecond) }
	for i := range 25 {
		q := execution.Query{Limit: 100 + random.IntN(400), Application: pick("", "", "app", "old", "none"), Pipeline: pick("", "", "night"),
			Text: pick("", "main", "m", "größ", "checkout mend", "c0001", fmt.Sprintf("c%05d", random.IntN(n)), "absent", "main absent", "main größer")}
		switch random.IntN(4) {
		case 0:
			q.Statuses = []execution.Status{execution.Canceled}
		case 1:
			q.Statuses = []execution.Status{execution.Terminal, execution.Canceled}
		}
		if random.IntN(3) == 0 {
			q.Trigger = pick("push", "schedule", "poll")
		}
		if random.IntN(3) == 0 {
			q.Parameters = map[string]string{"version": pick("1.0", "2.0 beta", "2.0")}
		}
		if random.IntN(3) == 0 {
			q.Since = when()
		}
		if random.IntN(3) == 0 {
			q.Until = when()
		}
		compareList(t, f, q, all, fmt.Sprintf("seed %d, query %d", seed, i))
	}
}

// compareList reads every page. A page that is not full may still say that there
// is more: the search has reached its time limit.
func compareList(t *testing.T, f *fixture, q execution.Query, all []execution.Head, what string) {
	t.Helper()
	var want, got []string
	for _, h := range slices.Backward(all) {
		if selected(q, h) {
			want = append(want, h.ID)
		}
	}
	asked := q
	for {
		heads, next, err := f.store.List(t.Context(), q)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if len(heads) > q.Limit {
			t.Fatalf("%s: %+v: %d executions on a page of %d", what, asked, len(heads), q.Limit)
		}
		for _, h := range heads {
			got = append(got, h.ID)
		}
		if q.After = next; next == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s: %+v: %d executions, want %d: %.20v, want %.20v", what, asked, len(got), len(want), got, want)
	}
}

func selected(q execution.Query, h execution.Head) bool {
	return (q.Application == "" || q.Application == h.Application) && (q.Pipeline == "" || q.Pipeline == h.Pipeline) &&
		(len(q.Statuses) == 0 || slices.Contains(q.Statuses, h.Status)) &&
		(q.Since.IsZero() || !h.Created.Before(q.Since)) && (q.Until.IsZero() || h.Created.Before(q.Until)) && q.Has(&h)
}
