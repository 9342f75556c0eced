package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/html"

	"showrunner/api"
	"showrunner/control"
	"showrunner/execution"
	"showrunner/problem"
)

// shopControl has one application, with one run that waits for a person.
type shopControl struct{ Control }

func (shopControl) Applications(context.Context, control.Principal) ([]control.Application, error) {
	return []control.Application{{Name: "storefront"}}, nil
}

func (shopControl) Executions(_ context.Context, _ control.Principal, q execution.Query) (execution.Page, error) {
	if q.Application != "storefront" {
		return execution.Page{}, nil
	}
	return execution.Page{Executions: []execution.Execution{{ID: "ex9", Pipeline: "release", Status: execution.Running, Activity: execution.Frozen}}}, nil
}

func (shopControl) Execution(context.Context, control.Principal, string) (execution.Execution, error) {
	return execution.Execution{}, problem.New(problem.NotFound, "execution", "there is no execution ex0")
}

func (shopControl) End(context.Context) (int64, error) { return 0, nil }

// An address that leads nowhere is answered with where to go on: what it
// resembles comes first.
func TestMissingPagesLeadOn(t *testing.T) {
	t.Parallel()
	clock := func() time.Time { return now }
	p := New(Config{Control: shopControl{}, Auth: api.NewAuth("secret", "owner", nil, clock, nil), Log: slog.New(slog.DiscardHandler), Now: clock})
	for path, first := range map[string]string{
		"/runs/7":         "/executions",
		"/cluster":        "/clusters",
		"/apps":           "/",
		"/storefornt":     "/executions?application=storefront",
		"/nothing/at/all": "/",
		"/executions/ex0": "/executions",
	} {
		r := httptest.NewRequest(http.MethodGet, "http://localhost"+path, nil)
		r.Header.Set("Authorization", "Bearer secret")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		doc, err := html.Parse(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		var hrefs []string
		walk(doc, func(n *html.Node) {
			if n.Data == "li" {
				walk(n, func(a *html.Node) {
					if a.Data == "a" && n.Parent.Parent.Data == "main" {
						hrefs = append(hrefs, attr(a, "href"))
					}
				})
			}
		})
		if w.Code != http.StatusNotFound || len(hrefs) < len(places) || hrefs[0] != first {
			t.Errorf("%s: %d leads to %q, first should be %s", path, w.Code, hrefs, first)
		}
		if path == "/storefornt" && !slices.Contains(hrefs, "/executions/ex9") {
			t.Errorf("the newest run is not among %q", hrefs)
		}
	}
}
