package proxy

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of a client's connection. docs/fleet.md states them.
const (
	headLimit = 10 * time.Second // for all of a head
	idleLimit = 2 * time.Minute  // between requests
	// sweepEvery is how often connections are checked at: for those limits, and for
	// clients that have left while their request is still under way.
	sweepEvery = 100 * time.Millisecond
	// leftGrace is how long a client that has ended its side is worked for while
	// nothing is written: it may have left, or wait for its answer. The two look alike.
	leftGrace = time.Second
	// lingerLimit is how long the rest of a refused body is read away, so that the
	// client sees the answer and not a reset.
	lingerLimit = time.Second

	// A body is waited for as long as the allowance lasts: bodyAllowance in all,
	// which grows again with every byte, to the same at most. So a client may be
	// silent for that long at once, and must be faster than bodyRate in the long run.
	bodyAllowance = 20 * time.Second
	bodyRate      = 1 << 10 // bytes a second

	// neededRate is how fast a body has to come, in bytes a second, for its client not to
	// fall behind. A client that is behind is the first to lose what others need.
	neededRate = 16 << 10
	// mostBehind is how far behind a client may be, or how long it may take for a head or
	// a piece of an answer, while there are no descriptors for new clients.
	mostBehind = time.Second
)

// ErrSlowBody is a body that was waited for for too long.
var ErrSlowBody = errors.New("the request's body does not come")

// errCutOff is the reading of a body that was ended from outside.
var errCutOff = errors.New("the reading of the request's body was ended")

// writeWait is the writing to a client that waits for it to take what was written.
type writeWait struct {
	since       atomic.Int64 // in nanoseconds of Unix time; 0: nothing waits
	setDeadline func(time.Time) error
}

// begin notes that something is written, and end that it was.
func (w *writeWait) begin() { w.since.Store(time.Now().UnixNano()) }
func (w *writeWait) end()   { w.since.Store(0) }

// silent is for how long the client has been waited for by now.
func (w *writeWait) silent(now time.Time) time.Duration {
	if since := w.since.Load(); since != 0 {
		return now.Sub(time.Unix(0, since))
	}
	return 0
}

// cut ends a writing that waits. One that begins at this moment sets its own limit,
// and is no wait yet.
func (w *writeWait) cut() {
	if w.since.Load() != 0 {
		_ = w.setDeadline(time.Unix(1, 0)) // a connection that has ended says so when it is written to
	}
}

// bodyReader reads a request's body for as long as its client may take. One
// goroutine reads; the other methods may be called from any.
type bodyReader struct {
	in          io.Reader
	ready       func(n int) bool      // whether so much can be read without waiting; nil: never known
	setDeadline func(time.Time) error // of reading from the client
	stream      bool                  // of messages, whose client may be silent
	sayContinue func() error          // nil: the client has not offered to wait

	mu      sync.Mutex
	left    time.Duration // of the allowance
	lag     time.Duration // how much longer it was waited for than at neededRate
	waiting time.Time     // since when, zero: nobody waits
	came    bool          // some of the body has
	answers bool          // the answer has begun: the client may be silent
	ended   bool          // all of it was read
	cut     error         // why nothing more is read
}

// Read implements io.Reader. Errors: ErrSlowBody, what CutOff said, and in's.
func (b *bodyReader) Read(p []byte) (int, error) {
	if b.sayContinue != nil {
		say := b.sayContinue
		b.sayContinue = nil
		if err := say(); err != nil {
			return 0, err
		}
	}
	waits := b.ready == nil || !b.ready(len(p))
	if err := b.begin(waits); err != nil {
		return 0, err
	}
	n, err := b.in.Read(p)
	return n, b.done(waits, n, err)
}

// begin notes that the client is waited for.
func (b *bodyReader) begin(waits bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut != nil || !waits {
		return b.cut
	}
	b.waiting = time.Now()
	if b.stream || b.answers {
		return nil
	}
	return b.setDeadline(b.waiting.Add(b.left))
}

// done notes what has come. Errors: why the reading ended.
func (b *bodyReader) done(waits bool, n int, err error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if waits {
		waited := time.Since(b.waiting)
		b.left, b.lag = b.left-waited, b.lag+waited
		b.waiting = time.Time{}
	}
	b.lag = max(b.lag-time.Duration(n)*time.Second/neededRate, 0)
	b.left = min(b.left+time.Duration(n)*time.Second/bodyRate, bodyAllowance)
	b.came = b.came || n > 0
	switch {
	case b.cut != nil && err != nil && err != io.EOF:
		return b.cut
	case err == io.EOF:
		b.ended = true
		_ = b.setDeadline(time.Time{}) // a connection that has ended says so when it is read
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.cut = ErrSlowBody
		return b.cut
	}
	return err
}

// CutOff ends the reading for good: why is what the reader is told.
func (b *bodyReader) CutOff(why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended || b.cut != nil {
		return // what comes next is another request
	}
	b.cut = why
	_ = b.setDeadline(time.Unix(1, 0)) // as above
}

// behind is how much longer the client has been waited for by now than one that sends
// at neededRate.
func (b *bodyReader) behind(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.answers || b.ended || b.stream && b.came:
		return 0
	case b.waiting.IsZero():
		return b.lag
	}
	return b.lag + now.Sub(b.waiting)
}

// answered notes that the answer has begun.
func (b *bodyReader) answered() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answers = true; b.cut == nil {
		_ = b.setDeadline(time.Time{}) // as above
	}
}

// retire ends the use of the client: nothing is read from it, and no deadline set,
// from now on. It says whether all of the body was read.
func (b *bodyReader) retire() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.cut == nil {
		b.cut = errCutOff
	}
	b.setDeadline = func(time.Time) error { return nil }
	return b.ended
}

// whole says whether all of the body was read.
func (b *bodyReader) whole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ended
}

// Close implements io.Closer, for handlers.
func (b *bodyReader) Close() error { return nil }
