package balancer

import (
	"sync"
	"time"
)

// budget bounds how many requests are repeated, so that a failing service is
// not buried under retries: a fifth of the requests, and some.
type budget struct {
	mu       sync.Mutex
	window   time.Time
	requests [2]int // this window and the one before
	retries  [2]int
}

const (
	budgetWindow = 5 * time.Second
	budgetShare  = 0.2
	budgetFloor  = 100
)

func (b *budget) roll(now time.Time) {
	if now.Sub(b.window) < budgetWindow {
		return
	}
	b.window = now
	b.requests = [2]int{0, b.requests[0]}
	b.retries = [2]int{0, b.retries[0]}
}

func (b *budget) request(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	b.requests[0]++
}

// retry says whether one more repetition is within the budget.
func (b *budget) retry(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.roll(now)
	if float64(b.retries[0]+b.retries[1]) >= budgetFloor+budgetShare*float64(b.requests[0]+b.requests[1]) {
		return false
	}
	b.retries[0]++
	return true
}
