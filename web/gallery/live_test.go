package gallery

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"showrunner/internal/browsertest"
)

// Seven windows that are visible at once are all live, by one stream: a browser has six
// connections to a host.
func TestSevenTabsAreLive(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 4*time.Minute)
	address, events := serve(t, Full)
	tabs := []*browsertest.Browser{b}
	for range 6 {
		tabs = append(tabs, b.Tab(t))
	}
	for i, tab := range tabs {
		tab.Do(chromedp.Navigate(address + []string{"/", "/executions", "/clusters", "/traffic", "/executions/running", "/drift", "/settings"}[i]))
	}
	for _, tab := range tabs {
		tab.Sees("● Live")
	}
	if open := events.Send("execution.started"); open != 1 {
		t.Errorf("%d streams are open, want one for all tabs", open)
	}
}

// An event has the page ask for itself again: also where commits are shown opened, but not
// where a person has opened something, which would close under their hands.
func TestAnEventRefreshesThePage(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 4*time.Minute)
	events := NewEvents()
	var asked atomic.Int64
	pages := Handler(Full, time.Now, events)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("HX-Request") != "" {
			asked.Add(1)
		}
		pages.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	again := func(what string) {
		t.Helper()
		before, limit := asked.Load(), time.After(browsertest.Wait)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for asked.Load() == before {
			select {
			case <-tick.C:
			case <-limit:
				t.Fatalf("%s: the page does not ask again", what)
			}
		}
	}
	b.Do(chromedp.Navigate(server.URL + "/executions/running"))
	again("the stream has opened")
	b.Sees("● Live")
	b.Until(`document.querySelectorAll("details[open]").length > 1`, "commits are shown")
	events.Send("stage.succeeded")
	again("an event")
}

// The keys move about and open what they say; they are silent while somebody types, and
// can be switched off.
func TestKeys(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 4*time.Minute)
	address, _ := serve(t, Full)
	at := func(path string) { b.Until(`location.pathname === "`+path+`"`, "the page is "+path) }
	b.Do(chromedp.Navigate(address+"/executions"), chromedp.WaitReady(chromedp.CSS("html.scripts")))
	b.Do(chromedp.KeyEvent("?"))
	b.Until(`document.getElementById("keys").open`, "the list of keys is open")
	b.Do(chromedp.KeyEvent(kb.Escape))
	b.Until(`!document.getElementById("keys").open`, "the list of keys is closed")

	b.Do(chromedp.KeyEvent("/"))
	b.Until(`document.activeElement.name === "q"`, "the search has the focus")
	b.Do(chromedp.KeyEvent("gc?"))
	if got := browsertest.Evaluate[string](b, `document.activeElement.value + location.pathname`); got != "/gc?/executions" { // the driver types the slash, too

		t.Errorf("typing does %q", got)
	}
	b.Do(chromedp.KeyEvent(kb.Escape), chromedp.KeyEvent("j"))
	b.Until(`document.activeElement.getAttribute("href") === "/executions/running"`, "the first run has the focus")
	b.Do(chromedp.KeyEvent("j"))
	b.Until(`document.activeElement.getAttribute("href") === "/executions/ex0001"`, "the second run has the focus")
	b.Do(chromedp.KeyEvent("k"), chromedp.KeyEvent(kb.Enter))
	at("/executions/running")
	b.Do(chromedp.WaitReady(chromedp.CSS("html.scripts")), chromedp.KeyEvent("n"))
	b.Until(`document.activeElement.closest(".ask, .failure") !== null`, "the first problem has the focus")
	if outline := browsertest.Evaluate[string](b, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
		t.Error("what has the focus does not show it")
	}
	b.Do(chromedp.KeyEvent("g"), chromedp.KeyEvent("c"))
	at("/clusters")

	b.Do(chromedp.WaitReady(chromedp.CSS("html.scripts")), chromedp.KeyEvent("?"), chromedp.Click(chromedp.CSS("#keys-on")), chromedp.Click(chromedp.CSS("#keys-close")), chromedp.KeyEvent("g"), chromedp.KeyEvent("o"), chromedp.KeyEvent("/"))
	if got := browsertest.Evaluate[string](b, `document.activeElement.name + location.pathname`); strings.HasPrefix(got, "q") || !strings.HasSuffix(got, "/clusters") {
		t.Errorf("keys that are switched off do %q", got)
	}
}

// A log of 50,000 lines is there whole, and a line is found by its address.
func TestALogOfManyLines(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 4*time.Minute)
	address, _ := serve(t, Huge)
	began := time.Now()
	b.Do(chromedp.Navigate(address+"/executions/running/stages/canary#L40000"), chromedp.WaitReady(chromedp.CSS("#L1")))
	first := time.Since(began)
	b.Until(`document.getElementById("L50006") !== null`, "all lines are there")
	t.Logf("first lines after %s, all 50,006 after %s", first.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	b.Until(`{ const r = document.getElementById("L40000").getBoundingClientRect(); r.top >= 0 && r.bottom <= innerHeight }`, "the line of the address is in sight")
	if got := browsertest.Evaluate[string](b, `[...document.querySelectorAll("details.group")].map(g => g.querySelector("summary").innerText.trim() + g.querySelectorAll(".ln").length).join()`); got != "Install3,Tests50003" {
		t.Errorf("the groups are %s", got)
	}
	b.Until(`document.querySelector('[data-fold="close"]').click(), document.querySelector("details.group[open]") === null`, "all groups are folded")
	b.Do(chromedp.Navigate(address+"/executions/running/stages/canary?times=on#L2"), chromedp.WaitReady(chromedp.CSS("#L2")))
	b.Until(`document.querySelector("#L2 + .ts").innerText.length === 12`, "lines have times")
	b.Until(`document.getElementById("L2").checkVisibility()`, "the group of the address is open")
}

// The settings choose the zone of times, and the browser keeps that.
func TestTheZoneOfTimes(t *testing.T) {
	t.Parallel()
	b := browsertest.New(t, 4*time.Minute)
	address, _ := serve(t, Full)
	b.Do(chromedp.Navigate(address+"/settings"), chromedp.WaitReady(chromedp.CSS("html.scripts")))
	b.Until(`document.querySelector("#zone input[value=utc]").checked`, "times are in UTC at first")
	title := `document.querySelector("main time").title`
	b.Until(title+`.endsWith("Z")`, "the absolute time is in UTC")
	b.Do(chromedp.Click(chromedp.CSS("#zone input[value=local]")))
	b.Until(`!`+title+`.endsWith("Z")`, "the absolute time is that of the browser's zone")
	b.Do(chromedp.Navigate(address+"/executions/running/stages/canary?times=on"), chromedp.WaitReady(chromedp.CSS(".ts[title]")))
	b.Do(chromedp.Navigate(address+"/settings"), chromedp.WaitReady(chromedp.CSS("html.scripts")))
	b.Until(`document.querySelector("#zone input[value=local]").checked`, "it is kept")
}
