package secretsmanager

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"
	"time"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Values keeps the values of secrets, encrypted. Resolve's and Delete's error is
// not_found for what is not there.
type Values interface {
	Set(ctx context.Context, name string, value []byte) error
	Resolve(ctx context.Context, name string) (string, error)
	Delete(ctx context.Context, name string) error
}

// collection is where secrets are kept.
const collection = "aws.secretsmanager"

// Secrets is the service.
type Secrets struct {
	docs      state.Collection[document]
	values    Values
	functions Functions // nil: nothing is rotated
	now       func() time.Time
	wake      chan struct{}
}

// New makes the service.
func New(records state.Records, values Values, functions Functions, now func() time.Time) *Secrets {
	return &Secrets{docs: state.New[document](records, collection), values: values, functions: functions, now: now, wake: make(chan struct{}, 1)}
}

// Service is the operations of secretsmanager that are served.
func (s *Secrets) Service() wire.Service {
	return wire.Service{Name: "secretsmanager", Operations: map[string]wire.Handler{
		"CreateSecret":             wire.Handle(s.create),
		"PutSecretValue":           wire.Handle(s.put),
		"UpdateSecret":             wire.Handle(s.update),
		"UpdateSecretVersionStage": wire.Handle(s.moveStage),
		"GetSecretValue":           wire.Handle(s.get),
		"BatchGetSecretValue":      wire.Handle(s.batchGet),
		"DescribeSecret":           wire.Handle(s.describe),
		"ListSecrets":              wire.Handle(s.list),
		"ListSecretVersionIds":     wire.Handle(s.listVersions),
		"DeleteSecret":             wire.Handle(s.delete),
		"RestoreSecret":            wire.Handle(s.restore),
		"TagResource":              wire.Handle(s.tag),
		"UntagResource":            wire.Handle(s.untag),
		"PutResourcePolicy":        wire.Handle(s.putPolicy),
		"GetResourcePolicy":        wire.Handle(s.policy),
		"DeleteResourcePolicy":     wire.Handle(s.deletePolicy),
		"ValidateResourcePolicy":   wire.HandleObject(s.validatePolicy),
		"RotateSecret":             wire.Handle(s.rotate),
		"CancelRotateSecret":       wire.Handle(s.cancelRotation),
		"GetRandomPassword":        wire.Handle(s.password),
	}}
}

var validName = regexp.MustCompile(`^[A-Za-z0-9/_+=.@!-]+$`)

