package s3_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// want checks an error's code; empty means none.
func want(t *testing.T, what string, err error, wanted string) {
	t.Helper()
	if got := code(err); got != wanted || err != nil && wanted == "" {
		t.Errorf("%s: %v, want %q", what, err, wanted)
	}
}

func TestABucketsConfigurationIsThatOfAWS(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	c := w.client(east, w.keys.Owner())
	bucket := aws.String("configured")
	_, err := c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: bucket})
	w.must(err)
	encrypted, err := c.GetBucketEncryption(ctx, &sdk.GetBucketEncryptionInput{Bucket: bucket})
	w.must(err)
	if got := encrypted.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.SSEAlgorithm; got != types.ServerSideEncryptionAes256 {
		t.Errorf("the default encryption is %s", got)
	}
	_, err = c.PutBucketEncryption(ctx, &sdk.PutBucketEncryptionInput{Bucket: bucket, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
		Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: types.ServerSideEncryptionAwsKms, KMSMasterKeyID: aws.String("k")}}}}})
	w.must(err)
	if encrypted, err = c.GetBucketEncryption(ctx, &sdk.GetBucketEncryptionInput{Bucket: bucket}); err != nil || *encrypted.ServerSideEncryptionConfiguration.Rules[0].ApplyServerSideEncryptionByDefault.KMSMasterKeyID != "k" {
		t.Errorf("encryption: %+v %v", encrypted, err)
	}
	_, err = c.GetPublicAccessBlock(ctx, &sdk.GetPublicAccessBlockInput{Bucket: bucket})
	want(t, "public access that was not set", err, "NoSuchPublicAccessBlockConfiguration")
	_, err = c.GetBucketLifecycleConfiguration(ctx, &sdk.GetBucketLifecycleConfigurationInput{Bucket: bucket})
	want(t, "a lifecycle that was not set", err, "NoSuchLifecycleConfiguration")
	_, err = c.GetBucketReplication(ctx, &sdk.GetBucketReplicationInput{Bucket: bucket})
	want(t, "replication", err, "ReplicationConfigurationNotFoundError")
	if pays, err := c.GetBucketRequestPayment(ctx, &sdk.GetBucketRequestPaymentInput{Bucket: bucket}); err != nil || pays.Payer != types.PayerBucketOwner {
		t.Errorf("who pays: %+v %v", pays, err)
	}
	for what, ask := range map[string]func() error{
		"notification": func() error {
			_, err := c.GetBucketNotificationConfiguration(ctx, &sdk.GetBucketNotificationConfigurationInput{Bucket: bucket})
			return err
		},
		"logging": func() error {
			_, err := c.GetBucketLogging(ctx, &sdk.GetBucketLoggingInput{Bucket: bucket})
			return err
		},
		"acceleration": func() error {
			_, err := c.GetBucketAccelerateConfiguration(ctx, &sdk.GetBucketAccelerateConfigurationInput{Bucket: bucket})
			return err
		},
		"no notification": func() error {
			_, err := c.PutBucketNotificationConfiguration(ctx, &sdk.PutBucketNotificationConfigurationInput{Bucket: bucket, NotificationConfiguration: &types.NotificationConfiguration{}})
			return err
		},
		"analytics": func() error {
			_, err := c.ListBucketAnalyticsConfigurations(ctx, &sdk.ListBucketAnalyticsConfigurationsInput{Bucket: bucket})
			return err
		},
	} {
		want(t, what, ask(), "")
	}
	_, err = c.PutBucketNotificationConfiguration(ctx, &sdk.PutBucketNotificationConfigurationInput{Bucket: bucket, NotificationConfiguration: &types.NotificationConfiguration{
		LambdaFunctionConfigurations: []types.LambdaFunctionConfiguration{{Events: []types.Event{"s3:ObjectCreated:*"}, LambdaFunctionArn: aws.String("arn:aws:lambda:us-east-1:000000000000:function:f")}}}})
	want(t, "a notification", err, "NotImplemented")
	if err == nil || !strings.Contains(err.Error(), "CloudFunctionConfiguration") {
		t.Errorf("the refusal does not say what is refused: %v", err)
	}
	_, err = c.GetBucketEncryption(ctx, &sdk.GetBucketEncryptionInput{Bucket: aws.String("nowhere")})
	want(t, "a bucket that is not there", err, "NoSuchBucket")
	_, err = c.DeleteBucketEncryption(ctx, &sdk.DeleteBucketEncryptionInput{Bucket: bucket})
	w.must(err)
	_, err = c.PutBucketEncryption(ctx, &sdk.PutBucketEncryptionInput{Bucket: bucket, ServerSideEncryptionConfiguration: &types.ServerSideEncryptionConfiguration{
		Rules: []types.ServerSideEncryptionRule{{ApplyServerSideEncryptionByDefault: &types.ServerSideEncryptionByDefault{SSEAlgorithm: "rot13"}}}}})
	want(t, "an encryption that there is not", err, "MalformedXML")
}

