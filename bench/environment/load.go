package environment

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"showrunner/internal/loadtest"
)

// Service builds the service under test, environment/service, into a folder.
func Service(ctx context.Context, dir string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "service"), "showrunner/bench/environment/service")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the service: %w: %s", err, out)
	}
	return nil
}

// Load is the result of the users' requests. Requests that may be repeated and
// others are counted separately.
type Load struct {
	Safe   loadtest.Report `json:"repeatable"`
	Unsafe loadtest.Report `json:"others"`
	// Versions counts the requests that each version of the service answered.
	Versions map[string]int `json:"versions,omitempty"`
	Machine  string         `json:"loadAverage"` // of the last minute, at the end
}

// Attack makes rate repeatable requests a second to a cluster of the service
// through the edge, and other requests at a tenth of the rate, while f runs.
func (w *World) Attack(ctx context.Context, cluster string, rate int, f func() error) (Load, error) {
	versions := map[string]int{}
	var counting sync.Mutex
	target := func(method string) loadtest.Target {
		return w.Target(cluster, method, "/", func(status int, body []byte) bool {
			version, rest, _ := bytes.Cut(body, []byte(" "))
			if status != 200 || !bytes.HasSuffix(rest, []byte(" "+method+"\n")) {
				return false
			}
			counting.Lock()
			versions[string(version)]++
			counting.Unlock()
			return true
		})
	}
	l, err := AttackWith(ctx, rate, target("GET"), target("POST"), f)
	l.Versions = versions
	return l, err
}

// Target is a request to a cluster through the edge; nil accepts only 200.
func (w *World) Target(cluster, method, path string, accept func(status int, body []byte) bool) loadtest.Target {
	if accept == nil {
		accept = func(status int, _ []byte) bool { return status == 200 }
	}
	return loadtest.Target{Method: method, URL: "http://" + w.Edge + path, Host: cluster + ".localhost", Accept: accept}
}

// AttackWith is Attack with the caller's own requests.
func AttackWith(ctx context.Context, rate int, safe, unsafe loadtest.Target, f func() error) (l Load, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	first, second := make(chan loadtest.Report), make(chan loadtest.Report)
	go func() { first <- loadtest.Attack(ctx, rate, time.Hour, []loadtest.Target{safe}) }()
	go func() { second <- loadtest.Attack(ctx, max(1, rate/10), time.Hour, []loadtest.Target{unsafe}) }()
	err = f()
	cancel()
	l.Safe, l.Unsafe, l.Machine = <-first, <-second, loadAverage()
	return l, err
}

// LoadHead is the head of the table whose rows Row prints.
func LoadHead() string {
	return fmt.Sprintf("%9s %7s %9s %9s %9s | %7s %7s %9s | %-5s", "requests", "failed", "p50", "p99", "max", "others", "failed", "p99", "load")
}

// Row is the load as a row of a table.
func (l Load) Row() string {
	return fmt.Sprintf("%9d %7d %9s %9s %9s | %7d %7d %9s | %-5s", l.Safe.Requests, l.Safe.Failed, milliseconds(l.Safe.P50), milliseconds(l.Safe.P99), milliseconds(l.Safe.Max),
		l.Unsafe.Requests, l.Unsafe.Failed, milliseconds(l.Unsafe.P99), l.Machine)
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%.1fms", d.Seconds()*1000) }

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "?"
	}
	return strings.Fields(string(text))[0]
}
