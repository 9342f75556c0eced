package balancer

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"showrunner/cloud/driver"
)

func TestLike(t *testing.T) {
	for _, c := range []struct {
		pattern, value string
		want           bool
	}{{"/fixed*", "/fixed/1", true}, {"/a?c", "/abc", true}, {"/a?c", "/ac", false}, {"*.example.com", "a.example.com", true}, {"/[x]", "/[x]", true}, {"/[x]", "/x", false}, {"", "", true}, {"*", "", true}, {"/img/*/1", "/img/a/b/1", true}} {
		if got := like(c.pattern, c.value); got != c.want {
			t.Errorf("like(%q, %q) is %v", c.pattern, c.value, got)
		}
	}
}

// Requests to a load balancer's host go where the first rule that matches says.
func TestRulesOfALoadBalancer(t *testing.T) {
	instance := func(name string) (Target, func()) {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, name) }))
		return Target{ID: "i-" + name, Address: s.Listener.Addr().String()}, s.Close
	}
	blue, end := instance("blue")
	defer end()
	green, end := instance("green")
	defer end()
	b := New(Config{})
	for name, one := range map[string]Target{"blue": blue, "green": green} {
		b.SetCluster(Cluster{Name: "pool:lb/" + name, Shared: true, Groups: []Group{{Name: name, Weight: 1, Targets: []Target{one}}}})
	}
	on := func(what, name string, values ...string) []driver.BalancerCondition {
		return []driver.BalancerCondition{{On: what, Name: name, Values: values}}
	}
	to := func(pool string) []driver.PoolShare {
		return []driver.PoolShare{{Pool: pool, Weight: 1}, {Pool: "none", Weight: 0}}
	}
	b.SetRules(Rules{Name: "lb", Hosts: []string{"lb.elb"}, Pools: map[string]string{"blue": "pool:lb/blue", "green": "pool:lb/green"}, Rules: []driver.BalancerRule{
		{Conditions: on("path", "", "/fixed/*"), Answer: &driver.FixedAnswer{Status: 418, Type: "text/plain", Body: "fixed"}},
		{Conditions: on("path", "", "/old/*"), Redirect: &driver.Redirect{Status: 301, Path: "/new/#{path}", Query: "#{query}"}},
		{Conditions: on("header", "X-Color", "gr*"), Forward: to("green")},
		{Conditions: on("query", "", "color=green"), Forward: to("green")},
		{Conditions: on("method", "", "PUT", "DELETE"), Forward: to("green")},
		{Conditions: on("source", "", "10.0.0.0/8"), Answer: &driver.FixedAnswer{Status: 200, Body: "not from there"}},
		{Forward: to("blue")},
	}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = b.Serve(l) }() // its end is the listener's
	t.Cleanup(func() { _ = b.Shutdown(t.Context()) })
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ask := func(method, path string, header ...string) (int, string, string) {
		t.Helper()
		r, err := http.NewRequest(method, "http://"+l.Addr().String()+path, strings.NewReader(""))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "lb.elb.localhost:8080"
		for i := 0; i+1 < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body), res.Header.Get("Location")
	}
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
		body         string
	}{
		{"GET", "/", nil, 200, "blue"},
		{"GET", "/fixed/1?x=1", nil, 418, "fixed"},
		{"GET", "/", []string{"X-Color", "green"}, 200, "green"},
		{"GET", "/?color=green", nil, 200, "green"},
		{"GET", "/?color=blue", nil, 200, "blue"},
		{"PUT", "/", nil, 200, "green"},
	} {
		if status, body, _ := ask(c.method, c.path, c.header...); status != c.status || body != c.body {
			t.Errorf("%s %s %v: %d %q; want %d %q", c.method, c.path, c.header, status, body, c.status, c.body)
		}
	}
	if status, _, location := ask("GET", "/old/a?b=c"); status != 301 || location != "http://lb.elb.localhost:8080/new/old/a?b=c" {
		t.Errorf("redirected with %d to %q", status, location)
	}
	b.RemoveRules("lb")
	if status, _, _ := ask("GET", "/"); status != 404 {
		t.Errorf("removed it answers %d", status)
	}
}
