package objectstore

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"

	"showrunner/problem"
)

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)

func validBucket(name string) bool { return bucketName.MatchString(name) }

// Website is a bucket's website configuration, and whether the public may read
// the bucket.
type Website struct {
	*s3response.WebsiteConfiguration
	policy []byte
	acl    bool // the access control list lets everybody read
	bucket string
}

// Public says whether the bucket lets everybody read the object: its policy does,
// or its access control list does and the policy denies nothing.
func (w Website) Public(key string) bool {
	if w.policy == nil {
		return w.acl
	}
	asIs := func(_, key string) string { return key }
	if auth.VerifyPublicBucketPolicy(w.policy, w.bucket, key, nil, asIs, auth.GetObjectAction) == nil {
		return true
	}
	return w.acl && !denies(w.policy)
}

// denies says whether a policy has any statement that denies.
func denies(policy []byte) bool {
	var p struct{ Statement []struct{ Effect string } }
	err := json.Unmarshal(policy, &p)
	return err != nil || slices.ContainsFunc(p.Statement, func(s struct{ Effect string }) bool { return s.Effect != "Allow" })
}

// HasBucket says whether there is a bucket of that name.
func (s *Store) HasBucket(name string) bool {
	if !validBucket(name) {
		return false
	}
	info, err := os.Stat(filepath.Join(s.buckets, name))
	return err == nil && info.IsDir()
}

// Website reads a bucket's website configuration. Errors: not_found when the
// bucket does not exist or is not a website.
func (s *Store) Website(ctx context.Context, bucket string) (Website, error) {
	const op = "objectstore.website"
	if !s.HasBucket(bucket) {
		return Website{}, problem.New(problem.NotFound, op, "there is no bucket %q", bucket)
	}
	data, err := s.backend.GetBucketWebsite(ctx, bucket)
	if err != nil {
		return Website{}, problem.Wrap(err, problem.NotFound, op, "bucket %s is not a website", bucket)
	}
	config, err := s3response.ParseWebsiteConfigOutput(data)
	if err != nil {
		return Website{}, problem.Wrap(err, problem.Internal, op, "reading the website configuration of %s", bucket)
	}
	w := Website{WebsiteConfiguration: config, bucket: bucket}
	if policy, err := s.backend.GetBucketPolicy(ctx, bucket); err == nil {
		w.policy = policy
	}
	w.acl = auth.VerifyPublicBucketACL(ctx, s.backend, bucket, auth.GetObjectAction, auth.PermissionRead) == nil
	return w, nil
}

// EnsureWebsite makes the bucket, readable by everybody, when it does not exist,
// and sets its index and error documents when they differ.
func (s *Store) EnsureWebsite(ctx context.Context, bucket, index, errorDocument string) error {
	const op = "objectstore.ensure-website"
	if !validBucket(bucket) {
		return problem.New(problem.Invalid, op, "%q is not a valid name of a bucket", bucket)
	}
	if !s.HasBucket(bucket) {
		if err := s.createPublic(ctx, bucket); err != nil {
			return problem.Wrap(err, problem.Internal, op, "making bucket %s", bucket)
		}
	}
	want := s3response.WebsiteConfiguration{IndexDocument: &s3response.IndexDocument{Suffix: index}}
	if errorDocument != "" {
		want.ErrorDocument = &s3response.ErrorDocument{Key: errorDocument}
	}
	data, err := xml.Marshal(want)
	if err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the website configuration of %s", bucket)
	}
	if have, err := s.backend.GetBucketWebsite(ctx, bucket); err == nil && string(have) == string(data) {
		return nil
	}
	if err := s.backend.PutBucketWebsite(ctx, bucket, data); err != nil {
		return problem.Wrap(err, problem.Internal, op, "writing the website configuration of %s", bucket)
	}
	return nil
}

func (s *Store) createPublic(ctx context.Context, bucket string) error {
	acl, err := newACL(s.config.Credentials.AccessKey)
	if err != nil {
		return err
	}
	err = s.backend.CreateBucket(s.asOwner(ctx), &s3.CreateBucketInput{
		Bucket:                    &bucket,
		CreateBucketConfiguration: &types.CreateBucketConfiguration{},
		ObjectOwnership:           types.ObjectOwnershipBucketOwnerEnforced,
	}, acl)
	if err != nil && !errors.Is(err, s3err.GetAPIError(s3err.ErrBucketAlreadyOwnedByYou)) {
		return err
	}
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"PublicRead","Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::%s/*"}]}`, bucket)
	return s.backend.PutBucketPolicy(ctx, bucket, []byte(policy))
}
