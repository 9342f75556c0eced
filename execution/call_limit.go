package execution

import (
	"slices"
	"sync"
)

// callLimit bounds how many calls of tasks are under way at once. A call needs a
// permit, and permits are shared fairly between applications: an application may
// hold at most permitShare times as many as are then still free (a dynamic
// threshold: Choudhury and Hahne, "Dynamic Queue Length Thresholds for
// Shared-Memory Packet Switches", 1998). So an application that comes later finds
// some free, however long the calls of the others last. When none is free,
// applications take turns, however many calls each one has waiting.
type callLimit struct {
	mu      sync.Mutex
	free    int
	held    map[string]int      // by application
	waiting map[string][]func() // by application, in order of arrival
	turn    []string            // the applications that wait, in turn
}

// permitShare leaves a ninth of many permits to the other applications, and none of
// a few.
const permitShare = 8

func newCallLimit(n int) *callLimit {
	return &callLimit{free: n, held: map[string]int{}, waiting: map[string][]func(){}}
}

func (l *callLimit) may(application string) bool {
	return l.free > 0 && l.held[application] < permitShare*l.free
}

// acquire takes a permit. When it cannot, it returns false, and calls granted later
// in a goroutine of its own, with a permit taken.
func (l *callLimit) acquire(application string, granted func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting[application]) == 0 {
		if l.may(application) {
			l.free--
			l.held[application]++
			return true
		}
		l.turn = append(l.turn, application)
	}
	l.waiting[application] = append(l.waiting[application], granted)
	return false
}

// release gives back a permit of an application and grants permits to those whose
// turn it is. An application that waits holds a permit that will be released, or
// gets one here.
func (l *callLimit) release(application string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free++
	if l.held[application]--; l.held[application] == 0 {
		delete(l.held, application)
	}
	for i := 0; i < len(l.turn); {
		app := l.turn[i]
		if !l.may(app) {
			i++
			continue
		}
		l.turn = slices.Delete(l.turn, i, i+1)
		queue := l.waiting[app]
		granted := queue[0]
		queue[0] = nil
		if queue = queue[1:]; len(queue) == 0 {
			delete(l.waiting, app)
		} else {
			l.waiting[app] = queue
			l.turn = append(l.turn, app)
		}
		l.free--
		l.held[app]++
		go granted()
	}
}

// takePermit says whether a stage holds a permit for a call, and tries to take one.
// A stage without one goes on in permitGranted. The execution is locked.
func (e *Engine) takePermit(r *activeExecution, i int) bool {
	if held, ok := r.permits[i]; ok {
		return held
	}
	if e.callLimit.acquire(r.st.head.Application, func() { e.permitGranted(r, i) }) {
		r.permits[i] = true
		return true
	}
	r.permits[i] = false
	return false
}

// permitGranted goes on with a stage that waited for a permit and now holds one.
func (e *Engine) permitGranted(r *activeExecution, i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if held, waits := r.permits[i]; r.gone || !waits || held {
		e.callLimit.release(r.st.head.Application)
		return
	}
	r.permits[i] = true
	queued, isCall := r.queued[i]
	delete(r.queued, i)
	if isCall {
		e.startCall(r, queued)
	} else if r.st.enterable(i) {
		now := e.now()
		c := &changes{do: []action{{kind: doEnter, stage: i}}}
		e.checkEntry(r, c, now)
		e.record(r, c, nil)
	}
	if row := r.st.rows[i]; r.permits[i] && (row == nil || row.Phase != PhaseRunning) {
		e.releasePermit(r, i)
	}
	e.unloadIfWaiting(r)
}

func (e *Engine) releasePermit(r *activeExecution, i int) {
	if held, ok := r.permits[i]; ok {
		delete(r.permits, i)
		delete(r.queued, i)
		if held {
			e.callLimit.release(r.st.head.Application)
		}
	}
}

// releasePermits gives back the permits of stages that no longer run after these
// changes.
func (e *Engine) releasePermits(r *activeExecution, c *changes) {
	for _, i := range c.order {
		if row := r.st.rows[i]; row.Phase != PhaseRunning && r.calls[i] == nil {
			e.releasePermit(r, i)
		}
	}
}
