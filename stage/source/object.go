package source

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"showrunner/artifact"
	"showrunner/pipeline"
	"showrunner/problem"
	"showrunner/stage"
)

// Objects reads the object storages of the regions.
type Objects interface {
	// Open opens an object for reading. An empty version is the newest, an empty
	// region is the one that has the bucket. Errors: not_found, unavailable.
	Open(ctx context.Context, region, bucket, key, version string) (Opened, error)
}

// Opened is an object that is being read. Whoever opened it closes Body.
type Opened struct {
	Body     io.ReadCloser
	Region   string
	Version  string // where the bucket keeps versions, else the ETag
	Modified time.Time
}

// Store keeps what was fetched.
type Store interface {
	PutDir(ctx context.Context, root string, paths []string) (artifact.Ref, artifact.Manifest, error)
}

// Object is the stage kind object: an object of a region's object storage becomes
// an artifact. An archive is unpacked.
type Object struct {
	Objects   Objects
	Artifacts Store
}

// Name implements stage.Kind.
func (Object) Name() string { return "object" }

// Version implements stage.Kind.
func (Object) Version() int { return 1 }

// Tasks implements stage.Kind. The task may be repeated: it changes nothing but our
// own store.
func (o Object) Tasks() []stage.Task {
	return []stage.Task{{Name: "fetch", Run: o.fetch, Resume: stage.Repeat}}
}

func (o Object) fetch(ctx context.Context, in *stage.Input) (stage.Result, error) {
	c, ok := in.Config.(pipeline.Object)
	if !ok {
		return stage.Result{}, problem.New(problem.Internal, "object", "the configuration is a %T", in.Config)
	}
	opened, err := o.Objects.Open(ctx, c.Region, c.Bucket, c.Key, c.Version)
	if err != nil {
		return objectFailed(ctx, "OBJECT_MISSING", err)
	}
	defer opened.Body.Close()
	dir, err := os.MkdirTemp("", "showrunner-object-")
	if err != nil {
		return stage.Result{}, problem.Wrap(err, problem.Unavailable, "object", "making a folder")
	}
	defer os.RemoveAll(dir)
	if err := unpack(path.Base(c.Key), opened.Body, dir); err != nil {
		return objectFailed(ctx, "OBJECT_UNREADABLE", err)
	}
	ref, m, err := o.Artifacts.PutDir(ctx, dir, nil)
	if err != nil {
		return objectFailed(ctx, "OBJECT_UNREADABLE", err)
	}
	fmt.Fprintf(in.Log, "s3://%s/%s of %s, version %s: %d files, %d bytes\n", c.Bucket, c.Key, opened.Region, opened.Version, len(m.Entries), m.Size())
	in.Progress("s3://%s/%s", c.Bucket, c.Key)
	outputs := map[string]any{"bucket": c.Bucket, "key": c.Key, "region": opened.Region, "version": opened.Version, "modified": ""}
	if !opened.Modified.IsZero() {
		outputs["modified"] = opened.Modified.UTC().Format(time.RFC3339)
	}
	return stage.Result{Outcome: stage.Done, Artifacts: map[string]artifact.Ref{"": ref}, Outputs: outputs}, nil
}

// objectFailed is the stage's failure; what may pass by itself is an error.
func objectFailed(ctx context.Context, code string, err error) (stage.Result, error) {
	switch {
	case ctx.Err() != nil:
		return stage.Result{}, context.Cause(ctx)
	case problem.CodeOf(err) == problem.Unavailable:
		return stage.Result{}, err
	}
	return stage.Fail(stage.Failure{Code: code, Cause: err.Error(), Help: problem.HelpOf(err)}), nil
}

// mostUnpacked bounds what an archive may hold, in bytes.
const mostUnpacked = 8 << 30

// unpack lays out an archive's files in a folder, or the object itself. It never
// writes outside the folder. Errors: invalid for an archive that cannot be read.
func unpack(name string, from io.Reader, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "object.unpack", "folder %s", dir)
	}
	defer root.Close()
	u := &unpacking{root: root, left: mostUnpacked}
	switch {
	case strings.HasSuffix(name, ".zip"):
		err = u.zip(from)
	case strings.HasSuffix(name, ".tar.gz"), strings.HasSuffix(name, ".tgz"):
		var plain *gzip.Reader
		if plain, err = gzip.NewReader(from); err == nil {
			err = u.tar(plain)
		}
	case strings.HasSuffix(name, ".tar"):
		err = u.tar(from)
	default:
		err = u.file(name, 0o644, from)
	}
	if err != nil && problem.CodeOf(err) == "" {
		err = problem.Wrap(err, problem.Invalid, "object.unpack", "the object %s cannot be unpacked", name)
	}
	return err
}

// unpacking writes files below a folder, up to a number of bytes.
type unpacking struct {
	root *os.Root
	left int64
}

func (u *unpacking) file(name string, mode fs.FileMode, from io.Reader) error {
	name = filepath.FromSlash(path.Clean(name))
	if err := u.root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	f, err := u.root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600|mode.Perm()&0o111)
	if err != nil {
		return err
	}
	n, err := io.Copy(f, io.LimitReader(from, u.left+1))
	if u.left -= n; u.left < 0 {
		err = problem.New(problem.Invalid, "object.unpack", "it holds more than %d bytes", int64(mostUnpacked))
	}
	return errors.Join(err, f.Close())
}

// zip needs the whole archive first: its list of files stands at its end.
func (u *unpacking) zip(from io.Reader) error {
	whole, err := os.CreateTemp("", "showrunner-object-*.zip")
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "object.unpack", "making a file")
	}
	defer os.Remove(whole.Name())
	defer whole.Close()
	size, err := io.Copy(whole, from)
	if err != nil {
		return problem.Wrap(err, problem.Unavailable, "object.unpack", "reading the object")
	}
	z, err := zip.NewReader(whole, size)
	if err != nil {
		return err
	}
	for _, e := range z.File {
		if !e.Mode().IsRegular() {
			continue // folders come with their files; links are left out
		}
		in, err := e.Open()
		if err != nil {
			return err
		}
		err = u.file(e.Name, e.Mode(), in)
		if err := errors.Join(err, in.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (u *unpacking) tar(from io.Reader) error {
	t := tar.NewReader(from)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if err := u.file(h.Name, h.FileInfo().Mode(), t); err != nil {
			return err
		}
	}
}
