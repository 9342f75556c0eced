package resource

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// cdkTypes are custom resources of the CDK's own constructs. Their functions need an SDK
// or the aws command, which AWS puts beside them and this machine may not have: what they
// would do is done here, and the functions are made and not called.
func cdkTypes() []*Type {
	kind := func(name string, check func(map[string]any) error, h Handler) *Type {
		return &Type{Name: name, Properties: []string{"*"}, Required: []string{"ServiceToken"}, Attributes: []string{"*"}, Repeatable: true, Check: check, Needs: [2]string{"lambda", "Invoke"}, Handler: h}
	}
	return []*Type{
		kind("Custom::S3AutoDeleteObjects", nil, emptied{}),
		kind("Custom::LogRetention", nil, logRetention{}),
		kind("Custom::CDKBucketDeployment", checkDeployment, bucketDeployment{}),
	}
}

// emptied acts for Custom::S3AutoDeleteObjects: it empties a bucket before that is deleted.
type emptied struct{ unfindable }

func (emptied) Create(_ context.Context, r *Request) (Made, error) {
	return Made{Physical: r.Physical}, nil
}

func (h emptied) Update(ctx context.Context, r *Request) (Made, error) {
	if before, _ := r.Old["BucketName"].(string); before != "" && before != r.Text("BucketName") {
		if err := h.empty(ctx, r, before); err != nil {
			return Made{}, err
		}
	}
	return Made{Physical: r.Physical}, nil
}

func (h emptied) Delete(ctx context.Context, r *Request) error {
	return h.empty(ctx, r, r.Text("BucketName"))
}

// empty removes all objects and versions of a bucket that is marked for it.
func (emptied) empty(ctx context.Context, r *Request, bucket string) error {
	tags, err := r.Services.Object(ctx, r.Call, http.MethodGet, "/"+url.PathEscape(bucket)+"?tagging", nil, nil)
	if code := wire.CodeOf(err); code == "NoSuchBucket" || code == "NoSuchTagSet" {
		return nil
	}
	if err != nil || !strings.Contains(string(tags), "<Key>aws-cdk:auto-delete-objects</Key><Value>true</Value>") {
		return err
	}
	return removeObjects(ctx, r, bucket, "", func(string) bool { return true })
}

// removeObjects removes all versions of the objects below a prefix that go lets go.
func removeObjects(ctx context.Context, r *Request, bucket, prefix string, remove func(key string) bool) error {
	type version struct{ Key, VersionId string } //nolint:revive // as the answer is written
	keyMarker, versionMarker := "", ""
	for {
		query := "?versions&prefix=" + url.QueryEscape(prefix) + "&key-marker=" + url.QueryEscape(keyMarker) + "&version-id-marker=" + url.QueryEscape(versionMarker)
		text, err := r.Services.Object(ctx, r.Call, http.MethodGet, "/"+url.PathEscape(bucket)+query, nil, nil)
		if err != nil {
			return gone(err, "NoSuchBucket")
		}
		var page struct {
			IsTruncated                        bool
			NextKeyMarker, NextVersionIdMarker string //nolint:revive // as the answer is written
			Version, DeleteMarker              []version
		}
		if err := xml.Unmarshal(text, &page); err != nil {
			return err
		}
		for _, v := range slices.Concat(page.Version, page.DeleteMarker) {
			if !remove(v.Key) {
				continue
			}
			at := objectPath(bucket, v.Key)
			if v.VersionId != "" && v.VersionId != "null" {
				at += "?versionId=" + url.QueryEscape(v.VersionId)
			}
			if _, err := r.Services.Object(ctx, r.Call, http.MethodDelete, at, nil, nil); err != nil {
				return err
			}
		}
		if !page.IsTruncated {
			return nil
		}
		keyMarker, versionMarker = page.NextKeyMarker, page.NextVersionIdMarker
	}
}

// objectPath is the path of an object, encoded.
func objectPath(bucket, key string) string {
	parts := strings.Split(key, "/")
	for n := range parts {
		parts[n] = url.PathEscape(parts[n])
	}
	return "/" + url.PathEscape(bucket) + "/" + strings.Join(parts, "/")
}

