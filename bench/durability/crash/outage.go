package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"showrunner/internal/pause"
)

// databaseOutage makes the database unreachable for a while: stopped, or paused so that
// nothing is refused and everything hangs.
func (f *fleet) databaseOutage(ctx context.Context, l *load) error {
	how, down, up := "stopped", f.server.Down, f.server.Up
	if f.pause {
		how, down, up = "paused", f.server.Pause, func(context.Context) error { return f.server.Resume() }
	}
	fmt.Printf("the database will be %s for %s with %s\n", how, f.outage, l.progress())
	for l.ends() < 20 { // some data have to be known first
		if err := pause.For(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
	if err := pause.For(ctx, 7*time.Second); err != nil {
		return err
	}
	before := l.ends()
	l.excuse(true)
	if err := down(); err != nil {
		return err
	}
	if err := pause.For(ctx, f.outage/2); err != nil {
		return err
	}
	looked := f.checkDuringOutage(ctx)
	if err := pause.For(ctx, f.outage/2); err != nil {
		return err
	}
	if err := up(ctx); err != nil {
		return err
	}
	back := time.Now()
	for l.ends() == before {
		if err := pause.For(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
	l.excuse(false)
	fmt.Printf("the database is back; the first execution ended %s later, and no control plane was started anew\n", time.Since(back).Round(time.Millisecond))
	return errors.Join(looked, f.checkAfterOutage(ctx), pause.For(ctx, 5*time.Second))
}

// outageAnswer is the expected answer of a control plane while the database is
// unreachable.
type outageAnswer struct {
	method, path string
	status       int
	stale        bool   // marked as data of an earlier time
	holds        string // text in its body
	within       time.Duration
}

var unreachableAnswers = []outageAnswer{
	{http.MethodGet, "/healthz", 200, false, "ok", time.Second},
	{http.MethodGet, "/readyz", 503, false, "", 2 * time.Second},
	{http.MethodGet, "/api/v1/applications", 200, true, `"crash"`, time.Second},
	{http.MethodGet, "/api/v1/executions", 200, true, `"ship"`, time.Second},
	{http.MethodGet, "/", 200, true, "The database is unreachable", 2 * time.Second},
	{http.MethodGet, "/executions", 200, true, "The database is unreachable", time.Second},
	{http.MethodGet, "/activity", 200, true, "The database is unreachable", time.Second},
	{http.MethodGet, "/sites", 200, true, "", 2 * time.Second},
	{http.MethodGet, "/api/v1/regions", 200, false, "", 2 * time.Second},
	{http.MethodPost, "/api/v1/applications/crash/pipelines/ship/executions", 503, false, "", 2 * time.Second},
	{http.MethodDelete, "/api/v1/applications/crash", 503, false, "", 2 * time.Second},
}

// checkDuringOutage checks the answers of every control plane while the database is
// unreachable.
func (f *fleet) checkDuringOutage(ctx context.Context) error {
	var errs []error
	for _, r := range f.members {
		for _, a := range unreachableAnswers {
			if err := r.look(ctx, a); err != nil {
				errs = append(errs, fmt.Errorf("unreachable, %s: %w", r.listen, err))
			}
		}
	}
	return errors.Join(errs...)
}

// checkAfterOutage checks that answers are current once the database is back.
func (f *fleet) checkAfterOutage(ctx context.Context) error {
	for _, r := range f.members {
		for try := 0; ; try++ {
			err := r.look(ctx, outageAnswer{http.MethodGet, "/executions", 200, false, "", 5 * time.Second})
			if err == nil {
				break
			}
			if try == 100 {
				return fmt.Errorf("back, %s: %w", r.listen, err)
			}
			if err := pause.For(ctx, 50*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *replica) look(ctx context.Context, a outageAnswer) error {
	req, err := http.NewRequestWithContext(ctx, a.method, "http://"+r.listen+a.path, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	began := time.Now()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(res.Body); err != nil {
		return err
	}
	took, asOf := time.Since(began), res.Header.Get("Showrunner-As-Of")
	if a.within < 5*time.Second {
		fmt.Printf("  %s %-58s %d in %5s  as of %q, Retry-After %q\n", a.method, a.path, res.StatusCode, took.Round(time.Millisecond), asOf, res.Header.Get("Retry-After"))
	}
	switch {
	case res.StatusCode != a.status:
		return fmt.Errorf("%s %s was answered %d, want %d: %.200s", a.method, a.path, res.StatusCode, a.status, text.String())
	case (asOf != "") != a.stale:
		return fmt.Errorf("%s %s is as of %q", a.method, a.path, asOf)
	case a.status == 503 && res.Header.Get("Retry-After") == "":
		return fmt.Errorf("%s %s does not say when to ask again", a.method, a.path)
	case !bytes.Contains(text.Bytes(), []byte(a.holds)):
		return fmt.Errorf("%s %s does not hold %q", a.method, a.path, a.holds)
	case took > a.within:
		return fmt.Errorf("%s %s took %s", a.method, a.path, took)
	}
	return nil
}
