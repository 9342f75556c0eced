package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/control"
	"showrunner/problem"
	"showrunner/store/record"
)

// streams are the operations that answer with something that goes on.
func (s *Server) streams() {
	s.stream("/events/stream", "follow-events", "The event log as server-sent events; resumes after Last-Event-ID", "text/event-stream",
		[]string{"from", "application", "pipeline", "execution", "type"}, s.follow)
	s.stream("/executions/{id}/stages/{stage}/log", "get-log", "A stage's log; follow=true goes on until the stage has ended", "text/plain",
		[]string{"attempt", "from", "follow"}, s.stageLog)
	s.stream("/backup", "get-backup", "A consistent copy of the control plane's state, for showrunner restore", "application/octet-stream", nil, s.backup)
	s.stream("/instances/{id}/log", "get-instance-log", "What an instance wrote", "text/plain", []string{"follow"}, s.instanceLog)
}

// stream registers a plain handler and describes it.
func (s *Server) stream(path, id, summary, contentType string, query []string, h http.HandlerFunc) {
	op := operation(http.MethodGet, path, id, summary, 200)
	op.Responses = map[string]*huma.Response{"200": {Description: summary, Content: map[string]*huma.MediaType{contentType: {Schema: &huma.Schema{Type: "string"}}}}}
	for _, part := range strings.Split(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			op.Parameters = append(op.Parameters, &huma.Param{Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: &huma.Schema{Type: "string"}})
		}
	}
	for _, q := range query {
		op.Parameters = append(op.Parameters, &huma.Param{Name: q, In: "query", Schema: &huma.Schema{Type: "string"}})
	}
	s.api.OpenAPI().AddOperation(&op)
	s.mux.HandleFunc("GET "+op.Path, h)
}

func number(r *http.Request, name string) (int64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, problem.New(problem.Invalid, "request", "%s=%q is no number", name, clip(text))
	}
	return n, nil
}

// follow streams the event log.
func (s *Server) follow(w http.ResponseWriter, r *http.Request) {
	from, err := number(r, "from")
	if id := r.Header.Get("Last-Event-ID"); id != "" && err == nil {
		if from, err = strconv.ParseInt(id, 10, 64); err != nil {
			err = problem.New(problem.Invalid, "events", "Last-Event-ID %q is no position", clip(id))
		}
	}
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	q := r.URL.Query()
	f := record.Filter{Application: q.Get("application"), Pipeline: q.Get("pipeline"), Execution: q.Get("execution"), Types: q["type"]}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	slices, err := s.Control.Follow(ctx, principal(ctx), from, f)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	s.serveEvents(w, slices)
}

// writeLimit is how long a client may take to read what it is sent.
const writeLimit = 20 * time.Second

func (s *Server) serveEvents(w http.ResponseWriter, slices <-chan record.Slice) {
	rc := http.NewResponseController(w)
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	fmt.Fprint(w, ": open\n\n")
	for {
		_ = rc.SetWriteDeadline(time.Now().Add(writeLimit)) // a recorder in a test has none
		if rc.Flush() != nil {
			return
		}
		select {
		case slice, ok := <-slices:
			if !ok {
				return
			}
			if err := writeSlice(w, slice); err != nil {
				return
			}
		case <-tick.C:
			if _, err := fmt.Fprint(w, ": alive\n\n"); err != nil {
				return
			}
		}
	}
}

func writeSlice(w http.ResponseWriter, slice record.Slice) error {
	if slice.Reset {
		if _, err := fmt.Fprintf(w, "id: %d\nevent: reset\ndata: {}\n\n", slice.Next); err != nil {
			return err
		}
	}
	for _, e := range slice.Events {
		data, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "id: %d\nevent: %s\ndata: %s\n\n", e.Position, e.Type, data); err != nil {
			return err
		}
	}
	return nil
}

// flushing writes a growing text through at once, and drops a client that does not read.
type flushing struct {
	w       http.ResponseWriter
	rc      *http.ResponseController
	started bool
}

func (f *flushing) Write(b []byte) (int, error) {
	if !f.started {
		f.started = true
		f.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		f.w.Header().Set("X-Content-Type-Options", "nosniff")
		f.w.Header().Set("Cache-Control", "no-store")
	}
	_ = f.rc.SetWriteDeadline(time.Now().Add(writeLimit)) // a recorder in a test has none
	n, err := f.w.Write(b)
	if err != nil {
		return n, err
	}
	return n, f.rc.Flush()
}

// text answers with what run writes; an error before the first byte is a problem.
func (s *Server) text(w http.ResponseWriter, run func(f *flushing) error) {
	f := &flushing{w: w, rc: http.NewResponseController(w)}
	err := run(f)
	if f.started {
		return // the status is out; the stream just ends
	}
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusOK)
}

func (s *Server) stageLog(w http.ResponseWriter, r *http.Request) {
	attempt, err := number(r, "attempt")
	from, err2 := number(r, "from")
	if err == nil {
		err = err2
	}
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	s.text(w, func(f *flushing) error {
		return s.Control.StageLog(r.Context(), principal(r.Context()), control.LogRequest{Execution: r.PathValue("id"), Stage: r.PathValue("stage"),
			Attempt: int(attempt), From: from, Follow: r.URL.Query().Get("follow") == "true"}, f)
	})
}

func (s *Server) instanceLog(w http.ResponseWriter, r *http.Request) {
	s.text(w, func(f *flushing) error {
		return s.Control.InstanceLog(r.Context(), principal(r.Context()), r.PathValue("id"), r.URL.Query().Get("follow") == "true", f)
	})
}

// backup streams a copy of the state.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	began := false
	err := s.Control.Backup(r.Context(), principal(r.Context()), func(ctx context.Context) error {
		return s.Backup(ctx, writerFunc(func(p []byte) (int, error) {
			if !began {
				began = true
				w.Header().Set("Content-Type", "application/octet-stream")
			}
			return w.Write(p)
		}))
	})
	switch {
	case err != nil && began:
		panic(http.ErrAbortHandler) // so that the reader sees that the copy is not whole
	case err != nil:
		writeProblem(w, problemOf(err))
	}
}

// writerFunc is a function as a writer.
type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
