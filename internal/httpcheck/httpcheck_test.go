package httpcheck_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"showrunner/internal/httpcheck"
)

func TestAsk(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case r.URL.Path == "/slow":
			select {
			case <-held:
			case <-r.Context().Done():
			}
		case r.Host == "shop.localhost" && r.Header.Get("X-Word") == "one" && r.Method == http.MethodPost && string(body) == "b":
			w.WriteHeader(http.StatusTeapot)
		case r.URL.Path == "/":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer s.Close()
	defer close(held)
	for _, c := range []struct {
		q    httpcheck.Request
		want string // part of the answer; "" when it is as expected
	}{
		{httpcheck.Request{URL: s.URL}, ""},
		{httpcheck.Request{URL: s.URL, Status: []int{200}}, "it answers 204"},
		{httpcheck.Request{URL: s.URL + "/no"}, "it answers 503"},
		{httpcheck.Request{URL: s.URL + "/no", Status: []int{503}}, ""},
		{httpcheck.Request{URL: s.URL + "/no", Method: "POST", Body: "b", Header: map[string]string{"host": "shop.localhost", "x-word": "one"}, Status: []int{418}}, ""},
		{httpcheck.Request{URL: "http://127.0.0.1:1"}, "refused"},
		{httpcheck.Request{URL: "://"}, "missing protocol"},
	} {
		c.q.Within = time.Minute
		if got := httpcheck.Ask(t.Context(), nil, c.q); (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%+v: %q, want %q", c.q, got, c.want)
		}
	}
	if got := httpcheck.Ask(t.Context(), s.Client(), httpcheck.Request{URL: s.URL + "/slow", Within: 20 * time.Millisecond}); got != "no answer within 20ms" {
		t.Errorf("a slow answer: %q", got)
	}
}
