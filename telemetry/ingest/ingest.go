// Package ingest takes metrics that others send: Prometheus's remote write (1.0) and
// OTLP over HTTP, and keeps them in the embedded store. It refuses to know who may
// send; the caller has checked that.
//
// Sources: https://prometheus.io/docs/specs/prw/remote_write_spec/ and
// https://opentelemetry.io/docs/specs/otlp/#otlphttp.
package ingest

import (
	"io"
	"net/http"
	"time"

	"showrunner/problem"
	"showrunner/telemetry"
)

// The paths, as senders expect them.
const (
	RemoteWritePath = "POST /api/v1/write"
	OTLPPath        = "POST /api/v1/otlp/v1/metrics"
)

// The bounds of one request.
const (
	mostBytes    = 16 << 20 // as sent
	mostUnpacked = 64 << 20
	mostAtOnce   = 4
)

// Ingest takes what is sent into a store.
type Ingest struct {
	store *telemetry.Store
	now   func() time.Time
	slots chan struct{}
}

// New makes the handlers' common part.
func New(store *telemetry.Store, now func() time.Time) *Ingest {
	return &Ingest{store: store, now: now, slots: make(chan struct{}, mostAtOnce)}
}

// read returns a body, at most mostAtOnce at once; done has to be called afterwards.
// Errors: invalid.
func (in *Ingest) read(w http.ResponseWriter, r *http.Request) (body []byte, done func(), err error) {
	select {
	case in.slots <- struct{}{}:
	case <-r.Context().Done():
		return nil, nil, problem.Wrap(r.Context().Err(), problem.Unavailable, "metrics.ingest", "waiting for a place")
	}
	done = func() { <-in.slots }
	if body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, mostBytes)); err != nil {
		done()
		return nil, nil, problem.Wrap(err, problem.Invalid, "metrics.ingest", "reading the request, which has at most %d bytes", mostBytes)
	}
	return body, done, nil
}

// tooMany says that samples were left out. Senders do not try again.
func tooMany(left, of int) *problem.Error {
	return problem.New(problem.Precondition, "metrics.ingest", "%d of %d samples are of new series, and there are too many series already: the others are kept", left, of)
}

// statusOf is the status for an error. Senders try again after 5xx and 429 only.
func statusOf(err error) int {
	switch problem.CodeOf(err) {
	case problem.Invalid, problem.Precondition:
		return http.StatusBadRequest
	}
	return http.StatusServiceUnavailable
}
