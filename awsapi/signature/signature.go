// Package signature verifies AWS's Signature Version 4 on requests, in the
// Authorization header and in the query of a presigned URL. It owns what has to
// hold of a request before anything of it is believed: the key, the host, the
// clock, the body's hash, the signature itself in constant time, and the token of
// a session. It refuses to know what is asked for, and what the caller may do.
//
// Source: "Authenticating Requests (AWS Signature Version 4)", Amazon S3 API
// reference; "Create a signed AWS API request", IAM user guide.
package signature

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/wire"
)

// Credentials are what a key stands for.
type Credentials struct {
	Key, Secret string
	Token       string    // of a session; empty for a key without one
	Until       time.Time // zero: without an end
	Caller      string    // the principal's ARN
}

// Lookup finds the credentials of a key, and of the token that came with it (empty:
// none came); false when there are none.
type Lookup func(key, token string) (Credentials, bool)

// Scope is what a valid signature was made for.
type Scope struct {
	Credentials
	Region, Service string
	Presigned       bool
	// Payload is the hash that was signed, or a word such as UNSIGNED-PAYLOAD.
	Payload string
	// OldLink is set of a link that is signed by version 2 with the owner's key and
	// is not verified: a region's object storage does that (IsOldLink).
	OldLink bool
}

// IsOldLink says whether a request is a presigned link of version 2, which the aws
// command still makes for some regions.
func IsOldLink(r *http.Request) bool {
	q := r.URL.Query()
	return q.Has("AWSAccessKeyId") && q.Has("Signature") && q.Has("Expires")
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeForm   = "20060102T150405Z"
	skew       = 15 * time.Minute
	longest    = 7 * 24 * time.Hour // of a presigned URL
	unsigned   = "UNSIGNED-PAYLOAD"
	hashHeader = "X-Amz-Content-Sha256"
	// authority is how the SDK for JavaScript signs the host over HTTP/2.
	authority = ":authority"
)

// claim is what a request says of its signature.
type claim struct {
	key, date, region, service string
	headers                    []string
	signature                  string
	at                         time.Time
	token                      string
	presigned                  bool
	lasts                      time.Duration
}

// Verify checks a request's signature. body is the whole body as it was sent, nil
// when it is streamed (S3), in which case its hash is whoever reads it to check.
// The error is what AWS answers; a request without a signature is
// MissingAuthenticationToken.
func Verify(r *http.Request, body []byte, now time.Time, find Lookup) (Scope, error) {
	c, known, err := check(r, find)
	if err != nil {
		return Scope{}, err
	}
	payload, err := c.payload(r, body)
	if err != nil {
		return Scope{}, err
	}
	want := c.sign(known.Secret, canonical(r, c, payload))
	if subtle.ConstantTimeCompare([]byte(want), []byte(c.signature)) != 1 {
		return Scope{}, failure("SignatureDoesNotMatch", http.StatusForbidden, "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.")
	}
	if err := c.clock(now); err != nil {
		return Scope{}, err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(known.Token), []byte(c.token)) != 1:
		return Scope{}, failure("InvalidClientTokenId", http.StatusForbidden, "The security token included in the request is invalid.")
	case !known.Until.IsZero() && now.After(known.Until):
		return Scope{}, failure("ExpiredToken", http.StatusForbidden, "The security token included in the request is expired")
	}
	return Scope{Credentials: known, Region: c.region, Service: c.service, Presigned: c.presigned, Payload: payload}, nil
}

// Before checks what can be known of a request before its body is read: that a known
// key is claimed, for this host and this time. What passes is not verified yet.
func Before(r *http.Request, now time.Time, find Lookup) error {
	c, _, err := check(r, find)
	if err != nil {
		return err
	}
	return c.clock(now)
}

// check reads the claim of a request and finds its key.
func check(r *http.Request, find Lookup) (c claim, known Credentials, err error) {
	if c, err = read(r); err != nil {
		return c, known, err
	}
	if err := Loopback(r.Host); err != nil {
		return c, known, err
	}
	known, found := find(c.key, c.token)
	if !found {
		return c, known, failure("InvalidClientTokenId", http.StatusForbidden, "The security token included in the request is invalid.")
	}
	if !slices.Contains(c.headers, "host") && !(r.ProtoMajor == 2 && slices.Contains(c.headers, authority)) {
		return c, known, failure("SignatureDoesNotMatch", http.StatusForbidden, "'Host' must be a 'SignedHeader' in the AWS Authorization.")
	}
	for name := range r.Header {
		name = strings.ToLower(name)
		// The body's hash is signed as such.
		if strings.HasPrefix(name, "x-amz-") && name != "x-amz-content-sha256" && !slices.Contains(c.headers, name) {
			return c, known, failure("AccessDenied", http.StatusForbidden, "There were headers present in the request which were not signed: "+name)
		}
	}
	return c, known, nil
}

