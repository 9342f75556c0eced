package server

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/api"
	"showrunner/control"
	"showrunner/internal/ready"
	"showrunner/store/record"
)

// plane is a control plane of its own, without regions and edge.
type plane struct {
	t       *testing.T
	c       *controlPlane
	handler http.Handler
}

func runPlane(t *testing.T) *plane {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	serves := make(chan struct{})
	c, err := newControlPlane(ctx, ControlConfig{Data: t.TempDir(), Listen: "127.0.0.1:0", Edge: "127.0.0.1:1", Regions: []string{"a"}, Token: "token",
		Retention: DefaultRetention(), Log: slog.New(slog.DiscardHandler), Now: time.Now, Ready: func(ready.Message) { close(serves) }})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.run(ctx) }()
	<-serves
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		c.close()
	})
	return &plane{t, c, c.handler()}
}

func (r *plane) ask(method, path, body string, change func(*http.Request)) *httptest.ResponseRecorder {
	r.t.Helper()
	q := httptest.NewRequest(method, "http://127.0.0.1"+path, strings.NewReader(body))
	q.Header.Set("Authorization", "Bearer token")
	q.Header.Set("Content-Type", "application/json")
	if change != nil {
		change(q)
	}
	w := httptest.NewRecorder()
	r.handler.ServeHTTP(w, q)
	return w
}

// entries are the audit entries after a position.
func (r *plane) entries(from int64) []control.AuditEntry {
	r.t.Helper()
	var events []record.Event
	for {
		s, err := r.c.engine.Events(r.t.Context(), from, record.Filter{Types: []string{"audit."}}, 1000)
		if err != nil {
			r.t.Fatal(err)
		}
		events = append(events, s.Events...)
		if s.Next <= from {
			return control.AuditEntries(events)
		}
		from = s.Next
	}
}

