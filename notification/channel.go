package notification

import (
	"context"
	"crypto/x509"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"showrunner/pipeline"
	"showrunner/problem"
)

const (
	// callTimeout bounds one call, and sendTimeout all calls for one message.
	callTimeout = 10 * time.Second
	sendTimeout = 25 * time.Second
	// mostPause bounds how long a receiver may ask to wait.
	mostPause = 15 * time.Minute
	// mostAnswer bounds how many bytes of an answer are read.
	mostAnswer = 1 << 20
)

// Posted is where a message is, in the receiver's own terms.
type Posted struct {
	Channel string `json:"channel,omitempty"`
	ID      string `json:"id"`
}

// letter is one message for one channel.
type letter struct {
	ID        string // the same whenever it is sent again
	Thread    string // of the run
	Event     Event
	Run       Run
	Message   Message
	At        time.Time
	OnlyFound bool      // in doubt: replace the message if it is there, and post none
	InDoubt   bool      // an earlier attempt may have reached the receiver
	Since     time.Time // of that attempt
	Edit      *Posted   // the message to be replaced; nil: a new one
}

// Run names a run to programs.
type Run struct {
	Application string `json:"application"`
	Pipeline    string `json:"pipeline"`
	Number      int    `json:"number"`
	Execution   string `json:"execution"`
	Status      string `json:"status"`
}

// channel sends letters. Errors: unavailable when it may pass (with RetryAfter when the
// receiver names a time), not_found when the receiver is gone for good, else the letter
// itself is refused. No error holds a secret.
type channel interface {
	// edits tells whether a message can be replaced.
	edits() bool
	// send returns where the message is; an empty one when there is none, which only a
	// letter with OnlyFound allows.
	send(ctx context.Context, l letter) (Posted, error)
}

// Secrets resolves secrets. Errors: not_found.
type Secrets interface {
	Resolve(ctx context.Context, name string) (string, error)
}

// Client is what calls are made with.
type Client struct {
	HTTP *http.Client
	// Roots verify mail servers; nil: the machine's.
	Roots *x509.CertPool
	Dial  func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewClient makes a client. It follows no redirect: a token would reach a host that it
// was not meant for.
func NewClient() Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	return Client{
		HTTP: &http.Client{Transport: transport, Timeout: callTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
		Dial: (&net.Dialer{Timeout: callTimeout}).DialContext,
	}
}

// open makes the channel of a configuration. Errors: those of Secrets.
func open(ctx context.Context, c pipeline.Notification, secrets Secrets, client Client) (channel, error) {
	value := func(name string) (string, error) {
		v, err := secrets.Resolve(ctx, name)
		return strings.TrimRight(v, "\r\n"), err
	}
	switch {
	case c.Slack != nil && c.Slack.Token != "":
		token, err := value(c.Slack.Token)
		return &slackBot{client: client.HTTP, api: c.Slack.API, token: token, channel: c.Slack.Channel}, err
	case c.Slack != nil:
		address, err := value(c.Slack.Webhook)
		return &slackWebhook{client: client.HTTP, url: address}, err
	case c.Webhook != nil:
		secret, err := value(orDefault(c.Webhook.Secret, "webhook"))
		return &webhook{client: client.HTTP, url: c.Webhook.URL, secret: secret}, err
	case c.Email != nil:
		m := &email{EmailChannel: *c.Email, client: client}
		var err error
		if c.Email.Password != "" {
			m.secret, err = value(c.Email.Password)
		}
		return m, err
	}
	return nil, problem.New(problem.Invalid, "notification", "the channel is of no known kind")
}

func orDefault(text, def string) string {
	if text == "" {
		return def
	}
	return text
}

// Name names a channel for people.
func Name(c pipeline.Notification) string {
	switch {
	case c.Slack != nil && c.Slack.Token != "":
		return "slack " + c.Slack.Channel
	case c.Slack != nil:
		return "slack webhook (secret " + c.Slack.Webhook + ")"
	case c.Webhook != nil:
		return "webhook " + hostOf(c.Webhook.URL)
	case c.Email != nil:
		return "email " + strings.Join(c.Email.To, ", ")
	}
	return "unknown"
}

// receiverOf is what fails as a whole: the letters of one receiver wait for each other.
func receiverOf(c pipeline.Notification) string {
	switch {
	case c.Slack != nil && c.Slack.Token != "":
		return "slack\x00" + c.Slack.API + "\x00" + c.Slack.Token + "\x00" + c.Slack.Channel
	case c.Slack != nil:
		return "slack-webhook\x00" + c.Slack.Webhook
	case c.Webhook != nil:
		return "webhook\x00" + c.Webhook.URL
	case c.Email != nil:
		return "email\x00" + c.Email.Server + "\x00" + c.Email.User
	}
	return ""
}

// hostOf is the part of an address that may be shown: its path may be a secret.
func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "(an address that cannot be read)"
	}
	return u.Scheme + "://" + u.Host
}

// unanswered is the error of a call without an answer. It never holds the address.
func unanswered(op, where string, err error) error {
	if u, ok := err.(*url.Error); ok {
		err = u.Err
	}
	return problem.New(problem.Unavailable, op, "%s does not answer: %v", where, err)
}

// refusedBy is the error of an HTTP answer that is no success.
func refusedBy(op, where string, res *http.Response) error {
	code := problem.Precondition
	switch {
	case res.StatusCode == http.StatusGone:
		code = problem.NotFound
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusRequestTimeout || res.StatusCode >= 500:
		code = problem.Unavailable
	}
	p := problem.New(code, op, "%s answered %s", where, res.Status)
	p.RetryAfter = retryAfter(res)
	return p
}

// retryAfter reads Retry-After, in seconds or as a date by the receiver's clock.
func retryAfter(res *http.Response) time.Duration {
	value := res.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return max(0, min(time.Duration(min(seconds, 1<<20))*time.Second, mostPause))
	}
	at, err := http.ParseTime(value)
	now, err2 := http.ParseTime(res.Header.Get("Date"))
	if err != nil || err2 != nil {
		return 0
	}
	return max(0, min(at.Sub(now), mostPause))
}
