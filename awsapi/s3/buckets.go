package s3

import (
	"encoding/xml"
	"io"
	"net/http"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// bucketList is the answer of ListBuckets.
type bucketList struct {
	XMLName xml.Name `xml:"ListAllMyBucketsResult"`
	Space   string   `xml:"xmlns,attr"`
	Owner   *struct {
		ID          string `xml:"ID"`
		DisplayName string `xml:"DisplayName,omitempty"`
	} `xml:"Owner,omitempty"`
	Buckets []bucket `xml:"Buckets>Bucket"`
	Prefix  string   `xml:"Prefix,omitempty"`
}

type bucket struct {
	Name         string `xml:"Name"`
	CreationDate string `xml:"CreationDate"`
	BucketRegion string `xml:"BucketRegion"`
}

// mostListed bounds a region's list of buckets, in bytes.
const mostListed = 8 << 20

// listBuckets answers with the buckets of every region. A region that does not
// answer makes it unavailable: buckets that are missing look deleted.
func (f *Front) listBuckets(w http.ResponseWriter, r *http.Request, regions []Region) {
	if r.Method != http.MethodGet {
		f.fail(w, &wire.Error{Code: "MethodNotAllowed", Status: http.StatusMethodNotAllowed, Message: "The specified method is not allowed against this resource."})
		return
	}
	all := bucketList{Space: "http://s3.amazonaws.com/doc/2006-03-01/", Prefix: r.URL.Query().Get("prefix")}
	for _, one := range regions {
		part, err := f.bucketsOf(r, one)
		if err != nil {
			f.Log.Warn("listing buckets", "region", one.Name, "error", err)
			f.fail(w, &wire.Error{Code: "ServiceUnavailable", Status: http.StatusServiceUnavailable, Message: "the region " + one.Name + " does not answer"})
			return
		}
		if all.Owner == nil {
			all.Owner = part.Owner
		}
		for _, b := range part.Buckets {
			b.BucketRegion = one.Name
			if strings.HasPrefix(b.Name, all.Prefix) {
				all.Buckets = append(all.Buckets, b)
			}
		}
	}
	slices.SortFunc(all.Buckets, func(a, b bucket) int { return strings.Compare(a.Name, b.Name) })
	body, err := xml.Marshal(all)
	if err != nil {
		f.fail(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(append([]byte(xml.Header), body...)) // a client that has left does not read it
}

func (f *Front) bucketsOf(r *http.Request, region Region) (bucketList, error) {
	var list bucketList
	if region.Endpoint == "" {
		return list, wire.Errorf("ServiceUnavailable", "it is down")
	}
	res, err := f.ask(r.Context(), http.MethodGet, region, "/")
	if err != nil {
		return list, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return list, wire.Errorf("ServiceUnavailable", "it answered %s", res.Status)
	}
	return list, xml.NewDecoder(io.LimitReader(res.Body, mostListed)).Decode(&list)
}
