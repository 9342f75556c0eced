package execution

import "sync"

// slots bounds how many calls are under way and shares them fairly: when all
// are taken, applications take turns, whatever each one has waiting.
type slots struct {
	mu      sync.Mutex
	free    int
	waiting map[string][]func() // by application, in order of arrival
	turn    []string            // applications that wait, in turn
}

func newSlots(n int) *slots { return &slots{free: n, waiting: map[string][]func(){}} }

// acquire takes a slot, or has granted called later in a goroutine of its own,
// holding one.
func (s *slots) acquire(application string, granted func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free > 0 {
		s.free--
		return true
	}
	if len(s.waiting[application]) == 0 {
		s.turn = append(s.turn, application)
	}
	s.waiting[application] = append(s.waiting[application], granted)
	return false
}

// release gives a slot back, to whose turn it is.
func (s *slots) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.turn) == 0 {
		s.free++
		return
	}
	app := s.turn[0]
	s.turn = s.turn[1:]
	queue := s.waiting[app]
	granted := queue[0]
	queue[0] = nil
	if queue = queue[1:]; len(queue) == 0 {
		delete(s.waiting, app)
	} else {
		s.waiting[app] = queue
		s.turn = append(s.turn, app)
	}
	go granted()
}

// takeSlot tells whether a stage holds a slot, trying to take one; without one,
// the stage goes on when it is granted. The run is locked.
func (e *Engine) takeSlot(r *run, i int) bool {
	if held, ok := r.slots[i]; ok {
		return held
	}
	if e.slots.acquire(r.st.head.Application, func() { e.granted(r, i) }) {
		r.slots[i] = true
		return true
	}
	r.slots[i] = false
	return false
}

// granted goes on with a stage that waited for a slot and now holds one.
func (e *Engine) granted(r *run, i int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if held, waits := r.slots[i]; r.gone || !waits || held {
		e.slots.release()
		return
	}
	r.slots[i] = true
	kind, isCall := r.queued[i]
	delete(r.queued, i)
	if isCall {
		e.startCall(r, action{kind, i})
	} else if r.st.enterable(i) {
		now := e.now()
		c := &changes{do: []action{{doEnter, i}}}
		e.passGates(r, c, now)
		e.record(r, c, nil)
	}
	if row := r.st.rows[i]; r.slots[i] && (row == nil || row.Phase != PhaseRunning) {
		e.freeSlot(r, i)
	}
	e.rest(r)
}

func (e *Engine) freeSlot(r *run, i int) {
	if held, ok := r.slots[i]; ok {
		delete(r.slots, i)
		delete(r.queued, i)
		if held {
			e.slots.release()
		}
	}
}

// freeSlots gives back the slots of the stages that these changes let rest.
func (e *Engine) freeSlots(r *run, c *changes) {
	for _, i := range c.order {
		if row := r.st.rows[i]; row.Phase != PhaseRunning && r.calls[i] == nil {
			e.freeSlot(r, i)
		}
	}
}
