package history

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const token = "keep-measurement-of-this-run-alone"

// plane is a real control plane.
type plane struct {
	place
	binary, listen string
	cmd            *exec.Cmd
	ready          time.Duration // after its start
}

// start runs a control plane on a place and waits until it is ready.
func (o options) start(ctx context.Context, p place, flags ...string) (*plane, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &plane{place: p, binary: o.binary, listen: l.Addr().String()}
	l.Close()
	c.cmd = exec.CommandContext(ctx, o.binary, append([]string{"control", "--data", p.data, "--listen", c.listen, "--regions", "nowhere"}, flags...)...)
	c.cmd.Env = append(os.Environ(), "SHOWRUNNER_TOKEN="+token)
	if p.kind == "postgres" {
		c.cmd.Env = append(c.cmd.Env, "SHOWRUNNER_DATABASE="+p.address)
	}
	log, err := os.OpenFile(filepath.Join(p.data, "control.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	c.cmd.Stdout, c.cmd.Stderr = log, log
	began := time.Now()
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	*o.started = append(*o.started, c.cmd)
	for {
		if _, err := c.get(ctx, "/readyz"); err == nil {
			break
		}
		if time.Since(began) > time.Minute {
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("control is not ready after a minute: %s", text)
		}
		pause(2 * time.Millisecond)
	}
	c.ready = time.Since(began)
	return c, nil
}

func pause(d time.Duration) { <-time.After(d) }

// stop ends it cleanly.
func (c *plane) stop() error {
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return c.cmd.Wait()
}

func (c *plane) get(ctx context.Context, path string) ([]byte, error) {
	body, err := c.open(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

func (c *plane) open(ctx context.Context, method, path string, in any) (io.ReadCloser, error) {
	var content bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&content).Encode(in); err != nil {
			return nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+c.listen+path, &content)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body) // what there is
		return nil, fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, text)
	}
	return res.Body, nil
}

// listed is the answer to a list request.
type listed struct {
	Executions []struct {
		ID     string `json:"id"`
		Status string `json:"status"`
	} `json:"executions"`
	Next string `json:"next"`
}

func (c *plane) list(ctx context.Context, query string) (page listed, err error) {
	raw, err := c.get(ctx, "/api/v1/executions?"+query)
	if err == nil {
		err = json.Unmarshal(raw, &page)
	}
	return page, err
}

// run starts a pipeline of the application keep.
func (c *plane) run(ctx context.Context, pipeline string, parameters map[string]string, trigger map[string]any) (string, error) {
	body, err := c.open(ctx, http.MethodPost, "/api/v1/applications/keep/pipelines/"+pipeline+"/executions", map[string]any{"parameters": parameters, "trigger": trigger})
	if err != nil {
		return "", err
	}
	defer body.Close()
	var started struct {
		Execution struct {
			ID string `json:"id"`
		} `json:"execution"`
	}
	return started.Execution.ID, json.NewDecoder(body).Decode(&started)
}

// apply applies the pipelines.
func (c *plane) apply(ctx context.Context, text string) error {
	name := filepath.Join(c.data, "showrunner.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, c.binary, "apply", "-f", name, "--server", "http://"+c.listen, "--token", token).CombinedOutput(); err != nil {
		return fmt.Errorf("apply: %w: %s", err, out)
	}
	return nil
}

// resident is the process's memory in bytes, 0 where it is unknown.
func (c *plane) resident() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64) // 0 is the result then
			return n << 10
		}
	}
	return 0
}
