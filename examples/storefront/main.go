// Command storefront is the service of the example application: standard
// library only, told by its environment where it runs.
//
//	/            a page that says which instance answered
//	/version     the same as JSON
//	/healthz     200 while it serves, 503 once it drains
//	/work?ms=20  answers after that long; &burn=1 keeps a core busy meanwhile
//	/fail        answers 500; ?status=503, ?rate=0.1 for a share of the requests
//
// FAIL_RATE (0 to 1) and SLOW (such as 200ms) make a version that is worse than
// the last one, to see what a canary does about it.
package main

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

//go:embed service.html
var page string

//go:embed site/style.css
var style string

// drain is how long requests in flight may take after SIGTERM.
const drain = 8 * time.Second

// about is what an instance knows of itself.
type about struct {
	Version     string `json:"version"`
	Region      string `json:"region"`
	Zone        string `json:"zone"`
	Instance    string `json:"instance"`
	ServerGroup string `json:"serverGroup"`
}

type server struct {
	about
	failRate float64
	slow     time.Duration
	page     *template.Template
	policy   string // Content-Security-Policy: this style, nothing else
	draining atomic.Bool
	requests atomic.Int64
}

func main() {
	log := slog.New(slog.NewTextHandler(os.Stdout, nil))
	if err := run(log); err != nil {
		log.Error("storefront", "error", err)
		os.Exit(1)
	}
}

func run(log *slog.Logger) error {
	s, err := newServer(os.Getenv)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	listener, err := net.Listen("tcp", net.JoinHostPort(orElse(os.Getenv("HOST"), "127.0.0.1"), orElse(os.Getenv("PORT"), "8000")))
	if err != nil {
		return err
	}
	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: 5 * time.Second}
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	log.Info("serving", "address", listener.Addr().String(), "version", s.Version, "region", s.Region, "zone", s.Zone)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	s.draining.Store(true)
	log.Info("draining", "requests", s.requests.Load())
	end, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	if err := web.Shutdown(end); err != nil {
		return fmt.Errorf("requests were still in flight: %w", err)
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func newServer(getenv func(string) string) (*server, error) {
	s := &server{about: about{
		Version:     orElse(getenv("SHOWRUNNER_VERSION"), "development"),
		Region:      orElse(getenv("SHOWRUNNER_REGION"), "this machine"),
		Zone:        orElse(getenv("SHOWRUNNER_ZONE"), "none"),
		Instance:    orElse(getenv("SHOWRUNNER_INSTANCE"), strconv.Itoa(os.Getpid())),
		ServerGroup: orElse(getenv("SHOWRUNNER_SERVER_GROUP"), "none"),
	}}
	var err error
	if s.failRate, err = strconv.ParseFloat(orElse(getenv("FAIL_RATE"), "0"), 64); err != nil {
		return nil, fmt.Errorf("FAIL_RATE: %w", err)
	}
	if s.slow, err = time.ParseDuration(orElse(getenv("SLOW"), "0s")); err != nil {
		return nil, fmt.Errorf("SLOW: %w", err)
	}
	sum := sha256.Sum256([]byte(style))
	s.policy = "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	s.page, err = template.New("page").Parse(page)
	return s, err
}

func orElse(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /version", s.version)
	mux.HandleFunc("/work", s.work)
	mux.HandleFunc("/fail", s.fail)
	measured := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		w.Header().Set("X-Storefront-Version", s.Version)
		if !s.wait(r.Context(), s.slow, false) {
			return
		}
		if s.failRate > 0 && rand.Float64() < s.failRate {
			http.Error(w, "this version fails now and then", http.StatusInternalServerError)
			return
		}
		mux.ServeHTTP(w, r)
	})
	outer := http.NewServeMux()
	outer.HandleFunc("GET /healthz", s.health)
	outer.Handle("/", measured)
	return outer
}

func (s *server) home(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", s.policy)
	w.Header().Set("Cache-Control", "no-store")
	_ = s.page.Execute(w, struct {
		about
		Style template.CSS
	}{s.about, template.CSS(style)}) // the reader has gone: nobody is left to tell
}

func (s *server) version(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(s.about)
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	if s.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (s *server) work(w http.ResponseWriter, r *http.Request) {
	ms, err := strconv.Atoi(orElse(r.URL.Query().Get("ms"), "10"))
	if err != nil || ms < 0 || ms > 60_000 {
		http.Error(w, "ms is a number of milliseconds up to 60000", http.StatusBadRequest)
		return
	}
	if s.wait(r.Context(), time.Duration(ms)*time.Millisecond, r.URL.Query().Get("burn") == "1") {
		fmt.Fprintf(w, "worked %d ms on %s\n", ms, s.Instance)
	}
}

// wait returns after d, or false when the client has gone.
func (s *server) wait(ctx context.Context, d time.Duration, burn bool) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	for burn {
		select {
		case <-timer.C:
			return true
		case <-ctx.Done():
			return false
		default:
			sha256.Sum256([]byte(style))
		}
	}
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *server) fail(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	status, err := strconv.Atoi(orElse(query.Get("status"), "500"))
	rate, err2 := strconv.ParseFloat(orElse(query.Get("rate"), "1"), 64)
	if err != nil || err2 != nil || status < 400 || status > 599 {
		http.Error(w, "status is 400 to 599, rate is 0 to 1", http.StatusBadRequest)
		return
	}
	if rand.Float64() >= rate {
		fmt.Fprintln(w, "not this time")
		return
	}
	http.Error(w, "failed as asked", status)
}
