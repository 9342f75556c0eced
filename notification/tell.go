package notification

import (
	"context"
	"time"

	"showrunner/execution"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/secret"
)

// giveUpAfter is how long one message is tried. What is tried later would surprise more
// than help.
const giveUpAfter = 3 * 24 * time.Hour

// tell sends what is due of one run in one channel. It returns an error when the receiver
// has to be left alone for a while; the record is due then still.
func (h *held) tell(ctx context.Context, key string) error {
	k, version, err := h.Store.get(ctx, key)
	if problem.CodeOf(err) == problem.NotFound || err == nil && !k.due() {
		return nil
	}
	if err != nil {
		return err
	}
	e, err := h.Executions.Get(ctx, executionOf(key))
	if problem.CodeOf(err) == problem.NotFound {
		return h.forget(ctx, key) // retention has removed the run
	}
	if err != nil {
		return err
	}
	before, err := h.failedBefore(ctx, e)
	if err != nil {
		return err
	}
	seen := k.Changes
	secrets := &recording{Secrets: h.Secrets}
	c, err := open(ctx, k.Channel, secrets, h.Client)
	if err != nil {
		return h.fails(ctx, key, seen, problem.New(problem.Precondition, "notification", "%s", problem.Text(err)))
	}
	l, steps := k.letter(key, e, masked(messageOf(e, before, h.URL), secrets.values...), before, c.edits(), h.Now())
	if l == nil {
		_, err := h.Store.change(ctx, key, func(k *kept) bool {
			k.done(seen, e, steps)
			k.Intent = nil
			return true
		})
		return err
	}
	if l.Edit == nil && k.Intent == nil {
		at := h.Now().UTC()
		k.Intent = &at
		// Strictly from what was read: of two replicas that both believe to send, one loses here.
		if err := h.Store.put(ctx, key, version, k); err != nil {
			return err
		}
	}
	call, cancel := context.WithTimeout(ctx, sendTimeout)
	posted, err := c.send(call, *l)
	cancel()
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err() // whether it was sent is in doubt: the intent stays
		}
		return h.fails(ctx, key, seen, err)
	}
	// The receiver has it: this has to be recorded also while this control plane stops.
	done, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTimeout)
	defer cancel()
	_, err = h.Store.change(done, key, func(k *kept) bool {
		k.done(seen, e, steps)
		k.Intent = nil
		if c.edits() && posted.ID != "" {
			k.Posted, k.Shown = &posted, l.Message.text()
		}
		return true
	})
	return err
}

// done records that a run was looked at, and which steps need no telling any more.
func (k *kept) done(seen int, e execution.Execution, steps []string) {
	k.Seen, k.Run = seen, runOf(e)
	k.Error, k.Failures, k.Failing, k.GaveUp = "", 0, time.Time{}, false
	k.Sent = append(k.Sent, steps...)
	if k.Ended = (time.Time{}); e.Ended != nil {
		k.Ended = *e.Ended
	}
}

// fails records an attempt that failed. A refusal stays until the run changes again; what
// may pass is due still, and its error is returned.
func (h *held) fails(ctx context.Context, key string, seen int, cause error) error {
	now := h.Now().UTC()
	code := problem.CodeOf(cause)
	passes := code == problem.Unavailable || code == problem.NotFound
	k, err := h.Store.change(ctx, key, func(k *kept) bool {
		k.Error = problem.Text(cause)
		if help := problem.HelpOf(cause); help != "" {
			k.Error += " (" + help + ")"
		}
		if k.Failures++; k.Failing.IsZero() {
			k.Failing = now
		}
		if !passes || now.Sub(k.Failing) > giveUpAfter {
			k.Seen, k.GaveUp = seen, true
		}
		if code != problem.Unavailable {
			k.Intent = nil // refused: it was not posted
		}
		return true
	})
	if err != nil {
		return err
	}
	if k.GaveUp {
		h.Report.Warn("people are not told of a run", "channel", Name(k.Channel), "run", k.Run.Execution, "error", k.Error)
		return nil
	}
	return cause
}

// failedBefore tells whether the run before this one on the same pipeline failed.
func (s *Sender) failedBefore(ctx context.Context, e execution.Execution) (bool, error) {
	if e.Status != execution.Succeeded {
		return false, nil
	}
	const few = 50
	page, err := s.Executions.List(ctx, execution.Query{Application: e.Application, Pipeline: e.Pipeline,
		Statuses: []execution.Status{execution.Succeeded, execution.Terminal}, Until: e.Created, Limit: few})
	if err != nil {
		return false, err
	}
	for _, before := range page.Executions {
		if before.ID != e.ID && before.Ended != nil {
			return before.Status == execution.Terminal, nil
		}
	}
	return false, nil
}

// Tried is what became of a message that a person had sent to try a channel.
type Tried struct {
	Channel string `json:"channel"`
	OK      bool   `json:"ok"`
	Edits   bool   `json:"edits"` // a run has one message there, which is edited in place
	Error   string `json:"error,omitempty"`
	Help    string `json:"help,omitempty"`
}

// Try sends a message to one channel, and edits it where the channel can.
func Try(ctx context.Context, c pipeline.Notification, run Run, url, by, id string, now time.Time, secrets Secrets, client Client) Tried {
	t := Tried{Channel: Name(c)}
	out, err := open(ctx, c, secrets, client)
	if err == nil {
		t.Edits = out.edits()
		m := Message{Title: plain("Test of notifications: " + run.Application + "/" + run.Pipeline), URL: url}
		m.add("sent by " + by + "; no run has happened")
		l := letter{ID: "test." + id, Thread: "test." + id, Event: Test, Run: run, Message: m, At: now}
		ctx, cancel := context.WithTimeout(ctx, sendTimeout)
		defer cancel()
		var posted Posted
		if posted, err = out.send(ctx, l); err == nil && t.Edits {
			l.Message.add("this message was edited in place, as that of a run is")
			l.Edit = &posted
			_, err = out.send(ctx, l)
		}
	}
	if t.OK = err == nil; !t.OK {
		t.Error, t.Help = problem.Text(err), problem.HelpOf(err)
	}
	return t
}

// recording remembers the values that were resolved.
type recording struct {
	Secrets
	values []string
}

// Resolve implements Secrets.
func (r *recording) Resolve(ctx context.Context, name string) (string, error) {
	v, err := r.Secrets.Resolve(ctx, name)
	if err == nil {
		r.values = append(r.values, v)
	}
	return v, err
}

// masked hides the values of secrets in a message, should one have got into it.
func masked(m Message, values ...string) Message {
	m.Title = secret.Mask(m.Title, values...)
	for i := range m.Lines {
		m.Lines[i] = secret.Mask(m.Lines[i], values...)
	}
	return m
}
