package scrape

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"showrunner/telemetry"
	"showrunner/telemetry/promapi"
)

func open(t *testing.T, o telemetry.Options) *telemetry.Store {
	t.Helper()
	s, err := telemetry.Open(t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// values asks the store as Grafana would: by the labels of each series that has a value
// at a time.
func values(t *testing.T, s *telemetry.Store, at time.Time, query string) map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/api/v1/query?time=%d&query=%s", at.Unix(), url.QueryEscape(query)), nil)
	promapi.New(s, "test", time.Now).ServeHTTP(w, r)
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%s: %d: %s", query, w.Code, w.Body)
	}
	found := map[string]string{}
	for _, one := range answer.Data.Result {
		m := one.Metric
		found[strings.Join([]string{m["__name__"], m["instance"], m["path"], m["exported_instance"]}, "|")] = one.Value[1].(string)
	}
	return found
}

const plain = `# HELP app_requests_total Requests.
# TYPE app_requests_total counter
app_requests_total{path="/a"} 3
app_requests_total{path="/b",instance="mine"} 4 1000
app_quantile{quantile="0.5"} NaN
`

const open1 = `# TYPE app_requests counter
# TYPE app_size_bytes gauge
# UNIT app_size_bytes bytes
app_requests_total{path="/a"} 3.0 # {trace_id="x"} 1.0
app_requests_total{instance="mine",path="/b"} 4.0 1000.0
app_quantile{quantile="0.5"} NaN
# EOF
`

// What an instance tells in either form is found under its labels; a label that has the
// name of one of them is kept beside it, and NaN is no value.
func TestWhatAnInstanceTellsIsKept(t *testing.T) {
	for kind, body := range map[string]string{"text/plain; version=0.0.4": plain, "application/openmetrics-text; version=1.0.0; charset=utf-8": open1, "": plain, "nonsense/": plain} {
		store, at := open(t, telemetry.Options{}), time.Now().Truncate(time.Second)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !strings.Contains(r.Header.Get("Accept"), "openmetrics") || r.URL.Path != "/m" {
				t.Errorf("asked for %s, accepting %q", r.URL, r.Header.Get("Accept"))
			}
			w.Header()["Content-Type"] = []string{kind}
			_, _ = io.WriteString(w, body)
		}))
		s := scraper(store, at)
		target := Target{URL: server.URL + "/m", Interval: time.Second, Labels: telemetry.Labels{"instance": "i-1", "region": "us-west-2"}}
		if _, err := s.ask(t.Context(), target, nil); err != nil {
			t.Fatal(err)
		}
		server.Close()
		got := values(t, store, at, `{region="us-west-2"}`)
		for name, want := range map[string]string{"app_requests_total|i-1|/a|": "3", "app_requests_total|i-1|/b|mine": "4", "up|i-1||": "1", "scrape_samples_scraped|i-1||": "2", "scrape_samples_left_out|i-1||": "1"} {
			if got[name] != want {
				t.Errorf("%q: %s is %q, want %q", kind, name, got[name], want)
			}
		}
		if _, ok := got["app_quantile|i-1||"]; ok {
			t.Errorf("%q: NaN was kept", kind)
		}
	}
}

func scraper(store *telemetry.Store, at time.Time) *Scraper {
	return &Scraper{Store: store, Client: NewClient(), Now: func() time.Time { return at }, Log: slog.New(slog.DiscardHandler), slots: make(chan struct{}, 1)}
}

