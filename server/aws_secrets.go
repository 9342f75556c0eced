package server

import (
	"context"
	"encoding/json"
	"strings"

	"showrunner/awsapi/delivery"
	"showrunner/awsapi/secretsmanager"
	"showrunner/awsapi/ssm"
	"showrunner/cloud/localcloud"
	"showrunner/cloud/localcloud/objectstore"
	"showrunner/importer"
	"showrunner/problem"
	"showrunner/secret"
)

// allSecrets are the secrets of this control plane, and after them what clients of
// AWS keep in Secrets Manager and in Parameter Store.
type allSecrets struct {
	*secret.Store
	c *controlPlane
}

// lookup finds a value by a name of one of AWS's stores.
type lookup func(ctx context.Context, region string, matches func(string) bool) (string, bool, error)

// Resolve implements secret.Resolver. A name is that of a secret, that of a
// parameter with or without its first slash, either as a pipeline file writes it,
// or SECRET.KEY for a key of a secret that is a JSON object.
func (s allSecrets) Resolve(ctx context.Context, name string) (string, error) {
	value, missing := s.Store.Resolve(ctx, name)
	if missing == nil || problem.CodeOf(missing) != problem.NotFound {
		return value, missing
	}
	if name == delivery.KeySecret || name == delivery.SecretSecret {
		key, err := objectstore.LoadCredentials(localcloud.CredentialsFile(s.c.Data))
		return map[string]string{delivery.KeySecret: key.AccessKey, delivery.SecretSecret: key.SecretKey}[name], err
	}
	values := secretValues{s.Store}
	secrets := func(ctx context.Context, region string, matches func(string) bool) (string, bool, error) {
		return secretsmanager.Lookup(ctx, s.c.store, values, region, matches)
	}
	parameters := func(ctx context.Context, region string, matches func(string) bool) (string, bool, error) {
		return ssm.Lookup(ctx, s.c.store, values, region, matches)
	}
	exact := func(n string) bool { return strings.TrimPrefix(n, "/") == name }
	written := func(n string) bool { return importer.PlainSecretName(n) == name }
	for _, matches := range []func(string) bool{exact, written} {
		for _, find := range []lookup{secrets, parameters} {
			if value, ok, err := s.inRegions(ctx, find, matches); ok || err != nil {
				return value, err
			}
		}
	}
	for i := strings.LastIndexByte(name, '.'); i > 0; i = strings.LastIndexByte(name[:i], '.') {
		id, key := name[:i], name[i+1:]
		value, ok, err := s.inRegions(ctx, secrets, func(n string) bool { return n == id || importer.PlainSecretName(n) == id })
		if err != nil {
			return "", err
		}
		var object map[string]any
		if ok && json.Unmarshal([]byte(value), &object) == nil {
			if text, is := object[key].(string); is {
				return text, nil
			}
		}
	}
	return "", missing
}

// inRegions asks the regions in their order.
func (s allSecrets) inRegions(ctx context.Context, find lookup, matches func(string) bool) (string, bool, error) {
	for _, region := range s.c.Regions {
		if value, ok, err := find(ctx, region, matches); ok || err != nil {
			return value, ok, err
		}
	}
	return "", false, nil
}
