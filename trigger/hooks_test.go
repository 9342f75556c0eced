package trigger

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"showrunner/internal/standardwebhook"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

const hookSecret = "a secret of the hook"

var hookTime = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

// hooked is a Hooks with its fakes.
type hooked struct {
	*Hooks
	t       *testing.T
	engine  *engine
	records *recordtest.Records
	defs    *definitions
}

func newHooked(t *testing.T, all ...Definition) *hooked {
	h := &hooked{t: t, engine: &engine{}, records: &recordtest.Records{}, defs: define(all...)}
	h.Hooks = NewHooks(HooksOptions{Definitions: h.defs, Starter: h.engine, Records: h.records, Keep: 250,
		Secrets: secrets{"webhook": hookSecret + "\n", "other": "another secret", "std": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
		Now:     func() time.Time { return hookTime }})
	return h
}

func onPush(p pipeline.PushTrigger) pipeline.Trigger { return pipeline.Trigger{Push: &p} }

// call is one delivery.
type call struct {
	method, path string
	header       map[string]string
	body         string
}

func (h *hooked) deliver(c call) (int, Delivery) {
	h.t.Helper()
	if c.method == "" {
		c.method = http.MethodPost
	}
	req := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
	for k, v := range c.header {
		for value := range strings.SplitSeq(v, "\x00") {
			req.Header.Add(k, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, req)
	var d Delivery
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		h.t.Fatalf("the answer is %q: %v", w.Body, err)
	}
	if d.Status != w.Code {
		h.t.Errorf("answered %d, but its body says %d", w.Code, d.Status)
	}
	return w.Code, d
}

func mac(secret, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return hex.EncodeToString(m.Sum(nil))
}

func github(event, body string) call {
	return call{path: "/hooks/github", body: body, header: map[string]string{"Content-Type": "application/json", "X-GitHub-Event": event,
		"X-GitHub-Delivery": "d1", "X-Hub-Signature-256": "sha256=" + mac(hookSecret, body)}}
}

// with returns a copy of the call with other headers: name, value, name, value,
// …; an empty value removes the header.
func (c call) with(pairs ...string) call {
	header := map[string]string{}
	for k, v := range c.header {
		header[k] = v
	}
	for i := 0; i < len(pairs); i += 2 {
		if header[pairs[i]] = pairs[i+1]; pairs[i+1] == "" {
			delete(header, pairs[i])
		}
	}
	c.header = header
	return c
}

func (c call) to(path string) call { c.path = path; return c }

func githubPush(ref, after string, files ...string) string {
	raw, _ := json.Marshal(files)
	return `{"ref":"` + ref + `","before":"` + commitA + `","after":"` + after + `","commits":[{"id":"` + after + `","message":"Say it","added":` + string(raw) + `,"removed":[],"modified":["README.md"]}],
		"head_commit":{"id":"` + after + `","message":"Say it"},"pusher":{"name":"ada","email":"ada@example.com"},
		"repository":{"full_name":"acme/storefront","clone_url":"https://github.com/acme/storefront.git","ssh_url":"git@github.com:acme/storefront.git","pushed_at":1777777777}}`
}

func TestPushOfEachForge(t *testing.T) {
	gitlab := `{"object_kind":"push","ref":"refs/heads/main","before":"` + commitA + `","after":"` + commitB + `","checkout_sha":"` + commitB + `","user_username":"ada","user_email":"ada@example.com",
		"project":{"path_with_namespace":"acme/storefront","git_http_url":"https://gitlab.example.com/acme/storefront.git","git_ssh_url":"git@gitlab.example.com:acme/storefront.git"},
		"commits":[{"id":"` + commitB + `","message":"Say it","added":[],"modified":["web/a"],"removed":[]}],"total_commits_count":1}`
	gitea := `{"ref":"refs/heads/main","before":"` + commitA + `","after":"` + commitB + `","commits":[{"id":"` + commitB + `","message":"Say it","added":["web/a"],"removed":[],"modified":[]}],"total_commits":1,
		"repository":{"full_name":"acme/storefront","clone_url":"https://gitea.example.com/acme/storefront.git"},"pusher":{"login":"ada","email":"ada@example.com"}}`
	signed := http.Header{}
	standardwebhook.Sign(signed, hookSecret, "msg_1", hookTime, []byte(gitlab))
	form := "payload=" + url.QueryEscape(githubPush("refs/heads/main", commitB))
	for name, c := range map[string]call{
		"github":                  github("push", githubPush("refs/heads/main", commitB)),
		"github, one application": github("push", githubPush("refs/heads/main", commitB)).to("/hooks/github/shop"),
		"github, form":            github("push", form).with("Content-Type", "application/x-www-form-urlencoded"),
		"gitea":                   {path: "/hooks/gitea", body: gitea, header: map[string]string{"Content-Type": "application/json", "X-Gitea-Event": "push", "X-Gitea-Signature": mac(hookSecret, gitea)}},
		"gitea, as github":        {path: "/hooks/gitea", body: gitea, header: map[string]string{"Content-Type": "application/json; charset=utf-8", "X-GitHub-Event": "push", "X-Hub-Signature-256": "sha256=" + mac(hookSecret, gitea)}},
		"forgejo":                 {path: "/hooks/forgejo/", body: gitea, header: map[string]string{"Content-Type": "application/json", "X-Forgejo-Event": "push", "X-Forgejo-Signature": mac(hookSecret, gitea)}},
		"gitlab, token":           {path: "/hooks/gitlab", body: gitlab, header: map[string]string{"Content-Type": "application/json", "X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": hookSecret}},
		"gitlab, signature": {path: "/hooks/gitlab", body: gitlab, header: map[string]string{"Content-Type": "application/json", "X-Gitlab-Event": "Push Hook",
			"webhook-id": "msg_1", "webhook-timestamp": signed.Get("webhook-timestamp"), "webhook-signature": signed.Get("webhook-signature")}},
		"gitlab, system": {path: "/hooks/gitlab", body: gitlab, header: map[string]string{"Content-Type": "application/json", "X-Gitlab-Event": "System Hook", "X-Gitlab-Token": hookSecret}},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{Repository: "acme/storefront", Branches: []string{"main"},
				Parameters: map[string]string{"commit": "${{ trigger.commit }}"}})))
			status, d := h.deliver(c)
			if status != http.StatusAccepted || d.Verdict != VerdictStarted || len(d.Outcomes) != 1 || d.Outcomes[0].Execution != "x1" || d.Outcomes[0].Number != 1 {
				t.Fatalf("answered %d: %+v", status, d)
			}
			s := h.engine.seen()[0]
			for key, want := range map[string]string{"kind": "push", "repository": "acme/storefront", "branch": "main", "tag": "", "ref": "refs/heads/main", "commit": commitB,
				"before": commitA, "message": "Say it", "actor": "ada", "email": "ada@example.com"} {
				if s.Trigger[key] != want {
					t.Errorf("trigger.%s is %q, want %q", key, s.Trigger[key], want)
				}
			}
			if s.Parameters["commit"] != commitB || s.TriggerID != "shop/release/push" || !strings.HasSuffix(s.Trigger["url"].(string), "/acme/storefront.git") {
				t.Errorf("start: %+v", s)
			}
			// The same push starts nothing again, in whatever delivery.
			status, d = h.deliver(c.with("X-GitHub-Delivery", "d2"))
			if status != http.StatusOK || d.Verdict != VerdictDuplicate || d.Outcomes[0].Execution != "x1" || len(h.engine.seen()) != 1 {
				t.Errorf("redelivered: %d, %+v", status, d)
			}
		})
	}
}