// Whatever an instance does instead of telling its metrics, up is 0, nothing of the
// answer is kept, and its former series have ended.
func TestNonsenseIsAMetric(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("another address was asked") }))
	defer other.Close()
	for what, answer := range map[string]http.HandlerFunc{
		"an error":    func(w http.ResponseWriter, _ *http.Request) { http.Error(w, plain, http.StatusInternalServerError) },
		"a page":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<!doctype html><p>hello") },
		"half":        func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, plain+"app_broken{") },
		"a redirect":  func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) },
		"no end":      func(w http.ResponseWriter, _ *http.Request) { endless(w) },
		"many series": func(w http.ResponseWriter, _ *http.Request) { lines(w, mostSeries+1) },
		"many labels": func(w http.ResponseWriter, _ *http.Request) {
			var l []string
			for i := range mostLabels {
				l = append(l, fmt.Sprintf(`l%d="x"`, i))
			}
			fmt.Fprintf(w, "app_wide{%s} 1\n", strings.Join(l, ","))
		},
		"a long label": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, "app_long{a=%q} 1\n", strings.Repeat("x", longestContent+1))
		},
		"OpenMetrics without its end": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/openmetrics-text; version=1.0.0")
			_, _ = io.WriteString(w, "app_requests_total 1\n")
		},
		"it hangs up": func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(strings.ReplaceAll(what, " ", "-"), func(t *testing.T) {
			store, first := open(t, telemetry.Options{}), time.Now().Truncate(time.Second)
			healthy := true
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if healthy {
					_, _ = io.WriteString(w, plain)
					return
				}
				answer(w, r)
			}))
			defer server.Close()
			target := Target{URL: server.URL, Interval: time.Minute, Labels: telemetry.Labels{"instance": "i-1"}}
			before, err := scraper(store, first).ask(t.Context(), target, nil)
			if err != nil || len(before) != 2 {
				t.Fatal(before, err)
			}
			healthy = false
			second := first.Add(10 * time.Second)
			if now, err := scraper(store, second).ask(t.Context(), target, before); err != nil || len(now) != 0 {
				t.Errorf("%d series, %v", len(now), err)
			}
			if got := values(t, store, second, `{instance="i-1",__name__!~"scrape_.*"}`); len(got) != 1 || got["up|i-1||"] != "0" {
				t.Errorf("%v", got)
			}
			if got := values(t, store, first, `app_requests_total`); len(got) != 2 {
				t.Errorf("before: %v", got)
			}
		})
	}
}

func endless(w io.Writer) {
	piece := []byte("# " + strings.Repeat("x", 1<<16) + "\n")
	for {
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}

func lines(w io.Writer, n int) {
	for i := range n {
		fmt.Fprintf(w, "app_one{n=\"%d\"} 1\n", i)
	}
}

// A service with too many series loses new ones of its own; what the store is given
// otherwise is kept, and so are up and the series that were there.
func TestTooManySeriesStopNobodyElse(t *testing.T) {
	store, at := open(t, telemetry.Options{MaxSeries: 100}), time.Now().Truncate(time.Second)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { lines(w, 150) }))
	defer server.Close()
	target := Target{URL: server.URL, Interval: time.Minute, Labels: telemetry.Labels{"instance": "i-1"}}
	before := map[string]telemetry.Labels(nil)
	for i := range 2 {
		now, err := scraper(store, at.Add(time.Duration(i)*time.Second)).ask(t.Context(), target, before)
		if err != nil {
			t.Fatal(err)
		}
		before = now
	}
	after := at.Add(time.Second)
	if got := values(t, store, after, `count(app_one)`)["|||"]; got != "75" {
		t.Errorf("%s series are kept, want 75", got)
	}
	if got := values(t, store, after, `scrape_samples_left_out`)["scrape_samples_left_out|i-1||"]; got != "75" {
		t.Errorf("%s samples are said to be left out", got)
	}
	if err := store.Append(t.Context(), []telemetry.Sample{{Labels: telemetry.Labels{telemetry.MetricName: "showrunner_requests_total"}, Time: at, Value: 1}}); err != nil {
		t.Error(err)
	}
}

// transport answers by host; "away" never does.
type transport map[string]int

func (f transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "away" {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: f[r.URL.Host], Body: io.NopCloser(strings.NewReader("app_value 1\n")), Header: http.Header{"Content-Type": {"text/plain"}}}, nil
}

