package execution

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestWorkerPoolIsWaitedForWhileWorkIsAdded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newWorkerPool()
		<-p.AllDone() // there never was any
		var ended atomic.Int32
		var add func(n int)
		add = func(n int) {
			p.Go(func() {
				if n > 0 {
					add(n - 1)
				}
				<-time.After(time.Duration(n) * time.Second)
				ended.Add(1)
			})
		}
		add(5)
		<-p.AllDone()
		if n := ended.Load(); n != 6 {
			t.Errorf("done after %d of 6", n)
		}
		<-p.AllDone()
		close(p.closed) // ends the idle goroutines, or this test would not end
	})
}

func TestWorkerPoolKeepsIdleGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newWorkerPool()
		for range 3 {
			release := make(chan struct{})
			for range 2 * maxIdleWorkers {
				p.Go(func() { <-release })
			}
			synctest.Wait()
			if p.idle > 0 {
				t.Errorf("%d are idle while new ones had to be started", p.idle)
			}
			close(release)
			<-p.AllDone()
			if synctest.Wait(); p.idle != maxIdleWorkers {
				t.Errorf("%d are idle, not %d", p.idle, maxIdleWorkers)
			}
		}
		p.Go(func() { runtime.Goexit() }) // as a failing test does in a task
		<-p.AllDone()
		close(p.closed)
		synctest.Wait()
		if p.idle != 0 {
			t.Errorf("%d are still idle", p.idle)
		}
	})
}
