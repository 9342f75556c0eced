package cloudformation

import (
	"context"
	"errors"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// work says that a stack has an operation under way, and which process carries it
// on: a claim that has to be renewed. A process that is gone loses it.
type work struct {
	Owner string    `json:"owner,omitempty"`
	Until time.Time `json:"until"`
	Due   time.Time `json:"due"` // not before
}

const (
	// claimLasts is how long a claim counts without being renewed.
	claimLasts = 10 * time.Second
	// lookEvery is how often a process looks for operations of processes that are gone.
	lookEvery = 3 * time.Second
	// mostAtOnce bounds the operations that one process carries on at once.
	mostAtOnce = 8
)

var (
	// errSuperseded is that the operation is not the stack's any more.
	errSuperseded = errors.New("the stack has another operation")
	// errClaimed is that another process carries the operation on.
	errClaimed = errors.New("another process has the operation")
)

// start records an operation of a stack that was just written, and has it carried on.
func (s *Stacks) start(ctx context.Context, key string) error {
	s.finished(key) // a channel to wait on before anybody can end it
	if _, err := s.work.Put(ctx, key, func(w *work) error { w.Due = time.Time{}; return nil }); err != nil {
		return err
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return nil
}

// finished is closed when the stack's operation has ended, or waits.
func (s *Stacks) finished(key string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done[key] == nil {
		s.done[key] = make(chan struct{})
	}
	return s.done[key]
}

func (s *Stacks) announce(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.done[key]; c != nil {
		close(c)
		delete(s.done, key)
	}
}

// await waits for the stack's operation, but not for long.
func (s *Stacks) await(ctx context.Context, ended <-chan struct{}) {
	ctx, cancel := context.WithTimeout(ctx, s.AnswerWithin)
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
	}
}

// Run carries on the operations of stacks until ctx ends: those that begin here, and
// those that a process before left behind.
func (s *Stacks) Run(ctx context.Context) {
	busy := make(chan string, mostAtOnce)
	active := map[string]bool{}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	if s.Alone {
		s.disown(ctx)
	}
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case key := <-busy:
			delete(active, key)
		case <-tick.C:
		case <-again.C:
		case <-s.wake:
		case <-sweep.C:
			if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
				s.Log.Warn("removing stacks that were deleted long ago", "error", err)
			}
		case <-ctx.Done():
			for range len(active) {
				<-busy
			}
			return
		}
		next := s.begin(ctx, active, busy)
		again.Reset(next)
	}
}

// disown frees the operations of processes before this one.
func (s *Stacks) disown(ctx context.Context) {
	for e, err := range s.work.All(ctx, "") {
		if err == nil {
			_, err = s.work.Update(ctx, e.Key, func(w *work) error { w.Owner, w.Until = "", time.Time{}; return nil })
		}
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			s.Log.Warn("taking over operations of stacks", "error", err)
			return
		}
	}
}

// begin carries on what is due, and says when the next one is.
func (s *Stacks) begin(ctx context.Context, active map[string]bool, ended chan<- string) time.Duration {
	next := time.Hour
	for e, err := range s.work.All(ctx, "") {
		if err != nil {
			if ctx.Err() == nil {
				s.Log.Warn("looking for operations of stacks", "error", err)
			}
			return lookEvery
		}
		if active[e.Key] || len(active) >= mostAtOnce {
			continue
		}
		if left := e.Doc.Due.Sub(s.Now()); left > 0 {
			next = min(next, left)
			continue
		}
		if e.Doc.Owner != "" && e.Doc.Owner != s.me && e.Doc.Until.After(s.Now()) {
			continue
		}
		active[e.Key] = true
		go func(key string) {
			s.carry(ctx, key)
			ended <- key
		}(e.Key)
	}
	return next
}

// carry claims an operation and carries it on until it ends or waits.
func (s *Stacks) carry(ctx context.Context, key string) {
	claim := func(w *work) error {
		if w.Owner != "" && w.Owner != s.me && w.Until.After(s.Now()) {
			return errClaimed
		}
		w.Owner, w.Until = s.me, s.Now().Add(claimLasts)
		return nil
	}
	if _, err := s.work.Update(ctx, key, claim); err != nil {
		return // another process has it, or it has ended
	}
	ctx, lost := context.WithCancel(ctx)
	defer lost()
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		tick := time.NewTicker(claimLasts / 3)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if _, err := s.work.Update(ctx, key, claim); errors.Is(err, errClaimed) {
					lost()
					return
				}
			}
		}
	}()
	wait, err := s.advance(ctx, key)
	lost()
	<-renewed
	if err != nil && (errors.Is(err, context.Canceled) || ctx.Err() != nil && wait == 0) && !errors.Is(err, errSuperseded) {
		wait = time.Nanosecond // what ends here is carried on by the next process, or by this one
	}
	s.leave(context.WithoutCancel(ctx), key, wait, err)
}