// Instances that hang, however many, never delay the others; one that is gone is not
// asked again, and its series end at once.
func TestInstancesThatHangStopNobody(t *testing.T) {
	store := open(t, telemetry.Options{Late: 365 * 24 * time.Hour, Retention: 50 * 365 * 24 * time.Hour})
	synctest.Test(t, func(t *testing.T) {
		s := &Scraper{Store: store, Client: &http.Client{Transport: transport{"here": 200}}, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
		target := func(id, host string) Target {
			return Target{URL: "http://" + host + "/metrics", Interval: 10 * time.Second, Labels: telemetry.Labels{"instance": id}}
		}
		var all []Target
		for i := range 50 {
			all = append(all, target(fmt.Sprintf("i-away-%d", i), "away"))
		}
		all = append(all, target("i-1", "here"), target("i-2", "here"))
		set(t, s, all)
		<-time.After(35 * time.Second)
		synctest.Wait()
		now := time.Now()
		if got := values(t, store, now, `count_over_time(up{instance="i-1"}[35s])`)["|i-1||"]; got != "3" && got != "4" {
			t.Errorf("i-1 was asked %s times in 35 s", got)
		}
		got := values(t, store, now, `up`)
		if len(got) != 52 || got["up|i-away-0||"] != "0" || got["up|i-1||"] != "1" {
			t.Errorf("%v", got)
		}
		set(t, s, all[:51])
		synctest.Wait()
		<-time.After(time.Second)
		if got := values(t, store, time.Now(), `{instance="i-2"}`); len(got) != 0 {
			t.Errorf("an instance that is gone has %v", got)
		}
		set(t, s, nil)
		s.Wait()
	})
}

func set(t *testing.T, s *Scraper, targets []Target) {
	t.Helper()
	if err := s.Set(t.Context(), targets, true); err != nil {
		t.Error(err)
	}
}

// A process that was killed could not end the series of its targets: the next one does,
// for those that are gone, once it knows all that there are.
func TestSeriesOfAnEarlierProcessEnd(t *testing.T) {
	store, at := open(t, telemetry.Options{}), time.Now().Truncate(time.Second)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "app_one{extra=\"x\"} 1\n") }))
	defer server.Close()
	var targets []Target
	for _, id := range []string{"i-1", "i-2"} {
		targets = append(targets, Target{URL: server.URL, Interval: time.Hour, Labels: telemetry.Labels{"instance": id, "region": "us-west-2"}})
		if _, err := scraper(store, at).ask(t.Context(), targets[len(targets)-1], nil); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	next := &Scraper{Store: store, Client: NewClient(), Now: func() time.Time { return at.Add(time.Second) }, Log: slog.New(slog.DiscardHandler)}
	for _, step := range []struct{ all bool }{{false}, {true}} {
		if err := next.Set(ctx, targets[:1], step.all); err != nil {
			t.Fatal(err)
		}
		got := values(t, store, at.Add(time.Second), `{__name__=~"app_one|up"}`)
		if want := map[bool]int{false: 4, true: 2}[step.all]; len(got) != want || got["app_one|i-1||"] != "1" {
			t.Errorf("all known: %v: %v", step.all, got)
		}
	}
	cancel()
	next.Wait()
}

// FuzzParse: no answer makes the program fail, and what is kept is within the bounds.
func FuzzParse(f *testing.F) {
	f.Add([]byte(plain), "text/plain")
	f.Add([]byte(open1), "application/openmetrics-text; version=1.0.0")
	f.Add([]byte("a{b=\"\xff\"} 1\n{\"c\"} 2\n"), "")
	f.Fuzz(func(t *testing.T, body []byte, kind string) {
		got, err := parse(body, kind)
		if err != nil {
			return
		}
		for _, one := range got.series {
			if one.labels[telemetry.MetricName] == "" || len(one.labels) > mostLabels {
				t.Errorf("%v", one)
			}
		}
	})
}
