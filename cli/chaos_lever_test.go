package cli

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// The lever refuses an experiment that would begin, and interrupts one that runs.
func TestTheLeverHoldsForExperiments(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	var stopped atomic.Bool
	ended := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/chaos":
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(map[string]any{"stopped": stopped.Load(), "reason": "incident 42", "by": "ann"})
		case "/long": // the method's request, which would last
			stopped.Store(true)
			<-r.Context().Done()
			close(ended)
		}
	}))
	defer s.Close()
	experiment := `{"title": "t", "description": "d", "method": [{"type": "action", "name": "long", "provider": {"type": "http", "url": "` + s.URL + `/long"}}],
		"rollbacks": [{"type": "action", "name": "undo", "provider": {"type": "process", "path": "touch", "arguments": ["undone"]}}]}`
	if err := os.WriteFile(filepath.Join(dir, "e.json"), []byte(experiment), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func() (int, string) {
		var out bytes.Buffer
		code := Main([]string{"--server", s.URL, "--data", dir, "chaos", "experiment", "run", "e.json"}, Streams{In: strings.NewReader(""), Out: &out, Err: &out, Getenv: func(string) string { return "" }})
		return code, out.String()
	}
	code, said := run()
	if code != exitInterrupted || !strings.Contains(said, "incident 42") {
		t.Errorf("exit %d:\n%s", code, said)
	}
	<-ended
	if _, err := os.Stat("undone"); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
	if code, said := run(); code != exitConflict || !strings.Contains(said, "all chaos is stopped") {
		t.Errorf("exit %d:\n%s", code, said)
	}
}
