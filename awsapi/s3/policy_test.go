package s3_test

import (
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Statements about roles and services are kept and returned, and those about everybody
// open the bucket beside them.
func TestAPolicyMayNameRolesAndServices(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	c := w.client(east, w.keys.Owner())
	bucket := aws.String("named")
	_, err := c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: bucket})
	w.must(err)
	role := `{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:role/empties"},"Action":["s3:DeleteObject*","s3:List*"],"Resource":["arn:aws:s3:::named","arn:aws:s3:::named/*"]}`
	service := `{"Effect":"Allow","Principal":{"Service":"logging.s3.amazonaws.com"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::named/*"}`
	everybody := `{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::named/*"}`
	policy := func(statements ...string) *string {
		return aws.String(`{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`)
	}
	put := func(text *string) error {
		_, err := c.PutBucketPolicy(ctx, &sdk.PutBucketPolicyInput{Bucket: bucket, Policy: text})
		return err
	}
	for _, one := range []struct {
		policy *string
		public bool
	}{{policy(role, service), false}, {policy(role, everybody), true}, {policy(everybody), true}, {policy(service), false}} {
		w.must(put(one.policy))
		got, err := c.GetBucketPolicy(ctx, &sdk.GetBucketPolicyInput{Bucket: bucket})
		w.must(err)
		if *got.Policy != *one.policy {
			t.Errorf("%s was put, and is told as %s", *one.policy, *got.Policy)
		}
		status, err := c.GetBucketPolicyStatus(ctx, &sdk.GetBucketPolicyStatusInput{Bucket: bucket})
		if public := err == nil && *status.PolicyStatus.IsPublic; public != one.public {
			t.Errorf("%s opens the bucket: %t (%v)", *one.policy, public, err)
		}
	}
	want(t, "a principal that is none", put(policy(role, `{"Effect":"Allow","Principal":{"AWS":"somebody"},"Action":"s3:GetObject","Resource":"arn:aws:s3:::named/*"}`)), "MalformedPolicy")
	want(t, "another bucket's objects", put(policy(role, `{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::other/*"}`)), "MalformedPolicy")
	if got, err := c.GetBucketPolicy(ctx, &sdk.GetBucketPolicyInput{Bucket: bucket}); err != nil || *got.Policy != *policy(service) {
		t.Errorf("a policy that was refused has changed what is kept: %v %v", got, err)
	}
	_, err = c.DeleteBucketPolicy(ctx, &sdk.DeleteBucketPolicyInput{Bucket: bucket})
	w.must(err)
	_, err = c.GetBucketPolicy(ctx, &sdk.GetBucketPolicyInput{Bucket: bucket})
	want(t, "a policy that was deleted", err, "NoSuchBucketPolicy")
}

// An object that is put with a list of its own would stay closed: it is refused.
func TestObjectsAreNotOpenedByLists(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	c := w.client(east, w.keys.Owner())
	bucket, key := aws.String("lists"), aws.String("k")
	_, err := c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: bucket})
	w.must(err)
	_, err = c.PutObject(ctx, &sdk.PutObjectInput{Bucket: bucket, Key: key, ACL: types.ObjectCannedACLPublicRead, Body: strings.NewReader("x")})
	want(t, "putting a public object", err, "AccessControlListNotSupported")
	_, err = c.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: bucket, Key: key, ACL: types.ObjectCannedACLPublicRead})
	want(t, "a public object in parts", err, "AccessControlListNotSupported")
	_, err = c.PutObject(ctx, &sdk.PutObjectInput{Bucket: bucket, Key: key, ACL: types.ObjectCannedACLBucketOwnerFullControl, Body: strings.NewReader("x")})
	w.must(err)
}
