package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/signature"
)

// versionList is a page of a bucket's versions; the newest of a key comes first.
type versionList struct {
	IsTruncated         bool
	NextKeyMarker       string
	NextVersionIDMarker string `xml:"NextVersionIdMarker"`
	Entries             []objectVersion
}

type objectVersion struct {
	XMLName      xml.Name
	Key          string
	VersionID    string `xml:"VersionId"`
	IsLatest     bool
	LastModified time.Time
	ETag         string
	Size         int64
}

// UnmarshalXML keeps the order of versions and delete markers.
func (l *versionList) UnmarshalXML(d *xml.Decoder, _ xml.StartElement) error {
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			if _, end := token.(xml.EndElement); end {
				return nil
			}
			continue
		}
		switch start.Name.Local {
		case "IsTruncated":
			err = d.DecodeElement(&l.IsTruncated, &start)
		case "NextKeyMarker":
			err = d.DecodeElement(&l.NextKeyMarker, &start)
		case "NextVersionIdMarker":
			err = d.DecodeElement(&l.NextVersionIDMarker, &start)
		case "Version", "DeleteMarker":
			var one objectVersion
			err = d.DecodeElement(&one, &start)
			l.Entries = append(l.Entries, one)
		default:
			err = d.Skip()
		}
		if err != nil {
			return err
		}
	}
}

