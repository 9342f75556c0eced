package iam

import (
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/sts"
	"showrunner/awsapi/wire"
)

// accountSummary counts what is kept.
func (s *service) accountSummary(ctx context.Context, _ *wire.Call, _ wire.Object) (wire.Object, error) {
	counts := wire.Object{"UsersQuota": 5000, "GroupsQuota": 300, "ServerCertificates": 0, "ServerCertificatesQuota": 20, "MFADevices": 0, "MFADevicesInUse": 0, "AccountMFAEnabled": 0, "AccountAccessKeysPresent": 1,
		"AccountSigningCertificatesPresent": 0, "AccountPasswordPresent": 0, "Providers": 0, "AccessKeysPerUserQuota": 2, "RolesQuota": 1000, "PoliciesQuota": 1500, "InstanceProfilesQuota": 1000, "VersionsPerPolicyQuota": mostVersions,
		"AssumeRolePolicySizeQuota": 2048, "PolicySizeQuota": 6144, "RolePolicySizeQuota": 10240, "AttachedPoliciesPerRoleQuota": 10}
	for _, k := range []memberKind{users, groups} {
		all, err := s.allMembers(ctx, k)
		if err != nil {
			return nil, err
		}
		counts[k.member("s")] = len(all)
	}
	roles, policies, profiles, versions := 0, 0, 0, 0
	for _, err := range s.roles.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		roles++
	}
	for e, err := range s.policies.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		policies++
		versions += len(e.Doc.Versions)
	}
	for _, err := range s.profiles.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		profiles++
	}
	counts["Roles"], counts["Policies"], counts["InstanceProfiles"], counts["PolicyVersionsInUse"] = roles, policies, profiles, versions
	return wire.Object{"SummaryMap": counts}, nil
}

// listEntities lists what a policy is attached to.
func (s *service) listEntities(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	id := in.Text("PolicyArn")
	if !managedByAWS(id) {
		if _, err := s.policy(ctx, c, id); err != nil {
			return nil, err
		}
	}
	roles := []any{}
	filter := in.Text("EntityFilter")
	for e, err := range s.roles.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		r := e.Doc
		used := slices.Contains(r.Attached, id) && in.Text("PolicyUsageFilter") != "PermissionsBoundary" || r.Boundary == id && in.Text("PolicyUsageFilter") != "PermissionsPolicy"
		if used && (filter == "" || filter == "Role" || managedFilter(filter, id)) && strings.HasPrefix(r.Path, in.Text("PathPrefix")) {
			roles = append(roles, wire.Object{"RoleName": r.Name, "RoleId": sts.RoleID(r.Name)})
		}
	}
	out := wire.Object{"PolicyGroups": []any{}, "PolicyUsers": []any{}, "PolicyRoles": roles, "IsTruncated": false}
	for _, k := range []memberKind{users, groups} {
		all, err := s.allMembers(ctx, k)
		if err != nil {
			return nil, err
		}
		list := []any{}
		for _, m := range all {
			used := slices.Contains(m.Attached, id) && in.Text("PolicyUsageFilter") != "PermissionsBoundary" || m.Boundary == id && in.Text("PolicyUsageFilter") != "PermissionsPolicy"
			if used && (filter == "" || filter == k.member("") || managedFilter(filter, id)) && strings.HasPrefix(m.Path, in.Text("PathPrefix")) {
				list = append(list, wire.Object{k.member("Name"): m.Name, k.member("Id"): m.ID})
			}
		}
		out["Policy"+k.member("")+"s"] = list
	}
	return out, nil
}

// managedFilter says whether a filter by who keeps a policy lets it through.
func managedFilter(filter, id string) bool {
	return filter == "AWSManagedPolicy" && managedByAWS(id) || filter == "LocalManagedPolicy" && !managedByAWS(id)
}

// listDevices lists the devices of a user: nobody has one.
func (s *service) listDevices(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	if in.Has("UserName") {
		if _, err := s.user(ctx, in.Text("UserName")); err != nil {
			return nil, err
		}
	}
	return wire.Object{"MFADevices": []any{}, "IsTruncated": false}, nil
}

// setDefaultVersion makes another version of a policy the one that counts.
func (s *service) setDefaultVersion(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	named := &versionInput{in.Text("PolicyArn"), in.Text("VersionId")}
	_, err := s.changePolicy(ctx, c, named.PolicyArn, func(p *policy) error {
		at := slices.IndexFunc(p.Versions, func(v version) bool { return versionID(v.Number) == in.Text("VersionId") })
		if at < 0 {
			return noVersion(named)
		}
		p.Default = p.Versions[at].Number
		return nil
	})
	return wire.Object{}, versionGone(err, named)
}

func noPasswordPolicy(_ context.Context, c *wire.Call, _ wire.Object) (wire.Object, error) {
	return nil, notFound("The Password Policy with domain name %s cannot be found.", c.Account)
}

type policyTagsInput struct {
	PolicyArn string
	Tags      []tag
}

func (s *service) tagPolicy(ctx context.Context, c *wire.Call, in *policyTagsInput) (*none, error) {
	if err := sameTag(in.Tags, identical, ""); err != nil {
		return nil, err
	}
	_, err := s.changePolicy(ctx, c, in.PolicyArn, func(p *policy) error { p.Tags = putTags(p.Tags, in.Tags); return nil })
	return &none{}, err
}

type policyUntagInput struct {
	PolicyArn string
	TagKeys   []string
}

func (s *service) untagPolicy(ctx context.Context, c *wire.Call, in *policyUntagInput) (*none, error) {
	_, err := s.changePolicy(ctx, c, in.PolicyArn, func(p *policy) error { p.Tags = dropTags(p.Tags, in.TagKeys); return nil })
	return &none{}, err
}

type policyListInput struct {
	PolicyArn, Marker string
	MaxItems          *int64
}

func (s *service) listPolicyTags(ctx context.Context, c *wire.Call, in *policyListInput) (*tagsOutput, error) {
	p, err := s.policy(ctx, c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return tagsPage(p.Tags, listInput{Marker: in.Marker, MaxItems: in.MaxItems})
}
