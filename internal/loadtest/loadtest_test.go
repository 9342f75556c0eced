package loadtest_test

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"showrunner/internal/loadtest"
)

func TestAttackCountsEveryRequestAndEveryFailure(t *testing.T) {
	var n atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%10 == 0 {
			w.WriteHeader(http.StatusBadGateway)
		}
		if r.Host != "shop.localhost" {
			t.Errorf("host %q", r.Host)
		}
	}))
	defer s.Close()
	r := loadtest.Attack(t.Context(), 200, 500*time.Millisecond, []loadtest.Target{{URL: s.URL, Host: "shop.localhost"}})
	if r.Requests == 0 || r.Requests != int(n.Load()) || r.Failed != int(n.Load()/10) || r.Statuses[502] != r.Failed {
		t.Errorf("%+v after %d requests", r, n.Load())
	}
}
