package trace

import (
	"encoding/json"
	neturl "net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"showrunner/execution"
	"showrunner/internal/tracecontext"
	"showrunner/stage"
	"showrunner/store/record"
)

// span is one span before it is encoded.
type span struct {
	trace          tracecontext.Context // its trace; Span is not its own
	id             [8]byte
	parent         [8]byte // zero: none
	name           string
	server         bool
	start, end     time.Time
	result         string // cicd.pipeline.result and its kin
	failure        *stage.Failure
	attributes     map[string]any
	linksToEarlier [8]byte
}

// Results by the semantic conventions.
const (
	success      = "success"
	failed       = "failure"
	broken       = "error" // a fault of this system, not of what it carried out
	timedOut     = "timeout"
	cancellation = "cancellation"
	skip         = "skip"
)

// spansAt are the spans that an event ends. x is the run as it is now, which may be later
// than the event. url is the address of the control plane's pages. It is pure.
func spansAt(x execution.Execution, e record.Event, url string) []span {
	trace := tracecontext.Run(x.ID, x.Traceparent)
	if !trace.Sampled {
		return nil // whoever began the trace does not record it
	}
	r := run{x: x, trace: trace, url: url}
	if e.Stage == "" {
		return []span{r.whole(e)}
	}
	var data struct {
		Attempt int            `json:"attempt"`
		Failure *stage.Failure `json:"failure"`
	}
	_ = json.Unmarshal(e.Data, &data) // an event of our own
	st, ok := x.Stage(e.Stage)
	if !ok {
		return nil
	}
	return r.attempt(st, data.Attempt, data.Failure, e)
}

// run is the run whose spans are made.
type run struct {
	x     execution.Execution
	trace tracecontext.Context
	url   string
}

// whole is the span of the run itself. A restart begins another span in the same trace.
func (r run) whole(e record.Event) span {
	n, end := len(r.x.Restarts), e.Time
	for i, again := range r.x.Restarts { // an event may be read after the run went on
		if again.Ended != nil && !again.Ended.Before(e.Time) || again.Ended == nil && again.At.After(e.Time) {
			n = i
			break
		}
	}
	s := span{trace: r.trace, id: tracecontext.RunSpan(r.x.ID, n), parent: r.trace.Span, name: "RUN " + r.x.Pipeline, server: true,
		start: r.x.Created, end: end, result: success, attributes: r.common()}
	if n > 0 {
		s.start, s.linksToEarlier = r.x.Restarts[n-1].At, tracecontext.RunSpan(r.x.ID, n-1)
	}
	var data struct {
		Cause string `json:"cause"`
	}
	_ = json.Unmarshal(e.Data, &data) // an event of our own
	switch e.Type {
	case "execution.failed":
		s.result, s.failure = failed, &stage.Failure{Cause: data.Cause}
		if f := r.firstFailure(); f != nil && n == len(r.x.Restarts) {
			s.failure.Code = f.Code
		}
	case "execution.canceled":
		s.result = cancellation
	}
	set := s.attributes
	set["cicd.pipeline.action.name"], set["cicd.pipeline.result"] = "RUN", s.result
	set["cicd.pipeline.run.url.full"] = r.url + "/executions/" + r.x.ID
	for key, value := range map[string]string{"showrunner.trigger.kind": text(r.x.Trigger["kind"]), "showrunner.started.by": r.x.By, "showrunner.rollback.of": r.x.RollbackOf} {
		if value != "" {
			set[key] = value
		}
	}
	return s
}

func (r run) firstFailure() *stage.Failure {
	for _, st := range r.x.Stages {
		if st.Status == execution.Terminal && st.Failure != nil {
			return st.Failure
		}
	}
	return nil
}

// common are the attributes of every span of the run.
func (r run) common() map[string]any {
	set := map[string]any{"cicd.pipeline.name": r.x.Pipeline, "cicd.pipeline.run.id": r.x.ID,
		"showrunner.application": r.x.Application, "showrunner.run.number": int64(r.x.Number)}
	if v := r.x.Revision; v != nil {
		if v.Commit != "" {
			set["vcs.ref.head.revision"] = v.Commit
		}
	}
	if branch := text(r.x.Trigger["branch"]); branch != "" {
		set["vcs.ref.head.name"], set["vcs.ref.head.type"] = branch, "branch"
	}
	return set
}

