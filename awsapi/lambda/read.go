package lambda

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/cloud"
	"showrunner/problem"
)

// found is the version that a request names, with its function.
func (s *Service) found(ctx context.Context, c *wire.Call, in object) (function, *version, which, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	if err != nil {
		return function{}, nil, w, err
	}
	f, err := s.settled(ctx, c.Region, w)
	if err != nil {
		return f, nil, w, err
	}
	v := f.qualified(w.qualifier)
	if v == nil {
		return f, nil, w, s.noFunction(c.Region, w)
	}
	return f, v, w, nil
}

func (s *Service) getConfiguration(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	f, v, w, err := s.found(ctx, c, *in)
	if err != nil {
		return nil, err
	}
	env, err := s.env(ctx, v)
	if err != nil {
		return nil, err
	}
	out := s.told(c.Region, &f, v, w.qualifier, env)
	return &out, nil
}

func (s *Service) get(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	configuration, err := s.getConfiguration(ctx, c, in)
	if err != nil {
		return nil, err
	}
	f, v, _, err := s.found(ctx, c, *in)
	if err != nil {
		return nil, err
	}
	out := object{"Configuration": *configuration, "Code": object{"RepositoryType": "S3", "Location": s.codeURL(string(v.Zip))}}
	if len(f.Tags) > 0 {
		out["Tags"] = anyMap(f.Tags)
	}
	if f.Reserved != nil {
		out["Concurrency"] = object{"ReservedConcurrentExecutions": *f.Reserved}
	}
	return &out, nil
}

func anyMap(m map[string]string) map[string]any {
	out := make(map[string]any, len(m))
	for k, v := range m {
		out[k] = v
	}
	return out
}

// codePath begins the paths at which code is fetched by a link.
const codePath = "/_lambda/code/"

// linkLasts is how long a link to code may be used.
const linkLasts = 10 * time.Minute

// codeURL is a link by which the code of a version is fetched for a while.
func (s *Service) codeURL(ref string) string {
	until := strconv.FormatInt(s.Now().Add(linkLasts).Unix(), 10)
	return s.Endpoint() + codePath + ref + "?until=" + until + "&signature=" + s.linkSignature(ref, until)
}

// linkSignature signs a link with a key of this process.
func (s *Service) linkSignature(ref, until string) string {
	mac := hmac.New(sha256.New, []byte(s.process))
	mac.Write([]byte(ref + "\n" + until))
	return hex.EncodeToString(mac.Sum(nil))
}

func (s *Service) getCodeSigning(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	_, _, _, err := s.found(ctx, c, *in)
	return &object{}, err // a function without one is not even named
}

func (s *Service) getRuntimeManagement(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	f, v, w, err := s.found(ctx, c, *in)
	if err != nil {
		return nil, err
	}
	return &object{"UpdateRuntimeOn": "Auto", "FunctionArn": s.told(c.Region, &f, v, w.qualifier, nil).Text("FunctionArn")}, nil
}

func (s *Service) list(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	var list []object
	for e, err := range s.docs.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		f := e.Doc
		all, qualified := []*version{&f.Latest}, in.Text("FunctionVersion") == "ALL"
		if qualified {
			for n := range f.Versions {
				all = append(all, &f.Versions[n])
			}
		}
		for _, v := range all {
			qualifier := ""
			if qualified {
				qualifier = v.Number
			}
			one, err := s.listed(ctx, c.Region, &f, v, qualifier)
			if err != nil {
				return nil, err
			}
			list = append(list, one)
		}
	}
	return page(*in, "Functions", list, "FunctionArn")
}

// listed is a version as lists have it: with its number in its ARN in lists of versions.
func (s *Service) listed(ctx context.Context, region string, f *function, v *version, qualifier string) (object, error) {
	env, err := s.env(ctx, v)
	if err != nil {
		return nil, err
	}
	out := s.told(region, f, v, qualifier, env)
	for _, member := range []string{"State", "StateReason", "StateReasonCode", "LastUpdateStatus", "LastUpdateStatusReason", "LastUpdateStatusReasonCode", "RuntimeVersionConfig"} {
		delete(out, member)
	}
	return out, nil
}

func (s *Service) delete(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	w, err := s.which(c, in.Text("FunctionName"), in.Text("Qualifier"))
	if err != nil {
		return nil, err
	}
	if w.qualifier != "" {
		return &struct{}{}, s.deleteVersion(ctx, c, w)
	}
	f, err := s.load(ctx, c.Region, w)
	if err != nil {
		return nil, err
	}
	// Addresses and mappings first: what is left of a crash in between is a function that
	// can be deleted again.
	if err := s.dropURLs(ctx, c.Region, w.name); err != nil {
		return nil, err
	}
	err = s.docs.Delete(ctx, functionKey(c.Region, w.name), nil)
	if problem.CodeOf(err) == problem.NotFound {
		err = s.noFunction(c.Region, w)
	}
	if err != nil {
		return nil, err
	}
	for env := range f.envs() {
		s.dropEnv(ctx, env)
	}
	s.endFunction(ctx, c.Region, w.name)
	return &struct{}{}, nil
}

// endFunction ends the idle environments of a function; a region that is away ends them by itself.
func (s *Service) endFunction(ctx context.Context, region, name string) {
	if err := s.Functions.End(ctx, region, s.arn(region, name, "")); err != nil && problem.CodeOf(err) != problem.Unavailable {
		s.Log.Warn("environments of a function could not be ended", "function", name, "error", err)
	}
}

