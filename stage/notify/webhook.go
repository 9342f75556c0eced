package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"showrunner/internal/standardwebhook"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/secret"
	"showrunner/stage"
)

const (
	// maxAnswer bounds how many bytes of an answer or a callback are read.
	maxAnswer = 1 << 20
	// maxTries bounds how often a call is made while the receiver is unreachable
	// or busy.
	maxTries = 6
	// maxPause bounds how long a pause Retry-After may ask for.
	maxPause = 5 * time.Minute
	// callTimeout bounds the duration of one call.
	callTimeout = 30 * time.Second

	signalCallback = "callback"
)

// Webhook is the stage kind webhook.
type Webhook struct {
	Client *http.Client // NewClient makes a suitable client
	// Callbacks makes the callback addresses.
	Callbacks *Callbacks
}

// NewClient returns the client that calls are made with.
func NewClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return &http.Client{
		Transport:     transport,
		Timeout:       callTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Name implements stage.Kind.
func (Webhook) Name() string { return "webhook" }

// Version implements stage.Kind.
func (Webhook) Version() int { return 1 }

// Tasks implements stage.Kind.
func (w Webhook) Tasks() []stage.Task {
	return []stage.Task{
		{Name: "call", Run: w.call, Resume: stage.Repeat},
		{Name: "callback", Run: w.callback, Resume: stage.Repeat},
	}
}

func config(in *stage.Input) (pipeline.Webhook, error) {
	c, ok := in.Config.(pipeline.Webhook)
	if !ok {
		return c, problem.New(problem.Internal, "webhook", "the configuration is a %T", in.Config)
	}
	return c, nil
}

// tries is the saved state of a repeated call.
type tries struct {
	Tries int    `json:"tries"`
	Last  string `json:"last"`
}

func (w Webhook) call(ctx context.Context, in *stage.Input) (stage.Result, error) {
	c, err := config(in)
	if err != nil {
		return stage.Result{}, err
	}
	var t tries
	if in.State != nil {
		if err := json.Unmarshal(in.State, &t); err != nil {
			return stage.Result{}, problem.Wrap(err, problem.Internal, "webhook.call", "reading the saved state")
		}
	}
	m, fail, err := w.message(ctx, in, c)
	if fail != nil || err != nil {
		return stage.FailIf(fail), err
	}
	t.Tries++
	in.Progress("%s %s (try %d)", m.request.Method, m.shownAddress, t.Tries)
	answer, err := w.send(m)
	switch {
	case ctx.Err() != nil:
		return stage.Result{}, context.Cause(ctx)
	case err != nil:
		t.Last = m.hide(err.Error())
	case expected(c, answer.status):
		return w.done(in, c, m, answer)
	default:
		t.Last = fmt.Sprintf("%s answered %d", m.shownAddress, answer.status)
	}
	fmt.Fprintf(in.Log, "try %d: %s\n", t.Tries, t.Last)
	if err == nil && answer.status != http.StatusTooManyRequests && answer.status < 500 {
		f := stage.Failure{Code: "WEBHOOK_REFUSED", Cause: t.Last, Evidence: m.evidence(answer), Help: "compare the call with what the receiver expects"}
		if answer.location != "" {
			f.Help = "redirects are not followed; call the address it names directly"
		}
		return stage.Fail(f), nil
	}
	if t.Tries >= maxTries {
		return stage.Fail(stage.Failure{Code: "WEBHOOK_UNREACHABLE", Cause: fmt.Sprintf("%s, %d times", t.Last, t.Tries),
			Evidence: m.evidence(answer), Help: "check the address and that the receiver is up", Retryable: true}), nil
	}
	state, err := json.Marshal(t)
	if err != nil {
		return stage.Result{}, problem.Wrap(err, problem.Internal, "webhook.call", "keeping the state")
	}
	return stage.Result{Outcome: stage.Again, State: state, After: pause(t.Tries, answer.retryAfter)}, nil
}

// pause doubles from one second; the receiver may ask for a longer pause.
func pause(tries int, asked time.Duration) time.Duration {
	return min(maxPause, max(asked, time.Second<<(tries-1)))
}

func expected(c pipeline.Webhook, status int) bool {
	if len(c.Expect) > 0 {
		return slices.Contains(c.Expect, status)
	}
	return status >= 200 && status <= 299
}

func (w Webhook) done(in *stage.Input, c pipeline.Webhook, m message, a answer) (stage.Result, error) {
	fmt.Fprintf(in.Log, "%s answered %d\n", m.shownAddress, a.status)
	outputs := map[string]any{"status": a.status}
	if !c.Wait {
		if f := extract(outputs, c.Outputs, a.body, a.cut); f != nil {
			return stage.Fail(*f), nil
		}
	}
	return stage.Result{Outcome: stage.Done, Outputs: outputs}, nil
}

func (w Webhook) callback(_ context.Context, in *stage.Input) (stage.Result, error) {
	c, err := config(in)
	if err != nil {
		return stage.Result{}, err
	}
	if !c.Wait {
		return stage.Result{Outcome: stage.Done}, nil
	}
	want := w.Callbacks.signalID(callKey(in.Key))
	for _, s := range in.Signals {
		if s.Name != signalCallback || s.ID != want {
			continue
		}
		fmt.Fprintln(in.Log, "called back")
		outputs := map[string]any{}
		if f := extract(outputs, c.Outputs, s.Data, false); f != nil {
			return stage.Fail(*f), nil
		}
		return stage.Result{Outcome: stage.Done, Outputs: outputs}, nil
	}
	in.Progress("waits for the callback")
	return stage.Result{Outcome: stage.Again}, nil
}

// callKey is the key of the task that made the call, whichever task calls this
// method.
func callKey(k stage.Key) stage.Key {
	k.Task = "call"
	return k
}

// message is a call that is ready to be made, and the secrets that must not be
// shown of it.
type message struct {
	request      *http.Request
	shownAddress string // scheme and host: the rest of an address often holds a secret
	secrets      []string
}

func (m message) hide(text string) string { return secret.Mask(text, m.secrets...) }

// evidence is the beginning of the receiver's answer.
func (m message) evidence(a answer) []string {
	const limit = 500
	text := strings.ToValidUTF8(string(a.body[:min(len(a.body), 4*limit)]), "�")
	text = strings.TrimSpace(m.hide(text))
	if text == "" {
		return nil
	}
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + " …"
	}
	return []string{text}
}

