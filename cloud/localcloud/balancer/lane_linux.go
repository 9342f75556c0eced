package balancer

import (
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/cloud/localcloud/balancer/plain"
	"showrunner/cloud/localcloud/balancer/upstream"
	"showrunner/cloud/localcloud/internal/reactor"
	"showrunner/cloud/localcloud/internal/replay"
)

// lane serves many clients on one goroutine, as long as nothing but plain
// requests and plain answers that come whole is asked of it. With the first thing
// that is more, a client leaves its lane for good and has a goroutine of its own.
type lane struct {
	front   *front
	loop    *reactor.Loop
	lines   *upstream.Lines
	clients map[*client]struct{}
	count   atomic.Int64 // of clients, for whoever spreads them
	swept   time.Time
	pruned  time.Time
	door    *door // nil: clients come from elsewhere
	over    bool
}

// laned is what a client in a lane has.
type laned struct {
	of    *lane
	file  int
	token reactor.Token
}

func (f *front) openLanes() error {
	for range f.b.config.Lanes {
		loop, err := reactor.New()
		if err != nil {
			f.endLanes()
			return err
		}
		l := &lane{front: f, loop: loop, lines: upstream.NewLines(loop), clients: map[*client]struct{}{}}
		loop.Panicked = func(p any) { f.b.config.Log.Error("serving requests", "panic", p) }
		go loop.Run(l.tick)
		f.mu.Lock()
		f.lanes = append(f.lanes, l)
		f.mu.Unlock()
	}
	if f.closing.Load() { // meanwhile, so that nobody else ends them
		f.endLanes()
	}
	return nil
}

// endLanes ends them; no client may be left.
func (f *front) endLanes() {
	f.mu.Lock()
	lanes := f.lanes
	f.lanes = nil
	f.mu.Unlock()
	for _, l := range lanes {
		l.loop.Post(l.end)
	}
}

// end lets go of everything.
func (l *lane) end() {
	l.lines.Close()
	if l.door != nil {
		l.door.Ready(reactor.In) // it is closed
	}
	l.over = true
}

// sweepLanes has each lane look at its clients soon: done is when they have.
func (f *front) sweepLanes(now time.Time) (done *sync.WaitGroup) {
	f.mu.Lock()
	defer f.mu.Unlock()
	done = new(sync.WaitGroup)
	for _, l := range f.lanes {
		done.Add(1)
		if !l.loop.Post(func() { defer done.Done(); l.sweep(now) }) {
			done.Done()
		}
	}
	return done
}

// take makes the lane serve a client. What it has sent by now wakes the lane.
func (l *lane) take(c *client) {
	c.lane.of = l
	l.clients[c] = struct{}{}
	var err error
	if c.lane.token, err = l.loop.Add(c.lane.file, 0, c); err != nil {
		l.front.b.config.Log.Error("serving a connection", "error", err)
		c.close()
	}
}

// tick is called after each batch of events, and after the time it answers; stop ends the lane.
func (l *lane) tick(now time.Time) (next time.Duration, stop bool) {
	if now.Sub(l.swept) >= sweepEvery || l.lines.Impatient() {
		l.lines.Tick(now)
	}
	if now.Sub(l.swept) >= sweepEvery {
		l.swept = now
		l.sweep(now)
	}
	switch {
	case l.lines.Impatient():
		next = upstream.Patience
	case len(l.clients) > 0:
		next = sweepEvery
	default:
		next = pruneEvery
	}
	return next, l.over
}

// pruneEvery is how often unused connections to instances are looked for.
const pruneEvery = time.Second

// sweep looks at every client and every connection to an instance.
func (l *lane) sweep(now time.Time) {
	if now.Sub(l.pruned) >= pruneEvery {
		l.pruned = now
		l.lines.Prune(now)
	}
	if l.door != nil {
		l.door.Ready(reactor.In)
	}
	closing, ending := l.front.closing.Load(), l.front.ending.Load()
	for c := range l.clients {
		took := now.Sub(time.Unix(0, c.since.Load()))
		switch phase(c.phase.Load()) {
		case idle:
			if took > idleTimeout || closing {
				c.close()
			}
		case reading:
			if took > headTimeout || ending {
				c.close()
			}
		case serving:
			if ending || c.givenUp(now, c.flow.gone) {
				c.leave()
			}
		}
	}
}

// close ends a client in a lane on which nothing is under way.
func (c *client) close() {
	c.shut()
	c.front.spares.keep(c)
}

// shut ends a client in a lane.
func (c *client) shut() {
	l := c.lane.of
	delete(l.clients, c)
	l.count.Add(-1)
	l.loop.Close(c.lane.file, c.lane.token)
	c.stop()
	c.front.remove(c)
}

