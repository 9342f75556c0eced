package cloudformation

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"showrunner/awsapi/cloudformation/resource"
	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/wire"
)

// givenParameter is a parameter as a client gives it.
type givenParameter struct {
	ParameterKey     string
	ParameterValue   *string
	UsePreviousValue bool
}

// wanted is what a client wants a stack to be.
type wanted struct {
	body, url        string
	previousTemplate bool
	parameters       []givenParameter
	capabilities     []string
	tags             []tag
	notifications    []string
	role             string
	rollback         *rollbackRules
	types            []string // that the template may have; nil: any
}

// allowed refuses a template of other types than the client allows, and triggers that
// cannot be.
func (w *wanted) allowed(t *template.Template) error {
	for _, r := range t.Resources {
		if w.types != nil && !slices.ContainsFunc(w.types, func(pattern string) bool {
			before, all := strings.CutSuffix(pattern, "::*")
			return pattern == "*" || pattern == r.Type || all && strings.HasPrefix(r.Type, before+"::")
		}) {
			return invalid("Resource type %s is not allowed by parameter ResourceTypes [%s]", r.Type, strings.Join(w.types, ", "))
		}
	}
	if w.rollback == nil {
		return nil
	}
	for _, trigger := range w.rollback.RollbackTriggers {
		if trigger.Type != "AWS::CloudWatch::Alarm" && trigger.Type != "AWS::CloudWatch::CompositeAlarm" {
			return invalid("Rollback Trigger Type not supported")
		}
		if parts := strings.SplitN(trigger.Arn, ":", 7); len(parts) != 7 || parts[5] != "alarm" {
			return invalid("RelativeId of a Rollback Trigger's ARN is incorrect")
		}
	}
	return nil
}

// prepared is a version that was checked, with what it is evaluated with.
type prepared struct {
	version
	template *template.Template
	env      *template.Env
}

// Limits of AWS, in bytes.
const (
	mostBody  = 51200
	mostS3    = 1 << 20
	mostNamed = 500 // resources
)

// templateText is a template's text, of a request or of S3.
func (s *Stacks) templateText(ctx context.Context, c *wire.Call, body, link string) (string, error) {
	switch {
	case body != "" && link != "":
		return "", invalid("You must specify either Template Body or Template URL, not both")
	case body != "":
		if len(body) > mostBody {
			return "", invalid("1 validation error detected: Value at 'templateBody' failed to satisfy constraint: Member must have length less than or equal to %d", mostBody)
		}
		return body, nil
	case link == "":
		return "", invalid("Either Template URL or Template Body must be specified.")
	}
	path, err := objectPath(link)
	if err != nil {
		return "", err
	}
	text, err := s.Services.Object(ctx, *c, http.MethodGet, path, nil, nil)
	if err != nil {
		return "", invalid("S3 error: %s: %v", link, err)
	}
	if len(text) > mostS3 {
		return "", invalid("The template %s is longer than %d bytes", link, mostS3)
	}
	return string(text), nil
}

// objectPath is the object that a URL of a template means. It is read in this
// process whatever host the URL names, so that no other machine is ever asked.
func objectPath(link string) (string, error) {
	u, err := url.Parse(link)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "s3" {
		return "", errNoURL()
	}
	if u.Scheme == "s3" {
		return "", invalid("S3 error: Domain name specified in %s is not a valid S3 domain", u.Host)
	}
	host := u.Hostname()
	bucket, rest, isBucket := strings.Cut(host, ".s3")
	switch {
	case host == "127.0.0.1" || host == "localhost" || host == "::1" || strings.HasPrefix(host, "s3.") || strings.HasPrefix(host, "s3-"):
		return u.EscapedPath(), nil
	case isBucket && strings.HasSuffix(rest, ".amazonaws.com"):
		return "/" + bucket + u.EscapedPath(), nil
	case strings.HasSuffix(host, ".localhost"):
		return "/" + strings.TrimSuffix(host, ".localhost") + u.EscapedPath(), nil
	}
	return "", errNoURL()
}

func errNoURL() error { return invalid("TemplateURL must be a supported URL.") }

// refusal gives an error of the template's language its code.
func refusal(err error) error {
	var e *template.Error
	if errors.As(err, &e) {
		return invalid("%s", e.Message)
	}
	return err
}

