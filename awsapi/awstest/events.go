package awstest

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// Events is the answer of a streamed operation, as it comes.
type Events struct {
	t    *testing.T
	body io.ReadCloser
}

// Events calls a streamed operation of a JSON service.
func (c *Client) Events(service, operation string, in map[string]any) *Events {
	c.t.Helper()
	return c.stream(c.request(service, operation, in))
}

// stream sends a request and returns its events.
func (c *Client) stream(r *http.Request, body []byte, name string) *Events {
	c.t.Helper()
	c.sign(r, body, name)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = answer.Body.Close() })
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		c.t.Fatalf("%s: %s %s", r.URL, answer.Status, text)
	}
	return &Events{c.t, answer.Body}
}

// Message is the next event's kind and payload; "" when there are no more. AWS's own
// decoder verifies its checksums.
func (e *Events) Message() (kind string, payload []byte) {
	e.t.Helper()
	m, err := eventstream.NewDecoder().Decode(e.body, nil)
	if errors.Is(err, io.EOF) {
		return "", nil
	}
	if err != nil {
		e.t.Fatal(err)
	}
	for _, name := range []string{":event-type", ":exception-type"} {
		if v := m.Headers.Get(name); v != nil {
			kind = v.String()
		}
	}
	return kind, m.Payload
}

// Next is Message for events in JSON.
func (e *Events) Next() (kind string, event map[string]any) {
	e.t.Helper()
	kind, payload := e.Message()
	if kind != "" {
		if err := json.Unmarshal(payload, &event); err != nil {
			e.t.Fatalf("%s: %s", payload, err)
		}
	}
	return kind, event
}
