package trigger

import (
	"net/http"
	"testing"
	"time"

	"showrunner/internal/standardwebhook"
	"showrunner/pipeline"
	"showrunner/store/record"
)

// A signed delivery counts for the webhook that received it first, whichever header its
// signature is moved to, and however many webhooks have the secret.
func TestASignatureCountsForOneWebhook(t *testing.T) {
	webhook := func(name, secret string) pipeline.Trigger {
		return pipeline.Trigger{Webhook: &pipeline.WebhookTrigger{Name: name, Secret: secret}}
	}
	h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{}), webhook("go", ""), webhook("std", "std")),
		def("shop", "clean", webhook("go", ""), webhook("own", "other"), webhook("std", "std")))
	generic := func(path, secret, body string) call {
		return call{path: "/hooks/generic/" + path, body: body, header: map[string]string{"Content-Type": "application/json", "X-Signature-256": "sha256=" + mac(secret, body)}}
	}
	message := func(path, id string) call {
		c := call{path: "/hooks/generic/" + path, body: `{"n":1}`, header: map[string]string{"Content-Type": "application/json"}}
		header := http.Header{}
		standardwebhook.Sign(header, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id, hookTime, []byte(c.body))
		for k := range header {
			c.header[k] = header.Get(k)
		}
		return c
	}
	push := githubPush("refs/heads/main", commitA)
	for _, step := range []struct {
		what   string
		call   call
		status int
	}{
		{"a push", github("push", push), 202},
		{"the push at a generic webhook", generic("shop/release/go", hookSecret, push), 409},
		{"the push at another one", generic("shop/clean/go", hookSecret, push), 409},
		{"the push again", github("push", push), 200},
		{"a generic delivery", generic("shop/release/go", hookSecret, `{"n":1}`), 202},
		{"it at another webhook", generic("shop/clean/go", hookSecret, `{"n":1}`), 409},
		{"it again", generic("shop/release/go", hookSecret, `{"n":1}`), 200},
		{"it at a forge's address", github("push", `{"n":1}`), 409},
		{"the same content with another secret", generic("shop/clean/own", "another secret", `{"n":1}`), 202},
		{"a message", message("shop/release/std", "msg_1"), 202},
		{"it at another webhook", message("shop/clean/std", "msg_1"), 409},
		{"another message there", message("shop/clean/std", "msg_2"), 202},
		{"it again", message("shop/clean/std", "msg_2"), 200},
	} {
		if status, d := h.deliver(step.call); status != step.status {
			t.Errorf("%s: %d, want %d: %+v", step.what, status, step.status, d)
		}
	}
	if n := len(h.engine.seen()); n != 5 {
		t.Errorf("%d starts", n)
	}
}

func TestSignaturesAreForgotten(t *testing.T) {
	h := newHooked(t)
	now := hookTime
	h.o.Now = func() time.Time { return now }
	h.records.Now = func() time.Time { return now }
	if err := h.bind(t.Context(), []string{"old"}, forges); err != nil {
		t.Fatal(err)
	}
	now = now.Add(signaturesKept + time.Second)
	if err := h.bind(t.Context(), []string{"new"}, forges); err != nil {
		t.Fatal(err)
	}
	if err := h.forgetSignatures(t.Context()); err != nil {
		t.Fatal(err)
	}
	list, err := h.records.ListRecords(t.Context(), signatures, "", "", 10)
	if err != nil || len(list) != 1 || list[0].Key != "new" {
		t.Errorf("kept: %v, %v", keysOf(list), err)
	}
}

func keysOf(list []record.Record) (keys []string) {
	for _, r := range list {
		keys = append(keys, r.Key)
	}
	return keys
}