// attempt are the spans of one attempt at a stage: its own, those of its tasks when it has
// several, and those of a rollout.
func (r run) attempt(st execution.StageState, n int, failure *stage.Failure, e record.Event) []span {
	s := span{trace: r.trace, id: tracecontext.StageSpan(r.x.ID, st.Name, n), name: st.Name, start: e.Time, end: e.Time,
		result: success, failure: failure, attributes: r.common()}
	now := st.Attempt == n && n > 0 && st.Started != nil
	if now {
		s.start = *st.Started
		if st.Status.Complete() && st.Ended != nil {
			s.end = *st.Ended
		}
	}
	for _, h := range st.History {
		if h.Attempt == n && n > 0 && h.Started != nil && h.Ended != nil {
			s.start, s.end = *h.Started, *h.Ended
		}
	}
	s.parent = tracecontext.RunSpan(r.x.ID, r.restartsAt(s.start))
	switch e.Type {
	case "stage.failed", "stage.retrying":
		s.result = resultOf(failure)
	case "stage.canceled":
		s.result = cancellation
	case "stage.skipped":
		s.result = skip
	}
	id := r.x.ID + "/" + st.Name + "/" + strconv.Itoa(n)
	set := s.attributes
	set["cicd.pipeline.task.name"], set["cicd.pipeline.task.run.id"], set["cicd.pipeline.task.run.result"] = st.Name, id, s.result
	set["cicd.pipeline.task.run.url.full"] = r.url + "/executions/" + r.x.ID + "#stage-" + neturl.PathEscape(st.Name)
	set["showrunner.stage.kind"], set["showrunner.stage.attempt"] = st.Kind, int64(n)
	if typ := taskType(st.Kind); typ != "" {
		set["cicd.pipeline.task.type"] = typ
	}
	spans := []span{s}
	if !now {
		return spans
	}
	if len(st.Tasks) > 1 {
		for i, t := range st.Tasks {
			spans = append(spans, r.task(s, i, t))
		}
	}
	return append(spans, r.rollout(&spans[0], st)...)
}

// task is the span of one task of an attempt.
func (r run) task(of span, i int, t execution.TaskState) span {
	s := of.child(t.Name, "task", strconv.Itoa(i))
	s.attributes = map[string]any{"showrunner.task.outcome": string(t.Outcome)}
	if s.start = t.Started; t.Ended != nil {
		s.end = *t.Ended
	}
	if t.Outcome == stage.Failed {
		s.result, s.failure = of.result, of.failure
	}
	return s
}

// child begins a span below another one, with an identifier made of names.
func (s span) child(name string, names ...string) span {
	return span{trace: s.trace, id: tracecontext.Span(append([]string{string(s.id[:])}, names...)...), parent: s.id, name: name,
		start: s.start, end: s.end, result: success}
}

// restartsAt is how often the run had been restarted at a time.
func (r run) restartsAt(at time.Time) int {
	n := 0
	for _, again := range r.x.Restarts {
		if !again.At.After(at) {
			n++
		}
	}
	return n
}

func resultOf(f *stage.Failure) string {
	switch {
	case f == nil:
		return failed
	case f.Code == execution.CodeTimeout:
		return timedOut
	case f.Code == execution.CodeInDoubt || f.Code == execution.CodeParked:
		return broken
	}
	return failed
}

// taskType is the type of a stage of that kind; empty where the conventions have none.
func taskType(kind string) string {
	switch kind {
	case "build":
		return "build"
	case "deploy", "deploy-site", "rollback":
		return "deploy"
	case "chaos":
		return "test"
	}
	return ""
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// encode adds the span to a batch.
func (s span) encode(to ptrace.Span) {
	to.SetTraceID(s.trace.Trace)
	to.SetSpanID(s.id)
	to.SetParentSpanID(s.parent)
	to.SetName(s.name)
	to.SetKind(ptrace.SpanKindInternal)
	if s.server {
		to.SetKind(ptrace.SpanKindServer)
	}
	to.SetFlags(1)
	to.SetStartTimestamp(pcommon.NewTimestampFromTime(s.start))
	end := s.end
	if end.Before(s.start) {
		end = s.start
	}
	to.SetEndTimestamp(pcommon.NewTimestampFromTime(end))
	for key, value := range s.attributes {
		_ = to.Attributes().PutEmpty(key).FromRaw(value) // strings, numbers and lists of them
	}
	if s.linksToEarlier != [8]byte{} {
		l := to.Links().AppendEmpty()
		l.SetTraceID(s.trace.Trace)
		l.SetSpanID(s.linksToEarlier)
	}
	if s.result != failed && s.result != broken && s.result != timedOut {
		return
	}
	to.Status().SetCode(ptrace.StatusCodeError)
	kind := "_OTHER"
	if f := s.failure; f != nil {
		to.Status().SetMessage(f.Cause)
		if f.Code != "" {
			kind = f.Code
		}
		ev := to.Events().AppendEmpty()
		ev.SetName("failure")
		ev.SetTimestamp(pcommon.NewTimestampFromTime(end))
		put := func(key string, value string) {
			if value != "" {
				ev.Attributes().PutStr(key, value)
			}
		}
		put("exception.type", f.Code)
		put("exception.message", f.Cause)
		put("showrunner.failure.help", f.Help)
		for key, lines := range map[string][]string{"showrunner.failure.evidence": f.Evidence, "showrunner.failure.undone": f.Undone} {
			if len(lines) > 0 {
				list := ev.Attributes().PutEmptySlice(key)
				for _, line := range lines {
					list.AppendEmpty().SetStr(line)
				}
			}
		}
	}
	to.Attributes().PutStr("error.type", kind)
}
