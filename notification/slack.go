package notification

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"showrunner/problem"
)

// slackAPI is where Slack's calls are made unless the file says otherwise.
const slackAPI = "https://slack.com/api"

// metadataType names our messages among those of a channel.
const metadataType = "showrunner_run"

// slackBot posts and edits with a bot's token.
//
// Source: https://docs.slack.dev/reference/methods/chat.postMessage, chat.update,
// conversations.history, and https://docs.slack.dev/apis/web-api/rate-limits.
type slackBot struct {
	client              *http.Client
	api, token, channel string
}

func (s *slackBot) edits() bool { return true }

// slackMessage is what both ways to post take. Blocks hold what others wrote as plain
// text, which has no formats and mentions nobody; servers without blocks show Text.
type slackMessage struct {
	Channel   string         `json:"channel,omitempty"`
	Timestamp string         `json:"ts,omitempty"`
	Text      string         `json:"text"`
	Blocks    []any          `json:"blocks"`
	Metadata  *slackMetadata `json:"metadata,omitempty"`
	Unfurl    bool           `json:"unfurl_links"`
}

type slackMetadata struct {
	Type    string            `json:"event_type"`
	Payload map[string]string `json:"event_payload"`
}

// slackAnswer is the answer to any call.
type slackAnswer struct {
	OK       bool   `json:"ok"`
	Error    string `json:"error"`
	Needed   string `json:"needed"`
	Channel  any    `json:"channel"`
	TS       string `json:"ts"`
	Messages []struct {
		TS       string         `json:"ts"`
		Metadata *slackMetadata `json:"metadata"`
	} `json:"messages"`
	Channels []struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	} `json:"channels"`
	Next struct {
		Cursor string `json:"next_cursor"`
	} `json:"response_metadata"`
}

var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// mentions are words that servers like Slack take for a call to everybody.
var mentions = regexp.MustCompile(`(?i)@(channel|here|all|everyone|group)`)

// slackText escapes a text that others wrote. A zero width space after the @ keeps
// servers that look for mentions in the text from finding one.
func slackText(text string) string {
	return mentions.ReplaceAllString(slackEscapes.Replace(text), "@\u200b$1")
}

func slackMessageOf(m Message) slackMessage {
	section := func(text string) any {
		return map[string]any{"type": "section", "text": map[string]any{"type": "plain_text", "text": text, "emoji": false}}
	}
	link := slackEscapes.Replace(m.URL)
	blocks := []any{section(m.Title)}
	if len(m.Lines) > 0 {
		text := strings.Join(m.Lines, "\n")
		if runes := []rune(text); len(runes) > 3000 { // Slack refuses a longer text of a block
			text = string(runes[:2999]) + "…"
		}
		blocks = append(blocks, section(text))
	}
	blocks = append(blocks, map[string]any{"type": "context", "elements": []any{map[string]any{"type": "mrkdwn", "text": "<" + link + "|Open the run>"}}})
	text := []string{slackText(m.Title)}
	for _, l := range m.Lines {
		text = append(text, slackText(l))
	}
	return slackMessage{Text: strings.Join(append(text, link), "\n"), Blocks: blocks}
}

func (s *slackBot) send(ctx context.Context, l letter) (Posted, error) {
	m := slackMessageOf(l.Message)
	m.Metadata = &slackMetadata{Type: metadataType, Payload: map[string]string{"id": l.Thread}}
	if l.Edit == nil && l.InDoubt {
		found, err := s.find(ctx, l)
		if err != nil {
			return Posted{}, err
		}
		if l.Edit = found; found == nil && l.OnlyFound {
			return Posted{}, nil
		}
	}
	if l.Edit != nil {
		m.Channel, m.Timestamp = l.Edit.Channel, l.Edit.ID
		_, err := s.call(ctx, "chat.update", m)
		if err == nil {
			return *l.Edit, nil
		}
		if !slackSays(err, "message_not_found", "cant_update_message", "edit_window_closed") {
			return Posted{}, err
		}
		m.Timestamp = "" // somebody has removed it: a new one takes its place
	}
	m.Channel = s.channel
	a, err := s.call(ctx, "chat.postMessage", m)
	if err != nil {
		return Posted{}, err
	}
	id, _ := a.Channel.(string)
	return Posted{Channel: orDefault(id, s.channel), ID: a.TS}, nil
}

// find looks for a message that a control plane may have posted before it died; nil when
// it did not. A bot that may not read the channel posts again rather than not at all.
func (s *slackBot) find(ctx context.Context, l letter) (*Posted, error) {
	id, err := s.channelID(ctx)
	if err != nil || id == "" {
		return nil, ifMayRead(err)
	}
	const tolerance = 5 * time.Minute // between the clocks
	form := url.Values{"channel": {id}, "oldest": {strconv.FormatInt(l.Since.Add(-tolerance).Unix(), 10)}, "include_all_metadata": {"true"}, "limit": {"200"}}
	for range 10 {
		a, err := s.read(ctx, "conversations.history", form)
		if err != nil {
			return nil, ifMayRead(err)
		}
		for _, m := range a.Messages {
			if m.Metadata != nil && m.Metadata.Type == metadataType && m.Metadata.Payload["id"] == l.Thread {
				return &Posted{Channel: id, ID: m.TS}, nil
			}
		}
		if a.Next.Cursor == "" {
			break
		}
		form.Set("cursor", a.Next.Cursor)
	}
	return nil, nil
}

