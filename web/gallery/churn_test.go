package gallery

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"showrunner/internal/browsertest"
)

// asked counts the requests for pages and for changes, and what was sent for them.
type asked struct {
	mu                   sync.Mutex
	pages, changes, sent int
}

type counted struct {
	http.ResponseWriter
	sent int
}

func (c *counted) Write(p []byte) (int, error) {
	c.sent += len(p)
	return c.ResponseWriter.Write(p)
}
func (c *counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (a *asked) count(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &counted{ResponseWriter: w}
		next.ServeHTTP(c, r)
		a.mu.Lock()
		defer a.mu.Unlock()
		switch {
		case r.URL.Path == "/clusters":
			a.pages++
		case strings.HasPrefix(r.URL.Path, "/clusters/changes"):
			a.changes++
			a.sent += c.sent
		}
	})
}

// most is how long the page may take to show a thousand instances first: the budget is a
// second on a machine that does nothing else.
const most = 10 * time.Second

// A thousand instances of which fifty change each second: the page shows the changes, is
// told them alone, and is not sent for them. What the first paint and an update cost is said.
func TestAThousandInstancesChange(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 4*time.Minute)
	var requests asked
	events := NewEvents()
	server := httptest.NewServer(requests.count(handler(&canned{state: Huge, now: time.Now, churn: 50, began: time.Now()}, events)))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	b.Do(chromedp.Navigate(server.URL+"/clusters"), chromedp.WaitReady(chromedp.CSS("cluster-live")))
	b.Until(`performance.getEntriesByName("first-contentful-paint").length > 0`, "the page is painted")
	paint := time.Duration(browsertest.Evaluate[float64](b, `performance.getEntriesByName("first-contentful-paint")[0].startTime`) * float64(time.Millisecond))
	if paint > most {
		t.Errorf("the first paint comes after %s", paint)
	}
	ill := `document.querySelectorAll(".square.s-fail").length`
	before := browsertest.Evaluate[int](b, ill)
	b.Until(`performance.getEntriesByName("clusters", "measure").length >= 5`, "five answers have changed the page")
	after := browsertest.Evaluate[int](b, ill)
	if after-before < 50 {
		t.Errorf("%d instances were ill, now %d are", before, after)
	}
	shown := browsertest.Evaluate[string](b, `[...document.querySelectorAll("[data-group]")].filter(e => { const [serving, wanted] = e.querySelector("[data-of=counts]").textContent.split("/").map(Number); const ill = e.querySelectorAll(".square.s-fail").length; return serving + ill !== wanted }).map(e => e.innerText).join()`)
	if shown != "" {
		t.Errorf("counts and squares are not of one moment: %s", shown)
	}
	took := browsertest.Evaluate[[]float64](b, `performance.getEntriesByName("clusters", "measure").map(e => e.duration)`)
	slices.Sort(took)
	requests.mu.Lock()
	defer requests.mu.Unlock()
	if requests.pages > 2 { // once more when its stream has begun
		t.Errorf("the page was sent %d times", requests.pages)
	}
	t.Logf("first paint after %s; %d updates, half of them within %.1f ms, the slowest %.1f ms; %d bytes for each", paint.Round(time.Millisecond), len(took), took[len(took)/2], took[len(took)-1], requests.sent/max(requests.changes, 1))
}
