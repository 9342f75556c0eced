package s3

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/url"
	"strings"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/wire"
)

// copySource is the object that a request copies: its path, and its version's query.
func copySource(r *http.Request) (bucket, path, query string, ok bool) {
	source := r.Header.Get("X-Amz-Copy-Source")
	if r.Method != http.MethodPut || source == "" {
		return "", "", "", false
	}
	path, query, _ = strings.Cut(source, "?")
	if plain, err := url.PathUnescape(path); err == nil {
		path = (&url.URL{Path: "/" + strings.TrimPrefix(plain, "/")}).EscapedPath()
	}
	return bucketOf(path), path, query, true
}

// carried are the headers of an object that its copy has too.
var carried = []string{"Content-Type", "Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires"}

// copyAcross copies an object, or a part of it, from a bucket of another region:
// neither region's object storage knows the other.
func (f *Front) copyAcross(w http.ResponseWriter, r *http.Request, from, to Region, path, query string) error {
	if from.Endpoint == "" {
		return &wire.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: "the region " + from.Name + " does not answer"}
	}
	source, err := f.readSource(r, from, path, query)
	if err != nil {
		return err
	}
	defer source.Body.Close()
	if source.StatusCode >= http.StatusMultipleChoices {
		return refusedCopy(source)
	}
	out, err := http.NewRequestWithContext(r.Context(), http.MethodPut, to.Endpoint+r.URL.EscapedPath()+"?"+r.URL.RawQuery, source.Body)
	if err != nil {
		return err
	}
	out.ContentLength = source.ContentLength
	if err := f.copyHeaders(r, out, source, from, path, query); err != nil {
		return err
	}
	var names []string
	for name := range out.Header {
		if strings.HasPrefix(name, "X-Amz-") || name == "Content-Type" {
			names = append(names, name)
		}
	}
	signature.Sign(out, f.Owner, to.Name, "s3", "UNSIGNED-PAYLOAD", names, f.Now())
	made, err := f.carrier.Do(out)
	if err != nil {
		return err
	}
	defer made.Body.Close()
	if made.StatusCode >= http.StatusMultipleChoices {
		text, err := readAtMost(made.Body, mostConfiguration)
		if err != nil {
			return err
		}
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(made.StatusCode)
		_, _ = w.Write(text) // a client that has left does not read it
		return nil
	}
	if version := made.Header.Get("X-Amz-Version-Id"); version != "" {
		w.Header().Set("X-Amz-Version-Id", version)
	}
	if version := source.Header.Get("X-Amz-Version-Id"); version != "" {
		w.Header().Set("X-Amz-Copy-Source-Version-Id", version)
	}
	name := "CopyObjectResult"
	if r.URL.Query().Has("partNumber") {
		name = "CopyPartResult"
	}
	return answerXML(w, struct {
		XMLName      xml.Name
		Space        string `xml:"xmlns,attr"`
		LastModified string `xml:"LastModified"`
		ETag         string `xml:"ETag"`
	}{xml.Name{Local: name}, space, f.Now().UTC().Format("2006-01-02T15:04:05.000Z"), made.Header.Get("Etag")})
}

// readSource asks for the object, under the conditions of the copy.
func (f *Front) readSource(r *http.Request, from Region, path, query string) (*http.Response, error) {
	target := from.Endpoint + path
	if query != "" {
		target += "?" + query
	}
	in, err := http.NewRequestWithContext(r.Context(), http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "Range"} {
		if v := r.Header.Get("X-Amz-Copy-Source-" + name); v != "" {
			in.Header.Set(name, v)
		}
	}
	in.Header.Set("Accept-Encoding", "identity")
	signature.Sign(in, f.Owner, from.Name, "s3", emptyHash, nil, f.Now())
	return f.carrier.Do(in)
}

// refusedCopy is the error of a source that is not there, or not as the copy wants it.
func refusedCopy(source *http.Response) error {
	text, err := readAtMost(source.Body, mostConfiguration)
	if err != nil {
		return err
	}
	var e struct{ Code, Message string }
	if source.StatusCode == http.StatusNotModified || xml.Unmarshal(text, &e) != nil || e.Code == "" {
		return &wire.Error{Code: "PreconditionFailed", Status: http.StatusPreconditionFailed, Message: "At least one of the pre-conditions you specified did not hold"}
	}
	return &wire.Error{Code: e.Code, Status: source.StatusCode, Message: e.Message}
}

// copyHeaders are what the copy is made with: the request's own, and the source's
// metadata and tags unless the request replaces them.
func (f *Front) copyHeaders(r, out *http.Request, source *http.Response, from Region, path, query string) error {
	part := r.URL.Query().Has("partNumber")
	replace := strings.EqualFold(r.Header.Get("X-Amz-Metadata-Directive"), "REPLACE")
	for name, values := range r.Header {
		switch {
		case strings.HasPrefix(name, "X-Amz-Copy-Source"), name == "X-Amz-Metadata-Directive", name == "X-Amz-Tagging-Directive",
			name == "X-Amz-Security-Token", name == "X-Amz-Date", name == "X-Amz-Content-Sha256", name == "X-Amz-Checksum-Algorithm":
		case strings.HasPrefix(name, "X-Amz-Meta-") && !replace:
		case strings.HasPrefix(name, "X-Amz-"):
			out.Header[name] = values
		}
	}
	if part {
		return nil
	}
	metadata := source.Header
	if replace {
		metadata = r.Header
	}
	for _, name := range carried {
		if v := metadata.Get(name); v != "" {
			out.Header.Set(name, v)
		}
	}
	if !replace {
		for name, values := range source.Header {
			if strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Amz-Meta-") {
				out.Header[http.CanonicalHeaderKey(name)] = values
			}
		}
	}
	if strings.EqualFold(r.Header.Get("X-Amz-Tagging-Directive"), "REPLACE") || source.Header.Get("X-Amz-Tagging-Count") == "" {
		return nil
	}
	tags, err := f.tagsOf(r, from, path, query)
	if err == nil && tags != "" {
		out.Header.Set("X-Amz-Tagging", tags)
	}
	return err
}

// tagsOf are an object's tags, as a query.
func (f *Front) tagsOf(r *http.Request, from Region, path, query string) (string, error) {
	target := path + "?tagging="
	if query != "" {
		target += "&" + query
	}
	res, err := f.ask(r.Context(), http.MethodGet, from, target)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	var set struct {
		Tags []tag `xml:"TagSet>Tag"`
	}
	if err := xml.NewDecoder(io.LimitReader(res.Body, mostConfiguration)).Decode(&set); err != nil {
		return "", wire.Errorf("InternalError", "the tags of the source cannot be read")
	}
	values := url.Values{}
	for _, t := range set.Tags {
		values.Set(t.Key, t.Value)
	}
	return values.Encode(), nil
}