// TestHostileDeliveries: none of these deliveries starts anything, each is
// answered with the status that names what is wrong, and no part of a secret is
// stored.
func TestHostileDeliveries(t *testing.T) {
	good := githubPush("refs/heads/main", commitB)
	push := func(change func(string) string) call { return github("push", change(good)) }
	replace := func(old, with string) func(string) string {
		return func(s string) string { return strings.Replace(s, old, with, 1) }
	}
	standard := func(at time.Time) call {
		h := http.Header{}
		standardwebhook.Sign(h, hookSecret, "msg_1", at, []byte(`{}`))
		return call{path: "/hooks/gitlab", body: `{}`, header: map[string]string{"Content-Type": "application/json", "X-Gitlab-Event": "Push Hook",
			"webhook-id": h.Get("webhook-id"), "webhook-timestamp": h.Get("webhook-timestamp"), "webhook-signature": h.Get("webhook-signature")}}
	}
	gitlab := func(token string) call {
		return call{path: "/hooks/gitlab", body: good, header: map[string]string{"Content-Type": "application/json", "X-Gitlab-Event": "Push Hook", "X-Gitlab-Token": token}}
	}
	generic := func(body, signature string) call {
		return call{path: "/hooks/generic/shop/release/go", body: body, header: map[string]string{"Content-Type": "application/json", "X-Signature-256": signature}}
	}
	deep := strings.Repeat("[", 20000) + strings.Repeat("]", 20000)
	for name, tt := range map[string]struct {
		call   call
		status int
	}{
		"no signature":                   {github("push", good).with("X-Hub-Signature-256", ""), 401},
		"an empty signature":             {github("push", good).with("X-Hub-Signature-256", "sha256="), 401},
		"another secret":                 {github("push", good).with("X-Hub-Signature-256", "sha256="+mac("wrong", good)), 401},
		"no secret at all":               {github("push", good).with("X-Hub-Signature-256", "sha256="+mac("", good)), 401},
		"the old SHA-1 alone":            {github("push", good).with("X-Hub-Signature-256", "", "X-Hub-Signature", "sha1=0123"), 401},
		"a signature without its mark":   {github("push", good).with("X-Hub-Signature-256", mac(hookSecret, good)), 401},
		"a shortened signature":          {github("push", good).with("X-Hub-Signature-256", "sha256="+mac(hookSecret, good)[:32]), 401},
		"no hexadecimal":                 {github("push", good).with("X-Hub-Signature-256", "sha256="+strings.Repeat("zz", 32)), 401},
		"two signatures":                 {github("push", good).with("X-Hub-Signature-256", "sha256="+mac(hookSecret, good)+"\x00sha256=00"), 401},
		"one byte changed":               {call{path: "/hooks/github", body: good + " ", header: github("push", good).header}, 401},
		"signed for another forge":       {github("push", good).to("/hooks/gitlab"), 401},
		"a GitLab token as signature":    {github("push", good).with("X-Hub-Signature-256", hookSecret), 401},
		"a wrong token":                  {gitlab("nope"), 401},
		"the beginning of the token":     {gitlab(hookSecret[:5]), 401},
		"two tokens":                     {gitlab("nope\x00" + hookSecret), 401},
		"an old timestamp":               {standard(hookTime.Add(-6 * time.Minute)), 401},
		"a timestamp to come":            {standard(hookTime.Add(6 * time.Minute)), 401},
		"a replaced timestamp":           {standard(hookTime.Add(-time.Hour)).with("webhook-timestamp", fmt.Sprint(hookTime.Unix())), 401},
		"a bad signature beside a token": {standard(hookTime).with("webhook-signature", "v1,AAAA", "X-Gitlab-Token", hookSecret), 401},
		"half of the headers":            {standard(hookTime).with("webhook-id", ""), 401},
		"an unsigned generic":            {generic(`{}`, ""), 401},
		"a generic with a wrong secret":  {generic(`{}`, "sha256="+mac("x", `{}`)), 401},
		"no JSON":                        {github("push", "ref=main"), 400},
		"nothing":                        {github("push", ""), 400},
		"a list":                         {github("push", "[]"), 400},
		"null":                           {github("push", "null"), 400},
		"two values":                     {github("push", good+good), 400},
		"not UTF-8":                      {github("push", "{\"ref\":\"\xff\"}"), 400},
		"nested 20000 deep":              {github("push", deep), 400},
		"a number out of range":          {generic(`{"n":1e999}`, "sha256="+mac(hookSecret, `{"n":1e999}`)), 400},
		"a deep generic":                 {generic(deep, "sha256="+mac(hookSecret, deep)), 400},
		"the wrong types":                {push(replace(`"ref":"refs/heads/main"`, `"ref":{"a":1}`)), 400},
		"an invalid ref":                 {push(replace("refs/heads/main", "--upload-pack=x")), 400},
		"a ref with a line break":        {push(replace("refs/heads/main", `refs/heads/a\nb`)), 400},
		"an invalid commit":              {push(replace(`"after":"`+commitB, `"after":"$(reboot)`)), 400},
		"an invalid before":              {push(replace(`"before":"`+commitA, `"before":"../../x`)), 400},
		"no repository": {push(func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(s, "full_name", "x"), "_url", "_x")
		}), 400},
		"a form without a payload":     {github("push", "x=1").with("Content-Type", "application/x-www-form-urlencoded"), 400},
		"a form with two payloads":     {github("push", "payload={}&payload={}").with("Content-Type", "application/x-www-form-urlencoded"), 400},
		"no content type":              {github("push", good).with("Content-Type", ""), 415},
		"XML":                          {github("push", good).with("Content-Type", "application/xml"), 415},
		"a form to a generic hook":     {generic("a=1", "").with("Content-Type", "application/x-www-form-urlencoded"), 415},
		"too large":                    {github("push", strings.Repeat(" ", maxPush+1)), 413},
		"too large for a generic hook": {generic(strings.Repeat(" ", maxGeneric+1), ""), 413},
		"no such forge":                {github("push", good).to("/hooks/bitbucket"), 404},
		"no such application":          {github("push", good).to("/hooks/github/nope"), 404},
		"a path too long":              {github("push", good).to("/hooks/github/shop/release"), 404},
		"a path that climbs":           {github("push", good).to("/hooks/github/..%2f..%2fetc"), 404},
		"no such webhook":              {generic(`{}`, "").to("/hooks/generic/shop/release/nope"), 404},
		"half a generic path":          {generic(`{}`, "").to("/hooks/generic/shop"), 404},
		"GET":                          {call{method: "GET", path: "/hooks/github"}, 405},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{}), pipeline.Trigger{Webhook: &pipeline.WebhookTrigger{Name: "go"}}))
			status, d := h.deliver(tt.call)
			if status != tt.status || d.Verdict != VerdictRefused || d.Reason == "" {
				t.Errorf("answered %d, want %d: %+v", status, tt.status, d)
			}
			if n := len(h.engine.seen()); n != 0 {
				t.Errorf("it started %d", n)
			}
			list, err := h.log.Deliveries(t.Context(), "", 10)
			if err != nil || !strings.Contains(string(list), `"status":`+fmt.Sprint(tt.status)) {
				t.Errorf("recorded: %s, %v", list, err)
			}
			for _, leak := range []string{hookSecret, mac(hookSecret, tt.call.body), "another secret"} {
				if strings.Contains(string(list), leak) {
					t.Errorf("the recorded delivery shows %q: %s", leak, list)
				}
			}
		})
	}
}

