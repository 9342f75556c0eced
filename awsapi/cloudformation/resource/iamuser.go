package resource

import (
	"context"
	"maps"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// principalTypes are users and groups of IAM.
func principalTypes() []*Type {
	shared := []string{"ManagedPolicyArns", "Path", "Policies"}
	return []*Type{{
		Name: "AWS::IAM::User", Properties: append([]string{"UserName", "Groups", "PermissionsBoundary", "Tags"}, shared...),
		Replace: []string{"UserName", "Path"}, Attributes: []string{"Arn"}, Named: "UserName", Identifiers: []string{"UserName"}, IAM: true, Tagged: true,
		Needs: [2]string{"iam", "CreateUser"}, Handler: principal{"User"},
	}, {
		Name: "AWS::IAM::Group", Properties: append([]string{"GroupName"}, shared...),
		Replace: []string{"GroupName", "Path"}, Attributes: []string{"Arn"}, Named: "GroupName", Identifiers: []string{"GroupName"}, IAM: true,
		Needs: [2]string{"iam", "CreateGroup"}, Handler: principal{"Group"},
	}, {
		Name: "AWS::IAM::UserToGroupAddition", Properties: []string{"GroupName", "Users"}, Required: []string{"GroupName", "Users"},
		Replace: []string{"GroupName"}, IAM: true, Needs: [2]string{"iam", "AddUserToGroup"}, Handler: membership{},
	}}
}

// principal acts for a user or a group.
type principal struct{ kind string }

func (h principal) made(r *Request, out map[string]any) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Arn": textAt(out, h.kind, "Arn")}}
}

func (h principal) name(r *Request) map[string]any {
	return map[string]any{h.kind + "Name": r.Physical}
}

func (h principal) Create(ctx context.Context, r *Request) (Made, error) {
	in := h.name(r)
	maps.Copy(in, r.pick(map[string]string{"Path": "Path"}))
	if h.kind == "User" {
		maps.Copy(in, r.pick(map[string]string{"PermissionsBoundary": "PermissionsBoundary"}))
		in["Tags"] = r.tagList()
	}
	out, err := r.call(ctx, "iam", "Create"+h.kind, in)
	if err != nil {
		return Made{}, err
	}
	return h.made(r, out), h.settle(ctx, r)
}

// Complete sets the policies and groups of one that is there.
func (h principal) Complete(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "iam", "Get"+h.kind, h.name(r))
	if err == nil {
		err = h.settle(ctx, r)
	}
	return h.made(r, out), err
}

func (h principal) Update(ctx context.Context, r *Request) (Made, error) {
	if h.kind == "User" {
		if keys := r.oldTagKeys(); len(keys) > 0 {
			if _, err := r.call(ctx, "iam", "UntagUser", map[string]any{"UserName": r.Physical, "TagKeys": keys}); err != nil {
				return Made{}, err
			}
		}
		if _, err := r.call(ctx, "iam", "TagUser", map[string]any{"UserName": r.Physical, "Tags": r.tagList()}); err != nil {
			return Made{}, err
		}
	}
	return h.Complete(ctx, r)
}

