package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

func start(t *testing.T, env map[string]string) (*server, *httptest.Server) {
	t.Helper()
	s, err := newServer(func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s.handler())
	t.Cleanup(web.Close)
	return s, web
}

func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(body), answer.Header
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	s, web := start(t, map[string]string{"SHOWRUNNER_REGION": "us-west-2", "SHOWRUNNER_VERSION": "<b>1</b>"})
	for _, c := range []struct {
		path   string
		status int
		text   string
	}{
		{"/", 200, "Answered from us-west-2"},
		{"/", 200, "&lt;b&gt;1&lt;/b&gt;"},
		{"/version", 200, `"region":"us-west-2"`},
		{"/healthz", 200, "ok"},
		{"/work?ms=1", 200, "worked 1 ms"},
		{"/work?ms=1&burn=1", 200, "worked 1 ms"},
		{"/work?ms=no", 400, "milliseconds"},
		{"/fail", 500, "failed as asked"},
		{"/fail?status=503", 503, "failed as asked"},
		{"/fail?rate=0", 200, "not this time"},
		{"/fail?status=200", 400, "status is"},
		{"/nothing", 404, ""},
	} {
		status, body, _ := get(t, web.URL+c.path)
		if status != c.status || !strings.Contains(body, c.text) {
			t.Errorf("GET %s: %d %q, want %d with %q", c.path, status, body, c.status, c.text)
		}
	}
	s.draining.Store(true)
	if status, _, _ := get(t, web.URL+"/healthz"); status != http.StatusServiceUnavailable {
		t.Errorf("a draining instance answers its health check with %d", status)
	}
}

func TestPageKeepsItsPolicy(t *testing.T) {
	t.Parallel()
	_, web := start(t, nil)
	_, body, header := get(t, web.URL+"/")
	if _, err := html.Parse(strings.NewReader(body)); err != nil {
		t.Fatal(err)
	}
	policy := header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q", policy)
	}
	if !strings.Contains(body, "<style>"+style+"</style>") {
		t.Error("the style in the page is not the one that the policy's hash is of")
	}
}

func TestWorseVersions(t *testing.T) {
	t.Parallel()
	_, web := start(t, map[string]string{"FAIL_RATE": "1", "SLOW": "1ms"})
	if status, _, _ := get(t, web.URL+"/"); status != http.StatusInternalServerError {
		t.Errorf("a version that always fails answered %d", status)
	}
	if status, _, _ := get(t, web.URL+"/healthz"); status != 200 {
		t.Errorf("its health check answered %d: a canary has to find it by its traffic", status)
	}
	for _, env := range []map[string]string{{"FAIL_RATE": "often"}, {"SLOW": "very"}} {
		if _, err := newServer(func(k string) string { return env[k] }); err == nil {
			t.Errorf("%v was accepted", env)
		}
	}
	if s, _ := start(t, map[string]string{"SLOW": "2s"}); s.slow != 2*time.Second {
		t.Errorf("SLOW 2s became %s", s.slow)
	}
}