// leaveLane gives the client a goroutine of its own.
func (c *client) leaveLane() {
	l := c.lane.of
	l.loop.Remove(c.lane.file, c.lane.token)
	file := os.NewFile(uintptr(c.lane.file), "")
	raw, err := net.FileConn(file)
	file.Close()
	delete(l.clients, c)
	l.count.Add(-1)
	if err != nil {
		l.front.b.config.Log.Error("serving a connection", "error", err)
		c.leave()
		c.front.remove(c)
		if begun := c.begun; begun != nil {
			go func() { // it may have to see that it was ended
				if a := begun(); a.res != nil {
					a.res.Body.Close()
				}
			}()
		}
		return
	}
	c.raw, c.flow.raw, c.flow.inLane = raw, raw, false
	c.inLane.Store(false)
	if c.front.ending.Load() { // whoever closes all others may not have seen this one
		c.leave()
		raw.Close()
	}
	go c.serve()
}

// Ready implements reactor.Handler.
func (c *client) Ready(e reactor.Events) {
	defer c.recovered()
	c.flow.gone = c.flow.gone || e&reactor.Gone != 0
	c.flow.dry = false
	if phase(c.phase.Load()) != serving { // what has come is looked at afterwards otherwise
		c.next()
	}
}

// next begins the request that has come, if one has.
func (c *client) next() {
	b := c.front.b
	switch err := c.in.Read(&c.request); {
	case err == errNotYet:
		if p := phase(c.phase.Load()); c.in.Buffered() == 0 && p != idle {
			c.enter(idle)
		} else if c.in.Buffered() > 0 && p != reading {
			c.enter(reading)
		}
		return
	case err == plain.ErrOther:
		c.leaveLane()
		return
	case err != nil:
		c.close()
		return
	}
	to := b.lanable(&c.request)
	if to == nil {
		c.leaveLane()
		return
	}
	now := time.Now()
	t, sums, err := b.choose(to.config.Name, &c.request, nil, now)
	if err != nil {
		c.leaveLane() // to wait
		return
	}
	if !t.pool.FitsLoops() {
		t.release()
		c.leaveLane()
		return
	}
	b.budget.request(now)
	c.enterAt(serving, now)
	c.toward = to
	f := c.flight.begin(t, sums, now)
	c.current.Store(f)
	f.depart(&c.request)
	up := c.up
	up.Cancel, up.Spare = &f.cancel, &c.spare
	c.lane.of.lines.Send(t.pool, up, c, now)
}

// lanable is the cluster of a request that a lane can serve, nil for none.
func (b *Balancer) lanable(r *http.Request) *cluster {
	if strings.HasPrefix(r.RequestURI, "/_showrunner/") {
		return nil
	}
	c := b.cluster(hostName(r.Host))
	if c == nil || r.Method == http.MethodHead || c.config.Sticky || c.config.HedgingDelay > 0 || c.config.ResponseTimeout > 0 {
		return nil
	}
	return c
}

// Answered implements upstream.Receiver.
func (c *client) Answered(res *http.Response) {
	defer c.recovered()
	a := c.flight.arrive(&c.request, res, true, nil)
	if replay.GatewayFailure(res.StatusCode) {
		if err := upstream.Detach(res); err != nil {
			res.Body.Close()
			c.close()
			return
		}
		c.goOn(func() *attempt { return &a })
		return
	}
	a.target.judge(res)
	last := c.front.closing.Load() || c.request.Close
	err := c.out.Answer(c.request.Method, res, last)
	res.Body.Close()
	c.in.Done()
	c.toward = nil
	switch {
	case err != nil || last && len(c.flow.rest) == 0:
		c.close()
	case len(c.flow.rest) > 0:
		c.last = last
		c.leaveLane()
	default:
		c.next()
	}
}

// Unfinished implements upstream.Receiver.
func (c *client) Unfinished(u *upstream.Unfinished) {
	c.goOn(func() *attempt {
		res, err := u.Wait()
		a := c.flight.arrive(&c.request, res, wasSent(err), err)
		return &a
	})
}

// Failed implements upstream.Receiver.
func (c *client) Failed(err error) {
	a := c.flight.arrive(&c.request, nil, wasSent(err), err)
	if c.ctx.Err() != nil {
		c.close()
		return
	}
	c.goOn(func() *attempt { return &a })
}

// recovered ends a client whose request went wrong here: it must not end all others.
func (c *client) recovered() {
	if p := recover(); p != nil {
		c.front.b.config.Log.Error("serving a request", "panic", p)
		c.leave()
		c.shut() // and nobody else gets what belongs to it
	}
}

// goOn has a goroutine go on with a request of which an attempt was made.
func (c *client) goOn(begun func() *attempt) {
	c.begun = begun
	c.leaveLane()
}
