package web

import (
	"net/http"
	"net/url"
	"time"

	"showrunner/api"
	"showrunner/execution"
)

// neighbourPages bounds how many pages of newer runs are looked through.
const neighbourPages = 20

// older leads to the run of the same pipeline before this one; from the first run, back to it.
func (p *Pages) older(w http.ResponseWriter, r *http.Request) error {
	e, err := p.Control.Execution(r.Context(), api.PrincipalOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	page, err := p.Control.Executions(r.Context(), api.PrincipalOf(r), execution.Query{Application: e.Application, Pipeline: e.Pipeline, Until: e.Created, Limit: 1})
	if err != nil {
		return err
	}
	to := e.ID
	if len(page.Executions) > 0 {
		to = page.Executions[0].ID
	}
	return seeOther(w, r, "/executions/"+url.PathEscape(to))
}

// newer leads to the run of the same pipeline after this one; from the newest run, back to
// it. Lists begin with the newest, so the one after this run is the last of them.
func (p *Pages) newer(w http.ResponseWriter, r *http.Request) error {
	e, err := p.Control.Execution(r.Context(), api.PrincipalOf(r), r.PathValue("id"))
	if err != nil {
		return err
	}
	to, after := e.ID, ""
	for range neighbourPages {
		page, err := p.Control.Executions(r.Context(), api.PrincipalOf(r), execution.Query{Application: e.Application, Pipeline: e.Pipeline, Since: e.Created.Add(time.Nanosecond), After: after, Limit: 500})
		if err != nil {
			return err
		}
		if n := len(page.Executions); n > 0 {
			to = page.Executions[n-1].ID
		}
		if after = page.Next; after == "" {
			break
		}
	}
	return seeOther(w, r, "/executions/"+url.PathEscape(to))
}

// neighbour is a stage whose log stands beside this one's; its name is empty where there is none.
type neighbour struct{ Name, Href string }

// stagesBeside are the stages before and after a stage that have begun, in the order of the file.
func stagesBeside(e execution.Execution, name string) (before, after neighbour) {
	passed := false
	for _, st := range e.Stages {
		at := neighbour{st.Name, "/executions/" + url.PathEscape(e.ID) + "/stages/" + url.PathEscape(st.Name)}
		switch {
		case st.Name == name:
			passed = true
		case st.Attempt == 0:
		case !passed:
			before = at
		default:
			return before, at
		}
	}
	return before, after
}
