package web

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"showrunner/api"
	"showrunner/cloud"
	"showrunner/control"
	"showrunner/store/record"
	"showrunner/subscription"
)

// operateControl is a system of two regions, and remembers what was asked for.
type operateControl struct {
	Control
	regions []control.EdgeRegion
	weights []map[string]*float64
	freezes []control.Freeze
	drift   []control.Drift
	repairs []control.RepairRequest
	ended   []cloud.Instance
	events  []record.Event
	from    int64
}

func (*operateControl) End(context.Context) (int64, error) { return 5000, nil }
func (c *operateControl) EdgeRegions(context.Context, control.Principal) ([]control.EdgeRegion, error) {
	return c.regions, nil
}
func (c *operateControl) SetEdgeWeights(_ context.Context, _ control.Principal, w map[string]*float64) ([]control.EdgeRegion, error) {
	c.weights = append(c.weights, w)
	return c.regions, nil
}
func (*operateControl) Clusters(context.Context, control.Principal, string, string, string) ([]control.Cluster, error) {
	return []control.Cluster{canaryCluster()}, nil
}
func (c *operateControl) Instances(_ context.Context, _ control.Principal, _ string, ended bool) ([]cloud.Instance, error) {
	return c.ended, nil
}
func (*operateControl) InstanceLog(_ context.Context, _ control.Principal, _ string, _ bool, w io.Writer) error {
	for range 3000 {
		if _, err := io.WriteString(w, strings.Repeat("x", 99)+"\n"); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, "the last "+hostile)
	return err
}
func (c *operateControl) Freezes(context.Context, control.Principal) ([]control.Freeze, error) {
	return c.freezes, nil
}
func (c *operateControl) PutFreeze(_ context.Context, _ control.Principal, f control.Freeze, force bool) (control.Freeze, error) {
	c.freezes = append(c.freezes, f)
	return f, nil
}
func (*operateControl) Applications(context.Context, control.Principal) ([]control.Application, error) {
	return nil, nil
}
func (*operateControl) ListSecrets(context.Context, control.Principal) ([]control.SecretInfo, error) {
	return []control.SecretInfo{{Name: "token", Updated: now.Add(-48 * time.Hour)}}, nil
}
func (*operateControl) Subscriptions(context.Context, control.Principal) ([]subscription.Subscription, error) {
	return []subscription.Subscription{{Name: "chat", Progress: &subscription.Progress{Parked: "answered 410"}}}, nil
}
func (c *operateControl) Drift(context.Context, control.Principal, string, string, string, string) ([]control.Drift, error) {
	return c.drift, nil
}
func (c *operateControl) Repair(_ context.Context, _ control.Principal, r control.RepairRequest) (control.Repaired, error) {
	c.repairs = append(c.repairs, r)
	return control.Repaired{Done: []string{"the capacity is 4 again"}}, nil
}
func (*operateControl) Triggers(context.Context, control.Principal, string, string) ([]control.TriggerStatus, error) {
	return nil, nil
}
func (*operateControl) Deliveries(context.Context, control.Principal, string, int) (json.RawMessage, error) {
	return json.RawMessage(`[{"provider":"github","status":401,"verdict":"refused","reason":"the signature is wrong"},{"provider":"github","status":202,"verdict":"started","pipelines":[{"application":"shop","pipeline":"release","verdict":"started","execution":"ex9","number":9}]}]`), nil
}
func (c *operateControl) Events(_ context.Context, _ control.Principal, from int64, _ record.Filter, _ int) (record.Slice, error) {
	c.from = from
	return record.Slice{Events: c.events}, nil
}

// operate asks for a page, or with a form posts it.
func operate(t *testing.T, p *Pages, path string, form url.Values) (int, string, *html.Node) {
	t.Helper()
	method := http.MethodGet
	if form != nil {
		method = http.MethodPost
	}
	r := httptest.NewRequest(method, "http://localhost"+path, strings.NewReader(form.Encode()))
	r.Header.Set("Authorization", "Bearer secret")
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	p.ServeHTTP(w, r)
	doc, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Header().Get("Location"), doc
}

func operatePages(c Control, clock func() time.Time) *Pages {
	return New(Config{Control: c, Auth: api.NewAuth("secret", "mia", nil, clock, nil), Log: slog.New(slog.DiscardHandler), Now: clock})
}

