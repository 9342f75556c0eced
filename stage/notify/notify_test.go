package notify

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"showrunner/internal/standardwebhook"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/secret"
	"showrunner/stage"
	"showrunner/store/record/recordtest"
)

var now = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

type values map[string]string

func (v values) Resolve(_ context.Context, name string) (string, error) {
	if s, ok := v[name]; ok {
		return s, nil
	}
	return "", problem.New(problem.NotFound, "secret.resolve", "there is no secret named %q", name)
}

// signaler keeps the first signal of each ID, as the engine does.
type signaler struct {
	got []stage.Signal
	err error
}

func (s *signaler) Signal(_ context.Context, id, stageName string, sig stage.Signal) error {
	if s.err != nil {
		return s.err
	}
	for _, g := range s.got {
		if g.ID == sig.ID {
			return nil
		}
	}
	s.got = append(s.got, sig)
	return nil
}

// fixture is a stage that calls a server.
type fixture struct {
	t        *testing.T
	kind     Webhook
	signaler *signaler
	in       *stage.Input
	log      bytes.Buffer
	requests []*http.Request
	bodies   []string
}

func newFixture(t *testing.T, c pipeline.Webhook, handle http.HandlerFunc) *fixture {
	t.Helper()
	b := &fixture{t: t, signaler: &signaler{}}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		b.requests = append(b.requests, r)
		b.bodies = append(b.bodies, string(body))
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	callbacks, err := OpenCallbacks(t.Context(), &recordtest.Records{}, b.signaler, "http://control.example/", func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	client := NewClient()
	t.Cleanup(client.CloseIdleConnections)
	b.kind = Webhook{Client: client, Callbacks: callbacks}
	c.URL = strings.Replace(c.URL, "SERVER", s.URL, 1)
	if c.URL == "" {
		c.URL = s.URL + "/hook"
	}
	b.in = &stage.Input{Key: stage.Key{Execution: "x1", Stage: "tell", Attempt: 2, Task: "call"}, Application: "shop", Pipeline: "release", Number: 7, StartedBy: "ada",
		Config: c, StageStarted: now, Now: now, Log: &b.log, Progress: func(string, ...any) {},
		Secrets: secret.Expander{Secrets: values{"token": "s3cret-token\n", "sign": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "bad": "a\r\nX-Injected: 1", "path": "T000/B000"}}}
	return b
}

func (b *fixture) call() stage.Result {
	b.t.Helper()
	got, err := b.kind.call(b.t.Context(), b.in)
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func answerWith(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status); io.WriteString(w, body) }
}

func TestCall(t *testing.T) {
	b := newFixture(t, pipeline.Webhook{Headers: map[string]string{"Authorization": "Bearer ${{ secrets.token }}"}, Secret: "${{ secrets.sign }}",
		Body: `{"by": "ada"}`, Outputs: map[string]string{"id": "/deployment/id", "first": "/list/0", "odd": "/a~1b/c~0d"}},
		answerWith(201, `{"deployment":{"id":42},"list":["x","y"],"a/b":{"c~d":true}}`))
	got := b.call()
	if got.Outcome != stage.Done || fmt.Sprint(got.Outputs) != "map[first:x id:42 odd:true status:201]" {
		t.Fatalf("call: %+v, %+v", got, got.Failure)
	}
	r := b.requests[0]
	if r.Method != "POST" || r.Header.Get("Authorization") != "Bearer s3cret-token" || r.Header.Get("Idempotency-Key") != "x1/tell/2/call" || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("request: %s %v", r.Method, r.Header)
	}
	if err := standardwebhook.Verify(r.Header, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", []byte(b.bodies[0]), now); err != nil {
		t.Errorf("signature: %v", err)
	}
	if b.bodies[0] != `{"by": "ada"}` {
		t.Errorf("body: %s", b.bodies[0])
	}
	b.call() // as after a crash
	if b.requests[1].Header.Get("Idempotency-Key") != r.Header.Get("Idempotency-Key") {
		t.Error("the repeated call has another key")
	}
}

func TestDefaultBodySaysWhatItIsAbout(t *testing.T) {
	b := newFixture(t, pipeline.Webhook{Wait: true}, answerWith(200, ""))
	b.call()
	var body map[string]any
	if err := json.Unmarshal([]byte(b.bodies[0]), &body); err != nil {
		t.Fatal(err)
	}
	if body["application"] != "shop" || body["execution"] != "x1" || body["stage"] != "tell" || body["callbackUrl"] != b.requests[0].Header.Get("Callback-Url") {
		t.Errorf("body: %v", body)
	}
}

func TestAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		config  pipeline.Webhook
		handle  http.HandlerFunc
		outcome stage.Outcome
		code    string
		after   time.Duration
	}{
		"204":            {pipeline.Webhook{}, answerWith(204, ""), stage.Done, "", 0},
		"expected 404":   {pipeline.Webhook{Expect: []int{404}}, answerWith(404, ""), stage.Done, "", 0},
		"unexpected 200": {pipeline.Webhook{Expect: []int{202}}, answerWith(200, ""), stage.Failed, "WEBHOOK_REFUSED", 0},
		"400":            {pipeline.Webhook{}, answerWith(400, "no"), stage.Failed, "WEBHOOK_REFUSED", 0},
		"redirect": {pipeline.Webhook{}, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		}, stage.Failed, "WEBHOOK_REFUSED", 0},
		"503":                  {pipeline.Webhook{}, answerWith(503, ""), stage.Again, "", time.Second},
		"429 with Retry-After": {pipeline.Webhook{}, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) }, stage.Again, "", 7 * time.Second},
		"Retry-After too long": {pipeline.Webhook{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "99999999999")
			w.WriteHeader(503)
		}, stage.Again, "", maxPause},
		"a day's Retry-After": {pipeline.Webhook{}, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "86400")
			w.WriteHeader(503)
		}, stage.Again, "", maxPause},
		"nobody there":          {pipeline.Webhook{URL: "http://127.0.0.1:1/x"}, nil, stage.Again, "", time.Second},
		"outputs from no JSON":  {pipeline.Webhook{Outputs: map[string]string{"a": "/a"}}, answerWith(200, "hello"), stage.Failed, "WEBHOOK_ANSWER", 0},
		"outputs not there":     {pipeline.Webhook{Outputs: map[string]string{"a": "/a/b"}}, answerWith(200, `{"a":[]}`), stage.Failed, "WEBHOOK_ANSWER", 0},
		"outputs from too much": {pipeline.Webhook{Outputs: map[string]string{"a": "/a"}}, answerWith(200, strings.Repeat(" ", maxAnswer)+"{}"), stage.Failed, "WEBHOOK_ANSWER", 0},
		"too much, not needed":  {pipeline.Webhook{}, answerWith(200, strings.Repeat("x", maxAnswer+1)), stage.Done, "", 0},
		"no such secret":        {pipeline.Webhook{Body: "${{ secrets.nope }}"}, nil, stage.Failed, "SECRET_MISSING", 0},
		"a header injected":     {pipeline.Webhook{Headers: map[string]string{"X-A": "${{ secrets.bad }}"}}, nil, stage.Failed, "WEBHOOK_HEADER", 0},
		"no address":            {pipeline.Webhook{URL: "ftp://x/y"}, nil, stage.Failed, "WEBHOOK_ADDRESS", 0},
		"no URL":                {pipeline.Webhook{URL: "http://a b/${{ secrets.token }}"}, nil, stage.Failed, "WEBHOOK_ADDRESS", 0},
	} {
		t.Run(name, func(t *testing.T) {
			b := newFixture(t, tt.config, tt.handle)
			got := b.call()
			if got.Outcome != tt.outcome || got.After != tt.after || tt.code != "" && (got.Failure == nil || got.Failure.Code != tt.code) {
				t.Errorf("call: %+v, %+v", got, got.Failure)
			}
			if text := fmt.Sprint(got.Failure) + b.log.String(); strings.Contains(text, "s3cret") || strings.Contains(text, "X-Injected") {
				t.Errorf("it shows a secret: %s", text)
			}
			if name == "redirect" && len(b.requests) != 1 {
				t.Error("the redirect was followed")
			}
		})
	}
}

func TestTriesAreLimited(t *testing.T) {
	b := newFixture(t, pipeline.Webhook{URL: "SERVER/services/${{ secrets.path }}", Headers: map[string]string{"X-Token": "${{ secrets.token }}"}}, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(502)
		fmt.Fprintf(w, "no upstream for %s with %s", r.URL.Path, r.Header.Get("X-Token"))
	})
	for i := 1; ; i++ {
		got := b.call()
		if got.Outcome == stage.Again {
			b.in.State = got.State
			continue
		}
		if i != maxTries || got.Failure.Code != "WEBHOOK_UNREACHABLE" || !got.Failure.Retryable || len(got.Failure.Evidence) != 1 {
			t.Errorf("after %d tries: %+v", i, got.Failure)
		}
		if text := fmt.Sprint(*got.Failure) + b.log.String(); strings.Contains(text, "T000") || strings.Contains(text, "s3cret") {
			t.Errorf("it shows a secret: %s", text)
		}
		return
	}
}

