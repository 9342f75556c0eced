package notification

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"showrunner/execution"
	"showrunner/internal/standardwebhook"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
	"showrunner/store/record"
	"showrunner/store/record/recordtest"
)

// world is a control plane with one pipeline, as a sender sees it.
type world struct {
	mu      sync.Mutex
	all     []execution.Execution
	events  []record.Event
	grown   chan struct{}
	records *recordtest.Records
}

func newWorld() *world {
	return &world{grown: make(chan struct{}), records: &recordtest.Records{}}
}

// change edits a run, the newest for "", and logs an event of it.
func (w *world) change(typ string, edit func(*execution.Execution)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &w.all[len(w.all)-1]
	if edit != nil {
		edit(e)
	}
	data := json.RawMessage(nil)
	if typ == "execution.started" {
		data = json.RawMessage(fmt.Sprintf(`{"notifies":%v}`, len(e.Definition.Notify) > 0))
	}
	w.events = append(w.events, record.Event{Position: int64(len(w.events) + 1), Type: typ, Execution: e.ID, Data: data})
	close(w.grown)
	w.grown = make(chan struct{})
}

// start begins a run with these channels.
func (w *world) start(by string, channels ...pipeline.Notification) string {
	w.mu.Lock()
	n := len(w.all) + 1
	at := time.Now()
	id := fmt.Sprintf("run%d", n)
	w.all = append(w.all, execution.Execution{ID: id, Application: "shop", Pipeline: "release", Number: n, Status: execution.Running, By: by, Created: at, Started: &at,
		Definition: &pipeline.Pipeline{Name: "release", Notify: channels}, Stages: []execution.StageState{{Name: "ask", Status: execution.NotStarted, Attempt: 1}}})
	w.mu.Unlock()
	w.change("execution.started", nil)
	return id
}

func end(status execution.Status, f *stage.Failure) func(*execution.Execution) {
	return func(e *execution.Execution) {
		at := time.Now()
		e.Status, e.Ended = status, &at
		e.Stages[0].Status, e.Stages[0].Activity, e.Stages[0].Failure = status, "", f
	}
}

func waits(reason string) func(*execution.Execution) {
	return func(e *execution.Execution) {
		e.Stages[0].Status, e.Stages[0].Activity, e.Stages[0].Reason = execution.Running, execution.WaitingForApproval, reason
		e.Activity = execution.WaitingForApproval
	}
}

func (w *world) Get(_ context.Context, id string) (execution.Execution, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.all {
		if e.ID == id {
			e.Stages = append([]execution.StageState(nil), e.Stages...)
			return e, nil
		}
	}
	return execution.Execution{}, problem.New(problem.NotFound, "get", "no %s", id)
}

func (w *world) List(_ context.Context, q execution.Query) (execution.Page, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var p execution.Page
	for i := len(w.all) - 1; i >= 0; i-- {
		if e := w.all[i]; e.Created.Before(q.Until) && (e.Status == execution.Succeeded || e.Status == execution.Terminal) {
			p.Executions = append(p.Executions, e)
		}
	}
	return p, nil
}

func (w *world) End(context.Context) (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return int64(len(w.events)), nil
}

