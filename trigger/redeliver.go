package trigger

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"time"

	"showrunner/problem"
	"showrunner/store/record"
)

// bodies are the collection of deliveries' payloads, each under its delivery's identifier.
const bodies = "delivery-bodies"

// The payloads of the newest keptBodies deliveries can be handled again, of each that is
// not larger than mostBody bytes and not older than bodyAge. Only what a secret has signed
// is kept.
const (
	keptBodies = 100
	mostBody   = 256 << 10
	bodyAge    = 30 * 24 * time.Hour
)

// keptBody is a payload that was signed, with all that handling it needs.
type keptBody struct {
	Format  int          `json:"format"` // 1
	Text    []byte       `json:"text"`
	Signed  []string     `json:"signed"` // the names of the secrets that signed it
	Webhook *keptWebhook `json:"webhook,omitempty"`
}

// keptWebhook is what a delivery to a generic webhook is for.
type keptWebhook struct {
	Pipeline string `json:"pipeline"`
	Name     string `json:"name"`
	EventID  string `json:"eventId"`
	Standard bool   `json:"standard"` // signed by Standard Webhooks
}

// keepable says whether the payload of a delivery is kept.
func (d *Delivery) keepable() bool { return d.body != nil && len(d.body.Text) <= mostBody }

// keep stores the payload of a delivery.
func (l *DeliveryLog) keep(ctx context.Context, d Delivery) error {
	data, err := json.Marshal(d.body)
	if err != nil {
		return problem.Wrap(err, problem.Internal, "trigger.delivery", "encoding a payload")
	}
	if _, err := l.Records.PutRecord(ctx, record.Record{Collection: bodies, Key: d.ID, Data: data}); err != nil {
		return problem.Wrap(err, "", "trigger.delivery", "keeping a payload")
	}
	return nil
}

// pruneBodies removes payloads beyond the number and the age to keep. Their keys begin
// with the newest.
func (l *DeliveryLog) pruneBodies(ctx context.Context, now time.Time) error {
	list, err := l.Records.ListRecords(ctx, bodies, "", "", 2*keptBodies+pruneEvery)
	if err != nil {
		return err
	}
	for i, r := range list {
		if i < keptBodies && now.Sub(r.Updated) <= bodyAge {
			continue
		}
		err := l.Records.DeleteRecord(ctx, bodies, r.Key, r.Version)
		if code := problem.CodeOf(err); err != nil && code != problem.NotFound && code != problem.Conflict {
			return err
		}
	}
	return nil
}

// Redeliver handles the payload of an earlier delivery again, by the triggers as they are
// now, and records it as a delivery of its own. What the event started before is not
// started twice. Errors: not_found (no such delivery, or its payload is not kept), and
// unavailable.
func (h *Hooks) Redeliver(ctx context.Context, id, by string) (json.RawMessage, error) {
	const op = "delivery.redeliver"
	old, body, err := h.log.kept(ctx, id, h.o.Now())
	if err != nil {
		return nil, err
	}
	d := Delivery{Received: h.o.Now().UTC(), Provider: old.Provider, Application: old.Application, DeliveryID: old.DeliveryID, Event: old.Event, RedeliveryOf: id, By: by}
	d.ID = newID(d.Received)
	err = h.judge(ctx, &d, body)
	var refused *refusal
	switch {
	case errors.As(err, &refused):
		d.Status, d.Verdict, d.Reason = refused.status, VerdictRefused, refused.reason
	case err != nil:
		return nil, problem.Wrap(err, "", op, "handling delivery %s again", id)
	default:
		d.summarise()
	}
	if err := h.log.add(ctx, d); err != nil {
		return nil, err
	}
	return json.Marshal(d)
}

// kept is a delivery with its payload.
func (l *DeliveryLog) kept(ctx context.Context, id string, now time.Time) (Delivery, keptBody, error) {
	const op = "delivery.redeliver"
	rec, err := l.Records.GetRecord(ctx, deliveries, id)
	if err != nil {
		return Delivery{}, keptBody{}, problem.Wrap(err, "", op, "there is no delivery %q", id)
	}
	raw, err := l.Records.GetRecord(ctx, bodies, id)
	if problem.CodeOf(err) == problem.NotFound || err == nil && now.Sub(raw.Updated) > bodyAge {
		return Delivery{}, keptBody{}, problem.New(problem.NotFound, op, "the payload of delivery %s is not kept", id).
			WithHelp("have its sender deliver it again; those of the newest %d deliveries are kept, for %d days, when they are signed and not larger than %d KiB", keptBodies, int(bodyAge.Hours()/24), mostBody>>10)
	}
	if err != nil {
		return Delivery{}, keptBody{}, problem.Wrap(err, "", op, "reading the payload of delivery %s", id)
	}
	var d Delivery
	var body keptBody
	if err := errors.Join(json.Unmarshal(rec.Data, &d), json.Unmarshal(raw.Data, &body)); err != nil {
		return Delivery{}, keptBody{}, problem.Wrap(err, problem.Internal, op, "delivery %s is damaged", id)
	}
	return d, body, nil
}

// judge handles a payload that was signed when it arrived, by the triggers as they are now.
func (h *Hooks) judge(ctx context.Context, d *Delivery, body keptBody) error {
	defs, err := h.o.Definitions.All(ctx)
	if err != nil {
		return err
	}
	if w := body.Webhook; w != nil {
		c, ok := findWebhook(defs, d.Application, w.Pipeline, w.Name)
		if !ok {
			return refuse(http.StatusNotFound, "there is no webhook %s of pipeline %s/%s any more", w.Name, d.Application, w.Pipeline)
		}
		if !slices.Contains(body.Signed, c.secret) {
			return refuse(http.StatusUnauthorized, "the delivery was not signed with the secret %q of this trigger", c.secret)
		}
		return h.judgeWebhook(ctx, d, c, *w, body.Text)
	}
	all, _ := pushTriggers(defs, d.Application)
	signed := map[string]bool{}
	for _, name := range body.Signed {
		signed[name] = true
	}
	return h.judgePush(ctx, d, body.Text, all, signed)
}