// tagged is the function that an ARN of the tag operations names.
func (s *Service) tagged(c *wire.Call, arn string) (which, error) {
	w, err := s.which(c, arn, "")
	if err == nil && w.qualifier != "" {
		err = invalid("Tags on function aliases and versions are not supported. Please specify a function ARN.")
	}
	return w, err
}

func (s *Service) tag(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	w, err := s.tagged(c, in.Text("Resource"))
	if err != nil {
		return nil, err
	}
	tags := texts(in.Inner("Tags"))
	if len(tags) == 0 {
		return nil, invalid("An error occurred and the request cannot be processed.")
	}
	_, err = s.change(ctx, c.Region, w, func(f *function) error {
		if f.Tags == nil {
			f.Tags = map[string]string{}
		}
		maps.Copy(f.Tags, tags)
		if len(f.Tags) > 50 {
			return invalid("Number of tags exceeds resource tag limit.")
		}
		f.Latest.Revision = newRevision()
		return nil
	})
	return &struct{}{}, err
}

func (s *Service) untag(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	w, err := s.tagged(c, in.Text("Resource"))
	if err != nil {
		return nil, err
	}
	names := in.Texts("TagKeys")
	_, err = s.change(ctx, c.Region, w, func(f *function) error {
		maps.DeleteFunc(f.Tags, func(k, _ string) bool { return slices.Contains(names, k) })
		f.Latest.Revision = newRevision()
		return nil
	})
	return &struct{}{}, err
}

func (s *Service) listTags(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.tagged(c, in.Text("Resource"))
	if err != nil {
		return nil, err
	}
	f, err := s.load(ctx, c.Region, w)
	return &object{"Tags": anyMap(f.Tags)}, err
}

// The limits of concurrent executions: of a region, and what has to stay for functions
// without some of their own.
const (
	mostAtOnce      = cloud.MostFunctionsAtOnce
	leastUnreserved = 10
)

func (s *Service) accountSettings(ctx context.Context, c *wire.Call, _ *object) (*object, error) {
	var size int64
	count, unreserved := 0, mostAtOnce
	for e, err := range s.docs.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		count++
		size += e.Doc.Latest.Size
		for _, v := range e.Doc.Versions {
			size += v.Size
		}
		if r := e.Doc.Reserved; r != nil {
			unreserved -= *r
		}
	}
	for e, err := range s.layers.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if !e.Doc.Deleted {
			size += e.Doc.Size
		}
	}
	return &object{
		"AccountLimit": object{"TotalCodeSize": int64(80530636800), "CodeSizeUnzipped": int64(mostUnzipped), "CodeSizeZipped": int64(mostZipped), "ConcurrentExecutions": mostAtOnce, "UnreservedConcurrentExecutions": unreserved},
		"AccountUsage": object{"TotalCodeSize": size, "FunctionCount": int64(count)},
	}, nil
}

func (s *Service) putConcurrency(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	if w.qualifier != "" {
		return nil, invalid("This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.")
	}
	if _, err := s.load(ctx, c.Region, which{w.name, latest}); err != nil {
		return nil, err
	}
	wanted := in.Number("ReservedConcurrentExecutions", 0)
	others := 0
	for e, err := range s.docs.All(ctx, c.Region+"/") {
		if err != nil {
			return nil, err
		}
		if r := e.Doc.Reserved; r != nil && e.Doc.Name != w.name {
			others += *r
		}
	}
	if wanted+others > mostAtOnce-leastUnreserved {
		return nil, invalid("Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [%d].", leastUnreserved)
	}
	_, err = s.change(ctx, c.Region, w, func(f *function) error { f.Reserved = &wanted; return nil })
	return &object{"ReservedConcurrentExecutions": wanted}, err
}

func (s *Service) getConcurrency(ctx context.Context, c *wire.Call, in *object) (*object, error) {
	f, _, _, err := s.found(ctx, c, in.Only("FunctionName"))
	out := object{}
	if f.Reserved != nil {
		out["ReservedConcurrentExecutions"] = *f.Reserved
	}
	return &out, err
}

func (s *Service) deleteConcurrency(ctx context.Context, c *wire.Call, in *object) (*struct{}, error) {
	w, err := s.which(c, in.Text("FunctionName"), "")
	if err != nil {
		return nil, err
	}
	_, err = s.change(ctx, c.Region, w, func(f *function) error { f.Reserved = nil; return nil })
	return &struct{}{}, err
}

// serveCode answers links to code.
func (s *Service) serveCode(w http.ResponseWriter, r *http.Request) {
	ref, q := strings.TrimPrefix(r.URL.Path, codePath), r.URL.Query()
	until, err := strconv.ParseInt(q.Get("until"), 10, 64)
	if err != nil || s.Now().Unix() > until || !hmac.Equal([]byte(q.Get("signature")), []byte(s.linkSignature(ref, q.Get("until")))) {
		http.Error(w, "this link to code is not valid any more: call GetFunction again", http.StatusForbidden)
		return
	}
	raw, err := s.readZip(r.Context(), ref)
	if err != nil {
		http.Error(w, "the code cannot be read", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	_, _ = w.Write(raw) // a client that has gone does not read it
}
