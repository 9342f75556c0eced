package awsapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Config says what an endpoint serves.
type Config struct {
	Keys     *Keys
	Regions  []string // the local regions, the first is the default
	Services []wire.Service
	// S3 serves requests whose signature has been verified; it finds the scope in
	// the request's context (ScopeOf). Nil: S3 is not served.
	S3 http.Handler
	// Open finds what answers a request that needs no signature; nil, or nil for a
	// request: it does.
	Open func(r *http.Request) http.Handler
	// Perform carries out an operation that may change something, with the right
	// checked and the act recorded. Nil: it is carried out as it is.
	Perform func(ctx context.Context, c *wire.Call, service, operation string, act func() error) error
	Log     *slog.Logger
	Now     func() time.Time
}

// Server is the endpoint.
type Server struct {
	Config
	services map[string]wire.Service
	room     *semaphore.Weighted // for bodies
}

// New makes an endpoint. The error is of a service whose structs do not fit its model.
func New(c Config) (*Server, error) {
	s := &Server{Config: c, services: map[string]wire.Service{}, room: semaphore.NewWeighted(bodiesAtOnce)}
	for _, one := range c.Services {
		if err := one.Check(); err != nil {
			return nil, err
		}
		if _, twice := s.services[one.Name]; twice {
			return nil, fmt.Errorf("the service %s is there twice", one.Name)
		}
		s.services[one.Name] = one
	}
	return s, nil
}

type scopeKey struct{}

// ScopeOf is the verified scope of a request that is handed on.
func ScopeOf(ctx context.Context) (signature.Scope, bool) {
	s, ok := ctx.Value(scopeKey{}).(signature.Scope)
	return s, ok
}

// newID is a request's identifier.
func newID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// ServeHTTP verifies, finds, checks and carries out one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := newID()
	w.Header().Set("X-Amz-Request-Id", id)
	w.Header().Set("Server", "showrunner")
	if s.Open != nil {
		if open := s.Open(r); open != nil {
			open.ServeHTTP(w, r)
			return
		}
	}
	if err := s.serve(w, r, id); err != nil {
		var f *failed
		q := &wire.Request{Protocol: guess(r)}
		if errors.As(err, &f) {
			q, err = f.request, f.err
		}
		q.Fail(w, id, wire.Translate(err), s.Log)
	}
}

// failed is an error of a request whose protocol is known.
type failed struct {
	request *wire.Request
	err     error
}

func (f *failed) Error() string { return f.err.Error() }

// guess is the protocol of a request that could not be verified: its client has to
// understand why.
func guess(r *http.Request) wire.Protocol {
	q, err := wire.Choose(r, "", nil)
	if errors.Is(err, wire.ErrNotOurs) || q == nil {
		return wire.S3
	}
	return q.Protocol
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, id string) error {
	s3 := guess(r) == wire.S3 && !isREST(r)
	var body []byte
	if !s3 {
		if err := signature.Before(r, s.Now(), s.Keys.Find); err != nil {
			return err
		}
		read, free, err := s.body(w, r)
		defer free()
		if err != nil {
			return err
		}
		body = read
	}
	scope, err := s.verify(r, body, s3)
	if err != nil {
		return err
	}
	if s3 {
		if s.S3 == nil {
			return &wire.Error{Code: "NotImplemented", Status: http.StatusNotImplemented, Message: "S3 is not served here"}
		}
		if scope.Service != "s3" && !scope.OldLink {
			return &wire.Error{Code: "SignatureDoesNotMatch", Status: http.StatusForbidden, Message: "Credential should be scoped to correct service."}
		}
		s.S3.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), scopeKey{}, scope)))
		return nil
	}
	if body, err = wire.Unpack(r.Header, body); err != nil {
		return err
	}
	q, err := wire.Choose(r, scope.Service, body)
	if err != nil {
		return &failed{q, err}
	}
	if !q.SignedFor(scope.Service) {
		return &failed{q, &wire.Error{Code: "SignatureDoesNotMatch", Status: http.StatusForbidden, Message: "Credential should be scoped to correct service."}}
	}
	if err := s.run(w, r, q, scope, body, id); err != nil {
		return &failed{q, err}
	}
	return nil
}

const (
	// bodiesAtOnce bounds the bodies that are in memory together, in bytes; those that
	// come while there is no room wait.
	bodiesAtOnce = 2 * wire.MaxUpload
	// bodyTime is how long a client may take to send a body that is not S3's.
	bodyTime = time.Minute
)