// logRetention acts for Custom::LogRetention: how long the log of a function is kept.
type logRetention struct{ unfindable }

func (logRetention) Create(ctx context.Context, r *Request) (Made, error) {
	group := map[string]any{"logGroupName": r.Text("LogGroupName")}
	made := Made{Physical: r.Text("LogGroupName"), Attributes: map[string]any{"LogGroupName": r.Text("LogGroupName")}}
	_, err := r.call(ctx, "logs", "CreateLogGroup", group)
	if err := gone(err, "ResourceAlreadyExistsException"); err != nil {
		return made, err
	}
	if days := r.Text("RetentionInDays"); days != "" {
		_, err = r.call(ctx, "logs", "PutRetentionPolicy", map[string]any{"logGroupName": r.Text("LogGroupName"), "retentionInDays": days})
	} else {
		_, err = r.call(ctx, "logs", "DeleteRetentionPolicy", group)
	}
	return made, err
}

func (h logRetention) Update(ctx context.Context, r *Request) (Made, error) { return h.Create(ctx, r) }

func (logRetention) Delete(ctx context.Context, r *Request) error {
	if r.Text("RemovalPolicy") != "destroy" {
		return nil
	}
	_, err := r.call(ctx, "logs", "DeleteLogGroup", map[string]any{"logGroupName": r.Text("LogGroupName")})
	return gone(err, "ResourceNotFoundException")
}

// bucketDeployment acts for Custom::CDKBucketDeployment: the files of zip archives in a
// bucket are put into another one.
type bucketDeployment struct{ unfindable }

func checkDeployment(properties map[string]any) error {
	if properties["DistributionId"] != nil {
		return wire.Errorf("InvalidRequest", "DistributionId: CloudFront is not served here")
	}
	return nil
}

// deployedFile is a file to put.
type deployedFile struct {
	name    string // below the prefix
	content []byte
}

func (h bucketDeployment) Create(ctx context.Context, r *Request) (Made, error) {
	bucket, prefix := h.place(r.Properties)
	made := Made{Physical: r.Physical, Attributes: map[string]any{"DestinationBucketArn": "arn:aws:s3:::" + bucket, "SourceObjectKeys": r.Properties["SourceObjectKeys"]}}
	put := map[string]bool{}
	sources := r.Texts("SourceBucketNames")
	for n, key := range r.Texts("SourceObjectKeys") {
		if n >= len(sources) {
			return made, wire.Errorf("InvalidRequest", "the object %s of a deployment has no bucket", key)
		}
		files, err := h.files(ctx, r, n, sources[n], key)
		if err != nil {
			return made, err
		}
		for _, f := range files {
			if h.excluded(r, f.name) {
				continue
			}
			at := path.Join(prefix, f.name)
			put[at] = true
			if _, err := r.Services.Object(ctx, r.Call, http.MethodPut, objectPath(bucket, at), h.header(r, f.name), f.content); err != nil {
				return made, err
			}
		}
	}
	if r.Text("Prune") == "false" {
		return made, nil
	}
	return made, h.removeBelow(ctx, r, bucket, prefix, func(key string) bool {
		return !put[key] && !h.excluded(r, strings.TrimPrefix(strings.TrimPrefix(key, prefix), "/"))
	})
}

// place is where a deployment puts its files.
func (bucketDeployment) place(properties map[string]any) (bucket, prefix string) {
	bucket, _ = properties["DestinationBucketName"].(string)
	prefix, _ = properties["DestinationBucketKeyPrefix"].(string)
	return bucket, strings.Trim(prefix, "/")
}

func (bucketDeployment) removeBelow(ctx context.Context, r *Request, bucket, prefix string, remove func(key string) bool) error {
	if prefix != "" {
		prefix += "/"
	}
	return removeObjects(ctx, r, bucket, prefix, remove)
}

