// Package metrics compares control's store of metrics with a stock Prometheus: 10,000
// series at 10 s, written to each by the same remote write, one process after the other in
// one run.
//
//	cd bench && go run ./peers metrics [-prometheus /usr/bin/prometheus] [-hours 2]
//
// The hours are written as fast as each takes them, with the times that a scrape every 10 s
// would have given. Then memory, queries, and the time from the start after kill -9 to the
// first answer with the newest samples. The ratios are the result. Control's process does
// its other work too: what it needs before the first sample is shown beside.
package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/golang/snappy"
	"github.com/prometheus/prometheus/prompb"

	"showrunner/bench/command"
	"showrunner/bench/environment"
)

const (
	step = 10 * time.Second
	// perRequest is how many samples a request has: Prometheus' own default.
	perRequest = 2000
	asked      = 15 // times that each query is asked
)

// peer is one of the programs.
type peer struct {
	name    string
	start   func() *exec.Cmd
	write   string // path of remote write
	address string
	token   func() (string, error)

	process *exec.Cmd
	result
}

// result is what was measured of one program.
type result struct {
	idle, loaded      int64 // resident bytes, before and after the samples
	disk              int64
	writing           time.Duration
	restart           time.Duration
	instant, overTime time.Duration
}

// Main runs the benchmark.
func Main(args []string) {
	flags := flag.NewFlagSet("peers metrics", flag.ExitOnError)
	exe := command.ProgramFlag(flags)
	prometheus := flags.String("prometheus", "prometheus", "the program of Prometheus")
	series := flags.Int("series", 10_000, "how many series")
	hours := flags.Float64("hours", 2, "how many hours are written")
	_ = flags.Parse(args) // the flag set exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *exe, *prometheus, *series, time.Duration(*hours*float64(time.Hour))); err != nil {
		fmt.Fprintln(os.Stderr, "metrics:", err)
		os.Exit(2)
	}
}

func run(ctx context.Context, exe, prometheus string, series int, length time.Duration) error {
	dir, err := os.MkdirTemp("", "bench-metrics-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if exe, err = command.Program(ctx, exe, dir); err != nil {
		return err
	}
	ours, theirs, err := environment.FreePorts()
	if err != nil {
		return err
	}
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte("global: { scrape_interval: 10s }\n"), 0o600); err != nil {
		return err
	}
	data := filepath.Join(dir, "control")
	peers := []*peer{
		{name: "showrunner control", address: ours, write: "/api/v1/write",
			start: func() *exec.Cmd { return exec.Command(exe, "control", "--data", data, "--listen", ours) },
			token: func() (string, error) {
				raw, err := os.ReadFile(filepath.Join(data, "token"))
				return strings.TrimSpace(string(raw)), err
			}},
		{name: "prometheus", address: theirs, write: "/api/v1/write",
			start: func() *exec.Cmd {
				return exec.Command(prometheus, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "prometheus"), "--web.listen-address="+theirs, "--web.enable-remote-write-receiver")
			},
			token: func() (string, error) { return "", nil }},
	}
	end := time.Now().Truncate(step)
	for _, p := range peers {
		if err := p.measure(ctx, series, end.Add(-length), end); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		if p.name == "prometheus" {
			p.disk = size(filepath.Join(dir, "prometheus"))
		} else {
			p.disk = size(filepath.Join(data, "metrics"))
		}
	}
	version, _ := exec.Command(prometheus, "--version").CombinedOutput()
	first, _, _ := strings.Cut(string(version), "\n")
	show(peers[0], peers[1], first, series, length)
	return nil
}

// measure does everything with one program.
func (p *peer) measure(ctx context.Context, series int, from, to time.Time) error {
	if err := p.spawn(ctx, ""); err != nil {
		return err
	}
	defer func() { p.kill() }()
	p.idle = resident(p.process.Process.Pid)
	began := time.Now()
	for at := from; !at.After(to); at = at.Add(step) {
		for first := 0; first < series; first += perRequest {
			if err := p.send(ctx, first, min(first+perRequest, series), at); err != nil {
				return err
			}
		}
	}
	p.writing = time.Since(began)
	p.loaded = resident(p.process.Process.Pid)
	newest := url.Values{"query": {"count(bench_requests_total)"}, "time": {strconv.FormatInt(to.Unix(), 10)}}
	if got, err := p.ask(ctx, "/api/v1/query", newest); err != nil || !strings.Contains(got, `"`+strconv.Itoa(series)+`"`) {
		return fmt.Errorf("the newest samples: %.300s, %v", got, err)
	}
	instant := url.Values{"query": {"sum by (job) (rate(bench_requests_total[5m]))"}, "time": {strconv.FormatInt(to.Unix(), 10)}}
	overTime := url.Values{"query": {`sum by (instance) (rate(bench_requests_total{job="job-3"}[1m]))`}, "start": {strconv.FormatInt(from.Unix(), 10)}, "end": {strconv.FormatInt(to.Unix(), 10)}, "step": {"60"}}
	var err error
	if p.instant, err = p.median(ctx, "/api/v1/query", instant); err != nil {
		return err
	}
	if p.overTime, err = p.median(ctx, "/api/v1/query_range", overTime); err != nil {
		return err
	}
	p.kill()
	began = time.Now()
	if err := p.spawn(ctx, `"`+strconv.Itoa(series)+`"`, newest); err != nil {
		return err
	}
	p.restart = time.Since(began)
	return nil
}