// body reads a body into memory, once there is room for it. free gives the room back.
func (s *Server) body(w http.ResponseWriter, r *http.Request) (body []byte, free func(), err error) {
	free = func() {}
	limit := int64(wire.MaxBody)
	if isREST(r) {
		limit = wire.MaxUpload
	}
	if r.ContentLength > limit {
		return nil, free, wire.TooLong()
	}
	size := r.ContentLength
	if size < 0 {
		size = limit
	}
	if err := s.room.Acquire(r.Context(), size); err != nil {
		return nil, free, &wire.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: "the request was given up while others were read"}
	}
	free = func() { s.room.Release(size) }
	// Not every writer can do this; those of a test cannot.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTime))
	var text bytes.Buffer
	if r.ContentLength > 0 {
		text.Grow(int(min(r.ContentLength, 1<<20)) + bytes.MinRead)
	}
	if _, err := text.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		var long *http.MaxBytesError
		if errors.As(err, &long) {
			return nil, free, wire.TooLong()
		}
		return nil, free, &wire.Error{Code: "IncompleteBody", Status: http.StatusBadRequest, Message: "the body ended too early"}
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	body = text.Bytes()
	if body == nil {
		body = []byte{} // nil is a body that is streamed
	}
	return body, free, nil
}

// verify is the scope of a request's signature. A link of version 2 with the
// owner's key is let through to the object storage, which verifies it.
func (s *Server) verify(r *http.Request, body []byte, s3 bool) (signature.Scope, error) {
	if s3 && signature.IsOldLink(r) && r.URL.Query().Get("AWSAccessKeyId") == s.Keys.owner.Key {
		return signature.Scope{OldLink: true}, signature.Loopback(r.Host)
	}
	return signature.Verify(r, body, s.Now(), s.Keys.Find)
}

// isREST says whether a request without a target or a form is for a service that
// is found by its path: the scope is in the claim, which is not verified yet.
func isREST(r *http.Request) bool {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	parts := strings.Split(rest, "/")
	return len(parts) > 3 && parts[3] == "lambda"
}

// run carries out an operation whose request was verified.
func (s *Server) run(w http.ResponseWriter, r *http.Request, q *wire.Request, scope signature.Scope, body []byte, id string) error {
	service := s.services[q.Service]
	handler, ok := service.Operations[q.Operation]
	if !ok {
		return wire.Errorf(unknownCode(q.Protocol), "The operation %s of %s is not served here.", q.Operation, scope.Service)
	}
	if err := q.Read(r, body); err != nil {
		return err
	}
	if violations := q.Violations(); len(violations) > 0 {
		if name, found := strings.CutPrefix(violations[0], "Value null at '"); found && q.Protocol == wire.EC2 {
			name, _, _ = strings.Cut(name, "'")
			return wire.Errorf("MissingParameter", "The request must contain the parameter %s", name)
		}
		return wire.Errorf(s.invalidCode(q), "%s", service.Violated(violations))
	}
	region := s.region(scope)
	if !service.Global && !slices.Contains(s.Regions, region) {
		return noRegion(region, s.Regions)
	}
	call := &wire.Call{Account: Account, Region: region, ID: id, Caller: scope.Caller, Key: scope.Key}
	output, err := s.perform(r.Context(), call, q, handler)
	if err != nil {
		return err
	}
	return q.Answer(w, id, output)
}

// perform carries out a request, with its right checked and the act recorded when
// it may change something.
func (s *Server) perform(ctx context.Context, call *wire.Call, q *wire.Request, handler wire.Handler) (output any, err error) {
	act := func() error {
		output, err = s.attempt(ctx, handler, call, q)
		return err
	}
	if s.Perform != nil && changes(q.Operation) && !slices.Contains(s.services[q.Service].Data, q.Operation) {
		err = s.Perform(ctx, call, q.Service, q.Operation, act)
		return output, err
	}
	err = act()
	return output, err
}

// attempt runs a handler; one that panics fails its request alone.
func (s *Server) attempt(ctx context.Context, h wire.Handler, c *wire.Call, q *wire.Request) (output any, err error) {
	defer func() {
		if p := recover(); p != nil {
			s.Log.Error("an AWS operation panicked", "operation", q.Operation, "panic", p, "stack", string(debug.Stack()))
			err = problem.New(problem.Internal, "awsapi", "%s panicked", q.Operation)
		}
	}()
	return h.Run(ctx, c, q)
}

// region is the local region that the scope means: clients of global services
// sign for us-east-1 or aws-global.
func (s *Server) region(scope signature.Scope) string {
	if scope.Region == "aws-global" && len(s.Regions) > 0 {
		return s.Regions[0]
	}
	return scope.Region
}

func (s *Server) invalidCode(q *wire.Request) string {
	if code := s.services[q.Service].Invalid; code != "" {
		return code
	}
	if q.Protocol == wire.Query || q.Protocol == wire.EC2 {
		return "ValidationError"
	}
	return "ValidationException"
}

func unknownCode(p wire.Protocol) string {
	if p == wire.Query || p == wire.EC2 {
		return "InvalidAction"
	}
	return "UnknownOperationException"
}

// changes says whether an operation may change something, by AWS's names.
func changes(operation string) bool {
	for _, reads := range []string{"Describe", "List", "Get", "BatchGet", "Validate", "Decode", "Lookup", "Filter", "Test", "Simulate"} {
		if strings.HasPrefix(operation, reads) {
			return false
		}
	}
	return true
}