func TestDeliveriesThatMeanNothing(t *testing.T) {
	trigger := onPush(pipeline.PushTrigger{Repository: "https://github.com/acme/storefront", Branches: []string{"main", "release/*", "!release/old"}, Tags: []string{"v*"}, Paths: []string{"web/**", "!**/*.md"}})
	zero := strings.Repeat("0", 40)
	for name, tt := range map[string]struct {
		call    call
		status  int
		verdict string
		reason  string
	}{
		"ping":                   {github("ping", `{"zen":"Design for failure.","hook_id":1}`), 200, VerdictPong, "pong"},
		"an issue":               {github("issues", `{}`), 200, VerdictIgnored, "issues"},
		"another branch":         {github("push", githubPush("refs/heads/next", commitB, "web/a")), 200, VerdictIgnored, "branch next is not among"},
		"an excluded branch":     {github("push", githubPush("refs/heads/release/old", commitB, "web/a")), 200, VerdictIgnored, "not among"},
		"a glob stops at slash":  {github("push", githubPush("refs/heads/release/1/2", commitB, "web/a")), 200, VerdictIgnored, "not among"},
		"another tag":            {github("push", githubPush("refs/tags/x1", commitB, "web/a")), 200, VerdictIgnored, "tag x1"},
		"neither":                {github("push", githubPush("refs/notes/x", commitB, "web/a")), 200, VerdictIgnored, "neither a branch nor a tag"},
		"other paths":            {github("push", githubPush("refs/heads/main", commitB, "docs/x")), 200, VerdictIgnored, "none of the 2 changed paths"},
		"excluded paths":         {github("push", githubPush("refs/heads/main", commitB, "web/x.md")), 200, VerdictIgnored, "changed paths"},
		"another repository":     {github("push", strings.ReplaceAll(githubPush("refs/heads/main", commitB, "web/a"), "acme/", "evil/")), 200, VerdictIgnored, "the push is to evil/storefront"},
		"a deleted branch":       {github("push", githubPush("refs/heads/main", zero)), 200, VerdictIgnored, "was deleted"},
		"a matching branch":      {github("push", githubPush("refs/heads/release/new", commitB, "web/a")), 202, VerdictStarted, ""},
		"a matching tag":         {github("push", githubPush("refs/tags/v1", commitB, "web/a")), 202, VerdictStarted, ""},
		"paths that are unknown": {github("push", strings.Replace(githubPush("refs/heads/main", commitB, "x"), `"commits":[`, `"forced":true,"commits":[`, 1)), 202, VerdictStarted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHooked(t, def("shop", "release", trigger))
			status, d := h.deliver(tt.call)
			if status != tt.status || d.Verdict != tt.verdict || !strings.Contains(d.Reason, tt.reason) {
				t.Errorf("answered %d: %+v", status, d)
			}
			if started := len(h.engine.seen()) == 1; started != (tt.verdict == VerdictStarted) {
				t.Errorf("starts: %+v", h.engine.seen())
			}
		})
	}
	t.Run("unknown paths are not reported", func(t *testing.T) {
		h := newHooked(t, def("shop", "release", trigger))
		_, d := h.deliver(github("push", strings.Replace(githubPush("refs/heads/main", commitB), `"commits":[`, `"total_commits":50,"commits":[`, 1)))
		if len(d.Outcomes) != 1 || !strings.Contains(d.Outcomes[0].Reason, "only some of the commits") {
			t.Errorf("%+v", d)
		}
	})
}

