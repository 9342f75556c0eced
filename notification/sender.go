package notification

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
)

const (
	// lease is how long a replica sends without renewing its lease.
	lease = 30 * time.Second
	// claimInterval is how often a replica tries to take the lease over.
	claimInterval = 5 * time.Second
	// keepFor is how long what was sent of a run that has ended is remembered.
	keepFor = 30 * 24 * time.Hour
	// sweepEvery is the time between two removals of what is no longer remembered.
	sweepEvery = time.Hour
	// mostKnown bounds how many runs are remembered in memory.
	mostKnown = 50_000
)

// Log is the event log.
type Log interface {
	Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice
	End(ctx context.Context) (int64, error)
}

// Executions reads runs, with what they and their stages are doing. Errors: not_found.
type Executions interface {
	Get(ctx context.Context, id string) (execution.Execution, error)
	List(ctx context.Context, q execution.Query) (execution.Page, error)
}

// Replicas are the control planes that share the log, as one of them knows them.
type Replicas interface {
	Owner() string
	Lives(ctx context.Context, owner string) (bool, error)
	ReplicaExit() <-chan struct{}
}

// Sender tells people of runs. Each replica runs one; one of them at a time sends.
type Sender struct {
	Store      Store
	Log        Log
	Executions Executions
	Secrets    Secrets
	Replicas   Replicas // nil: only an expired lease shows that another sender has exited
	URL        string   // of the control plane's pages
	Holder     string   // names this replica
	Now        func() time.Time
	Client     Client
	Report     *slog.Logger
}

// leaseState is the record of who sends.
type leaseState struct {
	Position int64     `json:"position"` // events up to it are in the records of their runs
	Holder   string    `json:"holder,omitempty"`
	Session  string    `json:"session,omitempty"`
	Until    time.Time `json:"until,omitzero"`
}

// Run sends whenever this replica holds the lease, until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	for ctx.Err() == nil {
		var gone <-chan struct{}
		if s.Replicas != nil {
			gone = s.Replicas.ReplicaExit()
		}
		h, err := s.hold(ctx)
		if err != nil && ctx.Err() == nil {
			s.Report.Warn("the lease of notifications cannot be taken", "error", err)
		}
		if h != nil {
			if err := h.work(ctx); err != nil && ctx.Err() == nil && problem.CodeOf(err) != problem.Conflict {
				s.Report.Warn("telling people of runs was interrupted", "error", err)
			}
			h.release(context.WithoutCancel(ctx))
		}
		t := time.NewTimer(claimInterval)
		select {
		case <-t.C:
		case <-gone:
		case <-ctx.Done():
		}
		t.Stop()
	}
}

// held is the lease, held by this replica.
type held struct {
	*Sender
	mu      sync.Mutex // of state and version
	state   leaseState
	version int64
	known   map[string]bool // runs that people are told of, and those that they are not
	queue   *queue
}

// Begin has people told of what happens from now on, should that be the first time.
func (s *Sender) Begin(ctx context.Context) error {
	_, err := s.Store.Records.GetRecord(ctx, leases, "lease")
	if problem.CodeOf(err) != problem.NotFound {
		return err
	}
	h := &held{Sender: s}
	if h.state.Position, err = s.Log.End(ctx); err == nil {
		err = h.write(ctx)
	}
	if problem.CodeOf(err) == problem.Conflict {
		return nil // another replica was first
	}
	return err
}

// hold takes the lease; nil when another replica has it.
func (s *Sender) hold(ctx context.Context) (*held, error) {
	h := &held{Sender: s, known: map[string]bool{}}
	r, err := s.Store.Records.GetRecord(ctx, leases, "lease")
	if problem.CodeOf(err) == problem.NotFound {
		return nil, s.Begin(ctx)
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(r.Data, &h.state); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "notification", "the lease is damaged")
	}
	if h.state.Holder != "" && h.state.Holder != s.Holder && s.Now().Before(h.state.Until) && s.lives(ctx, h.state.Session) {
		return nil, nil
	}
	h.version = r.Version
	if err := h.renew(ctx); err != nil {
		if problem.CodeOf(err) == problem.Conflict {
			return nil, nil // another replica took it first
		}
		return nil, err
	}
	return h, nil
}

func (s *Sender) lives(ctx context.Context, session string) bool {
	if s.Replicas == nil || session == "" {
		return true
	}
	lives, err := s.Replicas.Lives(ctx, session)
	return lives || err != nil
}

// renew writes the lease and the position. Errors: conflict when it is lost.
func (h *held) renew(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Holder, h.state.Until = h.Holder, h.Now().Add(lease).UTC()
	if h.Replicas != nil {
		h.state.Session = h.Replicas.Owner()
	}
	return h.write(ctx)
}

func (h *held) write(ctx context.Context) error {
	data, err := json.Marshal(h.state)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "notification", "encoding")
	}
	r, err := h.Store.Records.PutRecord(ctx, record.Record{Collection: leases, Key: "lease", Version: h.version, Data: data})
	if err == nil {
		h.version = r.Version
	}
	return err
}

