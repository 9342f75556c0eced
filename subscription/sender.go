package subscription

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"showrunner/eventlog"
	"showrunner/internal/standardwebhook"
	"showrunner/problem"
	"showrunner/store/record"
)

const (
	// lease is how long a replica holds a subscription without renewing the
	// lease. It renews at every third of this time, but not while it waits for a
	// receiver's answer.
	lease = 2 * callTimeout
	// saveEvery is how often progress is saved while messages are accepted. After
	// a crash, the messages sent since the last save are sent again with the same
	// webhook-id.
	saveEvery = time.Second
	// parkAfter is how long a receiver may fail before its subscription is parked.
	parkAfter = 3 * 24 * time.Hour
	// callTimeout is how long a receiver may take to answer.
	callTimeout = 15 * time.Second
	// claimInterval is how often a replica tries to take over subscriptions that
	// other replicas hold, even when no replica is known to have exited.
	claimInterval = 5 * time.Second

	// The pause before a message is sent again doubles from firstPause to lastPause.
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Minute
)

// Log is the event log. Follow sends the events after a position, in order, until
// ctx ends; then it closes the channel.
type Log interface {
	Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice
	End(ctx context.Context) (int64, error)
}

// Secrets resolves secrets. Errors: not_found.
type Secrets interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Replicas are the control planes that share the log, as one of them knows them.
type Replicas interface {
	// Owner returns this replica's session, "" while there is none.
	Owner() string
	// Lives tells whether a session is still alive.
	Lives(ctx context.Context, owner string) (bool, error)
	// ReplicaExit returns a channel that is closed when this replica next learns
	// that another replica has exited.
	ReplicaExit() <-chan struct{}
}

// Sender sends events to the receivers of all subscriptions. Each replica runs one;
// a subscription is held by one of them at a time, which sends its events.
type Sender struct {
	Subscriptions Store
	Log           Log
	Secrets       Secrets
	Replicas      Replicas // nil: only an expired lease shows that another sender has exited
	// Source is the source of CloudEvents: the address of the control plane.
	// Common says that all replicas have the same address. Otherwise a
	// subscription keeps the source of the replica that sent first, so that an
	// event that two replicas send has one identity.
	Source string
	Common bool
	Holder string // names this replica
	Now    func() time.Time
	Client *http.Client
	// Streams opens the stream of a subscription, with the value of its secret.
	Streams func(ctx context.Context, sub Subscription, credentials string) (Stream, error)
	Report  *slog.Logger
}

