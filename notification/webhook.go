package notification

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	"showrunner/internal/standardwebhook"
	"showrunner/problem"
)

// webhook sends each event as JSON, signed as Standard Webhooks specifies.
type webhook struct {
	client      *http.Client
	url, secret string
}

func (w *webhook) edits() bool { return false }

// webhookBody is the JSON that a receiver gets. Thread is the same for all of a run.
type webhookBody struct {
	Type   string    `json:"type"` // notification
	Event  Event     `json:"event"`
	Thread string    `json:"thread"`
	Time   time.Time `json:"time"`
	Run    Run       `json:"run"`
	Message
	Text string `json:"text"`
}

func (w *webhook) send(ctx context.Context, l letter) (Posted, error) {
	const op = "notification.webhook"
	body, err := json.Marshal(webhookBody{Type: "notification", Event: l.Event, Thread: l.Thread, Time: l.At.UTC(), Run: l.Run, Message: l.Message, Text: l.Message.text()})
	if err != nil {
		return Posted{}, problem.Wrap(err, problem.Internal, op, "encoding")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url, bytes.NewReader(body))
	if err != nil {
		return Posted{}, problem.New(problem.Precondition, op, "the address cannot be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "showrunner")
	standardwebhook.Sign(req.Header, w.secret, l.ID, l.At, body)
	res, err := w.client.Do(req)
	if err != nil {
		return Posted{}, unanswered(op, hostOf(w.url), err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, 64<<10)) // so that the connection can be used again
	if res.StatusCode >= 200 && res.StatusCode < 300 {
		return Posted{ID: l.ID}, nil
	}
	return Posted{}, refusedBy(op, hostOf(w.url), res)
}
