package history

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// delivered is the result of a load of deliveries.
type delivered struct {
	mu      sync.Mutex
	ids     []string
	took    []float64 // ms until a start was acknowledged, which means durable
	began   time.Time
	last    time.Time
	longest time.Duration // longest time without an acknowledgement
	until   time.Duration // when that ended, since the beginning
	failed  error
}

const quick = "application: keep\npipelines:\n  quick:\n    concurrency: parallel\n    stages:\n      a: { wait: { for: 1ms } }\n      b: { needs: [a], wait: { for: 1ms } }\n      c: { needs: [b], wait: { for: 1ms } }\n"

// deliver starts executions without pause, four at a time, until f returns.
func (c *plane) deliver(ctx context.Context, f func() error) (*delivered, error) {
	d := &delivered{began: time.Now(), last: time.Now()}
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				id, err := c.run(ctx, "quick", nil, nil)
				d.add(id, time.Since(began), err)
				pause(5 * time.Millisecond)
			}
		})
	}
	err := f()
	close(stop)
	work.Wait()
	slices.Sort(d.took)
	if err == nil {
		err = d.failed
	}
	return d, err
}

func (d *delivered) add(id string, took time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.failed = err
		return
	}
	d.ids, d.took = append(d.ids, id), append(d.took, float64(took)/float64(time.Millisecond))
	now := time.Now()
	if gap := now.Sub(d.last); gap > d.longest {
		d.longest, d.until = gap, now.Sub(d.began)
	}
	d.last = now
}

func (d *delivered) String() string {
	n := len(d.took)
	if n == 0 {
		return "no delivery was started"
	}
	return fmt.Sprintf("%d deliveries started, acknowledged after p50 %.1f ms, p99 %.1f ms, worst %.1f ms; longest time without one %d ms, %.1f s after the beginning", n, d.took[n/2], d.took[n*99/100], d.took[n-1], d.longest.Milliseconds(), d.until.Seconds())
}
