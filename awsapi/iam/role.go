package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/sts"
	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// role is what is kept of a role.
type role struct {
	Name        string            `json:"name"`
	Path        string            `json:"path"`
	Trust       string            `json:"trust"`
	Description string            `json:"description,omitempty"`
	Longest     int64             `json:"longest"` // of a session, in seconds
	Boundary    string            `json:"boundary,omitempty"`
	Tags        []tag             `json:"tags,omitempty"`
	Created     time.Time         `json:"created"`
	Inline      map[string]string `json:"inline,omitempty"`   // name → document
	Attached    []string          `json:"attached,omitempty"` // ARNs
}

type boundary struct{ PermissionsBoundaryArn, PermissionsBoundaryType string }

type toldRole struct {
	Arn, AssumeRolePolicyDocument, Description, Path, RoleId, RoleName string
	CreateDate                                                         time.Time
	MaxSessionDuration                                                 *int64
	PermissionsBoundary                                                *boundary
	RoleLastUsed                                                       *struct{}
	Tags                                                               []toldTag
}

// told is a role; whole is with its description and the duration of its sessions, which
// only reading it tells.
func (r role) told(c *wire.Call, whole bool) toldRole {
	out := toldRole{
		Arn: arn(c, "role", r.Path, r.Name), AssumeRolePolicyDocument: told(r.Trust), Path: r.Path,
		RoleId: sts.RoleID(r.Name), RoleName: r.Name, CreateDate: r.Created, Tags: tellTags(r.Tags),
	}
	if r.Boundary != "" {
		out.PermissionsBoundary = &boundary{r.Boundary, "Policy"}
	}
	if whole {
		out.Description, out.MaxSessionDuration = r.Description, &r.Longest
	}
	return out
}

func noRole(name string) error { return notFound("The role with name %s cannot be found.", name) }

func (s *service) role(ctx context.Context, name string) (role, error) {
	r, err := s.roles.Get(ctx, name)
	if problem.CodeOf(err) == problem.NotFound {
		err = noRole(name)
	}
	return r, err
}

// changeRole updates a role.
func (s *service) changeRole(ctx context.Context, name string, how func(*role) error) (role, error) {
	r, err := s.roles.Update(ctx, name, how)
	if problem.CodeOf(err) == problem.NotFound {
		err = noRole(name)
	}
	return r, err
}

type createRoleInput struct {
	RoleName, Path, AssumeRolePolicyDocument, Description, PermissionsBoundary string
	MaxSessionDuration                                                         *int64
	Tags                                                                       []tag
}

type roleOutput struct{ Role toldRole }

func (s *service) createRole(ctx context.Context, c *wire.Call, in *createRoleInput) (*roleOutput, error) {
	at, err := path(in.Path)
	if err == nil {
		err = checkTrust(in.AssumeRolePolicyDocument)
	}
	if err == nil {
		err = sameTag(in.Tags, strings.EqualFold, caseless)
	}
	if err != nil {
		return nil, err
	}
	r := role{Name: in.RoleName, Path: at, Trust: in.AssumeRolePolicyDocument, Description: in.Description, Longest: 3600, Boundary: in.PermissionsBoundary, Tags: in.Tags, Created: s.now().UTC().Truncate(time.Second)}
	if in.MaxSessionDuration != nil {
		r.Longest = *in.MaxSessionDuration
	}
	err = created(s.roles.Create(ctx, r.Name, r), "Role with name %s already exists.", r.Name)
	return &roleOutput{r.told(c, false)}, err
}

type serviceRoleInput struct{ AWSServiceName, CustomSuffix, Description string }

// serviceNames are how the roles of services are called whose names have capitals inside.
var serviceNames = map[string]string{
	"autoscaling": "AutoScaling", "ecs": "ECS", "elasticloadbalancing": "ElasticLoadBalancing", "rds": "RDS", "spot": "EC2Spot", "spotfleet": "EC2SpotFleet", "ssm": "AmazonSSM", "eks": "AmazonEKS",
	"cloudwatch-crossaccount": "CloudWatchCrossAccount", "ops.apigateway": "APIGateway", "ecs.application-autoscaling": "ApplicationAutoScaling_ECSService", "es": "AmazonElasticsearchService",
	"elasticache": "ElastiCache", "dynamodb.application-autoscaling": "ApplicationAutoScaling_DynamoDBTable", "lambda.application-autoscaling": "ApplicationAutoScaling_LambdaConcurrency",
	"opensearchservice": "AmazonOpenSearchService", "cloudtrail": "CloudTrail", "access-analyzer": "AccessAnalyzer", "replicator.lambda": "LambdaReplicator",
}

// createServiceRole makes the role that a service of AWS would act with.
func (s *service) createServiceRole(ctx context.Context, c *wire.Call, in *serviceRoleInput) (*roleOutput, error) {
	host, found := strings.CutSuffix(in.AWSServiceName, ".amazonaws.com")
	if !found || host == "" {
		return nil, wire.Errorf("InvalidInput", "Service role is not supported for %s.", in.AWSServiceName)
	}
	name := "AWSServiceRoleFor" + serviceNames[host]
	if serviceNames[host] == "" {
		for part := range strings.FieldsFuncSeq(host, func(r rune) bool { return r == '.' || r == '-' }) {
			name += strings.ToUpper(part[:1]) + part[1:]
		}
	}
	if in.CustomSuffix != "" {
		name += "_" + in.CustomSuffix
	}
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + in.AWSServiceName + `"},"Action":"sts:AssumeRole"}]}`
	r := role{Name: name, Path: "/aws-service-role/" + in.AWSServiceName + "/", Trust: trust, Description: in.Description, Longest: 3600, Created: s.now().UTC().Truncate(time.Second)}
	err := s.roles.Create(ctx, name, r)
	if problem.CodeOf(err) == problem.Conflict {
		err = wire.Errorf("InvalidInput", "Service role name %s has been taken in this account, please try a different suffix.", name)
	}
	return &roleOutput{r.told(c, false)}, err
}

