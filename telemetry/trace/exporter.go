package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"showrunner/execution"
	"showrunner/problem"
	"showrunner/store/record"
	"showrunner/subscription"
)

const op = "trace.export"

const (
	// mostSpans is how many spans a request has at most; those of one event stay together.
	mostSpans = 512
	// timeout bounds one request.
	timeout = 10 * time.Second
	// longestWait bounds the pause that a collector may ask for.
	longestWait = 5 * time.Minute
)

// Executions reads runs. Errors: not_found.
type Executions interface {
	Get(ctx context.Context, id string) (execution.Execution, error)
}

// Exporter sends the spans of runs to a collector, by OTLP/HTTP with protobuf
// (https://opentelemetry.io/docs/specs/otlp/#otlphttp). It is the stream of a
// subscription: its records are events, in the log's own form.
type Exporter struct {
	Executions Executions
	Address    string            // of the collector, with the path
	Headers    map[string]string // sent with each request
	Gzip       bool
	Pages      string // the address of the control plane's pages
	Version    string // of this program
	Client     *http.Client
	Log        *slog.Logger
}

// part are the spans of some records, which are sent at once.
type part struct {
	records []int
	spans   []span
}

// Put implements subscription.Stream.
func (x *Exporter) Put(ctx context.Context, records []subscription.StreamRecord) (failed []int, err error) {
	parts, err := x.parts(ctx, records)
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		err := x.post(ctx, p.spans)
		if err == nil {
			continue
		}
		if i == 0 {
			return nil, err
		}
		for _, rest := range parts[i:] { // what the collector took is not sent again
			failed = append(failed, rest.records...)
		}
		return failed, nil
	}
	return nil, nil
}

// parts are the spans that the records end, as requests.
func (x *Exporter) parts(ctx context.Context, records []subscription.StreamRecord) ([]part, error) {
	runs := map[string]execution.Execution{}
	var parts []part
	for i, r := range records {
		var e record.Event
		if err := json.Unmarshal(r.Data, &e); err != nil {
			return nil, problem.Wrap(err, problem.Internal, op, "reading an event")
		}
		run, ok := runs[e.Execution]
		if !ok {
			var err error
			run, err = x.Executions.Get(ctx, e.Execution)
			if err != nil && problem.CodeOf(err) != problem.NotFound { // not found: retention has removed it
				return nil, problem.Wrap(err, problem.Unavailable, op, "reading run %s", e.Execution)
			}
			runs[e.Execution] = run
		}
		if run.ID == "" {
			continue
		}
		spans := spansAt(run, e, x.Pages)
		if len(spans) == 0 {
			continue
		}
		if n := len(parts); n == 0 || len(parts[n-1].spans)+len(spans) > mostSpans {
			parts = append(parts, part{})
		}
		last := &parts[len(parts)-1]
		last.records, last.spans = append(last.records, i), append(last.spans, spans...)
	}
	return parts, nil
}

func (x *Exporter) encode(spans []span) ([]byte, error) {
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.SetSchemaUrl("https://opentelemetry.io/schemas/1.37.0")
	resource.Resource().Attributes().PutStr("service.name", "showrunner")
	resource.Resource().Attributes().PutStr("service.version", x.Version)
	scope := resource.ScopeSpans().AppendEmpty()
	scope.Scope().SetName("showrunner/telemetry/trace")
	for _, s := range spans {
		s.encode(scope.Spans().AppendEmpty())
	}
	return ptraceotlp.NewExportRequestFromTraces(traces).MarshalProto()
}

// post sends spans once. Spans that the collector refuses for good are dropped, as the
// protocol asks for, and logged. Errors: unavailable, to be tried again.
func (x *Exporter) post(ctx context.Context, spans []span) error {
	body, err := x.encode(spans)
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "encoding spans")
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := x.request(ctx, body)
	if err != nil {
		return err
	}
	res, err := x.Client.Do(req)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "the collector does not answer")
	}
	defer res.Body.Close()
	answer, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // what was refused is told without a reason then
	switch {
	case res.StatusCode >= 200 && res.StatusCode < 300:
		x.partial(answer)
		return nil
	case res.StatusCode == http.StatusBadRequest || res.StatusCode == http.StatusRequestEntityTooLarge || res.StatusCode == http.StatusUnprocessableEntity:
		x.Log.Error("a collector refused spans, which are dropped", "collector", req.URL.Redacted(), "status", res.Status, "spans", len(spans))
		return nil
	}
	// 401, 403 and 404 are mistakes in a configuration, which somebody mends: nothing is lost
	// until then.
	p := problem.New(problem.Unavailable, op, "the collector answered %s", res.Status)
	if seconds, err := strconv.Atoi(res.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = min(time.Duration(seconds)*time.Second, longestWait)
	}
	return p
}

func (x *Exporter) request(ctx context.Context, body []byte) (*http.Request, error) {
	if x.Gzip {
		var packed bytes.Buffer
		w := gzip.NewWriter(&packed)
		_, _ = w.Write(body) // into memory
		_ = w.Close()
		body = packed.Bytes()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, x.Address, bytes.NewReader(body))
	if err != nil {
		return nil, problem.New(problem.Unavailable, op, "the collector's address cannot be used")
	}
	for name, value := range x.Headers {
		req.Header.Set(name, value)
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "showrunner/"+x.Version)
	if x.Gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	return req, nil
}

// partial logs the spans that a collector refused of those it took.
func (x *Exporter) partial(answer []byte) {
	response := ptraceotlp.NewExportResponse()
	if len(answer) == 0 || response.UnmarshalProto(answer) != nil {
		return // it need not answer with anything
	}
	if p := response.PartialSuccess(); p.RejectedSpans() > 0 {
		x.Log.Error("a collector refused some spans, which are dropped", "spans", p.RejectedSpans(), "reason", p.ErrorMessage())
	}
}

// ParseHeaders reads headers as OTEL_EXPORTER_OTLP_HEADERS holds them: NAME=VALUE, with
// commas between, values percent-encoded. Errors: invalid.
func ParseHeaders(text string) (map[string]string, error) {
	headers := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, value, ok := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		name = strings.TrimSpace(name)
		if !ok || err != nil || name == "" || strings.ContainsAny(name, " \r\n\x00") || strings.ContainsAny(value, "\r\n\x00") {
			return nil, problem.New(problem.Invalid, op, "the headers for a collector are not NAME=VALUE with commas between")
		}
		headers[name] = value
	}
	return headers, nil
}