func TestPublicAccessThatIsBlockedIsRefused(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	c := w.client(east, w.keys.Owner())
	bucket := aws.String("closed")
	_, err := c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: bucket})
	w.must(err)
	block := func(acls, policy, restrict bool) error {
		_, err := c.PutPublicAccessBlock(ctx, &sdk.PutPublicAccessBlockInput{Bucket: bucket, PublicAccessBlockConfiguration: &types.PublicAccessBlockConfiguration{
			BlockPublicAcls: aws.Bool(acls), IgnorePublicAcls: aws.Bool(acls), BlockPublicPolicy: aws.Bool(policy), RestrictPublicBuckets: aws.Bool(restrict)}})
		return err
	}
	allow := func(principal string) error {
		_, err := c.PutBucketPolicy(ctx, &sdk.PutBucketPolicyInput{Bucket: bucket, Policy: aws.String(
			`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":` + principal + `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::closed/*"}}`)})
		return err
	}
	w.must(block(true, true, true))
	got, err := c.GetPublicAccessBlock(ctx, &sdk.GetPublicAccessBlockInput{Bucket: bucket})
	w.must(err)
	if p := got.PublicAccessBlockConfiguration; !*p.BlockPublicAcls || !*p.IgnorePublicAcls || !*p.BlockPublicPolicy || !*p.RestrictPublicBuckets {
		t.Errorf("blocked: %+v", p)
	}
	want(t, "a public policy", allow(`"*"`), "AccessDenied")
	want(t, "a public policy in a list", allow(`{"AWS":["*"]}`), "AccessDenied")
	_, err = c.PutBucketOwnershipControls(ctx, &sdk.PutBucketOwnershipControlsInput{Bucket: bucket, OwnershipControls: &types.OwnershipControls{Rules: []types.OwnershipControlsRule{{ObjectOwnership: types.ObjectOwnershipBucketOwnerPreferred}}}})
	w.must(err)
	_, err = c.PutBucketAcl(ctx, &sdk.PutBucketAclInput{Bucket: bucket, ACL: types.BucketCannedACLPublicRead})
	want(t, "a public list", err, "AccessDenied")
	w.must(block(true, false, false))
	w.must(allow(`"*"`))
	want(t, "restricting what is open", block(true, true, true), "NotImplemented")
	_, err = c.DeleteBucket(ctx, &sdk.DeleteBucketInput{Bucket: bucket})
	w.must(err)
	_, err = c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: bucket})
	w.must(err)
	_, err = c.GetPublicAccessBlock(ctx, &sdk.GetPublicAccessBlockInput{Bucket: bucket})
	want(t, "the settings of a bucket that had the name", err, "NoSuchPublicAccessBlockConfiguration")
}

