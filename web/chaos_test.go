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

	"golang.org/x/net/html"

	"showrunner/api"
	"showrunner/chaos/experiment"
	"showrunner/chaos/gameday"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/problem"
)

// leverControl has the lever, and one kill that is due.
type leverControl struct {
	Control
	lever  control.ChaosLever
	faults []control.ChaosFault
}

func (*leverControl) End(context.Context) (int64, error) { return 0, nil }

func (c *leverControl) ChaosLever(context.Context, control.Principal) (control.ChaosLever, error) {
	return c.lever, nil
}

func (c *leverControl) StopChaos(_ context.Context, p control.Principal, reason string) (control.ChaosLever, error) {
	if reason == "" {
		return c.lever, problem.New(problem.Invalid, "chaos.stop", "no reason is given")
	}
	c.lever = control.ChaosLever{Stopped: true, Reason: reason, By: p.Name, At: now}
	return c.lever, nil
}

func (c *leverControl) ReleaseChaos(_ context.Context, p control.Principal) (control.ChaosLever, error) {
	c.lever = control.ChaosLever{By: p.Name, At: now}
	return c.lever, nil
}

func (c *leverControl) Faults(context.Context, control.Principal) ([]control.ChaosFault, error) {
	return c.faults, nil
}

func (c *leverControl) UndoFault(_ context.Context, _ control.Principal, id string) (control.ChaosFault, error) {
	for i := range c.faults {
		if c.faults[i].ID == id {
			c.faults[i].State = control.FaultUndone
		}
	}
	return control.ChaosFault{}, nil
}

func (*leverControl) MonkeySchedule(context.Context, control.Principal, string) ([]control.MonkeyDay, error) {
	return []control.MonkeyDay{{Application: "shop", Kills: []control.ChaosKill{{Application: "shop", Group: "shop account=local", Due: now.Add(time.Hour), Outcome: control.KillScheduled}, {Outcome: control.KillSkipped}}}}, nil
}

func (*leverControl) MonkeyHistory(context.Context, control.Principal, string, int) ([]control.ChaosKill, error) {
	return nil, nil
}

func (*leverControl) Experiments(context.Context, control.Principal) ([]experiment.Run, error) {
	return nil, nil
}

func (*leverControl) Gamedays(context.Context, control.Principal) ([]gameday.Summary, error) {
	return nil, nil
}

// TestTheLeverIsAForm: the page pulls the lever with a reason and releases it, and
// shows how it stands.
func TestTheLeverIsAForm(t *testing.T) {
	c := &leverControl{}
	auth := api.NewAuth("token", "mia", nil, func() time.Time { return now }, nil)
	p := New(Config{Control: c, Auth: auth, Log: slog.New(slog.DiscardHandler), Now: func() time.Time { return now }})
	ask := func(method, path string, form url.Values) *httptest.ResponseRecorder {
		q := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(form.Encode()))
		q.Header.Set("Authorization", "Bearer token")
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		p.ServeHTTP(w, q)
		return w
	}
	page := func() (body string, forms []string) {
		w := ask(http.MethodGet, "/chaos", nil)
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		doc, err := html.Parse(strings.NewReader(w.Body.String()))
		if err != nil {
			t.Fatal(err)
		}
		walk(doc, func(n *html.Node) {
			if n.Data == "form" {
				forms = append(forms, attr(n, "method")+" "+attr(n, "action"))
			}
		})
		return text(doc), forms
	}
	if body, forms := page(); len(forms) != 1 || forms[0] != "post /chaos/stop" || !strings.Contains(body, "Chaos may start") || !strings.Contains(body, "in 1h") {
		t.Errorf("%v: %s", forms, body)
	}
	if w := ask(http.MethodPost, "/chaos/stop", url.Values{}); w.Code != http.StatusBadRequest || c.lever.Stopped {
		t.Errorf("without a reason: %d", w.Code)
	}
	if w := ask(http.MethodPost, "/chaos/stop", url.Values{"reason": {"incident 7"}}); w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/chaos" {
		t.Errorf("%d to %s", w.Code, w.Header().Get("Location"))
	}
	if body, forms := page(); len(forms) != 1 || forms[0] != "post /chaos/release" || !strings.Contains(body, "All chaos is stopped") || !strings.Contains(body, "incident 7") || !strings.Contains(body, "mia") {
		t.Errorf("%v: %s", forms, body)
	}
	c.faults = []control.ChaosFault{{Fault: cloud.Fault{ID: "hang-1", Kind: "hang", Cluster: "shop-prod"}, State: control.FaultActive, Until: now.Add(time.Minute)}}
	if _, forms := page(); len(forms) != 2 || forms[1] != "post /chaos/faults/hang-1/undo" {
		t.Errorf("an active fault: %v", forms)
	}
	if w := ask(http.MethodPost, "/chaos/faults/hang-1/undo", nil); w.Code != http.StatusSeeOther || c.faults[0].Open() {
		t.Errorf("undo: %d, %+v", w.Code, c.faults)
	}
	if w := ask(http.MethodPost, "/chaos/release", nil); w.Code != http.StatusSeeOther || c.lever.Stopped {
		t.Errorf("release: %d, %+v", w.Code, c.lever)
	}
}