// release ends the lease, so that another replica can take it at once.
func (h *held) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state.Holder, h.state.Session, h.state.Until = "", "", time.Time{}
	if err := h.write(ctx); err != nil && problem.CodeOf(err) != problem.Conflict {
		h.Report.Debug("the lease of notifications is not released; it expires soon", "error", err)
	}
}

// selected are the events after which a message may have to change.
var selected = record.Filter{Types: []string{
	"execution.started", "execution.restarted", "execution.succeeded", "execution.failed", "execution.canceled", "execution.canceling",
	"stage.waiting", "stage.parked", "stage.signaled", "stage.succeeded", "stage.failed", "stage.canceled", "stage.retrying"}}

// work reads the log and sends, until ctx ends or the lease is lost.
func (h *held) work(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	h.queue = newQueue(ctx, &workers, h.Now, h.tell)
	if err := h.Store.all(ctx, "", func(key string, k kept) error { // what the one before left
		if k.due() && !k.GaveUp {
			h.queue.add(receiverOf(k.Channel), key)
		}
		return nil
	}); err != nil {
		return err
	}
	slices := h.Log.Follow(ctx, h.state.Position, selected)
	renew := time.NewTicker(lease / 3)
	defer renew.Stop()
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case slice, ok := <-slices:
			if !ok {
				return ctx.Err()
			}
			if slice.Reset { // some events are gone: every run that has not ended may have changed
				if err := h.changed(ctx, ""); err != nil {
					return err
				}
			}
			for _, e := range slice.Events {
				if err := h.note(ctx, e); err != nil {
					return err
				}
			}
			if len(slice.Events) == 0 && slice.Next <= h.state.Position {
				continue
			}
			h.state.Position = max(h.state.Position, slice.Next)
			if len(slice.Events) == 0 {
				continue // saved with the next renewal
			}
		case <-renew.C:
		case <-sweep.C:
			if err := h.sweep(ctx); err != nil {
				return err
			}
			continue
		}
		if err := h.renew(ctx); err != nil {
			return err
		}
	}
}

// note records that a run has changed, and has it looked at.
func (h *held) note(ctx context.Context, e record.Event) error {
	if len(h.known) > mostKnown {
		clear(h.known)
	}
	if e.Type == "execution.started" {
		var data struct {
			Notifies bool `json:"notifies"`
		}
		_ = json.Unmarshal(e.Data, &data) // an event of our own
		h.known[e.Execution] = data.Notifies
		if !data.Notifies {
			return nil
		}
		return h.begin(ctx, e)
	}
	if told, ok := h.known[e.Execution]; ok && !told {
		return nil
	}
	return h.changed(ctx, e.Execution)
}

// changed has a run looked at in each of its channels; all runs for "".
func (h *held) changed(ctx context.Context, execution string) error {
	var keys []string
	prefix := ""
	if execution != "" {
		prefix = execution + "."
	}
	if err := h.Store.all(ctx, prefix, func(key string, k kept) error {
		if execution != "" || k.Ended.IsZero() {
			keys = append(keys, key)
		}
		return nil
	}); err != nil {
		return err
	}
	if execution != "" {
		h.known[execution] = len(keys) > 0
	}
	for _, key := range keys {
		k, err := h.Store.change(ctx, key, func(k *kept) bool {
			k.Changes++
			k.GaveUp = false
			return true
		})
		if err != nil {
			return err
		}
		h.queue.add(receiverOf(k.Channel), key)
	}
	return nil
}

// begin makes the records of a new run.
func (h *held) begin(ctx context.Context, e record.Event) error {
	x, err := h.Executions.Get(ctx, e.Execution)
	if problem.CodeOf(err) == problem.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if x.Definition == nil {
		return nil
	}
	for i, c := range x.Definition.Notify {
		key := keyOf(x.ID, i)
		err := h.Store.put(ctx, key, 0, kept{Run: runOf(x), Channel: c, Changes: 1})
		if err != nil && problem.CodeOf(err) != problem.Conflict { // conflict: it was made before the position was saved
			return err
		}
		h.queue.add(receiverOf(c), key)
	}
	return nil
}

// sweep removes what is no longer remembered.
func (h *held) sweep(ctx context.Context) error {
	var old []string
	now := h.Now()
	if err := h.Store.all(ctx, "", func(key string, k kept) error {
		if !k.Ended.IsZero() && now.Sub(k.Ended) > keepFor {
			old = append(old, key)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, key := range old {
		if err := h.forget(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

func (h *held) forget(ctx context.Context, key string) error {
	r, err := h.Store.Records.GetRecord(ctx, runs, key)
	if err == nil {
		err = h.Store.Records.DeleteRecord(ctx, runs, key, r.Version)
	}
	if problem.CodeOf(err) == problem.NotFound || problem.CodeOf(err) == problem.Conflict {
		return nil
	}
	return err
}
