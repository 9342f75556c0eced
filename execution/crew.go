package execution

import "sync"

// crew counts goroutines. Unlike a sync.WaitGroup it may be waited for while
// others are still joining, from a count of zero too: what is recorded while
// the engine stops is still acted on. Some who have nothing to do stay for a
// while: a new goroutine would have to grow its stack again.
type crew struct {
	mu     sync.Mutex
	n      int
	idle   chan struct{} // closed when n becomes 0; nil while nobody waits
	rested int           // how many wait for something to do
	next   chan func()   // what one of them does next; nil: nobody stays
	over   chan struct{} // closed when nobody is to stay any longer
}

// maxRested is how many goroutines stay without anything to do.
const maxRested = 64

func newCrew() crew { return crew{next: make(chan func()), over: make(chan struct{})} }

// job is something to do. It returns what the same goroutine goes on with.
type job func() job

// begin has a job, and what follows from it, done in a goroutine that Run waits for.
func (e *Engine) begin(j job) {
	if j == nil {
		return
	}
	e.spawn(func() {
		for j != nil {
			j = j()
		}
	})
}

// beginOthers begins all of the jobs but one, which is for the caller to go on
// with; nil: there was none.
func (e *Engine) beginOthers(jobs []job) job {
	if len(jobs) == 0 {
		return nil
	}
	last := len(jobs) - 1
	for _, j := range jobs[:last] {
		e.begin(j)
	}
	return jobs[last]
}

// Go runs f in a goroutine that is counted.
func (c *crew) Go(f func()) {
	c.mu.Lock()
	c.n++
	c.mu.Unlock()
	select {
	case c.next <- f:
	default:
		go c.stay(f)
	}
}

// stay does one thing after the other.
func (c *crew) stay(f func()) {
	for f != nil {
		c.do(f)
		f = c.rest()
	}
}

func (c *crew) do(f func()) {
	defer c.leave()
	f()
}

// rest waits for something to do; nil: there is none, or enough who wait for it.
func (c *crew) rest() func() {
	c.mu.Lock()
	stays := c.next != nil && c.rested < maxRested
	if stays {
		c.rested++
	}
	c.mu.Unlock()
	if !stays {
		return nil
	}
	defer func() {
		c.mu.Lock()
		c.rested--
		c.mu.Unlock()
	}()
	select {
	case f := <-c.next:
		return f
	case <-c.over:
		return nil
	}
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n--; c.n == 0 && c.idle != nil {
		close(c.idle)
		c.idle = nil
	}
}

// Idle returns what is closed once nobody is at work.
func (c *crew) Idle() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.idle == nil {
		c.idle = make(chan struct{})
	}
	idle := c.idle
	if c.n == 0 {
		close(idle)
		c.idle = nil
	}
	return idle
}
