package cloudtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ModeVariable is the environment variable that turns a test binary into an
// instance, see Main.
const ModeVariable = "CLOUDTEST_MODE"

// Mode is the behaviour of the program as an instance.
type Mode string

const (
	Serve               Mode = "serve"        // healthy on /healthz; ends on SIGTERM once requests in flight are done
	NeverReady          Mode = "never-ready"  // serves, but /healthz answers 503 and says why
	ExitAtOnce          Mode = "exit-at-once" // writes a line and exits with code 3
	CrashLater          Mode = "crash-later"  // healthy; exits with code 4 as soon as it has answered a second check
	IgnoreTerm          Mode = "ignore-term"  // healthy; does not end on SIGTERM
	LeakFiles           Mode = "leak-files"   // healthy until it has no file descriptor left
	Children            Mode = "children"     // healthy; starts one child in its group and one in a session of its own
	Orphans             Mode = "orphans"      // starts children as Children does and exits with code 5 at once
	Localhost           Mode = "localhost"    // serves, but on 127.0.0.1 instead of HOST
	UseMemory           Mode = "hungry"       // healthy; takes 128 MiB of memory
	ToggleHealth        Mode = "forgetful"    // healthy until a request to /forget, then 503 until /remember
	Daemon              Mode = "daemon"       // starts a child without environment in a session of its own, which holds its output, and exits with code 5
	UnhealthyIgnoreTerm Mode = "deaf-and-ill" // as Forgetful, and does not end on SIGTERM
	childOf             Mode = "child"        // what Children starts
	leakedPerCheck           = 16
	daemonFor                = 20 * time.Second
)

// Main makes a test binary also the program of instances: call it first in
// TestMain. It returns when the process is a test, and never returns when it is
// an instance.
func Main() {
	mode := Mode(os.Getenv(ModeVariable))
	if mode == "" {
		return
	}
	if err := run(mode); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(mode Mode) error {
	fmt.Printf("instance %s of %s in %s starts as %s\n", os.Getenv("SHOWRUNNER_INSTANCE"), os.Getenv("SHOWRUNNER_SERVER_GROUP"), os.Getenv("SHOWRUNNER_ZONE"), mode)
	host := os.Getenv("HOST")
	switch mode {
	case childOf:
		// Wait until killed. Not select {}: the runtime of a static program would
		// report a deadlock and end, since no event can ever wake it.
		never := make(chan os.Signal, 1)
		signal.Notify(never, syscall.SIGHUP)
		var end <-chan time.Time
		if os.Getenv("SHOWRUNNER_INSTANCE") == "" {
			end = time.After(daemonFor) // a process that no test can find and end
		}
		select {
		case <-never:
		case <-end:
		}
		os.Exit(0)
	case ExitAtOnce:
		fmt.Fprintln(os.Stderr, "the configuration is missing")
		os.Exit(3)
	case Localhost:
		host = "127.0.0.1"
	case Children, Orphans:
		for _, own := range []bool{false, true} {
			if err := startChild(own, os.Environ()); err != nil {
				return err
			}
		}
		if mode == Orphans {
			os.Exit(5)
		}
	case Daemon:
		if err := startChild(true, nil); err != nil {
			return err
		}
		os.Exit(5)
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(host, os.Getenv("PORT")))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler(mode), ReadHeaderTimeout: time.Minute}
	stop := make(chan os.Signal, 1)
	if mode == IgnoreTerm || mode == UnhealthyIgnoreTerm {
		signal.Ignore(syscall.SIGTERM)
	} else {
		signal.Notify(stop, syscall.SIGTERM)
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-stop:
	}
	fmt.Println("draining")
	if err := server.Shutdown(context.Background()); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func startChild(ownSession bool, env []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Env = []string{ModeVariable + "=" + string(childOf)}
	for _, v := range env {
		if !strings.HasPrefix(v, ModeVariable+"=") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Stdout = os.Stdout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: ownSession}
	if err := cmd.Start(); err != nil {
		return err
	}
	fmt.Println("child", cmd.Process.Pid)
	return nil
}

func handler(mode Mode) http.Handler {
	mux := http.NewServeMux()
	forgotten := make(chan struct{}, 1)
	var checks atomic.Int64
	if mode == UseMemory {
		eaten := make([]byte, 128<<20)
		for i := 0; i < len(eaten); i += 4096 {
			eaten[i] = 1
		}
		mux.HandleFunc("/eaten", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, len(eaten)) })
	}
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		switch mode {
		case NeverReady:
			http.Error(w, "no database", http.StatusServiceUnavailable)
			return
		case CrashLater:
			// The second check comes once the first has put the instance into
			// service.
			if checks.Add(1) == 2 {
				time.AfterFunc(time.Millisecond, func() { fmt.Println("panic: out of luck"); os.Exit(4) })
			}
		case LeakFiles:
			for range leakedPerCheck {
				f, err := os.Open(os.DevNull)
				if err != nil {
					fmt.Println(err)
					http.Error(w, err.Error(), http.StatusInternalServerError)
					return
				}
				leaked = append(leaked, f)
			}
		case ToggleHealth, UnhealthyIgnoreTerm:
			if len(forgotten) > 0 {
				http.Error(w, "forgotten", http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/forget", func(http.ResponseWriter, *http.Request) {
		select {
		case forgotten <- struct{}{}:
		default:
		}
	})
	mux.HandleFunc("/remember", func(http.ResponseWriter, *http.Request) {
		select {
		case <-forgotten:
		default:
		}
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.URL.Query().Get("for"))
		select {
		case <-time.After(d):
		case <-r.Context().Done():
		}
		fmt.Fprintln(w, "done")
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, os.Getenv("SHOWRUNNER_VERSION"), os.Getenv("SHOWRUNNER_INSTANCE"), os.Getenv("CLOUDTEST_GREETING"))
	})
	return mux
}

// leaked keeps the file descriptors of LeakFiles from being garbage collected,
// which would close them.
var leaked []*os.File
