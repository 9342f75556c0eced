package execution

import (
	"slices"
	"sync"
)

// slots bounds how many calls are under way and shares them fairly. An
// application may hold at most slotShare times what is then still free (a dynamic
// threshold: Choudhury and Hahne, "Dynamic Queue Length Thresholds for
// Shared-Memory Packet Switches", 1998), so that one that comes later finds some
// free, however long the calls of those before it last. Where none can be had,
// applications take turns, whatever each one has waiting.
type slots struct {
	mu      sync.Mutex
	free    int
	held    map[string]int      // by application
	waiting map[string][]func() // by application, in order of arrival
	turn    []string            // applications that wait, in turn
}

// slotShare leaves a ninth of many slots to others than the greediest, and none
// of a few.
const slotShare = 8

func newSlots(n int) *slots {
	return &slots{free: n, held: map[string]int{}, waiting: map[string][]func(){}}
}

func (s *slots) may(application string) bool {
	return s.free > 0 && s.held[application] < slotShare*s.free
}

// acquire takes a slot, or has granted called later in a goroutine of its own,
// holding one.
func (s *slots) acquire(application string, granted func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting[application]) == 0 {
		if s.may(application) {
			s.free--
			s.held[application]++
			return true
		}
		s.turn = append(s.turn, application)
	}
	s.waiting[application] = append(s.waiting[application], granted)
	return false
}

// release gives an application's slot back, to whose turn it is and who may have
// one. Whoever waits holds one or more that will be released, or gets one here.
func (s *slots) release(application string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free++
	if s.held[application]--; s.held[application] == 0 {
		delete(s.held, application)
	}
	for i := 0; i < len(s.turn); {
		app := s.turn[i]
		if !s.may(app) {
			i++
			continue
		}
		s.turn = slices.Delete(s.turn, i, i+1)
		queue := s.waiting[app]
		granted := queue[0]
		queue[0] = nil
		if queue = queue[1:]; len(queue) == 0 {
			delete(s.waiting, app)
		} else {
			s.waiting[app] = queue
			s.turn = append(s.turn, app)
		}
		s.free--
		s.held[app]++
		go granted()
	}
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
		e.slots.release(r.st.head.Application)
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
			e.slots.release(r.st.head.Application)
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
