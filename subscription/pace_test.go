package subscription

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/store/record/recordtest"
)

// A receiver that refuses a message now and then gets its events almost as fast
// as a receiver that accepts all: a refused message is sent again soon, and the
// pause grows with each refusal.
func TestARefusedMessageDelaysLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records, l := &recordtest.Records{}, &log{}
		r := &receiver{t: t, answer: func(n int) int {
			if n%40 == 0 {
				return http.StatusServiceUnavailable
			}
			return http.StatusNoContent
		}}
		put(t, records, subscription(), 0)
		run(t, records, l, r, "one")
		const events = 1_600
		l.add(started(events)...)
		settle(10 * time.Second)
		if p := progressOf(t, records); p.Delivered != events {
			t.Errorf("%d of %d events were delivered", p.Delivered, events)
		}
	})
}
