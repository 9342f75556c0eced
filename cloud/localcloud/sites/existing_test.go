package sites

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"showrunner/cloud/driver"
	"showrunner/problem"
)

// A deployment to an existing bucket does not change the bucket's settings:
// visitors see what the settings allow.
func TestAnExistingBucketKeepsItsSettings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	existing := func(r *driver.PublishRequest) { r.Config.Existing = true }
	if _, err := w.tryPublish("one", map[string]string{"start.html": "one"}, existing); problem.CodeOf(err) != problem.NotFound {
		t.Fatalf("a bucket that is not there: %v", err)
	}
	client := w.client()
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String("demo")}); err != nil {
		t.Fatal(err)
	}
	d := w.publish("two", map[string]string{"start.html": "two", "lost.html": "lost"}, existing)
	if d.Document != "" {
		t.Errorf("the deployment says that visitors get %s", d.Document)
	}
	if res, body := w.ask("GET", "demo.localhost", "/start.html"); res.StatusCode != 404 {
		t.Errorf("a bucket that is no website answers %s %q", res.Status, body)
	}
	website := &s3.PutBucketWebsiteInput{Bucket: aws.String("demo"), WebsiteConfiguration: &s3types.WebsiteConfiguration{
		IndexDocument: &s3types.IndexDocument{Suffix: aws.String("start.html")}, ErrorDocument: &s3types.ErrorDocument{Key: aws.String("lost.html")}}}
	if _, err := client.PutBucketWebsite(t.Context(), website); err != nil {
		t.Fatal(err)
	}
	if res, body := w.ask("GET", "demo.localhost", "/"); res.StatusCode != 404 && res.StatusCode != 403 || body == "two" {
		t.Errorf("a website that nobody may read answers %s %q", res.Status, body)
	}
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::demo/*"}]}`
	if _, err := client.PutBucketPolicy(t.Context(), &s3.PutBucketPolicyInput{Bucket: aws.String("demo"), Policy: &policy}); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/": "two", "/nowhere": "lost"} {
		if res, body := w.ask("GET", "demo.localhost", path); body != want {
			t.Errorf("%s: %s %q, want %q", path, res.Status, body, want)
		}
	}
	d = w.publish("three", map[string]string{"start.html": "three", "lost.html": "lost"}, existing)
	if d.Document != "start.html" {
		t.Errorf("the deployment says that visitors get %q", d.Document)
	}
	if res, body := w.ask("GET", "demo.localhost", "/"); body != "three" || res.Header.Get(HeaderDeployment) != d.ID {
		t.Errorf("%s %q of %s", res.Status, body, res.Header.Get(HeaderDeployment))
	}
	kept, err := client.GetBucketWebsite(t.Context(), &s3.GetBucketWebsiteInput{Bucket: aws.String("demo")})
	if err != nil || aws.ToString(kept.ErrorDocument.Key) != "lost.html" {
		t.Errorf("the website settings are now %+v: %v", kept, err)
	}
}
