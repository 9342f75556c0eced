package api_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"showrunner/api"
	"showrunner/control"
	"showrunner/problem"
	"showrunner/store/record/recordtest"
)

func newServer(t *testing.T) (*api.Server, *api.Auth) {
	t.Helper()
	auth := api.NewAuth("the-token", "owner", []string{"ci.example"}, time.Now, &recordtest.Records{})
	return api.New(api.Config{Control: control.New(control.Deps{Now: time.Now}), Auth: auth, Version: "test"}), auth
}

func TestOpenAPIDescribesEveryOperation(t *testing.T) {
	s, _ := newServer(t)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	var doc struct {
		OpenAPI string                    `json:"openapi"`
		Paths   map[string]map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("version %q", doc.OpenAPI)
	}
	for _, path := range []string{"/api/v1/apply", "/api/v1/executions", "/api/v1/events/stream", "/api/v1/executions/{id}/stages/{stage}/log", "/api/v1/clusters/{cluster}", "/api/v1/rollbacks"} {
		if doc.Paths[path] == nil {
			t.Errorf("%s is not described", path)
		}
	}
}

// A document that names a parameter in a path and does not describe it is refused
// by what reads it: generators of clients, and validators.
func TestOpenAPIDescribesEveryPathParameter(t *testing.T) {
	s, _ := newServer(t)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/openapi.json", nil))
	var doc struct {
		Paths map[string]map[string]struct {
			Parameters []struct {
				Name, In string
				Required bool
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	for path, operations := range doc.Paths {
		for method, op := range operations {
			described := map[string]bool{}
			for _, p := range op.Parameters {
				described[p.Name] = p.In == "path" && p.Required
			}
			for _, part := range strings.Split(path, "/") {
				if name, ok := strings.CutPrefix(part, "{"); ok && !described[strings.TrimSuffix(name, "}")] {
					t.Errorf("%s %s does not describe %s", method, path, part)
				}
			}
		}
	}
}

func TestOnlyTheTokenOpens(t *testing.T) {
	s, auth := newServer(t)
	get := func(change func(*http.Request)) int {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/api/v1/version", nil)
		change(r)
		w := httptest.NewRecorder()
		auth.Host(s).ServeHTTP(w, r)
		return w.Code
	}
	for name, tc := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"nothing":     {func(*http.Request) {}, http.StatusUnauthorized},
		"wrong token": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer the-toke") }, http.StatusUnauthorized},
		"basic":       {func(r *http.Request) { r.SetBasicAuth("owner", "the-token") }, http.StatusUnauthorized},
		"token":       {func(r *http.Request) { r.Header.Set("Authorization", "Bearer the-token") }, http.StatusOK},
		"forged cookie": {func(r *http.Request) {
			r.AddCookie(&http.Cookie{Name: "showrunner_session", Value: "session.9999999999.x.y"})
		}, http.StatusUnauthorized},
		"ticket as cookie": {func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "showrunner_session", Value: auth.Ticket()}) }, http.StatusUnauthorized},
		"rebound name": {func(r *http.Request) {
			r.Host = "attacker.example:7070"
			r.Header.Set("Authorization", "Bearer the-token")
		}, http.StatusMisdirectedRequest},
		"named host": {func(r *http.Request) {
			r.Host = "ci.example:7070"
			r.Header.Set("Authorization", "Bearer the-token")
		}, http.StatusOK},
	} {
		if got := get(tc.change); got != tc.want {
			t.Errorf("%s: status %d, want %d", name, got, tc.want)
		}
	}
}

