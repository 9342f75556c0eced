package pipeline

import (
	"fmt"
	"net/mail"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Notification tells people of a pipeline's runs in one channel. Where the channel can edit, a run has one message, which always shows where the run stands; elsewhere each event is a message of its own. `showrunner notify test APP/PIPELINE` sends a message to try a channel. docs/notifications.md has the rules.
type Notification struct {
	Events  []string        `json:"events,omitempty" lang:"one" enum:"started|waiting|succeeded|failed|recovered|rolled-back|canceled" default:"[\"started\",\"waiting\",\"failed\",\"recovered\",\"rolled-back\"]"` // what begins a message: started; waiting (for a person); succeeded; failed; recovered (the first success after a failure); rolled-back (by a verdict, which failed includes); canceled. Default started, waiting, failed, recovered and rolled-back
	Slack   *SlackChannel   `json:"slack,omitempty"`
	Webhook *WebhookChannel `json:"webhook,omitempty"`
	Email   *EmailChannel   `json:"email,omitempty"`
}

// SlackChannel is a channel of Slack, or of a server that answers Slack's calls.
type SlackChannel struct {
	Token   string `json:"token,omitempty" check:"secret"`                            // the name of the secret that holds a bot token (scopes chat:write, and channels:history and channels:read so that a crash cannot post twice); the run's message is edited in place
	Webhook string `json:"webhook,omitempty" check:"secret"`                          // the name of the secret that holds the URL of an incoming webhook, which cannot edit: each event is a message of its own
	Channel string `json:"channel,omitempty"`                                         // with a token: the channel's ID (C0123456789), or its name (#deploys)
	API     string `json:"api,omitempty" check:"url" default:"https://slack.com/api"` // with a token: where the calls are made; default https://slack.com/api
}

// WebhookChannel is an address that gets each event as JSON, signed as Standard Webhooks specifies.
type WebhookChannel struct {
	URL    string `json:"url" check:"url"`
	Secret string `json:"secret,omitempty" check:"secret" default:"webhook"` // the name of the secret that signs; default "webhook"
}

// EmailChannel sends each event as a mail; the mails of a run are one thread.
type EmailChannel struct {
	To       []string `json:"to" lang:"one" check:"mails"`
	From     string   `json:"from" check:"mail"`
	Server   string   `json:"server" check:"hostport"`                                        // host:port of the SMTP server
	TLS      string   `json:"tls,omitempty" enum:"starttls|implicit|none" default:"starttls"` // starttls (default; refused where the server does not offer it), implicit (TLS from the first byte, port 465), none (no user then, unless the server is on this machine)
	User     string   `json:"user,omitempty"`
	Password string   `json:"password,omitempty" check:"secret"` // the name of the secret that holds the user's password
}

func checkMail(s string) error {
	a, err := mail.ParseAddress(s)
	if err != nil || strings.ContainsAny(s, "\r\n") || len(a.Address) > 254 {
		return fmt.Errorf("%q is not", shorten(firstLine(s), 80))
	}
	return nil
}

func checkHostPort(s string) error {
	host, port := hostPort(s)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || host == "" || strings.ContainsAny(s, " \t\r\n/@") || strings.Contains(host, ":") && !strings.HasPrefix(s, "[") {
		return fmt.Errorf("%q is not", shorten(firstLine(s), 80))
	}
	return nil
}

// hostPort divides host:port; an IPv6 address stands in brackets.
func hostPort(s string) (host, port string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return s, ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(s[:i], "["), "]"), s[i+1:]
}

// notify decodes the channels of a pipeline.
func (d *decoder) notify(m member, o *origin) {
	s := shapeOf(reflect.TypeFor[Pipeline]())
	f := s.byName[m.name]
	where := d.where
	n := m.value
	if n.Kind == yaml.MappingNode { // one channel stands for a list of one
		n = &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Line: n.Line, Column: n.Column, Content: []*yaml.Node{n}}
	}
	d.member(member{key: m.key, value: n, name: m.name}, f, reflect.ValueOf(&o.pipeline).Elem().Field(f.index))
	if n.Kind != yaml.SequenceNode {
		return
	}
	for i, item := range n.Content {
		if i < len(o.pipeline.Notify) {
			d.where, d.path = fmt.Sprintf("channel %d of %s", i+1, where), nil
			d.notifyRules(d.follow(item), o.pipeline.Notify[i])
		}
	}
}

// notifyRules makes the checks that need more than one field.
func (d *decoder) notifyRules(n *yaml.Node, c Notification) {
	if s := c.Slack; s != nil {
		for _, f := range []struct{ name, value string }{{"token", s.Token}, {"webhook", s.Webhook}} {
			if strings.HasPrefix(f.value, "xox") || strings.HasPrefix(f.value, "xapp-") {
				d.reportWith(find(n, "slack", f.name), Diagnostic{Code: CodeValue, Help: "keep the token with `showrunner secret set slack`, write slack here, and revoke this token: whoever reads the file can use it",
					Message: fmt.Sprintf("slack.%s of %s is a token, not the name of a secret", f.name, d.where)})
			}
		}
		switch {
		case s.Token != "" && s.Channel == "":
			d.reportWith(find(n, "slack"), Diagnostic{Code: CodeRequired, Help: "the channel's ID (C0123456789), which Slack shows at the end of the channel's details, or its name (\"#deploys\")",
				Message: fmt.Sprintf("slack of %s has a token and needs \"channel\"", d.where)})
		case s.Webhook != "" && (s.Channel != "" || s.API != ""):
			d.reportWith(find(n, "slack"), Diagnostic{Code: CodeConflict, Help: "leave channel and api out, or use a bot's token, with which a run's message is edited in place",
				Message: fmt.Sprintf("slack of %s: an incoming webhook has its channel already", d.where)})
		}
	}
	if e := c.Email; e != nil {
		if (e.User == "") != (e.Password == "") {
			d.reportWith(find(n, "email"), Diagnostic{Code: CodeRequired, Help: "set both, or neither for a server that asks for no user",
				Message: fmt.Sprintf("email of %s needs both \"user\" and \"password\"", d.where)})
		}
		if host, _ := hostPort(e.Server); e.TLS == "none" && e.User != "" && !slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, host) {
			d.reportWith(find(n, "email", "tls"), Diagnostic{Code: CodeConflict, Help: "use starttls, or implicit on port 465",
				Message: fmt.Sprintf("email of %s would send its password unencrypted to %s", d.where, host)})
		}
	}
}

// NotificationEvents are the events of a channel, with the default filled in.
func (c Notification) NotificationEvents() []string {
	if len(c.Events) > 0 {
		return c.Events
	}
	return []string{"started", "waiting", "failed", "recovered", "rolled-back"}
}
