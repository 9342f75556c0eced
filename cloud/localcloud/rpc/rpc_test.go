package rpc_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"showrunner/cloud/localcloud/rpc"
	"showrunner/problem"
)

func client(t *testing.T, h http.HandlerFunc) *rpc.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return &rpc.Client{HTTP: s.Client(), Base: s.URL, Name: "the process", Help: "start it"}
}

// A problem arrives unchanged, whatever its code is.
func TestProblemsArrive(t *testing.T) {
	for _, code := range []problem.Code{problem.Invalid, problem.NotFound, problem.Conflict, problem.Denied, problem.Precondition, problem.Unavailable, problem.Internal} {
		sent := problem.New(code, "test", "this failed").WithHelp("do that")
		sent.RetryAfter = time.Second
		c := client(t, func(w http.ResponseWriter, _ *http.Request) { rpc.Fail(w, sent) })
		got, ok := problem.Of(c.Call(t.Context(), http.MethodGet, "/", nil, nil))
		if !ok || got.Code != code || got.Message != sent.Error() || got.Help != "do that" || got.RetryAfter != time.Second {
			t.Errorf("%s: %+v", code, got)
		}
		c = client(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(rpc.Status(code)) })
		if err := c.Call(t.Context(), http.MethodGet, "/", nil, nil); problem.CodeOf(err) != code {
			t.Errorf("%s, by its status alone: %v", code, err)
		}
	}
}

func TestNobodyAnswers(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "50")
		w.Write([]byte(`{"half":`))
	})
	var into map[string]any
	for _, want := range []string{"half an answer", "none"} {
		err := c.Call(t.Context(), http.MethodGet, "/", nil, &into)
		if problem.CodeOf(err) != problem.Unavailable || problem.HelpOf(err) != "start it" {
			t.Errorf("%s: %v", want, err)
		}
		c.Base = "http://127.0.0.1:1"
	}
}

func TestBodiesThatAreRefused(t *testing.T) {
	var got struct{ A int }
	c := client(t, func(w http.ResponseWriter, r *http.Request) { rpc.Answer(w, nil, rpc.Read(w, r, &got)) })
	if err := c.Call(t.Context(), http.MethodPost, "/", map[string]int{"A": 1}, nil); err != nil || got.A != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if err := c.Call(t.Context(), http.MethodPost, "/", map[string]int{"B": 1}, nil); problem.CodeOf(err) != problem.Invalid {
		t.Errorf("an unknown field: %v", err)
	}
	if err := c.Call(t.Context(), http.MethodPost, "/", func() {}, nil); problem.CodeOf(err) != problem.Invalid || errors.Is(err, nil) {
		t.Errorf("a body that cannot be encoded: %v", err)
	}
}
