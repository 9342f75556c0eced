// Package overload shows from outside what a control plane does with too much: a
// pipeline of 10,000 stages and a fan-out of 1,000 through the real program, with
// everything else answering meanwhile; more starts than a pipeline's queue takes,
// with another application's admitted; and a flood of one application's runs, in
// calls that last and in builds, among which another's single run takes its turn:
//
//	go run ./scale overload
//	go run ./scale overload -only fair
//
// It fails (exit code 1) when one of them does not succeed, when a list, a page or
// another application's run takes longer than its budget meanwhile, or when a
// start that is too many is answered with anything but 429 and when to ask again.
package overload

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"showrunner/bench/command"
	"showrunner/bench/environment"
)

const (
	stages     = 10_000
	fan        = 1_000
	queued     = 1_000 // the engine's limit for one queue
	listBudget = 500 * time.Millisecond
	pageBudget = 3 * time.Second
	runBudget  = 5 * time.Second
)

type bench struct {
	*environment.World
	listen, token string
	failed        []string
}

// Main runs the benchmark with the arguments of its part of the command line
// and exits with 1 when a promise or budget is not kept.
func Main(args []string) {
	flags := flag.NewFlagSet("scale overload", flag.ExitOnError)
	binary := command.ProgramFlag(flags)
	dir := flags.String("dir", "", "folder for everything; empty: a temporary one")
	only := flags.String("only", "", "wide, admission or fair; empty: all of them")
	_ = flags.Parse(args) // the flag set exits on an error
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	failed, err := run(ctx, *binary, *dir, *only)
	for _, f := range failed {
		fmt.Println("FAILED:", f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "overload:", err)
	}
	if err != nil || len(failed) > 0 {
		os.Exit(1)
	}
	fmt.Println("PASSED")
}