func TestOnlyTheSignersTriggersStart(t *testing.T) {
	h := newHooked(t, def("shop", "mine", onPush(pipeline.PushTrigger{})), def("bank", "theirs", onPush(pipeline.PushTrigger{Secret: "other"})),
		def("shop", "both", onPush(pipeline.PushTrigger{Branches: []string{"next"}}), onPush(pipeline.PushTrigger{Branches: []string{"main"}}), onPush(pipeline.PushTrigger{})))
	status, d := h.deliver(github("push", githubPush("refs/heads/main", commitB)))
	got := map[string]string{}
	for _, o := range d.Outcomes {
		got[o.Application+"/"+o.Pipeline] = o.Verdict
	}
	if status != 202 || len(got) != 2 || got["shop/mine"] != VerdictStarted || got["shop/both"] != VerdictStarted || len(h.engine.seen()) != 2 {
		t.Errorf("answered %d: %+v", status, d)
	}
	// The sender is not told about pipelines that it cannot start; people who
	// list deliveries see them.
	raw, err := h.log.Deliveries(t.Context(), "bank", 0)
	if err != nil || !strings.Contains(string(raw), `"pipeline":"theirs","verdict":"ignored"`) {
		t.Errorf("kept: %s, %v", raw, err)
	}
}

func TestStartsThatFail(t *testing.T) {
	h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{})))
	h.engine.setFail(problem.New(problem.Invalid, "execution.start", "%q is required", "version"))
	if status, d := h.deliver(github("push", githubPush("refs/heads/main", commitB))); status != 400 || d.Verdict != VerdictFailed || !strings.Contains(d.Reason, "is required") {
		t.Errorf("answered %d: %+v", status, d)
	}
	h.engine.setFail(problem.New(problem.Unavailable, "execution.start", "the disk of %s is full", "internal-host"))
	if status, d := h.deliver(github("push", githubPush("refs/heads/main", commitB))); status != 503 || strings.Contains(d.Reason, "internal-host") {
		t.Errorf("answered %d: %+v", status, d)
	}
	h.engine.setFail(nil)
	if status, _ := h.deliver(github("push", githubPush("refs/heads/main", commitB))); status != 202 {
		t.Errorf("delivered again: %d", status)
	}
}

