package server

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"showrunner/cloud"
	"showrunner/cloud/cloudtest/memcloud"
	"showrunner/pipeline"
)

// What load balancers have counted is found through Prometheus's API, with the token
// alone, and a restart of their counters makes new series.
func TestTrafficIsFoundThroughPrometheusAPI(t *testing.T) {
	c, err := newControlPlane(t.Context(), ControlConfig{Data: t.TempDir(), Listen: "127.0.0.1:0", Token: "the-token", Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	mem := memcloud.New(memcloud.Config{Regions: []string{"us-west-2"}})
	account := cloud.NewAccount("mem", mem, cloud.Options{Now: time.Now})
	c.accounts = &accounts{names: []string{"mem"}, byName: map[string]*cloud.Account{"mem": account}}
	spec := cloud.ServerGroupSpec{Application: "shop", Cluster: "shop-prod", Version: "v1", Workload: cloud.Workload{Process: &cloud.Process{Artifact: "sha256:1", Command: []string{"x"}}},
		Health: pipeline.Health{Path: "/"}, Capacity: pipeline.Capacity{Min: 1, Desired: 1, Max: 1}}
	group, err := account.CreateServerGroup(t.Context(), "us-west-2", spec, "key")
	if err != nil {
		t.Fatal(err)
	}
	for epoch, requests := range map[string]uint64{"one": 70, "two": 5} {
		mem.SetCounts("us-west-2", "shop-prod", []cloud.Counts{{ServerGroup: group.Name, Epoch: epoch, Requests: requests}})
		if err := c.recordTraffic(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	handler := c.handler()
	ask := func(token, query string) (int, map[string]string) {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/api/v1/query?query="+url.QueryEscape(query), nil)
		if token != "" {
			r.Header.Set("Authorization", "Bearer "+token)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		var answer struct {
			Data struct {
				Result []struct {
					Metric map[string]string
					Value  [2]any
				}
			}
		}
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatalf("%d: %s", w.Code, w.Body)
		}
		values := map[string]string{}
		for _, s := range answer.Data.Result {
			values[s.Metric["cluster"]+"/"+s.Metric["epoch"]] = s.Value[1].(string)
		}
		return w.Code, values
	}
	const query = `sum by (cluster, epoch) (showrunner_server_group_requests_total{application="shop", region="us-west-2", version="v1"})`
	if status, _ := ask("", query); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	status, got := ask("the-token", query)
	if status != http.StatusOK || len(got) != 2 || got["shop-prod/one"] != "70" || got["shop-prod/two"] != "5" {
		t.Errorf("%d: %v", status, got)
	}
	for _, path := range []string{"/api/v1/write", "/api/v1/otlp/v1/metrics"} {
		for token, want := range map[string]int{"": http.StatusUnauthorized, "the-token": http.StatusBadRequest} {
			r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+path, strings.NewReader("{"))
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s with the token %q: %d, want %d", path, token, w.Code, want)
			}
		}
	}
	if _, got := ask("the-token", `sum(showrunner_server_group_requests_total)`); got["/"] != "75" {
		t.Errorf("the sum over both lives is %v", got)
	}
}

// Control planes that share a data folder each have a store of metrics.
func TestControlPlanesShareAFolderOfMetrics(t *testing.T) {
	data := t.TempDir()
	for range 3 {
		s, err := openMetrics(data)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
	}
}

// What control measures of itself needs the token, as Bearer or as a password, and the
// name of a region is never a path.
func TestOwnMetricsNeedTheToken(t *testing.T) {
	c, err := newControlPlane(t.Context(), ControlConfig{Data: t.TempDir(), Listen: "127.0.0.1:0", Token: "the-token", Regions: []string{"us-west-2"}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	handler := c.handler()
	for _, ask := range []struct {
		path, user, password string
		status               int
	}{
		{"/metrics", "", "", http.StatusUnauthorized},
		{"/metrics", "anyone", "another", http.StatusUnauthorized},
		{"/metrics", "anyone", "the-token", http.StatusOK},
		{"/api/v1/query?query=up", "anyone", "the-token", http.StatusOK},
		{"/metrics/edge", "", "", http.StatusUnauthorized},
		{"/metrics/edge", "x", "the-token", http.StatusBadGateway},
		{"/metrics/regions/us-west-2", "x", "the-token", http.StatusBadGateway},
		{"/metrics/regions/..%2F..%2Fx", "x", "the-token", http.StatusNotFound},
	} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1"+ask.path, nil)
		if ask.user != "" {
			r.SetBasicAuth(ask.user, ask.password)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != ask.status {
			t.Errorf("%s as %s: %d, want %d: %s", ask.path, ask.user, w.Code, ask.status, w.Body)
		}
		if ask.path == "/metrics" && w.Code == http.StatusOK && !strings.Contains(w.Body.String(), `showrunner_control_http_requests_total{code="401",part="metrics"} 2`) {
			t.Errorf("the requests before are not counted:\n%s", w.Body)
		}
	}
}
