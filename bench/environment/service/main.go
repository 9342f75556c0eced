// Command service is the service that the benchmarks deploy: it answers "VERSION
// INSTANCE METHOD", drains on SIGTERM, and misbehaves as MODE, ERRORS and LATENCY say. The version
// is the content of the file `version` beside it, otherwise SHOWRUNNER_VERSION.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Getenv("MODE")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func version() string {
	exe, err := os.Executable()
	if err != nil {
		return "?"
	}
	text, err := os.ReadFile(filepath.Join(filepath.Dir(exe), "version"))
	if err != nil {
		return os.Getenv("SHOWRUNNER_VERSION")
	}
	return strings.TrimSpace(string(text))
}

func run(mode string) error {
	after := func() time.Duration { // how long it behaves well first
		d, err := time.ParseDuration(os.Getenv("AFTER"))
		if err != nil {
			return 2 * time.Second
		}
		return d
	}()
	b := behaviour{mode: mode, after: after, began: time.Now()}
	if err := b.before(); err != nil {
		return err
	}
	disturbed, err := newNoise()
	if err != nil {
		return err
	}
	is := version()
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", b.health)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the client has disconnected
		}
		if disturbed.disturb(r) {
			w.WriteHeader(http.StatusInternalServerError)
		}
		fmt.Fprintln(w, is, os.Getenv("SHOWRUNNER_INSTANCE"), r.Method)
	})
	l, err := net.Listen("tcp", b.address())
	if err != nil {
		return err
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	stop, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer cancel()
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	fmt.Println("serves version", is, "at", l.Addr())
	b.serving(l)
	select {
	case err := <-failed:
		if mode == modeClosesListener {
			fmt.Println("the listener is closed; going on without it")
			<-stop.Done()
			return nil
		}
		return err
	case <-stop.Done():
	}
	if mode == modeIgnoresTerm || mode == modeUnhealthyIgnoresTerm {
		fmt.Println("SIGTERM? not now")
		select {}
	}
	if err := server.Shutdown(context.Background()); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
