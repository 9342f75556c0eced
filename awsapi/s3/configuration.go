package s3

import (
	"context"
	"encoding/xml"
	"net/http"
	"net/url"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// settings are the parts of a bucket's configuration that the region's object
// storage does not know. Their document is removed with the bucket.
type settings struct {
	Encryption   *encryption   `json:"encryption,omitempty"`
	PublicAccess *publicAccess `json:"publicAccess,omitempty"`
	Lifecycle    *lifecycle    `json:"lifecycle,omitempty"`
	// Policy is the whole policy where the object storage has a part of it alone.
	Policy string `json:"policy,omitempty"`
}

// collection has a document for each bucket with settings, by the bucket's name.
const collection = "aws.s3.bucket"

// part is one part of a bucket's configuration, which clients name in the query.
type part struct {
	// get is the answer; an error where nothing is set and S3 has no default.
	get func(s settings) (any, error)
	// put takes a document. Nil: nothing may be set.
	put func(ctx context.Context, b target, s *settings, document []byte) error
	// remove takes back what was set. Nil: S3 has no such operation.
	remove func(s *settings)
}

// target is the bucket that a request is about.
type target struct {
	front  *Front
	region Region
	bucket string
}

// space is the namespace of S3's documents.
const space = "http://s3.amazonaws.com/doc/2006-03-01/"

// parts are served here, in front of the region's object storage.
var parts = map[string]part{
	"encryption":        {getEncryption, putEncryption, func(s *settings) { s.Encryption = nil }},
	"publicAccessBlock": {getPublicAccess, putPublicAccess, func(s *settings) { s.PublicAccess = nil }},
	"lifecycle":         {getLifecycle, putLifecycle, func(s *settings) { s.Lifecycle = nil }},

	"notification":   constant("NotificationConfiguration", "", "", "Nothing is sent here when objects change"),
	"logging":        constant("BucketLoggingStatus", "", "", "Requests are not logged into buckets here"),
	"accelerate":     constant("AccelerateConfiguration", "Status", "", "Transfers are not accelerated here", "Suspended"),
	"requestPayment": constant("RequestPaymentConfiguration", "Payer", "BucketOwner", "Requests cost nothing here", "BucketOwner"),
	"abac":           constant("AbacStatus", "Status", "Disabled", "Access by tags is not enforced here", "Disabled"),

	"replication":           refused("Objects are not replicated here", "ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
	"analytics":             list("ListBucketAnalyticsConfigurationResult", "Storage classes are not analysed here"),
	"inventory":             list("ListInventoryConfigurationsResult", "No inventories are made here"),
	"metrics":               list("ListMetricsConfigurationsResult", "Requests of a bucket are not measured here"),
	"intelligent-tiering":   list("ListBucketIntelligentTieringConfigurationsOutput", "There are no storage tiers here"),
	"metadataTable":         refused("Tables of metadata are not kept here", "NoSuchConfiguration", "The specified configuration does not exist."),
	"metadataConfiguration": refused("Tables of metadata are not kept here", "NoSuchConfiguration", "The specified configuration does not exist."),
}

// constant is a part of which only the values in allowed may be set, and which
// answers default; without a member, only an empty document may be set.
func constant(root, member, value, refusal string, allowed ...string) part {
	answer := element{XMLName: xml.Name{Local: root}, Space: space}
	if value != "" {
		answer.Inner = "<" + member + ">" + value + "</" + member + ">"
	}
	return part{
		get: func(settings) (any, error) { return answer, nil },
		put: func(_ context.Context, _ target, _ *settings, document []byte) error {
			var sent struct {
				XMLName  xml.Name
				Children []child `xml:",any"`
			}
			if err := decode(document, root, &sent); err != nil {
				return err
			}
			for _, c := range sent.Children {
				known := false
				for _, v := range allowed {
					known = known || c.XMLName.Local == member && c.Text == v
				}
				if !known {
					return notImplemented("%s: %s cannot be set", refusal, c.XMLName.Local)
				}
			}
			return nil
		},
	}
}

// list is a part of which a bucket may have many at AWS and has none here.
func list(root, refusal string) part {
	return part{
		get: func(settings) (any, error) {
			return element{XMLName: xml.Name{Local: root}, Space: space, Inner: "<IsTruncated>false</IsTruncated>"}, nil
		},
		put: func(context.Context, target, *settings, []byte) error { return notImplemented("%s", refusal) },
	}
}

// refused is a part that nothing here carries out.
func refused(refusal, code, message string) part {
	return part{
		get: func(settings) (any, error) { return nil, notFound(code, message) },
		put: func(context.Context, target, *settings, []byte) error { return notImplemented("%s", refusal) },
	}
}

type element struct {
	XMLName xml.Name
	Space   string `xml:"xmlns,attr"`
	Inner   string `xml:",innerxml"`
}

type child struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
}

func notFound(code, message string) *wire.Error {
	return &wire.Error{Code: code, Status: http.StatusNotFound, Message: message}
}

func notImplemented(format string, args ...any) *wire.Error {
	e := wire.Errorf("NotImplemented", format, args...)
	e.Status = http.StatusNotImplemented
	return e
}

func malformed() *wire.Error {
	return wire.Errorf("MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema")
}

// decode reads a document whose root has a name.
func decode(document []byte, root string, into any) error {
	var name struct{ XMLName xml.Name }
	if xml.Unmarshal(document, &name) != nil || name.XMLName.Local != root || xml.Unmarshal(document, into) != nil {
		return malformed()
	}
	return nil
}

// partOf is the part of a bucket's configuration that a request is about.
func partOf(r *http.Request, key bool) (name string, p part, ok bool) {
	if key {
		return "", part{}, false
	}
	query := r.URL.Query()
	for name, p := range parts {
		if query.Has(name) {
			return name, p, true
		}
	}
	return "", part{}, false
}

// configure carries out a request about a part of a bucket's configuration.
func (f *Front) configure(w http.ResponseWriter, r *http.Request, scope signature.Scope, name string, p part, b target) error {
	ctx := r.Context()
	switch r.Method {
	case http.MethodGet:
		if r.URL.Query().Get("id") != "" {
			return notFound("NoSuchConfiguration", "The specified configuration does not exist.")
		}
		s, err := f.settings(ctx, b.bucket)
		if err != nil {
			return err
		}
		answer, err := p.get(s)
		if err != nil {
			return err
		}
		if name == "lifecycle" { // S3's default; there is one storage class
			w.Header().Set("X-Amz-Transition-Default-Minimum-Object-Size", "all_storage_classes_128K")
		}
		return answerXML(w, answer)
	case http.MethodPut:
		document, err := body(r, scope)
		if err != nil {
			return err
		}
		err = f.record(ctx, scope, b.region.Name, "PutBucket "+name, func() error {
			s, err := f.settings(ctx, b.bucket)
			if err != nil {
				return err
			}
			if err := p.put(ctx, b, &s, document); err != nil || s == (settings{}) {
				return err
			}
			_, err = f.kept().Put(ctx, b.bucket, func(doc *settings) error { return p.put(ctx, b, doc, document) })
			return err
		})
		if err == nil {
			w.WriteHeader(http.StatusOK)
		}
		return err
	case http.MethodDelete:
		if p.remove == nil {
			if id := r.URL.Query().Get("id"); id != "" {
				return notFound("NoSuchConfiguration", "The specified configuration does not exist.")
			}
			w.WriteHeader(http.StatusNoContent) // there is none
			return nil
		}
		err := f.record(ctx, scope, b.region.Name, "DeleteBucket "+name, func() error {
			_, err := f.kept().Update(ctx, b.bucket, func(doc *settings) error { p.remove(doc); return nil })
			if problem.CodeOf(err) == problem.NotFound {
				return nil
			}
			return err
		})
		if err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
		return err
	}
	return &wire.Error{Code: "MethodNotAllowed", Status: http.StatusMethodNotAllowed, Message: "The specified method is not allowed against this resource."}
}

// record carries out an act with its right checked and its events recorded.
func (f *Front) record(ctx context.Context, scope signature.Scope, region, operation string, act func() error) error {
	if f.Perform == nil {
		return act()
	}
	return f.Perform(ctx, &wire.Call{Region: region, Caller: scope.Caller, Key: scope.Key}, "s3", operation, act)
}

func (f *Front) kept() state.Collection[settings] { return state.New[settings](f.Records, collection) }

// settings are what is set of a bucket.
func (f *Front) settings(ctx context.Context, bucket string) (settings, error) {
	s, err := f.kept().Get(ctx, bucket)
	if problem.CodeOf(err) == problem.NotFound {
		return settings{}, nil
	}
	return s, err
}

// forget removes what was set of a bucket that is not there.
func (f *Front) forget(ctx context.Context, bucket string) error {
	err := f.kept().Delete(ctx, bucket, nil)
	if problem.CodeOf(err) == problem.NotFound {
		return nil
	}
	return err
}

func answerXML(w http.ResponseWriter, v any) error {
	text, err := xml.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/xml")
	_, _ = w.Write(append([]byte(xml.Header), text...)) // a client that has left does not read it
	return nil
}

// get asks the bucket's object storage for one of its own documents; status is 0
// where it does not answer.
func (b target) get(ctx context.Context, query string) (status int, document []byte, err error) {
	res, err := b.front.ask(ctx, http.MethodGet, b.region, "/"+url.PathEscape(b.bucket)+"?"+query)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	document, err = readAtMost(res.Body, mostConfiguration)
	return res.StatusCode, document, err
}