func checkName(name string) error {
	if !validName.MatchString(name) {
		return wire.Errorf("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	return nil
}

func notFound() error {
	return wire.Errorf("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

func marked() error {
	return wire.Errorf("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
}

// arnPrefix is what the ARNs of a region's secrets begin with.
func arnPrefix(c *wire.Call) string {
	return "arn:aws:secretsmanager:" + c.Region + ":" + c.Account + ":secret:"
}

// suffix is what AWS appends to a secret's name in its ARN.
func suffix() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, 6)
	_, _ = rand.Read(b) // it never fails
	for i := range b {
		b[i] = letters[int(b[i])%len(letters)]
	}
	return "-" + string(b)
}

const suffixLength = 7

// key is where the document of a SecretId (a name, an ARN, or an ARN without its
// suffix) is kept, and the ARN that it has to have, if it was given.
func (s *Secrets) key(c *wire.Call, id string) (key, arn string, err error) {
	rest, isARN := strings.CutPrefix(id, arnPrefix(c))
	if !isARN {
		if strings.HasPrefix(id, "arn:") {
			return "", "", notFound()
		}
		return c.Region + "/" + id, "", checkName(id)
	}
	if err := checkName(rest); err != nil {
		return "", "", err
	}
	if len(rest) > suffixLength && rest[len(rest)-suffixLength] == '-' {
		return c.Region + "/" + rest[:len(rest)-suffixLength], id, nil
	}
	return c.Region + "/" + rest, "", nil
}

// find is the document of a SecretId. One whose time has come is gone.
func (s *Secrets) find(ctx context.Context, c *wire.Call, id string) (string, document, error) {
	key, arn, err := s.key(c, id)
	if err != nil {
		return "", document{}, err
	}
	d, err := s.docs.Get(ctx, key)
	if problem.CodeOf(err) == problem.NotFound || err == nil && (s.over(d) || arn != "" && d.ARN != arn) {
		return "", document{}, notFound()
	}
	return key, d, err
}

func (s *Secrets) over(d document) bool { return !d.Deletes.IsZero() && !s.now().Before(d.Deletes) }

// bury removes a secret whose time has come, with its values.
func (s *Secrets) bury(ctx context.Context, key string) error {
	d, err := s.docs.Get(ctx, key)
	if problem.CodeOf(err) == problem.NotFound || err == nil && !s.over(d) {
		return nil
	}
	if err == nil {
		err = s.forget(ctx, d.values())
	}
	if err == nil {
		err = s.docs.Delete(ctx, key, nil)
	}
	return err
}

// change updates a secret that is not marked for deletion.
func (s *Secrets) change(ctx context.Context, c *wire.Call, id string, how func(*document) error) (document, error) {
	key, _, err := s.find(ctx, c, id)
	if err != nil {
		return document{}, err
	}
	return s.docs.Update(ctx, key, func(d *document) error {
		if !d.Deletes.IsZero() {
			return marked()
		}
		return how(d)
	})
}

// valueName is where a version's value is kept. The same version has the same
// name, so that a call that is sent again leaves nothing behind.
func valueName(arn, version string) string {
	sum := sha256.Sum256([]byte(arn + "\n" + version))
	return "aws/secretsmanager/" + hex.EncodeToString(sum[:20])
}

// content is a value as a request gives it; without is true when it gives none.
func content(text *string, binary []byte) (value []byte, isBinary, without bool, err error) {
	switch {
	case text != nil && binary != nil:
		return nil, false, false, wire.Errorf("InvalidParameterException", "You can't specify both a binary secret value and a string secret value in the same secret.")
	case text != nil:
		return []byte(*text), false, false, nil
	case binary != nil:
		return binary, true, false, nil
	}
	return nil, false, true, nil
}

func needToken(token string) error {
	if token == "" {
		return wire.Errorf("InvalidRequestException", "You must provide a ClientRequestToken value. We recommend a UUID-type value.")
	}
	return nil
}

// addVersion keeps a value and adds its version with stages to the document. The
// same token with the same value adds nothing; with another it is refused.
func (s *Secrets) addVersion(ctx context.Context, d *document, token string, value []byte, binary bool, stages []string) error {
	name := valueName(d.ARN, token)
	if v := d.version(token); v != nil && v.Empty {
		if err := s.values.Set(ctx, name, value); err != nil {
			return err
		}
		v.Empty, v.Binary, v.Value, d.Changed = false, binary, name, s.now().UTC()
		for _, stage := range stages {
			d.move(stage, v)
		}
		return nil
	}
	if v := d.version(token); v != nil {
		had, err := s.values.Resolve(ctx, v.Value)
		if err != nil {
			return err
		}
		if had != string(value) || v.Binary != binary {
			return wire.Errorf("ResourceExistsException", "You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", token, d.ARN)
		}
		return nil
	}
	if err := s.values.Set(ctx, name, value); err != nil {
		return err
	}
	if len(d.Versions) == 0 {
		stages = append(stages[:len(stages):len(stages)], current)
	}
	d.Versions = append(d.Versions, version{ID: token, Created: s.now().UTC(), Binary: binary, Value: name})
	for _, stage := range stages {
		d.move(stage, d.version(token))
	}
	d.Changed = s.now().UTC()
	return nil
}

// forget removes values that no version has any more. One that stays because of a
// failure is encrypted and named by nobody.
func (s *Secrets) forget(ctx context.Context, names []string) error {
	for _, n := range names {
		if err := s.values.Delete(ctx, n); err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}
