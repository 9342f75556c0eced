package build

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"showrunner/stage"
)

// ticket is a build that waits for a place.
type ticket struct {
	Key         stage.Key `json:"key"`
	Application string    `json:"application"`
	Arrived     time.Time `json:"arrived"`
	// When it was told that it is its turn, first and last; zero: it was not.
	told, toldLast time.Time
}

// byArrival is the order of the builds of one application.
func byArrival(a, b ticket) int {
	return cmp.Or(a.Arrived.Compare(b.Arrived), strings.Compare(a.Key.String(), b.Key.String()))
}

// waitingBuilds are the builds of this process that wait for a place.
type waitingBuilds struct {
	byKey map[stage.Key]ticket
	apps  map[string][]ticket // by application, in order of arrival
}

// without is how many wait beside a build.
func (w *waitingBuilds) without(k stage.Key) int {
	n := len(w.byKey)
	if _, there := w.byKey[k]; there {
		n--
	}
	return n
}

// add has a build wait, at the end for its time of arrival. One that waits already
// has come, should it have been told to.
func (w *waitingBuilds) add(t ticket) {
	if old, there := w.byKey[t.Key]; there {
		old.told, old.toldLast = time.Time{}, time.Time{}
		w.byKey[t.Key] = old
		return
	}
	if w.byKey == nil {
		w.byKey, w.apps = map[stage.Key]ticket{}, map[string][]ticket{}
	}
	t.told, t.toldLast = time.Time{}, time.Time{}
	w.byKey[t.Key] = t
	queue := w.apps[t.Application]
	at, _ := slices.BinarySearchFunc(queue, t, byArrival)
	w.apps[t.Application] = slices.Insert(queue, at, t)
}

// tell says whether a build is to be told that it is its turn, and notes when that
// was first: one that was told a moment ago is on its way. Builds of other
// processes are always told.
func (w *waitingBuilds) tell(k stage.Key, now time.Time) bool {
	t, there := w.byKey[k]
	if there && now.Sub(t.toldLast) < lookEvery {
		return false
	}
	if there {
		if t.told.IsZero() {
			t.told = now
		}
		t.toldLast = now
		w.byKey[k] = t
	}
	return true
}

func (w *waitingBuilds) remove(k stage.Key) {
	t, there := w.byKey[k]
	if !there {
		return
	}
	delete(w.byKey, k)
	queue := w.apps[t.Application]
	at, _ := slices.BinarySearchFunc(queue, t, byArrival)
	switch {
	case len(queue) == 1:
		delete(w.apps, t.Application)
	case at == 0: // the usual one; the others need not move
		w.apps[t.Application] = queue[1:]
	default:
		w.apps[t.Application] = slices.Delete(queue, at, at+1)
	}
}

// first returns the first n builds of each application that keep says yes to, and
// forgets those before them that it says no to.
func (w *waitingBuilds) first(n int, keep func(ticket) bool) (heads []ticket) {
	for _, queue := range w.apps {
		var gone []stage.Key
		kept := 0
		for _, t := range queue {
			if kept == n {
				break
			}
			if !keep(w.byKey[t.Key]) {
				gone = append(gone, t.Key)
				continue
			}
			kept++
			heads = append(heads, t)
		}
		for _, k := range gone {
			w.remove(k)
		}
	}
	return heads
}

// inOrder is the order in which n places are given: to the application that has the
// fewest, and of its builds to the one that came first.
func inOrder(running []string, waiting []ticket, n int) (order []ticket) {
	has := map[string]int{}
	for _, application := range running {
		has[application]++
	}
	queues := map[string][]ticket{}
	for _, t := range waiting {
		queues[t.Application] = append(queues[t.Application], t)
	}
	for _, queue := range queues {
		slices.SortFunc(queue, byArrival)
	}
	for len(order) < n && len(queues) > 0 {
		var next *ticket
		for application, queue := range queues {
			if t := &queue[0]; next == nil || cmp.Or(cmp.Compare(has[application], has[next.Application]), byArrival(*t, *next)) < 0 {
				next = t
			}
		}
		order = append(order, *next)
		has[next.Application]++
		if queue := queues[next.Application][1:]; len(queue) > 0 {
			queues[next.Application] = queue
		} else {
			delete(queues, next.Application)
		}
	}
	return order
}
