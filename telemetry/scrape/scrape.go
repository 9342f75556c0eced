package scrape

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"showrunner/problem"
	"showrunner/telemetry"
)

// The bounds of one answer.
const (
	mostBytes  = 4 << 20
	mostSeries = 5_000
	mostTime   = 10 * time.Second // at most the interval
	// mostRead bounds the answers that are being read together; beyond it those that are
	// longer than shortAnswer are given up, so that nobody stops the others.
	mostRead    = 256 << 20
	shortAnswer = 64 << 10
	// mostParsed bounds the answers that are parsed at once.
	mostParsed = 4
	// lookback is how long queries find the last value of a series that has not ended.
	lookback = 5 * time.Minute
)

// Target is one place to ask.
type Target struct {
	URL      string
	Interval time.Duration
	// Labels are added to every series; they tell the target from every other.
	Labels telemetry.Labels
}

// key identifies a target while it stays the same.
func (t Target) key() string { return fmt.Sprintf("%s %s %v", t.URL, t.Interval, t.Labels) }

// Scraper asks targets in their intervals. Set says which there are.
type Scraper struct {
	Store  *telemetry.Store
	Client *http.Client // NewClient's
	Now    func() time.Time
	Log    *slog.Logger

	once    sync.Once
	slots   chan struct{} // of parsing
	reading atomic.Int64  // bytes
	mu      sync.Mutex
	running map[string]context.CancelFunc
	// inherited says that the series of an earlier process's targets have been looked at.
	inherited bool
	loops     sync.WaitGroup
}

// NewClient is a client for questions: without a proxy, and without following an
// instance to another address.
func NewClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 2 * time.Minute, ResponseHeaderTimeout: mostTime},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Set begins to ask targets that are new, and stops asking those that are gone, until ctx
// ends. Targets that stay keep their interval. All says that these are all targets there
// are: then the series of targets that were gone before this process began end too.
func (s *Scraper) Set(ctx context.Context, targets []Target, all bool) error {
	s.once.Do(func() { s.slots, s.running = make(chan struct{}, mostParsed), map[string]context.CancelFunc{} })
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]Target{}
	for _, t := range targets {
		wanted[t.key()] = t
	}
	for key, stop := range s.running {
		if _, ok := wanted[key]; !ok {
			stop()
			delete(s.running, key)
		}
	}
	for key, t := range wanted {
		if _, ok := s.running[key]; ok {
			continue
		}
		one, stop := context.WithCancel(ctx)
		s.running[key] = stop
		s.loops.Go(func() { s.loop(one, t) })
	}
	if !all || s.inherited {
		return nil
	}
	s.inherited = true
	return s.endOthers(ctx, targets)
}

// endOthers ends the series of targets that are not among these: they were asked by an
// earlier process, which died before it could.
func (s *Scraper) endOthers(ctx context.Context, targets []Target) error {
	here := map[string]bool{}
	for _, t := range targets {
		here[fmt.Sprint(t.Labels)] = true
	}
	to := s.Now()
	from := to.Add(-lookback)
	list, err := s.Store.Names(ctx, from, to, telemetry.Match{Name: telemetry.MetricName, Value: "up"})
	if err != nil {
		return err
	}
	for _, labels := range list {
		delete(labels, telemetry.MetricName)
		if here[fmt.Sprint(labels)] {
			continue
		}
		var matches []telemetry.Match
		for name, v := range labels {
			matches = append(matches, telemetry.Match{Name: name, Value: v})
		}
		series, err := s.Store.Names(ctx, from, to, matches...)
		if err != nil {
			return err
		}
		var ends []telemetry.Sample
		for _, one := range series {
			ends = append(ends, telemetry.Sample{Labels: one, Time: to, Value: telemetry.Stale})
		}
		if _, err := s.Store.AppendSome(ctx, ends); err != nil {
			return err
		}
	}
	return nil
}

// Wait returns when every loop has ended, after the context of Set has.
func (s *Scraper) Wait() { s.loops.Wait() }

// loop asks one target until ctx ends. The first question waits for a part of the
// interval that depends on the target, so that many are spread over it.
func (s *Scraper) loop(ctx context.Context, t Target) {
	h := fnv.New64a()
	_, _ = io.WriteString(h, t.key())
	timer := time.NewTimer(time.Duration(h.Sum64() % uint64(t.Interval)))
	defer timer.Stop()
	var before map[string]telemetry.Labels
	for {
		select {
		case <-ctx.Done():
			s.end(t, before)
			return
		case <-timer.C:
		}
		timer.Reset(t.Interval)
		now, err := s.ask(ctx, t, before)
		if before = now; err != nil && ctx.Err() == nil {
			s.Log.Warn("metrics of an instance were not kept", "url", t.URL, "error", err)
		}
	}
}

