package lambda

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// address is a function's address for clients of HTTP.
type address struct {
	ID        string    `json:"id"` // the first part of its host name
	Region    string    `json:"region"`
	Function  string    `json:"function"`
	Qualifier string    `json:"qualifier,omitempty"` // an alias
	Auth      string    `json:"auth"`                // NONE or AWS_IAM
	Mode      string    `json:"mode"`
	Cors      object    `json:"cors,omitempty"`
	Created   time.Time `json:"created"`
	Modified  time.Time `json:"modified"`
}

// urlHost is what the host names of addresses have after their identifier.
func urlHost(region string) string { return ".lambda-url." + region + ".localhost" }

// url is where an address is opened.
func (s *Service) url(a address) string {
	port := s.Endpoint()
	port = port[strings.LastIndexByte(port, ':'):]
	return "http://" + a.ID + urlHost(a.Region) + port + "/"
}

// addresses are those of a function, or of all of a region's.
func (s *Service) addresses(ctx context.Context, region, name string) (list []address, err error) {
	for e, err := range s.urls.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Region == region && (name == "" || e.Doc.Function == name) {
			list = append(list, e.Doc)
		}
	}
	return list, nil
}

func (s *Service) toldURL(a address) object {
	out := object{"FunctionUrl": s.url(a), "FunctionArn": s.arn(a.Region, a.Function, a.Qualifier), "AuthType": a.Auth, "InvokeMode": a.Mode,
		"CreationTime": stampOf(a.Created), "LastModifiedTime": stampOf(a.Modified)}
	if len(a.Cors) > 0 {
		out["Cors"] = a.Cors
	}
	return out
}

func stampOf(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

// urlTarget is the function that an operation on addresses names; gone is the error of
// what is not there.
func (s *Service) urlTarget(ctx context.Context, c *wire.Call, in object, gone string) (function, which, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	if err != nil {
		return function{}, w, err
	}
	f, err := s.load(ctx, c.Region, which{name: w.name})
	if wire.CodeOf(err) == "ResourceNotFoundException" || err == nil && w.qualifier != "" && f.alias(w.qualifier) == nil {
		err = missing("%s", gone)
	}
	return f, w, err
}

// What is not there, as operations that make addresses and those that read them say.
const (
	noSuchFunction = "Function does not exist"
	noSuchResource = "The resource you requested does not exist."
)

// urlOf is the address of a function or alias; false when there is none.
func (s *Service) urlOf(ctx context.Context, region string, w which) (address, bool, error) {
	list, err := s.addresses(ctx, region, w.name)
	for _, a := range list {
		if a.Qualifier == w.qualifier {
			return a, true, nil
		}
	}
	return address{}, false, err
}

func checkMode(in object) error {
	if in.Text("InvokeMode") == "RESPONSE_STREAM" {
		return refused("the invoke mode RESPONSE_STREAM: answers are whole")
	}
	return nil
}

// newURLID is 32 letters and digits.
func newURLID() string { return strings.ToLower(rand.Text() + rand.Text())[:32] }

func (s *Service) createURL(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	_, w, err := s.urlTarget(ctx, c, *in, noSuchFunction)
	if err != nil {
		return nil, err
	}
	if err := checkMode(*in); err != nil {
		return nil, err
	}
	if _, there, err := s.urlOf(ctx, c.Region, w); err != nil || there {
		if err == nil {
			err = conflict("Failed to create function url config for [functionArn = %s]. Error message:  FunctionUrlConfig exists for this Lambda function", s.arn(c.Region, w.name, w.qualifier))
		}
		return nil, err
	}
	now := s.Now().UTC()
	a := address{ID: newURLID(), Region: c.Region, Function: w.name, Qualifier: w.qualifier, Auth: in.Text("AuthType"), Mode: "BUFFERED", Cors: in.Inner("Cors"), Created: now, Modified: now}
	if err := s.urls.Create(ctx, a.ID, a); err != nil {
		return nil, err
	}
	out := s.toldURL(a)
	delete(out, "LastModifiedTime")
	return withMode(out, *in), nil
}

func noURL() error { return missing(noSuchResource) }

func (s *Service) getURL(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	_, w, err := s.urlTarget(ctx, c, *in, noSuchResource)
	if err != nil {
		return nil, err
	}
	a, there, err := s.urlOf(ctx, c.Region, w)
	if err == nil && !there {
		err = noURL()
	}
	out := s.toldURL(a)
	return &out, err
}

func (s *Service) listURLs(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	_, w, err := s.urlTarget(ctx, c, in.Only("FunctionName"), noSuchFunction)
	if err != nil {
		return nil, err
	}
	list, err := s.addresses(ctx, c.Region, w.name)
	if err != nil {
		return nil, err
	}
	var out []object
	for _, a := range list {
		out = append(out, s.toldURL(a))
	}
	return page(*in, "FunctionUrlConfigs", sorted(out, "FunctionArn"), "FunctionArn")
}

func (s *Service) updateURL(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	_, w, err := s.urlTarget(ctx, c, *in, noSuchFunction)
	if err != nil {
		return nil, err
	}
	if err := checkMode(*in); err != nil {
		return nil, err
	}
	a, there, err := s.urlOf(ctx, c.Region, w)
	if err != nil {
		return nil, err
	}
	if !there {
		return nil, noURL()
	}
	a, err = s.urls.Update(ctx, a.ID, func(a *address) error {
		if in.Has("AuthType") {
			a.Auth = in.Text("AuthType")
		}
		if in.Has("Cors") {
			a.Cors = in.Inner("Cors")
		}
		a.Modified = s.Now().UTC()
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = noURL()
	}
	return withMode(s.toldURL(a), *in), err
}

// withMode is the answer of a change: it says the mode when the request does.
func withMode(out, in object) *object {
	if !in.Has("InvokeMode") {
		delete(out, "InvokeMode")
	}
	return &out
}

func (s *Service) deleteURL(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	_, w, err := s.urlTarget(ctx, c, *in, noSuchResource)
	if err != nil {
		return nil, err
	}
	a, there, err := s.urlOf(ctx, c.Region, w)
	if err == nil && !there {
		err = noURL()
	}
	if err != nil {
		return nil, err
	}
	return &struct{}{}, s.urls.Delete(ctx, a.ID, nil)
}

// dropURLs removes the addresses of a function that is deleted.
func (s *Service) dropURLs(ctx context.Context, region, name string) error {
	list, err := s.addresses(ctx, region, name)
	for _, a := range list {
		if err := s.urls.Delete(ctx, a.ID, nil); err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return err
}
