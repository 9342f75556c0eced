package upstream

import (
	"testing"
	"time"
)

// A connection rests after an answer, so that what its server writes beyond the
// answer is there before the next request; among those that have rested, the one
// that was used last is taken.
func TestConnectionsRestBetweenRequests(t *testing.T) {
	t.Parallel()
	now := time.Unix(100, 0)
	old, rested, fresh := &conn{since: now.Add(-time.Second)}, &conn{since: now.Add(-restTime)}, &conn{since: now.Add(-restTime / 2)}
	p := NewPool("127.0.0.1:1")
	p.idle = []*conn{old, rested, fresh}
	for _, want := range []*conn{rested, old, nil} {
		if got := p.rested(now); got != want {
			t.Errorf("%p was taken, want %p", got, want)
		}
	}
	if got := p.rested(now.Add(restTime)); got != fresh {
		t.Errorf("%p was taken after its rest, want %p", got, fresh)
	}
}
