package server

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"showrunner/awsapi/signature"
	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/control"
	"showrunner/problem"
	stagesource "showrunner/stage/source"
)

// regionObjects reads the object storages of the local regions with the owner's key.
type regionObjects struct{ c *controlPlane }

// objectsPrincipal is who reads for a stage.
var objectsPrincipal = control.Principal{Name: "control"}

// emptyHash is the SHA-256 of no body.
const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// Open implements stage/source.Objects.
func (o regionObjects) Open(ctx context.Context, region, bucket, key, version string) (stagesource.Opened, error) {
	const op = "objects.open"
	home, endpoint, err := o.home(ctx, region, bucket)
	if err != nil {
		return stagesource.Opened{}, err
	}
	query := ""
	if version != "" {
		query = "?versionId=" + url.QueryEscape(version)
	}
	res, err := o.ask(ctx, http.MethodGet, home, endpoint, "/"+bucket+"/"+escapeKey(key)+query)
	if err != nil {
		return stagesource.Opened{}, problem.Wrap(err, problem.Unavailable, op, "asking %s for s3://%s/%s", home, bucket, key)
	}
	switch {
	case res.StatusCode == http.StatusOK:
	case res.StatusCode >= http.StatusInternalServerError:
		res.Body.Close()
		return stagesource.Opened{}, problem.New(problem.Unavailable, op, "%s answered %s for s3://%s/%s", home, res.Status, bucket, key)
	default:
		res.Body.Close()
		return stagesource.Opened{}, problem.New(problem.NotFound, op, "there is no object s3://%s/%s%s in %s", bucket, key, query, home).
			WithHelp("upload it: showrunner aws -- s3 cp FILE s3://%s/%s", bucket, key)
	}
	out := stagesource.Opened{Body: res.Body, Region: home, Version: res.Header.Get("X-Amz-Version-Id")}
	if out.Version == "" {
		out.Version = strings.Trim(res.Header.Get("ETag"), `"`)
	}
	out.Modified, _ = http.ParseTime(res.Header.Get("Last-Modified")) // zero: it does not say
	return out, nil
}

// BucketRegion is the region that has a bucket. Errors: not_found, unavailable.
func (o regionObjects) BucketRegion(ctx context.Context, bucket string) (string, error) {
	region, _, err := o.home(ctx, "", bucket)
	return region, err
}

// home is the region that has a bucket, and where its object storage is.
func (o regionObjects) home(ctx context.Context, asked, bucket string) (region, endpoint string, err error) {
	const op = "objects.bucket"
	regions, err := o.c.objectStores(ctx, objectsPrincipal)
	if err != nil {
		return "", "", err
	}
	var unreachable []string
	for _, r := range regions {
		if asked != "" && r.Name != asked {
			continue
		}
		if r.Endpoint == "" {
			unreachable = append(unreachable, r.Name)
			continue
		}
		res, err := o.ask(ctx, http.MethodHead, r.Name, r.Endpoint, "/"+url.PathEscape(bucket))
		if err != nil {
			unreachable = append(unreachable, r.Name)
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusOK {
			return r.Name, r.Endpoint, nil
		}
	}
	if len(unreachable) > 0 {
		return "", "", problem.New(problem.Unavailable, op, "whether there is a bucket %s cannot be told: %s does not answer", bucket, strings.Join(unreachable, ", "))
	}
	return "", "", problem.New(problem.NotFound, op, "there is no bucket %s", bucket).WithHelp("make it: showrunner aws -- s3 mb s3://%s", bucket)
}

// objectsClient waits for an answer's beginning only: an object may be large.
var objectsClient = &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 30 * time.Second, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, DisableCompression: true}}

func (o regionObjects) ask(ctx context.Context, method, region, endpoint, path string) (*http.Response, error) {
	key, err := objectstore.LoadCredentials(localcloud.CredentialsFile(o.c.Data))
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, endpoint+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.Host = r.URL.Host
	signature.Sign(r, signature.Credentials{Key: key.AccessKey, Secret: key.SecretKey}, region, "s3", emptyHash, nil, o.c.Now())
	return objectsClient.Do(r)
}

// escapeKey is an object's key as it stands in a path.
func escapeKey(key string) string {
	parts := strings.Split(key, "/")
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(url.PathEscape(p), "+", "%2B")
	}
	return strings.Join(parts, "/")
}
