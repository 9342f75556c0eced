package awsapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/wire"
)

// Call carries out an operation of one service for another one: checked, with its
// right and its audit events, as if the caller had sent it. The answer has the
// members that a client would read.
func (s *Server) Call(ctx context.Context, c wire.Call, service, operation string, in map[string]any) (map[string]any, error) {
	handler, ok := s.services[service].Operations[operation]
	if !ok {
		return nil, wire.Errorf("InvalidAction", "The operation %s of %s is not served here.", operation, service)
	}
	q, err := wire.Inside(service, operation, in)
	if err != nil {
		return nil, err
	}
	if violations := q.Violations(); len(violations) > 0 {
		return nil, wire.Errorf(s.invalidCode(q), "%s", s.services[service].Violated(violations))
	}
	c.Account, c.ID = Account, newID()
	if !s.services[service].Global && !slices.Contains(s.Regions, c.Region) {
		return nil, noRegion(c.Region, s.Regions)
	}
	output, err := s.perform(wire.WithInside(ctx), &c, q, handler)
	if err != nil {
		return nil, wire.Translate(err)
	}
	return q.Values(output)
}

// Serves says whether an operation is served.
func (s *Server) Serves(service, operation string) bool {
	_, ok := s.services[service].Operations[operation]
	return ok
}

func noRegion(region string, regions []string) error {
	return wire.Errorf("InvalidRegionException", "There is no local region %s; the regions are %s.", region, strings.Join(regions, ", "))
}

// mostObject bounds an object that is read for a service, in bytes.
const mostObject = 64 << 20

// Object carries out a request of S3 for a service. path is /BUCKET/KEY?QUERY. An
// answer with a status of 300 and more is an error with S3's code.
func (s *Server) Object(ctx context.Context, c wire.Call, method, path string, header http.Header, body []byte) ([]byte, error) {
	if s.S3 == nil {
		return nil, &wire.Error{Code: "NotImplemented", Status: http.StatusNotImplemented, Message: "S3 is not served here"}
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		r.Header[name] = values
	}
	sum := sha256.Sum256(body)
	scope := signature.Scope{Region: c.Region, Service: "s3", Payload: hex.EncodeToString(sum[:])}
	scope.Caller = c.Caller
	w := &recorded{header: http.Header{}, status: http.StatusOK}
	w.header.Set("X-Amz-Request-Id", newID())
	s.S3.ServeHTTP(w, r.WithContext(context.WithValue(ctx, scopeKey{}, scope)))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.status >= http.StatusMultipleChoices {
		return nil, objectError(w)
	}
	return w.body.Bytes(), nil
}

// objectError is the error in an answer of S3.
func objectError(w *recorded) error {
	e := &wire.Error{Status: w.status, Code: between(w.body.String(), "<Code>", "</Code>"), Message: between(w.body.String(), "<Message>", "</Message>")}
	if e.Code == "" {
		e.Code = strings.ReplaceAll(http.StatusText(w.status), " ", "")
	}
	return e
}

func between(text, begin, end string) string {
	_, rest, _ := strings.Cut(text, begin)
	found, _, ok := strings.Cut(rest, end)
	if !ok {
		return ""
	}
	return found
}

// recorded keeps an answer in memory.
type recorded struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorded) Header() http.Header { return w.header }

func (w *recorded) WriteHeader(status int) { w.status = status }

func (w *recorded) Write(b []byte) (int, error) {
	if w.body.Len()+len(b) > mostObject {
		return 0, io.ErrShortBuffer
	}
	return w.body.Write(b)
}
