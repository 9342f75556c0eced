package wire

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// Protocol is how a request is written, and so how its answer is.
type Protocol string

const (
	Query Protocol = "query"
	EC2   Protocol = "ec2"
	JSON  Protocol = "json"
	REST  Protocol = "rest-json"
	CBOR  Protocol = "rpc-v2-cbor"
	S3    Protocol = "rest-xml" // of S3 alone, which is not read here
)

// Request is what a client asks for.
type Request struct {
	Protocol  Protocol
	Service   string // the model's name; empty for one that is not served
	Operation string // as the client named it
	Input     map[string]any

	model     *Model
	operation *Operation // nil: the model does not have it
	path      map[string]string
	form      url.Values
	shown     string // the JSON version of the request
}

const (
	// MaxBody bounds the body of a request, compressed and not, in bytes: what AWS
	// takes of records at once, in base64.
	MaxBody = 16 << 20
	// MaxUpload bounds the body of a request for Lambda, which may hold a program.
	MaxUpload = 72 << 20
)

// ErrNotOurs is a request for S3, which this package does not read.
var ErrNotOurs = errors.New("a request for S3")

var cborPath = regexp.MustCompile(`^/service/([A-Za-z0-9_]+)/operation/([A-Za-z0-9_]+)$`)

// Choose tells which operation a request with a verified signature for a service
// (its name in the scope) asks for. It reads nothing but the head; a form is in
// body. The error is ErrNotOurs for S3.
func Choose(r *http.Request, signedFor string, body []byte) (*Request, error) {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	target := r.Header.Get("X-Amz-Target")
	switch {
	case r.Header.Get("Smithy-Protocol") == string(CBOR):
		q := &Request{Protocol: CBOR}
		found := cborPath.FindStringSubmatch(r.URL.Path)
		if found == nil {
			return q, unknown("a request of rpc-v2-cbor needs the path /service/SERVICE/operation/OPERATION")
		}
		q.Operation = found[2]
		return q, q.find(func(m *Model) bool { return m.Metadata.TargetPrefix == found[1] || m.Metadata.ServiceID == found[1] })
	case target != "":
		prefix, operation, _ := strings.Cut(target, ".")
		q := &Request{Protocol: JSON, Operation: operation, shown: "1.1"}
		if kind == "application/x-amz-json-1.0" {
			q.shown = "1.0"
		}
		return q, q.find(func(m *Model) bool { return m.Metadata.TargetPrefix == prefix })
	case kind == "application/x-www-form-urlencoded" || r.Method == http.MethodGet && r.URL.Query().Has("Action"):
		q := &Request{Protocol: Query}
		if signedFor == "ec2" {
			q.Protocol = EC2
		}
		form := r.URL.Query()
		if r.Method == http.MethodPost {
			posted, err := url.ParseQuery(string(body))
			if err != nil {
				return q, malformed("the form cannot be read: %v", err)
			}
			form = posted
		}
		q.Operation, q.form = form.Get("Action"), form
		if q.Operation == "" {
			return q, Errorf("MissingAction", "The request has no Action.")
		}
		return q, q.find(func(m *Model) bool { return m.SigningName() == signedFor })
	case signedFor == "s3" || signedFor == "":
		return &Request{Protocol: S3}, ErrNotOurs
	}
	q := &Request{Protocol: REST}
	if err := q.find(func(m *Model) bool { return m.Metadata.Protocol == "rest-json" && m.SigningName() == signedFor }); err != nil && q.model == nil {
		return q, err
	}
	if q.operation, q.path = q.model.findRoute(r); q.operation == nil {
		return q, &Error{Code: "UnknownOperationException", Status: http.StatusNotFound, Message: r.Method + " " + r.URL.Path + " is no operation of " + signedFor + " that is served here"}
	}
	q.Operation = q.operation.Name
	return q, nil
}

// unknown is the error of an operation that is not served.
func unknown(format string, args ...any) *Error {
	return Errorf("UnknownOperationException", format, args...)
}

// SignedFor says whether the scope of a signature is that of the chosen service.
func (q *Request) SignedFor(service string) bool {
	return q.model != nil && q.model.SigningName() == service
}

// find sets the model that fits and its operation.
func (q *Request) find(fits func(*Model) bool) error {
	for _, name := range Services() {
		m, err := Load(name)
		if err != nil {
			return err
		}
		if !fits(m) {
			continue
		}
		q.Service, q.model, q.operation = name, m, m.Operations[q.Operation]
		if q.operation == nil {
			if q.Protocol == Query || q.Protocol == EC2 {
				return Errorf("InvalidAction", "The action %s is not valid for this endpoint: it is not served here.", q.Operation)
			}
			return unknown("the operation %s is not served here", q.Operation)
		}
		return nil
	}
	return unknown("the service of the operation %q is not served here", q.Operation)
}

// TooLong is the error of a body that is longer than what is taken.
func TooLong() *Error {
	return &Error{Code: "RequestEntityTooLargeException", Status: http.StatusRequestEntityTooLarge, Message: "the body is longer than what is taken"}
}

// Unpack undoes the compression of a body, whose signature is of the compressed bytes.
func Unpack(header http.Header, body []byte) ([]byte, error) {
	switch encoding := header.Get("Content-Encoding"); encoding {
	case "", "identity", "aws-chunked":
		return body, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, malformed("the body is not gzip: %v", err)
		}
		out, err := io.ReadAll(io.LimitReader(z, MaxBody+1))
		if err != nil {
			return nil, malformed("the body is not gzip: %v", err)
		}
		if len(out) > MaxBody {
			return nil, TooLong()
		}
		return out, nil
	default:
		return nil, malformed("the content encoding %q is not known", encoding)
	}
}

// Read fills in the input of a chosen operation and checks it against the model.
func (q *Request) Read(r *http.Request, body []byte) (err error) {
	m, o := q.model, q.operation
	switch q.Protocol {
	case Query, EC2:
		q.Input, err = newQuery(m, q.form).input(o)
	case REST:
		q.Input, err = m.restInput(o, r, body, q.path)
	default:
		shape := &Shape{Type: "structure"}
		if o.Input != nil {
			shape = m.of(o.Input)
		}
		if q.Protocol == CBOR {
			q.Input, err = m.readCBOR(shape, body)
		} else {
			q.Input, err = m.readJSON(shape, body)
		}
	}
	return err
}
