package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"time"

	"showrunner/api"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/execution/stagelog"
	"showrunner/problem"
)

// logStretch is how much of a log is put into one answer, in bytes.
const logStretch = 512 << 10

// escapes are the sequences by which programs colour and link text on a terminal.
var escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(\x07|\x1b\\\\)")

// uncoloured is a line of a log without escape sequences, for places where it is text.
func uncoloured(line string) string { return escapes.ReplaceAllString(line, "") }

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

// matchesShown bounds how many lines a search shows; their number is always told.
const matchesShown = 200

// log shows a stage's log from ?at= on, or with ?from= the part of it that came
// since, as HTML; with ?q= also the lines that hold a text.
func (p *Pages) log(w http.ResponseWriter, r *http.Request) error {
	id, name := r.PathValue("id"), r.PathValue("stage")
	q := r.URL.Query()
	attempt, _ := strconv.Atoi(q.Get("attempt")) // anything else is the newest
	part := q.Has("from")
	begin := q.Get("at")
	if part {
		begin = q.Get("from")
	}
	from, _ := strconv.ParseInt(begin, 10, 64) // anything else is the beginning
	from = max(0, from)
	e, err := p.Control.Execution(r.Context(), api.PrincipalOf(r), id)
	if err != nil {
		return err
	}
	st, ok := e.Stage(name)
	if !ok {
		return problem.New(problem.NotFound, "page", "execution %s has no stage %q", id, name)
	}
	live := !st.Status.Complete() && (attempt == 0 || attempt == st.Attempt)
	text, err := p.readLog(r.Context(), r, control.LogRequest{Execution: id, Stage: name, Attempt: attempt, From: from}, live && part)
	if err != nil {
		return err
	}
	next := from + int64(len(text))
	first, _ := strconv.Atoi(q.Get("line")) // anything else is not known, or the first
	if from == 0 {
		first = 1
	}
	stretch := logStretchOf{Text: text, Line: first, From: from, Fold: !failed(st)}
	if part {
		stretch.Group = q.Get("group")
	}
	times := q.Get("times") == "on"
	if times && len(text) > 0 {
		if stretch.Times, err = p.Control.LogTimes(r.Context(), api.PrincipalOf(r), control.LogRequest{Execution: id, Stage: name, Attempt: attempt, From: from}, next); err != nil {
			return err
		}
		if stretch.Times == nil {
			stretch.Times = []stagelog.Written{} // not known, which is said
		}
	}
	shown := renderLog(stretch)
	if part {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("X-Log-Next", strconv.FormatInt(next, 10))
		w.Header().Set("X-Log-Line", strconv.Itoa(shown.Line))
		w.Header().Set("X-Log-Group", url.QueryEscape(shown.Group))
		w.Header().Set("X-Log-End", strconv.FormatBool(!live && len(text) < logStretch))
		if len(text) > 0 {
			_, _ = w.Write([]byte(shown.HTML)) // the browser has gone when this fails
		}
		return nil
	}
	if attempt == 0 {
		attempt = st.Attempt
	}
	data := logView{E: e, Stage: st, Attempt: attempt, HTML: shown.HTML, Group: shown.Group, At: from, Next: next, Line: shown.Line, Times: times, Search: q.Get("q"), Same: r.URL.Path + "?attempt=" + strconv.Itoa(attempt), Follow: live || len(text) >= logStretch, Rest: len(text) >= logStretch}
	if data.Untimed = data.Same; times {
		data.Same += "&times=on"
	}
	data.Before, data.After = stagesBeside(e, name)
	if data.Search != "" {
		data.Found, err = p.Control.SearchLog(r.Context(), api.PrincipalOf(r), control.LogSearch{Execution: id, Stage: name, Attempt: attempt, Text: data.Search, Limit: matchesShown})
		if err != nil && problem.CodeOf(err) != problem.NotFound { // nothing written, nothing found
			return err
		}
	}
	return p.show(w, r, "log", view{Title: name + " · " + e.Application + " › " + e.Pipeline, Nav: "executions", Same: "showrunner executions logs " + id + " " + name, Data: data})
}

// logView is a stretch of a stage's log.
type logView struct {
	E        execution.Execution
	Stage    execution.StageState
	Attempt  int
	HTML     template.HTML
	At, Next int64 // bytes
	Line     int   // number of the line at Next; 0: not known
	Same     string
	Untimed  string // Same without times
	Times    bool   // lines have times
	Group    string // that is open at the end, escaped
	Follow   bool   // more comes, or is there
	Rest     bool   // more is there
	Search   string
	// Before and After are the stages whose logs stand beside this one.
	Before, After neighbour
	Found         control.LogMatches
}

// pollWait is how long an answer about a running log waits for something to say: short,
// because a browser has six connections to a host, and may show more logs than that.
const pollWait = 2 * time.Second

// readLog reads a stretch; with wait it stays until something comes.
func (p *Pages) readLog(ctx context.Context, r *http.Request, request control.LogRequest, wait bool) ([]byte, error) {
	var b bounded
	err := p.Control.StageLog(ctx, api.PrincipalOf(r), request, &b)
	if err == nil && wait && b.Len() == 0 {
		waiting, cancel := context.WithTimeout(ctx, pollWait)
		defer cancel()
		request.Follow = true
		err = p.Control.StageLog(waiting, api.PrincipalOf(r), request, &once{b: &b, cancel: cancel})
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