func TestCallback(t *testing.T) {
	b := newFixture(t, pipeline.Webhook{Wait: true, Body: `{"a":1}`, Outputs: map[string]string{"ok": "/ok"}}, answerWith(202, ""))
	if got := b.call(); got.Outcome != stage.Done {
		t.Fatalf("call: %+v", got)
	}
	var sent struct {
		A           int    `json:"a"`
		CallbackURL string `json:"callbackUrl"`
	}
	if err := json.Unmarshal([]byte(b.bodies[0]), &sent); err != nil || sent.A != 1 || !strings.HasPrefix(sent.CallbackURL, "http://control.example/hooks/callback/x1/tell/2/") {
		t.Fatalf("sent %s, %v", b.bodies[0], err)
	}
	b.in.Key.Task = "callback"
	waiting := func() stage.Result {
		t.Helper()
		b.in.Signals = b.signaler.got
		got, err := b.kind.callback(t.Context(), b.in)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := waiting(); got.Outcome != stage.Again || got.After != 0 {
		t.Errorf("before: %+v", got)
	}
	path := strings.TrimPrefix(sent.CallbackURL, "http://control.example")
	post := func(method, path, body string) int {
		w := httptest.NewRecorder()
		b.kind.Callbacks.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
		return w.Code
	}
	for what, tt := range map[string]struct {
		method, path, body string
		want               int
	}{
		"a changed token":   {"POST", path[:len(path)-1] + "!", "{}", 404},
		"no token":          {"POST", path[:strings.LastIndex(path, "/")+1], "{}", 404},
		"another attempt":   {"POST", strings.Replace(path, "/2/", "/3/", 1), "{}", 404},
		"another stage":     {"POST", strings.Replace(path, "/tell/", "/approve/", 1), "{}", 404},
		"another execution": {"POST", strings.Replace(path, "/x1/", "/x2/", 1), "{}", 404},
		"more path":         {"POST", path + "/more", "{}", 404},
		"GET":               {"GET", path, "", 405},
		"no JSON":           {"POST", path, "ok", 400},
		"too large":         {"POST", path, strings.Repeat(" ", maxAnswer+1), 413},
	} {
		if got := post(tt.method, tt.path, tt.body); got != tt.want {
			t.Errorf("%s: %d, want %d", what, got, tt.want)
		}
	}
	if len(b.signaler.got) != 0 {
		t.Fatalf("signals: %+v", b.signaler.got)
	}
	if first, second := post("POST", path, `{"ok":"yes"}`), post("POST", path, `{"ok":"no"}`); first != 202 || second != 202 {
		t.Errorf("called back: %d, %d", first, second)
	}
	if got := waiting(); got.Outcome != stage.Done || got.Outputs["ok"] != "yes" {
		t.Errorf("after: %+v", got)
	}
	if token := path[strings.LastIndex(path, "/")+1:]; strings.Contains(fmt.Sprint(b.signaler.got), token) || strings.Contains(b.log.String(), token) {
		t.Error("the token is stored")
	}
	for code, want := range map[problem.Code]int{problem.NotFound: 404, problem.Precondition: 409, problem.Unavailable: 503} {
		b.signaler.err = problem.New(code, "execution.signal", "no")
		if got := post("POST", path, "{}"); got != want {
			t.Errorf("%s: %d, want %d", code, got, want)
		}
	}
}

func TestCallbackKeyIsSharedAndKept(t *testing.T) {
	records := &recordtest.Records{}
	var urls []string
	for range 3 {
		c, err := OpenCallbacks(t.Context(), records, &signaler{}, "http://c", time.Now)
		if err != nil {
			t.Fatal(err)
		}
		urls = append(urls, c.URL(stage.Key{Execution: "x", Stage: "s", Attempt: 1}))
	}
	if urls[0] != urls[1] || urls[1] != urls[2] {
		t.Errorf("%q", urls)
	}
}

// A pointer built from the path of a value finds that value, and no pointer
// panics.
func TestPointers(t *testing.T) {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SliceOfN(rapid.StringMatching(`[a~/0-9]{0,4}`), 1, 4).Draw(t, "keys")
		var doc any = "found"
		pointer := ""
		for i := len(keys) - 1; i >= 0; i-- {
			doc = map[string]any{keys[i]: doc}
			pointer = "/" + escape.Replace(keys[i]) + pointer
		}
		if got, ok := follow(doc, pointer); !ok || got != "found" {
			t.Fatalf("%q in %v: %v", pointer, doc, got)
		}
		follow([]any{1, doc}, rapid.String().Draw(t, "any"))
	})
}
