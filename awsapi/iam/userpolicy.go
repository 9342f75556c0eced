package iam

import (
	"context"
	"maps"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// putPolicy is the operation that gives a user or a group a policy of its own.
func (s *service) putPolicy(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
		if err := checkDocument(in.Text("PolicyDocument")); err != nil {
			return nil, err
		}
		_, err := s.changeMember(ctx, k, in.Text(k.member("Name")), func(m *member) error {
			if m.Inline == nil {
				m.Inline = map[string]string{}
			}
			m.Inline[in.Text("PolicyName")] = in.Text("PolicyDocument")
			return nil
		})
		return wire.Object{}, err
	}
}

func (k memberKind) noPolicy(name string) error {
	return notFound("The %s policy with name %s cannot be found.", k.word, name)
}

func (s *service) getInline(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
		m, err := s.find(ctx, k, in.Text(k.member("Name")))
		if err != nil {
			return nil, err
		}
		text, ok := m.Inline[in.Text("PolicyName")]
		if !ok {
			return nil, k.noPolicy(in.Text("PolicyName"))
		}
		return wire.Object{k.member("Name"): m.Name, "PolicyName": in.Text("PolicyName"), "PolicyDocument": told(text)}, nil
	}
}

func (s *service) listInline(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
		m, err := s.find(ctx, k, in.Text(k.member("Name")))
		if err != nil {
			return nil, err
		}
		out, answer, err := pageOf(in, slices.Sorted(maps.Keys(m.Inline)), func(n string) string { return n })
		return answer.With(wire.Object{"PolicyNames": wire.List(out)}), err
	}
}

func (s *service) deleteInline(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
		_, err := s.changeMember(ctx, k, in.Text(k.member("Name")), func(m *member) error {
			if _, ok := m.Inline[in.Text("PolicyName")]; !ok {
				return k.noPolicy(in.Text("PolicyName"))
			}
			delete(m.Inline, in.Text("PolicyName"))
			return nil
		})
		return wire.Object{}, err
	}
}

func (s *service) attachTo(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
		id := in.Text("PolicyArn")
		if err := s.attachable(ctx, c, id); err != nil {
			return nil, err
		}
		_, err := s.changeMember(ctx, k, in.Text(k.member("Name")), func(m *member) error {
			if !slices.Contains(m.Attached, id) {
				m.Attached = append(m.Attached, id)
			}
			return nil
		})
		return wire.Object{}, err
	}
}

func (s *service) detachFrom(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
		_, err := s.changeMember(ctx, k, in.Text(k.member("Name")), func(m *member) error {
			at := slices.Index(m.Attached, in.Text("PolicyArn"))
			if at < 0 {
				return notFound("Policy %s was not found.", in.Text("PolicyArn"))
			}
			m.Attached = slices.Delete(m.Attached, at, at+1)
			return nil
		})
		return wire.Object{}, err
	}
}

func (s *service) listAttachedTo(k memberKind) wire.ObjectFunc {
	return func(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
		m, err := s.find(ctx, k, in.Text(k.member("Name")))
		if err != nil {
			return nil, err
		}
		var list []wire.Object
		for _, a := range slices.Sorted(slices.Values(m.Attached)) {
			_, rest, _ := strings.Cut(a, ":policy")
			if strings.HasPrefix(rest, in.Text("PathPrefix")) {
				list = append(list, wire.Object{"PolicyArn": a, "PolicyName": rest[strings.LastIndexByte(rest, '/')+1:]})
			}
		}
		out, answer, err := pageOf(in, list, func(o wire.Object) string { return o.Text("PolicyArn") })
		return answer.With(wire.Object{"AttachedPolicies": wire.List(out)}), err
	}
}

func (s *service) tagUser(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	if err := sameTag(tagsIn(in), strings.EqualFold, caseless); err != nil {
		return nil, err
	}
	_, err := s.changeMember(ctx, users, in.Text("UserName"), func(m *member) error { m.Tags = putTags(m.Tags, tagsIn(in)); return nil })
	return wire.Object{}, err
}

func (s *service) untagUser(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	_, err := s.changeMember(ctx, users, in.Text("UserName"), func(m *member) error { m.Tags = dropTags(m.Tags, in.Texts("TagKeys")); return nil })
	return wire.Object{}, err
}

func (s *service) listUserTags(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	m, err := s.user(ctx, in.Text("UserName"))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(m.Tags, func(a, b tag) int { return strings.Compare(a.Key, b.Key) })
	out, answer, err := pageOf(in, m.Tags, func(t tag) string { return t.Key })
	return answer.With(wire.Object{"Tags": toldTags(out)}), err
}

func (s *service) putUserBoundary(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	_, err := s.changeMember(ctx, users, in.Text("UserName"), func(m *member) error { m.Boundary = in.Text("PermissionsBoundary"); return nil })
	return wire.Object{}, err
}

func (s *service) deleteUserBoundary(ctx context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	_, err := s.changeMember(ctx, users, in.Text("UserName"), func(m *member) error { m.Boundary = ""; return nil })
	return wire.Object{}, err
}
