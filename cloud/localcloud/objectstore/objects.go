package objectstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3response"

	"showrunner/problem"
)

// Attributes are the metadata of an object.
type Attributes struct {
	ETag            string // quoted, as it stands in the header
	ContentType     string
	ContentEncoding string
	CacheControl    string
	Disposition     string
	Language        string
	Expires         string
	Redirect        string // x-amz-website-redirect-location
}

// The gateway's names for its attributes. A test reads them back over S3, to
// detect a new version of the gateway that renames one.
const (
	attrETag        = "etag"
	attrType        = "content-type"
	attrEncoding    = "content-encoding"
	attrCache       = "cache-control"
	attrDisposition = "content-disposition"
	attrLanguage    = "content-language"
	attrExpires     = "expires"
	attrRedirect    = "website-redirect-location"
	attrDeleted     = "delete-marker"
)

// Stage records attributes on a file that Place will turn into an object.
func (s *Store) Stage(f *os.File, a Attributes) error {
	if !s.onFile {
		return nil
	}
	for name, value := range map[string]string{
		attrETag: a.ETag, attrType: a.ContentType, attrEncoding: a.ContentEncoding, attrCache: a.CacheControl,
	} {
		if value == "" {
			continue
		}
		if err := s.meta.StoreAttribute(f, "", "", name, []byte(value)); err != nil {
			return fmt.Errorf("recording %s: %w", name, err)
		}
	}
	return nil
}

// Place makes the staged file the object with that key, replacing an existing
// object in one step. The file stays in its place and is never written to through
// the bucket; where the file system supports links, both names share the content.
func (s *Store) Place(ctx context.Context, bucket, key, file string, a Attributes) error {
	versioned, err := s.versioned(ctx, bucket)
	if err != nil {
		return err
	}
	if s.onFile && !versioned {
		err := s.link(bucket, key, file)
		if err == nil || !errors.Is(err, syscall.EXDEV) && !errors.Is(err, syscall.EMLINK) && !errors.Is(err, syscall.EPERM) {
			return err
		}
	}
	return s.put(ctx, bucket, key, file, a)
}

func (s *Store) link(bucket, key, file string) error {
	object := filepath.Join(s.buckets, bucket, filepath.FromSlash(key))
	if err := os.MkdirAll(filepath.Dir(object), 0o700); err != nil {
		return err
	}
	err := os.Link(file, object)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Link never replaces a file; rename does, atomically. Renaming one name of a
	// file onto another name of the same file does nothing and leaves both, so
	// the name is removed.
	tmp := filepath.Join(s.buckets, bucket, posix.MetaTmpDir, "place-"+strings.ReplaceAll(filepath.Base(file), "/", "_"))
	if err := os.MkdirAll(filepath.Dir(tmp), 0o700); err != nil {
		return err
	}
	if err := os.Link(file, tmp); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	defer os.Remove(tmp)
	return os.Rename(tmp, object)
}

func (s *Store) put(ctx context.Context, bucket, key, file string, a Attributes) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	size := info.Size()
	in := s3response.PutObjectInput{Bucket: &bucket, Key: &key, Body: f, ContentLength: &size, ContentType: &a.ContentType}
	if a.CacheControl != "" {
		in.CacheControl = &a.CacheControl
	}
	if a.ContentEncoding != "" {
		in.ContentEncoding = &a.ContentEncoding
	}
	_, err = s.backend.PutObject(s.asOwner(ctx), in)
	return err
}

// Remove deletes an object. It succeeds when the object is gone already.
func (s *Store) Remove(ctx context.Context, bucket, key string) error {
	_, err := s.backend.DeleteObject(s.asOwner(ctx), &s3.DeleteObjectInput{Bucket: &bucket, Key: &key})
	return err
}

// Object is an open object. Its content and attributes belong together, even when
// the object is replaced meanwhile.
type Object struct {
	*os.File
	Size     int64
	Modified time.Time
	Attributes
}

// OpenObject opens an object for reading. Errors: not_found.
func (s *Store) OpenObject(bucket, key string) (*Object, error) {
	const op = "objectstore.open-object"
	missing := problem.New(problem.NotFound, op, "%s has no object %q", bucket, key)
	if !fs.ValidPath(key) || key == "." || strings.HasPrefix(key, posix.MetaTmpDir) || !validBucket(bucket) {
		return nil, missing
	}
	root, err := os.OpenRoot(filepath.Join(s.buckets, bucket))
	if err != nil {
		return nil, missing
	}
	defer root.Close()
	f, err := root.Open(filepath.FromSlash(key))
	if err != nil {
		return nil, missing
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || s.attribute(f, bucket, key, attrDeleted) != nil {
		f.Close()
		return nil, missing
	}
	text := func(name string) string { return string(s.attribute(f, bucket, key, name)) }
	return &Object{File: f, Size: info.Size(), Modified: info.ModTime(), Attributes: Attributes{
		ETag: text(attrETag), ContentType: text(attrType), ContentEncoding: text(attrEncoding), CacheControl: text(attrCache),
		Disposition: text(attrDisposition), Language: text(attrLanguage), Expires: text(attrExpires), Redirect: text(attrRedirect),
	}}, nil
}

// attribute is nil when the object has no attribute of that name.
func (s *Store) attribute(f *os.File, bucket, key, name string) []byte {
	v, err := s.meta.RetrieveAttribute(f, bucket, key, name)
	if err != nil {
		return nil
	}
	if v == nil {
		v = []byte{}
	}
	return v
}

// Keys calls visit for every object of the bucket.
func (s *Store) Keys(bucket string, visit func(key string) error) error {
	dir := filepath.Join(s.buckets, bucket)
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		if rel == posix.MetaTmpDir {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() {
			return nil
		}
		return visit(filepath.ToSlash(rel))
	})
}

// asOwner makes a call in the name of the account.
func (s *Store) asOwner(ctx context.Context) context.Context {
	owner := auth.Account{Access: s.config.Credentials.AccessKey, Role: auth.RoleAdmin}
	//lint:ignore SA1029 the gateway's own key
	ctx = context.WithValue(ctx, "account", owner)
	//lint:ignore SA1029 the gateway's own key
	return context.WithValue(ctx, "bucket-owner", owner)
}

func (s *Store) versioned(ctx context.Context, bucket string) (bool, error) {
	v, err := s.backend.GetBucketVersioning(ctx, bucket)
	if err != nil {
		return false, err
	}
	return v.Status != nil && *v.Status == types.BucketVersioningStatusEnabled, nil
}

func newACL(owner string) ([]byte, error) {
	return json.Marshal(auth.ACL{Owner: owner, Grantees: []auth.Grantee{
		{Permission: auth.PermissionFullControl, Access: owner, Type: types.TypeCanonicalUser}}})
}

// Placed says whether the object with that key is the file that Place was given.
// Where metadata are not stored on the file it returns false, which only costs a
// copy.
func (s *Store) Placed(bucket, key, file string) bool {
	if !s.onFile {
		return false
	}
	a, err := os.Stat(filepath.Join(s.buckets, bucket, filepath.FromSlash(key)))
	if err != nil {
		return false
	}
	b, err := os.Stat(file)
	return err == nil && os.SameFile(a, b)
}