func (w *world) Follow(ctx context.Context, from int64, f record.Filter) <-chan record.Slice {
	out := make(chan record.Slice)
	go func() {
		defer close(out)
		for {
			w.mu.Lock()
			s := record.Slice{Next: int64(len(w.events))}
			for _, e := range w.events {
				if e.Position > from && f.Match(e) {
					s.Events = append(s.Events, e)
				}
			}
			grown := w.grown
			w.mu.Unlock()
			if s.Next > from {
				select {
				case out <- s:
					from = s.Next
				case <-ctx.Done():
					return
				}
				continue
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

type values map[string]string

func (v values) Resolve(_ context.Context, name string) (string, error) {
	if s, ok := v[name]; ok {
		return s, nil
	}
	return "", problem.New(problem.NotFound, "secret", "no secret %q", name)
}

func (w *world) sender(t *testing.T, holder string) *Sender {
	return &Sender{Store: Store{w.records}, Log: w, Executions: w, URL: "http://control", Holder: holder, Now: time.Now, Client: NewClient(),
		Secrets: values{"slack": "xoxb-secret\n", "webhook": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "mail": "mail-password"}, Report: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// run runs a sender until the test ends or stop is called.
func run(t *testing.T, s *Sender) (stop func()) {
	t.Helper()
	if err := s.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func slackTo(s *slackServer) pipeline.Notification {
	return pipeline.Notification{Slack: &pipeline.SlackChannel{Token: "slack", Channel: "#deploys", API: s.URL}}
}

func has(n int, parts ...string) func([]string) bool {
	return func(texts []string) bool {
		if len(texts) != n {
			return false
		}
		for _, p := range parts {
			if !strings.Contains(texts[n-1], p) {
				return false
			}
		}
		return true
	}
}

// A run has one message, which shows where the run stands: started, waiting for a person
// with what waits, failed with the cause; and the next one recovered.
func TestARunHasOneMessage(t *testing.T) {
	w, s := newWorld(), newSlack(t)
	run(t, w.sender(t, "one"))
	w.start("mia", slackTo(s))
	s.until(t, "started", has(1, "◐ shop/release #1: Running", "started by mia", "http://control/executions/run1"))
	w.change("stage.waiting", waits("ship it?"))
	s.until(t, "waiting", has(1, "‖ shop/release #1: Waiting for approval", "ask: ship it?"))
	w.change("execution.failed", end(execution.Terminal, &stage.Failure{Code: "CANARY_ERRORS", Cause: "us-west-2: v002 is worse", Undone: []string{"v001 serves again"}}))
	s.until(t, "rolled back", has(1, "Failed, rolled back by a verdict", "stage ask: us-west-2: v002 is worse", "↶ v001 serves again"))
	w.start("mia", slackTo(s))
	w.change("execution.succeeded", end(execution.Succeeded, nil))
	s.until(t, "recovered", has(2, "✓ shop/release #2: Succeeded, after a failure"))
	w.start("mia", slackTo(s))
	w.change("execution.succeeded", end(execution.Succeeded, nil))
	s.until(t, "succeeded", func(texts []string) bool {
		return len(texts) <= 3 && strings.Contains(strings.Join(texts, ""), "Succeeded")
	})
}

// What others wrote mentions nobody, breaks no format and hides no line.
func TestHostileNamesAreEscaped(t *testing.T) {
	w, s := newWorld(), newSlack(t)
	run(t, w.sender(t, "one"))
	w.start("<!channel> & <@U123> @here\r\n\x1b[31mred \u202eevil xoxb-secret", slackTo(s))
	s.until(t, "started", has(1, "&lt;!channel&gt; &amp; &lt;@U123&gt;"))
	text := s.texts()[0]
	for _, bad := range []string{"<!", "@here", "\x1b", "\u202e", "\r", "xoxb-secret"} {
		if strings.Contains(text, bad) {
			t.Errorf("the message has %q: %q", bad, text)
		}
	}
	blocks, _ := json.Marshal(s.messages[0].Blocks)
	if strings.Count(string(blocks), "mrkdwn") != 1 || strings.Contains(string(blocks), "xoxb-secret") {
		t.Errorf("blocks: %s", blocks)
	}
}

// A control plane that dies after a message was posted and before that was recorded leaves
// an intent: the next one finds the message and goes on with it.
func TestADeathAfterPostingPostsOnce(t *testing.T) {
	w, s := newWorld(), newSlack(t)
	died := errors.New("died")
	var once sync.Once
	dead := make(chan struct{})
	w.records.Fail = func(op, collection, _ string) error {
		if op == "put" && collection == runs && len(s.texts()) == 1 {
			once.Do(func() { close(dead) })
			return died
		}
		return nil
	}
	stop := run(t, w.sender(t, "one"))
	w.start("mia", slackTo(s))
	<-dead
	stop()
	w.records.Fail = nil
	run(t, w.sender(t, "two"))
	w.change("execution.canceled", end(execution.Canceled, nil)) // which this channel is not told of by itself
	s.until(t, "after the death", has(1, "Canceled"))
	if got := strings.Count(strings.Join(s.calls, " "), "chat.postMessage"); got != 1 {
		t.Errorf("posted %d times: %v", got, s.calls)
	}
}

// A receiver that is busy is asked again when it says; one that refuses is not, until the
// run changes; neither delays another channel.
func TestReceiversThatFail(t *testing.T) {
	w, busy, other := newWorld(), newSlack(t), newSlack(t)
	refuse := true
	var at []time.Time
	busy.answer = func(n int, _ string, rw http.ResponseWriter) bool {
		at = append(at, time.Now())
		switch {
		case n == 1:
			rw.Header().Set("Retry-After", "2")
			rw.WriteHeader(http.StatusTooManyRequests)
			return true
		case refuse:
			refuse = false
			fmt.Fprint(rw, `{"ok":false,"error":"not_in_channel"}`)
			return true
		}
		return false
	}
	sender := w.sender(t, "one")
	run(t, sender)
	w.start("mia", slackTo(busy), slackTo(other))
	other.until(t, "the other channel", has(1, "Running"))
	<-busy.changed
	<-busy.changed
	busy.mu.Lock()
	if gap := at[1].Sub(at[0]); gap < 2*time.Second {
		t.Errorf("asked again after %v", gap)
	}
	busy.mu.Unlock()
	w.change("stage.waiting", waits("ship it?"))
	busy.until(t, "after the refusal", has(1, "Waiting for approval"))
}

// What cannot be sent is shown with its reason and help.
func TestARefusalIsShown(t *testing.T) {
	w, s := newWorld(), newSlack(t)
	sender := w.sender(t, "one")
	run(t, sender)
	s.answer = func(_ int, _ string, rw http.ResponseWriter) bool {
		fmt.Fprint(rw, `{"ok":false,"error":"not_in_channel"}`)
		return true
	}
	w.start("mia", slackTo(s))
	<-s.changed
	limit := time.After(time.Minute)
	for {
		list, err := sender.Store.Unsent(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 && list[0].GaveUp {
			if !strings.Contains(list[0].Error, "invite the bot") || list[0].Channel != "slack #deploys" {
				t.Errorf("shown: %+v", list[0])
			}
			return
		}
		select {
		case <-limit:
			t.Fatalf("shown: %+v", list)
		default:
			runtime.Gosched()
		}
	}
}

// A signed webhook and a mail get one message for each event, and a mail's thread is that
// of its run.
func TestChannelsThatCannotEdit(t *testing.T) {
	w, m := newWorld(), newMailServer(t, true)
	type call struct {
		id   string
		body webhookBody
	}
	calls := make(chan call, 10)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := standardwebhook.Verify(r.Header, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", body, time.Now()); err != nil {
			t.Errorf("the signature: %v", err)
		}
		var b webhookBody
		if err := json.Unmarshal(body, &b); err != nil {
			t.Error(err)
		}
		calls <- call{r.Header.Get(standardwebhook.HeaderID), b}
	}))
	defer hook.Close()
	sender := w.sender(t, "one")
	sender.Client.Roots = m.roots
	run(t, sender)
	w.start("mia", pipeline.Notification{Webhook: &pipeline.WebhookChannel{URL: hook.URL}},
		pipeline.Notification{Email: &pipeline.EmailChannel{To: []string{"Ops <ops@example.com>", "b@example.com"}, From: "deploys@example.com", Server: m.address, User: "deploys", Password: "mail"}})
	started, mail1 := <-calls, <-m.mails
	w.change("execution.failed", end(execution.Terminal, &stage.Failure{Code: "BUILD_FAILED", Cause: "exit code 1"}))
	failed, mail2 := <-calls, <-m.mails
	if started.id == failed.id || started.body.Event != Started || failed.body.Event != Failed || failed.body.Thread != started.body.Thread || failed.body.Run.Status != "Terminal" {
		t.Errorf("calls: %+v, %+v", started, failed)
	}
	if !mail1.encrypted || mail1.user != "deploys" || len(mail1.to) != 2 {
		t.Errorf("the envelope: %+v", mail1)
	}
	if a, b := mail1.Header, mail2.Header; a.Get("References") == "" || a.Get("References") != b.Get("References") || a.Get("Message-ID") == b.Get("Message-ID") {
		t.Errorf("threads: %v, %v", a, b)
	}
	if !strings.Contains(mail2.text, "exit code 1") || !strings.Contains(mail2.text, "http://control/executions/run1") {
		t.Errorf("the mail: %q", mail2.text)
	}
}

// A password is never sent in the clear, and never part of an error.
func TestMailThatIsRefused(t *testing.T) {
	for what, test := range map[string]struct {
		starttls bool
		refuse   string
		password string
		says     string
		code     problem.Code
	}{
		"no STARTTLS":       {false, "", "mail", "does not offer STARTTLS", problem.Precondition},
		"a wrong password":  {true, "", "wrong", "answered 535", problem.Precondition},
		"greylisting":       {true, "450 later", "mail", "answered 450", problem.Unavailable},
		"an unknown person": {true, "550 nobody", "mail", "answered 550", problem.Precondition},
	} {
		m := newMailServer(t, test.starttls)
		m.refuse = test.refuse
		client := NewClient()
		client.Roots = m.roots
		c, err := open(t.Context(), pipeline.Notification{Email: &pipeline.EmailChannel{To: []string{"ops@example.com"}, From: "d@example.com", Server: m.address, User: "u", Password: test.password}},
			values{"mail": "mail-password", "wrong": "hunter22222"}, client)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.send(t.Context(), letter{ID: "x", Message: Message{Title: "t"}, At: time.Now()})
		if problem.CodeOf(err) != test.code || !strings.Contains(problem.Text(err), test.says) || strings.Contains(fmt.Sprint(err), "hunter22222") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Two replicas tell each run once; when the one that sends leaves, the other goes on.
func TestReplicasSendOnce(t *testing.T) {
	w, s := newWorld(), newSlack(t)
	stop := run(t, w.sender(t, "one"))
	run(t, w.sender(t, "two"))
	w.start("mia", slackTo(s))
	s.until(t, "started", has(1, "Running"))
	stop()
	w.change("execution.canceled", end(execution.Canceled, nil))
	s.until(t, "after one has left", has(1, "Canceled"))
	if got := strings.Count(strings.Join(s.calls, " "), "chat.postMessage"); got != 1 {
		t.Errorf("posted %d times", got)
	}
}

// A person tries a channel: the message is edited where it can be, and a secret that is
// missing is named.
func TestTry(t *testing.T) {
	s := newSlack(t)
	secrets := values{"slack": "xoxb-secret"}
	if got := Try(t.Context(), slackTo(s), Run{Application: "shop", Pipeline: "release"}, "http://control", "mia", "1", time.Now(), secrets, NewClient()); !got.OK || !got.Edits || s.messages[0].Edits != 1 {
		t.Errorf("tried: %+v", got)
	}
	if got := Try(t.Context(), slackTo(s), Run{}, "", "mia", "1", time.Now(), values{}, NewClient()); got.OK || !strings.Contains(got.Error, "slack") {
		t.Errorf("without the secret: %+v", got)
	}
}
