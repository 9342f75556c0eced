package gallery

import (
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"showrunner/internal/browsertest"
)

// sightPages are pages of each form: lists, a graph, squares, charts, a log, an editor.
var sightPages = []string{"/", "/executions", "/executions/running", "/executions/running?view=waterfall", "/executions/running/stages/canary", "/executions/running/stages/canary/verdicts", "/clusters", "/traffic", "/chaos", "/settings", "/applications/storefront", "/applications/storefront/file"}

// At a zoom of 200 %, and of 400 %, as WCAG's reflow asks, nothing is out of sight on a
// screen of 1280 pixels.
func TestPagesAtTwiceTheirSize(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 6*time.Minute)
	address, _ := serve(t, Full)
	for _, path := range sightPages {
		for _, zoom := range []int64{2, 4} {
			width := 1280 / zoom
			b.Do(chromedp.EmulateViewport(width, 900/zoom, chromedp.EmulateScale(float64(zoom))))
			if zoom == 2 {
				b.Do(chromedp.Navigate(address+path), chromedp.WaitReady(chromedp.CSS("main h1")))
			}
			fits(t, b, path, int(width))
		}
	}
}

// Who asks for less motion sees none; who does not sees that what runs does.
func TestReducedMotion(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 4*time.Minute)
	address, _ := serve(t, Full)
	const moving = `document.getAnimations().filter(a => a.playState === "running").length`
	prefers := func(motion string) {
		t.Helper()
		if _, err := chromedp.Call(b.Context, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-reduced-motion", Value: motion}}}); err != nil {
			t.Fatal(err)
		}
	}
	prefers("no-preference")
	b.Do(chromedp.Navigate(address+"/executions/running"), chromedp.WaitReady(chromedp.CSS("main h1")))
	b.Until(moving+" > 0", "what runs moves")
	prefers("reduce")
	for _, path := range sightPages {
		b.Do(chromedp.Navigate(address+path), chromedp.WaitReady(chromedp.CSS("main h1")))
		if n := browsertest.Evaluate[int](b, moving); n > 0 {
			t.Errorf("%s: %d things move", path, n)
		}
	}
}
