package balancer

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"
)

// load is the result of one run of requests.
type load struct {
	requests float64
	took     time.Duration
	p50, p99 time.Duration
	failed   int
}

var (
	wrkRate    = regexp.MustCompile(`(\d+) requests in ([\d.]+\w+)`)
	wrkP50     = regexp.MustCompile(`50%\s+([\d.]+\w+)`)
	wrkP99     = regexp.MustCompile(`99%\s+([\d.]+\w+)`)
	wrkRefused = regexp.MustCompile(`Non-2xx or 3xx responses: (\d+)`)
	wrkErrors  = regexp.MustCompile(`Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)`)
)

// full has wrk make as many requests as are answered; closes uses a new
// connection for each request.
func full(ctx context.Context, address string, connections int, length time.Duration, closes bool) (l load, err error) {
	args := []string{"-t2", "-c", strconv.Itoa(connections), "-d", fmt.Sprintf("%.0fs", length.Seconds()), "--latency", "-H", "Host: " + host}
	if closes {
		args = append(args, "-H", "Connection: close")
	}
	out, err := exec.CommandContext(ctx, "wrk", append(args, "http://"+address+"/")...).CombinedOutput()
	if err != nil {
		return l, fmt.Errorf("wrk: %w: %s", err, out)
	}
	m := wrkRate.FindSubmatch(out)
	p50, p99 := wrkP50.FindSubmatch(out), wrkP99.FindSubmatch(out)
	if m == nil || p50 == nil || p99 == nil {
		return l, fmt.Errorf("wrk said: %s", out)
	}
	if l.requests, err = strconv.ParseFloat(string(m[1]), 64); err != nil {
		return l, err
	}
	for i, to := range map[int]*time.Duration{0: &l.took, 1: &l.p50, 2: &l.p99} {
		if *to, err = time.ParseDuration(string([][]byte{m[2], p50[1], p99[1]}[i])); err != nil {
			return l, err
		}
	}
	for _, found := range [][][]byte{wrkRefused.FindSubmatch(out), wrkErrors.FindSubmatch(out)} {
		for _, n := range found[min(1, len(found)):] {
			k, err := strconv.Atoi(string(n))
			if err != nil {
				return l, err
			}
			l.failed += k
		}
	}
	return l, nil
}

// steady makes requests at a constant rate over open connections, whether or not
// the last answer came in time: the latency of a request that had to wait for a
// connection counts from its due time. No garbage is collected in this process
// meanwhile, since the pause would count as latency of the other side.
func steady(ctx context.Context, address string, connections, rate int, length time.Duration) (load, error) {
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	var mu sync.Mutex
	var took []time.Duration
	var failed int
	began := time.Now()
	every := time.Duration(float64(time.Second) / float64(rate) * float64(connections))
	errs := make(chan error, connections)
	for i := range connections {
		go func() {
			mine, bad, err := steadily(ctx, address, began.Add(every*time.Duration(i)/time.Duration(connections)), every, began.Add(length))
			mu.Lock()
			took, failed = append(took, mine...), failed+bad
			mu.Unlock()
			errs <- err
		}()
	}
	for range connections {
		if err := <-errs; err != nil {
			return load{}, err
		}
	}
	if len(took) == 0 {
		return load{}, fmt.Errorf("%s answered nothing", address)
	}
	slices.Sort(took)
	return load{requests: float64(len(took)), took: time.Since(began), p50: took[len(took)/2], p99: took[len(took)*99/100], failed: failed}, nil
}

func steadily(ctx context.Context, address string, due time.Time, every time.Duration, end time.Time) (took []time.Duration, failed int, err error) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	request := []byte("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
	answers := bufio.NewReader(c)
	for ; due.Before(end) && ctx.Err() == nil; due = due.Add(every) {
		from := due
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait) // the schedule; on a busy machine it may wake late, which is not the other side's latency
			from = time.Now()
		}
		if _, err := c.Write(request); err != nil {
			return took, failed, err
		}
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			return took, failed, err
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if err != nil {
			return took, failed, err
		}
		if res.StatusCode != http.StatusOK {
			failed++
		}
		took = append(took, time.Since(from))
	}
	return took, failed, ctx.Err()
}
