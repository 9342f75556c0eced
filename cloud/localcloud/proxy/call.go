package proxy

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"showrunner/cloud/localcloud/internal/replay"
	"showrunner/cloud/localcloud/proxy/upstream"
)

// Call is one request of a client, on its way to a server. It is valid
// until its answer is closed.
type Call struct {
	Request *http.Request // its context ends when the client has left
	Body    *replay.Body  // nil: none
	// Trusted says that the request came from our own edge, so that what it says of
	// its client holds.
	Trusted bool
	// said is what our own edge says of the address that the request came from; empty:
	// nothing.
	said string
	// Sends is how often the request may be sent, where our own edge says so; 0: it does not.
	Sends int
	// State is for the Service. It is kept from one request of a connection to the
	// next, so that memory can be used again.
	State any

	server  *Server
	brief   bool // nothing of the answer's header is used once its body is closed
	grpc    bool
	upgrade string
	reader  *bodyReader // of Body; nil: none, or all of it was read before
	inform  func(status int, header http.Header)
	spare   *upstream.Spare
	current atomic.Pointer[upstream.Cancel]
	writes  *writeWait
}

// Attempt says how a call is sent.
type Attempt struct {
	Cancel *upstream.Cancel // ends the attempt
	// Beside says that another attempt is under way at the same time.
	Beside bool
	// Written is told when all of the request has been sent. May be nil.
	Written func()
	// EdgeKey proves to a region that its edge sends the request. Empty: it does not.
	EdgeKey string
	// Sends is how often the region may send it; 0: as often as it does otherwise.
	Sends int
	// Source has the region be told the address that the request came from.
	Source bool
}

// Send sends the request to an address and returns the answer, whose body must be
// closed; sent says whether anything of the request may have arrived. r is the
// call's request, or a copy of it with another context or host. Only attempts
// without a body may be Beside others.
func (c *Call) Send(r *http.Request, to *upstream.Pool, a Attempt) (res *http.Response, sent bool, err error) {
	if !a.Beside {
		c.current.Store(a.Cancel)
	}
	if err := r.Context().Err(); err != nil {
		a.Cancel.Abort(err)
	}
	if c.grpc {
		return c.sendGRPC(r, to.Address(), a)
	}
	up := upstream.Request{Request: r, Body: c.Body, Trusted: c.Trusted, Brief: c.brief, Upgrade: c.upgrade, EdgeKey: a.EdgeKey, Sends: a.Sends, Source: a.Source, Cancel: a.Cancel, Written: a.Written, Starved: c.server.starved}
	if !a.Beside {
		up.Spare, up.Inform = c.spare, c.inform
	}
	if c.reader != nil {
		up.Interrupt = c.interrupt
	}
	res, err = to.Send(up)
	if err == nil && c.reader != nil {
		c.reader.answered()
	}
	return res, wasSent(err), err
}

// Source is the address that the request came from, with the port, as our own edge says
// it where the request came through that.
func (c *Call) Source() string {
	if c.said != "" {
		return c.said
	}
	return c.Request.RemoteAddr
}

// Stream says whether the call is one of gRPC or an upgrade: its answer may take any time.
func (c *Call) Stream() bool { return c.grpc || c.upgrade != "" }

func (c *Call) interrupt() { c.reader.CutOff(errCutOff) }

// leave ends what is done for a client that has gone.
func (c *Call) leave() {
	if cancel := c.current.Load(); cancel != nil {
		cancel.Abort(context.Canceled)
	}
}

// Behind is how far by now the client is behind one that sends its body quickly enough,
// while there is no answer, or for how long it has not taken what was written of the
// answer. Any goroutine may call it until the answer is closed.
func (c *Call) Behind(now time.Time) time.Duration {
	behind := c.writes.silent(now)
	if c.reader != nil {
		behind = max(behind, c.reader.behind(now))
	}
	return behind
}

// GiveUp stops waiting for the client: others need the place that the call has. It
// may be called as Behind may.
func (c *Call) GiveUp() {
	if c.reader != nil {
		c.reader.CutOff(ErrSlowBody)
	}
	c.writes.cut()
}

// wasSent says whether anything of a request may have arrived that ended so.
func wasSent(err error) bool {
	if err == nil {
		return true
	}
	var broken *upstream.Error
	return !errors.As(err, &broken) || broken.Sent
}

// Answer is an answer of this process.
type Answer struct {
	Status int
	Header http.Header // its type is plain text unless it is said here
	Text   string
}

// ErrBreakOff has a request get no answer: the connection of its client ends.
var ErrBreakOff = errors.New("the connection is to end without an answer")

// SlowBodyHeader tells our edge that the rest of a request did not come in time.
const SlowBodyHeader = "X-Showrunner-Slow-Body"

// clientFailure answers a request whose client is to blame for an error; ours is
// false when it is not. A client whose body does not come gets no answer, as from
// nginx: its connection ends. Our edge is told, since it has the client's connection.
func clientFailure(err error, trusted bool) (a Answer, ours, silent bool) {
	var broken *upstream.Error
	switch {
	case errors.Is(err, ErrBreakOff):
		return Answer{}, true, true
	case errors.Is(err, ErrSlowBody):
		return Answer{Status: http.StatusRequestTimeout, Header: http.Header{SlowBodyHeader: {"1"}}, Text: "The rest of the request did not come in time.\n"}, true, !trusted
	case errors.As(err, &broken) && broken.Client:
		return Answer{Status: http.StatusBadRequest, Text: "The request cannot be passed on.\n"}, true, false
	}
	return Answer{}, false, false
}