// spawn starts the program and waits until it answers a query, with a text in the answer.
func (p *peer) spawn(ctx context.Context, text string, query ...url.Values) error {
	p.process = p.start()
	var said bytes.Buffer
	p.process.Stdout, p.process.Stderr = &said, &said
	p.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := p.process.Start(); err != nil {
		return err
	}
	values := url.Values{"query": {"vector(1)"}}
	if len(query) > 0 {
		values = query[0]
	}
	deadline := time.Now().Add(2 * time.Minute)
	for {
		got, err := p.ask(ctx, "/api/v1/query", values)
		if err == nil && strings.Contains(got, text) {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("it does not answer: %.200s, %v; it said %.1000s", got, err, said.String())
		}
		pause := time.NewTimer(5 * time.Millisecond)
		<-pause.C
	}
}

func (p *peer) kill() {
	_ = p.process.Process.Kill()
	_ = p.process.Wait() // it was killed
}

// send writes one sample of some series.
func (p *peer) send(ctx context.Context, first, last int, at time.Time) error {
	var request prompb.WriteRequest
	for i := first; i < last; i++ {
		request.Timeseries = append(request.Timeseries, prompb.TimeSeries{
			Labels: []prompb.Label{{Name: "__name__", Value: "bench_requests_total"}, {Name: "instance", Value: fmt.Sprintf("10.0.%d.%d:8080", i/200%250, i%200)},
				{Name: "job", Value: fmt.Sprint("job-", i/200%10)}, {Name: "number", Value: strconv.Itoa(i)}, {Name: "region", Value: []string{"us-west-2", "us-east-1", "eu-west-1"}[i%3]}},
			Samples: []prompb.Sample{{Value: float64(at.Unix()%100_000) * float64(1+i%7), Timestamp: at.UnixMilli()}}})
	}
	raw, err := request.Marshal()
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+p.write, bytes.NewReader(snappy.Encode(nil, raw)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	_, err = p.do(req)
	return err
}

func (p *peer) ask(ctx context.Context, path string, query url.Values) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.address+path+"?"+query.Encode(), nil)
	if err != nil {
		return "", err
	}
	return p.do(req)
}

func (p *peer) do(req *http.Request) (string, error) {
	token, err := p.token()
	if err != nil {
		return "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s: %.300s", res.Status, text)
	}
	return string(text), err
}

// median is how long a query takes.
func (p *peer) median(ctx context.Context, path string, query url.Values) (time.Duration, error) {
	var took []time.Duration
	for range asked {
		began := time.Now()
		got, err := p.ask(ctx, path, query)
		if err != nil {
			return 0, err
		}
		var answer struct {
			Data struct{ Result []json.RawMessage }
		}
		if err := json.Unmarshal([]byte(got), &answer); err != nil || len(answer.Data.Result) == 0 {
			return 0, fmt.Errorf("the query %s has no answer: %.200s", query.Get("query"), got)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// resident is the memory of a process.
func resident(pid int) int64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // empty: zero
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

func size(dir string) (total int64) {
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error { // a file that is gone has no size
		if err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

func show(ours, theirs *peer, version string, series int, length time.Duration) {
	samples := float64(series) * (length.Seconds()/step.Seconds() + 1)
	fmt.Printf("%d series at %s, %s of them: %.0f samples, beside %s\n", series, step, length, samples, version)
	fmt.Println("| | showrunner control | prometheus | ratio |\n|---|---|---|---|")
	mega := func(n int64) string { return fmt.Sprintf("%.0f MB", float64(n)/1e6) }
	rows := []struct {
		what string
		a, b float64
		text [2]string
	}{
		{"memory before the first sample", float64(ours.idle), float64(theirs.idle), [2]string{mega(ours.idle), mega(theirs.idle)}},
		{"memory with them", float64(ours.loaded), float64(theirs.loaded), [2]string{mega(ours.loaded), mega(theirs.loaded)}},
		{"of it for the samples", float64(ours.loaded - ours.idle), float64(theirs.loaded - theirs.idle), [2]string{mega(ours.loaded - ours.idle), mega(theirs.loaded - theirs.idle)}},
		{"samples taken a second", samples / ours.writing.Seconds(), samples / theirs.writing.Seconds(), [2]string{fmt.Sprintf("%.0f", samples/ours.writing.Seconds()), fmt.Sprintf("%.0f", samples/theirs.writing.Seconds())}},
		{"kill -9 to the newest samples", ours.restart.Seconds(), theirs.restart.Seconds(), [2]string{ours.restart.Round(time.Millisecond).String(), theirs.restart.Round(time.Millisecond).String()}},
		{"rate of all series, median", ours.instant.Seconds(), theirs.instant.Seconds(), [2]string{ours.instant.Round(10 * time.Microsecond).String(), theirs.instant.Round(10 * time.Microsecond).String()}},
		{"rate of a tenth over all the time, median", ours.overTime.Seconds(), theirs.overTime.Seconds(), [2]string{ours.overTime.Round(10 * time.Microsecond).String(), theirs.overTime.Round(10 * time.Microsecond).String()}},
		{"on disk", float64(ours.disk), float64(theirs.disk), [2]string{mega(ours.disk), mega(theirs.disk)}},
	}
	for _, r := range rows {
		fmt.Printf("| %s | %s | %s | %.2f |\n", r.what, r.text[0], r.text[1], r.a/r.b)
	}
}
