package api

import (
	"sync"
	"time"
)

// ticketLog remembers the tickets that have been used until they expire.
type ticketLog struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// first says whether the ticket is used for the first time.
func (l *ticketLog) first(ticket string, expires, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t, e := range l.seen {
		if now.After(e) {
			delete(l.seen, t)
		}
	}
	if _, used := l.seen[ticket]; used {
		return false
	}
	l.seen[ticket] = expires
	return true
}