// prepare checks everything that can be checked before anything is made, for the
// stack as it is.
func (s *Stacks) prepare(ctx context.Context, c *wire.Call, w wanted, d *stack) (*prepared, error) {
	p, err := s.checked(ctx, c, w, d)
	if err != nil && p != nil {
		// The values of hidden parameters are nobody's now.
		return nil, errors.Join(err, s.forget(ctx, p.version, d.Current))
	}
	return p, err
}

// checked is prepare; with an error it answers with what was kept already.
func (s *Stacks) checked(ctx context.Context, c *wire.Call, w wanted, d *stack) (*prepared, error) {
	text := d.Current.Template
	if !w.previousTemplate {
		var err error
		if text, err = s.templateText(ctx, c, w.body, w.url); err != nil {
			return nil, err
		}
	}
	t, err := template.Parse(text)
	if err != nil {
		return nil, refusal(err)
	}
	if err := s.served(t); err != nil {
		return nil, err
	}
	if err := w.allowed(t); err != nil {
		return nil, err
	}
	p := &prepared{template: t, version: version{Template: text, Description: t.Description, Tags: w.tags, Capabilities: w.capabilities, NotificationARNs: w.notifications, RoleARN: w.role, Rollback: w.rollback}}
	if p.Parameters, err = s.given(ctx, c, t, w.parameters, d.Current.Parameters); err != nil {
		return p, err
	}
	if p.env, err = s.environment(ctx, c, d, t, p.version); err != nil {
		return p, refusal(err)
	}
	if err := p.env.CheckRules(); err != nil {
		return p, refusal(err)
	}
	if err := t.CheckWanted(p.env.Conditions); err != nil {
		return p, refusal(err)
	}
	if err := s.properties(p); err != nil {
		return p, err
	}
	return p, s.capable(t, w.capabilities)
}

