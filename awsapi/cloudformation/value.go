package cloudformation

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// newUUID is a random identifier in the form of AWS's.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // it never fails
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// A parameter with NoEcho is hidden: its value is in the secret store alone, and
// a reference to it stands wherever the template uses it. It is resolved, like a
// dynamic reference of the template's own, when a resource is made.
const hiddenService = "noecho"

func hiddenReference(name string) string { return "{{resolve:" + hiddenService + ":" + name + "}}" }

var hiddenPattern = regexp.MustCompile(`\{\{resolve:` + hiddenService + `:[^}]*\}\}`)

// hidden is a value as JSON, with stars for hidden parameters; empty for nothing.
func hidden(v map[string]any) string {
	if len(v) == 0 {
		return ""
	}
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	return hiddenPattern.ReplaceAllString(string(b), "****")
}

// reveal resolves the references to hidden parameters in a text.
func (s *Stacks) reveal(ctx context.Context, text string) (string, error) {
	v, err := template.References(text, func(service, reference string) (string, error) {
		if service != hiddenService {
			return "{{resolve:" + service + ":" + reference + "}}", nil
		}
		return s.Values.Resolve(ctx, reference)
	})
	out, _ := v.(string)
	return out, err
}

// resolveOne resolves one dynamic reference: it is done at the last moment, and
// nothing that comes out of it is kept.
func (s *Stacks) resolveOne(ctx context.Context, c wire.Call, service, reference string) (string, error) {
	switch service {
	case hiddenService:
		return s.Values.Resolve(ctx, reference)
	case "ssm", "ssm-secure":
		return s.parameterValue(ctx, c, reference, service == "ssm-secure")
	case "secretsmanager":
		return s.secretValue(ctx, c, reference)
	}
	return "", invalid("Dynamic references of %s are not served here: {{resolve:%s:%s}}", service, service, reference)
}

// resolve resolves all dynamic references in properties, and remembers what came out
// of it, so that the reason of a failure does not tell it.
func (r *run) resolve(ctx context.Context, c wire.Call, properties map[string]any) (map[string]any, error) {
	v, err := template.References(properties, func(service, reference string) (string, error) {
		text, err := r.Stacks.resolveOne(ctx, c, service, reference)
		if err == nil && service != "ssm" && !slices.Contains(r.secrets, text) && text != "" {
			r.secrets = append(r.secrets, text)
		}
		return text, err
	})
	out, _ := v.(map[string]any)
	if out == nil {
		out = map[string]any{}
	}
	return out, err
}

// masked is a text without what was resolved.
func (r *run) masked(text string) string {
	for _, secret := range r.secrets {
		text = strings.ReplaceAll(text, secret, "****")
	}
	return text
}

// parameterValue is the value of a parameter of Systems Manager.
func (s *Stacks) parameterValue(ctx context.Context, c wire.Call, reference string, secure bool) (string, error) {
	out, err := s.Services.Call(ctx, c, "ssm", "GetParameter", map[string]any{"Name": reference, "WithDecryption": secure})
	if err != nil {
		return "", invalid("Could not resolve {{resolve:ssm:%s}}: there is no such parameter (%s)", reference, wire.CodeOf(err))
	}
	p, _ := out["Parameter"].(map[string]any)
	if kind, _ := p["Type"].(string); (kind == "SecureString") != secure {
		return "", invalid("The parameter %s is a %s: use the other one of ssm and ssm-secure", reference, kind)
	}
	text, _ := p["Value"].(string)
	return text, nil
}

func (s *Stacks) secretValue(ctx context.Context, c wire.Call, reference string) (string, error) {
	r, err := template.ParseSecretReference(reference)
	if err != nil {
		return "", invalid("%v", err)
	}
	in := map[string]any{"SecretId": r.ID}
	if r.Stage != "" {
		in["VersionStage"] = r.Stage
	}
	if r.Version != "" {
		in["VersionId"] = r.Version
	}
	out, err := s.Services.Call(ctx, c, "secretsmanager", "GetSecretValue", in)
	if err != nil {
		return "", invalid("Could not resolve {{resolve:secretsmanager:%s}}: the secret %s: %v", reference, r.ID, err)
	}
	text, ok := out["SecretString"].(string)
	if !ok {
		return "", invalid("The secret %s has no SecretString", r.ID)
	}
	if r.Key == "" {
		return text, nil
	}
	var values map[string]any
	if json.Unmarshal([]byte(text), &values) != nil || values[r.Key] == nil {
		return "", invalid("Could not find a value associated with JSONKey %s in the secret %s", r.Key, r.ID)
	}
	return fmt.Sprint(values[r.Key]), nil
}

// hide keeps the value of a hidden parameter and returns its name; the same value
// as before keeps its name, so that nothing looks changed.
func (s *Stacks) hide(ctx context.Context, value string, before *parameter) (string, error) {
	if before != nil && before.NoEcho {
		had, err := s.Values.Resolve(ctx, before.Value)
		if err == nil && had == value {
			return before.Value, nil
		}
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return "", err
		}
	}
	name := "aws/cloudformation/" + strings.ReplaceAll(newUUID(), "-", "")
	return name, s.Values.Set(ctx, name, []byte(value))
}

// forget removes the hidden values of a version that another one does not use.
func (s *Stacks) forget(ctx context.Context, gone version, kept ...version) error {
	used := map[string]bool{}
	for _, v := range kept {
		for _, p := range v.Parameters {
			if p.NoEcho {
				used[p.Value] = true
			}
		}
	}
	for _, p := range gone.Parameters {
		if !p.NoEcho || used[p.Value] {
			continue
		}
		if err := s.Values.Delete(ctx, p.Value); err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}