// Expire removes what the lifecycle rules of buckets say has ended. It may be
// called again at any time; what a region that is down has is left for the next time.
func (f *Front) Expire(ctx context.Context, now time.Time) error {
	regions, err := f.Regions(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for e, err := range f.kept().All(ctx, "") {
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		if e.Doc.Lifecycle == nil {
			continue
		}
		region, ok := f.find(ctx, e.Key, regions)
		if !ok {
			continue // it is gone, or its region is down
		}
		if err := f.expireBucket(ctx, target{f, region, e.Key}, e.Doc.Lifecycle.Rules, now); err != nil {
			failed = append(failed, fmt.Errorf("the lifecycle of %s: %w", e.Key, err))
		}
	}
	return errors.Join(failed...)
}

func (f *Front) expireBucket(ctx context.Context, b target, rules []lifecycleRule, now time.Time) error {
	rules = slices.DeleteFunc(slices.Clone(rules), func(r lifecycleRule) bool { return r.Status != "Enabled" })
	if len(rules) == 0 {
		return nil
	}
	walk := versionWalk{target: b, rules: rules, now: now}
	query := "versions=&max-keys=1000"
	for {
		var page versionList
		if err := b.read(ctx, query, &page); err != nil {
			return err
		}
		for _, v := range page.Entries {
			if err := walk.next(ctx, v); err != nil {
				return err
			}
		}
		if !page.IsTruncated {
			break
		}
		query = "versions=&max-keys=1000&key-marker=" + url.QueryEscape(page.NextKeyMarker) + "&version-id-marker=" + url.QueryEscape(page.NextVersionIDMarker)
	}
	if walk.held != nil {
		if err := b.endMarker(ctx, rules, *walk.held, now); err != nil {
			return err
		}
	}
	return b.endUploads(ctx, rules, now)
}

// versionWalk goes through a bucket's versions, the newest of each key first.
type versionWalk struct {
	target
	rules []lifecycleRule
	now   time.Time
	above objectVersion  // the version that took the place of the next one
	age   int            // how many versions of the key that are not current came before
	held  *objectVersion // a delete marker that may be all that is left of its key
}

// next removes a version if a rule says so.
func (w *versionWalk) next(ctx context.Context, v objectVersion) error {
	if w.held != nil && w.held.Key != v.Key {
		if err := w.endMarker(ctx, w.rules, *w.held, w.now); err != nil {
			return err
		}
	}
	w.held = nil
	if v.Key != w.above.Key {
		w.age = 0
	}
	above := w.above
	w.above = v
	if v.IsLatest && v.XMLName.Local == "DeleteMarker" {
		w.held = &v
		return nil
	}
	if v.IsLatest {
		fits, err := w.anyFits(ctx, w.rules, v, func(r lifecycleRule) bool { return r.Expiration.ends(v.LastModified, w.now) })
		if err != nil || !fits {
			return err
		}
		return w.end(ctx, v, "")
	}
	place := w.age
	w.age++
	fits, err := w.anyFits(ctx, w.rules, v, func(r lifecycleRule) bool {
		n := r.NoncurrentEnd
		return n != nil && (n.Newer == nil || place >= *n.Newer) && !w.now.Before(due(above.LastModified, n.Days))
	})
	if err != nil || !fits {
		return err
	}
	return w.end(ctx, v, v.VersionID)
}

// endMarker removes a delete marker that is all that is left of its key, when a rule
// says so.
func (b target) endMarker(ctx context.Context, rules []lifecycleRule, v objectVersion, now time.Time) error {
	fits, err := b.anyFits(ctx, rules, v, func(r lifecycleRule) bool {
		e := r.Expiration
		return e != nil && (e.DeleteMarkers != nil && *e.DeleteMarkers || e.ends(v.LastModified, now))
	})
	if err != nil || !fits {
		return err
	}
	return b.end(ctx, v, v.VersionID)
}

// anyFits says whether one of the rules that has ended is for the object.
func (b target) anyFits(ctx context.Context, rules []lifecycleRule, v objectVersion, ended func(lifecycleRule) bool) (bool, error) {
	for _, r := range rules {
		filter := r.filter()
		if !filter.sized(v.Key, v.Size) || !ended(r) {
			continue
		}
		if len(filter.tags) == 0 {
			return true, nil
		}
		if v.XMLName.Local == "DeleteMarker" {
			continue // it has no tags
		}
		var set struct {
			Tags []tag `xml:"TagSet>Tag"`
		}
		if err := b.readPath(ctx, b.path(v.Key)+"?tagging="+versioned(v), &set); err != nil && !errors.Is(err, errNone) {
			return false, err
		}
		all := true
		for _, t := range filter.tags {
			all = all && slices.Contains(set.Tags, t)
		}
		if all {
			return true, nil
		}
	}
	return false, nil
}

// endUploads ends uploads in parts that were not completed in time.
func (b target) endUploads(ctx context.Context, rules []lifecycleRule, now time.Time) error {
	if !slices.ContainsFunc(rules, func(r lifecycleRule) bool { return r.AbortIncompleteLoad != nil }) {
		return nil
	}
	query := "uploads=&max-uploads=1000"
	for {
		var page struct {
			IsTruncated        bool
			NextKeyMarker      string
			NextUploadIDMarker string `xml:"NextUploadIdMarker"`
			Upload             []struct {
				Key       string
				UploadID  string `xml:"UploadId"`
				Initiated time.Time
			}
		}
		if err := b.read(ctx, query, &page); err != nil {
			return err
		}
		for _, u := range page.Upload {
			for _, r := range rules {
				if a := r.AbortIncompleteLoad; a != nil && strings.HasPrefix(u.Key, r.filter().prefix) && !now.Before(due(u.Initiated, a.Days)) {
					if err := b.send(ctx, u.Key, "uploadId="+url.QueryEscape(u.UploadID), ""); err != nil {
						return err
					}
					break
				}
			}
		}
		if !page.IsTruncated {
			return nil
		}
		query = "uploads=&max-uploads=1000&key-marker=" + url.QueryEscape(page.NextKeyMarker) + "&upload-id-marker=" + url.QueryEscape(page.NextUploadIDMarker)
	}
}

// end removes a version, or the current object where none is named: unless it was
// overwritten since it was listed.
func (b target) end(ctx context.Context, v objectVersion, version string) error {
	if version != "" {
		return b.send(ctx, v.Key, "versionId="+url.QueryEscape(version), "")
	}
	return b.send(ctx, v.Key, "", v.ETag)
}

// send deletes; what is gone already is as well.
func (b target) send(ctx context.Context, key, query, etag string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodDelete, b.region.Endpoint+b.path(key)+"?"+query, nil)
	if err != nil {
		return err
	}
	if etag != "" {
		r.Header.Set("If-Match", etag)
	}
	signature.Sign(r, b.front.Owner, b.region.Name, "s3", emptyHash, nil, b.front.Now())
	res, err := b.front.client.Do(r)
	if err != nil {
		return err
	}
	res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK, http.StatusNoContent, http.StatusNotFound, http.StatusPreconditionFailed:
		b.front.Log.Info("a lifecycle rule removed an object", "bucket", b.bucket, "key", key)
		return nil
	}
	return fmt.Errorf("deleting %s was answered %s", key, res.Status)
}

// versioned is the query of a version; the object storage does not know that of an
// object in a bucket without versions.
func versioned(v objectVersion) string {
	if v.VersionID == "" || v.VersionID == "null" {
		return ""
	}
	return "&versionId=" + url.QueryEscape(v.VersionID)
}

func (b target) path(key string) string {
	return "/" + url.PathEscape(b.bucket) + (&url.URL{Path: "/" + key}).EscapedPath()
}

func (b target) read(ctx context.Context, query string, into any) error {
	return b.readPath(ctx, "/"+url.PathEscape(b.bucket)+"?"+query, into)
}

// errNone says that there is nothing of what was asked for.
var errNone = errors.New("there is none")

func (b target) readPath(ctx context.Context, path string, into any) error {
	res, err := b.front.ask(ctx, http.MethodGet, b.region, path)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s: %w", path, errNone)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s was answered %s", path, res.Status)
	}
	return xml.NewDecoder(io.LimitReader(res.Body, mostListed)).Decode(into)
}