func TestAnObjectIsCopiedFromAnotherRegion(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	c := w.client(east, w.keys.Owner())
	here, there := aws.String("copy-here"), aws.String("copy-there")
	_, err := c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: here})
	w.must(err)
	_, err = c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: there, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: west}})
	w.must(err)
	key := aws.String("a b+é.txt")
	put, err := c.PutObject(ctx, &sdk.PutObjectInput{Bucket: here, Key: key, Body: strings.NewReader("content"), ContentType: aws.String("text/x"), Metadata: map[string]string{"from": "east"}, Tagging: aws.String("a=b")})
	w.must(err)
	source := aws.String("copy-here/a%20b%2B%C3%A9.txt")
	made, err := c.CopyObject(ctx, &sdk.CopyObjectInput{Bucket: there, Key: key, CopySource: source})
	w.must(err)
	if *made.CopyObjectResult.ETag != *put.ETag {
		t.Errorf("the copy's tag is %s, not %s", *made.CopyObjectResult.ETag, *put.ETag)
	}
	got, err := c.GetObject(ctx, &sdk.GetObjectInput{Bucket: there, Key: key})
	w.must(err)
	body, err := io.ReadAll(got.Body)
	w.must(err)
	if string(body) != "content" || *got.ContentType != "text/x" || got.Metadata["from"] != "east" || aws.ToInt32(got.TagCount) != 1 {
		t.Errorf("the copy: %q %+v", body, got)
	}
	_, err = c.CopyObject(ctx, &sdk.CopyObjectInput{Bucket: there, Key: aws.String("replaced"), CopySource: source, MetadataDirective: types.MetadataDirectiveReplace, Metadata: map[string]string{"from": "me"}})
	w.must(err)
	if got, err := c.HeadObject(ctx, &sdk.HeadObjectInput{Bucket: there, Key: aws.String("replaced")}); err != nil || got.Metadata["from"] != "me" {
		t.Errorf("the replaced metadata: %+v %v", got, err)
	}
	_, err = c.CopyObject(ctx, &sdk.CopyObjectInput{Bucket: there, Key: key, CopySource: source, CopySourceIfMatch: aws.String("other")})
	want(t, "a copy of another version", err, "PreconditionFailed")
	_, err = c.CopyObject(ctx, &sdk.CopyObjectInput{Bucket: there, Key: key, CopySource: aws.String("copy-here/none")})
	want(t, "a copy of nothing", err, "NoSuchKey")
	upload, err := c.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: there, Key: aws.String("parts")})
	w.must(err)
	part, err := c.UploadPartCopy(ctx, &sdk.UploadPartCopyInput{Bucket: there, Key: aws.String("parts"), UploadId: upload.UploadId, PartNumber: aws.Int32(1), CopySource: source, CopySourceRange: aws.String("bytes=0-3")})
	w.must(err)
	_, err = c.CompleteMultipartUpload(ctx, &sdk.CompleteMultipartUploadInput{Bucket: there, Key: aws.String("parts"), UploadId: upload.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: aws.Int32(1), ETag: part.CopyPartResult.ETag}}}})
	w.must(err)
	if got, err = c.GetObject(ctx, &sdk.GetObjectInput{Bucket: there, Key: aws.String("parts")}); err == nil {
		body, err = io.ReadAll(got.Body)
	}
	if err != nil || string(body) != "cont" {
		t.Errorf("the copied part: %q %v", body, err)
	}
}

