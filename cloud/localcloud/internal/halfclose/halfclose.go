// Package halfclose owns how long a client that has ended its side of a
// connection is still worked for. It may have left, or have only said that no
// more requests come, and wait for its answer: the two look alike until
// something is written.
package halfclose

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"
)

// Grace is how long it may take until more of the answer comes.
const Grace = time.Second

// Writer counts what is written of an answer.
type Writer struct {
	http.ResponseWriter
	writes atomic.Int64
}

// Unwrap lets http.ResponseController reach the server's own writer.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) {
	w.writes.Add(1)
	return w.ResponseWriter.Write(p)
}

// Outlive returns an HTTP/1.1 request whose context does not end with the
// client's side, as net/http's does, but once nothing of the answer has been
// written for Grace after that. end must be called when the request has been
// answered.
func (w *Writer) Outlive(r *http.Request) (out *http.Request, end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	stop := context.AfterFunc(r.Context(), func() { w.hold(ctx, cancel) })
	return r.WithContext(ctx), func() { stop(); cancel() }
}

// hold ends a request of which nothing is written any more; to a client that has
// left, writing fails by itself.
func (w *Writer) hold(ctx context.Context, end func()) {
	tick := time.NewTicker(Grace)
	defer tick.Stop()
	for before := w.writes.Load(); ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := w.writes.Load()
		if now == before {
			end()
			return
		}
		before = now
	}
}
