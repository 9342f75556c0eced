package iam

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// member is what is kept of a user or of a group. Users have no keys and no passwords
// here: nobody can act as one of them.
type member struct {
	Name     string            `json:"name"`
	Path     string            `json:"path"`
	ID       string            `json:"id"`
	Boundary string            `json:"boundary,omitempty"`
	Tags     []tag             `json:"tags,omitempty"`
	Created  time.Time         `json:"created"`
	Inline   map[string]string `json:"inline,omitempty"`   // name → document
	Attached []string          `json:"attached,omitempty"` // ARNs
	Users    []string          `json:"users,omitempty"`    // of a group, by name
}

// memberKind is users or groups.
type memberKind struct {
	word string // user or group
	id   string // what identifiers begin with
}

var (
	users  = memberKind{"user", "AIDA"}
	groups = memberKind{"group", "AGPA"}
)

// member is how members of the kind's names are told: UserName, GroupName.
func (k memberKind) member(suffix string) string {
	return strings.ToUpper(k.word[:1]) + k.word[1:] + suffix
}

func (k memberKind) missing(name string) error {
	return notFound("The %s with name %s cannot be found.", k.word, name)
}

func (k memberKind) key(name string) string { return k.word + "/" + strings.ToLower(name) }

func (k memberKind) told(c *wire.Call, m member) wire.Object {
	return wire.Object{"Path": m.Path, k.member("Name"): m.Name, k.member("Id"): m.ID, "Arn": arn(c, k.word, m.Path, m.Name), "CreateDate": m.Created}
}

// whole is told with what only the user itself is told with.
func (k memberKind) whole(c *wire.Call, m member) wire.Object {
	out := k.told(c, m)
	if m.Boundary != "" {
		out["PermissionsBoundary"] = wire.Object{"PermissionsBoundaryArn": m.Boundary, "PermissionsBoundaryType": "Policy"}
	}
	if len(m.Tags) > 0 {
		out["Tags"] = toldTags(m.Tags)
	}
	return out
}

func toldTags(tags []tag) []any {
	out := []any{}
	for _, t := range tags {
		out = append(out, wire.Object{"Key": t.Key, "Value": t.Value})
	}
	return out
}

func tagsIn(in wire.Object) []tag {
	var out []tag
	for _, t := range in.Objects("Tags") {
		out = append(out, tag{t.Text("Key"), t.Text("Value")})
	}
	return out
}

func (s *service) find(ctx context.Context, k memberKind, name string) (member, error) {
	m, err := s.members.Get(ctx, k.key(name))
	if problem.CodeOf(err) == problem.NotFound {
		err = k.missing(name)
	}
	return m, err
}

func (s *service) user(ctx context.Context, name string) (member, error) {
	return s.find(ctx, users, name)
}

func (s *service) group(ctx context.Context, name string) (member, error) {
	return s.find(ctx, groups, name)
}

func (s *service) changeMember(ctx context.Context, k memberKind, name string, how func(*member) error) (member, error) {
	m, err := s.members.Update(ctx, k.key(name), how)
	if problem.CodeOf(err) == problem.NotFound {
		err = k.missing(name)
	}
	return m, err
}

// create is the operation that makes a user or a group.
func (s *service) create(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
		at, err := path(in.Text("Path"))
		if err != nil {
			return nil, err
		}
		if err := sameTag(tagsIn(in), strings.EqualFold, caseless); err != nil {
			return nil, err
		}
		m := member{Name: in.Text(k.member("Name")), Path: at, ID: newID(k.id), Boundary: in.Text("PermissionsBoundary"), Tags: tagsIn(in), Created: s.now().UTC().Truncate(time.Second)}
		err = created(s.members.Create(ctx, k.key(m.Name), m), "%s with name %s already exists.", k.member(""), m.Name)
		return wire.Object{k.member(""): k.whole(c, m)}, err
	}
}

// list is the operation that lists users or groups.
func (s *service) list(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
		all, err := s.allMembers(ctx, k)
		if err != nil {
			return nil, err
		}
		return s.listed(c, k, in, all)
	}
}

func (s *service) allMembers(ctx context.Context, k memberKind) ([]member, error) {
	var out []member
	for e, err := range s.members.All(ctx, k.key("")) {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Doc)
	}
	return out, nil
}

// listed is a page of users or groups.
func (s *service) listed(c *wire.Call, k memberKind, in wire.Object, all []member) (wire.Object, error) {
	all = slices.DeleteFunc(slices.Clone(all), func(m member) bool { return !strings.HasPrefix(m.Path, in.Text("PathPrefix")) })
	out, answer, err := pageOf(in, all, func(m member) string { return strings.ToLower(m.Name) })
	list := []any{}
	for _, m := range out {
		list = append(list, k.told(c, m))
	}
	answer[k.member("")+"s"] = list
	return answer, err
}

// pageOf is page for members by name.
func pageOf[T any](in wire.Object, all []T, key func(T) string) ([]T, wire.Object, error) {
	limit := int64(in.Number("MaxItems", 100))
	out, more, marker, err := page(all, key, listInput{Marker: in.Text("Marker"), MaxItems: &limit})
	answer := wire.Object{"IsTruncated": more}
	if more {
		answer["Marker"] = marker
	}
	return out, answer, err
}

