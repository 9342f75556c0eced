package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"showrunner/api"
)

// A request that the framework refuses is answered as every error is: with a code,
// and with what is wrong where.
func TestWhatTheFrameworkRefusesSaysWhatIsWrong(t *testing.T) {
	s, _ := newServer(t)
	for request, want := range map[string]struct {
		body   string
		status int
		detail []string
	}{
		"GET /api/v1/executions?limit=700":                   {status: http.StatusUnprocessableEntity, detail: []string{"query.limit: ", "500", `"700"`}},
		"GET /api/v1/executions?limit=x":                     {status: http.StatusUnprocessableEntity, detail: []string{"query.limit: ", `"x"`}},
		"POST /api/v1/rollbacks":                             {body: `{"cluster":5,"surprise":true}`, status: http.StatusUnprocessableEntity, detail: []string{"body.cluster: ", "; ", "body"}},
		"POST /api/v1/rollbacks ":                            {body: `{`, status: http.StatusBadRequest, detail: []string{"body"}},
		"POST /api/v1/applications/a/pipelines/b/executions": {body: strings.Repeat(" ", 8<<20), status: http.StatusRequestEntityTooLarge, detail: []string{"body"}},
	} {
		method, path, _ := strings.Cut(strings.TrimSpace(request), " ")
		r := httptest.NewRequest(method, path, strings.NewReader(want.body))
		r.Header.Set("Authorization", "Bearer the-token")
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var p api.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != want.status || p.Status != want.status || p.Code != "invalid" || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s %s (%v)", request, w.Code, w.Header().Get("Content-Type"), w.Body, err)
		}
		for _, part := range want.detail {
			if !strings.Contains(p.Detail, part) {
				t.Errorf("%s: %q does not say %q", request, p.Detail, part)
			}
		}
	}
}

// The description names the one form that errors have.
func TestOpenAPIDescribesErrorsAsTheyAre(t *testing.T) {
	s, _ := newServer(t)
	doc, err := s.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	if text := string(doc); strings.Contains(text, "ErrorModel") || !strings.Contains(text, `"#/components/schemas/ApiProblem"`) {
		t.Errorf("errors are described by another schema than ApiProblem")
	}
}
