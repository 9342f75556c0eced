package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// policy carries out an operation on a bucket's policy. The region's object storage gets
// the statements about everybody, which are all that it enforces; those about roles,
// users and services, which are enforced nowhere here, are kept beside it.
func (f *Front) policy(w http.ResponseWriter, r *http.Request, scope signature.Scope, b target) error {
	switch r.Method {
	case http.MethodGet:
		s, err := f.settings(r.Context(), b.bucket)
		if err != nil {
			return err
		}
		if s.Policy != "" {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, s.Policy) // a client that has left does not read it
			return nil
		}
	case http.MethodDelete:
		if err := f.keepPolicy(r.Context(), b.bucket, ""); err != nil {
			return err
		}
	case http.MethodPut:
		return f.putPolicy(w, r, scope, b)
	}
	return f.carry(w, r, scope, b)
}

// carry has the region's object storage answer.
func (f *Front) carry(w http.ResponseWriter, r *http.Request, scope signature.Scope, b target) error {
	out, err := f.signed(r, scope, b.region)
	if err != nil {
		return err
	}
	f.proxy.ServeHTTP(w, out)
	return nil
}

func (f *Front) putPolicy(w http.ResponseWriter, r *http.Request, scope signature.Scope, b target) error {
	if err := f.mayOpen(r, &scope, b, false); err != nil {
		return err
	}
	document, err := readAtMost(r.Body, mostConfiguration)
	if err != nil {
		return err
	}
	open, named, err := split(document)
	if err != nil {
		return err
	}
	kept := string(document)
	switch {
	case !named: // the object storage has all of it
		open, kept = document, ""
	case open == nil: // it has nothing of it
		res, err := f.ask(r.Context(), http.MethodDelete, b.region, "/"+b.bucket+"?policy")
		if err != nil {
			return err
		}
		res.Body.Close()
		if err := f.keepPolicy(r.Context(), b.bucket, kept); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	default:
		open = substituted(r, &scope, open)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(open)), int64(len(open))
	seen := &statusWriter{ResponseWriter: w, taken: func() error { return f.keepPolicy(r.Context(), b.bucket, kept) }}
	if err := f.carry(seen, r, scope, b); err != nil {
		return err
	}
	return seen.failed
}

// statusWriter calls taken before an answer that says that all went well. When that
// fails, the answer is not written.
type statusWriter struct {
	http.ResponseWriter
	taken  func() error
	failed error
}

func (w *statusWriter) WriteHeader(status int) {
	if status < http.StatusMultipleChoices {
		if w.failed = w.taken(); w.failed != nil {
			return
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(b []byte) (int, error) {
	if w.failed != nil {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// keepPolicy keeps a whole policy beside the object storage's part of it; "" for none.
func (f *Front) keepPolicy(ctx context.Context, bucket, document string) error {
	if document == "" {
		_, err := f.kept().Update(ctx, bucket, func(s *settings) error { s.Policy = ""; return nil })
		if problem.CodeOf(err) == problem.NotFound {
			return nil
		}
		return err
	}
	_, err := f.kept().Put(ctx, bucket, func(s *settings) error { s.Policy = document; return nil })
	return err
}

var (
	principalARN   = regexp.MustCompile(`^arn:aws[a-z-]*:(iam|sts)::[0-9]{12}:(root|(role|user|group|assumed-role|federated-user)/.+)$`)
	principalPlain = regexp.MustCompile(`^([0-9]{12}|A[A-Z]{3}[A-Z0-9]{12,})$`)
	serviceName    = regexp.MustCompile(`^[a-z0-9.-]+\.(amazonaws|amazon)\.com(\.cn)?$`)
)

func malformedPolicy(message string) error { return wire.Errorf("MalformedPolicy", "%s", message) }

// split is the part of a policy that is about everybody, nil where nothing is, and
// whether there are statements about others.
func split(document []byte) (open []byte, named bool, err error) {
	var policy map[string]json.RawMessage
	var list []json.RawMessage
	if json.Unmarshal(document, &policy) != nil || json.Unmarshal(policy["Statement"], &list) != nil {
		return document, false, nil // the object storage says what is wrong with it
	}
	var left []json.RawMessage
	for _, text := range list {
		var s struct {
			Effect                  string
			Principal               any
			Action, NotAction       any
			Resource, NotResource   any
			NotPrincipal, Condition any
			Sid                     string
		}
		if json.Unmarshal(text, &s) != nil {
			return document, false, nil
		}
		if isEverybody(s.Principal) || s.Principal == nil && s.NotPrincipal == nil {
			left = append(left, text)
			continue
		}
		named = true
		switch {
		case s.Effect != "Allow" && s.Effect != "Deny":
			return nil, true, malformedPolicy("Invalid effect: " + s.Effect)
		case s.Action == nil && s.NotAction == nil:
			return nil, true, malformedPolicy("Missing required field Action")
		case s.Resource == nil && s.NotResource == nil:
			return nil, true, malformedPolicy("Missing required field Resource")
		case s.Principal != nil && !arePrincipals(s.Principal) || s.NotPrincipal != nil && !arePrincipals(s.NotPrincipal):
			return nil, true, malformedPolicy("Invalid principal in policy")
		}
	}
	if !named || len(left) == 0 {
		return nil, named, nil
	}
	if policy["Statement"], err = json.Marshal(left); err == nil {
		open, err = json.Marshal(policy)
	}
	return open, true, err
}

// arePrincipals says whether a principal is written as one of AWS's.
func arePrincipals(principal any) bool {
	kinds, ok := principal.(map[string]any)
	if !ok || len(kinds) == 0 {
		return false
	}
	for kind, value := range kinds {
		names, ok := value.([]any)
		if !ok {
			names = []any{value}
		}
		if len(names) == 0 || slices.ContainsFunc(names, func(n any) bool { text, ok := n.(string); return !ok || !isPrincipal(kind, text) }) {
			return false
		}
	}
	return true
}

func isPrincipal(kind, name string) bool {
	switch kind {
	case "AWS":
		return name == "*" || principalARN.MatchString(name) || principalPlain.MatchString(name) || strings.HasPrefix(name, "arn:aws:iam::cloudfront:user/")
	case "Service":
		return serviceName.MatchString(name)
	case "CanonicalUser", "Federated":
		return name != ""
	}
	return false
}
