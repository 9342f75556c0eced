package template

import (
	"regexp"
	"strings"
)

var reference = regexp.MustCompile(`\{\{resolve:([a-z-]+):([^}]*)\}\}`)

// References replaces the dynamic references in every text of a value by what
// resolve answers for them. Without any the value stays as it is.
func References(v any, resolve func(service, reference string) (string, error)) (any, error) {
	switch x := v.(type) {
	case string:
		if !strings.Contains(x, "{{resolve:") {
			return x, nil
		}
		var failed error
		out := reference.ReplaceAllStringFunc(x, func(found string) string {
			m := reference.FindStringSubmatch(found)
			text, err := resolve(m[1], m[2])
			if err != nil && failed == nil {
				failed = err
			}
			return text
		})
		return out, failed
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			w, err := References(e, resolve)
			if err != nil {
				return nil, err
			}
			out[i] = w
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			w, err := References(e, resolve)
			if err != nil {
				return nil, err
			}
			out[k] = w
		}
		return out, nil
	}
	return v, nil
}

// SSMReference takes the reference of ssm and ssm-secure apart: a name, and a
// version or 0 for the newest.
func SSMReference(text string) (name, version string) {
	name, version, _ = strings.Cut(text, ":")
	return name, version
}

// SecretReference is a reference of secretsmanager.
type SecretReference struct{ ID, Key, Stage, Version string }

// ParseSecretReference takes a reference apart: ID:SecretString:KEY:STAGE:VERSION,
// where the identifier may be an ARN.
func ParseSecretReference(text string) (SecretReference, error) {
	id, rest, _ := strings.Cut(text, ":SecretString")
	if strings.Contains(id, ":") && !strings.HasPrefix(id, "arn:") {
		return SecretReference{}, wrong("Invalid dynamic reference {{resolve:secretsmanager:%s}}: SecretString is what can be read of a secret", text)
	}
	r := SecretReference{ID: id}
	parts := strings.Split(strings.TrimPrefix(rest, ":"), ":")
	for i, into := range []*string{&r.Key, &r.Stage, &r.Version} {
		if i < len(parts) {
			*into = parts[i]
		}
	}
	if r.ID == "" || len(parts) > 3 {
		return r, wrong("Invalid dynamic reference {{resolve:secretsmanager:%s}}", text)
	}
	return r, nil
}
