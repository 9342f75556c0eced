package eventlog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/internal/standardwebhook"
	"showrunner/problem"
	"showrunner/store/record"
)

const (
	// lease is how long the replica that sends keeps a subscription without
	// saying that it is still there. It says so every third of it, and not while a
	// receiver takes its time.
	lease = 2 * callLimit
	// saveEvery is how often progress is written while all goes well; what was
	// sent since is sent again, under the same webhook-id, after a crash.
	saveEvery = time.Second
	// patience is how long a receiver may fail before its subscription is parked.
	patience = 3 * 24 * time.Hour
	// callLimit is how long a receiver may take to answer.
	callLimit = 15 * time.Second
	// lookAgain is how often subscriptions that others hold are looked at though
	// nobody is known to have gone.
	lookAgain = 5 * time.Second

	firstPause = time.Second
	lastPause  = 5 * time.Minute
)

// Log is the event log. Follow sends what comes after a position, in order,
// until ctx ends, when it closes the channel.
type Log interface {
	Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice
	End(ctx context.Context) (int64, error)
}

// Secrets resolves secrets. Errors: not_found.
type Secrets interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Replicas are those that share the log, as one of them knows them.
type Replicas interface {
	// Owner names this replica's session, "" while there is none.
	Owner() string
	// Lives tells whether a session goes on.
	Lives(ctx context.Context, owner string) (bool, error)
	// Departures returns a channel that is closed at the next time after the call
	// that another replica is found to have gone.
	Departures() <-chan struct{}
}

// Deliverer sends what subscriptions ask for. Any number of replicas may run
// one: each subscription is sent by one of them at a time.
type Deliverer struct {
	Subscriptions Subscriptions
	Log           Log
	Secrets       Secrets
	Replicas      Replicas // nil: a lease alone tells who has gone
	// Source of CloudEvents is the address of the control plane. Unless it is the
	// Common one of all replicas, a subscription keeps that of who sent first, so
	// that an event that two of them send is the same one.
	Source string
	Common bool
	Holder string // names this replica
	Now    func() time.Time
	Client *http.Client
	Report *slog.Logger
}

// NewClient makes the client that messages are sent with. It follows no
// redirect: a signed message would reach someone it was not meant for.
func NewClient() *http.Client {
	return &http.Client{Timeout: callLimit, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Run sends until ctx ends.
func (d *Deliverer) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	type worker struct {
		was  string // the definition that it works for
		stop context.CancelFunc
	}
	workers := map[string]worker{}
	changed := d.changes(ctx)
	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	for {
		list, err := d.Subscriptions.List(ctx)
		if err != nil && ctx.Err() == nil {
			d.Report.Warn("subscriptions cannot be read", "error", err)
		}
		if err == nil {
			present := map[string]bool{}
			for _, s := range list {
				s.Progress = nil
				raw, _ := json.Marshal(s) // texts always encode
				present[s.Name] = true
				if w, ok := workers[s.Name]; ok {
					if w.was == string(raw) {
						continue
					}
					w.stop()
				}
				own, stop := context.WithCancel(ctx)
				workers[s.Name] = worker{string(raw), stop}
				work.Go(func() { d.serve(own, s) })
			}
			for name, w := range workers {
				if !present[name] {
					w.stop()
					delete(workers, name)
				}
			}
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			for _, w := range workers {
				w.stop()
			}
			return
		}
	}
}

// changes tells that a subscription was put, resumed or deleted, here or elsewhere.
func (d *Deliverer) changes(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		from, err := d.Log.End(ctx)
		if err != nil {
			return // the tick looks too
		}
		for range d.Log.Follow(ctx, from, record.Filter{Types: []string{"audit.subscription."}}) {
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out
}

// serve holds one subscription whenever nobody else does, and sends.
func (d *Deliverer) serve(ctx context.Context, s Subscription) {
	for ctx.Err() == nil {
		var gone <-chan struct{}
		if d.Replicas != nil {
			gone = d.Replicas.Departures()
		}
		h, err := d.hold(ctx, s)
		if err != nil && ctx.Err() == nil {
			d.Report.Warn("a subscription cannot be held", "subscription", s.Name, "error", err)
		}
		if h != nil {
			err := h.send(ctx)
			if err != nil && ctx.Err() == nil && problem.CodeOf(err) != problem.Conflict {
				d.Report.Warn("a subscription is interrupted", "subscription", s.Name, "error", err)
			}
			h.release(context.WithoutCancel(ctx))
		}
		wait(ctx, lookAgain, gone)
	}
}

// wait lets a pause pass, which an early end makes shorter.
func wait(ctx context.Context, pause time.Duration, early <-chan struct{}) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-ctx.Done():
	}
}

// held is a subscription that this replica sends.
type held struct {
	d       *Deliverer
	s       Subscription
	p       Progress
	version int64
	saved   time.Time
}

// hold takes a subscription that nobody else sends now; nil: somebody does, or
// it is parked.
func (d *Deliverer) hold(ctx context.Context, s Subscription) (*held, error) {
	p, version, err := d.Subscriptions.progress(ctx, s.Name)
	if err != nil || version == 0 || p.Parked != "" || p.Holder != "" && p.Holder != d.Holder && d.Now().Before(p.Until) && d.lives(ctx, p.Session) {
		return nil, err
	}
	if d.Common || p.Source == "" {
		p.Source = d.Source
	}
	h := &held{d: d, s: s, p: p, version: version}
	err = h.save(ctx)
	if problem.CodeOf(err) == problem.Conflict {
		return nil, nil // another replica was faster
	}
	return h, err
}

