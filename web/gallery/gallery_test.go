package gallery

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"showrunner/internal/browsertest"
)

// serve is a gallery of one state.
func serve(t *testing.T, s State) (address string, events *Events) {
	t.Helper()
	events = NewEvents()
	server := httptest.NewServer(Handler(s, time.Now, events))
	t.Cleanup(func() {
		server.CloseClientConnections() // streams are still open
		server.Close()
	})
	return server.URL, events
}

func scheme(t *testing.T, b *browsertest.Browser, name string) {
	t.Helper()
	if _, err := chromedp.Call(b.Context, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}}); err != nil {
		t.Fatal(err)
	}
}

// Every page in every state: the browser complains about nothing, WCAG 2.2 AA is not
// violated, in light and in dark, and nothing is out of sight on a screen of 360 or of
// 1280 pixels. GALLERY_PICTURES names a folder for pictures of them.
func TestEveryPageInABrowser(t *testing.T) {
	axe := browsertest.Axe(t)
	all := browsertest.New(t, 10*time.Minute)
	for _, s := range States() {
		t.Run(string(s), func(t *testing.T) {
			t.Parallel()
			b := all.Tab(t)
			address, _ := serve(t, s)
			if s == Error { // the page itself is an answer of that kind
				b.Ignore(func(c string) bool { return strings.Contains(c, "503") })
			}
			for i, p := range Pages(s) {
				if only := os.Getenv("GALLERY_ONLY"); only != "" && !strings.Contains(p.Path, only) {
					continue
				}
				began := time.Now()
				look(t, b, axe, address+p.Path, fmt.Sprintf("%s-%02d", s, i))
				t.Logf("%s: %s", p.Path, time.Since(began).Round(time.Millisecond))
				for _, c := range b.Complaints() {
					t.Errorf("%s: the browser complains: %s", p.Path, c)
				}
			}
			b.Do(chromedp.Navigate("about:blank")) // nothing asks once the gallery is closed
		})
	}
}

// skipped is what axe does not look at: of the parts of a long log, and of the rows of a
// long table, the later ones, which are made as the first ones are and take it minutes.
const skipped = ".log .part ~ .part, tbody tr:nth-child(n+40), .graph svg > a:nth-of-type(n+40), main > section.card:nth-of-type(n+12), .commits li:nth-child(n+20), .files > li:nth-child(n+10), .ask ~ .ask"

func look(t *testing.T, b *browsertest.Browser, axe, address, name string) {
	t.Helper()
	at := strings.TrimPrefix(address, "http://")
	b.Do(chromedp.EmulateViewport(1280, 900))
	scheme(t, b, "light")
	b.Do(chromedp.Navigate(address), chromedp.WaitReady(chromedp.CSS("main h1")))
	picture(t, b, name+"-light-wide")
	fits(t, b, at, 1280)
	b.Do(chromedp.EmulateViewport(360, 800))
	scheme(t, b, "dark")
	picture(t, b, name+"-dark-narrow")
	fits(t, b, at, 360)
	for _, f := range b.Audit(axe, skipped, "target-size", "scrollable-region-focusable") {
		t.Errorf("%s on a small screen: %s", at, f)
	}
	b.Do(chromedp.EmulateViewport(1280, 900))
	for _, f := range b.Audit(axe, skipped, "color-contrast") {
		t.Errorf("%s in the dark: %s", at, f)
	}
	scheme(t, b, "light")
	for _, f := range b.Audit(axe, skipped) {
		t.Errorf("%s: %s", at, f)
	}
}

// fits looks for what is wider than the screen, and for tables that are cut.
func fits(t *testing.T, b *browsertest.Browser, at string, width int) {
	t.Helper()
	if wide := browsertest.Evaluate[int](b, "document.documentElement.scrollWidth"); wide > width {
		t.Errorf("%s is %d pixels wide on a screen of %d: %v", at, wide, width, browsertest.Evaluate[[]string](b, fmt.Sprintf(`[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > %d && !e.closest(".graph, .scroll")).slice(0, 5).map(e => e.outerHTML.slice(0, 160))`, width)))
	}
	if cut := browsertest.Evaluate[[]string](b, `[...document.querySelectorAll("table")].filter(t => t.scrollWidth > t.clientWidth + 1 && !t.closest(".scroll")).map(t => t.innerText.slice(0, 200))`); len(cut) > 0 {
		t.Errorf("%s: on a screen of %d, parts of tables are out of sight: %q", at, width, cut)
	}
}

// tallest is the height from which on a picture is of the screen alone, in pixels.
const tallest = 12_000

func picture(t *testing.T, b *browsertest.Browser, name string) {
	t.Helper()
	dir := os.Getenv("GALLERY_PICTURES")
	if dir == "" {
		return
	}
	take := chromedp.FullScreenshot(100)
	if browsertest.Evaluate[int](b, "document.documentElement.scrollHeight") > tallest {
		take = chromedp.CaptureScreenshot()
	}
	raw, err := chromedp.Run(b.Context, take)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// The list of the gallery leads to each page in its state.
func TestTheListLeadsToThePages(t *testing.T) {
	server := httptest.NewServer(All(time.Now))
	defer server.Close()
	r, err := http.NewRequest(http.MethodGet, server.URL+"/executions", nil)
	if err != nil {
		t.Fatal(err)
	}
	for state, want := range map[State]int{Full: http.StatusOK, Error: http.StatusServiceUnavailable, "nonsense": http.StatusOK} {
		r.Header.Set("Cookie", stateCookie+"="+string(state))
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s", state, res.Status)
		}
	}
}
