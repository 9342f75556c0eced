package main

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The ways in which a version may be bad, by MODE. AFTER is the time until the
// bad behaviour of a mode that starts well.
const (
	modeNeverHealthy         = "never-healthy"
	modeCrashes              = "crashes"           // healthy, then exits with 3
	modeExits                = "exits-at-once"     // with 7
	modeIgnoresTerm          = "ignores-sigterm"   // and is otherwise good
	modeUnhealthyIgnoresTerm = "ill-and-deaf"      // never healthy, and ignores SIGTERM
	modeLeaks                = "leaks-handles"     // until it can accept no more connections
	modeWrongPort            = "wrong-port"        // it ignores PORT
	modeWrongHost            = "wrong-host"        // it listens on 127.0.0.1 alone
	modeSlowStart            = "slow-start"        // healthy after AFTER
	modeTurnsUnhealthy       = "turns-ill"         // 500 on its health check after AFTER
	modeForks                = "forks-and-crashes" // leaves children in sessions of their own behind
	modeFloods               = "floods-and-ill"    // writes without end, and is never healthy
	modeClosesListener       = "closes-listener"   // and lives on
	modeHangs                = "hangs"             // stops answering anything, health checks included
	modeUsesMemory           = "eats-memory"
	modeSlowHealth           = "slow-health" // answers its health check later than may be
	modeKilledBySignal       = "kills-itself"
	childSeconds             = "600"
	handlesAtOnce            = 8
	memoryStep               = 8 << 20
	waitBetweenTheSteps      = 50 * time.Millisecond
)

type behaviour struct {
	mode  string
	after time.Duration
	began time.Time
}

// before runs before the service listens.
func (b behaviour) before() error {
	switch b.mode {
	case modeExits:
		fmt.Println("reading configuration")
		fmt.Fprintln(os.Stderr, "fatal: DATABASE_URL is not set")
		os.Exit(7)
	case modeSlowStart:
		fmt.Println("warming caches for", b.after)
		time.Sleep(b.after)
	case modeForks:
		for range 2 {
			child := exec.Command("sleep", childSeconds)
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			if err := child.Start(); err != nil {
				return err
			}
			fmt.Println("child", child.Process.Pid)
		}
	}
	return nil
}

func (b behaviour) address() string {
	host, port := os.Getenv("HOST"), os.Getenv("PORT")
	switch b.mode {
	case modeWrongPort:
		n, err := strconv.Atoi(port)
		if err != nil {
			n = 8080
		}
		port = strconv.Itoa(n + 1)
	case modeWrongHost:
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

func (b behaviour) health(w http.ResponseWriter, r *http.Request) {
	late := time.Since(b.began) > b.after
	switch {
	case b.mode == modeNeverHealthy, b.mode == modeUnhealthyIgnoresTerm, b.mode == modeFloods:
		http.Error(w, "cannot reach the database", http.StatusServiceUnavailable)
	case b.mode == modeTurnsUnhealthy && late:
		http.Error(w, "the queue is stuck", http.StatusInternalServerError)
	case b.mode == modeSlowHealth:
		time.Sleep(5 * time.Second)
	}
}

// serving runs once the service listens.
func (b behaviour) serving(l net.Listener) {
	switch b.mode {
	case modeCrashes, modeForks:
		time.AfterFunc(b.after, func() {
			fmt.Fprintln(os.Stderr, "panic: index out of range [3] with length 3")
			os.Exit(3)
		})
	case modeKilledBySignal:
		time.AfterFunc(b.after, func() {
			fmt.Fprintln(os.Stderr, "SIGSEGV: segmentation violation")
			_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV) // no code is left that could handle an error
			os.Exit(139)
		})
	case modeLeaks:
		go b.leak()
	case modeFloods:
		go func() {
			line := strings.Repeat("retrying the connection; ", 40)
			for {
				fmt.Println(line)
			}
		}()
	case modeClosesListener:
		time.AfterFunc(b.after, func() { l.Close() })
	case modeHangs:
		time.AfterFunc(b.after, func() {
			fmt.Println("waiting for a lock that nobody gives back")
			_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
		})
	case modeUsesMemory:
		go b.eat()
	}
}

// leak opens files and closes none, until the limit.
func (b behaviour) leak() {
	var held []*os.File
	time.Sleep(b.after)
	said := false
	for {
		for range handlesAtOnce {
			f, err := os.Open(os.DevNull)
			if err != nil {
				if !said {
					fmt.Fprintln(os.Stderr, "open:", err, "with", len(held), "files held")
				}
				said = true
				break
			}
			held = append(held, f)
		}
		time.Sleep(waitBetweenTheSteps)
	}
}

func (b behaviour) eat() {
	var held [][]byte
	time.Sleep(b.after)
	for {
		page := make([]byte, memoryStep)
		for i := 0; i < len(page); i += 4096 {
			page[i] = 1
		}
		held = append(held, page)
		fmt.Println("caching", len(held)*memoryStep>>20, "MiB")
		time.Sleep(waitBetweenTheSteps)
	}
}
