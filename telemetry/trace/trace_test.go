package trace

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"showrunner/execution"
	"showrunner/internal/tracecontext"
	"showrunner/problem"
	"showrunner/rollout"
	"showrunner/stage"
	"showrunner/store/record"
	"showrunner/subscription"
)

var began = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

func at(seconds int) *time.Time {
	t := began.Add(time.Duration(seconds) * time.Second)
	return &t
}

// delivery is a run that was restarted after its deployment had failed.
func delivery() execution.Execution {
	failure := &stage.Failure{Code: "CANARY_ERRORS", Cause: "more errors", Evidence: []string{"5 of 10"}}
	return execution.Execution{ID: "x1", Application: "shop", Pipeline: "release", Number: 3, Status: execution.Terminal, Created: began, Ended: at(100),
		Restarts: []execution.Restart{{Stage: "service", At: *at(60), Ended: at(50)}},
		Stages: []execution.StageState{
			{Name: "build", Kind: "build", Status: execution.Succeeded, Attempt: 1, Started: at(1), Ended: at(9),
				Tasks: []execution.TaskState{{Name: "prepare", Outcome: stage.Done, Started: *at(1), Ended: at(2)}, {Name: "run", Outcome: stage.Done, Started: *at(2), Ended: at(9)}}},
			{Name: "service", Kind: "deploy", Status: execution.Terminal, Attempt: 2, Started: at(61), Ended: at(99), Failure: failure,
				History: []execution.Attempt{{Attempt: 1, Status: execution.Terminal, Started: at(10), Ended: at(49)}},
				Outputs: map[string]any{"cluster": "shop-prod", "timeline": []rollout.Period{
					{Kind: rollout.PeriodRegion, Region: "us-west-2", Wave: 1, Began: *at(62), Ended: *at(90), Outcome: rollout.PeriodFailed},
					{Kind: rollout.PeriodStep, Region: "us-west-2", Wave: 1, Step: 1, Weight: 5, Began: *at(62), Ended: *at(90), Outcome: rollout.PeriodFailed},
					{Kind: rollout.PeriodAnalysis, Region: "us-west-2", Wave: 1, Step: 1, Weight: 5, Began: *at(65), Ended: *at(90), Outcome: rollout.PeriodFailed},
					{Kind: rollout.PeriodUndo, Region: "us-west-2", Wave: 1, Began: *at(90), Ended: *at(99), Outcome: rollout.PeriodSucceeded}}}},
			{Name: "later", Kind: "wait", Status: execution.Skipped},
		}}
}

func event(typ, stageName string, attempt, seconds int) record.Event {
	data, _ := json.Marshal(map[string]any{"attempt": attempt, "failure": stage.Failure{Code: "CANARY_ERRORS", Cause: "more errors", Evidence: []string{"5 of 10"}}})
	if typ == "stage.succeeded" || typ == "stage.skipped" {
		data = json.RawMessage(`{"attempt":` + strconv.Itoa(attempt) + `}`)
	}
	return record.Event{Type: typ, Execution: "x1", Stage: stageName, Time: *at(seconds), Data: data}
}

func TestSpansOfARun(t *testing.T) {
	x := delivery()
	first, second := tracecontext.RunSpan("x1", 0), tracecontext.RunSpan("x1", 1)
	deploy := tracecontext.StageSpan("x1", "service", 2)
	for name, test := range map[string]struct {
		event  record.Event
		names  []string
		parent [8]byte
		result string
		from   int
		to     int
	}{
		"a stage with tasks":     {event("stage.succeeded", "build", 1, 9), []string{"build", "prepare", "run"}, first, success, 1, 9},
		"an earlier attempt":     {event("stage.failed", "service", 1, 49), []string{"service"}, first, failed, 10, 49},
		"a rollout":              {event("stage.failed", "service", 2, 99), []string{"service", "deploy us-west-2", "step 1, 5%", "canary analysis", "undo us-west-2"}, second, failed, 61, 99},
		"a stage never begun":    {event("stage.skipped", "later", 0, 99), []string{"later"}, second, skip, 99, 99},
		"the end before restart": {event("execution.failed", "", 0, 50), []string{"RUN release"}, [8]byte{}, failed, 0, 50},
		"the end":                {event("execution.failed", "", 0, 100), []string{"RUN release"}, [8]byte{}, failed, 60, 100},
	} {
		spans := spansAt(x, test.event, "http://pages")
		var names []string
		for _, s := range spans {
			names = append(names, s.name)
		}
		if !slices.Equal(names, test.names) {
			t.Errorf("%s: spans %q", name, names)
			continue
		}
		s := spans[0]
		if s.parent != test.parent || s.result != test.result || !s.start.Equal(*at(test.from)) || !s.end.Equal(*at(test.to)) {
			t.Errorf("%s: %+v", name, s)
		}
	}
	all := spansAt(x, event("stage.failed", "service", 2, 99), "")
	if all[0].id != deploy || all[1].parent != deploy || all[2].parent != all[1].id || all[3].parent != all[2].id || all[4].parent != deploy {
		t.Error("the spans of a rollout are not below one another")
	}
	if ends := spansAt(x, event("execution.failed", "", 0, 100), ""); ends[0].id != second || ends[0].linksToEarlier != first {
		t.Error("the restarted run is not linked with its earlier span")
	}
	x.Traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	if spans := spansAt(x, event("execution.failed", "", 0, 100), ""); len(spans) > 0 {
		t.Error("a trace that nobody records was sent")
	}
}

