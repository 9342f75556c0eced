package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"time"

	terminal "github.com/buildkite/terminal-to-html/v3"

	"showrunner/api"
	"showrunner/control"
	"showrunner/problem"
)

// logStretch is how much of a log is put into one answer, in bytes.
const logStretch = 512 << 10

// errEnough ends a reading that has filled its answer.
var errEnough = errors.New("enough")

// bounded takes whole lines up to logStretch.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	if b.Len()+len(p) > logStretch {
		room := max(0, logStretch-b.Len())
		b.Buffer.Write(p[:room])
		return room, errEnough
	}
	return b.Buffer.Write(p)
}

// log shows a stage's log, or with ?from= the part of it that came since, as HTML.
func (p *Pages) log(w http.ResponseWriter, r *http.Request) error {
	id, name := r.PathValue("id"), r.PathValue("stage")
	q := r.URL.Query()
	attempt, _ := strconv.Atoi(q.Get("attempt")) // anything else is the newest
	from, _ := strconv.ParseInt(q.Get("from"), 10, 64)
	e, err := p.Door.Execution(r.Context(), api.PrincipalOf(r), id)
	if err != nil {
		return err
	}
	st, ok := e.Stage(name)
	if !ok {
		return problem.New(problem.NotFound, "page", "execution %s has no stage %q", id, name)
	}
	live := !st.Status.Complete() && (attempt == 0 || attempt == st.Attempt)
	part := q.Has("from")
	text, err := p.readLog(r.Context(), r, control.LogRequest{Execution: id, Stage: name, Attempt: attempt, From: from}, live && part)
	if err != nil {
		return err
	}
	next := from + int64(len(text))
	html := template.HTML(terminal.Render(text)) //nolint:gosec // the renderer escapes
	if part {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("X-Log-Next", strconv.FormatInt(next, 10))
		w.Header().Set("X-Log-End", strconv.FormatBool(!live && len(text) < logStretch))
		if len(text) > 0 {
			_, _ = w.Write([]byte(html + "\n")) // the browser has gone when this fails
		}
		return nil
	}
	more := r.URL.Path + "?" + url.Values{"attempt": {strconv.Itoa(max(attempt, st.Attempt))}}.Encode()
	return p.show(w, r, "log", view{Title: name + " · " + e.Application + " › " + e.Pipeline, Nav: "executions", Same: "showrunner executions logs " + id + " " + name,
		Data: map[string]any{"E": e, "Stage": st, "HTML": html, "Next": next, "More": more, "Follow": live || len(text) >= logStretch}})
}

// pollWait is how long an answer about a running log waits for something to say.
const pollWait = 20 * time.Second

// readLog reads a stretch; with wait it stays until something comes.
func (p *Pages) readLog(ctx context.Context, r *http.Request, request control.LogRequest, wait bool) ([]byte, error) {
	var b bounded
	err := p.Door.StageLog(ctx, api.PrincipalOf(r), request, &b)
	if err == nil && wait && b.Len() == 0 {
		waiting, cancel := context.WithTimeout(ctx, pollWait)
		defer cancel()
		request.Follow = true
		err = p.Door.StageLog(waiting, api.PrincipalOf(r), request, &once{b: &b, cancel: cancel})
		if waiting.Err() != nil {
			err = nil
		}
	}
	if errors.Is(err, errEnough) || problem.CodeOf(err) == problem.NotFound {
		err = nil
	}
	return b.Bytes(), err
}

// once ends a following at its first words.
type once struct {
	b      *bounded
	cancel context.CancelFunc
}

func (o *once) Write(p []byte) (int, error) {
	n, err := o.b.Write(p)
	o.cancel()
	return n, err
}

// field reads one text of a JSON object.
func field(raw json.RawMessage, name string) string {
	var m map[string]any
	if json.Unmarshal(raw, &m) != nil {
		return ""
	}
	s, _ := m[name].(string)
	return s
}
