package lambda

import (
	"crypto/sha256"
	"fmt"
	"sync"
)

// busyEvents are the events that goroutines of this process carry out.
type busyEvents struct {
	mu  sync.Mutex
	all map[string]bool
}

// take is true for the first one that asks.
func (b *busyEvents) take(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all[key] {
		return false
	}
	b.all[key] = true
	return true
}

func (b *busyEvents) drop(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, key)
}

// derived is an identifier that follows from another one.
func derived(id, why string) string {
	sum := sha256.Sum256([]byte(id + "\n" + why))
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