// files are those of one source, with its markers replaced.
func (bucketDeployment) files(ctx context.Context, r *Request, n int, bucket, key string) ([]deployedFile, error) {
	content, err := r.Services.Object(ctx, r.Call, http.MethodGet, objectPath(bucket, key), nil, nil)
	if err != nil {
		return nil, err
	}
	if r.Text("Extract") == "false" {
		return []deployedFile{{path.Base(key), content}}, nil
	}
	archive, err := zip.NewReader(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return nil, wire.Errorf("InvalidRequest", "s3://%s/%s is no zip archive", bucket, key)
	}
	markers := listAt(r.Properties["SourceMarkers"], n)
	escaped := textAt(listAt(r.Properties["SourceMarkersConfig"], n), "jsonEscape") == "true"
	var out []deployedFile
	size := uint64(0)
	for _, f := range archive.File {
		if strings.HasSuffix(f.Name, "/") || !path.IsAbs("/"+f.Name) {
			continue
		}
		if size += f.UncompressedSize64; size > mostDeployed {
			return nil, wire.Errorf("InvalidRequest", "the files of s3://%s/%s have more than %d MB", bucket, key, mostDeployed>>20)
		}
		text, err := readZipped(f)
		if err != nil {
			return nil, err
		}
		for marker, value := range asObject(markers) {
			with, _ := value.(string)
			if escaped {
				quoted, _ := json.Marshal(with) // a string always can
				with = string(quoted[1 : len(quoted)-1])
			}
			text = bytes.ReplaceAll(text, []byte(marker), []byte(with))
		}
		out = append(out, deployedFile{strings.TrimPrefix(path.Clean("/"+f.Name), "/"), text})
	}
	return out, nil
}

// mostDeployed bounds the files of one source, in bytes.
const mostDeployed = 512 << 20

func readZipped(f *zip.File) ([]byte, error) {
	from, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer from.Close()
	return io.ReadAll(io.LimitReader(from, int64(f.UncompressedSize64)))
}

func listAt(v any, n int) any {
	if list, ok := v.([]any); ok && n < len(list) {
		return list[n]
	}
	return nil
}

// excluded says whether a file is left alone: it matches one of Exclude and none of Include.
func (bucketDeployment) excluded(r *Request, name string) bool {
	matches := func(pattern string) bool { return filePattern(pattern, name) }
	return slices.ContainsFunc(r.Texts("Exclude"), matches) && !slices.ContainsFunc(r.Texts("Include"), matches)
}

// filePattern matches a name against a pattern of the aws command, whose * stands for any
// characters and ? for one.
func filePattern(pattern, name string) bool {
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", "\x00"), strings.ReplaceAll(name, "/", "\x00"))
	return err == nil && ok
}

// header is what an object is put with.
func (bucketDeployment) header(r *Request, name string) http.Header {
	h := http.Header{}
	if kind, _, err := mime.ParseMediaType(mime.TypeByExtension(path.Ext(name))); err == nil {
		h.Set("Content-Type", kind)
	}
	for key, value := range r.Object("SystemMetadata") {
		if text, ok := value.(string); ok {
			h.Set(systemHeader(key), text)
		}
	}
	for key, value := range r.Object("UserMetadata") {
		if text, ok := value.(string); ok {
			h.Set("X-Amz-Meta-"+strings.TrimPrefix(strings.ToLower(key), "x-amz-meta-"), text)
		}
	}
	return h
}

// systemHeader is the header of an option of the aws command.
func systemHeader(option string) string {
	switch option {
	case "sse":
		return "X-Amz-Server-Side-Encryption"
	case "storage-class", "website-redirect", "acl":
		return map[string]string{"storage-class": "X-Amz-Storage-Class", "website-redirect": "X-Amz-Website-Redirect-Location", "acl": "X-Amz-Acl"}[option]
	}
	return option // content-type, cache-control and the like
}

func (h bucketDeployment) Update(ctx context.Context, r *Request) (Made, error) {
	before, prefix := h.place(r.Old)
	if now, at := h.place(r.Properties); before != "" && (now != before || at != prefix) && r.Text("RetainOnDelete") == "false" {
		if err := h.removeBelow(ctx, r, before, prefix, func(string) bool { return true }); err != nil {
			return Made{}, err
		}
	}
	return h.Create(ctx, r)
}

func (h bucketDeployment) Delete(ctx context.Context, r *Request) error {
	if r.Text("RetainOnDelete") != "false" {
		return nil
	}
	bucket, prefix := h.place(r.Properties)
	return h.removeBelow(ctx, r, bucket, prefix, func(string) bool { return true })
}