// lives tells whether a replica may still be there: its lease is not over.
func (d *Deliverer) lives(ctx context.Context, session string) bool {
	if d.Replicas == nil || session == "" {
		return true
	}
	lives, err := d.Replicas.Lives(ctx, session)
	return lives || err != nil
}

// save writes progress and renews the lease. Errors: conflict when another
// replica, or a person, has written since.
func (h *held) save(ctx context.Context) error {
	now := h.d.Now()
	h.p.Holder, h.p.Until = h.d.Holder, now.Add(lease).UTC()
	if h.d.Replicas != nil {
		h.p.Session = h.d.Replicas.Owner()
	}
	version, err := h.d.Subscriptions.save(ctx, h.s.Name, h.version, h.p)
	if err == nil {
		h.version, h.saved = version, now
	}
	return err
}

// release lets another replica hold it at once.
func (h *held) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	h.p.Holder, h.p.Session, h.p.Until = "", "", time.Time{}
	if _, err := h.d.Subscriptions.save(ctx, h.s.Name, h.version, h.p); err != nil && problem.CodeOf(err) != problem.Conflict {
		h.d.Report.Debug("a subscription is not released; its lease will be over soon", "subscription", h.s.Name, "error", err)
	}
}

// send follows the log and delivers until ctx ends, the lease is lost, or the
// subscription is parked.
func (h *held) send(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	slices := h.d.Log.Follow(ctx, h.p.Position, h.s.filter())
	renew := time.NewTicker(lease / 3)
	defer renew.Stop()
	for {
		select {
		case slice, ok := <-slices:
			if !ok {
				return ctx.Err()
			}
			for _, e := range slice.Events {
				if h.s.selects(e) {
					if err := h.deliver(ctx, e); err != nil || h.p.Parked != "" {
						return err
					}
				}
				h.p.Position = e.Position
			}
			h.p.Position = max(h.p.Position, slice.Next)
			if h.d.Now().Sub(h.saved) < saveEvery {
				continue
			}
		case <-renew.C:
		}
		if err := h.save(ctx); err != nil {
			return err
		}
	}
}

// deliver sends one event until it is taken, or the subscription is parked.
func (h *held) deliver(ctx context.Context, e record.Event) error {
	for {
		after, err := h.post(ctx, e)
		now := h.d.Now()
		if err == nil {
			h.p.Delivered++
			h.p.Last, h.p.Error, h.p.Failures, h.p.Failing, h.p.Next = now.UTC(), "", 0, time.Time{}, time.Time{}
			if now.Sub(h.saved) >= saveEvery {
				h.p.Position = e.Position
				return h.save(ctx)
			}
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if h.p.Failures == 0 || h.p.Failing.IsZero() {
			h.p.Failing = now.UTC()
		}
		h.p.Error = err.Error()
		pause := max(after, min(lastPause, firstPause<<min(h.p.Failures, 10)))
		h.p.Failures++
		h.p.Next = now.Add(pause).UTC()
		switch {
		case problem.CodeOf(err) == problem.NotFound:
			h.p.Parked = "the receiver says that it is gone"
		case now.Sub(h.p.Failing) > patience:
			h.p.Parked = "the receiver has failed since " + h.p.Failing.Format(time.RFC3339) + ": " + h.p.Error
		}
		if err := h.save(ctx); err != nil || h.p.Parked != "" {
			return err
		}
		if err := h.rest(ctx, pause); err != nil {
			return err
		}
	}
}

// rest waits before the next try, and keeps the lease meanwhile.
func (h *held) rest(ctx context.Context, pause time.Duration) error {
	for pause > 0 {
		step := min(pause, lease/3)
		wait(ctx, step, nil)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if pause -= step; pause > 0 {
			if err := h.save(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// post sends one event once. Errors: not_found when the receiver is gone for
// good, unavailable for all that may pass; after is how long it asks us to wait.
func (h *held) post(ctx context.Context, e record.Event) (after time.Duration, err error) {
	const op = "subscription.send"
	secret, err := h.d.Secrets.Resolve(ctx, h.s.Secret)
	if err != nil {
		return 0, problem.New(problem.Unavailable, op, "the secret %s cannot be read: %v", h.s.Secret, err)
	}
	body, contentType, err := h.body(e)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.s.URL, bytes.NewReader(body))
	if err != nil {
		return 0, problem.New(problem.Unavailable, op, "the address cannot be used")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "showrunner")
	standardwebhook.Sign(req.Header, strings.TrimRight(secret, "\r\n"), h.s.Name+"-"+strconv.FormatInt(e.Position, 10), h.d.Now(), body)
	res, err := h.d.Client.Do(req)
	if err != nil {
		return 0, problem.Wrap(err, problem.Unavailable, op, "no answer")
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return 0, nil
	}
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		after = min(time.Duration(seconds)*time.Second, lastPause)
	}
	code := problem.Unavailable
	if res.StatusCode == http.StatusGone {
		code = problem.NotFound
	}
	return after, problem.New(code, op, "answered %s", res.Status)
}

func (h *held) body(e record.Event) (body []byte, contentType string, err error) {
	var v any = e
	contentType = "application/json"
	if h.s.Format != FormatEvent {
		v, contentType = CloudEventOf(h.p.Source, e), ContentType
	}
	if body, err = json.Marshal(v); err != nil {
		err = fmt.Errorf("encoding event %d: %w", e.Position, err)
	}
	return body, contentType, err
}