func TestGenericWebhook(t *testing.T) {
	hook := pipeline.WebhookTrigger{Name: "go", When: `trigger.payload.env == "prod"`, Parameters: map[string]string{"env": "${{ trigger.payload.env }}", "n": "${{ trigger.payload.n }}"}}
	body := `{"env":"prod","n":12}`
	signed := func(body string) call {
		return call{path: "/hooks/generic/shop/release/go", body: body, header: map[string]string{"Content-Type": "application/json", "X-Signature-256": "sha256=" + mac(hookSecret, body)}}
	}
	h := newHooked(t, def("shop", "release", pipeline.Trigger{Webhook: &hook}))
	if status, d := h.deliver(signed(body)); status != 202 || d.Outcomes[0].Verdict != VerdictStarted {
		t.Fatalf("answered %d: %+v", status, d)
	}
	if s := h.engine.seen()[0]; s.Parameters["env"] != "prod" || s.Parameters["n"] != "12" || s.TriggerID != "shop/release/webhook/go" {
		t.Errorf("start: %+v", s)
	}
	if status, d := h.deliver(signed(`{"env":"test"}`)); status != 200 || d.Verdict != VerdictIgnored || !strings.Contains(d.Reason, "condition") {
		t.Errorf("answered %d: %+v", status, d)
	}
	// Only signed content distinguishes events. Headers that anybody can change
	// do not.
	for _, name := range []string{"X-Request-Id", "Idempotency-Key", "X-Delivery-Id", "X-GitHub-Delivery", "X-Gitlab-Event-UUID"} {
		if status, d := h.deliver(signed(body).with(name, "another")); status != 200 || d.Verdict != VerdictDuplicate || !strings.Contains(d.Reason, "handled before") {
			t.Errorf("the same signed body with another %s: %d, %+v", name, status, d)
		}
	}
	if status, d := h.deliver(signed(`{"env":"prod","n":13}`)); status != 202 {
		t.Errorf("another signed body: %d, %+v", status, d)
	}
	header := http.Header{}
	standardwebhook.Sign(header, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_1", hookTime, []byte(body))
	hook.Secret = "std"
	c := call{path: "/hooks/generic/shop/release/go", body: body, header: map[string]string{"Content-Type": "application/json"}}
	for k := range header {
		c.header[k] = header.Get(k)
	}
	if status, d := h.deliver(c); status != 202 {
		t.Errorf("Standard Webhooks: %d, %+v", status, d)
	}
	if status, _ := h.deliver(c); status != 200 {
		t.Errorf("Standard Webhooks again: %d", status)
	}
}

// A signed push starts once, whatever its headers are and whichever forge's
// address it is repeated at with the same signature.
func TestARepeatedPushStartsOnce(t *testing.T) {
	for provider, events := range map[string][]string{GitHub: {"X-GitHub-Event"}, Gitea: {"X-Gitea-Event", "X-GitHub-Event"}} {
		h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{})))
		body := githubPush("refs/heads/main", commitA)
		if status, d := h.deliver(github("push", body)); status != 202 {
			t.Fatalf("%s: %d, %+v", provider, status, d)
		}
		for _, id := range []string{"X-GitHub-Delivery", "X-Gitea-Delivery", "X-Request-Id"} {
			c := github("push", body).with(id, "another")
			c.path = "/hooks/" + provider
			for _, name := range events {
				c = c.with(name, "push")
			}
			if status, d := h.deliver(c); status != 200 || d.Verdict != VerdictDuplicate {
				t.Errorf("%s, another %s: %d, %+v", provider, id, status, d)
			}
		}
	}
}