type runs map[string]execution.Execution

func (r runs) Get(_ context.Context, id string) (execution.Execution, error) {
	x, ok := r[id]
	if !ok {
		return x, problem.New(problem.NotFound, "get", "no such run")
	}
	return x, nil
}

func records(events ...record.Event) (list []subscription.StreamRecord) {
	for _, e := range events {
		raw, _ := json.Marshal(e)
		list = append(list, subscription.StreamRecord{Data: raw})
	}
	return list
}

// What a collector answers decides what is sent again: nothing that it took, everything
// that it may take later, and nothing that it will never take.
func TestTheAnswersOfACollector(t *testing.T) {
	status, requests := http.StatusOK, 0
	var got ptrace.Traces
	c := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests++
		body, err := gzip.NewReader(r.Body)
		if err != nil || r.Header.Get("Api-Key") != "a b" || r.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("headers %v, %v", r.Header, err)
			return
		}
		raw, _ := io.ReadAll(body)
		request := ptraceotlp.NewExportRequest()
		if err := request.UnmarshalProto(raw); err != nil {
			t.Error(err)
		}
		got = request.Traces()
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(status)
	}))
	defer c.Close()
	headers, err := ParseHeaders("api-key=a%20b, x=y")
	if err != nil {
		t.Fatal(err)
	}
	x := &Exporter{Executions: runs{"x1": delivery()}, Address: c.URL, Headers: headers, Gzip: true, Client: c.Client(), Log: slog.New(slog.DiscardHandler)}
	gone := event("execution.failed", "", 0, 1)
	gone.Execution = "removed"
	batch := records(event("stage.succeeded", "build", 1, 9), gone, event("stage.failed", "service", 2, 99), event("execution.failed", "", 0, 100))
	if failed, err := x.Put(t.Context(), batch); err != nil || len(failed) > 0 || requests != 1 || got.SpanCount() != 9 {
		t.Fatalf("put: %v, %v; %d requests, %d spans", failed, err, requests, got.SpanCount())
	}
	for code, again := range map[int]bool{http.StatusTooManyRequests: true, http.StatusServiceUnavailable: true, http.StatusUnauthorized: true, http.StatusNotFound: true,
		http.StatusBadRequest: false, http.StatusRequestEntityTooLarge: false} {
		status = code
		_, err := x.Put(t.Context(), batch)
		p, _ := problem.Of(err)
		if again && (problem.CodeOf(err) != problem.Unavailable || p.RetryAfter != 7*time.Second) || !again && err != nil {
			t.Errorf("%d: %v", code, err)
		}
	}
	for _, text := range []string{"a", "a b=c", "a=%zz", "a=%0a"} {
		if _, err := ParseHeaders(text); problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// Of a large batch what was taken is not sent again when a later request fails.
func TestALargeBatchIsSentInParts(t *testing.T) {
	requests := 0
	c := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer c.Close()
	x := &Exporter{Executions: runs{"x1": delivery()}, Address: c.URL, Client: c.Client(), Log: slog.New(slog.DiscardHandler)}
	var batch []record.Event
	for range 200 { // three spans each
		batch = append(batch, event("stage.succeeded", "build", 1, 9))
	}
	failed, err := x.Put(t.Context(), records(batch...))
	if err != nil || len(failed) != 200-mostSpans/3 || failed[0] != mostSpans/3 {
		t.Errorf("%d failed from %v, %v", len(failed), failed[:min(1, len(failed))], err)
	}
}
