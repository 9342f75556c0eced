package s3_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"showrunner/awsapi"
	"showrunner/awsapi/s3"
	"showrunner/awsapi/signature"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/store/record/recordtest"
)

const west, east = "us-west-2", "us-east-1"

// regionVariable makes this program a region's object storage: there is one in a process.
const regionVariable = "TEST_OBJECT_STORAGE"

func TestMain(m *testing.M) {
	name := os.Getenv(regionVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	store, err := objectstore.Open(context.Background(), objectstore.Config{Dir: os.Getenv("TEST_FOLDER"), Region: name,
		Credentials: objectstore.Credentials{AccessKey: "AKIAOWNER", SecretKey: "secretsecretsecret"}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("endpoint", store.Endpoint())
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends
	_ = store.Close(context.Background())
}

// startStore runs a region's object storage until the test ends.
func startStore(t *testing.T, region string) string {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), regionVariable+"="+region, "TEST_FOLDER="+t.TempDir())
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = c.Wait() // it was told to end
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if endpoint, ok := strings.CutPrefix(lines.Text(), "endpoint "); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return endpoint
		}
	}
	t.Fatal("the object storage did not start")
	return ""
}

// world is an endpoint over the object storages of two regions.
type world struct {
	t     *testing.T
	url   string
	keys  *awsapi.Keys
	front *s3.Front
	down  atomic.Pointer[string] // the region that does not answer
}

func open(t *testing.T) *world {
	t.Helper()
	keys, err := awsapi.NewKeys("AKIAOWNER", "secretsecretsecret")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, keys: keys}
	var regions []s3.Region
	for _, name := range []string{west, east} {
		regions = append(regions, s3.Region{Name: name, Endpoint: startStore(t, name)})
	}
	w.front = s3.New(s3.Config{Owner: keys.Owner(), Scope: awsapi.ScopeOf, Records: &recordtest.Records{}, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Regions: func(context.Context) ([]s3.Region, error) {
			list := append([]s3.Region(nil), regions...)
			for i := range list {
				if down := w.down.Load(); down != nil && *down == list[i].Name {
					list[i].Endpoint = ""
				}
			}
			return list, nil
		}})
	server, err := awsapi.New(awsapi.Config{Keys: keys, Regions: []string{west, east}, S3: w.front, Log: slog.New(slog.DiscardHandler), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	serving := httptest.NewServer(server)
	t.Cleanup(serving.Close)
	w.url = serving.URL
	return w
}

// client is the SDK's, in a region, with a key.
func (w *world) client(region string, c signature.Credentials) *sdk.Client {
	return sdk.New(sdk.Options{Region: region, BaseEndpoint: aws.String(w.url), UsePathStyle: true, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.Key, c.Secret, c.Token)})
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return ""
}

func TestOneEndpointForTheBucketsOfEveryRegion(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	session, err := w.keys.NewSession("arn:aws:sts::0:assumed-role/r/s", time.Now().Add(time.Hour))
	w.must(err)
	owner, guest := w.client(east, w.keys.Owner()), w.client(west, session)
	_, err = owner.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("here")})
	w.must(err)
	_, err = owner.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("there"),
		CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: west}})
	w.must(err)
	_, err = guest.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("here")})
	if code(err) == "" {
		t.Error("the same bucket was made in two regions")
	}
	list, err := guest.ListBuckets(ctx, &sdk.ListBucketsInput{})
	w.must(err)
	if len(list.Buckets) != 2 || *list.Buckets[0].Name != "here" || *list.Buckets[1].Name != "there" || *list.Buckets[1].BucketRegion != west {
		t.Errorf("buckets: %+v", list.Buckets)
	}
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	for _, c := range []*sdk.Client{owner, guest} {
		for _, bucket := range []string{"here", "there"} {
			key := "a b+c/é&=?.bin"
			_, err := c.PutObject(ctx, &sdk.PutObjectInput{Bucket: &bucket, Key: &key, Body: bytes.NewReader(content), Metadata: map[string]string{"owner": "me"}})
			w.must(err)
			got, err := c.GetObject(ctx, &sdk.GetObjectInput{Bucket: &bucket, Key: &key})
			w.must(err)
			back, err := io.ReadAll(got.Body)
			w.must(err)
			if !bytes.Equal(back, content) || got.Metadata["owner"] != "me" {
				t.Errorf("%s: %d bytes came back, metadata %v", bucket, len(back), got.Metadata)
			}
		}
	}
	link, err := sdk.NewPresignClient(guest).PresignGetObject(ctx, &sdk.GetObjectInput{Bucket: aws.String("here"), Key: aws.String("a b+c/é&=?.bin")})
	w.must(err)
	res, err := http.Get(link.URL)
	w.must(err)
	defer res.Body.Close()
	if back, err := io.ReadAll(res.Body); err != nil || !bytes.Equal(back, content) {
		t.Errorf("the link answered %s, %d bytes, %v", res.Status, len(back), err)
	}
}

func TestWhatCannotBeReachedIsNotMissing(t *testing.T) {
	t.Parallel()
	w := open(t)
	ctx := t.Context()
	owner := w.client(east, w.keys.Owner())
	_, err := owner.CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("here")})
	w.must(err)
	if _, err = owner.GetObject(ctx, &sdk.GetObjectInput{Bucket: aws.String("nowhere"), Key: aws.String("x")}); code(err) != "NoSuchBucket" {
		t.Errorf("a bucket that is not there: %v", err)
	}
	down := east
	w.down.Store(&down)
	if _, err = owner.ListBuckets(ctx, &sdk.ListBucketsInput{}); code(err) != "ServiceUnavailable" {
		t.Errorf("buckets of a region that is down: %v", err)
	}
	if _, err = w.client("eu-north-1", w.keys.Owner()).CreateBucket(ctx, &sdk.CreateBucketInput{Bucket: aws.String("cold")}); !strings.Contains(code(err), "Location") {
		t.Errorf("a bucket in a region that is not there: %v", err)
	}
	res, err := http.Get(w.url + "/here/x")
	w.must(err)
	res.Body.Close()
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %s", res.Status)
	}
}
