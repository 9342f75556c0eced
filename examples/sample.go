package examples

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"showrunner/problem"
)

// sampleDrain is how long requests in flight may take once the sample is to end.
const sampleDrain = 5 * time.Second

// Serve is the sample service: it answers HTTP at HOST and PORT with the instance that
// it runs as, and 200 at /healthz, until ctx ends or SIGTERM comes.
func Serve(ctx context.Context, env func(string) string) error {
	const op = "sample"
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer stop()
	listener, err := net.Listen("tcp", net.JoinHostPort(env("HOST"), env("PORT")))
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, op, "listening")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "instance %s of %s in %s\n", env("SHOWRUNNER_INSTANCE"), env("SHOWRUNNER_SERVER_GROUP"), env("SHOWRUNNER_ZONE"))
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	fmt.Printf("instance %s listens at %s\n", env("SHOWRUNNER_INSTANCE"), listener.Addr())
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return problem.Wrap(err, problem.Unavailable, op, "serving")
	case <-ctx.Done():
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), sampleDrain)
	defer cancel()
	if err := server.Shutdown(end); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return problem.Wrap(err, problem.Unavailable, op, "ending")
	}
	return nil
}
