package gameday

import (
	"context"
	"sync"
	"time"

	"showrunner/internal/pause"
	"showrunner/problem"
)

// Environment is the system that a game day is held on.
type Environment interface {
	// Requests makes repeatable requests at a rate, and others at a tenth of it, until
	// ctx ends and the last one is answered. It calls answered for each.
	Requests(ctx context.Context, rate int, answered func(Answer))
	// Deploy delivers a new version and says what became of it, such as "v3: succeeded".
	Deploy(ctx context.Context, n int) (what string, err error)
	// Kill ends one instance. Errors: precondition when a check does not allow it now.
	Kill(ctx context.Context, choice float64) (Effect, error)
	// Zone takes a zone away and Region a region, each for a time; they return when it
	// is back. gone is called once it is away.
	Zone(ctx context.Context, choice float64, lasts time.Duration, gone func(Effect)) error
	Region(ctx context.Context, choice float64, lasts time.Duration, gone func(Effect)) error
	// Fault begins a fault of a kind for a time, and returns when it is over.
	Fault(ctx context.Context, kind string, choice float64, lasts time.Duration, gone func(Effect)) error
	// Whole answers nil when everything that should serve in a region does.
	Whole(ctx context.Context, region string) error
	// Heal switches the replacing of instances off or on.
	Heal(ctx context.Context, on bool) error
}

// Effect is what an event did.
type Effect struct {
	What   string    // such as the instance that ended
	Region string    // where it was
	Since  time.Time // when it was asked for: recoveries count from then
}

// Happened is an event that was carried out, or not and why.
type Happened struct {
	Event
	What string `json:"what"`
	// Began is when it took effect, since the beginning.
	Began Seconds `json:"beganSeconds"`
	// Recovery is the time from then, of a fault from its end, until everything in its
	// region that should serve did. Unrecovered says that it was not until the end.
	Recovery    Seconds `json:"recoverySeconds"`
	Unrecovered bool    `json:"unrecovered,omitempty"`
	// Failure says why it could not be carried out.
	Failure string `json:"failure,omitempty"`
}

// recoveryLimit is how long after the last event everything may take to serve.
const recoveryLimit = 2 * time.Minute

// Run holds a game day and reports it; say tells of each event as it ends. An event that
// cannot be carried out is in the report, and does not end the day. The end of ctx ends
// it early: outages are taken back, and the report is of what there was.
// Errors: invalid, and those of Heal, before anything has begun.
func Run(ctx context.Context, s Settings, env Environment, say func(format string, args ...any)) (*Report, error) {
	plan, err := s.Plan()
	if err != nil {
		return nil, err
	}
	if !s.Healing {
		if err := env.Heal(ctx, false); err != nil {
			return nil, err
		}
		defer func() {
			if err := env.Heal(context.WithoutCancel(ctx), true); err != nil {
				say("self-healing is still off: %s", problem.Text(err))
			}
		}()
	}
	d := &day{env: env, say: say, began: time.Now(), happened: make([]Happened, len(plan)), limit: s.Length.Duration()}
	if s.Healing { // otherwise nothing comes back, however long one waits
		d.limit += recoveryLimit
	}
	d.meter = newMeter(d.began)
	load, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var requests, events sync.WaitGroup
	requests.Go(func() { env.Requests(load, s.Rate, d.meter.add) })
	// Deployments wait for each other, everything else for nothing: what happens at once
	// in the world happens at once here.
	var deployments []int
	for i, e := range plan {
		d.happened[i] = Happened{Event: e}
		if e.Kind == Deployment {
			deployments = append(deployments, i)
			continue
		}
		events.Go(func() { d.carry(ctx, i) })
	}
	events.Go(func() {
		for _, i := range deployments {
			d.carry(ctx, i)
		}
	})
	events.Wait()
	_ = pause.For(ctx, time.Until(d.began.Add(s.Length.Duration())))
	ended := d.now()
	stop()
	requests.Wait()
	return d.report(s, ended), nil
}

// day is a game day that is under way.
type day struct {
	env   Environment
	say   func(format string, args ...any)
	began time.Time
	meter *meter
	limit time.Duration // since began, for recoveries

	mu       sync.Mutex
	happened []Happened
}

// now is the time since the beginning.
func (d *day) now() Seconds { return Seconds(time.Since(d.began)) }

// retry is how long after a refusal an event is tried again; refusals end with a rollout.
const retry = time.Second