// settle makes policies and groups what the properties say.
func (h principal) settle(ctx context.Context, r *Request) error {
	now := inline(r.Properties)
	for name := range inline(r.Old) {
		if _, kept := now[name]; !kept {
			if err := h.drop(ctx, r, "Delete"+h.kind+"Policy", "PolicyName", name); err != nil {
				return err
			}
		}
	}
	for name, text := range now {
		in := h.name(r)
		in["PolicyName"], in["PolicyDocument"] = name, text
		if _, err := r.call(ctx, "iam", "Put"+h.kind+"Policy", in); err != nil {
			return err
		}
	}
	for _, one := range []struct{ property, add, drop, member string }{
		{"ManagedPolicyArns", "Attach" + h.kind + "Policy", "Detach" + h.kind + "Policy", "PolicyArn"}, {"Groups", "AddUserToGroup", "RemoveUserFromGroup", "GroupName"}} {
		for _, v := range texts(r.Old[one.property]) {
			if !slices.Contains(r.Texts(one.property), v) {
				if err := h.drop(ctx, r, one.drop, one.member, v); err != nil {
					return err
				}
			}
		}
		for _, v := range r.Texts(one.property) {
			in := h.name(r)
			in[one.member] = v
			if _, err := r.call(ctx, "iam", one.add, in); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h principal) drop(ctx context.Context, r *Request, operation, member, value string) error {
	in := h.name(r)
	in[member] = value
	_, err := r.call(ctx, "iam", operation, in)
	return gone(err, "NoSuchEntity")
}

func (h principal) Delete(ctx context.Context, r *Request) error {
	for name := range inline(r.Properties) {
		if err := h.drop(ctx, r, "Delete"+h.kind+"Policy", "PolicyName", name); err != nil {
			return err
		}
	}
	for _, arn := range r.Texts("ManagedPolicyArns") {
		if err := h.drop(ctx, r, "Detach"+h.kind+"Policy", "PolicyArn", arn); err != nil {
			return err
		}
	}
	for _, group := range r.Texts("Groups") {
		if err := h.drop(ctx, r, "RemoveUserFromGroup", "GroupName", group); err != nil {
			return err
		}
	}
	_, err := r.call(ctx, "iam", "Delete"+h.kind, h.name(r))
	return gone(err, "NoSuchEntity")
}

func (h principal) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "iam", "Get"+h.kind, h.name(r))
	return absent(h.made(r, out), err, "NoSuchEntity")
}

// membership acts for AWS::IAM::UserToGroupAddition.
type membership struct{ unfindable }

func (membership) each(ctx context.Context, r *Request, operation string, users []string) error {
	for _, user := range users {
		_, err := r.call(ctx, "iam", operation, map[string]any{"GroupName": r.Text("GroupName"), "UserName": user})
		if operation == "RemoveUserFromGroup" {
			err = gone(err, "NoSuchEntity")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (h membership) Create(ctx context.Context, r *Request) (Made, error) {
	return Made{Physical: r.Physical}, h.each(ctx, r, "AddUserToGroup", r.Texts("Users"))
}

func (h membership) Update(ctx context.Context, r *Request) (Made, error) {
	now := r.Texts("Users")
	left := slices.DeleteFunc(texts(r.Old["Users"]), func(u string) bool { return slices.Contains(now, u) })
	if err := h.each(ctx, r, "RemoveUserFromGroup", left); err != nil {
		return Made{}, err
	}
	return h.Create(ctx, r)
}

func (h membership) Delete(ctx context.Context, r *Request) error {
	return h.each(ctx, r, "RemoveUserFromGroup", r.Texts("Users"))
}

// holders are the properties that name whom a policy is for, with the word of IAM's operations.
var holders = map[string]string{"Roles": "Role", "Users": "User", "Groups": "Group"}

// eachHolder calls an operation for each role, user and group of a property's list; the
// operation has % where the word belongs.
func eachHolder(ctx context.Context, r *Request, operation string, of func(property string) []string, in map[string]any, missing ...string) error {
	for _, property := range slices.Sorted(maps.Keys(holders)) {
		word := holders[property]
		for _, name := range of(property) {
			one := maps.Clone(in)
			one[word+"Name"] = name
			_, err := r.call(ctx, "iam", strings.ReplaceAll(operation, "%", word), one)
			if err := gone(err, missing...); err != nil {
				return err
			}
		}
	}
	return nil
}

// noLonger are those of a property before an update that are not there after it.
func noLonger(r *Request) func(property string) []string {
	return func(property string) []string {
		now := r.Texts(property)
		return slices.DeleteFunc(texts(r.Old[property]), func(n string) bool { return slices.Contains(now, n) })
	}
}

// somebody refuses a policy that nobody has, as AWS does when it is made and when it is
// deleted.
func somebody(r *Request) error {
	if len(r.Texts("Roles"))+len(r.Texts("Users"))+len(r.Texts("Groups")) == 0 {
		return wire.Errorf("InvalidInput", "At least one of [Groups,Roles,Users] must be non-empty.")
	}
	return nil
}
