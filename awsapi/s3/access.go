package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strings"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/wire"
)

// encryption is kept and returned: the files of a bucket are as safe as the data folder.
type encryption struct {
	XMLName xml.Name         `xml:"ServerSideEncryptionConfiguration" json:"-"`
	Space   string           `xml:"xmlns,attr" json:"-"`
	Rules   []encryptionRule `xml:"Rule" json:"rules"`
}

type encryptionRule struct {
	Default          *encryptionDefault `xml:"ApplyServerSideEncryptionByDefault" json:"default,omitempty"`
	BucketKeyEnabled bool               `xml:"BucketKeyEnabled" json:"bucketKeyEnabled"`
}

type encryptionDefault struct {
	SSEAlgorithm   string `xml:"SSEAlgorithm" json:"algorithm"`
	KMSMasterKeyID string `xml:"KMSMasterKeyID,omitempty" json:"key,omitempty"`
}

// getEncryption answers AES256 where nothing is set, as S3 does since 2023.
func getEncryption(s settings) (any, error) {
	e := encryption{Rules: []encryptionRule{{Default: &encryptionDefault{SSEAlgorithm: "AES256"}}}}
	if s.Encryption != nil {
		e = *s.Encryption
	}
	e.Space = space
	return e, nil
}

func putEncryption(_ context.Context, _ target, s *settings, document []byte) error {
	var e encryption
	if err := decode(document, "ServerSideEncryptionConfiguration", &e); err != nil {
		return err
	}
	if len(e.Rules) != 1 || e.Rules[0].Default == nil {
		return malformed()
	}
	switch d := e.Rules[0].Default; {
	case d.SSEAlgorithm != "AES256" && d.SSEAlgorithm != "aws:kms" && d.SSEAlgorithm != "aws:kms:dsse":
		return malformed()
	case d.SSEAlgorithm == "AES256" && d.KMSMasterKeyID != "":
		return wire.Errorf("InvalidArgument", "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse")
	}
	s.Encryption = &e
	return nil
}

// publicAccess says which ways of opening a bucket to everybody are closed.
type publicAccess struct {
	XMLName               xml.Name `xml:"PublicAccessBlockConfiguration" json:"-"`
	Space                 string   `xml:"xmlns,attr" json:"-"`
	BlockPublicAcls       bool     `xml:"BlockPublicAcls" json:"blockPublicAcls"`
	IgnorePublicAcls      bool     `xml:"IgnorePublicAcls" json:"ignorePublicAcls"`
	BlockPublicPolicy     bool     `xml:"BlockPublicPolicy" json:"blockPublicPolicy"`
	RestrictPublicBuckets bool     `xml:"RestrictPublicBuckets" json:"restrictPublicBuckets"`
}

func getPublicAccess(s settings) (any, error) {
	if s.PublicAccess == nil {
		return nil, notFound("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found")
	}
	p := *s.PublicAccess
	p.Space = space
	return p, nil
}

// putPublicAccess refuses to ignore what has opened a bucket already: the object
// storage would go on serving it.
func putPublicAccess(ctx context.Context, b target, s *settings, document []byte) error {
	var p publicAccess
	if err := decode(document, "PublicAccessBlockConfiguration", &p); err != nil {
		return err
	}
	if p.RestrictPublicBuckets {
		status, text, err := b.get(ctx, "policyStatus")
		if err != nil {
			return err
		}
		if status == http.StatusOK && bytes.Contains(text, []byte("<IsPublic>true")) {
			return notImplemented("RestrictPublicBuckets is carried out here by refusing public policies, and %s has one: delete it first", b.bucket)
		}
	}
	if p.IgnorePublicAcls {
		status, text, err := b.get(ctx, "acl")
		if err != nil {
			return err
		}
		if status == http.StatusOK && isPublicList(string(text)) {
			return notImplemented("IgnorePublicAcls is carried out here by refusing public access control lists, and %s has one: make it private first", b.bucket)
		}
	}
	s.PublicAccess = &p
	return nil
}

func isPublicList(text string) bool {
	return strings.Contains(text, "AllUsers") || strings.Contains(text, "AuthenticatedUsers") || strings.Contains(text, "all-users")
}

