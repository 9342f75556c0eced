package iam

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// policy is what is kept of a managed policy.
type policy struct {
	Name        string    `json:"name"`
	Path        string    `json:"path"`
	ID          string    `json:"id"`
	Description string    `json:"description,omitempty"`
	Tags        []tag     `json:"tags,omitempty"`
	Created     time.Time `json:"created"`
	Changed     time.Time `json:"changed"`
	Default     int       `json:"default"`
	Made        int       `json:"made"` // how many versions were ever made
	Versions    []version `json:"versions"`
}

type version struct {
	Number   int       `json:"number"`
	Document string    `json:"document"`
	Created  time.Time `json:"created"`
}

// mostVersions is how many versions a policy has at most, as on AWS.
const mostVersions = 5

func versionID(n int) string { return "v" + strconv.Itoa(n) }

type toldPolicy struct {
	Arn, DefaultVersionId, Description, Path, PolicyId, PolicyName string
	AttachmentCount, PermissionsBoundaryUsageCount                 int
	IsAttachable                                                   bool
	CreateDate, UpdateDate                                         time.Time
	Tags                                                           []toldTag
}

func (p policy) told(c *wire.Call, attached int) toldPolicy {
	return toldPolicy{
		Arn: p.arn(c), DefaultVersionId: versionID(p.Default), Description: p.Description, Path: p.Path, PolicyId: p.ID, PolicyName: p.Name,
		AttachmentCount: attached, IsAttachable: true, CreateDate: p.Created, UpdateDate: p.Changed, Tags: tellTags(p.Tags),
	}
}

func noPolicy(arn string) error { return notFound("Policy %s was not found.", arn) }

// policyKey is the name of the policy that an ARN of this account means: names are
// unique whatever their path.
func policyKey(c *wire.Call, id string) (string, bool) {
	rest, ok := strings.CutPrefix(id, "arn:aws:iam::"+c.Account+":policy/")
	return rest[strings.LastIndexByte(rest, '/')+1:], ok
}

func (s *service) policy(ctx context.Context, c *wire.Call, id string) (policy, error) {
	if p, ok := managedPolicy(id); ok {
		return p, nil
	}
	key, ok := policyKey(c, id)
	if !ok {
		return policy{}, noPolicy(id)
	}
	p, err := s.policies.Get(ctx, key)
	if problem.CodeOf(err) == problem.NotFound || err == nil && arn(c, "policy", p.Path, p.Name) != id {
		err = noPolicy(id)
	}
	return p, err
}

// notOurs refuses a change of a policy of AWS's own.
func notOurs(id string) error {
	return wire.Errorf("AccessDenied", "The policy %s is AWS's own and cannot be changed.", id)
}

// changePolicy updates a policy.
func (s *service) changePolicy(ctx context.Context, c *wire.Call, id string, how func(*policy) error) (policy, error) {
	if managedByAWS(id) {
		return policy{}, notOurs(id)
	}
	if _, err := s.policy(ctx, c, id); err != nil {
		return policy{}, err
	}
	key, _ := policyKey(c, id)
	p, err := s.policies.Update(ctx, key, how)
	if problem.CodeOf(err) == problem.NotFound {
		err = noPolicy(id)
	}
	return p, err
}

// attachments counts the roles, users and groups that each policy is attached to, by its ARN.
func (s *service) attachments(ctx context.Context) (map[string]int, error) {
	out := map[string]int{}
	for e, err := range s.roles.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		for _, a := range e.Doc.Attached {
			out[a]++
		}
	}
	for e, err := range s.members.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		for _, a := range e.Doc.Attached {
			out[a]++
		}
	}
	return out, nil
}

type createPolicyInput struct {
	PolicyName, Path, PolicyDocument, Description string
	Tags                                          []tag
}

type policyOutput struct{ Policy toldPolicy }

func (s *service) createPolicy(ctx context.Context, c *wire.Call, in *createPolicyInput) (*policyOutput, error) {
	at, err := path(in.Path)
	if err == nil {
		err = checkDocument(in.PolicyDocument)
	}
	if err == nil {
		err = sameTag(in.Tags, identical, "")
	}
	if err != nil {
		return nil, err
	}
	now := s.now().UTC().Truncate(time.Second)
	p := policy{Name: in.PolicyName, Path: at, ID: newID("ANPA"), Description: in.Description, Tags: in.Tags, Created: now, Changed: now, Default: 1, Made: 1,
		Versions: []version{{Number: 1, Document: in.PolicyDocument, Created: now}}}
	err = created(s.policies.Create(ctx, p.Name, p), "A policy called %s already exists. Duplicate names are not allowed.", p.Name)
	out := p.told(c, 0)
	out.Description = "" // only reading it tells
	return &policyOutput{out}, err
}

type policyInput struct{ PolicyArn string }