// A region is evacuated by its name alone, after the page has said where the load goes;
// a region that nobody can stand in for cannot be.
func TestARegionIsEvacuated(t *testing.T) {
	t.Parallel()
	at := now
	c := &operateControl{regions: []control.EdgeRegion{{Name: "a", Healthy: true, Requests: 100}, {Name: "b", Healthy: true, Requests: 10}}}
	p := operatePages(c, func() time.Time { return at })
	operate(t, p, "/traffic", nil)
	at = at.Add(2 * time.Second)
	c.regions[0].Requests, c.regions[1].Requests = 300, 30
	_, _, doc := operate(t, p, "/traffic/a/evacuate", nil)
	for _, want := range []string{"kept away from a, which has 100 requests a second now", "b takes part of the load: 1 of 1 instances serve there, now with 10 requests a second"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("it does not say %q:\n%s", want, text(doc))
		}
	}
	if status, _, _ := operate(t, p, "/traffic/a/evacuate", url.Values{"confirm": {"b"}}); status != http.StatusBadRequest || len(c.weights) > 0 {
		t.Errorf("another name was typed: %d, %v", status, c.weights)
	}
	if status, to, _ := operate(t, p, "/traffic/a/evacuate", url.Values{"confirm": {"a"}}); status != http.StatusSeeOther || to != "/traffic#a" || *c.weights[0]["a"] != 0 {
		t.Errorf("%d to %s, %v", status, to, c.weights)
	}
	c.regions[0].Weight = new(float64)
	_, _, doc = operate(t, p, "/traffic/b/evacuate", nil)
	if said := text(doc); !strings.Contains(said, "No other region is up") {
		t.Errorf("the last region: %s", said)
	}
	if status, _, _ := operate(t, p, "/traffic/a/evacuate", url.Values{"back": {"yes"}}); status != http.StatusSeeOther || c.weights[1]["a"] != nil {
		t.Errorf("%d, %v", status, c.weights[1])
	}
	if status, _, _ := operate(t, p, "/traffic/nowhere/evacuate", nil); status != http.StatusNotFound {
		t.Errorf("a region that is not there: %d", status)
	}
}

// The page of an instance has its failure and the end of its log, of one that has ended
// and whose server group is gone, too.
func TestAnInstanceHasAPage(t *testing.T) {
	t.Parallel()
	c := &operateControl{ended: []cloud.Instance{{ID: "i-gone", Ended: now, Why: "its group was destroyed"}}}
	p := operatePages(c, func() time.Time { return now })
	status, _, doc := operate(t, p, "/instances/i-a-1-1", nil)
	if said := text(doc); status != http.StatusOK || !strings.Contains(said, "3 checks in a row failed") || !strings.Contains(said, "the last "+hostile) || !strings.Contains(said, "the last 128 KiB") {
		t.Errorf("%d: %.400s", status, said)
	}
	status, _, doc = operate(t, p, "/instances/i-gone", nil)
	if said := text(doc); status != http.StatusOK || !strings.Contains(said, "its group was destroyed") || strings.Contains(said, "Replace") {
		t.Errorf("%d: %.400s", status, said)
	}
	if status, _, _ := operate(t, p, "/instances/i-never", nil); status != http.StatusNotFound {
		t.Errorf("an instance that never was: %d", status)
	}
}

// What differs can be put back, unless a deployment is at it or nothing can be.
func TestDriftIsRepaired(t *testing.T) {
	t.Parallel()
	differs := []control.Difference{{Region: "a", Deployed: "4 instances", Runs: "2 instances", Repair: "set it to 4"}}
	c := &operateControl{drift: []control.Drift{{Cluster: "shop", Account: "local", Differences: differs}, {Cluster: "busy", Busy: "ex1", Differences: differs}, {Site: "site", Differences: []control.Difference{{Help: "ask a person"}}}, {Cluster: "same"}}}
	p := operatePages(c, func() time.Time { return now })
	_, _, doc := operate(t, p, "/drift", nil)
	disabled := 0
	walk(doc, func(n *html.Node) {
		if n.Data == "button" && strings.Contains(text(n), "Repair") {
			for _, a := range n.Attr {
				if a.Key == "disabled" {
					disabled++
				}
			}
		}
	})
	if said := text(doc); disabled != 2 || !strings.Contains(said, "Nothing differs of 1 more") || !strings.Contains(said, "a deployment changes it now") {
		t.Errorf("%d buttons are disabled: %s", disabled, said)
	}
	status, to, _ := operate(t, p, "/drift/repair", url.Values{"cluster": {"shop"}, "key": {"k1"}})
	if status != http.StatusSeeOther || len(c.repairs) != 1 || c.repairs[0] != (control.RepairRequest{Account: "local", Cluster: "shop", Key: "k1"}) {
		t.Fatalf("%d to %s: %+v", status, to, c.repairs)
	}
	if _, _, doc = operate(t, p, to, nil); !strings.Contains(text(doc), "the capacity is 4 again") {
		t.Errorf("it does not say what was put back: %s", text(doc))
	}
}

