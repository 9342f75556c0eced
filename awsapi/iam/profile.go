package iam

import (
	"context"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// profile is what is kept of an instance profile.
type profile struct {
	Name    string    `json:"name"`
	Path    string    `json:"path"`
	ID      string    `json:"id"`
	Role    string    `json:"role,omitempty"`
	Tags    []tag     `json:"tags,omitempty"`
	Created time.Time `json:"created"`
}

type toldProfile struct {
	Arn, InstanceProfileId, InstanceProfileName, Path string
	CreateDate                                        time.Time
	Roles                                             []toldRole
	Tags                                              []toldTag
}

// profileTold is a profile with its role as it is now.
func (s *service) profileTold(ctx context.Context, c *wire.Call, p profile) (toldProfile, error) {
	out := toldProfile{Arn: arn(c, "instance-profile", p.Path, p.Name), InstanceProfileId: p.ID, InstanceProfileName: p.Name, Path: p.Path, CreateDate: p.Created, Roles: []toldRole{}, Tags: tellTags(p.Tags)}
	if p.Role == "" {
		return out, nil
	}
	r, err := s.role(ctx, p.Role)
	if err == nil {
		one := r.told(c, false)
		one.Tags = nil
		out.Roles = append(out.Roles, one)
	}
	return out, err
}

func noProfile(name string) error { return notFound("Instance Profile %s cannot be found.", name) }

type createProfileInput struct {
	InstanceProfileName, Path string
	Tags                      []tag
}

type profileOutput struct{ InstanceProfile toldProfile }

func (s *service) createProfile(ctx context.Context, c *wire.Call, in *createProfileInput) (*profileOutput, error) {
	at, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	p := profile{Name: in.InstanceProfileName, Path: at, ID: newID("AIPA"), Tags: in.Tags, Created: s.now().UTC().Truncate(time.Second)}
	if err := created(s.profiles.Create(ctx, p.Name, p), "Instance Profile %s already exists.", p.Name); err != nil {
		return nil, err
	}
	out, err := s.profileTold(ctx, c, p)
	return &profileOutput{out}, err
}

type profileInput struct{ InstanceProfileName string }

func (s *service) getProfile(ctx context.Context, c *wire.Call, in *profileInput) (*profileOutput, error) {
	p, err := s.profiles.Get(ctx, in.InstanceProfileName)
	if problem.CodeOf(err) == problem.NotFound {
		err = noProfile(in.InstanceProfileName)
	}
	if err != nil {
		return nil, err
	}
	out, err := s.profileTold(ctx, c, p)
	out.Tags = append([]toldTag{}, out.Tags...) // told even when there are none
	return &profileOutput{out}, err
}

type profilesOutput struct {
	InstanceProfiles []toldProfile
	IsTruncated      bool
	Marker           string
}

func (s *service) listProfiles(ctx context.Context, c *wire.Call, in *listInput) (*profilesOutput, error) {
	var all []toldProfile
	for e, err := range s.profiles.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(e.Doc.Path, in.PathPrefix) {
			continue
		}
		one, err := s.profileTold(ctx, c, e.Doc)
		if err != nil {
			return nil, err
		}
		one.Tags = nil
		all = append(all, one)
	}
	out := &profilesOutput{}
	var err error
	out.InstanceProfiles, out.IsTruncated, out.Marker, err = page(all, func(p toldProfile) string { return p.InstanceProfileName }, *in)
	return out, err
}

// profilesOf are the profiles that have a role.
func (s *service) profilesOf(ctx context.Context, role string) ([]profile, error) {
	var out []profile
	for e, err := range s.profiles.All(ctx, "") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Role == role {
			out = append(out, e.Doc)
		}
	}
	return out, nil
}

func (s *service) listProfilesOf(ctx context.Context, c *wire.Call, in *roleListInput) (*profilesOutput, error) {
	if _, err := s.role(ctx, in.RoleName); err != nil {
		return nil, err
	}
	list, err := s.profilesOf(ctx, in.RoleName)
	if err != nil {
		return nil, err
	}
	var all []toldProfile
	for _, p := range list {
		one, err := s.profileTold(ctx, c, p)
		if err != nil {
			return nil, err
		}
		one.Tags = nil
		all = append(all, one)
	}
	out := &profilesOutput{}
	out.InstanceProfiles, out.IsTruncated, out.Marker, err = page(all, func(p toldProfile) string { return p.InstanceProfileName }, listInput{Marker: in.Marker, MaxItems: in.MaxItems})
	return out, err
}

func (s *service) deleteProfile(ctx context.Context, _ *wire.Call, in *profileInput) (*none, error) {
	err := s.profiles.Delete(ctx, in.InstanceProfileName, func(p profile) error {
		if p.Role != "" {
			return inUse("Cannot delete entity, must remove roles from instance profile first.")
		}
		return nil
	})
	if problem.CodeOf(err) == problem.NotFound {
		err = noProfile(in.InstanceProfileName)
	}
	return &none{}, err
}

type profileRoleInput struct{ InstanceProfileName, RoleName string }

// changeProfile updates a profile.
func (s *service) changeProfile(ctx context.Context, name string, how func(*profile) error) error {
	_, err := s.profiles.Update(ctx, name, how)
	if problem.CodeOf(err) == problem.NotFound {
		err = noProfile(name)
	}
	return err
}

func (s *service) addRole(ctx context.Context, _ *wire.Call, in *profileRoleInput) (*none, error) {
	if _, err := s.role(ctx, in.RoleName); err != nil {
		return nil, err
	}
	return &none{}, s.changeProfile(ctx, in.InstanceProfileName, func(p *profile) error {
		if p.Role != "" {
			return wire.Errorf("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
		}
		p.Role = in.RoleName
		return nil
	})
}

func (s *service) removeRole(ctx context.Context, _ *wire.Call, in *profileRoleInput) (*none, error) {
	if _, err := s.role(ctx, in.RoleName); err != nil {
		return nil, err
	}
	return &none{}, s.changeProfile(ctx, in.InstanceProfileName, func(p *profile) error {
		if p.Role != in.RoleName {
			return notFound("Role %s in Instance Profile %s cannot be found.", in.RoleName, p.Name)
		}
		p.Role = ""
		return nil
	})
}
