package function

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"sync"
	"time"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// invocation is one request while it is under way, and for a while after that.
type invocation struct {
	driver.Invocation
	deadline time.Time

	mu      sync.Mutex
	lines   []driver.LogLines
	changed chan struct{} // closed and replaced with every line
	result  driver.InvocationResult
	failure error // the outcome is unknown
	done    bool
	ended   time.Time
}

// say adds lines to the log.
func (v *invocation) say(stream string, lines ...driver.LogLine) {
	if len(lines) == 0 {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lines = append(v.lines, driver.LogLines{Stream: stream, Lines: lines})
	close(v.changed)
	v.changed = make(chan struct{})
}

// body is the payload, until it is dropped.
func (v *invocation) body() []byte {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.Payload
}

// drop forgets the payload: it may be large, and nobody reads it again.
func (v *invocation) drop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.Payload = nil
}

// end sets the outcome; the first one counts.
func (v *invocation) end(now time.Time, r driver.InvocationResult, failure error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.done {
		return
	}
	v.result, v.failure, v.done, v.ended = r, failure, true, now
	close(v.changed)
	v.changed = make(chan struct{})
}

// follow passes the log on as it comes and returns the outcome.
func (v *invocation) follow(ctx context.Context, log func(driver.LogLines)) (driver.InvocationResult, error) {
	for read := 0; ; {
		v.mu.Lock()
		lines, changed, done, result, failure := v.lines[read:], v.changed, v.done, v.result, v.failure
		read = len(v.lines)
		v.mu.Unlock()
		for _, l := range lines {
			log(l)
		}
		if done {
			return result, failure
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return driver.InvocationResult{}, problem.Wrap(context.Cause(ctx), problem.Unavailable, "function.invoke", "waiting for %s", v.Function)
		}
	}
}

// environmentKey says which requests an environment may answer.
type environmentKey struct{ function, version, fingerprint string }

// keyOf makes the key of a request: other code, settings or variables make another one.
func keyOf(in driver.Invocation) environmentKey {
	text, _ := json.Marshal([]any{in.Workload, in.Layers, in.Env}) // plain data
	sum := sha256.Sum256(text)
	return environmentKey{in.Function, in.Version, hex.EncodeToString(sum[:])}
}

// Invoke runs a function once and passes on what it logs. The request goes on when ctx
// ends: whoever asks again for one that may be joined finds it. Errors: invalid; precondition
// for a runtime that is not there; unavailable.
func (h *Host) Invoke(ctx context.Context, in driver.Invocation, log func(driver.LogLines)) (driver.InvocationResult, error) {
	if err := driver.CheckInvocation(in); err != nil {
		return driver.InvocationResult{}, err
	}
	h.mu.Lock()
	v := h.requests[in.Joins]
	if v == nil {
		var throttled string
		var err error
		if v, throttled, err = h.begin(in); err != nil || throttled != "" {
			h.mu.Unlock()
			return driver.InvocationResult{Throttled: throttled}, err
		}
	}
	h.mu.Unlock()
	return v.follow(ctx, log)
}

// begin admits a request and gives it to an environment. The host is locked.
func (h *Host) begin(in driver.Invocation) (v *invocation, throttled string, err error) {
	if h.closed {
		return nil, "", problem.New(problem.Unavailable, "function.invoke", "the region is ending")
	}
	f := h.functions[in.Function]
	if f == nil {
		f = &function{}
		h.functions[in.Function] = f
	}
	switch {
	case in.Reserved != nil && f.atOnce >= *in.Reserved:
		return nil, driver.ThrottledByReserved, nil
	case h.atOnce >= driver.MostFunctionsAtOnce:
		return nil, driver.ThrottledByRegion, nil
	}
	v = &invocation{Invocation: in, changed: make(chan struct{})}
	e, outdated := f.take(keyOf(in))
	if e == nil {
		if e, err = h.environment(in); err != nil {
			return nil, "", err
		}
		h.makeRoom()
		h.all[e] = true
	}
	f.atOnce++
	h.atOnce++
	if in.Joins != "" {
		h.requests[in.Joins] = v
	}
	for _, old := range outdated {
		h.work.Go(old.end)
	}
	h.work.Go(func() {
		e.serve(v)
		h.release(e, f, v)
	})
	return v, "", nil
}

// take finds an environment that is idle, and those of the same version that other
// settings have outdated.
func (f *function) take(key environmentKey) (found *environment, outdated []*environment) {
	var keep []*environment
	for i := len(f.idle) - 1; i >= 0; i-- {
		switch e := f.idle[i]; {
		case e.key == key && found == nil:
			found = e
		case e.key.version == key.version && e.key != key:
			outdated = append(outdated, e)
		default:
			keep = append([]*environment{e}, keep...)
		}
	}
	f.idle = keep
	return found, outdated
}

// makeRoom ends the environment that has been idle for longest when there are too many.
// The host is locked.
func (h *Host) makeRoom() {
	if len(h.all) < driver.MostFunctionsAtOnce {
		return
	}
	var from *function
	for _, f := range h.functions {
		if len(f.idle) > 0 && (from == nil || f.idle[0].used.Before(from.idle[0].used)) {
			from = f
		}
	}
	if from != nil {
		e := from.idle[0]
		from.idle = from.idle[1:]
		h.work.Go(e.end)
	}
}

// release takes a request off an environment, which may then answer another one.
func (h *Host) release(e *environment, f *function, v *invocation) {
	h.mu.Lock()
	f.atOnce--
	h.atOnce--
	v.drop()
	e.used = h.config.Now()
	free := e.free() && !e.retired && !h.closed
	if free {
		f.idle = append(f.idle, e)
	}
	h.mu.Unlock()
	if !free {
		e.end()
	}
}
