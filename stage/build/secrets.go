package build

import (
	"context"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"

	"showrunner/build/buildspec"
	"showrunner/problem"
	"showrunner/stage"
)

// expandEnv resolves references to secrets. Values that have any are secrets
// themselves, and are kept apart.
func expandEnv(ctx context.Context, in *stage.Input, env map[string]string) (plain, secrets map[string]string, err error) {
	plain, secrets = map[string]string{}, map[string]string{}
	var missing []error
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		full, err := in.Secrets.Expand(ctx, value)
		if err != nil {
			missing = append(missing, err)
			continue
		}
		if full == value {
			plain[name] = value
		} else {
			secrets[name] = full
		}
	}
	return plain, secrets, problem.Together(missing...)
}

// resolve finds the value of a variable that the buildspec takes from
// secrets-manager or parameter-store: a secret of that name, of the last part of
// an ARN, or of the name with what a secret's name cannot hold replaced by "-" or "_".
func resolve(ctx context.Context, in *stage.Input, r buildspec.Reference) (string, error) {
	if r.Version != "" || r.Stage != "" && r.Stage != "AWSCURRENT" {
		return "", problem.New(problem.Invalid, "build.secrets", "%s asks for another version of %s than the present one, and no other is kept", r.Name, r.SecretID)
	}
	value, err := "", error(nil)
	for _, name := range secretNames(r.SecretID) {
		if value, err = in.Secrets.Expand(ctx, `${{ secrets.`+name+` }}`); err == nil {
			break
		}
	}
	if err != nil {
		return "", problem.Wrap(err, problem.NotFound, "secret.resolve", "the variable %s needs the secret %s", r.Name, r.SecretID).
			WithHelp("Store it with `showrunner secret set %s`.", secretNames(r.SecretID)[0])
	}
	if r.JSONKey == "" {
		return value, nil
	}
	var object map[string]any
	if err := json.Unmarshal([]byte(value), &object); err != nil {
		return "", problem.New(problem.Invalid, "build.secrets", "the secret %s is no JSON object, so it has no key %s", r.SecretID, r.JSONKey)
	}
	switch v := object[r.JSONKey].(type) {
	case nil:
		return "", problem.New(problem.NotFound, "secret.resolve", "the secret %s has no key %s", r.SecretID, r.JSONKey)
	case string:
		return v, nil
	default:
		text, err := json.Marshal(v)
		return string(text), err
	}
}

// secretNames are the names under which a secret of Secrets Manager or a parameter
// may be kept here.
func secretNames(id string) []string {
	ids := []string{strings.TrimPrefix(id, "/")}
	if parts := strings.Split(id, ":"); parts[0] == "arn" {
		ids[0] = parts[len(parts)-1] // db-AbCdEf: six characters that AWS adds
		if i := len(ids[0]) - 7; i > 0 && ids[0][i] == '-' {
			ids = []string{ids[0][:i], ids[0]}
		}
	}
	var names []string
	for _, id := range ids {
		for _, name := range []string{notSecretName.ReplaceAllString(id, "-"), notSecretName.ReplaceAllString(id, "_"), underscored.Replace(id)} {
			if name = strings.Trim(name, "-._"); name != "" && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// underscored is a name as older files have it.
var underscored = strings.NewReplacer("/", "_", ".", "_", "-", "_")

// notSecretName is what a secret's name here cannot hold.
var notSecretName = regexp.MustCompile(`[^A-Za-z0-9_.-]+`)

func merge(a, b map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}