// message builds the call. A failure says what is wrong with the configuration
// after secrets were inserted, without showing the secrets.
func (w Webhook) message(ctx context.Context, in *stage.Input, c pipeline.Webhook) (message, *stage.Failure, error) {
	m := message{}
	var missing error
	expand := func(text string) string {
		for _, name := range pipeline.SecretNames(text) {
			if v, err := in.Secrets.Expand(ctx, "${{ secrets."+name+" }}"); err == nil {
				m.secrets = append(m.secrets, v)
			}
		}
		out, err := in.Secrets.Expand(ctx, text)
		if err != nil && missing == nil {
			missing = err
		}
		return out
	}
	address, body, signing := strings.TrimSpace(expand(c.URL)), expand(c.Body), strings.TrimSpace(expand(c.Secret))
	headers := map[string]string{}
	for name, value := range c.Headers {
		headers[name] = strings.TrimRight(expand(value), "\r\n") // as `secret set` reads it from a file
	}
	if missing != nil {
		if problem.CodeOf(missing) == problem.Unavailable {
			return m, nil, missing
		}
		return m, &stage.Failure{Code: "SECRET_MISSING", Cause: missing.Error(), Help: problem.HelpOf(missing)}, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return m, &stage.Failure{Code: "WEBHOOK_ADDRESS", Cause: "the address is not an http or https URL", Help: "check url, and the secrets in it"}, nil
	}
	m.shownAddress = u.Scheme + "://" + u.Host
	callbackURL := ""
	if c.Wait {
		callbackURL = w.Callbacks.URL(callKey(in.Key))
	}
	text, isJSON := payload(in, body, callbackURL)
	req, err := http.NewRequestWithContext(ctx, cmp.Or(c.Method, http.MethodPost), address, strings.NewReader(text))
	if err != nil {
		return m, &stage.Failure{Code: "WEBHOOK_ADDRESS", Cause: "the call cannot be made: " + m.hide(withoutAddress(err).Error())}, nil
	}
	if isJSON {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("User-Agent", "showrunner")
	if in.Traceparent != "" {
		req.Header.Set("traceparent", in.Traceparent)
	}
	for name, value := range headers {
		if strings.ContainsAny(name+value, "\r\n\x00") {
			return m, &stage.Failure{Code: "WEBHOOK_HEADER", Cause: fmt.Sprintf("the header %q holds a line break", name), Help: "check the secrets in it"}, nil
		}
		if http.CanonicalHeaderKey(name) == "Host" {
			req.Host = value
			continue
		}
		req.Header.Set(name, value)
	}
	id := in.Key.String()
	req.Header.Set("Idempotency-Key", id)
	if callbackURL != "" {
		req.Header.Set("Callback-Url", callbackURL)
	}
	if signing != "" {
		standardwebhook.Sign(req.Header, signing, id, in.Now, []byte(text))
	}
	m.request = req
	return m, nil, nil
}

// payload is the body: the configured one, otherwise a description of the stage.
// A JSON object gets the callbackUrl as a field, unless it has one.
func payload(in *stage.Input, body, callbackURL string) (text string, isJSON bool) {
	if body == "" {
		about := map[string]any{"type": "stage.webhook", "application": in.Application, "pipeline": in.Pipeline,
			"execution": in.Key.Execution, "number": in.Number, "stage": in.Key.Stage, "attempt": in.Key.Attempt, "startedBy": in.StartedBy}
		if callbackURL != "" {
			about["callbackUrl"] = callbackURL
		}
		raw, err := json.Marshal(about)
		return string(raw), err == nil
	}
	if !json.Valid([]byte(body)) {
		return body, false
	}
	var object map[string]json.RawMessage
	if callbackURL == "" || json.Unmarshal([]byte(body), &object) != nil || object == nil || object["callbackUrl"] != nil {
		return body, true
	}
	object["callbackUrl"], _ = json.Marshal(callbackURL) // a string can always be encoded
	raw, err := json.Marshal(object)
	if err != nil {
		return body, true
	}
	return string(raw), true
}