func (s *service) getPolicy(ctx context.Context, c *wire.Call, in *policyInput) (*policyOutput, error) {
	p, err := s.policy(ctx, c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	counts, err := s.attachments(ctx)
	out := p.told(c, counts[in.PolicyArn])
	out.Tags = append([]toldTag{}, out.Tags...) // told even when there are none
	return &policyOutput{out}, err
}

type policiesInput struct {
	Marker, PathPrefix, PolicyUsageFilter, Scope string
	MaxItems                                     *int64
	OnlyAttached                                 bool
}

type policiesOutput struct {
	Policies    []toldPolicy
	IsTruncated bool
	Marker      string
}

func (s *service) listPolicies(ctx context.Context, c *wire.Call, in *policiesInput) (*policiesOutput, error) {
	counts, err := s.attachments(ctx)
	if err != nil {
		return nil, err
	}
	var all []toldPolicy
	if in.Scope != "Local" {
		for path := range managed {
			id := "arn:aws:iam::aws:policy" + path
			p, _ := managedPolicy(id)
			if t := p.told(c, counts[id]); strings.HasPrefix(t.Path, in.PathPrefix) && (!in.OnlyAttached || t.AttachmentCount > 0) {
				all = append(all, t)
			}
		}
	}
	for e, err := range s.policies.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		p := e.Doc.told(c, counts[arn(c, "policy", e.Doc.Path, e.Doc.Name)])
		if in.Scope != "AWS" && strings.HasPrefix(p.Path, in.PathPrefix) && (!in.OnlyAttached || p.AttachmentCount > 0) {
			p.Description, p.Tags = "", nil
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b toldPolicy) int { return cmp.Compare(a.PolicyName, b.PolicyName) })
	out := &policiesOutput{}
	out.Policies, out.IsTruncated, out.Marker, err = page(all, func(p toldPolicy) string { return p.PolicyName }, listInput{Marker: in.Marker, MaxItems: in.MaxItems})
	return out, err
}

func (s *service) deletePolicy(ctx context.Context, c *wire.Call, in *policyInput) (*none, error) {
	if managedByAWS(in.PolicyArn) {
		return nil, notOurs(in.PolicyArn)
	}
	if _, err := s.policy(ctx, c, in.PolicyArn); err != nil {
		return nil, err
	}
	counts, err := s.attachments(ctx)
	if err != nil {
		return nil, err
	}
	if counts[in.PolicyArn] > 0 {
		return nil, inUse("Cannot delete a policy attached to entities.")
	}
	key, _ := policyKey(c, in.PolicyArn)
	err = s.policies.Delete(ctx, key, func(p policy) error {
		if len(p.Versions) > 1 {
			return inUse("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
		}
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = noPolicy(in.PolicyArn)
	}
	return &none{}, err
}

type toldVersion struct {
	CreateDate       time.Time
	Document         string
	IsDefaultVersion bool
	VersionId        string
}

func (p policy) toldVersion(v version, document bool) toldVersion {
	out := toldVersion{CreateDate: v.Created, IsDefaultVersion: v.Number == p.Default, VersionId: versionID(v.Number)}
	if document {
		out.Document = told(v.Document)
	}
	return out
}

type createVersionInput struct {
	PolicyArn, PolicyDocument string
	SetAsDefault              bool
}

type versionOutput struct{ PolicyVersion toldVersion }

func (s *service) createVersion(ctx context.Context, c *wire.Call, in *createVersionInput) (*versionOutput, error) {
	if err := checkDocument(in.PolicyDocument); err != nil {
		return nil, err
	}
	p, err := s.changePolicy(ctx, c, in.PolicyArn, func(p *policy) error {
		if len(p.Versions) >= mostVersions {
			return wire.Errorf("LimitExceeded", "A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", mostVersions)
		}
		p.Made++
		p.Changed = s.now().UTC().Truncate(time.Second)
		p.Versions = append(p.Versions, version{Number: p.Made, Document: in.PolicyDocument, Created: p.Changed})
		if in.SetAsDefault {
			p.Default = p.Made
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &versionOutput{p.toldVersion(p.Versions[len(p.Versions)-1], false)}, nil
}

type versionInput struct{ PolicyArn, VersionId string }

func noVersion(in *versionInput) error {
	return notFound("Policy %s version %s does not exist or is not attachable.", in.PolicyArn, in.VersionId)
}

// versionGone is the error of a version whose policy is not there.
func versionGone(err error, in *versionInput) error {
	if wire.CodeOf(err) == "NoSuchEntity" {
		return noVersion(in)
	}
	return err
}

func (s *service) getVersion(ctx context.Context, c *wire.Call, in *versionInput) (*versionOutput, error) {
	p, err := s.policy(ctx, c, in.PolicyArn)
	if err != nil {
		return nil, versionGone(err, in)
	}
	at := slices.IndexFunc(p.Versions, func(v version) bool { return versionID(v.Number) == in.VersionId })
	if at < 0 {
		return nil, noVersion(in)
	}
	return &versionOutput{p.toldVersion(p.Versions[at], true)}, nil
}

type versionsInput struct {
	PolicyArn, Marker string
	MaxItems          *int64
}

type versionsOutput struct {
	Versions    []toldVersion
	IsTruncated bool
}

func (s *service) listVersions(ctx context.Context, c *wire.Call, in *versionsInput) (*versionsOutput, error) {
	p, err := s.policy(ctx, c, in.PolicyArn)
	out := &versionsOutput{Versions: []toldVersion{}}
	for _, v := range slices.Backward(p.Versions) {
		out.Versions = append(out.Versions, p.toldVersion(v, false))
	}
	return out, err
}

func (s *service) deleteVersion(ctx context.Context, c *wire.Call, in *versionInput) (*none, error) {
	_, err := s.changePolicy(ctx, c, in.PolicyArn, func(p *policy) error {
		at := slices.IndexFunc(p.Versions, func(v version) bool { return versionID(v.Number) == in.VersionId })
		switch {
		case at < 0:
			return noVersion(in)
		case p.Versions[at].Number == p.Default:
			return inUse("Cannot delete the default version of a policy.")
		}
		p.Versions = slices.Delete(p.Versions, at, at+1)
		return nil
	})
	return &none{}, err
}
