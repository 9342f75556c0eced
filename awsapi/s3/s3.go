// Package s3 leads S3's requests, whose signature has been verified, to the object
// storage of the region that has the bucket: one endpoint for all regions, as
// AWS's clients expect. It owns which region that is, the list of all buckets,
// signing the request again for that region, copies between regions, and the parts
// of a bucket's configuration that an object storage does not know: encryption,
// public access and lifecycle rules. It refuses by name what nothing here carries
// out. Everything else of the protocol is a region's object storage's.
package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
)

// Region is a region's object storage.
type Region struct {
	Name     string
	Endpoint string // http://host:port; empty: the region does not answer
}

// Config is what a Front needs.
type Config struct {
	// Regions lists the regions as they are now.
	Regions func(ctx context.Context) ([]Region, error)
	// Owner is the key that every region's object storage takes.
	Owner signature.Credentials
	// Scope is the verified scope of a request.
	Scope func(ctx context.Context) (signature.Scope, bool)
	// Records keep what the regions' object storages do not know of a bucket.
	Records state.Records
	// Perform carries out a change of a bucket's settings, with the right checked and
	// the act recorded. Nil: it is carried out as it is.
	Perform func(ctx context.Context, c *wire.Call, service, operation string, act func() error) error
	Log     *slog.Logger
	Now     func() time.Time
}

// Front is the handler.
type Front struct {
	Config
	client  *http.Client
	carrier *http.Client // of objects, which may take long
	proxy   *httputil.ReverseProxy

	mu    sync.Mutex
	homes map[string]string // bucket → region, as last found
}

// New makes a front.
func New(c Config) *Front {
	transport := &http.Transport{MaxIdleConnsPerHost: 64, IdleConnTimeout: 90 * time.Second, DisableCompression: true, ExpectContinueTimeout: time.Second}
	f := &Front{Config: c, client: &http.Client{Transport: transport, Timeout: 30 * time.Second}, carrier: &http.Client{Transport: transport}, homes: map[string]string{}}
	f.proxy = &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(*httputil.ProxyRequest) {}, // ServeHTTP has made the request
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			f.fail(w, &wire.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: "the region's object storage does not answer"})
			f.Log.Warn("a request for S3 was not carried", "path", r.URL.Path, "error", err)
		},
		ErrorLog: slog.NewLogLogger(c.Log.Handler(), slog.LevelDebug),
	}
	return f
}

// mostConfiguration bounds the body of a request that makes a bucket, in bytes.
const mostConfiguration = 64 << 10

// ServeHTTP carries one verified request to its region.
func (f *Front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scope, ok := f.Scope(r.Context())
	if !ok {
		f.fail(w, wire.Errorf("AccessDenied", "the request was not verified"))
		return
	}
	regions, err := f.Regions(r.Context())
	if err != nil {
		f.fail(w, err)
		return
	}
	bucket := bucketOf(r.URL.EscapedPath())
	if bucket == "" {
		f.listBuckets(w, r, regions)
		return
	}
	if err := f.serve(w, r, bucket, scope, regions); err != nil {
		f.fail(w, named(err, bucket))
	}
}

// named is an error of a bucket's configuration with the bucket's name, as S3 has it.
func named(err error, bucket string) error {
	var e *wire.Error
	if !errors.As(err, &e) || e.Status != http.StatusNotFound || e.Code == "NoSuchKey" {
		return err
	}
	told := *e
	told.Members = map[string]any{"BucketName": bucket}
	return &told
}

// serve carries out a request about a bucket or an object.
func (f *Front) serve(w http.ResponseWriter, r *http.Request, bucket string, scope signature.Scope, regions []Region) error {
	home, found, err := f.home(r, bucket, scope, regions)
	if err != nil {
		return err
	}
	if home.Endpoint == "" {
		return &wire.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: "the region " + home.Name + " does not answer"}
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	b := target{f, home, bucket}
	if name, p, ok := partOf(r, key != ""); ok {
		if !found {
			return notFound("NoSuchBucket", "The specified bucket does not exist")
		}
		return f.configure(w, r, scope, name, p, b)
	}
	if found && key == "" && r.URL.Query().Has("policy") {
		return f.policy(w, r, scope, b)
	}
	if done, err := f.inFront(w, r, b, key); done || err != nil {
		return err
	}
	if err := f.mayOpen(r, &scope, b, key != ""); err != nil {
		return err
	}
	if source, path, query, ok := copySource(r); ok {
		if from, there := f.find(r.Context(), source, regions); there && from.Name != home.Name {
			return f.copyAcross(metadataWriter{w}, r, from, home, path, query)
		}
	}
	if makes(r) && !found {
		if err := f.forget(r.Context(), bucket); err != nil { // of a bucket of the same name
			return err
		}
	}
	out, err := f.signed(r, scope, home)
	if err != nil {
		return err
	}
	f.proxy.ServeHTTP(metadataWriter{w}, out)
	return nil
}

// metadataWriter writes the names of an object's own metadata in lower case, as S3
// does: clients hand them on as they come.
type metadataWriter struct{ http.ResponseWriter }