func run(ctx context.Context, binary, dir, only string) ([]string, error) {
	dir, err := os.MkdirTemp(dir, "overload-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	w, err := environment.Start(ctx, binary, dir)
	if err != nil {
		return nil, err
	}
	defer w.Stop()
	b := &bench{World: w}
	address, err := os.ReadFile(filepath.Join(w.Data, "control.addr"))
	token, err2 := os.ReadFile(filepath.Join(w.Data, "token"))
	if err = errors.Join(err, err2); err != nil {
		return nil, err
	}
	b.listen, b.token = strings.TrimSpace(string(address)), strings.TrimSpace(string(token))
	for _, step := range []struct {
		name string
		run  func(context.Context) error
	}{{"wide", b.wide}, {"admission", b.admission}, {"fair", b.fair}} {
		if only != "" && only != step.name {
			continue
		}
		if err := step.run(ctx); err != nil {
			return b.failed, err
		}
	}
	return b.failed, nil
}

func (b *bench) must(holds bool, format string, args ...any) {
	if !holds {
		b.failed = append(b.failed, fmt.Sprintf(format, args...))
	}
}

// long is a pipeline of very many stages, a hundred at a time.
func long() string {
	var t strings.Builder
	t.WriteString("application: long\npipelines:\n  p:\n    concurrency: parallel\n    stages:\n")
	for i := range stages {
		needs := ""
		if i >= 100 {
			needs = fmt.Sprintf("needs: [s%d], ", i-100)
		}
		fmt.Fprintf(&t, "      s%d: { %swait: { for: 1ms } }\n", i, needs)
	}
	return t.String()
}

// wideOpen is a fan-out and a fan-in.
func wideOpen() string {
	var t strings.Builder
	t.WriteString("application: wide\npipelines:\n  p:\n    concurrency: parallel\n    stages:\n      a: { wait: { for: 1ms } }\n")
	var all []string
	for i := range fan {
		fmt.Fprintf(&t, "      f%d: { needs: [a], wait: { for: 1ms } }\n", i)
		all = append(all, fmt.Sprintf("f%d", i))
	}
	fmt.Fprintf(&t, "      z: { needs: [%s], wait: { for: 1ms } }\n", strings.Join(all, ", "))
	return t.String()
}

const small = "application: small\npipelines:\n  p:\n    concurrency: parallel\n    stages:\n      a: { wait: { for: 1ms } }\n      b: { needs: [a], wait: { for: 1ms } }\n"

const line = "application: greedy\npipelines:\n  line:\n    concurrency: queue\n    stages:\n      a: { wait: { for: 1h } }\n"

// wide runs both, and measures all other requests meanwhile.
func (b *bench) wide(ctx context.Context) error {
	for name, text := range map[string]string{"long": long(), "wide": wideOpen(), "small": small} {
		file := filepath.Join(b.Dir, name+".yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
		began := time.Now()
		if said, err := b.CLI(ctx, "validate", file); err != nil || said.Exit != 0 {
			return fmt.Errorf("validate %s: %w: %s", name, err, said.Err)
		}
		checked := time.Since(began)
		if err := b.Apply(ctx, text); err != nil {
			return err
		}
		fmt.Printf("%s: validated in %s, applied in %s\n", name, checked.Round(time.Millisecond), (time.Since(began) - checked).Round(time.Millisecond))
	}
	for _, name := range []string{"long", "wide"} {
		id, err := b.start(ctx, name, "p")
		if err != nil {
			return err
		}
		began := time.Now()
		took := map[string][]time.Duration{}
		status := ""
		for status != "Succeeded" {
			if status, err = b.status(ctx, id); err != nil {
				return err
			}
			if status == "Terminal" || time.Since(began) > 3*time.Minute {
				return fmt.Errorf("%s is %s after %s", name, status, time.Since(began))
			}
			for _, path := range []string{"/api/v1/executions", "/executions", "/executions/" + id, "/healthz"} {
				asked := time.Now()
				if _, _, err := b.call(ctx, http.MethodGet, path); err != nil {
					return err
				}
				took[path] = append(took[path], time.Since(asked))
			}
			asked := time.Now()
			other, err := b.start(ctx, "small", "p")
			if err != nil {
				return err
			}
			if err := environment.Until(ctx, time.Minute, "another application's run ends", func() error {
				if s, err := b.status(ctx, other); err != nil || s != "Succeeded" {
					return fmt.Errorf("it is %s: %w", s, err)
				}
				return nil
			}); err != nil {
				return err
			}
			took["another application's run"] = append(took["another application's run"], time.Since(asked))
		}
		fmt.Printf("%s: succeeded in %s\n", name, time.Since(began).Round(time.Millisecond))
		b.say(id, took)
	}
	return nil
}

func (b *bench) say(id string, took map[string][]time.Duration) {
	budgets := map[string]time.Duration{"/api/v1/executions": listBudget, "/executions": listBudget, "/healthz": listBudget, "/executions/" + id: pageBudget, "another application's run": runBudget}
	for what, budget := range budgets {
		all := took[what]
		slices.Sort(all)
		worst := all[len(all)-1]
		fmt.Printf("  meanwhile %-36s %4d times: p50 %7s, worst %7s\n", what, len(all), all[len(all)/2].Round(time.Millisecond), worst.Round(time.Millisecond))
		b.must(worst < budget, "%s took %s meanwhile", what, worst)
	}
}

// admission fills a queue, and checks that other applications are admitted.
func (b *bench) admission(ctx context.Context) error {
	if err := b.Apply(ctx, line); err != nil {
		return err
	}
	admitted, refused := 0, 0
	for range queued + 50 {
		status, header, err := b.call(ctx, http.MethodPost, "/api/v1/applications/greedy/pipelines/line/executions")
		switch {
		case status == http.StatusCreated:
			admitted++
		case status == http.StatusTooManyRequests && header.Get("Retry-After") != "":
			refused++
		default:
			return fmt.Errorf("a start was answered %d, Retry-After %q: %w", status, header.Get("Retry-After"), err)
		}
	}
	asked := time.Now()
	if _, err := b.start(ctx, "small", "p"); err != nil {
		return fmt.Errorf("another application's start: %w", err)
	}
	fmt.Printf("a queue of %d: %d starts admitted, %d answered 429 with Retry-After; another application's start was acknowledged in %s\n", queued, admitted, refused, time.Since(asked).Round(time.Millisecond))
	b.must(admitted == queued && refused == 50, "%d starts were admitted and %d refused", admitted, refused)
	return nil
}

func (b *bench) start(ctx context.Context, application, pipeline string) (string, error) {
	raw, err := b.body(ctx, http.MethodPost, "/api/v1/applications/"+application+"/pipelines/"+pipeline+"/executions")
	var started struct {
		Execution struct{ ID string } `json:"execution"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &started)
	}
	return started.Execution.ID, err
}

func (b *bench) status(ctx context.Context, id string) (string, error) {
	raw, err := b.body(ctx, http.MethodGet, "/api/v1/executions/"+id)
	var x struct {
		Status string `json:"status"`
	}
	if err == nil {
		err = json.Unmarshal(raw, &x)
	}
	return x.Status, err
}

// call sends a request and returns the answer, whatever it is.
func (b *bench) call(ctx context.Context, method, path string) (int, http.Header, error) {
	res, err := b.open(ctx, method, path)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, res.Header, err
}

// body requests a page that has to be answered.
func (b *bench) body(ctx context.Context, method, path string) ([]byte, error) {
	res, err := b.open(ctx, method, path)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %d %s", method, path, res.StatusCode, raw)
	}
	return raw, err
}

func (b *bench) open(ctx context.Context, method, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+b.listen+path, strings.NewReader("{}"))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	req.Header.Set("Content-Type", "application/json")
	return http.DefaultClient.Do(req)
}
