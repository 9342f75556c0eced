package trigger

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"showrunner/internal/standardwebhook"
	"showrunner/pipeline"
	"showrunner/problem"
)

// defaultSecret is the name of the secret that signs deliveries.
const defaultSecret = "webhook"

// candidate is a push trigger that a delivery may match.
type candidate struct {
	def     Definition
	trigger pipeline.Trigger
	secret  string // name of its secret
}

// push handles a delivery of a forge.
func (h *Hooks) push(ctx context.Context, header http.Header, d *Delivery, body, text []byte) error {
	defs, err := h.o.Definitions.All(ctx)
	if err != nil {
		return err
	}
	all, known := pushTriggers(defs, d.Application)
	if !known {
		return refuse(http.StatusNotFound, "there is no application %q", d.Application)
	}
	signed, keys, err := h.signedBy(ctx, header, d, body, all)
	if err == nil {
		err = h.bind(ctx, keys, forges)
	}
	if err != nil {
		return err
	}
	if text == nil {
		return refuse(http.StatusBadRequest, "the form has no payload")
	}
	d.body = &keptBody{Format: 1, Text: text, Signed: slices.Sorted(maps.Keys(signed))}
	return h.judgePush(ctx, d, text, all, signed)
}

// pushTriggers are the push triggers of an application, or of all; known says whether
// there is such an application.
func pushTriggers(defs []Definition, application string) (all []candidate, known bool) {
	known = application == ""
	for _, def := range defs {
		if application != "" && def.Application != application {
			continue
		}
		known = true
		for _, t := range def.Pipeline.Triggers {
			if t.Push != nil {
				all = append(all, candidate{def, t, cmp.Or(t.Push.Secret, defaultSecret)})
			}
		}
	}
	return all, known
}

// judgePush handles the payload of a forge that was signed with the secrets of that name.
func (h *Hooks) judgePush(ctx context.Context, d *Delivery, text []byte, all []candidate, signed map[string]bool) error {
	switch {
	case isPing(d):
		d.Verdict, d.Reason = VerdictPong, "pong"
		return nil
	case !isPush(d, text):
		d.Verdict, d.Reason = VerdictIgnored, "only pushes and tags start pipelines, not "+cmp.Or(d.Event, "this event")
		return nil
	}
	p, err := parsePush(d.Provider, text)
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	d.Repository, d.Ref, d.Commit = clip(p.Repository), clip(p.Ref), p.Commit
	if p.Deleted {
		d.Verdict, d.Reason = VerdictIgnored, p.Ref+" was deleted"
		return nil
	}
	return h.startPush(ctx, d, p, all, signed)
}

// startPush starts each pipeline that the push matches, once, even when several
// of its triggers match.
func (h *Hooks) startPush(ctx context.Context, d *Delivery, p Push, all []candidate, signed map[string]bool) error {
	values := p.values()
	at := map[string]int{} // pipeline → its outcome
	for _, c := range all {
		name := ident(c.def)
		v := mismatch("the delivery is not signed with the secret %q of this trigger", c.secret)
		if signed[c.secret] {
			v = matchPush(*c.trigger.Push, p)
		}
		i, seen := at[name]
		if !seen {
			i = len(d.Outcomes)
			at[name] = i
			d.Outcomes = append(d.Outcomes, Outcome{Application: c.def.Application, Pipeline: c.def.Pipeline.Name, Verdict: VerdictIgnored, Reason: v.reason, unsigned: true})
		}
		d.Outcomes[i].unsigned = d.Outcomes[i].unsigned && !signed[c.secret]
		if !v.yes || seen && d.Outcomes[i].Verdict != VerdictIgnored {
			continue
		}
		o, err := h.start(ctx, d, c, values, ident(c.def, "push"), p.eventID(), d.Provider)
		if err != nil {
			return err
		}
		o.Reason = cmp.Or(o.Reason, v.reason)
		d.Outcomes[i] = o
	}
	if len(all) == 0 {
		d.Reason = "no pipeline has a push trigger"
	}
	return nil
}

func (h *Hooks) start(ctx context.Context, d *Delivery, c candidate, values map[string]any, triggerID, eventID, provider string) (Outcome, error) {
	o := Outcome{Application: c.def.Application, Pipeline: c.def.Pipeline.Name, Verdict: VerdictFailed}
	started, err := begin(ctx, h.o.Starter, c.trigger, values, Start{Definition: c.def, TriggerID: triggerID, EventID: eventID, By: "webhook " + provider, Traceparent: d.Traceparent})
	if err != nil {
		reason, ok := failedOutcome(err)
		if !ok {
			return o, err
		}
		o.Reason = reason
		return o, nil
	}
	o.Execution, o.Number, o.Verdict = started.Execution, started.Number, VerdictStarted
	if !started.New {
		o.Verdict, o.Reason = VerdictDuplicate, "this event started it before"
	}
	return o, nil
}

// begin resolves a trigger's parameters and starts its pipeline.
func begin(ctx context.Context, s Starter, t pipeline.Trigger, values map[string]any, start Start) (Started, error) {
	parameters, err := pipeline.ResolveTrigger(t, values)
	if err != nil {
		return Started{}, err
	}
	start.Parameters, start.Trigger = parameters, values
	return s.Start(ctx, start)
}