func TestSignInLinkWorksOnce(t *testing.T) {
	s, auth := newServer(t)
	link := "/login?ticket=" + auth.Ticket()
	first := httptest.NewRecorder()
	auth.SignIn(first, httptest.NewRequest(http.MethodGet, link, nil))
	if first.Code != http.StatusOK || len(first.Result().Cookies()) != 1 {
		t.Fatalf("status %d, cookies %v", first.Code, first.Result().Cookies())
	}
	second := httptest.NewRecorder()
	auth.SignIn(second, httptest.NewRequest(http.MethodGet, link, nil))
	if second.Code != http.StatusForbidden {
		t.Errorf("the second use: status %d", second.Code)
	}
	r := httptest.NewRequest(http.MethodGet, "/api/v1/version", nil)
	r.AddCookie(first.Result().Cookies()[0])
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("with the session: status %d: %s", w.Code, w.Body)
	}
}

// A link is used once, whichever control plane of the database it is brought to.
func TestSignInLinkWorksOnceInTheFleet(t *testing.T) {
	records := &recordtest.Records{}
	one := api.NewAuth("the-token", "owner", nil, time.Now, records)
	two := api.NewAuth("the-token", "owner", nil, time.Now, records)
	link := "/login?ticket=" + one.Ticket()
	var codes []int
	for _, a := range []*api.Auth{two, one, two} {
		w := httptest.NewRecorder()
		a.SignIn(w, httptest.NewRequest(http.MethodGet, link, nil))
		codes = append(codes, w.Code)
	}
	if !slices.Equal(codes, []int{http.StatusOK, http.StatusForbidden, http.StatusForbidden}) {
		t.Errorf("%v", codes)
	}
	records.Fail = func(string, string, string) error { return problem.New(problem.Unavailable, "test", "unreachable") }
	w := httptest.NewRecorder()
	one.SignIn(w, httptest.NewRequest(http.MethodGet, "/login?ticket="+one.Ticket(), nil))
	if w.Code != http.StatusServiceUnavailable || len(w.Result().Cookies()) != 0 {
		t.Errorf("with the database unreachable: status %d, cookies %v", w.Code, w.Result().Cookies())
	}
}

func TestTicketsThatHaveExpiredAreForgotten(t *testing.T) {
	records, now := &recordtest.Records{}, time.Now()
	auth := api.NewAuth("the-token", "owner", nil, func() time.Time { return now }, records)
	for range 3 {
		auth.SignIn(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/login?ticket="+auth.Ticket(), nil))
		now = now.Add(time.Hour)
	}
	kept, err := records.ListRecords(t.Context(), "ticket", "", "", 10)
	if err != nil || len(kept) != 1 {
		t.Errorf("%d are kept, %v", len(kept), err)
	}
}

func TestProblemsSayWhatToDo(t *testing.T) {
	s, _ := newServer(t)
	r := httptest.NewRequest(http.MethodPost, "/api/v1/apply", strings.NewReader(`{"source":"application: shop\npipelines:\n  p:\n    stages:\n      a: { wiat: { for: 1s } }\n"}`))
	r.Header.Set("Authorization", "Bearer the-token")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var p api.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	if w.Code != http.StatusBadRequest || w.Header().Get("Content-Type") != "application/problem+json" || p.Code != "invalid" || len(p.Diagnostics) == 0 || p.Help == "" {
		t.Errorf("status %d, type %s, problem %+v", w.Code, w.Header().Get("Content-Type"), p)
	}
}

// A path or a method that no operation has is answered as every error is: with
// what was probably meant.
func TestWhatNoOperationHas(t *testing.T) {
	s, _ := newServer(t)
	for request, want := range map[string]struct {
		status int
		help   string
	}{
		"GET /api/v1/exections":   {http.StatusNotFound, "did you mean /api/v1/executions?"},
		"GET /api/v1/a/b/c/d/e/f": {http.StatusNotFound, "/openapi.json"},
		"DELETE /api/v1/apply":    {http.StatusMethodNotAllowed, "it takes POST"},
	} {
		method, path, _ := strings.Cut(request, " ")
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Authorization", "Bearer the-token")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		var p api.Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != want.status || !strings.Contains(p.Help, want.help) {
			t.Errorf("%s: %d %s (%v)", request, w.Code, w.Body, err)
		}
	}
}