func TestLifecycleRulesRemoveWhatHasEnded(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	c := w.client(east, w.keys.Owner())
	for _, name := range []string{"plain", "versioned"} {
		_, err := c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: &name})
		w.must(err)
	}
	_, err := c.PutBucketVersioning(ctx, &sdk.PutBucketVersioningInput{Bucket: aws.String("versioned"), VersioningConfiguration: &types.VersioningConfiguration{Status: types.BucketVersioningStatusEnabled}})
	w.must(err)
	put := func(bucket, key, tags string) {
		t.Helper()
		_, err := c.PutObject(ctx, &sdk.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("x"), Tagging: aws.String(tags)})
		w.must(err)
	}
	put("plain", "tmp/a", "")
	put("plain", "keep/a", "")
	put("plain", "tagged", "end=yes")
	put("plain", "untagged", "end=no")
	upload, err := c.CreateMultipartUpload(ctx, &sdk.CreateMultipartUploadInput{Bucket: aws.String("plain"), Key: aws.String("never")})
	w.must(err)
	for range 3 {
		put("versioned", "v", "")
	}
	rule := func(id string, r types.LifecycleRule) types.LifecycleRule {
		r.ID, r.Status = &id, types.ExpirationStatusEnabled
		if r.Filter == nil {
			r.Filter = &types.LifecycleRuleFilter{Prefix: aws.String("")}
		}
		return r
	}
	set := func(bucket string, rules ...types.LifecycleRule) error {
		_, err := c.PutBucketLifecycleConfiguration(ctx, &sdk.PutBucketLifecycleConfigurationInput{Bucket: &bucket, LifecycleConfiguration: &types.BucketLifecycleConfiguration{Rules: rules}})
		return err
	}
	w.must(set("plain",
		rule("tmp", types.LifecycleRule{Filter: &types.LifecycleRuleFilter{Prefix: aws.String("tmp/")}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)}}),
		rule("tagged", types.LifecycleRule{Filter: &types.LifecycleRuleFilter{Tag: &types.Tag{Key: aws.String("end"), Value: aws.String("yes")}}, Expiration: &types.LifecycleExpiration{Days: aws.Int32(1)}}),
		rule("uploads", types.LifecycleRule{AbortIncompleteMultipartUpload: &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(1)}})))
	w.must(set("versioned", rule("old", types.LifecycleRule{NoncurrentVersionExpiration: &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(1), NewerNoncurrentVersions: aws.Int32(1)}})))
	want(t, "days below one", set("plain", rule("never", types.LifecycleRule{Expiration: &types.LifecycleExpiration{Days: aws.Int32(0)}})), "InvalidArgument")
	if got, err := c.GetBucketLifecycleConfiguration(ctx, &sdk.GetBucketLifecycleConfigurationInput{Bucket: aws.String("plain")}); err != nil || len(got.Rules) != 3 || *got.Rules[0].Expiration.Days != 1 {
		t.Errorf("the rules: %+v %v", got, err)
	}
	w.must(w.front.Expire(ctx, time.Now())) // nothing is old enough
	keys := func(bucket string) string {
		t.Helper()
		list, err := c.ListObjectVersions(ctx, &sdk.ListObjectVersionsInput{Bucket: &bucket})
		w.must(err)
		var out []string
		for _, o := range list.Versions {
			out = append(out, *o.Key)
		}
		return strings.Join(out, " ")
	}
	if got := keys("plain") + "; " + keys("versioned"); got != "keep/a tagged tmp/a untagged; v v v" {
		t.Errorf("at once: %s", got)
	}
	w.must(w.front.Expire(ctx, time.Now().Add(49*time.Hour)))
	if got := keys("plain") + "; " + keys("versioned"); got != "keep/a untagged; v v" {
		t.Errorf("after two days: %s", got)
	}
	if uploads, err := c.ListMultipartUploads(ctx, &sdk.ListMultipartUploadsInput{Bucket: aws.String("plain")}); err != nil || len(uploads.Uploads) != 0 {
		t.Errorf("the upload %s is still there: %+v %v", *upload.UploadId, uploads, err)
	}
}

func TestAnObjectsAccessListIsItsOwners(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	c := w.client(east, w.keys.Owner())
	bucket, key := aws.String("listed"), aws.String("k")
	_, err := c.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: bucket})
	w.must(err)
	_, err = c.PutObject(ctx, &sdk.PutObjectInput{Bucket: bucket, Key: key, Body: strings.NewReader("x")})
	w.must(err)
	list, err := c.GetObjectAcl(ctx, &sdk.GetObjectAclInput{Bucket: bucket, Key: key})
	w.must(err)
	if len(list.Grants) != 1 || list.Grants[0].Permission != types.PermissionFullControl || list.Grants[0].Grantee.Type != types.TypeCanonicalUser {
		t.Errorf("the list: %+v", list.Grants)
	}
	_, err = c.PutObjectAcl(ctx, &sdk.PutObjectAclInput{Bucket: bucket, Key: key, ACL: types.ObjectCannedACLPublicRead})
	want(t, "a public object", err, "AccessControlListNotSupported")
	_, err = c.GetObjectAcl(ctx, &sdk.GetObjectAclInput{Bucket: bucket, Key: aws.String("none")})
	want(t, "the list of nothing", err, "NoSuchKey")
	_, err = c.RestoreObject(ctx, &sdk.RestoreObjectInput{Bucket: bucket, Key: key, RestoreRequest: &types.RestoreRequest{Days: aws.Int32(1)}})
	want(t, "restoring what is no archive", err, "InvalidObjectState")
}
