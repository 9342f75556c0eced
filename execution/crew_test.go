package execution

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCrewIsWaitedForWhileOthersJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c crew
		<-c.Idle() // nobody ever worked
		var ended atomic.Int32
		var join func(n int)
		join = func(n int) {
			c.Go(func() {
				if n > 0 {
					join(n - 1)
				}
				<-time.After(time.Duration(n) * time.Second)
				ended.Add(1)
			})
		}
		join(5)
		<-c.Idle()
		if n := ended.Load(); n != 6 {
			t.Errorf("idle after %d of 6", n)
		}
		<-c.Idle()
	})
}
