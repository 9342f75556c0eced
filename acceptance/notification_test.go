package acceptance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"showrunner/execution"
)

// chat is a server that answers Slack's calls. Its first answer to a post waits until
// release is called.
type chat struct {
	*httptest.Server
	mu      sync.Mutex
	posts   int
	texts   map[string]string
	kept    []map[string]any
	posted  chan struct{}
	release func()
}

func newChat(t *testing.T) *chat {
	held := make(chan struct{})
	c := &chat{texts: map[string]string{}, posted: make(chan struct{}, 100), release: sync.OnceFunc(func() { close(held) })}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m struct {
			TS, Text string
			Metadata map[string]any
		}
		_ = json.NewDecoder(r.Body).Decode(&m) // a form has none of these
		c.mu.Lock()
		answer := map[string]any{"ok": true, "channel": "C0123456789"}
		switch {
		case r.Header.Get("Authorization") != "Bearer xoxb-acceptance":
			answer = map[string]any{"ok": false, "error": "invalid_auth"}
		case strings.HasSuffix(r.URL.Path, "/chat.postMessage"):
			c.posts++
			m.TS = fmt.Sprintf("17000000%02d.000100", c.posts)
			c.kept = append(c.kept, map[string]any{"ts": m.TS, "metadata": m.Metadata})
			c.texts[m.TS], answer["ts"] = m.Text, m.TS
			c.posted <- struct{}{}
		case strings.HasSuffix(r.URL.Path, "/chat.update"):
			c.texts[m.TS], answer["ts"] = m.Text, m.TS
		case strings.HasSuffix(r.URL.Path, "/conversations.history"):
			answer["messages"] = c.kept
		}
		c.mu.Unlock()
		<-held
		_ = json.NewEncoder(w).Encode(answer) // the sender may be dead
	}))
	t.Cleanup(func() { c.release(); c.Close() })
	return c
}

const toldPipeline = `application: told
pipelines:
  release:
    notify: { slack: { token: slack, channel: C0123456789, api: %q } }
    stages: { ask: { approval: { instructions: "ship <!channel>?" } } }
`

// startTold starts a run that a chat is told of, and returns it while the control plane
// waits for the answer to its first post.
func (w *world) startTold(c *chat) (e execution.Execution) {
	w.t.Helper()
	file := filepath.Join(w.t.TempDir(), "showrunner.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, toldPipeline, c.URL), 0o600); err != nil {
		w.t.Fatal(err)
	}
	if _, said, code := w.cliIn("xoxb-acceptance", "secret", "set", "slack"); code != 0 {
		w.t.Fatalf("secret set: %s", said)
	}
	w.must("apply", "-f", file)
	w.json(&e, "run", "told/release")
	<-c.posted
	return e
}

// toldOnce checks that the message of a run was posted once, although the control plane
// died while it waited for the answer, and that the message shows the run's end.
func (w *world) toldOnce(c *chat, e execution.Execution) {
	w.t.Helper()
	until := func(what string, parts ...string) {
		w.eventually(browserWait, what, func() error {
			c.mu.Lock()
			defer c.mu.Unlock()
			for _, p := range parts {
				if len(c.texts) != 1 || !strings.Contains(c.texts["1700000001.000100"], p) {
					return fmt.Errorf("the chat has %q", c.texts)
				}
			}
			return nil
		})
	}
	until("the message shows what waits", "Waiting for approval", "ship &lt;!channel&gt;?", "/executions/"+e.ID)
	w.must("approve", e.ID, "ask")
	until("the message shows the end", "told/release #1: Succeeded")
	if c.posts != 1 {
		w.t.Errorf("posted %d times", c.posts)
	}
	if out := w.must("notify", "test", "told/release"); !strings.Contains(out, "edited in place") {
		w.t.Errorf("notify test says %s", out)
	}
}
