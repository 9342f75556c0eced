package acceptance

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"

	"showrunner/execution"
)

// collector takes spans by OTLP/HTTP, as a collector does. It refuses the first requests
// as one that is starting, and notes a span that comes twice with another content.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	requests int
	spans    map[string]ptrace.Span // by identifier
	faults   []string
}

func newCollector(t *testing.T) *collector {
	c := &collector{spans: map[string]ptrace.Span{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := ptraceotlp.NewExportRequest()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests++
		switch {
		case c.requests <= 2:
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" || err != nil || request.UnmarshalProto(body) != nil:
			c.faults = append(c.faults, fmt.Sprintf("%s %s of %s", r.Method, r.URL.Path, r.Header.Get("Content-Type")))
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.take(request.Traces())
		answer, _ := ptraceotlp.NewExportResponse().MarshalProto() // an empty message
		w.Header().Set("Content-Type", "application/x-protobuf")
		w.Write(answer)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(traces ptrace.Traces) {
	for _, resource := range traces.ResourceSpans().All() {
		if name, _ := resource.Resource().Attributes().Get("service.name"); name.Str() != "showrunner" {
			c.faults = append(c.faults, "a resource without service.name")
		}
		for _, scope := range resource.ScopeSpans().All() {
			for _, s := range scope.Spans().All() {
				id := s.TraceID().String() + "/" + s.SpanID().String()
				if before, ok := c.spans[id]; ok && (before.Name() != s.Name() || before.StartTimestamp() != s.StartTimestamp() || before.EndTimestamp() != s.EndTimestamp() ||
					before.ParentSpanID() != s.ParentSpanID() || !before.Attributes().Equal(s.Attributes())) {
					c.faults = append(c.faults, "the span "+s.Name()+" came twice, with another content")
				}
				kept := ptrace.NewSpan()
				s.CopyTo(kept)
				c.spans[id] = kept
			}
		}
	}
}

// of are the spans of a trace, by name.
func (c *collector) of(trace string) map[string]ptrace.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := map[string]ptrace.Span{}
	for id, s := range c.spans {
		if strings.HasPrefix(id, trace+"/") {
			found[s.Name()] = s
		}
	}
	return found
}

const (
	outerTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	outerSpan  = "00f067aa0ba902b7"
	outer      = "00-" + outerTrace + "-" + outerSpan + "-01"
)

// checkTrace checks the trace of a run whose canary failed: it goes on with the context
// that the run was given, every part of the rollout is a span in the right place, and no
// span differs from when it was sent before control was killed.
func (w *world) checkTrace(c *collector, id string) {
	t := w.t
	t.Helper()
	var e execution.Execution
	w.json(&e, "executions", "show", id)
	if e.TraceID != outerTrace || e.TraceURL != "http://traces.example/"+outerTrace {
		t.Errorf("the run has the trace %s at %s", e.TraceID, e.TraceURL)
	}
	var spans map[string]ptrace.Span
	w.eventually(time.Minute, "the collector has the whole trace", func() error {
		if spans = c.of(outerTrace); spans["RUN release"].Name() == "" {
			return fmt.Errorf("it has %d spans", len(spans))
		}
		return nil
	})
	parents := map[string]string{"RUN release": "", "source": "RUN release", "build": "RUN release", "service": "RUN release",
		"deploy us-west-2": "service", "undo us-west-2": "service", "deploy us-east-1": "service", "undo us-east-1": "service",
		"step 1, 25%": "", "canary analysis": "step 1, 25%"}
	for name, above := range parents {
		s, ok := spans[name]
		switch {
		case !ok:
			t.Errorf("the trace lacks the span %s", name)
			continue
		case s.EndTimestamp() <= s.StartTimestamp():
			t.Errorf("the span %s ends before it begins", name)
		}
		// Each region has a step and an analysis of that name: which one was kept is not known.
		if above != "" && above != "step 1, 25%" && s.ParentSpanID() != spans[above].SpanID() {
			t.Errorf("the span %s is not below %s", name, above)
		}
	}
	if root := spans["RUN release"]; root.ParentSpanID().String() != outerSpan || root.Kind() != ptrace.SpanKindServer || root.Status().Code() != ptrace.StatusCodeError {
		t.Errorf("the span of the run: below %s, %s, %s", root.ParentSpanID(), root.Kind(), root.Status().Code())
	}
	for name, want := range map[string]map[string]string{
		"RUN release": {"cicd.pipeline.name": "release", "cicd.pipeline.run.id": id, "cicd.pipeline.result": "failure", "error.type": "CANARY_METRICS"},
		"build":       {"cicd.pipeline.task.name": "build", "cicd.pipeline.task.run.result": "success", "cicd.pipeline.task.type": "build"},
		"service":     {"cicd.pipeline.task.run.result": "failure", "error.type": "CANARY_METRICS", "deployment.status": "failed"},
	} {
		s, ok := spans[name]
		if !ok {
			continue
		}
		for key, value := range want {
			if v, _ := s.Attributes().Get(key); v.Str() != value {
				t.Errorf("the span %s has %s=%q, want %q", name, key, v.Str(), value)
			}
		}
	}
	for _, line := range strings.Split(w.must("executions", "logs", id, "build"), "\n") {
		if at := strings.Index(line, "traceparent="); at >= 0 && !strings.Contains(line, "echo") {
			if want := "traceparent=00-" + outerTrace + "-" + spans["build"].SpanID().String() + "-01"; line[at:] != want {
				t.Errorf("the build was given %s, want %s", line[at:], want)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.faults = slices.Compact(c.faults); len(c.faults) > 0 {
				t.Errorf("the collector says %v", c.faults)
			}
			return
		}
	}
	t.Error("the build was given no TRACEPARENT")
}
