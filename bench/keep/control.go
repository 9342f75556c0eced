package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const token = "keep-measurement-of-this-run-alone"

// started is what a real control plane showed.
type started struct {
	ready         time.Duration
	memory, after int64 // resident bytes when ready, and after many pages
	p50, p99      float64
}

func buildBinary(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "showrunner")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "showrunner/cmd/showrunner").CombinedOutput(); err != nil {
		return "", fmt.Errorf("building: %w: %s", err, out)
	}
	return binary, nil
}

// start runs a control plane on a store, asks it for pages, and ends it.
func (o options) start(ctx context.Context, kind, name, database string) (started, error) {
	var s started
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return s, err
	}
	listen := l.Addr().String()
	l.Close()
	data := filepath.Join(o.dir, name)
	cmd := exec.CommandContext(ctx, o.binary, "control", "--data", data, "--listen", listen, "--regions", "nowhere", "--keep-events", "87600h")
	cmd.Env = append(os.Environ(), "SHOWRUNNER_TOKEN="+token)
	if kind == "postgres" {
		if database == "" {
			if database, err = o.server.Database(ctx); err != nil {
				return s, err
			}
		}
		cmd.Env = append(cmd.Env, "SHOWRUNNER_DATABASE="+database)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return s, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	get := func(path string) (int, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+listen+path, nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		res.Body.Close()
		return res.StatusCode, nil
	}
	for {
		if status, err := get("/readyz"); err == nil && status == http.StatusOK {
			break
		}
		if time.Since(began) > time.Minute {
			return s, fmt.Errorf("control is not ready after a minute")
		}
		t := time.NewTimer(2 * time.Millisecond)
		<-t.C
	}
	s.ready = time.Since(began)
	s.memory = resident(cmd.Process.Pid)
	var took []float64
	for i := range 2000 {
		began := time.Now()
		status, err := get("/api/v1/executions?limit=50&application=app" + strconv.Itoa(i%50))
		if err != nil || status != http.StatusOK {
			return s, fmt.Errorf("a page: %d, %w", status, err)
		}
		took = append(took, float64(time.Since(began))/float64(time.Millisecond))
	}
	slices.Sort(took)
	s.p50, s.p99 = took[len(took)/2], took[len(took)*99/100]
	s.after = resident(cmd.Process.Pid)
	return s, nil
}

// resident is a process's memory in bytes, 0 where that is not told.
func resident(pid int) int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // 0 is what it then is
			return n << 10
		}
	}
	return 0
}
