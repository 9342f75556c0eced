package iam

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/state"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// Values keeps the secrets of access keys, encrypted. Errors of Resolve and Delete:
// not_found.
type Values interface {
	Set(ctx context.Context, name string, value []byte) error
	Resolve(ctx context.Context, name string) (string, error)
	Delete(ctx context.Context, name string) error
}

// accessKey is a key of a user; its secret is in the secret store.
type accessKey struct {
	ID      string    `json:"id"`
	User    string    `json:"user"` // the identifier of the user, whom a new name keeps
	Status  string    `json:"status"`
	Created time.Time `json:"created"`
}

const (
	keyActive   = "Active"
	keyInactive = "Inactive"
	// mostKeys is how many keys a user may have.
	mostKeys = 2
)

func accessKeys(records state.Records) state.Collection[accessKey] {
	return state.New[accessKey](records, "aws.iam.keys")
}

// secretOf is the name of a key's secret in the secret store.
func secretOf(id string) string { return "aws/iam/" + id }

// KeyOwner is a user with the secret of a key.
type KeyOwner struct{ ID, ARN, Secret string }

// FindKey is the secret of a key that is active, and the user whose it is.
func FindKey(ctx context.Context, records state.Records, values Values, account, id string) (owner KeyOwner, found bool, err error) {
	k, err := accessKeys(records).Get(ctx, id)
	if problem.CodeOf(err) == problem.NotFound || err == nil && k.Status != keyActive {
		return owner, false, nil
	}
	if err != nil {
		return owner, false, err
	}
	for e, err := range state.New[member](records, "aws.iam.members").All(ctx, users.word+"/") {
		if err != nil {
			return owner, false, err
		}
		if e.Doc.ID != k.User {
			continue
		}
		secret, err := values.Resolve(ctx, secretOf(id))
		if problem.CodeOf(err) == problem.NotFound { // it is being deleted
			return owner, false, nil
		}
		return KeyOwner{ID: k.User, ARN: "arn:aws:iam::" + account + ":user" + e.Doc.Path + e.Doc.Name, Secret: secret}, err == nil, err
	}
	return owner, false, nil
}

// keysOf are the keys of a user, the oldest first.
func (s *service) keysOf(ctx context.Context, user member) ([]accessKey, error) {
	var out []accessKey
	for e, err := range s.keys.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if e.Doc.User == user.ID {
			out = append(out, e.Doc)
		}
	}
	slices.SortFunc(out, func(a, b accessKey) int { return a.Created.Compare(b.Created) })
	return out, nil
}

// whose is the user that a request means: the one that it names, or else its caller.
func (s *service) whose(ctx context.Context, c *wire.Call, in wire.Object) (member, error) {
	name := in.Text("UserName")
	if name == "" {
		at := strings.Index(c.Caller, ":user/")
		if at < 0 {
			return member{}, wire.Errorf("ValidationError", "Must specify userName when calling with non-User credentials")
		}
		name = c.Caller[strings.LastIndexByte(c.Caller, '/')+1:]
	}
	return s.user(ctx, name)
}

func (s *service) createKey(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	user, err := s.whose(ctx, c, in)
	if err != nil {
		return nil, err
	}
	have, err := s.keysOf(ctx, user)
	if err != nil {
		return nil, err
	}
	if len(have) >= mostKeys {
		return nil, wire.Errorf("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: %d", mostKeys)
	}
	k := accessKey{ID: "AKIA" + rand.Text()[:16], User: user.ID, Status: keyActive, Created: s.now().UTC().Truncate(time.Second)}
	secret := rand.Text() + rand.Text()[:14]
	if err := s.values.Set(ctx, secretOf(k.ID), []byte(secret)); err != nil { // first: a key without its secret would be of no use
		return nil, err
	}
	if err := s.keys.Create(ctx, k.ID, k); err != nil {
		return nil, err
	}
	return wire.Object{"AccessKey": wire.Object{"UserName": user.Name, "AccessKeyId": k.ID, "Status": k.Status, "SecretAccessKey": secret, "CreateDate": k.Created}}, nil
}

// listKeys lists the keys of a user. Without a name it lists those of the caller: the
// owner's key, with which the call was signed or its session made.
func (s *service) listKeys(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	keys := []any{}
	if !in.Has("UserName") && !strings.Contains(c.Caller, ":user/") {
		if strings.HasPrefix(c.Key, "AKIA") { // a session's key is not kept
			keys = append(keys, wire.Object{"AccessKeyId": c.Key, "Status": keyActive, "CreateDate": time.Unix(0, 0).UTC()})
		}
		return wire.Object{"AccessKeyMetadata": keys, "IsTruncated": false}, nil
	}
	user, err := s.whose(ctx, c, in)
	if err != nil {
		return nil, err
	}
	have, err := s.keysOf(ctx, user)
	for _, k := range have {
		keys = append(keys, wire.Object{"UserName": user.Name, "AccessKeyId": k.ID, "Status": k.Status, "CreateDate": k.Created})
	}
	return wire.Object{"AccessKeyMetadata": keys, "IsTruncated": false}, err
}

// keyNamed is the key of a user that a request names.
func (s *service) keyNamed(ctx context.Context, c *wire.Call, in wire.Object) (accessKey, error) {
	user, err := s.whose(ctx, c, in)
	if err != nil {
		return accessKey{}, err
	}
	id := in.Text("AccessKeyId")
	k, err := s.keys.Get(ctx, id)
	if problem.CodeOf(err) == problem.NotFound || err == nil && k.User != user.ID {
		return k, wire.Errorf("NoSuchEntity", "The Access Key with id %s cannot be found.", id)
	}
	return k, err
}

func (s *service) updateKey(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	k, err := s.keyNamed(ctx, c, in)
	if err != nil {
		return nil, err
	}
	status := in.Text("Status")
	if status != keyActive && status != keyInactive {
		return nil, wire.Errorf("ValidationError", "Status must be %s or %s", keyActive, keyInactive)
	}
	_, err = s.keys.Update(ctx, k.ID, func(k *accessKey) error { k.Status = status; return nil })
	return wire.Object{}, err
}

func (s *service) deleteKey(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	k, err := s.keyNamed(ctx, c, in)
	if err != nil {
		return nil, err
	}
	if err := s.values.Delete(ctx, secretOf(k.ID)); err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	err = s.keys.Delete(ctx, k.ID, nil)
	if problem.CodeOf(err) == problem.NotFound {
		err = nil
	}
	return wire.Object{}, err
}
