package web

import (
	"encoding/json"
	"net/http"
	"time"

	"showrunner/api"
	"showrunner/control"
	"showrunner/problem"
)

// deliveriesShown is how many deliveries the page shows, the newest first.
const deliveriesShown = 50

// delivery is a webhook that arrived, and what became of it, in the form of the API.
type delivery struct {
	ID            string    `json:"id"`
	Provider      string    `json:"provider"`
	Application   string    `json:"application"`
	Event         string    `json:"event"`
	Repository    string    `json:"repository"`
	Ref           string    `json:"ref"`
	Commit        string    `json:"commit"`
	Received      time.Time `json:"received"`
	Status        int       `json:"status"`
	Verdict       string    `json:"verdict"`
	Reason        string    `json:"reason"`
	Redeliverable bool      `json:"redeliverable"`
	RedeliveryOf  string    `json:"redeliveryOf"`
	By            string    `json:"by"`
	Pipelines     []struct {
		Application string `json:"application"`
		Pipeline    string `json:"pipeline"`
		Verdict     string `json:"verdict"`
		Reason      string `json:"reason"`
		Execution   string `json:"execution"`
		Number      int    `json:"number"`
	} `json:"pipelines"`
}

// redeliver handles a delivery again.
func (p *Pages) redeliver(w http.ResponseWriter, r *http.Request) error {
	if _, err := p.Control.Redeliver(r.Context(), api.PrincipalOf(r), r.PathValue("id")); err != nil {
		return err
	}
	return seeOther(w, r, "/triggers#deliveries")
}

// triggersView is what starts pipelines, and what webhooks delivered.
type triggersView struct {
	Triggers   []control.TriggerStatus
	Deliveries []delivery
}

func (p *Pages) triggers(w http.ResponseWriter, r *http.Request) error {
	application := r.URL.Query().Get("application")
	var v triggersView
	var err error
	if v.Triggers, err = p.Control.Triggers(r.Context(), api.PrincipalOf(r), application, ""); err != nil {
		return err
	}
	raw, err := p.Control.Deliveries(r.Context(), api.PrincipalOf(r), application, deliveriesShown)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &v.Deliveries); err != nil {
		return problem.Wrap(err, problem.Internal, "page", "reading deliveries")
	}
	return p.show(w, r, "triggers", view{Title: "Triggers", Nav: "triggers", Same: "showrunner triggers; showrunner deliveries", Live: runEvents + triggerEvents, Every: 5, Data: v})
}
