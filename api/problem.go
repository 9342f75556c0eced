package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Problem is an RFC 9457 problem document.
type Problem struct {
	Type   string `json:"type" example:"about:blank"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail" doc:"what failed, on what"`
	Op     string `json:"op,omitempty" doc:"the operation that failed"`
	// Code is what programs act on.
	Code string `json:"code" enum:"invalid,not_found,conflict,denied,precondition,unavailable,internal"`
	Help string `json:"help,omitempty" doc:"what to do next"`
	// RetryAfter is in seconds, with unavailable.
	RetryAfter  int                  `json:"retryAfter,omitempty"`
	Diagnostics pipeline.Diagnostics `json:"diagnostics,omitempty" doc:"findings about a pipeline file"`
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType implements huma.ContentTypeFilter.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	if p.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	return h
}

// retryAfter is when to ask again where nothing better is known.
const retryAfter = 2 * time.Second

// problemOf is the one place where errors become HTTP statuses.
func problemOf(err error) *Problem {
	p := &Problem{Type: "about:blank", Detail: problem.Text(err), Op: problem.OpOf(err), Code: string(problem.CodeOf(err)), Help: problem.HelpOf(err)}
	switch problem.CodeOf(err) {
	case problem.Invalid:
		p.Status = http.StatusBadRequest
	case problem.NotFound:
		p.Status = http.StatusNotFound
	case problem.Conflict:
		p.Status = http.StatusConflict
	case problem.Denied:
		p.Status = http.StatusForbidden
	case problem.Precondition:
		p.Status = http.StatusPreconditionFailed
	case problem.Unavailable:
		p.Status = http.StatusServiceUnavailable
		wait := retryAfter
		if e, ok := problem.Of(err); ok {
			if e.Busy {
				p.Status = http.StatusTooManyRequests
			}
			if e.RetryAfter > 0 {
				wait = e.RetryAfter
			}
		}
		p.RetryAfter = int((wait + time.Second - 1) / time.Second)
	default:
		p.Status = http.StatusInternalServerError
	}
	p.Title = http.StatusText(p.Status)
	var refused *control.Refused
	if errors.As(err, &refused) {
		p.Diagnostics = refused.Diagnostics
	}
	return p
}

// writeProblem answers a plain handler's request with an error.
func writeProblem(w http.ResponseWriter, p *Problem) {
	for k, v := range p.GetHeaders() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Type", p.ContentType(""))
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the connection is gone when this fails
}

// frameworkProblem turns the framework's own refusals of a request, such as a value
// out of its bounds, into problem documents like all others: with a code, and with
// each finding in the detail.
func frameworkProblem(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := problem.Invalid
	switch {
	case m.Status == http.StatusNotFound:
		code = problem.NotFound
	case m.Status >= http.StatusInternalServerError:
		code = problem.Internal
	}
	p := &Problem{Type: "about:blank", Title: m.Title, Status: m.Status, Detail: m.Detail, Code: string(code)}
	if len(m.Errors) > 0 {
		findings := make([]string, len(m.Errors))
		for i, e := range m.Errors {
			findings[i] = finding(e)
		}
		p.Detail = strings.Join(findings, "; ")
	}
	return p, nil
}

// finding is one finding as a sentence: where, what is expected, and a short value.
func finding(e *huma.ErrorDetail) string {
	text := e.Message
	if e.Location != "" {
		text = e.Location + ": " + text
	}
	switch v := e.Value.(type) {
	case string, bool, int, int64, float64:
		if shown := fmt.Sprint(v); len(shown) <= 100 {
			text += fmt.Sprintf(", not %q", shown)
		}
	}
	return text
}
