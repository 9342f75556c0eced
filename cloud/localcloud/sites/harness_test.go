package sites

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"showrunner/artifact"
	"showrunner/cloud/driver"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/pipeline"
)

// world is one region's object storage and sites, with a clock that the test
// advances.
type world struct {
	t         testing.TB
	dir       string
	now       time.Time
	objects   *objectstore.Store
	sites     *Sites
	artifacts *artifact.Store
	sidecar   bool
}

func newWorld(t testing.TB) *world {
	t.Helper()
	return startWorld(t, false)
}

func startWorld(t testing.TB, sidecar bool) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), sidecar: sidecar}
	var err error
	if w.artifacts, err = artifact.Open(filepath.Join(w.dir, "artifacts")); err != nil {
		t.Fatal(err)
	}
	w.open()
	t.Cleanup(w.close)
	return w
}

// open starts the parts again after close or a crash.
func (w *world) open() {
	w.t.Helper()
	watcher := NewWatcher()
	var err error
	w.objects, err = objectstore.Open(w.t.Context(), objectstore.Config{
		Dir: filepath.Join(w.dir, "s3"), Region: "us-west-2", Watch: watcher, Sidecar: w.sidecar,
		Credentials: objectstore.Credentials{AccessKey: "AKIATEST", SecretKey: "secret"},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.sites, err = Open(Config{
		Region: "us-west-2", Dir: filepath.Join(w.dir, "sites"), Objects: w.objects, Artifacts: w.artifacts, Watcher: watcher,
		Log: slog.New(slog.NewTextHandler(w.t.Output(), nil)), Now: func() time.Time { return w.now },
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) close() {
	w.sites.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := w.objects.Close(ctx); err != nil {
		w.t.Error(err)
	}
}

// artifact stores files: name → content.
func (w *world) artifact(files map[string]string) artifact.Ref {
	w.t.Helper()
	dir := w.t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			w.t.Fatal(err)
		}
	}
	ref, _, err := w.artifacts.PutDir(w.t.Context(), dir, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return ref
}

// publish publishes files as site demo, with the next order.
func (w *world) publish(key string, files map[string]string, change ...func(*driver.PublishRequest)) driver.SiteDeployment {
	w.t.Helper()
	d, err := w.tryPublish(key, files, change...)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

func (w *world) tryPublish(key string, files map[string]string, change ...func(*driver.PublishRequest)) (driver.SiteDeployment, error) {
	w.t.Helper()
	req := driver.PublishRequest{Config: pipeline.DeploySite{Site: "demo"}, Artifact: w.artifact(files), Version: key}
	for _, f := range change {
		f(&req)
	}
	return w.sites.Publish(w.t.Context(), req, key, func(int, int) {})
}

// ask sends a request to the load balancer.
func (w *world) ask(method, host, path string, header ...string) (*http.Response, string) {
	w.t.Helper()
	return ask(w.t, w.sites, method, host, path, header...)
}

func ask(t testing.TB, front http.Handler, method, host, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	front.ServeHTTP(rec, r)
	resp := rec.Result()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func (w *world) get(site, path string) (int, string) {
	w.t.Helper()
	resp, body := w.ask("GET", site+".localhost", path)
	return resp.StatusCode, body
}

// bucket is the content of a bucket for S3 clients: key → content.
func (w *world) bucket(name string) map[string]string {
	w.t.Helper()
	found := map[string]string{}
	if !w.objects.HasBucket(name) {
		return found
	}
	err := w.objects.Keys(name, func(key string) error {
		o, err := w.objects.OpenObject(name, key)
		if err != nil {
			return err
		}
		defer o.Close()
		text, err := io.ReadAll(o)
		found[key] = string(text)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return found
}

// client is an ordinary S3 client of the endpoint.
func (w *world) client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String(w.objects.Endpoint()), Region: "us-west-2", UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("AKIATEST", "secret", ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
}

func (w *world) s3Put(bucket, key, text string) {
	w.t.Helper()
	_, err := w.client().PutObject(w.t.Context(), &s3.PutObjectInput{
		Bucket: &bucket, Key: &key, Body: strings.NewReader(text), ContentType: aws.String("text/html"),
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) s3Delete(bucket, key string) {
	w.t.Helper()
	if _, err := w.client().DeleteObject(w.t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key}); err != nil {
		w.t.Fatal(err)
	}
}