// NewClient makes the client that sends messages. It follows no redirect: a
// signed message would reach a host it was not meant for.
func NewClient() *http.Client {
	return &http.Client{Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) {
	var work sync.WaitGroup
	defer work.Wait()
	type worker struct {
		was  string // the subscription when its worker started, as JSON
		stop context.CancelFunc
	}
	workers := map[string]worker{}
	changed := s.changes(ctx)
	tick := time.NewTicker(claimInterval)
	defer tick.Stop()
	for {
		list, err := s.Subscriptions.List(ctx)
		if err != nil && ctx.Err() == nil {
			s.Report.Warn("subscriptions cannot be read", "error", err)
		}
		if err == nil {
			present := map[string]bool{}
			for _, sub := range list {
				sub.Progress = nil
				raw, _ := json.Marshal(sub) // a struct of strings can always be encoded
				present[sub.Name] = true
				if w, ok := workers[sub.Name]; ok {
					if w.was == string(raw) {
						continue
					}
					w.stop()
				}
				own, stop := context.WithCancel(ctx)
				workers[sub.Name] = worker{string(raw), stop}
				work.Go(func() { s.serve(own, sub) })
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

// changes returns a channel that is sent to when a subscription was put, resumed
// or deleted, here or by another replica.
func (s *Sender) changes(ctx context.Context) <-chan struct{} {
	out := make(chan struct{}, 1)
	go func() {
		from, err := s.Log.End(ctx)
		if err != nil {
			return // missed events are no loss: the tick finds changes too
		}
		for range s.Log.Follow(ctx, from, record.Filter{Types: []string{"audit.subscription."}}) {
			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()
	return out
}

// serve takes one subscription whenever no other replica holds it, and sends its
// events.
func (s *Sender) serve(ctx context.Context, sub Subscription) {
	for ctx.Err() == nil {
		var gone <-chan struct{}
		if s.Replicas != nil {
			gone = s.Replicas.ReplicaExit()
		}
		h, err := s.hold(ctx, sub)
		if err != nil && ctx.Err() == nil {
			s.Report.Warn("the lease of a subscription cannot be taken", "subscription", sub.Name, "error", err)
		}
		if h != nil {
			err := h.send(ctx)
			if err != nil && ctx.Err() == nil && problem.CodeOf(err) != problem.Conflict {
				s.Report.Warn("sending a subscription was interrupted", "subscription", sub.Name, "error", err)
			}
			h.release(context.WithoutCancel(ctx))
		}
		wait(ctx, claimInterval, gone)
	}
}

// wait waits until a pause has passed or early is closed.
func wait(ctx context.Context, pause time.Duration, early <-chan struct{}) {
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-early:
	case <-ctx.Done():
	}
}

// held is a subscription whose lease this replica holds.
type held struct {
	sender   *Sender
	sub      Subscription
	progress Progress
	version  int64 // version of the record that keeps progress
	saved    time.Time
	stream   Stream // of a subscription whose events go to one, once it is open
}

// hold takes the lease of a subscription. It returns nil when another replica
// holds it or the subscription is parked.
func (s *Sender) hold(ctx context.Context, sub Subscription) (*held, error) {
	p, version, err := s.Subscriptions.progress(ctx, sub.Name)
	if err != nil || version == 0 || p.Parked != "" || p.Holder != "" && p.Holder != s.Holder && s.Now().Before(p.Until) && s.lives(ctx, p.Session) {
		return nil, err
	}
	if s.Common || p.Source == "" {
		p.Source = s.Source
	}
	h := &held{sender: s, sub: sub, progress: p, version: version}
	err = h.save(ctx)
	if problem.CodeOf(err) == problem.Conflict {
		return nil, nil // another replica took it first
	}
	return h, err
}

// lives says whether the session of a replica is alive; it also returns true when
// that is not known.
func (s *Sender) lives(ctx context.Context, session string) bool {
	if s.Replicas == nil || session == "" {
		return true
	}
	lives, err := s.Replicas.Lives(ctx, session)
	return lives || err != nil
}

// save saves progress and renews the lease. Errors: conflict when another
// replica, or a person, has written since.
func (h *held) save(ctx context.Context) error {
	now := h.sender.Now()
	h.progress.Holder, h.progress.Until = h.sender.Holder, now.Add(lease).UTC()
	if h.sender.Replicas != nil {
		h.progress.Session = h.sender.Replicas.Owner()
	}
	version, err := h.sender.Subscriptions.save(ctx, h.sub.Name, h.version, h.progress)
	if err == nil {
		h.version, h.saved = version, now
	}
	return err
}

// release ends the lease, so that another replica can take it at once.
func (h *held) release(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	h.progress.Holder, h.progress.Session, h.progress.Until = "", "", time.Time{}
	if _, err := h.sender.Subscriptions.save(ctx, h.sub.Name, h.version, h.progress); err != nil && problem.CodeOf(err) != problem.Conflict {
		h.sender.Report.Debug("the lease of a subscription is not released; it expires soon", "subscription", h.sub.Name, "error", err)
	}
}

// send follows the log and delivers until ctx ends, the lease is lost, or the
// subscription is parked.
func (h *held) send(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	events := h.sender.Log.Follow(ctx, h.progress.Position, h.sub.filter())
	renew := time.NewTicker(lease / 3)
	defer renew.Stop()
	for {
		select {
		case slice, ok := <-events:
			if !ok {
				return ctx.Err()
			}
			if err := h.deliverSlice(ctx, slice.Events); err != nil || h.progress.Parked != "" {
				return err
			}
			if n := len(slice.Events); n > 0 {
				h.progress.Position = max(h.progress.Position, slice.Events[n-1].Position)
			}
			h.progress.Position = max(h.progress.Position, slice.Next)
			if h.sender.Now().Sub(h.saved) < saveEvery {
				continue
			}
		case <-renew.C:
		}
		if err := h.save(ctx); err != nil {
			return err
		}
	}
}

// deliverSlice sends the events that the subscription selects.
func (h *held) deliverSlice(ctx context.Context, events []record.Event) error {
	var selected []record.Event
	for _, e := range events {
		if h.sub.selects(e) {
			selected = append(selected, e)
		}
	}
	if h.sub.isStream() {
		for part := range slices.Chunk(selected, mostPending) {
			if err := h.deliverAll(ctx, part); err != nil || h.progress.Parked != "" {
				return err
			}
			h.progress.Position = part[len(part)-1].Position
		}
		return nil
	}
	for _, e := range selected {
		h.progress.Position = e.Position - 1
		if err := h.deliver(ctx, e); err != nil || h.progress.Parked != "" {
			return err
		}
	}
	return nil
}

// deliver sends one event until it is accepted, or the subscription is parked.
func (h *held) deliver(ctx context.Context, e record.Event) error {
	for {
		after, err := h.post(ctx, e)
		if err == nil {
			h.progress.Delivered++
			h.progress.Position = e.Position
			return h.tried(ctx, nil, 0)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := h.tried(ctx, err, after); err != nil || h.progress.Parked != "" {
			return err
		}
	}
}

// tried takes in what became of an attempt: it saves progress now and then, and after a
// failure, which may park the subscription, and waits before the next attempt.
func (h *held) tried(ctx context.Context, failure error, after time.Duration) error {
	now := h.sender.Now()
	if failure == nil {
		h.progress.Last, h.progress.Error, h.progress.Failures, h.progress.Failing, h.progress.Next = now.UTC(), "", 0, time.Time{}, time.Time{}
		if now.Sub(h.saved) >= saveEvery {
			return h.save(ctx)
		}
		return nil
	}
	if h.progress.Failures == 0 || h.progress.Failing.IsZero() {
		h.progress.Failing = now.UTC()
	}
	h.progress.Error = failure.Error()
	pause := max(after, min(lastPause, firstPause<<min(h.progress.Failures, 12)))
	h.progress.Failures++
	h.progress.Next = now.Add(pause).UTC()
	switch {
	case problem.CodeOf(failure) == problem.NotFound:
		h.progress.Parked = "the receiver answered that it is gone"
	case now.Sub(h.progress.Failing) > parkAfter:
		h.progress.Parked = "the receiver has failed since " + h.progress.Failing.Format(time.RFC3339) + ": " + h.progress.Error
	}
	if err := h.save(ctx); err != nil || h.progress.Parked != "" {
		return err
	}
	return h.waitRenewing(ctx, pause)
}

// waitRenewing waits before the next try, and renews the lease meanwhile.
func (h *held) waitRenewing(ctx context.Context, pause time.Duration) error {
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
// good, unavailable for every failure that may pass; after is how long the
// receiver asks us to wait.
func (h *held) post(ctx context.Context, e record.Event) (after time.Duration, err error) {
	const op = "subscription.send"
	secret, err := h.sender.Secrets.Resolve(ctx, h.sub.Secret)
	if err != nil {
		return 0, problem.New(problem.Unavailable, op, "the secret %s cannot be read: %v", h.sub.Secret, err)
	}
	body, contentType, err := h.body(e)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.sub.URL, bytes.NewReader(body))
	if err != nil {
		return 0, problem.New(problem.Unavailable, op, "the address cannot be used")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", "showrunner")
	standardwebhook.Sign(req.Header, strings.TrimRight(secret, "\r\n"), h.sub.Name+"-"+strconv.FormatInt(e.Position, 10), h.sender.Now(), body)
	res, err := h.sender.Client.Do(req)
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
	if h.sub.Format != eventlog.FormatEvent && h.sub.Format != FormatOTLP {
		v, contentType = eventlog.CloudEventOf(h.progress.Source, e), eventlog.ContentType
	}
	if body, err = json.Marshal(v); err != nil {
		err = fmt.Errorf("encoding event %d: %w", e.Position, err)
	}
	return body, contentType, err
}
