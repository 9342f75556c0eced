package build

import (
	"context"
	"encoding/json"
	"maps"
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
// an ARN, or of the name with what a secret's name cannot hold replaced by "_".
func resolve(ctx context.Context, in *stage.Input, r buildspec.Reference) (string, error) {
	if r.Version != "" || r.Stage != "" && r.Stage != "AWSCURRENT" {
		return "", problem.New(problem.Invalid, "build.secrets", "%s asks for another version of %s than the present one, and no other is kept", r.Name, r.SecretID)
	}
	value, err := "", error(nil)
	for _, name := range secretNames(r.SecretID) {
		if value, err = in.Secrets.Expand(ctx, `${{ secrets["`+name+`"] }}`); err == nil {
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

func secretNames(id string) []string {
	if parts := strings.Split(id, ":"); parts[0] == "arn" {
		id = parts[len(parts)-1] // db-AbCdEf: six characters that AWS adds
		if i := len(id) - 7; i > 0 && id[i] == '-' {
			return []string{id[:i], id}
		}
	}
	names := []string{strings.TrimPrefix(id, "/")}
	plain := strings.Map(func(r rune) rune {
		if r == '/' || r == '.' || r == '-' {
			return '_'
		}
		return r
	}, names[0])
	if plain != names[0] {
		names = append(names, plain)
	}
	return names
}

func merge(a, b map[string]string) map[string]string {
	all := map[string]string{}
	for _, m := range []map[string]string{a, b} {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}
