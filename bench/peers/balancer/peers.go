package balancer

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"showrunner/bench/local"
)

// contender is a measured server with an address.
type contender struct {
	name    string
	address string
	pids    func() ([]int, error) // processes whose CPU time is measured; nil: not measured
	stop    func()
}

// peers are the reverse proxies for comparison.
var peers = []struct {
	name  string
	start func(ctx context.Context, dir string, workers int, backends []string) (*contender, error)
}{{"nginx", startNginx}, {"haproxy", startHAProxy}}

// startNginx starts nginx before the backends, tuned as its manual says for a
// proxy: kept-alive upstream connections, no access log, the better of two random upstreams.
func startNginx(ctx context.Context, dir string, workers int, backends []string) (*contender, error) {
	exe, err := exec.LookPath("nginx")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	var servers strings.Builder
	for _, b := range backends {
		fmt.Fprintf(&servers, "    server %s max_fails=3 fail_timeout=1s;\n", b)
	}
	config := fmt.Sprintf(`daemon off;
worker_processes %d;
worker_rlimit_nofile 65536;
pid %s;
error_log %s error;
events { worker_connections 8192; multi_accept on; }
http {
  access_log off;
  sendfile on;
  tcp_nodelay on;
  keepalive_timeout 120s;
  keepalive_requests 1000000000;
  client_body_temp_path %[4]s/body;
  proxy_temp_path %[4]s/proxy;
  fastcgi_temp_path %[4]s/fastcgi;
  uwsgi_temp_path %[4]s/uwsgi;
  scgi_temp_path %[4]s/scgi;
  upstream backends {
    random two least_conn;
%[5]s    keepalive 512;
    keepalive_requests 1000000000;
  }
  server {
    listen %[6]s backlog=4096;
    location / {
      proxy_pass http://backends;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_next_upstream error timeout;
    }
  }
}
`, workers, filepath.Join(dir, "nginx.pid"), filepath.Join(dir, "nginx.log"), dir, servers.String(), address)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return spawn(ctx, "nginx", address, exe, "-c", file, "-p", dir)
}

// startHAProxy starts HAProxy before the backends, with health checks, retries
// and redispatch, and upstream connections that are kept alive and shared.
func startHAProxy(ctx context.Context, dir string, threads int, backends []string) (*contender, error) {
	exe, err := exec.LookPath("haproxy")
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	var servers strings.Builder
	for i, b := range backends {
		fmt.Fprintf(&servers, "  server b%d %s check inter 500ms pool-max-conn 512\n", i, b)
	}
	config := fmt.Sprintf(`global
  nbthread %d
  maxconn 8192
defaults
  mode http
  timeout connect 1s
  timeout client 120s
  timeout server 120s
  timeout http-request 10s
  option forwardfor
  option redispatch
  retries 3
  retry-on conn-failure empty-response
frontend front
  bind %s backlog 4096
  default_backend backends
backend backends
  balance random(2)
  http-reuse always
  option httpchk GET /healthz
%s`, threads, address, servers.String())
	file := filepath.Join(dir, "haproxy.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	return spawn(ctx, "haproxy", address, exe, "-f", file)
}

func spawn(ctx context.Context, name, address, exe string, args ...string) (*contender, error) {
	cmd := exec.Command(exe, args...)
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	c := &contender{name: name, address: address}
	c.pids = func() ([]int, error) {
		workers, err := local.Children(cmd.Process.Pid)
		return append(workers, cmd.Process.Pid), err
	}
	c.stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	}
	if err := answers(ctx, address, ended); err != nil {
		c.stop()
		return nil, fmt.Errorf("%s: %w; it said: %s", name, err, said.String())
	}
	return c, nil
}

// answers waits until the address answers 200.
func answers(ctx context.Context, address string, ended <-chan struct{}) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			return err
		}
		r.Host, r.Close = host, true
		if res, err := http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("it ended")
		case <-ctx.Done():
			return fmt.Errorf("nothing answers at %s", address)
		}
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

// median returns the median of a list that is not empty.
func median[T float64 | time.Duration](list []T) T {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