func TestRefusedDeliveriesAreLimited(t *testing.T) {
	h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{})))
	unsigned := github("push", "{}").with("X-Hub-Signature-256", "")
	limited := 0
	for range 300 {
		if status, _ := h.deliver(unsigned); status == http.StatusTooManyRequests {
			limited++
		}
	}
	if limited != 180 {
		t.Errorf("%d of 300 were limited, want 180", limited)
	}
	if status, _ := h.deliver(github("push", githubPush("refs/heads/main", commitB))); status != 202 {
		t.Errorf("a good delivery meanwhile: %d", status)
	}
}

func TestDeliveriesAreKeptNewestFirstAndPruned(t *testing.T) {
	h := newHooked(t, def("shop", "release", onPush(pipeline.PushTrigger{})))
	at := hookTime
	h.Hooks.o.Now = func() time.Time { at = at.Add(time.Second); return at }
	for i := range 400 {
		h.deliver(github("ping", "{}").with("X-GitHub-Delivery", fmt.Sprint(i)))
	}
	all, err := h.records.ListRecords(t.Context(), deliveries, "", "", 1000)
	if err != nil || len(all) != 250 {
		t.Fatalf("%d kept, %v, want 250", len(all), err)
	}
	raw, err := h.log.Deliveries(t.Context(), "", 2)
	var list []Delivery
	if err != nil || json.Unmarshal(raw, &list) != nil || len(list) != 2 || list[0].DeliveryID != "399" || list[1].DeliveryID != "398" {
		t.Errorf("newest: %s, %v", raw, err)
	}
	h.deliver(github("push", githubPush("refs/heads/main", commitB)))
	raw, err = h.log.Deliveries(t.Context(), "shop", 10)
	if err != nil || json.Unmarshal(raw, &list) != nil || len(list) != 1 || list[0].Repository != "acme/storefront" {
		t.Errorf("of one application: %s, %v", raw, err)
	}
}