func failure(code string, status int, message string) *wire.Error {
	return &wire.Error{Code: code, Status: status, Message: message}
}

func incomplete(message string) *wire.Error {
	return failure("IncompleteSignature", http.StatusBadRequest, message)
}

// read takes the claim from the header or the query.
func read(r *http.Request) (claim, error) {
	query := r.URL.Query()
	header := r.Header.Get("Authorization")
	switch {
	case query.Get("X-Amz-Algorithm") != "":
		return readQuery(query)
	case query.Has("AWSAccessKeyId") && query.Has("Signature"), strings.HasPrefix(header, "AWS "):
		return claim{}, failure("InvalidRequest", http.StatusBadRequest, "Signature version 2 is not accepted: set signature_version = s3v4 in the s3 block of the profile.")
	case header == "":
		return claim{}, failure("MissingAuthenticationToken", http.StatusForbidden, "Missing Authentication Token")
	}
	rest, ok := strings.CutPrefix(header, algorithm+" ")
	if !ok {
		return claim{}, incomplete("The Authorization header needs the algorithm " + algorithm + ".")
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	var c claim
	c.token = r.Header.Get("X-Amz-Security-Token")
	if err := c.fill(parts["Credential"], parts["SignedHeaders"], parts["Signature"], r.Header.Get("X-Amz-Date")); err != nil {
		return claim{}, err
	}
	return c, nil
}

func readQuery(query url.Values) (claim, error) {
	if query.Get("X-Amz-Algorithm") != algorithm {
		return claim{}, incomplete("The algorithm " + query.Get("X-Amz-Algorithm") + " is not supported.")
	}
	seconds, err := strconv.Atoi(query.Get("X-Amz-Expires"))
	if err != nil || seconds < 1 || seconds > int(longest/time.Second) {
		return claim{}, failure("AuthorizationQueryParametersError", http.StatusBadRequest, "X-Amz-Expires must be between 1 and 604800 seconds")
	}
	c := claim{presigned: true, lasts: time.Duration(seconds) * time.Second, token: query.Get("X-Amz-Security-Token")}
	return c, c.fill(query.Get("X-Amz-Credential"), query.Get("X-Amz-SignedHeaders"), query.Get("X-Amz-Signature"), query.Get("X-Amz-Date"))
}

func (c *claim) fill(credential, headers, signature, date string) (err error) {
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return incomplete("Credential must have exactly 5 slash-delimited elements, the last of them aws4_request.")
	}
	if headers == "" || signature == "" {
		return incomplete("The Authorization needs SignedHeaders and Signature.")
	}
	if c.at, err = time.Parse(timeForm, date); err != nil {
		return incomplete("The request needs X-Amz-Date in the form YYYYMMDD'T'HHMMSS'Z'.")
	}
	c.key, c.date, c.region, c.service = scope[0], scope[1], scope[2], scope[3]
	c.headers, c.signature = strings.Split(headers, ";"), signature
	if c.at.Format("20060102") != c.date {
		return failure("SignatureDoesNotMatch", http.StatusForbidden, "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP")
	}
	return nil
}

// clock says whether the signature is of now.
func (c claim) clock(now time.Time) error {
	if c.presigned {
		if now.Before(c.at.Add(-skew)) || now.After(c.at.Add(c.lasts)) {
			return failure("AccessDenied", http.StatusForbidden, "Request has expired")
		}
		return nil
	}
	switch {
	case now.Sub(c.at) > skew:
		return failure("SignatureDoesNotMatch", http.StatusForbidden, "Signature expired: "+c.at.Format(timeForm)+" is now earlier than "+now.Add(-skew).UTC().Format(timeForm)+" ("+now.UTC().Format(timeForm)+" - 15 min.)")
	case c.at.Sub(now) > skew:
		return failure("SignatureDoesNotMatch", http.StatusForbidden, "Signature not yet current: "+c.at.Format(timeForm)+" is still later than "+now.Add(skew).UTC().Format(timeForm)+" ("+now.UTC().Format(timeForm)+" + 15 min.)")
	}
	return nil
}

