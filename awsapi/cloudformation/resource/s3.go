package resource

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"showrunner/awsapi/wire"
)

func objectTypes(c Config) []*Type {
	return []*Type{{
		Name: "AWS::S3::Bucket",
		Properties: []string{"BucketName", "AccessControl", "BucketEncryption", "CorsConfiguration", "LifecycleConfiguration", "ObjectLockConfiguration", "ObjectLockEnabled",
			"OwnershipControls", "PublicAccessBlockConfiguration", "Tags", "VersioningConfiguration", "WebsiteConfiguration"},
		Kept:        []string{"BucketEncryption"},
		Replace:     []string{"BucketName"},
		Attributes:  []string{"Arn", "DomainName", "DualStackDomainName", "RegionalDomainName", "WebsiteURL"},
		Named:       "BucketName",
		Identify:    bucketName,
		Identifiers: []string{"BucketName"},
		Tagged:      true,
		Handler:     bucket{c.Website},
	}, {
		Name:        "AWS::S3::BucketPolicy",
		Properties:  []string{"Bucket", "PolicyDocument"},
		Required:    []string{"Bucket", "PolicyDocument"},
		Replace:     []string{"Bucket"},
		Named:       "Bucket",
		Identifiers: []string{"Bucket"},
		Handler:     bucketPolicy{},
	}}
}

// bucketName is what CloudFormation calls a bucket without a name.
func bucketName(r *Request, _ string) string {
	random := Random(12, true, r.Token)
	return strings.ToLower(strings.ReplaceAll(shortened(r, 63, random), "_", "-"))
}

// bucket acts for AWS::S3::Bucket.
type bucket struct{ website func(string) string }

func (b bucket) made(r *Request) Made {
	name := r.Physical
	return Made{Physical: name, Attributes: map[string]any{
		"Arn": "arn:aws:s3:::" + name, "DomainName": name + ".s3.amazonaws.com", "RegionalDomainName": name + ".s3." + r.Region + ".amazonaws.com",
		"DualStackDomainName": name + ".s3.dualstack." + r.Region + ".amazonaws.com", "WebsiteURL": b.website(name),
	}}
}

// s3 sends a request about a bucket; with a document that is XML or JSON.
func s3(ctx context.Context, r *Request, method, bucket, query string, header http.Header, document []byte) error {
	if header == nil {
		header = http.Header{}
	}
	if document != nil {
		sum := md5.Sum(document) //nolint:gosec // S3 asks for it
		header.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
		header.Set("Content-Type", "application/xml")
	}
	_, err := r.Services.Object(ctx, r.Call, method, "/"+url.PathEscape(bucket)+query, header, document)
	return err
}

func (b bucket) Create(ctx context.Context, r *Request) (Made, error) {
	header := http.Header{}
	if r.Flag("ObjectLockEnabled") {
		header.Set("X-Amz-Bucket-Object-Lock-Enabled", "true")
	}
	// An access control list can be set with this owner of objects alone.
	owned := textAt(first(at(r.Object("OwnershipControls"), "Rules")), "ObjectOwnership")
	if owned == "" && r.Text("AccessControl") != "" && r.Text("AccessControl") != "Private" {
		owned = "BucketOwnerPreferred"
	}
	if owned != "" {
		header.Set("X-Amz-Object-Ownership", owned)
	}
	if err := s3(ctx, r, http.MethodPut, r.Physical, "", header, nil); err != nil {
		return Made{}, err
	}
	return b.Complete(ctx, r)
}

// Complete sets everything of a bucket that is there.
func (b bucket) Complete(ctx context.Context, r *Request) (Made, error) {
	for _, part := range bucketParts {
		document, err := part.document(r)
		if err != nil {
			return b.made(r), err
		}
		if document == nil {
			continue
		}
		if err := s3(ctx, r, http.MethodPut, r.Physical, "?"+part.query, nil, document); err != nil {
			return b.made(r), err
		}
	}
	return b.made(r), b.list(ctx, r)
}

// list sets the canned access control list.
func (b bucket) list(ctx context.Context, r *Request) error {
	canned := cannedLists[r.Text("AccessControl")]
	if canned == "" {
		return nil
	}
	return s3(ctx, r, http.MethodPut, r.Physical, "?acl", http.Header{"X-Amz-Acl": {canned}}, nil)
}

var cannedLists = map[string]string{"PublicRead": "public-read", "PublicReadWrite": "public-read-write", "AuthenticatedRead": "authenticated-read"}