func (w metadataWriter) WriteHeader(status int) {
	h := w.Header()
	for name, values := range h {
		if strings.HasPrefix(name, "X-Amz-Meta-") {
			delete(h, name)
			h[strings.ToLower(name)] = values
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets the proxy flush.
func (w metadataWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (f *Front) fail(w http.ResponseWriter, err error) {
	(&wire.Request{Protocol: wire.S3}).Fail(w, w.Header().Get("X-Amz-Request-Id"), wire.Translate(err), f.Log)
}

// bucketOf is the first segment of a path.
func bucketOf(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if plain, err := url.PathUnescape(name); err == nil {
		return plain
	}
	return name
}

// home is the region that a request is for: the one that has its bucket, or where
// it is to be made. found says that it has it.
func (f *Front) home(r *http.Request, bucket string, scope signature.Scope, regions []Region) (home Region, found bool, err error) {
	asked := scope.Region
	if makes(r) {
		body, err := io.ReadAll(io.LimitReader(r.Body, mostConfiguration))
		if err != nil {
			return Region{}, false, wire.Errorf("IncompleteBody", "the body ended too early")
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		var configuration struct {
			LocationConstraint string
		}
		if len(body) > 0 && xml.Unmarshal(body, &configuration) == nil && configuration.LocationConstraint != "" {
			asked = configuration.LocationConstraint
		}
	}
	if home, ok := f.find(r.Context(), bucket, regions); ok {
		return home, true, nil
	}
	for _, one := range regions {
		if one.Name == asked {
			return one, false, nil
		}
	}
	return Region{}, false, wire.Errorf("InvalidLocationConstraint", "there is no local region %s", asked)
}

// makes says whether a request makes a bucket.
func makes(r *http.Request) bool {
	return r.Method == http.MethodPut && strings.Count(strings.Trim(r.URL.EscapedPath(), "/"), "/") == 0 && r.URL.RawQuery == ""
}

// find asks the regions which of them has a bucket, the one that had it last first.
func (f *Front) find(ctx context.Context, bucket string, regions []Region) (Region, bool) {
	f.mu.Lock()
	last := f.homes[bucket]
	f.mu.Unlock()
	for _, one := range regions {
		if one.Name == last && f.has(ctx, one, bucket) {
			return one, true
		}
	}
	for _, one := range regions {
		if one.Name != last && f.has(ctx, one, bucket) {
			f.mu.Lock()
			f.homes[bucket] = one.Name
			f.mu.Unlock()
			return one, true
		}
	}
	f.mu.Lock()
	delete(f.homes, bucket)
	f.mu.Unlock()
	return Region{}, false
}

// emptyHash is the hash of no body.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// has asks a region whether it has a bucket; one that does not answer has none.
func (f *Front) has(ctx context.Context, region Region, bucket string) bool {
	res, err := f.ask(ctx, http.MethodHead, region, "/"+url.PathEscape(bucket))
	if err != nil {
		return false
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// ask sends a request of our own to a region.
func (f *Front) ask(ctx context.Context, method string, region Region, path string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, region.Endpoint+path, nil)
	if err != nil {
		return nil, err
	}
	r.Host = r.URL.Host
	signature.Sign(r, f.Owner, region.Name, "s3", emptyHash, nil, f.Now())
	return f.client.Do(r)
}

// signed is a request as its region takes it. What the client signed of the body
// stays signed: its hash, or that it is not.
func (f *Front) signed(r *http.Request, scope signature.Scope, home Region) (*http.Request, error) {
	endpoint, err := url.Parse(home.Endpoint)
	if err != nil {
		return nil, err
	}
	if scope.OldLink || strings.HasPrefix(scope.Payload, "STREAMING-AWS4-") {
		// Each piece of the body is signed with the client's key, and for its region.
		if !scope.OldLink && (scope.Token != "" || scope.Region != home.Name || scope.Presigned) {
			return nil, &wire.Error{Code: "NotImplemented", Status: http.StatusNotImplemented,
				Message: "a body that is signed in pieces needs the owner's key and the bucket's region, " + home.Name + ": set the region, or sign the whole body"}
		}
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = endpoint.Scheme, endpoint.Host, "" // the host that was signed stays in the header
		return out, nil
	}
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = endpoint.Scheme, endpoint.Host, endpoint.Host, ""
	if scope.Presigned {
		out.URL.RawQuery = withoutSignature(r.URL.RawQuery)
	}
	out.Header.Del("X-Amz-Security-Token")
	var names []string
	for name := range out.Header {
		if strings.HasPrefix(name, "X-Amz-") || name == "Content-Type" || name == "Content-Md5" {
			names = append(names, name)
		}
	}
	signature.Sign(out, f.Owner, home.Name, "s3", scope.Payload, names, f.Now())
	return out, nil
}

// withoutSignature is a query without the parameters of a presigned URL.
func withoutSignature(raw string) string {
	var kept []string
	for part := range strings.SplitSeq(raw, "&") {
		switch name, _, _ := strings.Cut(part, "="); name {
		case "", "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256":
		default:
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, "&")
}