// ifMayRead drops the error of a bot that lacks the right to read.
func ifMayRead(err error) error {
	if slackSays(err, "missing_scope", "not_in_channel", "channel_not_found", "unknown_method", "method_not_supported_for_channel_type") {
		return nil
	}
	return err
}

var slackID = regexp.MustCompile(`^[CDG][A-Z0-9]{7,}$`)

// channelID is the ID of the channel; "" when there is none of its name.
func (s *slackBot) channelID(ctx context.Context) (string, error) {
	if slackID.MatchString(s.channel) {
		return s.channel, nil
	}
	form := url.Values{"limit": {"1000"}, "exclude_archived": {"true"}, "types": {"public_channel,private_channel"}}
	for range 20 {
		a, err := s.read(ctx, "conversations.list", form)
		if err != nil {
			return "", err
		}
		for _, c := range a.Channels {
			if c.Name == strings.TrimPrefix(s.channel, "#") {
				return c.ID, nil
			}
		}
		if a.Next.Cursor == "" {
			break
		}
		form.Set("cursor", a.Next.Cursor)
	}
	return "", nil
}

func (s *slackBot) call(ctx context.Context, method string, body any) (slackAnswer, error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return slackAnswer{}, problem.Wrap(err, problem.Internal, "notification.slack", "encoding")
	}
	return s.do(ctx, method, "application/json; charset=utf-8", raw)
}

func (s *slackBot) read(ctx context.Context, method string, form url.Values) (slackAnswer, error) {
	return s.do(ctx, method, "application/x-www-form-urlencoded", []byte(form.Encode()))
}

func (s *slackBot) do(ctx context.Context, method, contentType string, body []byte) (slackAnswer, error) {
	const op = "notification.slack"
	var a slackAnswer
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(orDefault(s.api, slackAPI), "/")+"/"+method, bytes.NewReader(body))
	if err != nil {
		return a, problem.New(problem.Invalid, op, "the address of Slack's API cannot be used")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Bearer "+s.token)
	req.Header.Set("User-Agent", "showrunner")
	res, err := s.client.Do(req)
	if err != nil {
		return a, unanswered(op, "Slack ("+method+")", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return a, refusedBy(op, "Slack ("+method+")", res)
	}
	if err := json.NewDecoder(io.LimitReader(res.Body, mostAnswer)).Decode(&a); err != nil {
		return a, problem.New(problem.Unavailable, op, "Slack (%s) answered something else than JSON", method)
	}
	if a.OK {
		return a, nil
	}
	return a, slackRefusal(method, a, res)
}

// slackError is what Slack calls an error.
type slackError string

func (e slackError) Error() string { return string(e) }

func slackSays(err error, words ...string) bool {
	var e slackError
	if !errors.As(err, &e) {
		return false
	}
	for _, w := range words {
		if string(e) == w {
			return true
		}
	}
	return false
}

// slackRefusal is the error of an answer that is not ok.
func slackRefusal(method string, a slackAnswer, res *http.Response) error {
	code, help := problem.Precondition, ""
	switch a.Error {
	case "ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org":
		code = problem.Unavailable
	case "account_inactive", "token_revoked", "org_login_required":
		code, help = problem.NotFound, "the token is no longer valid: set a new one with showrunner secret set"
	case "invalid_auth", "not_authed", "token_expired":
		help = "the secret does not hold a valid bot token (xoxb-…)"
	case "not_in_channel":
		help = "invite the bot to the channel: /invite @BOT"
	case "channel_not_found", "is_archived":
		help = "see whether the channel exists; for a private one give its ID, and invite the bot"
	case "missing_scope":
		help = "give the bot the scope " + plain(a.Needed)
	}
	p := problem.Wrap(slackError(plain(a.Error)), code, "notification.slack", "Slack refused %s", method)
	p.RetryAfter = retryAfter(res)
	return p.WithHelp("%s", help)
}

// slackWebhook posts to an incoming webhook, which cannot edit.
//
// Source: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks
type slackWebhook struct {
	client *http.Client
	url    string
}

func (s *slackWebhook) edits() bool { return false }

func (s *slackWebhook) send(ctx context.Context, l letter) (Posted, error) {
	const op = "notification.slack"
	m := slackMessageOf(l.Message)
	raw, err := json.Marshal(map[string]any{"text": m.Text, "blocks": m.Blocks})
	if err != nil {
		return Posted{}, problem.Wrap(err, problem.Internal, op, "encoding")
	}
	u, err := url.Parse(s.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return Posted{}, problem.New(problem.Precondition, op, "the secret of the incoming webhook does not hold an http or https URL")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url, bytes.NewReader(raw))
	if err != nil {
		return Posted{}, problem.New(problem.Precondition, op, "the URL of the incoming webhook cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "showrunner")
	res, err := s.client.Do(req)
	if err != nil {
		return Posted{}, unanswered(op, "the incoming webhook", err)
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if res.StatusCode == http.StatusOK {
		return Posted{ID: l.ID}, nil
	}
	err = refusedBy(op, "the incoming webhook", res)
	if word := strings.TrimSpace(string(answer)); word == "no_service" || word == "no_active_hooks" || word == "action_prohibited" || word == "channel_is_archived" {
		p := problem.New(problem.NotFound, op, "the incoming webhook is gone (%s)", word)
		return Posted{}, p.WithHelp("make a new one in Slack, and set the secret to its URL")
	}
	return Posted{}, err
}