// signedBy returns the names of the secrets that the delivery is signed with, and the
// keys of these signatures. Its error is a refusal when no secret fits.
func (h *Hooks) signedBy(ctx context.Context, header http.Header, d *Delivery, body []byte, all []candidate) (signed map[string]bool, keys []string, err error) {
	names := []string{}
	tried := map[string]bool{}
	for _, c := range all {
		if !tried[c.secret] && len(names) < maxSecrets {
			tried[c.secret] = true
			names = append(names, c.secret)
		}
	}
	if len(names) == 0 {
		names = []string{defaultSecret} // so that a ping is answered before the first pipeline exists
	}
	signed = map[string]bool{}
	var why error
	missing := 0
	for _, name := range names {
		value, err := h.o.Secrets.Resolve(ctx, name)
		if problem.CodeOf(err) == problem.NotFound {
			missing++
			continue
		}
		if err != nil {
			return nil, nil, err
		}
		value = strings.TrimRight(value, "\r\n") // secrets are often set from a file that ends with a line feed
		err = verify(d.Provider, header, value, body, h.o.Now())
		if err == nil {
			signed[name] = true
			if key := signatureKey(d.Provider, header, value, body); key != "" && !slices.Contains(keys, key) {
				keys = append(keys, key)
			}
		} else if why == nil || !errors.Is(err, errSignature) {
			why = err
		}
	}
	switch {
	case len(signed) > 0:
		return signed, keys, nil
	case missing == len(names):
		return nil, nil, refuse(http.StatusUnauthorized, "there is no secret to check signatures with; set it: showrunner secret set %s", names[0])
	}
	return nil, nil, refuse(http.StatusUnauthorized, "%v", why)
}

// isPing recognises the event that a forge sends to test a hook.
func isPing(d *Delivery) bool { return d.Provider != GitLab && d.Event == "ping" }

// isPush recognises pushes of branches and tags. GitLab's system hooks name the
// event in the body.
func isPush(d *Delivery, text []byte) bool {
	if d.Provider != GitLab {
		return d.Event == "push"
	}
	switch d.Event {
	case "Push Hook", "Tag Push Hook":
		return true
	case "System Hook":
		var in struct {
			Kind string `json:"object_kind"`
			Name string `json:"event_name"`
		}
		if decodeJSON(text, &in) != nil {
			return false
		}
		kind := cmp.Or(in.Kind, in.Name)
		return kind == "push" || kind == "tag_push"
	}
	return false
}

// generic handles a delivery to one webhook trigger.
func (h *Hooks) generic(ctx context.Context, header http.Header, d *Delivery, pipelineName, name string, body []byte) error {
	defs, err := h.o.Definitions.All(ctx)
	if err != nil {
		return err
	}
	c, ok := findWebhook(defs, d.Application, pipelineName, name)
	if !ok {
		return refuse(http.StatusNotFound, "there is no webhook %s of pipeline %s/%s", clip(name), d.Application, clip(pipelineName))
	}
	_, keys, err := h.signedBy(ctx, header, d, body, []candidate{c})
	if err == nil {
		err = h.bind(ctx, keys, ident(c.def, "webhook", c.trigger.Webhook.Name))
	}
	if err != nil {
		return err
	}
	event := keptWebhook{Pipeline: pipelineName, Name: name, EventID: genericEvent(header, body), Standard: standardwebhook.Present(header)}
	d.body = &keptBody{Format: 1, Text: body, Signed: []string{c.secret}, Webhook: &event}
	return h.judgeWebhook(ctx, d, c, event, body)
}

// judgeWebhook handles the payload of a generic webhook that was signed with its secret.
func (h *Hooks) judgeWebhook(ctx context.Context, d *Delivery, c candidate, event keptWebhook, body []byte) error {
	payload, err := decodeValue(body)
	if err != nil {
		return refuse(http.StatusBadRequest, "%v", err)
	}
	w := c.trigger.Webhook
	values := map[string]any{"kind": "webhook", "id": event.EventID, "name": w.Name, "payload": payload}
	o := Outcome{Application: c.def.Application, Pipeline: c.def.Pipeline.Name, Verdict: VerdictIgnored}
	met := true
	if w.When != "" {
		if met, err = pipeline.EvalTriggerWhen(*w, values); err != nil {
			o.Verdict, o.Reason = VerdictFailed, err.Error()
			d.Outcomes = []Outcome{o}
			return nil
		}
	}
	if !met {
		o.Reason = "its condition does not hold: " + w.When
		d.Outcomes = []Outcome{o}
		return nil
	}
	o, err = h.start(ctx, d, c, values, ident(c.def, "webhook", w.Name), event.EventID, Generic+" "+w.Name)
	if err != nil {
		return err
	}
	if o.Verdict == VerdictDuplicate && !event.Standard {
		o.Reason = "a delivery with the same signed body started it before; a sender of equal bodies has to sign an id by Standard Webhooks, or put an id into the body"
	}
	d.Outcomes = []Outcome{o}
	return nil
}

// genericEvent identifies the event of a generic delivery by its signed content:
// the id of Standard Webhooks, otherwise the body. A replayed delivery can have
// any other header changed, and still starts nothing.
func genericEvent(header http.Header, body []byte) string {
	if standardwebhook.Present(header) {
		return "standard " + header.Get(standardwebhook.HeaderID)
	}
	sum := sha256.Sum256(body)
	return "body " + hex.EncodeToString(sum[:])
}

func findWebhook(defs []Definition, application, pipelineName, name string) (candidate, bool) {
	for _, def := range defs {
		if def.Application != application || def.Pipeline.Name != pipelineName {
			continue
		}
		for _, t := range def.Pipeline.Triggers {
			if t.Webhook != nil && t.Webhook.Name == name {
				return candidate{def, t, cmp.Or(t.Webhook.Secret, defaultSecret)}, true
			}
		}
	}
	return candidate{}, false
}