type roleInput struct{ RoleName string }

func (s *service) getRole(ctx context.Context, c *wire.Call, in *roleInput) (*roleOutput, error) {
	r, err := s.role(ctx, in.RoleName)
	out := r.told(c, true)
	out.RoleLastUsed = &struct{}{} // nobody keeps when it was
	return &roleOutput{out}, err
}

type rolesOutput struct {
	Roles       []toldRole
	IsTruncated bool
	Marker      string
}

func (s *service) listRoles(ctx context.Context, c *wire.Call, in *listInput) (*rolesOutput, error) {
	out := &rolesOutput{}
	var all []toldRole
	for e, err := range s.roles.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(e.Doc.Path, in.PathPrefix) {
			r := e.Doc.told(c, true)
			r.Tags, r.PermissionsBoundary = nil, nil
			all = append(all, r)
		}
	}
	var err error
	out.Roles, out.IsTruncated, out.Marker, err = page(all, func(r toldRole) string { return r.RoleName }, *in)
	return out, err
}

type updateRoleInput struct {
	RoleName           string
	Description        *string
	MaxSessionDuration *int64
}

func (s *service) updateRole(ctx context.Context, _ *wire.Call, in *updateRoleInput) (*none, error) {
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error {
		if in.Description != nil {
			r.Description = *in.Description
		}
		if in.MaxSessionDuration != nil {
			r.Longest = *in.MaxSessionDuration
		}
		return nil
	})
	return &none{}, err
}

type descriptionInput struct{ RoleName, Description string }

func (s *service) updateDescription(ctx context.Context, c *wire.Call, in *descriptionInput) (*roleOutput, error) {
	r, err := s.changeRole(ctx, in.RoleName, func(r *role) error { r.Description = in.Description; return nil })
	out := r.told(c, false)
	out.Description = r.Description
	return &roleOutput{out}, err
}

type trustInput struct{ RoleName, PolicyDocument string }

func (s *service) updateTrust(ctx context.Context, _ *wire.Call, in *trustInput) (*none, error) {
	if err := checkTrust(in.PolicyDocument); err != nil {
		return nil, err
	}
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error { r.Trust = in.PolicyDocument; return nil })
	return &none{}, err
}

func (s *service) deleteRole(ctx context.Context, _ *wire.Call, in *roleInput) (*none, error) {
	profiles, err := s.profilesOf(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	if len(profiles) > 0 {
		return nil, inUse("Cannot delete entity, must remove roles from instance profile first.")
	}
	err = s.roles.Delete(ctx, in.RoleName, func(r role) error {
		switch {
		case len(r.Attached) > 0:
			return inUse("Cannot delete entity, must detach all policies first.")
		case len(r.Inline) > 0:
			return inUse("Cannot delete entity, must delete policies first.")
		}
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = noRole(in.RoleName)
	}
	return &none{}, err
}

type tagInput struct {
	RoleName string
	Tags     []tag
}

func (s *service) tagRole(ctx context.Context, _ *wire.Call, in *tagInput) (*none, error) {
	if err := sameTag(in.Tags, strings.EqualFold, caseless); err != nil {
		return nil, err
	}
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error { r.Tags = putTags(r.Tags, in.Tags); return nil })
	return &none{}, err
}

type untagInput struct {
	RoleName string
	TagKeys  []string
}

func (s *service) untagRole(ctx context.Context, _ *wire.Call, in *untagInput) (*none, error) {
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error { r.Tags = dropTags(r.Tags, in.TagKeys); return nil })
	return &none{}, err
}

type roleListInput struct {
	RoleName, Marker string
	MaxItems         *int64
}

type tagsOutput struct {
	Tags        []toldTag
	IsTruncated bool
	Marker      string
}

func (s *service) listRoleTags(ctx context.Context, _ *wire.Call, in *roleListInput) (*tagsOutput, error) {
	r, err := s.role(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	return tagsPage(r.Tags, listInput{Marker: in.Marker, MaxItems: in.MaxItems})
}

// tagsPage is a page of tags, by their keys.
func tagsPage(tags []tag, in listInput) (*tagsOutput, error) {
	slices.SortFunc(tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	part, more, marker, err := page(tags, func(t tag) string { return t.Key }, in)
	return &tagsOutput{append([]toldTag{}, tellTags(part)...), more, marker}, err
}

type boundaryInput struct{ RoleName, PermissionsBoundary string }

func (s *service) putBoundary(ctx context.Context, _ *wire.Call, in *boundaryInput) (*none, error) {
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error { r.Boundary = in.PermissionsBoundary; return nil })
	return &none{}, err
}

func (s *service) deleteBoundary(ctx context.Context, _ *wire.Call, in *roleInput) (*none, error) {
	_, err := s.changeRole(ctx, in.RoleName, func(r *role) error { r.Boundary = ""; return nil })
	return &none{}, err
}
