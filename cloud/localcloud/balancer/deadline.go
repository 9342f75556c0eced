package balancer

import (
	"errors"
	"sync"
	"time"
)

// errNoAnswer is the end of an attempt whose answer did not begin in time.
var errNoAnswer = errors.New("no answer")

// deadline is how long one attempt waits for its answer to begin. The clock
// starts when all of the request has been sent: a slow upload is the client's.
type deadline struct {
	after func(time.Duration, func()) *time.Timer // nil: time.AfterFunc

	mu      sync.Mutex
	timer   *time.Timer
	over    bool // the attempt ended
	expired bool
}

// begin starts the clock, once; late is called when it runs out.
func (d *deadline) begin(after time.Duration, late func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over || d.timer != nil {
		return
	}
	start := d.after
	if start == nil {
		start = time.AfterFunc
	}
	d.timer = start(after, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !d.over {
			d.expired = true
			late()
		}
	})
}

// answered stops the clock and says whether it had run out.
func (d *deadline) answered() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.timer != nil {
		d.timer.Stop()
	}
	return d.expired
}
