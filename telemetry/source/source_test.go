package source

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"showrunner/problem"
	"showrunner/telemetry"
	"showrunner/telemetry/promapi"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// What the query API of Prometheus answers is read, with its gaps, as the embedded store
// gives it.
func TestAPrometheusIsASource(t *testing.T) {
	store, err := telemetry.Open(t.TempDir(), telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	var samples []telemetry.Sample
	for i := range 10 {
		if i == 4 {
			samples = append(samples, telemetry.Sample{Labels: telemetry.Labels{telemetry.MetricName: "x"}, Time: noon.Add(4 * time.Second), Value: telemetry.Stale})
			continue
		}
		samples = append(samples, telemetry.Sample{Labels: telemetry.Labels{telemetry.MetricName: "x"}, Time: noon.Add(time.Duration(i) * time.Second), Value: float64(i)})
	}
	if err := store.Append(t.Context(), samples); err != nil {
		t.Fatal(err)
	}
	embedded := promapi.New(store, "test", time.Now)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("the token is %q", r.Header.Get("Authorization"))
		}
		embedded.ServeHTTP(w, r)
	}))
	defer server.Close()
	p := &Prometheus{URL: server.URL + "/", Token: "secret\n", Client: NewClient()}
	for what, s := range map[string]interface {
		read(ctx context.Context) (string, error)
	}{"over HTTP": reader{func(ctx context.Context) (string, error) {
		found, err := p.Range(ctx, "x", noon, noon.Add(9*time.Second), time.Second)
		return fmt.Sprint(found), err
	}}, "embedded": reader{func(ctx context.Context) (string, error) {
		found, err := embedded.Range(ctx, "x", noon, noon.Add(9*time.Second), time.Second)
		return fmt.Sprint(found), err
	}}} {
		text, err := s.read(t.Context())
		if err != nil || strings.Count(text, "}") != 9 || strings.Contains(text, " 4}") || !strings.Contains(text, " 9}") {
			t.Errorf("%s: %s, %v", what, text, err)
		}
	}
	for what, err := range map[string]error{"over HTTP": second(p.Range(t.Context(), "sum(", noon, noon, time.Second)), "embedded": second(embedded.Range(t.Context(), "sum(", noon, noon, time.Second))} {
		if problem.CodeOf(err) != problem.Invalid {
			t.Errorf("%s: a query that cannot be read: %v", what, err)
		}
	}
}

type reader struct {
	f func(context.Context) (string, error)
}

func (r reader) read(ctx context.Context) (string, error) { return r.f(ctx) }

func second[T any](_ T, err error) error { return err }

// Whatever else a server answers is an error, in time, and never points.
func TestASourceThatIsNone(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another address was asked") }))
	defer other.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	write := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for what, handler := range map[string]http.HandlerFunc{
		"an error":       write(500, "boom"),
		"a page":         write(200, "<!doctype html>"),
		"a timeout":      write(503, `{"status":"error","errorType":"timeout","error":"query timed out"}`),
		"error with 200": write(200, `{"status":"error","errorType":"internal","error":"x"}`),
		"a vector":       write(200, `{"status":"success","data":{"resultType":"vector","result":[]}}`),
		"no points":      write(200, `{"status":"success","data":{"resultType":"matrix","result":[{"values":[["x",1]]}]}}`),
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		},
		"it is slow": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then is a client that has gone noticed
			<-r.Context().Done()
		},
		"it hangs up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"it has no end": func(w http.ResponseWriter, _ *http.Request) {
			piece := []byte(strings.Repeat(" ", 1<<16))
			for {
				if _, err := w.Write(piece); err != nil {
					return
				}
			}
		},
	} {
		server := httptest.NewServer(handler)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		found, err := (&Prometheus{URL: server.URL, Client: NewClient()}).Range(ctx, "x", noon, noon, time.Second)
		cancel()
		server.CloseClientConnections()
		server.Close()
		if code := problem.CodeOf(err); found != nil || code != problem.Unavailable && code != problem.Invalid {
			t.Errorf("%s: %v, %v", what, found, err)
		}
	}
	if _, err := (&Prometheus{URL: gone.URL, Client: NewClient()}).Range(t.Context(), "x", noon, noon, time.Second); problem.CodeOf(err) != problem.Unavailable {
		t.Errorf("nobody listens: %v", err)
	}
}
