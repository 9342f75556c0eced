package objectstore

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// awsCLI runs the aws command against the store.
type awsCLI struct {
	t   *testing.T
	exe string
	env []string
	url string
}

func (c awsCLI) try(args ...string) (string, error) {
	cmd := exec.CommandContext(c.t.Context(), c.exe, append([]string{"--endpoint-url", c.url}, args...)...)
	cmd.Env = c.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c awsCLI) run(args ...string) string {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// TestRealClient uses the store as real clients do: with the aws command and the
// credentials file that the region provides.
func TestRealClient(t *testing.T) {
	exe, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("the aws command is not installed: the store was not tried with a real client")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "aws-credentials")
	credentials, err := LoadCredentials(file)
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, Config{Dir: filepath.Join(dir, "s3"), Region: "eu-west-1", Credentials: credentials})
	c := awsCLI{t: t, exe: exe, url: s.Endpoint(), env: append(os.Environ(),
		"AWS_SHARED_CREDENTIALS_FILE="+file, "AWS_DEFAULT_REGION=eu-west-1", "AWS_PAGER=", "AWS_ACCESS_KEY_ID=", "AWS_CONFIG_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")}
	c.env = without(c.env, "AWS_ACCESS_KEY_ID=")

	c.run("s3", "mb", "s3://photos")
	if out := c.run("s3api", "get-bucket-location", "--bucket", "photos"); !strings.Contains(out, "eu-west-1") {
		t.Errorf("location %s", out)
	}
	site := filepath.Join(dir, "site")
	big := make([]byte, 20<<20) // above the size from which clients upload in parts
	rand.Read(big)
	for name, data := range map[string][]byte{"index.html": []byte("<h1>hi</h1>"), "sub/index.html": []byte("sub"), "error.html": []byte("lost"), "big.bin": big} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(site, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(site, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
		// S3 reports times in whole seconds, and the client uploads again any
		// file newer than that. A file made in the second of its upload is newer.
		before := time.Now().Add(-time.Minute)
		if err := os.Chtimes(filepath.Join(site, name), before, before); err != nil {
			t.Fatal(err)
		}
	}
	c.run("s3", "sync", site, "s3://photos/")
	if out := c.run("s3", "sync", site, "s3://photos/"); strings.Contains(out, "upload") {
		t.Errorf("a second sync uploads: %s", out)
	}
	back := filepath.Join(dir, "back.bin")
	c.run("s3", "cp", "s3://photos/big.bin", back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes came back, %v", len(got), err)
	}
	if out := c.run("s3api", "head-object", "--bucket", "photos", "--key", "big.bin"); !strings.Contains(out, "-3") {
		t.Errorf("uploaded in one part: %s", out)
	}

	c.run("s3", "website", "s3://photos", "--index-document", "index.html", "--error-document", "error.html")
	w, err := s.Website(t.Context(), "photos")
	if err != nil || w.IndexDocument.Suffix != "index.html" || w.ErrorDocument.Key != "error.html" || w.Public("index.html") {
		t.Errorf("website %+v, %v", w, err)
	}
	c.run("s3api", "put-bucket-policy", "--bucket", "photos", "--policy",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::photos/*"}]}`)
	if w, err = s.Website(t.Context(), "photos"); err != nil || !w.Public("index.html") {
		t.Errorf("website %+v, %v", w, err)
	}

	url := strings.TrimSpace(c.run("s3", "presign", "s3://photos/private/a b.txt"))
	c.run("s3api", "delete-bucket-policy", "--bucket", "photos")
	c.run("s3", "cp", filepath.Join(site, "error.html"), "s3://photos/private/a b.txt")
	for _, link := range []struct {
		url    string
		status int
	}{
		{url, 200},
		{strings.Replace(url, "Signature=", "Signature=x", 1), 403},
		{strings.Replace(url, "Expires=", "Expires=1", 1), 403},
		{strings.Replace(url, "private", "elsewhere", 1), 403},
		{strings.Split(url, "?")[0], 403},
	} {
		if status, body := fetch(t, link.url); status != link.status || (status == 200) != (body == "lost") {
			t.Errorf("%s: %d %q", link.url, status, body)
		}
	}
	c.run("s3", "cp", "s3://photos/big.bin", "s3://photos/copies/big.bin") // in parts, as it was uploaded
	c.run("s3", "mv", "s3://photos/sub/index.html", "s3://photos/copies/sub.html")
	c.run("s3", "cp", "s3://photos/copies/big.bin", back)
	if got, err := os.ReadFile(back); err != nil || !bytes.Equal(got, big) {
		t.Errorf("%d bytes of the copy came back, %v", len(got), err)
	}
	c.run("s3", "rm", "s3://photos/error.html")
	if out := c.run("s3", "ls", "s3://photos/"); strings.Contains(out, "error.html") || !strings.Contains(out, "index.html") {
		t.Errorf("listed: %s", out)
	}
	bad := c
	bad.env = append(without(c.env, "AWS_SHARED_CREDENTIALS_FILE="), "AWS_ACCESS_KEY_ID="+credentials.AccessKey, "AWS_SECRET_ACCESS_KEY=wrong")
	if out, err := bad.try("s3", "ls"); err == nil || !strings.Contains(out, "SignatureDoesNotMatch") {
		t.Errorf("a wrong secret: %v %s", err, out)
	}
	c.run("s3", "rb", "--force", "s3://photos")
	if s.HasBucket("photos") {
		t.Error("the bucket is still there")
	}
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func without(env []string, prefix string) []string {
	var kept []string
	for _, e := range env {
		if !strings.HasPrefix(e, prefix) {
			kept = append(kept, e)
		}
	}
	return kept
}

// TestPlacedObjectsAreS3Objects reads objects that the region placed through S3:
// every attribute has the name that the gateway uses.
func TestPlacedObjectsAreS3Objects(t *testing.T) {
	for _, sidecar := range []bool{false, true} {
		t.Run(fmt.Sprintf("sidecar=%v", sidecar), func(t *testing.T) {
			dir := t.TempDir()
			var heard []string
			s := open(t, Config{Dir: filepath.Join(dir, "s3"), Region: "us-west-2", Sidecar: sidecar, Watch: (*changeRecorder)(&heard),
				Credentials: Credentials{AccessKey: "AKIATEST", SecretKey: "secret"}})
			if err := s.EnsureWebsite(t.Context(), "demo", "index.html", "404.html"); err != nil {
				t.Fatal(err)
			}
			f, err := os.Create(filepath.Join(dir, "staged"))
			if err != nil {
				t.Fatal(err)
			}
			a := Attributes{ETag: `"49f68a5c8493ec2c0bf489821c21fc3b"`, ContentType: "text/css; charset=utf-8", CacheControl: "no-cache"}
			if _, err := f.WriteString("hi"); err != nil {
				t.Fatal(err)
			}
			if err := s.Stage(f, a); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 { // placing again changes nothing
				if err := s.Place(t.Context(), "demo", "a/b.css", f.Name(), a); err != nil {
					t.Fatal(err)
				}
			}
			// The public may read it, so no signature is needed.
			resp, err := http.Get(s.Endpoint() + "/demo/a/b.css")
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			h := resp.Header
			if err != nil || string(body) != "hi" || h.Get("ETag") != a.ETag || h.Get("Content-Type") != a.ContentType || h.Get("Cache-Control") != a.CacheControl {
				t.Errorf("%d %q %v", resp.StatusCode, body, h)
			}
			if s.Placed("demo", "a/b.css", f.Name()) == sidecar {
				t.Errorf("Placed says %v", !sidecar)
			}
			if len(heard) > 0 {
				t.Errorf("the region's own writes were taken for a client's: %v", heard)
			}
			if err := s.Remove(t.Context(), "demo", "a/b.css"); err != nil {
				t.Fatal(err)
			}
			if o, err := s.OpenObject("demo", "a/b.css"); err == nil {
				o.Close()
				t.Error("removed, and still there")
			}
		})
	}
}

type changeRecorder []string

func (h *changeRecorder) ObjectChanges(bucket, key string) { *h = append(*h, bucket+"/"+key) }
func (h *changeRecorder) BucketChanges(bucket string)      { *h = append(*h, bucket) }

func TestKeysAreNoPaths(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: filepath.Join(dir, "s3"), Region: "us-west-2", Credentials: Credentials{AccessKey: "AKIATEST", SecretKey: "secret"}})
	if err := s.EnsureWebsite(t.Context(), "demo", "index.html", ""); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "s3", "secret"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../secret", filepath.Join(dir, "s3", "buckets", "demo", "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range [][2]string{{"demo", "../../secret"}, {"demo", "link"}, {"..", "secret"}, {"demo", ""}, {"demo", "/etc/passwd"}, {"demo", "."}, {"demo/..", "x"}} {
		if o, err := s.OpenObject(name[0], name[1]); err == nil {
			o.Close()
			t.Errorf("OpenObject(%q, %q) opened something", name[0], name[1])
		}
	}
}

func TestCredentialsAreMadeOnceAndPrivate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "aws-credentials")
	got := make(chan Credentials, 8)
	for range cap(got) {
		go func() {
			c, err := LoadCredentials(file)
			if err != nil {
				t.Error(err)
			}
			got <- c
		}()
	}
	first := <-got
	for range cap(got) - 1 {
		if c := <-got; c != first || len(c.AccessKey) != 20 || len(c.SecretKey) != 40 {
			t.Errorf("%+v and %+v", c, first)
		}
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("[default]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCredentials(file); err == nil {
		t.Error("an empty file gave credentials")
	}
}
