package source

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"testing"
	"time"

	"showrunner/artifact"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// bucket is the objects of one bucket, by key.
type bucket map[string][]byte

func (b bucket) Open(_ context.Context, region, name, key, version string) (Opened, error) {
	data, ok := b[key]
	if !ok || name != "releases" {
		return Opened{}, problem.New(problem.NotFound, "objects", "there is no object s3://%s/%s", name, key)
	}
	return Opened{Body: io.NopCloser(bytes.NewReader(data)), Region: "us-east-1", Version: "v7" + version, Modified: time.Unix(1700000000, 0)}, nil
}

func zipped(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, text := range files {
		f, err := w.Create(name)
		if err == nil {
			_, err = io.WriteString(f, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for name, text := range files {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(text)), Typeflag: tar.TypeReg})
		if err == nil {
			_, err = io.WriteString(w, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestObject(t *testing.T) {
	t.Parallel()
	store, err := artifact.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	k := Object{Artifacts: store, Objects: bucket{
		"app.zip":     zipped(t, map[string]string{"index.html": "page", "js/app.js": "code"}),
		"app.tgz":     tarred(t, map[string]string{"./index.html": "page", "js/app.js": "code"}),
		"a/notes.txt": []byte("words"),
		"broken.zip":  []byte("no archive"),
		"evil.zip":    zipped(t, map[string]string{"../../outside": "x"}),
	}}
	for _, c := range []struct{ key, file, code string }{
		{"app.zip", "js/app.js", ""}, {"app.tgz", "js/app.js", ""}, {"a/notes.txt", "notes.txt", ""},
		{"missing.zip", "", "OBJECT_MISSING"}, {"broken.zip", "", "OBJECT_UNREADABLE"}, {"evil.zip", "", "OBJECT_UNREADABLE"},
	} {
		in := &stage.Input{Config: pipeline.Object{Bucket: "releases", Key: c.key}, Log: io.Discard, Progress: func(string, ...any) {}}
		res, err := k.Tasks()[0].Run(t.Context(), in)
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.key, err)
		case c.code != "":
			if res.Failure == nil || res.Failure.Code != c.code {
				t.Errorf("%s: %+v, want the failure %s", c.key, res, c.code)
			}
		case res.Outcome != stage.Done || res.Outputs["version"] != "v7" || res.Outputs["modified"] != "2023-11-14T22:13:20Z":
			t.Errorf("%s: %+v", c.key, res)
		default:
			if _, err := store.ReadFile(t.Context(), res.Artifacts[""], c.file, 1<<10); err != nil {
				t.Errorf("%s: %v", c.key, err)
			}
		}
	}
}