// leave records when an operation is due again, or that it has ended.
func (s *Stacks) leave(ctx context.Context, key string, wait time.Duration, err error) {
	if err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, errSuperseded) {
		s.Log.Warn("an operation of a stack is tried again", "stack", key, "error", err)
		wait = lookEvery
	}
	if errors.Is(err, errSuperseded) {
		wait = time.Nanosecond
	}
	if wait == 0 {
		// A new operation may begin meanwhile: it writes its stack first, and then the
		// work, whose removal is then thought over.
		err := s.work.Delete(ctx, key, func(work) error {
			d, err := s.stacks.Get(ctx, key)
			if err == nil && d.Operation != nil {
				return errSuperseded
			}
			return nil
		})
		switch {
		case errors.Is(err, errSuperseded):
			wait = time.Nanosecond
		case err != nil && problem.CodeOf(err) != problem.NotFound:
			s.Log.Warn("ending an operation of a stack", "stack", key, "error", err)
		}
	}
	if wait > 0 {
		_, err := s.work.Update(ctx, key, func(w *work) error {
			w.Owner, w.Until, w.Due = "", time.Time{}, s.Now().Add(wait)
			return nil
		})
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			s.Log.Warn("leaving an operation of a stack", "stack", key, "error", err)
		}
	}
	s.announce(key)
}

// advance carries an operation on until it has ended (0) or has to wait.
func (s *Stacks) advance(ctx context.Context, key string) (time.Duration, error) {
	r := &run{Stacks: s, key: key}
	for {
		var err error
		if r.d, err = s.stacks.Get(ctx, key); err != nil {
			if problem.CodeOf(err) == problem.NotFound {
				return 0, nil
			}
			return 0, err
		}
		if r.d.Operation == nil {
			return 0, nil
		}
		r.op, r.account = r.d.Operation.ID, accountOf(r.d.Operation.Caller)
		var wait time.Duration
		switch r.d.Operation.Phase {
		case phaseForward:
			wait, err = r.forward(ctx)
		case phaseUndo:
			wait, err = r.undo(ctx)
		default:
			wait, err = r.clean(ctx)
		}
		if err != nil || wait > 0 {
			return wait, err
		}
	}
}

// accountOf is the account of a principal.
func accountOf(caller string) string {
	parts := strings.Split(caller, ":")
	if len(parts) > 4 {
		return parts[4]
	}
	return ""
}

// run is one process's work on an operation.
type run struct {
	*Stacks
	key, op, account string
	d                stack
	cached           *prepared
	cachedOf         string
	secrets          []string // what references were resolved to
}

// mostOutbox is how many events a stack's document holds before they are moved.
const mostOutbox = 40

// commit changes the stack while the operation is its own.
func (r *run) commit(ctx context.Context, how func(d *stack)) error {
	moved := int64(0)
	if len(r.d.Outbox) > mostOutbox {
		moved = r.d.Outbox[len(r.d.Outbox)-1].Number
		events := r.d.Outbox
		if _, err := r.chunks.Put(ctx, chunkKey(r.key, events[0].Number), func(c *chunk) error { c.Events = events; return nil }); err != nil {
			return err
		}
	}
	d, err := r.stacks.Update(ctx, r.key, func(d *stack) error {
		if d.Operation == nil || d.Operation.ID != r.op {
			return errSuperseded
		}
		kept := d.Outbox[:0:0]
		for _, e := range d.Outbox {
			if e.Number > moved {
				kept = append(kept, e)
			}
		}
		d.Outbox = kept
		how(d)
		return nil
	})
	if err == nil {
		r.d = d
	}
	return err
}

// caller is who the resources are made by: the role that was given, or who asked.
func (o *operation) caller(account string) string {
	if name := o.Target.RoleARN[strings.LastIndexByte(o.Target.RoleARN, '/')+1:]; name != "" {
		return "arn:aws:sts::" + account + ":assumed-role/" + name + "/AWSCloudFormation"
	}
	return o.Caller
}

// callOf is a call in the operation's name.
func (r *run) callOf() wire.Call {
	return wire.Call{Account: r.account, Region: r.d.Region, Caller: r.d.Operation.caller(r.account)}
}
