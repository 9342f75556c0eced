package client_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"showrunner/api/client"
	"showrunner/problem"
)

// replica answers, or refuses with a status, and counts.
func replica(t *testing.T, status int) (string, *atomic.Int64) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if status == 0 { // it dies with the request under way
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"detail":"unreachable","code":"unavailable"}`))
	}))
	t.Cleanup(s.Close)
	return s.URL, &asked
}

func TestAnotherControlPlaneIsAskedWhereOneIsUnreachable(t *testing.T) {
	const gone = "http://127.0.0.1:1"
	good, goodAsked := replica(t, 200)
	dying, dyingAsked := replica(t, 0)
	unreachable, _ := replica(t, 503)
	denying, _ := replica(t, 403)
	for name, tc := range map[string]struct {
		servers, method string
		options         []client.Option
		code            problem.Code // empty: answered
	}{
		"refused":                      {gone + "," + good, http.MethodPost, nil, ""},
		"read, 503":                    {unreachable + "," + good, http.MethodGet, nil, ""},
		"change, 503":                  {unreachable + "," + good, http.MethodPost, nil, problem.Unavailable},
		"change with a key, 503":       {unreachable + ", " + good + "/", http.MethodPost, []client.Option{client.IdempotencyKey("k")}, ""},
		"change, broken off":           {dying + "," + good, http.MethodPost, nil, problem.Unavailable},
		"change with a key, broken":    {dying + "," + good, http.MethodPost, []client.Option{client.IdempotencyKey("k")}, ""},
		"a refusal is an answer":       {denying + "," + good, http.MethodGet, nil, problem.Denied},
		"all unreachable":              {gone + "," + unreachable, http.MethodGet, nil, problem.Unavailable},
		"the only one":                 {good, http.MethodGet, nil, ""},
		"the last one answers, 3 gone": {strings.Join([]string{gone, gone, gone, good}, ","), http.MethodGet, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			goodAsked.Store(0)
			c := client.New(tc.servers, "token")
			err := c.Do(t.Context(), tc.method, "/x", struct{}{}, nil, tc.options...)
			if tc.code == "" && err != nil || tc.code != "" && (problem.CodeOf(err) != tc.code && !strings.Contains(err.Error(), "unreachable")) {
				t.Fatalf("answered %v", err)
			}
			if answered := goodAsked.Load() == 1; answered != (tc.code == "") {
				t.Errorf("the good one was asked %d times", goodAsked.Load())
			}
		})
	}
	if dyingAsked.Load() == 0 {
		t.Error("the dying one was never asked")
	}
}

func TestTheOneThatAnsweredIsAskedFirst(t *testing.T) {
	unreachable, unreachableAsked := replica(t, 503)
	good, _ := replica(t, 200)
	c := client.New(unreachable+","+good, "token")
	for range 3 {
		if err := c.Do(t.Context(), http.MethodGet, "/x", nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := unreachableAsked.Load(); n != 1 || c.Base() != good {
		t.Errorf("the one that is unreachable was asked %d times; %s", n, c.Base())
	}
}
