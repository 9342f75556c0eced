package gallery

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"showrunner/internal/browsertest"
)

// The list of 10,000 executions is painted soon, carries one page of them, and an event
// has only that page asked for again; its last page is reached by its address. What the
// first paint and an update cost is said.
func TestTenThousandExecutions(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 4*time.Minute)
	events := NewEvents()
	pages := handler(&canned{state: Full, now: time.Now, history: 10_000}, events)
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &counted{ResponseWriter: w}
		pages.ServeHTTP(c, r)
		if r.URL.Path == "/executions" {
			sent.Store(int64(c.sent))
		}
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	for _, path := range []string{"/executions", "/executions?application=storefront&pipeline=release", "/executions?after=9950", "/"} {
		b.Do(chromedp.Navigate(server.URL+path), chromedp.WaitReady(chromedp.CSS("main h1")))
		b.Until(`performance.getEntriesByName("first-contentful-paint").length > 0`, "the page is painted")
		paint := time.Duration(browsertest.Evaluate[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`) * float64(time.Millisecond))
		if paint > most {
			t.Errorf("%s: the first paint comes after %s", path, paint)
		}
		rows := browsertest.Evaluate[int](b, `document.querySelectorAll("main tbody tr").length`)
		t.Logf("%s: first paint after %s, %d rows", path, paint.Round(time.Millisecond), rows)
		if rows > 110 {
			t.Errorf("%s shows %d rows", path, rows)
		}
	}
	b.Do(chromedp.Navigate(server.URL+"/executions"), chromedp.WaitReady(chromedp.CSS("main h1")))
	b.Sees("● Live")
	browsertest.Evaluate[bool](b, `(window.took = [], window.began = 0, addEventListener("htmx:before:swap", () => began = performance.now(), true), addEventListener("htmx:after:swap", () => took.push(performance.now() - began), true), true)`)
	for range 3 {
		before := browsertest.Evaluate[int](b, `took.length`)
		events.Send("execution.started")
		b.Until(fmt.Sprintf("took.length > %d", before), "an event changes the page")
	}
	took := browsertest.Evaluate[[]float64](b, `took`)
	t.Logf("updates take %.1f ms in the browser; %d bytes for each", took, sent.Load())
}
