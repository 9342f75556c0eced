package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"showrunner/internal/standardwebhook"
	"showrunner/internal/tracecontext"
	"showrunner/problem"
)

const (
	// maxPush and maxGeneric bound a body in bytes. The payload of a generic
	// webhook is stored with the execution, so its limit is smaller.
	maxPush    = 5 << 20
	maxGeneric = 1 << 20
	// readTime bounds how long a sender may take to send its body.
	readTime = 30 * time.Second
	// maxDrained and drainTime bound how much of an oversized body is read and
	// thrown away.
	maxDrained = 32 << 20
	drainTime  = 5 * time.Second
	// maxSecrets bounds how many secrets one delivery is checked against.
	maxSecrets = 64
	// keptDeliveries is how many deliveries are kept; pruneEvery is after how
	// many new ones the older ones are removed.
	keptDeliveries = 1000
	pruneEvery     = 100
)

// HooksPath is where Hooks is mounted.
const HooksPath = "/hooks/"

// Hooks receives webhooks:
//
//	POST /hooks/{github|gitlab|gitea|forgejo}[/application]
//	POST /hooks/generic/application/pipeline/name
//
// Answers: 202 something started; 200 understood, nothing new started (the body
// says why); 400, 401, 404, 405, 409, 413, 415 refused; 429 refused, and there were
// too many such; 503 try again; a delivery that is repeated starts nothing twice.
type Hooks struct {
	o       HooksOptions
	log     DeliveryLog
	refused *rate.Limiter
	added   atomic.Int64
}

// HooksOptions say what Hooks works with.
type HooksOptions struct {
	Definitions Definitions
	Secrets     Secrets
	Starter     Starter
	Records     Records
	Now         func() time.Time
	Log         *slog.Logger
	// Keep is how many deliveries are kept; default 1000.
	Keep int
}

// NewHooks returns the handler.
func NewHooks(o HooksOptions) *Hooks {
	if o.Keep == 0 {
		o.Keep = keptDeliveries
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Hooks{o: o, log: DeliveryLog{o.Records, o.Keep}, refused: rate.NewLimiter(2, 120)}
}

// refusal is the error of a delivery that is not accepted.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// ServeHTTP implements http.Handler.
func (h *Hooks) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d := Delivery{Received: h.o.Now().UTC()}
	d.ID = newID(d.Received)
	err := h.receive(w, r, &d)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		d.Status, d.Verdict, d.Reason = refused.status, VerdictRefused, refused.reason
		if !h.refused.AllowN(d.Received, 1) {
			// The refusal is not recorded either: otherwise its sender could fill
			// the store.
			w.Header().Set("Retry-After", "60")
			tooLarge := d.Status == http.StatusRequestEntityTooLarge
			d.Status, d.Reason = http.StatusTooManyRequests, "too many deliveries were refused; slow down"
			answer(w, d)
			if tooLarge {
				drain(w, r)
			}
			return
		}
	case err != nil:
		if r.Context().Err() == nil { // otherwise the sender has hung up, or the control plane stops
			h.o.Log.Error("a delivery could not be handled", "provider", d.Provider, "delivery", d.DeliveryID, "error", err)
		}
		d.Status, d.Verdict, d.Reason = http.StatusServiceUnavailable, VerdictFailed, "the delivery could not be handled now; deliver it again"
	default:
		d.summarise()
	}
	// The delivery is recorded even when the sender has hung up.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
	defer cancel()
	if d.keepable() {
		if err := h.log.keep(ctx, d); err != nil {
			h.o.Log.Warn("the payload of a delivery was not kept", "delivery", d.DeliveryID, "error", err)
		} else {
			d.Redeliverable = true
		}
	}
	if err := h.log.add(ctx, d); err != nil {
		h.o.Log.Error("a delivery was handled but not recorded", "delivery", d.DeliveryID, "error", err)
	}
	answer(w, d)
	if d.Status == http.StatusRequestEntityTooLarge {
		drain(w, r)
	}
	if h.added.Add(1)%pruneEvery == 0 {
		if err := errors.Join(h.log.prune(ctx), h.log.pruneBodies(ctx, h.o.Now()), h.forgetSignatures(ctx)); err != nil {
			h.o.Log.Warn("old deliveries and signatures were not removed", "error", err)
		}
	}
}

// drain reads some of an oversized body. Some senders read the answer only after
// they have sent everything, and so still get one.
func drain(w http.ResponseWriter, r *http.Request) {
	c := http.NewResponseController(w)
	_ = c.Flush()
	_ = c.SetReadDeadline(time.Now().Add(drainTime))
	_, _ = io.CopyN(io.Discard, r.Body, maxDrained) // the connection is closed whatever the result
}

// answer reports the verdict to the sender. It leaves out pipelines whose secret
// the sender does not know, so that their names stay private.
func answer(w http.ResponseWriter, d Delivery) {
	if d.Status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	if d.Status == http.StatusRequestEntityTooLarge {
		w.Header().Set("Connection", "close")
	}
	d.Redeliverable = false // the sender's own business is to deliver, not to have it handled again
	d.Outcomes = slices.DeleteFunc(slices.Clone(d.Outcomes), func(o Outcome) bool { return o.unsigned })
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(d.Status)
	// The sender has hung up when this fails.
	_ = json.NewEncoder(w).Encode(d)
}

