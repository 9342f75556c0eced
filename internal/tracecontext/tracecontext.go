// Package tracecontext reads and writes the header traceparent of W3C Trace Context
// (https://www.w3.org/TR/trace-context/), and derives the identifiers of a run's trace
// and spans. The identifiers depend on names alone: each replica, before and after a
// restart, derives the same ones.
//
// It refuses to know what a span says (package telemetry/trace).
package tracecontext

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"showrunner/problem"
)

// Context is a place in a trace: what traceparent says.
type Context struct {
	Trace   [16]byte
	Span    [8]byte
	Sampled bool
}

// Parse reads a traceparent. A later version than 00 is read as far as 00 goes, as the
// specification asks for. Errors: invalid.
func Parse(text string) (Context, error) {
	var c Context
	bad := func(why string) (Context, error) {
		return Context{}, problem.New(problem.Invalid, "traceparent", "%.80q is not a traceparent: %s", text, why).
			WithHelp("00-TRACE-SPAN-FLAGS with 32, 16 and 2 hexadecimal digits, as https://www.w3.org/TR/trace-context/ says")
	}
	parts := strings.Split(text, "-")
	if len(parts) < 4 || len(parts[0]) != 2 || len(parts[3]) != 2 {
		return bad("it does not have four parts")
	}
	if text != strings.ToLower(text) {
		return bad("its digits have to be in lower case")
	}
	var version, flags [1]byte
	for _, part := range []struct {
		to   []byte
		text string
	}{{version[:], parts[0]}, {c.Trace[:], parts[1]}, {c.Span[:], parts[2]}, {flags[:], parts[3]}} {
		if len(part.text) != 2*len(part.to) {
			return bad("a part has the wrong length")
		}
		if _, err := hex.Decode(part.to, []byte(part.text)); err != nil {
			return bad("a part is not hexadecimal")
		}
	}
	switch {
	case version[0] == 0xff:
		return bad("the version ff does not exist")
	case version[0] == 0 && len(parts) != 4:
		return bad("version 00 has four parts")
	case c.Trace == [16]byte{} || c.Span == [8]byte{}:
		return bad("an identifier is zero")
	}
	c.Sampled = flags[0]&1 == 1
	return c, nil
}

// Received is a traceparent that came with a request: an invalid one is ignored, as the
// specification asks for.
func Received(header string) string {
	if _, err := Parse(header); err != nil {
		return ""
	}
	return header
}

// String is the context as a traceparent of version 00.
func (c Context) String() string {
	flags := "00"
	if c.Sampled {
		flags = "01"
	}
	return "00-" + hex.EncodeToString(c.Trace[:]) + "-" + hex.EncodeToString(c.Span[:]) + "-" + flags
}

// TraceID is the identifier of the trace as text.
func (c Context) TraceID() string { return hex.EncodeToString(c.Trace[:]) }

// Run is the context of a run, whose span is not known yet: the trace that it was started
// in when it was given one, else a trace of its own. given has been checked with Parse;
// what is not a traceparent counts as none.
func Run(execution, given string) Context {
	if c, err := Parse(given); err == nil {
		return c
	}
	c := Context{Sampled: true}
	sum := sha256.Sum256([]byte("trace\x00" + execution))
	copy(c.Trace[:], sum[:])
	return c
}

// At is the context with the span of that name.
func (c Context) At(span [8]byte) Context {
	c.Span = span
	return c
}

// RunSpan identifies the span of a run; restarts is how often the run had been restarted.
func RunSpan(execution string, restarts int) [8]byte {
	return Span("run", execution, strconv.Itoa(restarts))
}

// StageSpan identifies the span of one attempt at a stage.
func StageSpan(execution, stage string, attempt int) [8]byte {
	return Span("stage", execution, stage, strconv.Itoa(attempt))
}

// Span derives the identifier of a span from what names it.
func Span(names ...string) (id [8]byte) {
	sum := sha256.Sum256([]byte(strings.Join(names, "\x00")))
	copy(id[:], sum[:])
	return id
}