func (r *plane) end() int64 {
	r.t.Helper()
	end, err := r.c.engine.End(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return end
}

// requests are a request for every operation of the API that is no reading one: what
// its audit entry calls it, a path and a body.
var requests = map[string]struct{ word, path, body string }{
	"apply-applications":      {"application.apply", "/apply", `{"source":"application: shop\npipelines:\n  main:\n    stages:\n      rest: {wait: {for: 1h}}\n"}`},
	"start-executions":        {"execution.run", "/applications/shop/pipelines/main/executions", `{}`},
	"cancel-execution":        {"execution.cancel", "/executions/none/cancel", `{}`},
	"restart-stage":           {"execution.restart", "/executions/none/stages/rest/restart", ``},
	"decide-stage":            {"execution.decide", "/executions/none/stages/rest/decision", `{"approve":true}`},
	"signal-stage":            {"execution.signal", "/executions/none/stages/rest/signal", `{"name":"skip"}`},
	"change-cluster":          {"cluster.resize", "/clusters/shop", `{"capacity":{"desired":1}}`},
	"change-instance":         {"instance.terminate", "/instances/i", `{"terminate":true}`},
	"start-repairs":           {"cluster.repair", "/repairs", `{"cluster":"shop"}`},
	"forget-missing":          {"cluster.forget", "/forget", `{"cluster":"shop"}`},
	"start-rollbacks":         {"rollback", "/rollbacks", `{"cluster":"shop"}`},
	"stop-region":             {"region.stop", "/regions/a/stop", `{"reason":"trying"}`},
	"start-region":            {"region.start", "/regions/a/start", ``},
	"change-edge":             {"edge.weights", "/edge/weights", `{"a":0}`},
	"set-secrets":             {"secret.set", "/secrets?name=s", `value`},
	"delete-secrets":          {"secret.delete", "/secrets?name=s", ``},
	"put-freezes":             {"freeze.put", "/freezes/peak", `{"name":"peak","reason":"peak week"}`},
	"delete-freezes":          {"freeze.delete", "/freezes/peak", ``},
	"set-aws-repositories":    {"aws.repository.set", "/aws/repositories?name=shop/web", `{"url":"/srv/web.git"}`},
	"delete-aws-repositories": {"aws.repository.delete", "/aws/repositories?name=shop/web", ``},
	"set-aws-images":          {"aws.image.set", "/aws/images?name=shop", `{"artifact":"sample"}`},
	"delete-aws-images":       {"aws.image.delete", "/aws/images?name=shop", ``},
	"put-subscriptions":       {"subscription.put", "/subscriptions/siem", `{"url":"https://siem.example","secret":"s"}`},
	"redeliver-deliveries":    {"delivery.redeliver", "/deliveries/none/redeliver", ``},
	"resume-subscriptions":    {"subscription.resume", "/subscriptions/siem/resume", ``},
	"delete-subscriptions":    {"subscription.delete", "/subscriptions/siem", ``},
	"test-notifications":      {"notifications.test", "/applications/shop/pipelines/main/notifications/test", ``},
	"stop-chaos":              {"chaos.stop", "/chaos/stop", `{"reason":"incident"}`},
	"release-chaos":           {"chaos.release", "/chaos/release", ``},
	"set-chaos-budget":        {"chaos.budget", "/chaos/budget", `{"percent":50}`},
	"start-fault":             {"chaos.fault.start", "/chaos/faults", `{"kind":"partition","region":"a","durationSeconds":1}`},
	"start-experiment":        {"chaos.experiment.start", "/chaos/experiments", `{"source":"experiment: x\nmethod: [{wait: 1s}]"}`},
	"stop-experiment":         {"chaos.experiment.stop", "/chaos/experiments/none/stop", ``},
	"record-experiment":       {"chaos.experiment.record", "/chaos/experiments/none/journal", `{"status":"completed","start":"2026-01-01T00:00:00.000000","experiment":{"title":"x"}}`},
	"record-gameday":          {"chaos.gameday.record", "/chaos/gamedays", `{"began":"2026-01-01T00:00:00Z"}`},
	"plan-experiments":        {"", "", ""}, // says what a run would do
	"undo-fault":              {"chaos.fault.undo", "/chaos/faults/none/undo", ``},
	"start-kill":              {"chaos.kill", "/chaos/kills", `{"application":"shop"}`},
	"make-link":               {"sign-in.link", "/sign-in-links", ``},
	"delete-application":      {"application.delete", "/applications/other", ``},
	"analyze-metrics":         {"", "", ""}, // judges kept metrics
	"plan-executions":         {"", "", ""}, // says what a run would do
	"validate-applications":   {"", "", ""}, // checks a file
}

// Every operation of the API that is no reading one leaves an audit entry with its
// outcome and its subject, whether it worked or not. One that is new and not in the
// list above fails here.
func TestEveryOperationOfTheAPIIsAudited(t *testing.T) {
	r := runPlane(t)
	doc, err := api.New(api.Config{Control: r.c.control, Auth: r.c.auth}).OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var described struct {
		Paths map[string]map[string]struct {
			ID string `json:"operationId"`
		}
	}
	if err := json.Unmarshal(doc, &described); err != nil {
		t.Fatal(err)
	}
	seen := []string{}
	for path, methods := range described.Paths {
		for method, op := range methods {
			if method == "get" {
				continue
			}
			q, listed := requests[op.ID]
			seen = append(seen, op.ID)
			if !listed {
				t.Errorf("%s %s (%s) changes something and is not in the list of this test", method, path, op.ID)
				continue
			}
			if q.word == "" {
				continue
			}
			before := r.end()
			w := r.ask(strings.ToUpper(method), "/api/v1"+q.path, q.body, func(q *http.Request) {
				if op.ID == "set-secrets" {
					q.Header.Set("Content-Type", "application/octet-stream")
				}
			})
			found := r.entries(before)
			i := slices.IndexFunc(found, func(e control.AuditEntry) bool { return e.Operation == q.word })
			if i < 0 {
				t.Errorf("%s: answered %d %s, and the audit log has %+v", op.ID, w.Code, w.Body, found)
				continue
			}
			e := found[i]
			want := "done"
			if w.Code >= 300 {
				want = "failed"
			}
			if e.Outcome != want || (e.Error == "") == (want == "failed") || e.Subject.Kind == "" || e.By == "" {
				t.Errorf("%s: answered %d, audited as %+v", op.ID, w.Code, e)
			}
			if !slices.Contains(control.Operations(), e.Operation) {
				t.Errorf("%s is no operation of control.Operations", e.Operation)
			}
		}
	}
	for id := range requests {
		if !slices.Contains(seen, id) {
			t.Errorf("%s is in the list of this test and not in the API", id)
		}
	}
}

// What a webhook starts, what a stage starts, and what answers a stage from outside
// are audited as what a person does.
func TestWhatTheProgramDoesByItselfIsAudited(t *testing.T) {
	r := runPlane(t)
	r.ask(http.MethodPut, "/api/v1/secrets?name=webhook", "key", func(q *http.Request) { q.Header.Set("Content-Type", "application/octet-stream") })
	source := "application: shop\npipelines:\n  outer:\n    triggers: [{webhook: {name: go}}]\n    stages:\n      inner: {pipeline: {pipeline: inner}}\n  inner:\n    stages:\n      rest: {wait: {for: 1s}}\n"
	body, err := json.Marshal(map[string]string{"source": source})
	if err != nil {
		t.Fatal(err)
	}
	if w := r.ask(http.MethodPost, "/api/v1/apply", string(body), nil); w.Code != http.StatusOK {
		t.Fatal(w.Code, w.Body)
	}
	if err := r.c.definitions.load(t.Context()); err != nil { // the next delivery sees it
		t.Fatal(err)
	}
	from := r.end()
	follow, stop := context.WithCancel(t.Context())
	defer stop()
	events := r.c.engine.Follow(follow, from, record.Filter{Application: "shop", Types: []string{"audit."}})
	mac := hmac.New(sha256.New, []byte("key"))
	mac.Write([]byte(`{}`))
	w := r.ask(http.MethodPost, "/hooks/generic/shop/outer/go", `{}`, func(q *http.Request) {
		q.Header.Set("X-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	})
	if w.Code != http.StatusAccepted {
		t.Fatal(w.Code, w.Body)
	}
	for slice := range events {
		if bytes.Contains(slice.Events[len(slice.Events)-1].Data, []byte(`"via":"stage"`)) && len(r.entries(from)) == 2 && r.entries(from)[1].Outcome != control.NoOutcome {
			break
		}
	}
	for i, e := range r.entries(from) {
		via := []control.Part{control.ViaTrigger, control.ViaStage}[i]
		name := []string{"shop/outer", "shop/inner"}[i]
		if e.Operation != "execution.run" || e.Via != via || e.Outcome != "done" || e.Subject != (control.Subject{Kind: control.KindPipeline, Name: name, Application: "shop"}) {
			t.Errorf("%d: %+v", i, e)
		}
	}
}
