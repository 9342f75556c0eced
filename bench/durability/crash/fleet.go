package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"showrunner/internal/pause"
	"showrunner/store/pgtest"
)

// token authenticates every call to the API.
const token = "crash-loop-token-of-this-run-alone"

// fleet is the control planes under test.
type fleet struct {
	plan
	targets *targets
	server  *pgtest.Server // nil: not our server
	address string         // address of the database; empty: SQLite
	direct  string         // the server's own address, when a pooler is used
	members []*replica
	killed  int
	hangs   int
}

// replica is one control plane that is started again and again on one address.
type replica struct {
	fleet  *fleet
	number int
	listen string
	log    *os.File

	mu     sync.Mutex
	binary string
	cmd    *exec.Cmd
	ended  chan struct{}
}

// data is the folder of a replica: a common folder, or with spread a separate
// one.
func (r *replica) data() string {
	if r.fleet.spread > 0 {
		return filepath.Join(r.fleet.dir, fmt.Sprintf("host-%d", r.number))
	}
	return filepath.Join(r.fleet.dir, "data")
}

func (f *fleet) start(ctx context.Context) error {
	for i := range f.replicas {
		listen, err := freeAddress()
		if err != nil {
			return err
		}
		log, err := os.Create(filepath.Join(f.dir, fmt.Sprintf("control-%d.log", i)))
		if err != nil {
			return err
		}
		r := &replica{fleet: f, number: i, listen: listen, log: log, binary: f.binary}
		if f.old != "" {
			r.binary = f.old
		}
		f.members = append(f.members, r)
		if err := r.start(); err != nil {
			return err
		}
		if err := r.ready(ctx); err != nil {
			return err
		}
	}
	if f.spread > 0 {
		return nil
	}
	if f.waiting > 0 {
		return f.apply(ctx, f.targets.manyPipelines())
	}
	return f.apply(ctx, f.targets.pipelines())
}

func (f *fleet) stop() {
	for _, r := range f.members {
		_ = r.kill() // the replica may be dead
		r.log.Close()
	}
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (r *replica) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	cmd := exec.Command(r.binary, "control", "--data", r.data(), "--listen", r.listen, "--regions", "nowhere")
	if r.fleet.spread > 0 {
		cmd.Args = append(cmd.Args, "--shared", filepath.Join(r.fleet.dir, "shared"), "--builds-at-once", strconv.Itoa(spreadPlaces))
	}
	cmd.Env = append(os.Environ(), "SHOWRUNNER_TOKEN="+token)
	if r.fleet.address != "" {
		address := r.fleet.address
		if r.fleet.takeovers > 0 { // so that the database can tell replicas apart
			address += "&application_name=" + r.listen
		}
		cmd.Env = append(cmd.Env, "SHOWRUNNER_DATABASE="+address)
	}
	if r.fleet.direct != "" {
		cmd.Env = append(cmd.Env, "SHOWRUNNER_DATABASE_DIRECT="+r.fleet.direct)
	}
	cmd.Stdout, cmd.Stderr = r.log, r.log
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // it was killed
		close(ended)
	}()
	r.cmd, r.ended = cmd, ended
	return nil
}

// kill ends the process as a crash does, and waits until it is gone.
func (r *replica) kill() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd == nil {
		return nil
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.ended
	return nil
}

// hang stops the process and resumes it after a while, when other replicas have
// taken its work.
func (r *replica) hang(ctx context.Context, d time.Duration, say bool) error {
	if say {
		fmt.Printf("hang: %s for %s\n", r.listen, d)
	}
	r.mu.Lock()
	process := r.cmd.Process
	r.mu.Unlock()
	if err := process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	err := pause.For(ctx, d)
	return errors.Join(err, process.Signal(syscall.SIGCONT))
}

// replace stops a replica cleanly and starts another program in its place.
func (r *replica) replace(ctx context.Context, binary string) error {
	r.mu.Lock()
	err := r.cmd.Process.Signal(syscall.SIGTERM)
	ended := r.ended
	r.binary = binary
	r.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.start(); err != nil {
		return err
	}
	return r.ready(ctx)
}

func (r *replica) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if err := r.call(ctx, http.MethodGet, "/api/v1/executions?limit=1", nil, nil, ""); err == nil {
			return nil
		}
		if err := pause.For(ctx, 20*time.Millisecond); err != nil {
			log, _ := os.ReadFile(r.log.Name())
			return fmt.Errorf("%s does not become ready: %s", r.listen, log)
		}
	}
}

var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 32}}

// refused is an answer that is a problem.
type refused struct {
	status     int
	retryAfter string
	text       string
}

func (e *refused) Error() string { return fmt.Sprintf("%d: %s", e.status, e.text) }

func (r *replica) call(ctx context.Context, method, path string, in, out any, key string) error {
	var body bytes.Buffer
	if in != nil {
		if err := json.NewEncoder(&body).Encode(in); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.listen+path, &body)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode >= 400 {
		var text bytes.Buffer
		_, _ = text.ReadFrom(res.Body) // an existing definition is enough
		return &refused{res.StatusCode, res.Header.Get("Retry-After"), text.String()}
	}
	if out == nil {
		return nil
	}
	return json.NewDecoder(res.Body).Decode(out)
}

// apply applies the pipelines.
func (f *fleet) apply(ctx context.Context, text string) error {
	name := filepath.Join(f.dir, "showrunner.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, f.members[0].binary, "apply", "-f", name, "--server", "http://"+f.members[0].listen, "--token", token)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("apply: %w: %s", err, out)
	}
	return nil
}

// pool starts pgbouncer in transaction mode in front of the database.
func (f *fleet) pool(ctx context.Context) (func() error, error) {
	pooled, stop, err := f.server.Pool(ctx, f.address)
	f.direct, f.address = f.address, pooled
	return stop, err
}