// Freezes begin and end on the page; a second one of a name does not replace the first.
func TestAFreezeBeginsOnThePage(t *testing.T) {
	t.Parallel()
	c := &operateControl{}
	p := operatePages(c, func() time.Time { return now })
	form := url.Values{"name": {"friday"}, "reason": {"sale"}, "application": {"shop"}, "for": {"4h"}, "rollbacks": {"yes"}}
	if status, _, doc := operate(t, p, "/settings/freezes", form); status != http.StatusSeeOther || len(c.freezes) != 1 {
		t.Fatalf("%d: %s", status, text(doc))
	}
	if f := c.freezes[0]; f.Name != "friday" || f.Reason != "sale" || f.Applications[0] != "shop" || !f.To.Equal(now.Add(4*time.Hour)) || !f.Rollbacks {
		t.Errorf("%+v", f)
	}
	if status, _, _ := operate(t, p, "/settings/freezes", form); status != http.StatusConflict {
		t.Errorf("a second one: %d", status)
	}
	if status, _, _ := operate(t, p, "/settings/freezes", url.Values{"name": {"x"}, "for": {"soon"}}); status != http.StatusBadRequest || len(c.freezes) != 1 {
		t.Errorf("no length of time: %d", status)
	}
	if _, _, doc := operate(t, p, "/settings", nil); !strings.Contains(text(doc), "‖ holds now") || !strings.Contains(text(doc), "token2d ago") || !strings.Contains(text(doc), "answered 410") {
		t.Errorf("%s", text(doc))
	}
}

func TestDeliveriesSayWhatBecameOfThem(t *testing.T) {
	t.Parallel()
	_, _, doc := operate(t, operatePages(&operateControl{}, func() time.Time { return now }), "/triggers", nil)
	for _, want := range []string{"✕ 401", "refused: the signature is wrong", "✓ 202", "shop › release: started#9"} {
		if !strings.Contains(text(doc), want) {
			t.Errorf("it does not say %q: %s", want, text(doc))
		}
	}
}

// Activity is filtered, and leads to what is older.
func TestActivityIsFiltered(t *testing.T) {
	t.Parallel()
	c := &operateControl{events: []record.Event{
		{Position: 4000, Time: now, Type: "audit.cluster.resize", By: "mia", Data: []byte(`{"phase":"done","subject":{"kind":"cluster","name":"shop"}}`)},
		{Position: 4001, Time: now, Type: "audit.rollback", By: "bob", Data: []byte(`{"phase":"failed","error":"no version","subject":{"kind":"cluster","name":"bank"}}`)}}}
	p := operatePages(c, func() time.Time { return now })
	for query, want := range map[string]string{"": "shop bank", "?who=MIA": "shop", "?outcome=failed": "bank", "?operation=rollback": "bank", "?subject=shop": "shop", "?who=nobody": ""} {
		_, _, doc := operate(t, p, "/activity"+query, nil)
		for _, name := range []string{"shop", "bank"} {
			found := false
			walk(doc, func(n *html.Node) { found = found || n.Data == "td" && strings.Contains(text(n), "cluster "+name) })
			if found != strings.Contains(want, name) {
				t.Errorf("%s shows %s: %t", query, name, found)
			}
		}
	}
	if _, _, doc := operate(t, p, "/activity?before=4000", nil); c.from != 2000 || strings.Contains(text(doc), "bank") {
		t.Errorf("it reads from %d, and shows what is later: %s", c.from, text(doc))
	}
}
