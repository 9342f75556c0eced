// Package gallery serves every page of the console in every state from canned data,
// without a running system: for people who change a page, and for the tests that
// look at each page in a real browser. It owns the canned data and decides nothing.
package gallery

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"showrunner/api"
	"showrunner/web"
)

// State is a state in which every page is shown. There is no state of loading: a page
// is sent when it is complete.
type State string

const (
	Full    State = "full"    // a canary is under way, an approval waits, a stage has failed
	Empty   State = "empty"   // nothing was ever applied
	Partial State = "partial" // one region is unreachable
	Error   State = "error"   // nothing can be asked
	Huge    State = "huge"    // 300 applications, 1,000 instances, 1,000 stages
	Hostile State = "hostile" // every name and text tries to break the page
)

// States lists every state.
func States() []State { return []State{Full, Empty, Partial, Error, Huge, Hostile} }

// Page is one address of the console.
type Page struct {
	Path string
	// Needs says that the page is about an object, which an empty system does not have.
	Needs bool
}

// Pages lists the pages of a state.
func Pages(s State) []Page {
	run, stage := "/executions/"+runID(s), esc(stageName(s, "canary"))
	list := []Page{
		{Path: "/"}, {Path: "/executions"}, {Path: "/executions?application=storefront&pipeline=release"},
		{Path: run, Needs: true}, {Path: run + "?view=waterfall", Needs: true}, {Path: run + "?view=definition", Needs: true}, {Path: run + "?view=events", Needs: true}, {Path: run + "/cancel", Needs: true}, {Path: run + "/stages/" + stage, Needs: true}, {Path: run + "/stages/" + stage + "?q=checkout&times=on", Needs: true},
		{Path: run + "/stages/" + stage + "/verdicts", Needs: true}, {Path: "/executions/ended/stages/" + stage + "/restart", Needs: true}, {Path: "/executions/ended", Needs: true},
		{Path: "/applications/" + esc(appName(s, "storefront")) + "/release/run", Needs: true},
		{Path: "/applications/" + esc(appName(s, "storefront")), Needs: true}, {Path: "/applications/" + esc(appName(s, "storefront")) + "/file", Needs: true},
		{Path: "/applications/" + esc(appName(s, "storefront")) + "/file?compare=repository", Needs: true}, {Path: "/apply"},
		{Path: "/clusters"}, {Path: "/clusters/storefront-prod/change?do=rollback", Needs: true},
		{Path: "/clusters/storefront-prod/change?do=disable&region=us-west-2&group=storefront-prod-v007", Needs: true},
		{Path: "/sites"}, {Path: "/sites/storefront/rollback", Needs: true}, {Path: "/chaos"}, {Path: "/chaos/experiments/new"}, {Path: "/chaos/experiments/running", Needs: true}, {Path: "/chaos/experiments/deviated", Needs: true}, {Path: "/chaos/experiments/toolkit", Needs: true}, {Path: "/chaos/gamedays/gameday-7", Needs: true}, {Path: "/activity"}, {Path: "/activity?who=mia&outcome=failed"},
		{Path: "/instances/" + illInstance, Needs: true}, {Path: "/instances/" + endedInstance, Needs: true},
		{Path: "/traffic"}, {Path: "/traffic/us-west-2/evacuate", Needs: true}, {Path: "/drift"}, {Path: "/triggers"}, {Path: "/aws"}, {Path: "/settings"},
	}
	var pages []Page
	for _, p := range list {
		if s != Empty || !p.Needs {
			pages = append(pages, p)
		}
	}
	return pages
}

// token signs every request of the gallery in.
const token = "gallery"

// Handler serves the pages of a state. Forms lead to the error that says so. Events sends
// the kind of an event, each time for every page that is open.
func Handler(s State, now func() time.Time, events *Events) http.Handler {
	return handler(&canned{state: s, now: now}, events)
}

func handler(c *canned, events *Events) http.Handler {
	s, now := c.state, c.now
	pages := web.New(web.Config{Control: c, Auth: api.NewAuth(token, "mia", nil, now, nil), Edge: "localhost:8080", MayDecide: mayDecide, AWS: func() (string, error) { return "127.0.0.1:4566", nil }, Log: slog.New(slog.DiscardHandler), Now: now})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/events/stream", events.serve)
	mux.HandleFunc("GET /api/v1/executions/{id}/stages/{stage}/log", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, logText(s)) // the browser has gone when this fails
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+token)
		pages.ServeHTTP(w, r)
	})
	return mux
}

// Events is the event stream of a gallery.
type Events struct {
	mu       sync.Mutex
	position int
	open     map[chan string]bool
}

// NewEvents makes a stream on which nothing has happened.
func NewEvents() *Events { return &Events{open: map[chan string]bool{}} }

// Send sends an event of a kind to every page that is open, and answers how many are.
func (e *Events) Send(kind string) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.position++
	for c := range e.open {
		select {
		case c <- fmt.Sprintf("id: %d\nevent: %s\ndata: {}\n\n", e.position, kind):
		default: // the page is told by the next one
		}
	}
	return len(e.open)
}

func (e *Events) serve(w http.ResponseWriter, r *http.Request) {
	c := make(chan string, 16)
	e.mu.Lock()
	e.open[c] = true
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.open, c)
		e.mu.Unlock()
	}()
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w).Flush
	_, err := io.WriteString(w, ": hello\n\n")
	for err == nil && flush() == nil {
		select {
		case <-r.Context().Done():
			return
		case text := <-c:
			_, err = io.WriteString(w, text)
		}
	}
}

// Index lists the pages of every state, each with a link that /gallery/STATE turns into
// a cookie, which Choose reads.
func Index(w http.ResponseWriter, r *http.Request) {
	var b strings.Builder
	b.WriteString("<!doctype html><title>Gallery</title><h1>Gallery</h1>")
	for _, s := range States() {
		fmt.Fprintf(&b, "<h2>%s</h2><ul>", s)
		for _, p := range Pages(s) {
			fmt.Fprintf(&b, `<li><a href="/gallery/%s%s">%s</a>`, s, strings.ReplaceAll(p.Path, "&", "&amp;"), strings.ReplaceAll(p.Path, "&", "&amp;"))
		}
		b.WriteString("</ul>")
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, b.String()) // the browser has gone when this fails
}

// stateCookie names the state that a browser looks at.
const stateCookie = "gallery_state"

// All serves every state at one address, beginning with the list at /gallery.
func All(now func() time.Time) http.Handler {
	handlers := map[State]http.Handler{}
	for _, s := range States() {
		handlers[s] = Handler(s, now, NewEvents())
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gallery", Index)
	mux.HandleFunc("GET /gallery/{state}/{path...}", func(w http.ResponseWriter, r *http.Request) {
		state := r.PathValue("state")
		http.SetCookie(w, &http.Cookie{Name: stateCookie, Value: state, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
		to := strings.TrimPrefix(r.URL.RequestURI(), "/gallery/"+state)
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		state := Full
		if c, err := r.Cookie(stateCookie); err == nil {
			state = State(c.Value)
		}
		h := handlers[state]
		if h == nil {
			h = handlers[Full]
		}
		h.ServeHTTP(w, r)
	})
	return mux
}

// canned answers the pages' questions.
type canned struct {
	web.Control // nil: what no page of the gallery asks for
	state       State
	now         func() time.Time
	// churn, where it is set, is how many instances change their health in a second.
	churn int
	began time.Time
	// history, where it is set, is how many executions there are.
	history int
}

func (*canned) End(context.Context) (int64, error) { return 1000, nil }
