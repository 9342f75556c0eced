package build

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"showrunner/internal/sockpath"
)

// message is what a client of a supervisor asks for, one a connection.
type message struct {
	// Op is wait (answered with the result, at the end), log (answered with the
	// log, until the end) or cancel (answered as wait).
	Op     string `json:"op"`
	Offset int64  `json:"offset,omitempty"`
	Reason string `json:"reason,omitempty"`
}

const socketName = "supervisor"

// Reasons of a cancel.
const (
	reasonStopped  = "stopped"
	reasonTimedOut = "timed out"
)

func cancelCause(reason string) error {
	if reason == reasonTimedOut {
		return ErrTimedOut
	}
	return ErrStopped
}

// listener counts the connections that are being answered.
type listener struct {
	net.Listener
	open sync.WaitGroup
}

func (s *supervision) listen() (*listener, error) {
	inner, err := sockpath.Listen(s.dir, socketName)
	if err != nil {
		return nil, err
	}
	l := &listener{Listener: inner}
	l.open.Add(1)
	go func() {
		defer l.open.Done()
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			l.open.Add(1)
			go func() {
				defer l.open.Done()
				defer conn.Close()
				s.answer(conn)
			}()
		}
	}()
	return l, nil
}

// drain lets connections that are being answered get their answer.
func (s *supervision) drain(l *listener) error {
	l.Close()
	if path, err := sockpath.Path(s.dir, socketName); err == nil {
		os.Remove(path)
	}
	answered := make(chan struct{})
	go func() {
		l.open.Wait()
		close(answered)
	}()
	limit := time.NewTimer(10 * time.Second) // for one that stopped reading
	defer limit.Stop()
	select {
	case <-answered:
	case <-limit.C:
	}
	return nil
}

func (s *supervision) answer(conn net.Conn) {
	var m message
	if err := json.NewDecoder(io.LimitReader(conn, 4096)).Decode(&m); err != nil {
		return
	}
	switch m.Op {
	case "log":
		s.log.follow(m.Offset, conn) //nolint:errcheck // the client is gone
		return
	case "cancel":
		s.end(cancelCause(m.Reason))
	case "wait":
	default:
		return
	}
	// A client that goes away is not waited for.
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		io.Copy(io.Discard, conn) //nolint:errcheck
	}()
	select {
	case <-s.done:
		json.NewEncoder(conn).Encode(s.state.Result) //nolint:errcheck // it reads the file then
	case <-gone:
	}
}