// summarise derives the verdict of a delivery from its outcomes.
func (d *Delivery) summarise() {
	count := map[string]int{}
	for _, o := range d.Outcomes {
		count[o.Verdict]++
	}
	d.Status = http.StatusOK
	switch {
	case d.Verdict != "":
	case count[VerdictStarted] > 0:
		d.Status, d.Verdict = http.StatusAccepted, VerdictStarted
	case count[VerdictFailed] > 0:
		d.Status, d.Verdict = http.StatusBadRequest, VerdictFailed
		for _, o := range d.Outcomes {
			if o.Verdict == VerdictFailed {
				d.Reason = o.Reason
			}
		}
	case count[VerdictDuplicate] > 0:
		d.Verdict, d.Reason = VerdictDuplicate, "this event has been handled before"
	default:
		d.Verdict = VerdictIgnored
		if d.Reason == "" && len(d.Outcomes) == 1 {
			d.Reason = d.Outcomes[0].Reason
		} else if d.Reason == "" {
			d.Reason = "no pipeline has a trigger for this"
		}
	}
}

// receive does everything except answering. An error that is not a *refusal means
// that the delivery could not be judged: the sender has to try again.
func (h *Hooks) receive(w http.ResponseWriter, r *http.Request, d *Delivery) error {
	parts := strings.Split(strings.Trim(strings.TrimPrefix(r.URL.Path, HooksPath), "/"), "/")
	d.Provider = parts[0]
	d.DeliveryID, d.Event = deliveryID(r.Header), event(d.Provider, r.Header)
	d.Traceparent = tracecontext.Received(r.Header.Get("traceparent"))
	switch d.Provider {
	case GitHub, GitLab, Gitea, Forgejo:
		if len(parts) > 2 {
			return refuse(http.StatusNotFound, "the address is /hooks/%s or /hooks/%s/APPLICATION", d.Provider, d.Provider)
		}
	case Generic:
		if len(parts) != 4 {
			return refuse(http.StatusNotFound, "the address is /hooks/generic/APPLICATION/PIPELINE/NAME")
		}
	default:
		d.Provider = ""
		return refuse(http.StatusNotFound, "unknown hook; the hooks are github, gitlab, gitea, forgejo and generic")
	}
	if len(parts) > 1 {
		d.Application = clip(parts[1])
	}
	if r.Method != http.MethodPost {
		return refuse(http.StatusMethodNotAllowed, "deliver with POST")
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	form := kind == "application/x-www-form-urlencoded"
	if err != nil || kind != "application/json" && !(form && d.Provider != Generic) {
		return refuse(http.StatusUnsupportedMediaType, "the content type has to be application/json")
	}
	limit := int64(maxPush)
	if d.Provider == Generic {
		limit = maxGeneric
	}
	body, err := read(w, r, limit)
	if err != nil {
		return err
	}
	text := body
	if form {
		// The signature covers the form as sent; the payload is one field of the
		// form.
		if text, err = formPayload(body); err != nil {
			text = nil
		}
	}
	if d.Provider == Generic {
		return h.generic(r.Context(), r.Header, d, parts[2], parts[3], body)
	}
	return h.push(r.Context(), r.Header, d, body, text)
}

func read(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	tooLarge := refuse(http.StatusRequestEntityTooLarge, "the body has more than %d bytes", limit)
	if r.ContentLength > limit {
		return nil, tooLarge
	}
	// Not every ResponseWriter supports deadlines; then the server's own
	// deadlines apply.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	var over *http.MaxBytesError
	if errors.As(err, &over) {
		return nil, tooLarge
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body could not be read")
	}
	return body, nil
}

func formPayload(body []byte) ([]byte, error) {
	values, err := url.ParseQuery(string(body))
	if err != nil || len(values["payload"]) != 1 {
		return nil, errors.New("no payload")
	}
	return []byte(values.Get("payload")), nil
}

// deliveryID is the sender's identifier of a delivery; each provider names its
// header differently.
func deliveryID(h http.Header) string {
	for _, name := range []string{"X-GitHub-Delivery", "X-Forgejo-Delivery", "X-Gitea-Delivery", standardwebhook.HeaderID, "X-Gitlab-Webhook-UUID",
		"X-Gitlab-Event-UUID", "Idempotency-Key", "X-Delivery-Id", "X-Request-Id"} {
		if v := h.Get(name); v != "" {
			return clip(v)
		}
	}
	return ""
}

func event(provider string, h http.Header) string {
	names := map[string][]string{GitHub: {"X-GitHub-Event"}, Gitea: {"X-Gitea-Event", "X-GitHub-Event"},
		Forgejo: {"X-Forgejo-Event", "X-Gitea-Event", "X-GitHub-Event"}, GitLab: {"X-Gitlab-Event"}}
	for _, name := range names[provider] {
		if v := h.Get(name); v != "" {
			return clip(v)
		}
	}
	return ""
}

// clip bounds the length of recorded text from outside.
func clip(s string) string {
	const most = 200
	return strings.ToValidUTF8(s[:min(len(s), most)], "")
}

// failedOutcome returns the reason of a failed start; ok is false when the sender
// should try again.
func failedOutcome(err error) (reason string, ok bool) {
	switch problem.CodeOf(err) {
	case problem.Unavailable, problem.Internal, problem.Conflict:
		return "", false
	}
	return reasonOf(err), true
}

// reasonOf is an error as people read it, with its help.
func reasonOf(err error) string {
	if help := problem.HelpOf(err); help != "" {
		return err.Error() + " (" + help + ")"
	}
	return err.Error()
}
