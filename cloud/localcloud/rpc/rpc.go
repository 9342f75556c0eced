// Package rpc is the protocol between the processes of the local cloud: JSON over
// HTTP on a unix socket, or over TCP with a token. It owns the form of errors on
// the wire, and the mapping between their codes and HTTP statuses. It refuses to
// know what requests mean.
package rpc

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"showrunner/problem"
)

// Error is a problem in its wire form.
type Error struct {
	Code       problem.Code  `json:"code"`
	Op         string        `json:"op,omitempty"`
	Message    string        `json:"message"`
	Help       string        `json:"help,omitempty"`
	RetryAfter time.Duration `json:"retryAfter,omitempty"` // in nanoseconds
}

// NewError converts err to its wire form. An error that is not a problem becomes
// internal.
func NewError(err error) *Error {
	e := &Error{Code: problem.CodeOf(err), Message: err.Error(), Help: problem.HelpOf(err)}
	if p, ok := problem.Of(err); ok {
		e.RetryAfter = p.RetryAfter
	}
	return e
}

// Problem is the problem that was sent.
func (e *Error) Problem() error {
	return &problem.Error{Code: e.Code, Op: e.Op, Message: e.Message, Help: e.Help, RetryAfter: e.RetryAfter}
}

// statuses are the HTTP statuses of the codes. Internal has the status of every
// other code.
var statuses = map[problem.Code]int{
	problem.Invalid:      http.StatusBadRequest,
	problem.NotFound:     http.StatusNotFound,
	problem.Conflict:     http.StatusConflict,
	problem.Denied:       http.StatusForbidden,
	problem.Precondition: http.StatusPreconditionFailed,
	problem.Unavailable:  http.StatusServiceUnavailable,
}

// Status is the status of an answer with an error of this code.
func Status(code problem.Code) int {
	if status, ok := statuses[code]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// codeOf is the code of an answer that has only a status.
func codeOf(status int) problem.Code {
	for code, s := range statuses {
		if s == status {
			return code
		}
	}
	switch status {
	case http.StatusUnauthorized:
		return problem.Denied
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		return problem.Unavailable
	}
	return problem.Internal
}

// Answer answers with v as JSON, with no content when v is nil, or with the
// error.
func Answer(w http.ResponseWriter, v any, err error) {
	switch {
	case err != nil:
		Fail(w, err)
	case v == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v) // the client may have disconnected
	}
}

// Fail answers with an error.
func Fail(w http.ResponseWriter, err error) {
	e := NewError(err)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(Status(e.Code))
	_ = json.NewEncoder(w).Encode(e) // as above
}

// bodyLimit bounds a request, in bytes: a version with a large environment is far
// smaller.
const bodyLimit = 4 << 20

// Read reads the single JSON value of a request's body. Errors: invalid.
func Read(w http.ResponseWriter, r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("more than one value")
		}
	}
	if err != nil {
		return problem.Wrap(err, problem.Invalid, "rpc.read", "reading the request")
	}
	return nil
}
