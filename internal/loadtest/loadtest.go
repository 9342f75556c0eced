// Package loadtest makes requests at a constant rate, whether or not earlier ones
// have been answered. In such an open loop a stall shows in its full length.
package loadtest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Target is one request to make.
type Target struct {
	Method string // default GET
	URL    string
	Host   string // Host header; default the URL's
	Header http.Header
	// Accept says whether an answer counts as success; nil accepts below 500.
	Accept func(status int, body []byte) bool
	// Seen is told of each request; nil: nobody. It is called from many goroutines.
	Seen func(Result)
}

// Result is one request.
type Result struct {
	Due    time.Time
	Took   time.Duration // since it was due
	Status int           // 0: no answer
	OK     bool
	Err    error // without an answer
}

// Report is the result of an attack.
type Report struct {
	Requests int           `json:"requests"`
	Failed   int           `json:"failed"`
	P50      time.Duration `json:"p50"`
	P99      time.Duration `json:"p99"`
	Max      time.Duration `json:"max"`
	Statuses map[int]int   `json:"statuses"` // 0: no answer
	// Failures describes up to 20 failures.
	Failures []string `json:"failures,omitempty"`
}

// String is the report in one line.
func (r Report) String() string {
	return fmt.Sprintf("%d requests, %d failed, p50 %s, p99 %s, max %s, statuses %v", r.Requests, r.Failed, r.P50.Round(time.Microsecond), r.P99.Round(time.Microsecond), r.Max.Round(time.Microsecond), r.Statuses)
}

// requestTimeout is the time after which a request without an answer counts as
// failed.
const requestTimeout = 30 * time.Second

// collector sums up results.
type collector struct {
	mu     sync.Mutex
	report Report
	took   []time.Duration
}

// Attack makes rate requests a second for duration, or until ctx ends, taking the
// targets in turn. It returns once the last request has been answered.
func Attack(ctx context.Context, rate int, duration time.Duration, targets []Target) Report {
	client := &http.Client{Timeout: requestTimeout, Transport: &http.Transport{MaxIdleConnsPerHost: 1024, MaxIdleConns: 1024, IdleConnTimeout: time.Minute, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	c := &collector{report: Report{Statuses: map[int]int{}}}
	ctx, cancel := context.WithTimeout(ctx, duration)
	defer cancel()
	tick := time.NewTicker(time.Second / time.Duration(max(rate, 1)))
	defer tick.Stop()
	began := time.Now()
	var wg sync.WaitGroup
	sent := 0
loop:
	for {
		select {
		case <-ctx.Done():
			break loop
		case <-tick.C:
			// A late tick stands for all requests that are due by now.
			for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
				target := targets[sent%len(targets)]
				at := began.Add(time.Duration(float64(sent+1) / float64(rate) * float64(time.Second)))
				wg.Go(func() { c.one(client, target, at) })
			}
		}
	}
	wg.Wait()
	return c.finish()
}

// one makes a request; its latency counts from its due time.
func (c *collector) one(client *http.Client, t Target, due time.Time) {
	status, body, err := do(client, t)
	took := time.Since(due)
	ok := err == nil && status < 500
	if err == nil && t.Accept != nil {
		ok = t.Accept(status, body)
	}
	if t.Seen != nil {
		t.Seen(Result{Due: due, Took: took, Status: status, OK: ok, Err: err})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Requests++
	c.report.Statuses[status]++
	c.took = append(c.took, took)
	if !ok {
		c.report.Failed++
		if len(c.report.Failures) < 20 {
			c.report.Failures = append(c.report.Failures, fmt.Sprintf("%s %s%s: %d %v after %s: %.120s", time.Now().UTC().Format("15:04:05.000"), t.Host, t.URL, status, err, took.Round(time.Millisecond), body))
		}
	}
}

func do(client *http.Client, t Target) (int, []byte, error) {
	method := t.Method
	if method == "" {
		method = http.MethodGet
	}
	// Not the attack's context: a request that was sent is waited for.
	req, err := http.NewRequest(method, t.URL, nil)
	if err != nil {
		return 0, nil, err
	}
	for k, v := range t.Header {
		req.Header[k] = v
	}
	req.Host = t.Host
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

func (c *collector) finish() Report {
	slices.Sort(c.took)
	r := c.report
	if n := len(c.took); n > 0 {
		r.P50, r.P99, r.Max = c.took[n/2], c.took[min(n-1, n*99/100)], c.took[n-1]
	}
	return r
}
