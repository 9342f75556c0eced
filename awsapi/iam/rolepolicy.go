package iam

import (
	"context"
	"maps"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

type rolePolicyInput struct{ RoleName, PolicyName, PolicyDocument string }

type rolePolicyName struct{ RoleName, PolicyName string }

func (s *service) putRolePolicy(ctx context.Context, _ *wire.Call, in *rolePolicyInput) (*none, error) {
	if err := checkDocument(in.PolicyDocument); err != nil {
		return nil, err
	}
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error {
		if r.Inline == nil {
			r.Inline = map[string]string{}
		}
		r.Inline[in.PolicyName] = in.PolicyDocument
		return nil
	})
	return &none{}, err
}

func noRolePolicy(name string) error {
	return notFound("The role policy with name %s cannot be found.", name)
}

func (s *service) getRolePolicy(ctx context.Context, _ *wire.Call, in *rolePolicyName) (*rolePolicyInput, error) {
	r, err := s.role(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	text, ok := r.Inline[in.PolicyName]
	if !ok {
		return nil, noRolePolicy(in.PolicyName)
	}
	return &rolePolicyInput{RoleName: in.RoleName, PolicyName: in.PolicyName, PolicyDocument: told(text)}, nil
}

type namesOutput struct {
	PolicyNames []string
	IsTruncated bool
	Marker      string
}

func (s *service) listRolePolicies(ctx context.Context, _ *wire.Call, in *roleListInput) (*namesOutput, error) {
	r, err := s.role(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	out := &namesOutput{}
	out.PolicyNames, out.IsTruncated, out.Marker, err = page(slices.Sorted(maps.Keys(r.Inline)), func(n string) string { return n }, listInput{Marker: in.Marker, MaxItems: in.MaxItems})
	return out, err
}

func (s *service) deleteRolePolicy(ctx context.Context, _ *wire.Call, in *rolePolicyName) (*none, error) {
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error {
		if _, ok := r.Inline[in.PolicyName]; !ok {
			return noRolePolicy(in.PolicyName)
		}
		delete(r.Inline, in.PolicyName)
		return nil
	})
	return &none{}, err
}

type attachInput struct{ RoleName, PolicyArn string }

// managedByAWS says whether a policy is one that AWS keeps. Its document is not
// here; it can be attached, as everything of IAM is kept and not enforced.
func managedByAWS(arn string) bool { return strings.HasPrefix(arn, "arn:aws:iam::aws:policy/") }

func checkARN(id string) error {
	if !strings.HasPrefix(id, "arn:") {
		return wire.Errorf("ValidationError", "ARN %s is not valid.", id)
	}
	return nil
}

// attachable refuses a policy that is not there.
func (s *service) attachable(ctx context.Context, c *wire.Call, id string) error {
	if err := checkARN(id); err != nil {
		return err
	}
	if managedByAWS(id) {
		return nil
	}
	_, err := s.policy(ctx, c, id)
	if wire.CodeOf(err) == "NoSuchEntity" {
		err = notFound("Policy %s does not exist or is not attachable.", id)
	}
	return err
}

func (s *service) attach(ctx context.Context, c *wire.Call, in *attachInput) (*none, error) {
	if err := s.attachable(ctx, c, in.PolicyArn); err != nil {
		return nil, err
	}
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error {
		if !slices.Contains(r.Attached, in.PolicyArn) {
			r.Attached = append(r.Attached, in.PolicyArn)
		}
		return nil
	})
	return &none{}, err
}

func (s *service) detach(ctx context.Context, _ *wire.Call, in *attachInput) (*none, error) {
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error {
		at := slices.Index(r.Attached, in.PolicyArn)
		if at < 0 {
			return notFound("Policy %s was not found.", in.PolicyArn)
		}
		r.Attached = slices.Delete(r.Attached, at, at+1)
		return nil
	})
	return &none{}, err
}

type attachedInput struct {
	RoleName, Marker, PathPrefix string
	MaxItems                     *int64
}

type attachedPolicy struct{ PolicyArn, PolicyName string }

type attachedOutput struct {
	AttachedPolicies []attachedPolicy
	IsTruncated      bool
	Marker           string
}

func (s *service) listAttached(ctx context.Context, _ *wire.Call, in *attachedInput) (*attachedOutput, error) {
	r, err := s.role(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	var list []attachedPolicy
	for _, a := range slices.Sorted(slices.Values(r.Attached)) {
		_, rest, _ := strings.Cut(a, ":policy")
		if strings.HasPrefix(rest, in.PathPrefix) {
			list = append(list, attachedPolicy{PolicyArn: a, PolicyName: rest[strings.LastIndexByte(rest, '/')+1:]})
		}
	}
	out := &attachedOutput{}
	out.AttachedPolicies, out.IsTruncated, out.Marker, err = page(list, func(p attachedPolicy) string { return p.PolicyArn }, listInput{Marker: in.Marker, MaxItems: in.MaxItems})
	return out, err
}