// A body whose announced length is too large is refused before a byte of it is
// read. The amount read afterwards is bounded: it is read for senders that read
// the answer only after they have sent everything.
func TestBodyTooLargeIsNotRead(t *testing.T) {
	h := newHooked(t)
	body := &counted{Reader: endless{}}
	req := httptest.NewRequest(http.MethodPost, "/hooks/github", body)
	req.ContentLength = 1 << 50
	req.Header.Set("Content-Type", "application/json")
	w := &refusing{ResponseRecorder: httptest.NewRecorder(), body: body}
	h.ServeHTTP(w, req)
	if w.Code != http.StatusRequestEntityTooLarge || w.before != 0 || body.n > maxDrained+64<<10 {
		t.Errorf("answered %d after %d bytes, took %d in all", w.Code, w.before, body.n)
	}
}

// refusing records how much of the body had been read at the time of the answer.
type refusing struct {
	*httptest.ResponseRecorder
	body   *counted
	before int
}

func (r *refusing) WriteHeader(status int) {
	r.before = r.body.n
	r.ResponseRecorder.WriteHeader(status)
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

type counted struct {
	io.Reader
	n int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

func TestMatchAny(t *testing.T) {
	for _, tt := range []struct {
		globs, name string
		want        bool
	}{
		{"main", "main", true}, {"main", "main2", false}, {"*", "a", true}, {"*", "a/b", false}, {"**", "a/b", true},
		{"feature/*", "feature/x", true}, {"**/*.go", "a.go", true}, {"**/*.go", "x/a.go", true},
		{"!docs/**", "src/a", true}, {"!docs/**", "docs/a", false}, {"** !docs/** docs/keep", "docs/keep", true},
		{"** !docs/** docs/keep", "docs/other", false}, {"[", "[", false}, {"v[0-9]*", "v1.2", true}, {"{a,b}", "b", true},
	} {
		if got := matchAny(strings.Fields(tt.globs), tt.name); got != tt.want {
			t.Errorf("matchAny(%q, %q) = %v", tt.globs, tt.name, got)
		}
	}
}

// For every signed body, parsing ends without a panic, and an accepted push has a
// repository, a ref and a commit.
func FuzzParsePush(f *testing.F) {
	f.Add([]byte(githubPush("refs/heads/main", commitB, "a")))
	f.Add([]byte(`{"object_kind":"tag_push","ref":"refs/tags/v1","after":"` + commitB + `","checkout_sha":"` + commitC + `","project":{"path_with_namespace":"a/b"}}`))
	f.Add([]byte(`{"ref":"refs/heads/\u0000"}`))
	f.Add([]byte(`[[[[`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, provider := range []string{GitHub, GitLab, Gitea} {
			p, err := parsePush(provider, body)
			if err != nil {
				if problem.CodeOf(err) != problem.Invalid {
					t.Fatalf("%v", err)
				}
				continue
			}
			if !objectID.MatchString(p.Commit) || !strings.HasPrefix(p.Ref, "refs/") || p.Repository == "" && len(p.URLs) == 0 {
				t.Fatalf("accepted as a push: %+v", p)
			}
			matchPush(pipeline.PushTrigger{Repository: "a/b", Branches: []string{"**"}, Paths: []string{"!x"}}, p)
			if _, err := json.Marshal(p.values()); err != nil {
				t.Fatal(err)
			}
		}
		if v, err := decodeValue(body); err == nil {
			if _, err := json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
	})
}