// update is the operation that renames a user or a group, or gives it another path.
func (s *service) update(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
		name, renamed := in.Text(k.member("Name")), in.Text("New"+k.member("Name"))
		m, err := s.find(ctx, k, name)
		if err != nil {
			return nil, err
		}
		if in.Has("NewPath") {
			if m.Path, err = path(in.Text("NewPath")); err != nil {
				return nil, err
			}
		}
		if renamed == "" || strings.EqualFold(renamed, name) {
			_, err := s.changeMember(ctx, k, name, func(d *member) error { d.Path = m.Path; return nil })
			return wire.Object{}, err
		}
		m.Name = renamed
		if err := created(s.members.Create(ctx, k.key(renamed), m), "%s with name %s already exists.", k.member(""), renamed); err != nil {
			return nil, err
		}
		if k == users {
			if err := s.renameInGroups(ctx, name, renamed); err != nil {
				return nil, err
			}
		}
		return wire.Object{}, s.members.Delete(ctx, k.key(name), nil)
	}
}

func (s *service) renameInGroups(ctx context.Context, name, renamed string) error {
	in, err := s.groupsOf(ctx, name)
	for _, g := range in {
		_, failed := s.changeMember(ctx, groups, g.Name, func(d *member) error {
			d.Users = append(slices.DeleteFunc(d.Users, func(u string) bool { return u == name }), renamed)
			return nil
		})
		if failed != nil {
			return failed
		}
	}
	return err
}

// remove is the operation that deletes a user or a group.
func (s *service) remove(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
		name := in.Text(k.member("Name"))
		if k == users {
			if in, err := s.groupsOf(ctx, name); err != nil || len(in) > 0 {
				if err == nil {
					err = inUse("Cannot delete entity, must remove users from group first.")
				}
				return nil, err
			}
			if user, err := s.user(ctx, name); err == nil {
				if keys, err := s.keysOf(ctx, user); err != nil || len(keys) > 0 {
					if err == nil {
						err = inUse("Cannot delete entity, must delete access keys first.")
					}
					return nil, err
				}
			}
		}
		err := s.members.Delete(ctx, k.key(name), func(m member) error {
			switch {
			case len(m.Users) > 0:
				return inUse("Cannot delete entity, must remove users from group first.")
			case len(m.Attached) > 0:
				return inUse("Cannot delete entity, must detach all policies first.")
			case len(m.Inline) > 0:
				return inUse("Cannot delete entity, must delete policies first.")
			}
			return nil
		})
		if problem.CodeOf(err) == problem.NotFound {
			err = k.missing(name)
		}
		return wire.Object{}, err
	}
}

// groupsOf are the groups that a user is in.
func (s *service) groupsOf(ctx context.Context, name string) ([]member, error) {
	all, err := s.allMembers(ctx, groups)
	return slices.DeleteFunc(all, func(g member) bool { return !slices.Contains(g.Users, name) }), err
}

func (s *service) listGroupsFor(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	if _, err := s.user(ctx, in.Text("UserName")); err != nil {
		return nil, err
	}
	all, err := s.groupsOf(ctx, in.Text("UserName"))
	if err != nil {
		return nil, err
	}
	return s.listed(c, groups, in, all)
}

// getUser answers who a user is; without a name, who the caller is.
func (s *service) getUser(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	if !in.Has("UserName") && !strings.Contains(c.Caller, ":user/") {
		return wire.Object{"User": wire.Object{"Arn": "arn:aws:iam::" + c.Account + ":root", "Path": "/", "UserId": c.Account, "UserName": "root", "CreateDate": time.Unix(0, 0).UTC()}}, nil
	}
	m, err := s.whose(ctx, c, in)
	return wire.Object{"User": users.whole(c, m)}, err
}

func (s *service) getGroup(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	g, err := s.group(ctx, in.Text("GroupName"))
	if err != nil {
		return nil, err
	}
	names, answer, err := pageOf(in, slices.Sorted(slices.Values(g.Users)), func(n string) string { return n })
	if err != nil {
		return nil, err
	}
	list := []any{}
	for _, name := range names {
		u, err := s.user(ctx, name)
		if err != nil {
			return nil, err
		}
		list = append(list, users.told(c, u))
	}
	return answer.With(wire.Object{"Group": groups.told(c, g), "Users": list}), nil
}

func (s *service) addUser(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	u, err := s.user(ctx, in.Text("UserName"))
	if err != nil {
		return nil, err
	}
	_, err = s.changeMember(ctx, groups, in.Text("GroupName"), func(g *member) error {
		if !slices.Contains(g.Users, u.Name) {
			g.Users = append(g.Users, u.Name)
		}
		return nil
	})
	return wire.Object{}, err
}

func (s *service) removeUser(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	u, err := s.user(ctx, in.Text("UserName"))
	if err != nil {
		return nil, err
	}
	_, err = s.changeMember(ctx, groups, in.Text("GroupName"), func(g *member) error {
		g.Users = slices.DeleteFunc(g.Users, func(n string) bool { return n == u.Name }) // it need not be in it
		return nil
	})
	return wire.Object{}, err
}
