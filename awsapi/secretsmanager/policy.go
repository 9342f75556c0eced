package secretsmanager

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"math/big"
	"strings"

	"showrunner/awsapi/wire"
)

type policyInput struct{ SecretId, ResourcePolicy string }

func (s *Secrets) putPolicy(ctx context.Context, c *wire.Call, in *policyInput) (*nameOutput, error) {
	if !json.Valid([]byte(in.ResourcePolicy)) {
		return nil, wire.Errorf("MalformedPolicyDocumentException", "This resource policy contains invalid Json.")
	}
	d, err := s.change(ctx, c, in.SecretId, func(d *document) error { d.Policy = in.ResourcePolicy; return nil })
	return &nameOutput{d.ARN, d.Name}, err
}

// validatePolicy says what is wrong with a policy, without a secret too.
func (s *Secrets) validatePolicy(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	if id := in.Text("SecretId"); id != "" {
		if _, _, err := s.find(ctx, c, id); err != nil {
			return nil, err
		}
	}
	var policy struct{ Statement any }
	if json.Unmarshal([]byte(in.Text("ResourcePolicy")), &policy) != nil {
		return nil, wire.Errorf("MalformedPolicyDocumentException", "This resource policy contains invalid Json.")
	}
	if policy.Statement == nil {
		return nil, wire.Errorf("MalformedPolicyDocumentException", "This resource policy contains a syntax error.")
	}
	return wire.Object{"PolicyValidationPassed": true, "ValidationErrors": []any{}}, nil
}

type policyOutput struct{ ARN, Name, ResourcePolicy string }

func (s *Secrets) policy(ctx context.Context, c *wire.Call, in *idInput) (*policyOutput, error) {
	_, d, err := s.find(ctx, c, in.SecretId)
	return &policyOutput{d.ARN, d.Name, d.Policy}, err
}

func (s *Secrets) deletePolicy(ctx context.Context, c *wire.Call, in *idInput) (*nameOutput, error) {
	d, err := s.change(ctx, c, in.SecretId, func(d *document) error { d.Policy = ""; return nil })
	return &nameOutput{d.ARN, d.Name}, err
}

type passwordInput struct {
	PasswordLength                                                         *int64
	ExcludeCharacters                                                      string
	ExcludeNumbers, ExcludePunctuation, ExcludeUppercase, ExcludeLowercase bool
	IncludeSpace                                                           bool
	RequireEachIncludedType                                                *bool
}

type passwordOutput struct{ RandomPassword string }

func (s *Secrets) password(_ context.Context, _ *wire.Call, in *passwordInput) (*passwordOutput, error) {
	var kinds []string
	add := func(excluded bool, letters string) {
		left := strings.Map(func(r rune) rune {
			if strings.ContainsRune(in.ExcludeCharacters, r) {
				return -1
			}
			return r
		}, letters)
		if !excluded && left != "" {
			kinds = append(kinds, left)
		}
	}
	add(in.ExcludeLowercase, "abcdefghijklmnopqrstuvwxyz")
	add(in.ExcludeUppercase, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	add(in.ExcludeNumbers, "0123456789")
	add(in.ExcludePunctuation, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
	add(!in.IncludeSpace, " ")
	length := wire.Page(in.PasswordLength, 32)
	each := in.RequireEachIncludedType == nil || *in.RequireEachIncludedType
	if len(kinds) == 0 || each && length < len(kinds) {
		return nil, wire.Errorf("InvalidParameterException", "The password cannot be made of what is left after the exclusions.")
	}
	letters := make([]byte, 0, length)
	if each {
		for _, k := range kinds {
			letters = append(letters, k[below(len(k))])
		}
	}
	all := strings.Join(kinds, "")
	for len(letters) < length {
		letters = append(letters, all[below(len(all))])
	}
	for i := len(letters) - 1; i > 0; i-- {
		j := below(i + 1)
		letters[i], letters[j] = letters[j], letters[i]
	}
	return &passwordOutput{string(letters)}, nil
}

// below is a random number from 0 to n-1, each as likely.
func below(n int) int {
	i, err := rand.Int(rand.Reader, big.NewInt(int64(n)))
	if err != nil {
		panic(err) // the system has no randomness
	}
	return int(i.Int64())
}
