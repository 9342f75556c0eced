// Package problem owns the one error type of the project: a closed list of
// codes that programs act on, and a message that people read.
//
// Every operation that a person or a program may ask for returns either nil or
// an error from which Of recovers an *Error. HTTP statuses and exit codes are
// each derived from the code in one function of the face that needs them.
package problem

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Code classifies an error. The list is closed: a caller may switch over it.
type Code string

const (
	// Invalid: the request itself is wrong; repeating it unchanged cannot help.
	Invalid Code = "invalid"
	// NotFound: the thing named does not exist.
	NotFound Code = "not_found"
	// Conflict: the thing changed since the caller looked, or exists already.
	Conflict Code = "conflict"
	// Denied: the principal may not do this.
	Denied Code = "denied"
	// Precondition: a safety check refused, or could not be carried out.
	Precondition Code = "precondition"
	// Unavailable: something needed is unreachable or overloaded; the only code worth retrying.
	Unavailable Code = "unavailable"
	// Internal: our own defect, or a failure we cannot classify.
	Internal Code = "internal"
)

// Error says what failed, on what, and what to do next.
type Error struct {
	Code    Code
	Op      string // the operation, such as "artifact.put"
	Message string // what failed, on what
	Help    string // what to do next; may be empty
	// RetryAfter is how long to wait before asking again; only with Unavailable, zero when unknown.
	RetryAfter time.Duration
	// Busy says that nothing is unreachable: more is asked for than is taken on, and the
	// asker should slow down; only with Unavailable.
	Busy bool
	Err  error
}

// Error implements error: "op: message: cause".
func (e *Error) Error() string {
	s := e.Message
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Text is what people read of an error: its messages, without the operations.
func Text(err error) string {
	if e, ok := err.(*Error); ok {
		if e.Err == nil {
			return e.Message
		}
		return e.Message + ": " + Text(e.Err)
	}
	text := err.Error()
	if inner, ok := Of(err); ok {
		text = strings.Replace(text, inner.Error(), Text(inner), 1)
	}
	return text
}

// OpOf returns the operation of the outermost *Error in err's chain.
func OpOf(err error) string {
	if e, ok := Of(err); ok {
		return e.Op
	}
	return ""
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New makes an Error without a cause.
func New(code Code, op, format string, args ...any) *Error {
	return &Error{Code: code, Op: op, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error around a cause. When the cause carries a code of its own
// and code is empty, that code is kept; with neither it is Internal.
func Wrap(err error, code Code, op, format string, args ...any) *Error {
	if code == "" {
		code = CodeOf(err)
	}
	return &Error{Code: code, Op: op, Message: fmt.Sprintf(format, args...), Err: err}
}

// WithHelp sets what to do next and returns e.
func (e *Error) WithHelp(format string, args ...any) *Error {
	e.Help = fmt.Sprintf(format, args...)
	return e
}

// Of finds the outermost *Error in err's chain.
func Of(err error) (*Error, bool) {
	var e *Error
	ok := errors.As(err, &e)
	return e, ok
}

// CodeOf returns the code of the outermost *Error in err's chain, Internal for
// any other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := Of(err); ok {
		return e.Code
	}
	return Internal
}

// HelpOf returns the first non-empty Help in err's chain.
func HelpOf(err error) string {
	for err != nil {
		if e, ok := err.(*Error); ok && e.Help != "" {
			return e.Help
		}
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range several.Unwrap() {
				if help := HelpOf(one); help != "" {
					return help
				}
			}
			return ""
		}
		err = errors.Unwrap(err)
	}
	return ""
}
