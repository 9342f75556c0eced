package wire

import (
	"errors"
	"fmt"
	"net/http"

	"showrunner/problem"
)

// Error is what a service answers instead of a result.
type Error struct {
	Code    string // as AWS documents it: ResourceNotFoundException
	Message string
	// Status is the HTTP status; 0 is the model's, else 400.
	Status int
	// Members are further members of the exception's shape.
	Members map[string]any
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Errorf makes an error of a code.
func Errorf(code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// status is what an error of this model is answered with.
func (m *Model) status(e *Error) int {
	switch {
	case e.Status != 0:
		return e.Status
	case m == nil || m.byCode[e.Code] == nil || m.byCode[e.Code].Error == nil || m.byCode[e.Code].Error.Status == 0:
		return http.StatusBadRequest
	}
	return m.byCode[e.Code].Error.Status
}

// fault is who is to blame, in AWS's words.
func fault(status int) string {
	if status >= http.StatusInternalServerError {
		return "Receiver"
	}
	return "Sender"
}

// CodeOf is the code of an error; empty for none, InternalFailure for one that is
// not a service's own.
func CodeOf(err error) string {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	}
	return "InternalFailure"
}

// Translate gives a problem of ours the code of AWS that its clients act on; a
// service's own errors stay as they are.
func Translate(err error) error {
	var e *Error
	p, ok := problem.Of(err)
	if errors.As(err, &e) || !ok {
		return err
	}
	switch p.Code {
	case problem.Invalid:
		return &Error{Code: "ValidationError", Message: err.Error(), Status: http.StatusBadRequest}
	case problem.NotFound:
		return &Error{Code: "ResourceNotFoundException", Message: err.Error(), Status: http.StatusBadRequest}
	case problem.Conflict, problem.Precondition:
		return &Error{Code: "ConflictException", Message: err.Error(), Status: http.StatusConflict}
	case problem.Denied:
		return &Error{Code: "AccessDenied", Message: err.Error(), Status: http.StatusForbidden}
	case problem.Unavailable:
		return &Error{Code: "ServiceUnavailable", Message: err.Error(), Status: http.StatusServiceUnavailable}
	}
	return err
}
