package objectstore

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3response"
)

// watched is the backend for S3 clients: the watcher is called before and after
// every change. The region's own writes do not go through it.
//
// Names from a request are in the gateway's reused buffers, so they are copied
// before they are kept.
type watched struct {
	*posix.Posix
	watch Watcher
}

func (w watched) object(bucket, key *string) func() {
	if w.watch == nil || bucket == nil || key == nil {
		return func() {}
	}
	b, k := strings.Clone(*bucket), strings.Clone(*key)
	w.watch.ObjectChanges(b, k)
	return func() { w.watch.ObjectChanges(b, k) }
}

func (w watched) bucket(name string) func() {
	if w.watch == nil {
		return func() {}
	}
	b := strings.Clone(name)
	w.watch.BucketChanges(b)
	return func() { w.watch.BucketChanges(b) }
}

func (w watched) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	defer w.object(in.Bucket, in.Key)()
	return w.Posix.PutObject(ctx, in)
}

func (w watched) CopyObject(ctx context.Context, in s3response.CopyObjectInput) (s3response.CopyObjectOutput, error) {
	defer w.object(in.Bucket, in.Key)()
	return w.Posix.CopyObject(ctx, in)
}

func (w watched) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	defer w.object(in.Bucket, in.Key)()
	return w.Posix.CompleteMultipartUpload(ctx, in)
}

func (w watched) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	defer w.object(in.Bucket, in.Key)()
	return w.Posix.DeleteObject(ctx, in)
}

func (w watched) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	if in.Delete != nil {
		for _, o := range in.Delete.Objects {
			defer w.object(in.Bucket, o.Key)()
		}
	}
	return w.Posix.DeleteObjects(ctx, in)
}

func (w watched) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	defer w.bucket(*in.Bucket)()
	return w.Posix.CreateBucket(ctx, in, acl)
}

func (w watched) DeleteBucket(ctx context.Context, bucket string) error {
	defer w.bucket(bucket)()
	return w.Posix.DeleteBucket(ctx, bucket)
}

func (w watched) PutBucketWebsite(ctx context.Context, bucket string, website []byte) error {
	defer w.bucket(bucket)()
	return w.Posix.PutBucketWebsite(ctx, bucket, website)
}

func (w watched) DeleteBucketWebsite(ctx context.Context, bucket string) error {
	defer w.bucket(bucket)()
	return w.Posix.DeleteBucketWebsite(ctx, bucket)
}

func (w watched) PutBucketPolicy(ctx context.Context, bucket string, policy []byte) error {
	defer w.bucket(bucket)()
	return w.Posix.PutBucketPolicy(ctx, bucket, policy)
}

func (w watched) DeleteBucketPolicy(ctx context.Context, bucket string) error {
	defer w.bucket(bucket)()
	return w.Posix.DeleteBucketPolicy(ctx, bucket)
}

func (w watched) PutBucketAcl(ctx context.Context, bucket string, acl []byte) error {
	defer w.bucket(bucket)()
	return w.Posix.PutBucketAcl(ctx, bucket, acl)
}

func (w watched) PutBucketVersioning(ctx context.Context, bucket string, status types.BucketVersioningStatus) error {
	defer w.bucket(bucket)()
	return w.Posix.PutBucketVersioning(ctx, bucket, status)
}