// ask asks a target once, and keeps what it answered and how it went. Series that were in
// the answer before and are not in this one end. An answer that is none is not an error:
// up is 0 then. Errors are the store's.
func (s *Scraper) ask(ctx context.Context, t Target, before map[string]telemetry.Labels) (now map[string]telemetry.Labels, err error) {
	at := s.Now()
	body, contentType, failure := s.fetch(ctx, t)
	if ctx.Err() != nil {
		return before, nil // the target is gone
	}
	s.slots <- struct{}{} // who has one waits for nobody else
	defer func() { <-s.slots }()
	var got answer
	if failure == nil {
		got, failure = parse(body, contentType)
	}
	samples, now := got.samples(t, at)
	for id, labels := range before {
		if _, still := now[id]; !still {
			samples = append(samples, telemetry.Sample{Labels: labels, Time: at, Value: telemetry.Stale})
		}
	}
	left, err := s.Store.AppendSome(ctx, samples)
	if err != nil {
		failure = err
	}
	up := 1.0
	if failure != nil {
		up = 0
		s.Log.Debug("an instance did not tell its metrics", "url", t.URL, "error", failure)
	}
	about := func(name string, v float64, pairs ...string) telemetry.Sample {
		labels := maps.Clone(t.Labels)
		labels[telemetry.MetricName] = name
		for i := 0; i+1 < len(pairs); i += 2 {
			labels[pairs[i]] = pairs[i+1]
		}
		return telemetry.Sample{Labels: labels, Time: at, Value: v}
	}
	failed := s.Store.Append(ctx, []telemetry.Sample{
		about("up", up), about("scrape_duration_seconds", s.Now().Sub(at).Seconds()),
		about("scrape_samples_scraped", float64(len(got.series))), about("scrape_samples_left_out", float64(left+got.left)),
	})
	if err == nil {
		err = failed
	}
	if up == 0 {
		return nil, err
	}
	for name, m := range got.described {
		s.Store.Describe(name, m)
	}
	return now, err
}

// aboutNames are the metrics about each question.
var aboutNames = []string{"up", "scrape_duration_seconds", "scrape_samples_scraped", "scrape_samples_left_out"}

// end marks the series of a target that is gone, so that a query does not find its last
// values for minutes.
func (s *Scraper) end(t Target, series map[string]telemetry.Labels) {
	at := s.Now()
	var samples []telemetry.Sample
	for _, labels := range series {
		samples = append(samples, telemetry.Sample{Labels: labels, Time: at, Value: telemetry.Stale})
	}
	for _, name := range aboutNames {
		labels := maps.Clone(t.Labels)
		labels[telemetry.MetricName] = name
		samples = append(samples, telemetry.Sample{Labels: labels, Time: at, Value: telemetry.Stale})
	}
	if _, err := s.Store.AppendSome(context.Background(), samples); err != nil {
		s.Log.Warn("the end of an instance's metrics was not kept", "url", t.URL, "error", err)
	}
}

// accept is what Prometheus asks for, without its binary form.
const accept = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.1"

// fetch reads an answer, which is bounded in time and size.
func (s *Scraper) fetch(ctx context.Context, t Target) (body []byte, contentType string, err error) {
	const op = "metrics.scrape"
	ctx, cancel := context.WithTimeout(ctx, min(t.Interval, mostTime))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, t.URL, nil)
	if err != nil {
		return nil, "", problem.Wrap(err, problem.Invalid, op, "the address of metrics")
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "showrunner")
	res, err := s.Client.Do(r)
	if err != nil {
		return nil, "", problem.Wrap(err, problem.Unavailable, op, "asking for metrics")
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, "", problem.New(problem.Unavailable, op, "the instance answered %s", res.Status)
	}
	body, err = s.read(res.Body)
	return body, res.Header.Get("Content-Type"), err
}

// read reads a body within the bounds of one answer and of all together.
func (s *Scraper) read(from io.Reader) (body []byte, err error) {
	const op = "metrics.scrape"
	counted := int64(0)
	defer func() { s.reading.Add(-counted) }()
	piece := make([]byte, 16<<10)
	for {
		n, err := from.Read(piece)
		body = append(body, piece[:n]...)
		counted += int64(n)
		all := s.reading.Add(int64(n))
		switch {
		case len(body) > mostBytes:
			return nil, problem.New(problem.Invalid, op, "the answer has more than %d bytes", mostBytes)
		case all > mostRead && len(body) > shortAnswer:
			return nil, problem.New(problem.Unavailable, op, "too many long answers are being read at once")
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, problem.Wrap(err, problem.Unavailable, op, "reading metrics")
		}
	}
}