// payload is the hash that the signature has to be of.
func (c claim) payload(r *http.Request, body []byte) (string, error) {
	stated := r.Header.Get(hashHeader)
	if c.presigned && stated == "" {
		if stated = r.URL.Query().Get(hashHeader); stated == "" {
			stated = unsigned
		}
	}
	if stated == unsigned || strings.HasPrefix(stated, "STREAMING-") {
		if c.service != "s3" {
			return "", failure("SignatureDoesNotMatch", http.StatusForbidden, "The body must be signed.")
		}
		return stated, nil
	}
	if body == nil && stated != "" {
		return stated, nil // streamed: its reader compares
	}
	sum := sha256.Sum256(body)
	have := hex.EncodeToString(sum[:])
	if stated != "" && stated != have {
		return "", failure("XAmzContentSHA256Mismatch", http.StatusBadRequest, "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return have, nil
}

// canonical is the request in the form that is signed.
func canonical(r *http.Request, c claim, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n")
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	if c.service == "s3" {
		b.WriteString(escape(unescape(path), true))
	} else {
		b.WriteString(escape(path, true)) // what is escaped once already
	}
	b.WriteString("\n" + canonicalQuery(r.URL.RawQuery, c.presigned) + "\n")
	for _, name := range c.headers {
		b.WriteString(name + ":" + headerText(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(c.headers, ";") + "\n" + payload)
	return b.String()
}

// unescape is a path as its segments are meant.
func unescape(path string) string {
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}

func headerText(r *http.Request, name string) string {
	switch name {
	case "host", authority:
		return r.Host
	case "content-length":
		if r.ContentLength >= 0 {
			return strconv.FormatInt(r.ContentLength, 10)
		}
	}
	var all []string
	for _, v := range r.Header.Values(name) {
		all = append(all, strings.Join(strings.Fields(v), " "))
	}
	return strings.Join(all, ",")
}

func canonicalQuery(raw string, presigned bool) string {
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		name, value = queryText(name), queryText(value)
		if presigned && name == "X-Amz-Signature" {
			continue
		}
		pairs = append(pairs, [2]string{escape(name, false), escape(value, false)})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if n := strings.Compare(a[0], b[0]); n != 0 {
			return n
		}
		return strings.Compare(a[1], b[1])
	})
	out := make([]string, len(pairs))
	for i, p := range pairs {
		out[i] = p[0] + "=" + p[1]
	}
	return strings.Join(out, "&")
}

func queryText(s string) string {
	if plain, err := url.QueryUnescape(s); err == nil {
		return plain
	}
	return s
}

// escape is AWS's URI encoding: everything but letters, digits and -._~.
func escape(s string, slash bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~' || slash && c == '/' {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

// sign is the signature of a canonical request.
func (c claim) sign(secret, request string) string {
	sum := sha256.Sum256([]byte(request))
	text := strings.Join([]string{algorithm, c.at.Format(timeForm), strings.Join([]string{c.date, c.region, c.service, "aws4_request"}, "/"), hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{c.date, c.region, c.service, "aws4_request", text} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part))
		key = mac.Sum(nil)
	}
	return hex.EncodeToString(key)
}

// Loopback refuses names that a page of the web may have bound to this machine.
func Loopback(host string) error {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	name = strings.Trim(name, "[]")
	if ip := net.ParseIP(name); ip != nil && ip.IsLoopback() || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return nil
	}
	return failure("AccessDenied", http.StatusForbidden, "The host "+host+" is not served here: use 127.0.0.1 or localhost.")
}

// Sign signs a request with the header form, over its host and the headers that
// are named. payload is the body's hash, or a word such as UNSIGNED-PAYLOAD.
func Sign(r *http.Request, c Credentials, region, service, payload string, headers []string, now time.Time) {
	at := now.UTC()
	r.Header.Set("X-Amz-Date", at.Format(timeForm))
	r.Header.Set(hashHeader, payload)
	names := []string{"host", "x-amz-date", strings.ToLower(hashHeader)}
	for _, h := range headers {
		if h = strings.ToLower(h); !slices.Contains(names, h) {
			names = append(names, h)
		}
	}
	slices.Sort(names)
	made := claim{key: c.Key, date: at.Format("20060102"), region: region, service: service, headers: names, at: at}
	r.Header.Set("Authorization", algorithm+" Credential="+strings.Join([]string{c.Key, made.date, region, service, "aws4_request"}, "/")+
		", SignedHeaders="+strings.Join(names, ";")+", Signature="+made.sign(c.Secret, canonical(r, made, payload)))
}
