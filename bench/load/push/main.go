// Package push measures how long it takes from a signed push webhook to the
// first task that it starts, from outside: a real control plane on SQLite is
// sent deliveries one after the other, and the pipeline's first task calls a
// service here, which notes when. A transition's time on disk is in it twice:
// the execution is recorded before it starts. It fails when the budget is unmet:
//
//	go run ./load push [-n 500] [-showrunner ../bin/showrunner]
package push

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"showrunner/bench/command"
	"showrunner/internal/pause"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	budget = 50 * time.Millisecond // p99
	secret = "the secret of this run alone"
	token  = "push-token-of-this-run-alone"
	warm   = 20
)

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("load push", flag.ExitOnError)
	n := flags.Int("n", 500, "deliveries")
	program := command.ProgramFlag(flags)
	every := flags.Duration("every", 20*time.Millisecond, "time between deliveries, so that an idle machine is measured")
	_ = flags.Parse(args) // the flag set exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *n, *program, *every); err != nil {
		fmt.Fprintln(os.Stderr, "push:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, n int, program string, every time.Duration) error {
	dir, err := os.MkdirTemp("", "push-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if program, err = command.Program(ctx, program, dir); err != nil {
		return err
	}
	began := make(chan arrival, 64)
	called, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	service := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began <- arrival{strings.TrimPrefix(r.URL.Path, "/"), time.Now()}
		w.WriteHeader(http.StatusNoContent)
	})}
	defer service.Close()
	go func() { _ = service.Serve(called) }() // until it is closed
	c := &control{program: program, dir: dir}
	if err := c.start(ctx); err != nil {
		return err
	}
	defer c.stop()
	if err := c.prepare(ctx, "http://"+called.Addr().String()); err != nil {
		return err
	}
	var answered, started []time.Duration
	for i := range n + warm {
		commit := fmt.Sprintf("%040x", i+1)
		sent := time.Now()
		if err := c.push(ctx, commit); err != nil {
			return err
		}
		said := time.Since(sent)
		at, err := await(ctx, began, commit)
		if err != nil {
			return err
		}
		if i >= warm {
			answered, started = append(answered, said), append(started, at.Sub(sent))
		}
		if err := pause.For(ctx, every); err != nil {
			return err
		}
	}
	fmt.Printf("%d signed pushes: answered p50 %s p99 %s; first task's call received p50 %s p99 %s max %s\n", n,
		quantile(answered, 0.5), quantile(answered, 0.99), quantile(started, 0.5), quantile(started, 0.99), quantile(started, 1))
	if p99 := quantile(started, 0.99); p99 > budget {
		return fmt.Errorf("p99 is %s, more than %s", p99, budget)
	}
	return nil
}

// arrival is a call by a first task.
type arrival struct {
	commit string
	at     time.Time
}

func await(ctx context.Context, began <-chan arrival, commit string) (time.Time, error) {
	t := time.NewTimer(10 * time.Second)
	defer t.Stop()
	for {
		select {
		case a := <-began:
			if a.commit == commit {
				return a.at, nil
			}
		case <-t.C:
			return time.Time{}, fmt.Errorf("push %s started nothing", commit)
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		}
	}
}

func quantile(d []time.Duration, q float64) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))].Round(10 * time.Microsecond)
}

// control is the measured control plane.
type control struct {
	program, dir, listen string
	cmd                  *exec.Cmd
}

func (c *control) start(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	c.listen = l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	c.cmd = exec.Command(c.program, "control", "--data", filepath.Join(c.dir, "data"), "--listen", c.listen, "--regions", "nowhere")
	c.cmd.Env = append(os.Environ(), "SHOWRUNNER_TOKEN="+token)
	if err := c.cmd.Start(); err != nil {
		return err
	}
	for range 500 {
		if res, err := http.Get("http://" + c.listen + "/readyz"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		if err := pause.For(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}
	c.stop()
	return fmt.Errorf("the control plane does not become ready")
}

func (c *control) stop() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait() // it was killed
}

// prepare applies the pipeline and sets the webhook's secret.
func (c *control) prepare(ctx context.Context, service string) error {
	name := filepath.Join(c.dir, "showrunner.yaml")
	text := "application: shop\npipelines:\n  release:\n    concurrency: parallel\n    triggers: [{push: {branches: [main]}}]\n" +
		"    stages: {first: {webhook: {url: \"" + service + "/${{ trigger.commit }}\"}}}\n"
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return err
	}
	for _, call := range []struct{ in, args string }{{"", "apply -f " + name}, {secret, "secret set webhook"}} {
		cmd := exec.CommandContext(ctx, c.program, append(strings.Fields(call.args), "--server", "http://"+c.listen, "--token", token)...)
		cmd.Stdin = strings.NewReader(call.in)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", call.args, err, out)
		}
	}
	return nil
}

// push delivers a webhook as GitHub does.
func (c *control) push(ctx context.Context, commit string) error {
	body := fmt.Appendf(nil, `{"ref":"refs/heads/main","before":%q,"after":%q,"repository":{"full_name":"acme/shop","clone_url":"https://example.org/acme/shop.git"},`+
		`"commits":[],"head_commit":{"id":%q,"message":"m"},"pusher":{"name":"p"}}`, strings.Repeat("0", 40), commit, commit)
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.listen+"/hooks/github/shop", bytes.NewReader(body))
	if err != nil {
		return err
	}
	for k, v := range map[string]string{"Content-Type": "application/json", "X-GitHub-Event": "push", "X-GitHub-Delivery": commit,
		"X-Hub-Signature-256": "sha256=" + hex.EncodeToString(m.Sum(nil))} {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("the push was answered %d: %s", res.StatusCode, said)
	}
	return err
}
