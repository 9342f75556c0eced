package web

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"showrunner/api"
	"showrunner/chaos/experiment"
	"showrunner/control"
	"showrunner/pipeline"
	"showrunner/problem"
)

// experimentControl remembers runs that were begun and stopped.
type experimentControl struct {
	leverControl
	runs []experiment.Run
	keys []string
}

func (c *experimentControl) Experiments(context.Context, control.Principal) ([]experiment.Run, error) {
	return c.runs, nil
}

func (c *experimentControl) Experiment(_ context.Context, _ control.Principal, id string) (experiment.Run, error) {
	for _, r := range c.runs {
		if r.ID == id {
			return r, nil
		}
	}
	return experiment.Run{}, problem.New(problem.NotFound, "chaos.experiment", "there is no run %q", id)
}

func (c *experimentControl) PlanExperiment(_ context.Context, _ control.Principal, source string) (control.ExperimentPlan, error) {
	e, err := control.ParseExperiment([]byte(source), nil)
	if err != nil {
		return control.ExperimentPlan{}, err
	}
	return control.ExperimentPlan{Name: e.Name, Lasts: pipeline.Duration(e.Lasts()).String(), Actions: []control.PlannedAction{{Does: e.Actions[0].Does()}}}, nil
}

func (c *experimentControl) StartExperiment(_ context.Context, p control.Principal, source, key string) (experiment.Run, error) {
	e, err := control.ParseExperiment([]byte(source), nil)
	if err != nil {
		return experiment.Run{}, err
	}
	c.keys = append(c.keys, key)
	c.runs = append(c.runs, e.NewRun("r1", p.Name, "", now))
	return c.runs[len(c.runs)-1], nil
}

func (c *experimentControl) StopExperiment(_ context.Context, p control.Principal, id string) (experiment.Run, error) {
	for i := range c.runs {
		if c.runs[i].ID == id {
			c.runs[i].StopAsked = p.Name
			return c.runs[i], nil
		}
	}
	return experiment.Run{}, problem.New(problem.NotFound, "chaos.experiment", "there is no run %q", id)
}

const smallExperiment = "experiment: <b>small</b>\napplication: shop\nmethod: [{ kill: { region: a } }, { wait: 2s }]\nrollbacks: [{ traffic: { a: null } }]\n"

func ask(p *Pages, method, path string, form url.Values) *httptest.ResponseRecorder {
	q := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(form.Encode()))
	q.Header.Set("Authorization", "Bearer token")
	q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, q)
	return w
}

// TestAnExperimentFromThePage: a wrong file is said with its line and stays in the form,
// a right one says what it does before it is begun, its run has a page, and can be
// stopped and run again from there.
func TestAnExperimentFromThePage(t *testing.T) {
	c := &experimentControl{}
	pages := New(Config{Control: c, Auth: api.NewAuth("token", "mia", nil, func() time.Time { return now }, nil), Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	post := func(path string, form url.Values, status int) (body string, to string) {
		t.Helper()
		res := ask(pages, http.MethodPost, path, form)
		if res.Code != status {
			t.Fatalf("%s: %d %s", path, res.Code, res.Body)
		}
		return res.Body.String(), res.Header().Get("Location")
	}
	body, _ := post("/chaos/experiments", url.Values{"source": {"experiment: x\nmethod: [{ kil: {} }]"}, "do": {"plan"}}, http.StatusBadRequest)
	if !strings.Contains(body, "line 2") || !strings.Contains(body, "kil: {}") || len(c.runs) > 0 {
		t.Error(body)
	}
	body, _ = post("/chaos/experiments", url.Values{"source": {smallExperiment}, "do": {"plan"}}, http.StatusOK)
	if !strings.Contains(body, "end an instance chosen at random of shop in a") && !strings.Contains(body, "end an instance chosen at random in a") || !strings.Contains(body, "2s at least") || strings.Contains(body, "<b>small") || len(c.runs) > 0 {
		t.Error(body)
	}
	_, to := post("/chaos/experiments", url.Values{"source": {smallExperiment}, "do": {"start"}, "key": {"k"}}, http.StatusSeeOther)
	if to != "/chaos/experiments/r1" || len(c.keys) != 1 || c.keys[0] != "k" {
		t.Errorf("%s, %v", to, c.keys)
	}
	page := ask(pages, http.MethodGet, to, nil).Body.String()
	for _, want := range []string{"Stop the run", "end an instance chosen at random", "set weights at the edge: a its own again", "showrunner chaos experiment show r1", "Not started"} {
		if !strings.Contains(page, want) {
			t.Errorf("without %q: %s", want, page)
		}
	}
	post("/chaos/experiments/r1/stop", nil, http.StatusSeeOther)
	if page = ask(pages, http.MethodGet, to, nil).Body.String(); !strings.Contains(page, "has asked for its end") || strings.Contains(page, "Stop the run<") {
		t.Error(page)
	}
	c.runs[0].Status, c.runs[0].Deviated = experiment.Completed, true
	if page = ask(pages, http.MethodGet, to, nil).Body.String(); !strings.Contains(page, "Run it again") || !strings.Contains(page, "Deviated") {
		t.Error(page)
	}
	if page = ask(pages, http.MethodGet, "/chaos/experiments/new?from=r1", nil).Body.String(); !strings.Contains(page, "kill: { region: a }") {
		t.Error(page)
	}
	if page = ask(pages, http.MethodGet, "/chaos", nil).Body.String(); !strings.Contains(page, `href="/chaos/experiments/r1"`) {
		t.Error(page)
	}
}
