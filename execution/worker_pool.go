package execution

import "sync"

// maxIdleWorkers is how many goroutines wait for work when there is none.
const maxIdleWorkers = 64

// workerPool runs short pieces of work and counts those under way. Unlike a
// sync.WaitGroup it may be waited for while work is still being added, from a count
// of zero too: what is recorded while the engine stops is still acted on. Idle
// goroutines are kept and reused, because a new goroutine has to grow its stack
// again.
type workerPool struct {
	mu      sync.Mutex
	running int
	idle    int           // goroutines that wait for work
	allDone chan struct{} // closed when running becomes 0; nil while nobody waits for that
	work    chan func()   // hands work to an idle goroutine; nil: none is kept
	closed  chan struct{} // ends the idle goroutines
}

func newWorkerPool() workerPool {
	return workerPool{work: make(chan func()), closed: make(chan struct{})}
}

// Go runs f in a goroutine that is counted.
func (p *workerPool) Go(f func()) {
	p.mu.Lock()
	p.running++
	p.mu.Unlock()
	select {
	case p.work <- f:
	default:
		go p.worker(f)
	}
}

// worker runs f, and then whatever it is handed.
func (p *workerPool) worker(f func()) {
	for f != nil {
		p.run(f)
		f = p.next()
	}
}

func (p *workerPool) run(f func()) {
	defer p.finished()
	f()
}

// next waits for work. It returns nil when enough goroutines wait already, and when
// the pool is closed.
func (p *workerPool) next() func() {
	p.mu.Lock()
	keep := p.work != nil && p.idle < maxIdleWorkers
	if keep {
		p.idle++
	}
	p.mu.Unlock()
	if !keep {
		return nil
	}
	defer func() {
		p.mu.Lock()
		p.idle--
		p.mu.Unlock()
	}()
	select {
	case f := <-p.work:
		return f
	case <-p.closed:
		return nil
	}
}

func (p *workerPool) finished() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running--; p.running == 0 && p.allDone != nil {
		close(p.allDone)
		p.allDone = nil
	}
}

// AllDone returns a channel that is closed once no work is under way.
func (p *workerPool) AllDone() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.allDone == nil {
		p.allDone = make(chan struct{})
	}
	done := p.allDone
	if p.running == 0 {
		close(done)
		p.allDone = nil
	}
	return done
}

// job is a piece of work. It returns what the same goroutine goes on with.
type job func() job

// begin runs a job, and what follows from it, in a goroutine that Run waits for.
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

// beginOthers begins all of the jobs but the last one, which it returns for the
// caller to go on with; nil: there was none.
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

// spawn runs f in a goroutine that Run waits for.
func (e *Engine) spawn(f func()) {
	e.workers.Go(f)
}
