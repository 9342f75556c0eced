// Package sts serves AWS's Security Token Service: who the caller is, and
// sessions. Roles are not enforced: a session may do what the owner may.
package sts

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"strings"
	"time"

	"showrunner/awsapi/signature"
	"showrunner/awsapi/wire"
)

// Sessions makes credentials that end.
type Sessions interface {
	NewSession(caller string, until time.Time) (signature.Credentials, error)
	// UserID is the identifier of the user whose key it is; empty of another key.
	UserID(key string) string
}

// Service is the operations of sts.
func Service(sessions Sessions, now func() time.Time) wire.Service {
	s := service{sessions, now}
	return wire.Service{Name: "sts", Global: true, Operations: map[string]wire.Handler{
		"GetCallerIdentity":  wire.Handle(s.identity),
		"AssumeRole":         wire.Handle(s.assume),
		"GetSessionToken":    wire.Handle(s.token),
		"GetFederationToken": wire.Handle(s.federation),
		"GetAccessKeyInfo":   wire.Handle(s.keyInfo),
	}}
}

type service struct {
	sessions Sessions
	now      func() time.Time
}

type credentials struct {
	AccessKeyId, SecretAccessKey, SessionToken string
	Expiration                                 time.Time
}

type none struct{}

type identity struct{ Account, Arn, UserId string }

func (s service) identity(_ context.Context, c *wire.Call, _ *none) (*identity, error) {
	id := c.Account
	if name, found := strings.CutPrefix(c.Caller, "arn:aws:sts::"+c.Account+":assumed-role/"); found {
		role, session, _ := strings.Cut(name, "/")
		id = RoleID(role) + ":" + session
	}
	if user := s.sessions.UserID(c.Key); user != "" {
		id = user
	}
	return &identity{Account: c.Account, Arn: c.Caller, UserId: id}, nil
}

// RoleID is the identifier of a role, by its name: the same name has the same one,
// so that sessions and package iam agree.
func RoleID(role string) string {
	sum := sha256.Sum256([]byte(role))
	return "AROA" + base32.StdEncoding.EncodeToString(sum[:])[:17]
}

func (s service) session(caller string, seconds *int64, otherwise time.Duration) (*credentials, error) {
	lasts := otherwise
	if seconds != nil {
		lasts = time.Duration(*seconds) * time.Second
	}
	c, err := s.sessions.NewSession(caller, s.now().Add(lasts))
	if err != nil {
		return nil, err
	}
	return &credentials{AccessKeyId: c.Key, SecretAccessKey: c.Secret, SessionToken: c.Token, Expiration: c.Until}, nil
}

type tag struct{ Key, Value string }

type assumeInput struct {
	RoleArn, RoleSessionName string
	DurationSeconds          *int64
	Tags                     []tag
	TransitiveTagKeys        []string
}

type assumedUser struct{ Arn, AssumedRoleId string }

type assumeOutput struct {
	AssumedRoleUser assumedUser
	Credentials     *credentials
}

func (s service) assume(_ context.Context, c *wire.Call, in *assumeInput) (*assumeOutput, error) {
	_, resource, found := strings.Cut(in.RoleArn, ":role/")
	if !found || !strings.HasPrefix(in.RoleArn, "arn:") {
		return nil, wire.Errorf("ValidationError", "%s is invalid", in.RoleArn)
	}
	keys := map[string]bool{}
	for _, t := range in.Tags {
		key := strings.ToLower(t.Key)
		if keys[key] {
			return nil, wire.Errorf("InvalidParameterValue", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		keys[key] = true
	}
	for _, k := range in.TransitiveTagKeys {
		if !keys[strings.ToLower(k)] {
			return nil, wire.Errorf("InvalidParameterValue", "The specified transitive tag key must be included in the requested tags.")
		}
	}
	role := resource[strings.LastIndexByte(resource, '/')+1:]
	caller := "arn:aws:sts::" + c.Account + ":assumed-role/" + role + "/" + in.RoleSessionName
	made, err := s.session(caller, in.DurationSeconds, time.Hour)
	if err != nil {
		return nil, err
	}
	return &assumeOutput{AssumedRoleUser: assumedUser{Arn: caller, AssumedRoleId: RoleID(role) + ":" + in.RoleSessionName}, Credentials: made}, nil
}

type tokenInput struct{ DurationSeconds *int64 }

type tokenOutput struct{ Credentials *credentials }

func (s service) token(_ context.Context, c *wire.Call, in *tokenInput) (*tokenOutput, error) {
	made, err := s.session(c.Caller, in.DurationSeconds, 12*time.Hour)
	return &tokenOutput{Credentials: made}, err
}

type federationInput struct {
	Name            string
	DurationSeconds *int64
}

type federatedUser struct{ Arn, FederatedUserId string }

type federationOutput struct {
	Credentials      *credentials
	FederatedUser    federatedUser
	PackedPolicySize int64
}

func (s service) federation(_ context.Context, c *wire.Call, in *federationInput) (*federationOutput, error) {
	arn := "arn:aws:sts::" + c.Account + ":federated-user/" + in.Name
	made, err := s.session(arn, in.DurationSeconds, 12*time.Hour)
	return &federationOutput{Credentials: made, FederatedUser: federatedUser{Arn: arn, FederatedUserId: c.Account + ":" + in.Name}}, err
}

type keyInput struct{ AccessKeyId string }

type keyOutput struct{ Account string }

// keyInfo answers with the one account for every key, as there is no other.
func (s service) keyInfo(_ context.Context, c *wire.Call, _ *keyInput) (*keyOutput, error) {
	return &keyOutput{Account: c.Account}, nil
}
