package execution

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCrewIsWaitedForWhileOthersJoin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
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
		close(c.over) // and all go home, or this test would not end
	})
}

func TestCrewStaysForWhatComesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		for range 3 {
			turn := make(chan struct{})
			for range 2 * maxRested {
				c.Go(func() { <-turn })
			}
			synctest.Wait()
			if c.rested > 0 {
				t.Errorf("%d rest while others had to be called", c.rested)
			}
			close(turn)
			<-c.Idle()
			if synctest.Wait(); c.rested != maxRested {
				t.Errorf("%d rest, not %d", c.rested, maxRested)
			}
		}
		c.Go(func() { runtime.Goexit() }) // as a failing test does in a task
		<-c.Idle()
		close(c.over)
		synctest.Wait()
		if c.rested != 0 {
			t.Errorf("%d still rest", c.rested)
		}
	})
}
