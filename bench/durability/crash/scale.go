package crash

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/internal/pause"
)

const (
	scaleFor      = 10 * time.Second
	scaleInFlight = 96
)

// scale measures the throughput of fleets of several sizes for the same work:
// real control planes, one database, executions started over HTTP.
func scale(ctx context.Context, p plan, w *targets, databases func(context.Context) (string, error)) error {
	var alone float64
	for _, size := range []int{1, 2, 4} {
		f := &fleet{plan: p, targets: w}
		f.replicas = size
		var err error
		if f.address, err = databases(ctx); err != nil {
			return err
		}
		executions, events, err := f.throughput(ctx)
		f.stop()
		if err != nil {
			return err
		}
		if size == 1 {
			alone = events
		}
		fmt.Printf("%d replicas: %.0f executions/s of ten stages, %.0f events/s durable, %.2f × one replica\n", size, executions, events, events/alone)
	}
	return nil
}

func (f *fleet) throughput(ctx context.Context) (executions, events float64, err error) {
	if err := f.start(ctx); err != nil {
		return 0, 0, err
	}
	load, stop := context.WithCancel(ctx)
	defer stop()
	var mu sync.Mutex
	waiting, ended := map[string]chan struct{}{}, map[string]bool{}
	var ends, seen, failed atomic.Int64
	var work sync.WaitGroup
	for i := range scaleInFlight {
		work.Go(func() {
			r := f.members[i%len(f.members)]
			for load.Err() == nil {
				var out struct{ Execution struct{ ID string } }
				if err := r.call(load, http.MethodPost, "/api/v1/applications/crash/pipelines/chain/executions", struct{}{}, &out, ""); err != nil {
					failed.Add(1)
					_ = pause.For(load, 10*time.Millisecond) // load ends the loop
					continue
				}
				ch := make(chan struct{})
				mu.Lock()
				over := ended[out.Execution.ID]
				if !over {
					waiting[out.Execution.ID] = ch
				}
				mu.Unlock()
				if over {
					continue
				}
				select {
				case <-ch:
				case <-load.Done():
				}
			}
		})
	}
	work.Go(func() {
		for from := int64(0); load.Err() == nil; {
			var page struct {
				Events []event
				Next   int64
			}
			if err := f.members[0].call(load, http.MethodGet, "/api/v1/events?limit=1000&from="+strconv.FormatInt(from, 10), nil, &page, ""); err != nil {
				continue
			}
			from = max(from, page.Next)
			seen.Add(int64(len(page.Events)))
			mu.Lock()
			for _, e := range page.Events {
				if e.Type == "execution.succeeded" {
					ends.Add(1)
					ended[e.Execution] = true
					if ch := waiting[e.Execution]; ch != nil {
						close(ch)
						delete(waiting, e.Execution)
					}
				}
			}
			mu.Unlock()
			if len(page.Events) < 1000 {
				_ = pause.For(load, 10*time.Millisecond) // load ends the loop
			}
		}
	})
	if err := pause.For(ctx, 3*time.Second); err != nil { // until the rate is steady
		return 0, 0, err
	}
	x, n, began := ends.Load(), seen.Load(), time.Now()
	if err := pause.For(ctx, scaleFor); err != nil {
		return 0, 0, err
	}
	took := time.Since(began).Seconds()
	executions, events = float64(ends.Load()-x)/took, float64(seen.Load()-n)/took
	stop()
	work.Wait()
	if executions == 0 {
		return 0, 0, fmt.Errorf("nothing ended; %d starts failed", failed.Load())
	}
	return executions, events, nil
}
