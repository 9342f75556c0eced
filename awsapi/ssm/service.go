package ssm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Values keeps the values of secure strings, encrypted. Resolve's and Delete's
// error is not_found for what is not there.
type Values interface {
	Set(ctx context.Context, name string, value []byte) error
	Resolve(ctx context.Context, name string) (string, error)
	Delete(ctx context.Context, name string) error
}

const secure = "SecureString"

// document is what is kept of one parameter.
type document struct {
	Name     string    `json:"name"`
	Tags     []tag     `json:"tags,omitempty"`
	Versions []version `json:"versions"` // the last is the current one
}

type version struct {
	Number      int64     `json:"number"`
	Type        string    `json:"type"`
	Value       string    `json:"value"` // its name in the secret store for a secure string
	DataType    string    `json:"dataType"`
	Description string    `json:"description,omitempty"`
	Pattern     string    `json:"pattern,omitempty"`
	KMSKey      string    `json:"kmsKey,omitempty"`
	Tier        string    `json:"tier"`
	Labels      []string  `json:"labels,omitempty"`
	Modified    time.Time `json:"modified"`
	By          string    `json:"by"`
}

// mostVersions is how many versions a parameter has at most; the oldest goes, as on AWS.
const mostVersions = 100

func (d document) current() version { return d.Versions[len(d.Versions)-1] }

// collection is where parameters are kept.
const collection = "aws.ssm"

type service struct {
	docs   state.Collection[document]
	values Values
	now    func() time.Time
	public []Published
}

// Service is the operations of ssm that are served.
func Service(records state.Records, values Values, now func() time.Time, public ...Published) wire.Service {
	s := &service{docs: state.New[document](records, collection), values: values, now: now, public: public}
	return wire.Service{Name: "ssm", Operations: map[string]wire.Handler{
		"PutParameter":            wire.Handle(s.put),
		"GetParameter":            wire.Handle(s.get),
		"GetParameters":           wire.Handle(s.getMany),
		"GetParametersByPath":     wire.Handle(s.getPath),
		"GetParameterHistory":     wire.Handle(s.history),
		"DescribeParameters":      wire.Handle(s.describe),
		"DeleteParameter":         wire.Handle(s.delete),
		"DeleteParameters":        wire.Handle(s.deleteMany),
		"LabelParameterVersion":   wire.Handle(s.label),
		"UnlabelParameterVersion": wire.Handle(s.unlabel),
		"AddTagsToResource":       wire.Handle(s.tag),
		"RemoveTagsFromResource":  wire.Handle(s.untag),
		"ListTagsForResource":     wire.Handle(s.tags),
		// Nothing here is managed by an agent, and no documents are kept.
		"DescribeInstanceInformation": wire.Always(wire.Object{"InstanceInformationList": []any{}}),
		"ListCommands":                wire.Always(wire.Object{"Commands": []any{}}),
		"ListDocuments":               wire.Always(wire.Object{"DocumentIdentifiers": []any{}}),
	}}
}

var validName = regexp.MustCompile(`^[A-Za-z0-9_.\-/]+$`)

func checkName(name string) error {
	levels := strings.Count(name, "/")
	switch lower := strings.ToLower(strings.TrimPrefix(name, "/")); {
	case !validName.MatchString(name):
		return wire.Errorf("ValidationException", "Parameter name must only contain letters, numbers, and the following symbols: .-_/")
	case strings.HasPrefix(lower, "aws") || strings.HasPrefix(lower, "ssm"):
		return wire.Errorf("ValidationException", "Parameter name: can't be prefixed with \"aws\" or \"ssm\" (case-insensitive).")
	case levels > 0 && !strings.HasPrefix(name, "/"):
		return wire.Errorf("ValidationException", "Parameter name must be a fully qualified name.")
	case levels > 15:
		return wire.Errorf("HierarchyLevelLimitExceededException", "Hierarchy level exceeds the limit of 15.")
	case strings.Contains(name, "//") || strings.HasSuffix(name, "/"):
		return wire.Errorf("ValidationException", "Parameter name has an empty level.")
	}
	return nil
}

func notFound(name string) error {
	return &wire.Error{Code: "ParameterNotFound", Message: "Parameter " + name + " not found."}
}

// arn is a parameter's; a name that is a path brings its own slash.
func arn(c *wire.Call, name string) string {
	if strings.HasPrefix(name, publishedPrefix) {
		return "arn:aws:ssm:" + c.Region + "::parameter" + name
	}
	return "arn:aws:ssm:" + c.Region + ":" + c.Account + ":parameter/" + strings.TrimPrefix(name, "/")
}

// selected takes a name apart: NAME, NAME:VERSION or NAME:LABEL, or the ARN of one.
func (s *service) selected(ctx context.Context, c *wire.Call, id string) (d document, v version, selector string, err error) {
	name := id
	if rest, isARN := strings.CutPrefix(id, arn(c, "")); isARN {
		name = rest
		if strings.Contains(rest, "/") {
			name = "/" + rest
		}
	}
	name, selector, _ = strings.Cut(name, ":")
	if d, ok := s.published(name); ok {
		return d, d.current(), "", nil
	}
	d, err = s.docs.Get(ctx, key(c, name))
	if problem.CodeOf(err) == problem.NotFound && !strings.HasPrefix(name, "/") && name != id {
		d, err = s.docs.Get(ctx, key(c, "/"+name)) // an ARN does not tell /a from a
	}
	if problem.CodeOf(err) == problem.NotFound {
		return d, v, "", notFound(id)
	}
	if err != nil {
		return d, v, "", err
	}
	if selector == "" {
		return d, d.current(), "", nil
	}
	for _, v := range d.Versions {
		if strconv.FormatInt(v.Number, 10) == selector || slices.Contains(v.Labels, selector) {
			return d, v, ":" + selector, nil
		}
	}
	return d, v, "", wire.Errorf("ParameterVersionNotFound", "Systems Manager could not find version %s of %s. Verify the version and try again.", selector, name)
}

// key is where a parameter is kept: names with and without a first slash are two.
func key(c *wire.Call, name string) string { return c.Region + "/" + name }

// valueName is where the value of a secure string's version is kept.
func valueName(c *wire.Call, name string, number int64, created time.Time) string {
	sum := sha256.Sum256([]byte(key(c, name) + "\n" + strconv.FormatInt(number, 10) + "\n" + created.UTC().Format(time.RFC3339Nano)))
	return "aws/ssm/" + hex.EncodeToString(sum[:20])
}

// text is a version's value as it is told: encrypted ones need decrypt.
func (s *service) text(ctx context.Context, v version, decrypt bool) (string, error) {
	if v.Type != secure || !decrypt {
		return v.Value, nil
	}
	return s.values.Resolve(ctx, v.Value)
}

// forget removes the values of versions that are gone.
func (s *service) forget(ctx context.Context, versions []version) error {
	for _, v := range versions {
		if v.Type != secure {
			continue
		}
		if err := s.values.Delete(ctx, v.Value); err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}
