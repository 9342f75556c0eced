package s3

import (
	"encoding/xml"
	"net/http"
	"net/url"
	"strings"

	"showrunner/awsapi/wire"
)

// subresources are what the object storages know of a bucket and of an object; other
// words in a query would be taken for a request of the whole.
var subresources = map[bool]string{
	false: " acl cors delete location object-lock ownershipControls policy policyStatus session tagging uploads versioning versions website ",
	true:  " acl attributes legal-hold retention tagging uploads uploadId restore select torrent ",
}

// inFront answers what the object storage would not, or would take for something
// else. done says that it has.
func (f *Front) inFront(w http.ResponseWriter, r *http.Request, b target, key string) (done bool, err error) {
	query := r.URL.Query()
	if key != "" {
		switch {
		case query.Has("acl"):
			return true, f.objectList(w, r, b, key)
		case query.Has("select"):
			return true, &wire.Error{Code: "MethodNotAllowed", Status: http.StatusMethodNotAllowed, Message: "S3 Select is not served here: get the object and choose from it"}
		case query.Has("restore"):
			return true, f.restore(r, b, key)
		case query.Has("torrent"):
			return true, notImplemented("torrents of objects are not served here")
		case opens(r):
			return true, noObjectList(r, b)
		}
	}
	for name, values := range query {
		if len(values) == 1 && values[0] == "" && isWord(name) && !strings.Contains(subresources[key != ""], " "+name+" ") {
			return true, notImplemented("%s of %s is not served here", name, map[bool]string{false: "a bucket", true: "an object"}[key != ""])
		}
	}
	return false, nil
}

// isWord says whether a name in a query without a value could name a subresource:
// the parameters of lists may be empty.
func isWord(name string) bool {
	switch name {
	case "prefix", "marker", "delimiter", "encoding-type", "start-after", "continuation-token", "key-marker", "version-id-marker", "upload-id-marker", "max-keys", "max-uploads", "fetch-owner", "versionId", "x-id":
		return false
	}
	return !strings.HasPrefix(name, "X-Amz-") && !strings.HasPrefix(name, "response-")
}

// objectList answers for the access control list of an object: objects have none of
// their own here, the bucket's owner has full control of them.
func (f *Front) objectList(w http.ResponseWriter, r *http.Request, b target, key string) error {
	head := b.path(key)
	if version := r.URL.Query().Get("versionId"); version != "" {
		head += "?versionId=" + url.QueryEscape(version)
	}
	res, err := f.ask(r.Context(), http.MethodHead, b.region, head)
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return notFound("NoSuchKey", "The specified key does not exist.")
	}
	if r.Method == http.MethodPut {
		if list := r.Header.Get("X-Amz-Acl"); list == "private" || list == "bucket-owner-full-control" {
			w.WriteHeader(http.StatusOK) // as it is
			return nil
		}
		return noObjectList(r, b)
	}
	if r.Method != http.MethodGet {
		return &wire.Error{Code: "MethodNotAllowed", Status: http.StatusMethodNotAllowed, Message: "The specified method is not allowed against this resource."}
	}
	type owner struct {
		ID string `xml:"ID"`
	}
	type grantee struct {
		Space string `xml:"xmlns:xsi,attr"`
		Type  string `xml:"xsi:type,attr"`
		ID    string `xml:"ID"`
	}
	type grant struct {
		Grantee    grantee `xml:"Grantee"`
		Permission string  `xml:"Permission"`
	}
	return answerXML(w, struct {
		XMLName xml.Name `xml:"AccessControlPolicy"`
		Space   string   `xml:"xmlns,attr"`
		Owner   owner    `xml:"Owner"`
		Grants  []grant  `xml:"AccessControlList>Grant"`
	}{Space: space, Owner: owner{f.Owner.Key}, Grants: []grant{{grantee{"http://www.w3.org/2001/XMLSchema-instance", "CanonicalUser", f.Owner.Key}, "FULL_CONTROL"}}})
}

// noObjectList is the error of a request that would give an object a list of its own.
func noObjectList(r *http.Request, b target) error {
	status, text, err := b.get(r.Context(), "ownershipControls")
	if err != nil {
		return err
	}
	if status != http.StatusOK || strings.Contains(string(text), "BucketOwnerEnforced") {
		return wire.Errorf("AccessControlListNotSupported", "The bucket does not allow ACLs")
	}
	return notImplemented("objects have no access control lists of their own here: open the bucket by a policy")
}

// opens says whether a request that writes an object asks for a list of its own that
// lets others in.
func opens(r *http.Request) bool {
	if r.Method != http.MethodPut && r.Method != http.MethodPost {
		return false
	}
	for name := range r.Header {
		if strings.HasPrefix(name, "X-Amz-Grant-") {
			return true
		}
	}
	list := r.Header.Get("X-Amz-Acl")
	return list != "" && list != "private" && list != "bucket-owner-full-control"
}

// restore answers as S3 does of an object that is in no archive: none is here.
func (f *Front) restore(r *http.Request, b target, key string) error {
	res, err := f.ask(r.Context(), http.MethodHead, b.region, b.path(key))
	if err != nil {
		return err
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return notFound("NoSuchKey", "The specified key does not exist.")
	}
	return &wire.Error{Code: "InvalidObjectState", Status: http.StatusForbidden, Message: "Restore is not allowed for the object's current storage class"}
}