// mayOpen refuses a request that would open a bucket to everybody where that is
// blocked. It may read the request's body and put another one in its place.
func (f *Front) mayOpen(r *http.Request, scope *signature.Scope, b target, key bool) error {
	if r.Method != http.MethodPut {
		return nil
	}
	query := r.URL.Query()
	list := strings.HasPrefix(r.Header.Get("X-Amz-Acl"), "public-") || r.Header.Get("X-Amz-Acl") == "authenticated-read"
	for name, values := range r.Header {
		list = list || strings.HasPrefix(name, "X-Amz-Grant-") && isPublicList(strings.Join(values, ","))
	}
	policy := !key && query.Has("policy")
	var document []byte
	if policy || query.Has("acl") && !list {
		var err error
		if document, err = body(r, *scope); err != nil {
			return err
		}
		if policy {
			document = listed(r, scope, document)
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(document)), int64(len(document))
	}
	list = list || query.Has("acl") && isPublicList(string(document))
	if !list && !policy {
		return nil
	}
	s, err := f.settings(r.Context(), b.bucket)
	if err != nil || s.PublicAccess == nil {
		return err
	}
	p := s.PublicAccess
	switch {
	case list && (p.BlockPublicAcls || p.IgnorePublicAcls):
		return &wire.Error{Code: "AccessDenied", Status: http.StatusForbidden, Message: "public access control lists are prevented by the BlockPublicAcls setting in S3 Block Public Access."}
	case policy && (p.BlockPublicPolicy || p.RestrictPublicBuckets) && isPublicPolicy(document):
		return &wire.Error{Code: "AccessDenied", Status: http.StatusForbidden,
			Message: "User: " + scope.Caller + " is not authorized to perform: s3:PutBucketPolicy on resource: \"arn:aws:s3:::" + b.bucket + "\" because public policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access."}
	}
	return nil
}

// listed is a policy whose only statement is in a list: the object storage takes
// nothing else.
func listed(r *http.Request, scope *signature.Scope, document []byte) []byte {
	var policy map[string]json.RawMessage
	if json.Unmarshal(document, &policy) != nil {
		return document
	}
	var only map[string]json.RawMessage
	if json.Unmarshal(policy["Statement"], &only) != nil {
		return document
	}
	policy["Statement"] = slices.Concat([]byte("["), policy["Statement"], []byte("]"))
	changed, err := json.Marshal(policy)
	if err != nil {
		return document
	}
	return substituted(r, scope, changed)
}

// substituted prepares a request for another body than its client sent, which is
// returned: what was signed and summed of the client's own no longer holds.
func substituted(r *http.Request, scope *signature.Scope, changed []byte) []byte {
	r.Header.Del("Content-Md5")
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Checksum-") || name == "X-Amz-Sdk-Checksum-Algorithm" {
			r.Header.Del(name)
		}
	}
	if len(scope.Payload) == 2*sha256.Size {
		sum := sha256.Sum256(changed)
		scope.Payload = hex.EncodeToString(sum[:])
	}
	return changed
}

// isPublicPolicy says whether a policy allows everybody something, without a condition.
func isPublicPolicy(document []byte) bool {
	var policy struct {
		Statement []struct {
			Effect    string
			Principal any
			Condition map[string]any
		}
	}
	if json.Unmarshal(document, &policy) != nil {
		return false // the object storage says what is wrong with it
	}
	for _, s := range policy.Statement {
		if s.Effect == "Allow" && len(s.Condition) == 0 && isEverybody(s.Principal) {
			return true
		}
	}
	return false
}

func isEverybody(principal any) bool {
	switch x := principal.(type) {
	case string:
		return x == "*"
	case []any:
		for _, e := range x {
			if isEverybody(e) {
				return true
			}
		}
	case map[string]any:
		return isEverybody(x["AWS"])
	}
	return false
}

// body reads a small document, and checks the hash that was signed for it.
func body(r *http.Request, scope signature.Scope) ([]byte, error) {
	if strings.HasPrefix(scope.Payload, "STREAMING-") {
		return nil, notImplemented("a document that is sent in pieces is not read here: sign the whole body")
	}
	text, err := readAtMost(r.Body, mostConfiguration)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); len(scope.Payload) == 2*sha256.Size && scope.Payload != hex.EncodeToString(sum[:]) {
		return nil, wire.Errorf("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
	}
	return text, nil
}

func readAtMost(from io.Reader, most int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(from, most+1))
	switch {
	case err != nil:
		return nil, wire.Errorf("IncompleteBody", "the body ended too early")
	case int64(len(text)) > most:
		return nil, wire.Errorf("MaxMessageLengthExceeded", "Your request was too big.")
	}
	return text, nil
}
