package importer

import (
	"regexp"
	"slices"
	"strings"
)

// dynamicReference is CloudFormation's {{resolve:service:key}}.
var dynamicReference = regexp.MustCompile(`\{\{resolve:(secretsmanager|ssm-secure|ssm):([^}]*)\}\}`)

// dynamic replaces dynamic references by references to secrets.
func (in *input) dynamic(s, path string) string {
	if !strings.Contains(s, "{{resolve:") {
		return s
	}
	return dynamicReference.ReplaceAllStringFunc(s, func(m string) string {
		parts := dynamicReference.FindStringSubmatch(m)
		if parts[1] == "secretsmanager" {
			return in.secretsManager(parts[2], path)
		}
		name := parts[2]
		if i := strings.LastIndexByte(name, ':'); i > 0 { // :version
			name = name[:i]
		}
		return in.secret(name, "SSM parameter "+name, path)
	})
}

// secretsManager makes a reference for a key of Secrets Manager:
// id[:SecretString[:json-key[:version-stage[:version-id]]]]; an id may be an ARN.
func (in *input) secretsManager(key, path string) string {
	id, rest := key, ""
	if arn := strings.SplitN(key, ":", 8); len(arn) >= 7 && arn[0] == "arn" {
		id = secretSuffix.ReplaceAllString(arn[6], "")
		if len(arn) == 8 {
			rest = arn[7]
		}
	} else {
		id, rest, _ = strings.Cut(key, ":")
	}
	rest = strings.TrimPrefix(strings.TrimPrefix(rest, "SecretString"), ":")
	parts := append(strings.SplitN(rest, ":", 3), "", "", "")
	name, source := id, "Secrets Manager secret "+id
	if parts[0] != "" {
		name, source = name+"."+parts[0], source+", key "+parts[0]
	}
	if stage := parts[1]; stage != "" && stage != "AWSCURRENT" {
		name, source = name+"."+stage, source+", stage "+stage
	}
	if parts[2] != "" {
		name, source = name+"."+parts[2], source+", version "+parts[2]
	}
	return in.secret(name, source, path)
}

// secretSuffix is what Secrets Manager appends to a name in an ARN.
var secretSuffix = regexp.MustCompile(`-[A-Za-z0-9]{6}$`)

// secret returns a reference to a secret, under a stable name made from the
// original's, and lists the secret.
func (in *input) secret(id, source, path string) string {
	return markReference(secretExpression(in.secretName(id, source, path)))
}

func secretExpression(name string) string { return "secrets." + name }

// secretIn is the secret's name in an expression of secretExpression.
func secretIn(expression string) (string, bool) { return strings.CutPrefix(expression, "secrets.") }

// notSecretName matches characters that the name of a secret cannot hold.
var notSecretName = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

// PlainSecretName is the name in a pipeline file of what the other system calls id.
func PlainSecretName(id string) string {
	base := strings.Trim(notSecretName.ReplaceAllString(id, "-"), "-._")
	if len(base) > 100 {
		base = base[:90] + "-" + nameHash(id)
	}
	if base == "" {
		base = "secret"
	}
	return base
}

// secretName is secret for where a bare name is wanted. The name is the one
// that the other system uses, as far as it can be one here.
func (in *input) secretName(id, source, path string) string {
	base := PlainSecretName(id)
	name := base
	for _, s := range in.secrets {
		if s.Source == source {
			if !slices.Contains(s.Paths, path) {
				s.Paths = append(s.Paths, path)
			}
			return s.Name
		}
		if s.Name == name { // another secret has this name already
			name = base + "-" + nameHash(source)
		}
	}
	in.secrets = append(in.secrets, &Secret{Name: name, Source: source, Paths: []string{path}})
	return name
}
