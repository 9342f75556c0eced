package trigger

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

func (h *hooked) again(id string) (d Delivery, err error) {
	h.t.Helper()
	raw, err := h.Redeliver(h.t.Context(), id, "mia")
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	return d, err
}

// newest is the newest delivery that was recorded.
func (h *hooked) newest() Delivery {
	h.t.Helper()
	list, err := h.log.list(h.t.Context(), "", 1, hookTime)
	if err != nil || len(list) != 1 {
		h.t.Fatalf("%d deliveries, %v", len(list), err)
	}
	return list[0]
}

// A delivery that no trigger wanted is handled again once one does; what it started before
// is not started twice.
func TestADeliveryIsHandledAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		call    call
		trigger pipeline.Trigger
	}{
		"push":    {github("push", githubPush("refs/heads/main", commitB)), onPush(pipeline.PushTrigger{})},
		"webhook": {github("", `{"id":7}`).to("/hooks/generic/shop/release/go").with("X-Signature-256", "sha256="+mac(hookSecret, `{"id":7}`)), pipeline.Trigger{Webhook: &pipeline.WebhookTrigger{Name: "go", Secret: "webhook"}}},
	} {
		t.Run(name, func(t *testing.T) {
			wanted := c.trigger
			if name == "webhook" {
				w := *c.trigger.Webhook
				w.When = "1 == 2"
				wanted.Webhook = &w
			} else {
				wanted = onPush(pipeline.PushTrigger{Branches: []string{"other"}})
			}
			h := newHooked(t, def("shop", "release", wanted))
			if _, d := h.deliver(c.call); d.Verdict != VerdictIgnored || d.Redeliverable {
				t.Fatalf("first: %+v", d)
			}
			first := h.newest()
			if !first.Redeliverable {
				t.Fatalf("its payload is not kept: %+v", first)
			}
			h.defs.set(def("shop", "release", c.trigger))
			at := hookTime.Add(time.Second)
			h.Hooks.o.Now = func() time.Time { at = at.Add(time.Second); return at }
			d, err := h.again(first.ID)
			if err != nil || d.Verdict != VerdictStarted || d.RedeliveryOf != first.ID || d.By != "mia" || h.newest().ID != d.ID {
				t.Fatalf("%+v, %v", d, err)
			}
			if d, err = h.again(first.ID); err != nil || d.Verdict != VerdictDuplicate {
				t.Errorf("once more: %+v, %v", d, err)
			}
		})
	}
}

// What no secret has signed, what is too large and what is too old cannot be handled again,
// and starts nothing whose trigger asks for another secret.
func TestWhatIsNotKeptIsNotHandledAgain(t *testing.T) {
	t.Parallel()
	h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{Secret: "webhook"})))
	at := hookTime
	h.Hooks.o.Now = func() time.Time { at = at.Add(time.Second); return at } // the newest delivery is the last one
	push := githubPush("refs/heads/main", commitB)
	large := strings.Replace(push, `"refs/heads/main"`, `"refs/heads/main", "padding":"`+strings.Repeat("x", mostBody)+`"`, 1)
	for name, c := range map[string]call{"without a signature": github("push", push).with("X-Hub-Signature-256", ""), "with a wrong one": github("push", push).with("X-Hub-Signature-256", "sha256="+mac("guessed", push)), "too large": github("push", large)} {
		h.deliver(c)
		d := h.newest()
		if _, err := h.again(d.ID); d.Redeliverable || problem.CodeOf(err) != problem.NotFound {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
	if _, err := h.again("nothing"); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("no such delivery: %v", err)
	}
	h.deliver(github("push", githubPush("refs/heads/main", commitA)))
	kept := h.newest()
	h.defs.set(def("shop", "release", onPush(pipeline.PushTrigger{Secret: "other"})))
	h.engine.starts = nil
	if d, err := h.again(kept.ID); err != nil || d.Verdict != VerdictIgnored || len(h.engine.starts) > 0 {
		t.Errorf("another secret: %+v, %v", d, err)
	}
	h.Hooks.o.Now = func() time.Time { return time.Now().Add(bodyAge + time.Hour) }
	if _, err := h.again(kept.ID); problem.CodeOf(err) != problem.NotFound {
		t.Errorf("too old: %v", err)
	}
}

// The payloads of the newest deliveries alone are kept.
func TestPayloadsArePruned(t *testing.T) {
	t.Parallel()
	h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{})))
	at := time.Now()
	h.Hooks.o.Now = func() time.Time { at = at.Add(time.Millisecond); return at }
	for range 2 * pruneEvery {
		h.deliver(github("ping", "{}"))
	}
	list, err := h.records.ListRecords(t.Context(), bodies, "", "", 1000)
	if err != nil || len(list) != keptBodies {
		t.Fatalf("%d payloads are kept, %v", len(list), err)
	}
	if list[0].Key != h.newest().ID {
		t.Error("the newest payload is not kept")
	}
}