// served refuses transforms and types that are not served, all at once.
func (s *Stacks) served(t *template.Template) error {
	if len(t.Transforms) > 0 {
		return invalid("Transforms are not served here: [%s]", strings.Join(t.Transforms, ", "))
	}
	if len(t.Resources) > mostNamed {
		return invalid("Template format error: Number of resources, %d, is greater than maximum allowed, %d", len(t.Resources), mostNamed)
	}
	var unknown []string
	for _, r := range t.Resources {
		if s.types().Of(r.Type) == nil && !slices.Contains(unknown, r.Type) {
			unknown = append(unknown, r.Type)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return invalid("Template format error: Unrecognized resource types: [%s]", strings.Join(unknown, ", "))
	}
	attributes := t.Attributes()
	for _, r := range t.Resources {
		kind := s.types().Of(r.Type)
		for _, a := range attributes[r.Name] {
			name, _, _ := strings.Cut(a, ".")
			if !slices.Contains(kind.Attributes, a) && !slices.Contains(kind.Attributes, name) && !slices.Contains(kind.Attributes, "*") {
				return invalid("Template error: resource %s does not support attribute type %s in Fn::GetAtt", r.Name, a)
			}
		}
	}
	return nil
}

// properties refuses properties that a type does not have, that it needs and that
// cannot be honoured, all at once.
func (s *Stacks) properties(p *prepared) error {
	var found []string
	for _, r := range p.template.Resources {
		if !r.Wanted(p.env.Conditions) {
			continue
		}
		kind := s.types().Of(r.Type)
		v, err := p.env.Eval(r.Properties)
		if err != nil {
			return refusal(err)
		}
		values, _ := v.(map[string]any)
		for name := range values {
			if !slices.Contains(kind.Properties, name) && !slices.Contains(kind.Properties, "*") {
				found = append(found, "/Resources/"+r.Name+"/Properties/"+name+" is not supported for "+r.Type)
			}
		}
		for _, name := range kind.Required {
			if _, there := values[name]; !there {
				found = append(found, "/Resources/"+r.Name+"/Properties/"+name+" is required for "+r.Type)
			}
		}
		if kind.Check != nil {
			if err := kind.Check(values); err != nil {
				found = append(found, "/Resources/"+r.Name+": "+message(err))
			}
		}
		for _, policy := range []any{r.DeletionPolicy, r.UpdateReplacePolicy} {
			if err := checkPolicy(p.env, r.Name, policy); err != nil {
				return refusal(err)
			}
		}
	}
	if len(found) > 0 {
		slices.Sort(found)
		return invalid("Encountered unsupported properties: [%s]", strings.Join(found, ", "))
	}
	return nil
}

// message is an error's text without its code.
func message(err error) string {
	var e *wire.Error
	if errors.As(err, &e) && e.Message != "" {
		return e.Message
	}
	return err.Error()
}

func checkPolicy(env *template.Env, resource string, policy any) error {
	if policy == nil {
		return nil
	}
	v, err := env.Eval(policy)
	text, _ := template.Text(v)
	switch {
	case err != nil:
		return err
	case text == "Snapshot":
		return invalid("Template error: resource type of %s does not support deletion policy Snapshot", resource)
	case text != "Delete" && text != "Retain" && text != "RetainExceptOnCreate":
		return invalid("Template format error: Unrecognized DeletionPolicy %s for resource %s", text, resource)
	}
	return nil
}

// capable checks that the client knows that the template makes identities.
func (s *Stacks) capable(t *template.Template, capabilities []string) error {
	need, _ := s.capabilities(t)
	if need == "" || slices.Contains(capabilities, "CAPABILITY_NAMED_IAM") || need == "CAPABILITY_IAM" && slices.Contains(capabilities, need) {
		return nil
	}
	return wire.Errorf("InsufficientCapabilitiesException", "Requires capabilities : [%s]", need)
}

// capabilities is what a template needs, and the types that are why.
func (s *Stacks) capabilities(t *template.Template) (need string, types []string) {
	for _, r := range t.Resources {
		kind := s.types().Of(r.Type)
		if kind == nil || !kind.IAM {
			continue
		}
		if !slices.Contains(types, r.Type) {
			types = append(types, r.Type)
		}
		if need == "" {
			need = "CAPABILITY_IAM"
		}
		for _, name := range []string{"RoleName", "ManagedPolicyName", "InstanceProfileName"} {
			if r.Properties[name] != nil {
				need = "CAPABILITY_NAMED_IAM"
			}
		}
	}
	return need, types
}

// environment is what a version of a stack is evaluated with. Resources are as the
// stack has them; a caller may know better.
func (s *Stacks) environment(ctx context.Context, c *wire.Call, d *stack, t *template.Template, v version) (*template.Env, error) {
	env := &template.Env{
		Region: d.Region, Account: c.Account, StackName: d.Name, StackID: d.arn(c.Account), NotificationARNs: v.NotificationARNs, Template: t, Parameters: map[string]any{},
		Zones: func(region string) ([]string, error) { return s.Zones(ctx, region) }, Import: func(name string) (string, error) { return s.imported(ctx, d.Region, name) },
		Ref:       func(string) (any, error) { return template.Unknown, nil },
		Attribute: func(string, string) (any, error) { return template.Unknown, nil },
	}
	// Conditions and rules see the values of hidden parameters, resources do not.
	for _, p := range v.Parameters {
		text := p.Value
		if p.NoEcho {
			var err error
			if text, err = s.Values.Resolve(ctx, p.Value); err != nil {
				return nil, err
			}
		}
		declared := t.Parameter(p.Key)
		if p.FromSSM {
			env.Parameters[p.Key] = declared.Resolved(p.Resolved)
			continue
		}
		value, err := declared.Value(text)
		if err != nil {
			return nil, err
		}
		env.Parameters[p.Key] = value
	}
	if err := env.EvalConditions(); err != nil {
		return nil, err
	}
	for _, p := range v.Parameters {
		if p.NoEcho {
			env.Parameters[p.Key] = hiddenReference(p.Value)
		}
	}
	return env, nil
}

// request is what a handler is told of a resource of a stack.
func (s *Stacks) request(d *stack, account, caller, token, logical string, properties, old map[string]any, tags []tag) *resource.Request {
	r := &resource.Request{
		Services: s.Services, Call: wire.Call{Account: account, Region: d.Region, Caller: caller}, StackID: d.arn(account), StackName: d.Name, Logical: logical,
		Token: token, Properties: properties, Old: old,
		Tags: []resource.Tag{{Key: "aws:cloudformation:stack-name", Value: d.Name}, {Key: "aws:cloudformation:logical-id", Value: logical}, {Key: "aws:cloudformation:stack-id", Value: d.arn(account)}},
	}
	for _, t := range tags {
		r.Tags = append(r.Tags, resource.Tag{Key: t.Key, Value: t.Value})
	}
	return r
}