// patience is how long an event that is refused is tried again.
const patience = 30 * time.Second

// carry waits for an event's time, carries it out, and waits until everything serves.
func (d *day) carry(ctx context.Context, i int) {
	h := d.happened[i]
	if err := pause.For(ctx, time.Until(d.began.Add(h.At.Duration()))); err != nil {
		h.Failure = "the game day ended before"
		d.put(i, h)
		return
	}
	if h.Kind == Fault {
		d.fault(ctx, &h)
		d.put(i, h)
		return
	}
	var err error
	var gone sync.Once
	recovered := make(chan struct{})
	began := func(e Effect) {
		gone.Do(func() {
			h.What, h.Began = e.What, Seconds(e.Since.Sub(d.began))
			d.say("%5.0fs  %s: %s", h.Began.float(), h.Kind, e.What)
			go func() {
				defer close(recovered)
				h.Recovery, h.Unrecovered = d.recovery(ctx, e)
			}()
		})
	}
	switch h.Kind {
	case Deployment:
		n := d.number(i)
		h.Began = d.now()
		h.What, err = d.env.Deploy(ctx, n)
		h.Recovery = d.now() - h.Began // of a deployment: how long it took
		d.say("%5.0fs  deployment: %s %s after %.1fs", h.Began.float(), h.What, failureText(err), h.Recovery.float())
		close(recovered)
	case Kill:
		err = d.kill(ctx, h, began)
	case ZoneOutage:
		err = d.env.Zone(ctx, h.Choice, h.Lasts.Duration(), began)
	case RegionOutage:
		err = d.env.Region(ctx, h.Choice, h.Lasts.Duration(), began)
	}
	if err != nil {
		h.Failure = problem.Text(err)
		if h.Kind != Deployment { // which is told of above
			gone.Do(func() {
				d.say("%5.0fs  %s: not carried out: %s", d.now().float(), h.Kind, h.Failure)
				close(recovered)
			})
		}
	}
	<-recovered
	d.put(i, h)
}

func failureText(err error) string {
	if err == nil {
		return ""
	}
	return "(" + problem.Text(err) + ")"
}

// number counts the deployments up to this one, from 1.
func (d *day) number(i int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, h := range d.happened[:i+1] {
		if h.Kind == Deployment {
			n++
		}
	}
	return n
}

func (d *day) put(i int, h Happened) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.happened[i] = h
}

// fault carries a fault out, and waits until everything serves once it is over.
func (d *day) fault(ctx context.Context, h *Happened) {
	var effect Effect
	err := d.again(ctx, func() error {
		return d.env.Fault(ctx, h.Fault, h.Choice, h.Lasts.Duration(), func(e Effect) {
			effect, h.What, h.Began = e, e.What, Seconds(e.Since.Sub(d.began))
			d.say("%5.0fs  fault: %s", h.Began.float(), e.What)
		})
	})
	if err != nil {
		h.Failure = problem.Text(err)
		d.say("%5.0fs  fault %s: %s", d.now().float(), h.Fault, h.Failure)
		return
	}
	effect.Since = time.Now()
	h.Recovery, h.Unrecovered = d.recovery(ctx, effect)
}

// kill ends an instance.
func (d *day) kill(ctx context.Context, h Happened, began func(Effect)) error {
	return d.again(ctx, func() error {
		effect, err := d.env.Kill(ctx, h.Choice)
		if err == nil {
			began(effect)
		}
		return err
	})
}

// again carries an act out. A check that does not allow it now is asked again for a while.
func (d *day) again(ctx context.Context, act func() error) error {
	end := time.Now().Add(patience)
	for {
		err := act()
		if err == nil || problem.CodeOf(err) != problem.Precondition || time.Now().After(end) || ctx.Err() != nil {
			return err
		}
		_ = pause.For(ctx, retry)
	}
}

// look is how often it is looked whether everything serves again.
const look = 50 * time.Millisecond

// recovery waits until everything in the region serves, and says how long that took.
func (d *day) recovery(ctx context.Context, e Effect) (took Seconds, never bool) {
	for {
		if d.env.Whole(ctx, e.Region) == nil {
			return Seconds(time.Since(e.Since)), false
		}
		if time.Since(d.began) > d.limit || ctx.Err() != nil {
			return Seconds(time.Since(e.Since)), true
		}
		_ = pause.For(ctx, look)
	}
}