func (b bucket) Update(ctx context.Context, r *Request) (Made, error) {
	for _, part := range bucketParts {
		if _, there := r.Properties[part.property]; !there && r.Old[part.property] != nil && part.query != "versioning" && part.query != "object-lock" {
			if err := gone(s3(ctx, r, http.MethodDelete, r.Physical, "?"+part.query, nil, nil), "NoSuchTagSet", "NoSuchWebsiteConfiguration", "NoSuchCORSConfiguration"); err != nil {
				return Made{}, err
			}
		}
	}
	return b.Complete(ctx, r)
}

func (bucket) Delete(ctx context.Context, r *Request) error {
	return gone(s3(ctx, r, http.MethodDelete, r.Physical, "", nil, nil), "NoSuchBucket")
}

func (b bucket) Find(ctx context.Context, r *Request) (Made, bool, error) {
	err := s3(ctx, r, http.MethodHead, r.Physical, "", nil, nil)
	return absent(b.made(r), err, "NoSuchBucket", "NotFound")
}

// bucketPart is a configuration of a bucket that is a document of its own.
type bucketPart struct {
	property, query string
	make            func(v any, r *Request) any // what is written as XML; nil: nothing
}

func (p bucketPart) document(r *Request) ([]byte, error) {
	v, there := r.Properties[p.property]
	if !there && p.property != "Tags" {
		return nil, nil
	}
	made := p.make(v, r)
	if made == nil {
		return nil, nil
	}
	return xml.Marshal(made)
}

var bucketParts = []bucketPart{
	{"VersioningConfiguration", "versioning", func(v any, _ *Request) any {
		return node{name: "VersioningConfiguration", children: []node{leaf("Status", at(v, "Status"))}}
	}},
	{"OwnershipControls", "ownershipControls", func(v any, _ *Request) any { return tree("OwnershipControls", v, ownership) }},
	{"BucketEncryption", "encryption", func(v any, _ *Request) any { return encrypted(v) }},
	{"PublicAccessBlockConfiguration", "publicAccessBlock", func(v any, _ *Request) any { return tree("PublicAccessBlockConfiguration", v, nil) }},
	{"LifecycleConfiguration", "lifecycle", func(v any, _ *Request) any { return lifecycle(v) }},
	{"WebsiteConfiguration", "website", func(v any, _ *Request) any { return website(v) }},
	{"CorsConfiguration", "cors", func(v any, _ *Request) any { return tree("CORSConfiguration", v, cors) }},
	{"ObjectLockConfiguration", "object-lock", func(v any, _ *Request) any { return tree("ObjectLockConfiguration", v, nil) }},
	{"Tags", "tagging", func(_ any, r *Request) any {
		set := node{name: "TagSet"}
		for _, t := range r.AllTags() {
			set.children = append(set.children, node{name: "Tag", children: []node{leaf("Key", t.Key), leaf("Value", t.Value)}})
		}
		if set.children == nil {
			return nil
		}
		return node{name: "Tagging", children: []node{set}}
	}},
}

// bucketPolicy acts for AWS::S3::BucketPolicy; its identifier is the bucket's name.
type bucketPolicy struct{}

func (bucketPolicy) Create(ctx context.Context, r *Request) (Made, error) {
	err := s3(ctx, r, http.MethodPut, r.Text("Bucket"), "?policy", nil, []byte(r.Document("PolicyDocument")))
	return Made{Physical: r.Text("Bucket")}, err
}

func (p bucketPolicy) Update(ctx context.Context, r *Request) (Made, error) { return p.Create(ctx, r) }

func (bucketPolicy) Delete(ctx context.Context, r *Request) error {
	return gone(s3(ctx, r, http.MethodDelete, r.Physical, "?policy", nil, nil), "NoSuchBucket", "NoSuchBucketPolicy")
}

func (bucketPolicy) Find(ctx context.Context, r *Request) (Made, bool, error) {
	_, err := r.Services.Object(ctx, r.Call, http.MethodGet, "/"+url.PathEscape(r.Text("Bucket"))+"?policy", nil, nil)
	if code := wire.CodeOf(err); code == "NoSuchBucket" || code == "NoSuchBucketPolicy" {
		return Made{}, false, nil
	}
	return Made{Physical: r.Text("Bucket")}, err == nil, err
}

func asObject(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}

func first(v any) any {
	if list, ok := v.([]any); ok && len(list) > 0 {
		return list[0]
	}
	return nil
}
