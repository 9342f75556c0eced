package resource

import (
	"context"
	"slices"
)

func identityTypes() []*Type {
	needs := [2]string{"iam", "CreateRole"}
	return []*Type{{
		Name:       "AWS::IAM::Role",
		Properties: []string{"RoleName", "Path", "AssumeRolePolicyDocument", "Policies", "ManagedPolicyArns", "MaxSessionDuration", "PermissionsBoundary", "Description", "Tags"},
		Required:   []string{"AssumeRolePolicyDocument"},
		Replace:    []string{"RoleName", "Path"}, Attributes: []string{"Arn", "RoleId"}, Named: "RoleName", Identifiers: []string{"RoleName"},
		IAM: true, Tagged: true, Needs: needs, Handler: role{},
	}, {
		Name:       "AWS::IAM::Policy",
		Properties: []string{"PolicyName", "PolicyDocument", "Roles", "Users", "Groups"},
		Required:   []string{"PolicyName", "PolicyDocument"},
		Replace:    []string{"PolicyName"}, Attributes: []string{"Id"}, Identifiers: []string{"Id"},
		IAM: true, Needs: needs, Handler: rolePolicy{},
	}, {
		Name:       "AWS::IAM::ManagedPolicy",
		Properties: []string{"ManagedPolicyName", "Path", "Description", "PolicyDocument", "Roles", "Users", "Groups"},
		Required:   []string{"PolicyDocument"},
		Replace:    []string{"ManagedPolicyName", "Path", "Description"}, Attributes: []string{"PolicyArn", "PolicyId"}, Identifiers: []string{"PolicyArn"},
		IAM: true, Needs: needs, Handler: managedPolicy{},
	}, {
		Name:       "AWS::IAM::InstanceProfile",
		Properties: []string{"InstanceProfileName", "Path", "Roles"},
		Required:   []string{"Roles"},
		Replace:    []string{"InstanceProfileName", "Path"}, Attributes: []string{"Arn"}, Named: "InstanceProfileName", Identifiers: []string{"InstanceProfileName"},
		IAM: true, Needs: needs, Handler: instanceProfile{},
	}, {
		Name:       "AWS::IAM::ServiceLinkedRole",
		Properties: []string{"AWSServiceName", "CustomSuffix", "Description"},
		Required:   []string{"AWSServiceName"},
		Replace:    []string{"AWSServiceName", "CustomSuffix"}, Attributes: []string{"RoleName"}, Identifiers: []string{"RoleName"},
		IAM: true, Needs: needs, Handler: serviceRole{},
	}}
}

// role acts for AWS::IAM::Role.
type role struct{}

func (role) made(out map[string]any) Made {
	return Made{Physical: textAt(out, "Role", "RoleName"), Attributes: map[string]any{"Arn": textAt(out, "Role", "Arn"), "RoleId": textAt(out, "Role", "RoleId")}}
}

func (h role) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"Path": "Path", "MaxSessionDuration": "MaxSessionDuration", "PermissionsBoundary": "PermissionsBoundary", "Description": "Description"})
	in["RoleName"], in["AssumeRolePolicyDocument"], in["Tags"] = r.Physical, r.Document("AssumeRolePolicyDocument"), r.tagList()
	out, err := r.call(ctx, "iam", "CreateRole", in)
	if err != nil {
		return Made{}, err
	}
	return h.made(out), h.policies(ctx, r)
}

// Complete sets the policies of a role that is there.
func (h role) Complete(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "iam", "GetRole", map[string]any{"RoleName": r.Physical})
	if err == nil {
		err = h.policies(ctx, r)
	}
	return h.made(out), err
}

// inline are the documents of the role's own policies, by name.
func inline(properties map[string]any) map[string]string {
	out := map[string]string{}
	list, _ := properties["Policies"].([]any)
	for _, p := range list {
		out[textAt(p, "PolicyName")] = document(at(p, "PolicyDocument"))
	}
	return out
}

// policies makes the role's policies what the properties say.
func (role) policies(ctx context.Context, r *Request) error {
	now := inline(r.Properties)
	for name := range inline(r.Old) {
		if _, kept := now[name]; !kept {
			_, err := r.call(ctx, "iam", "DeleteRolePolicy", map[string]any{"RoleName": r.Physical, "PolicyName": name})
			if err := gone(err, "NoSuchEntity"); err != nil {
				return err
			}
		}
	}
	for name, text := range now {
		if _, err := r.call(ctx, "iam", "PutRolePolicy", map[string]any{"RoleName": r.Physical, "PolicyName": name, "PolicyDocument": text}); err != nil {
			return err
		}
	}
	for _, arn := range texts(r.Old["ManagedPolicyArns"]) {
		if !slices.Contains(r.Texts("ManagedPolicyArns"), arn) {
			_, err := r.call(ctx, "iam", "DetachRolePolicy", map[string]any{"RoleName": r.Physical, "PolicyArn": arn})
			if err := gone(err, "NoSuchEntity"); err != nil {
				return err
			}
		}
	}
	for _, arn := range r.Texts("ManagedPolicyArns") {
		if _, err := r.call(ctx, "iam", "AttachRolePolicy", map[string]any{"RoleName": r.Physical, "PolicyArn": arn}); err != nil {
			return err
		}
	}
	return nil
}

func (h role) Update(ctx context.Context, r *Request) (Made, error) {
	name := map[string]any{"RoleName": r.Physical}
	with := func(more map[string]any) map[string]any {
		more["RoleName"] = r.Physical
		return more
	}
	in := with(r.pick(map[string]string{"Description": "Description", "MaxSessionDuration": "MaxSessionDuration"}))
	if _, err := r.call(ctx, "iam", "UpdateRole", in); err != nil {
		return Made{}, err
	}
	if _, err := r.call(ctx, "iam", "UpdateAssumeRolePolicy", with(map[string]any{"PolicyDocument": r.Document("AssumeRolePolicyDocument")})); err != nil {
		return Made{}, err
	}
	boundary := r.Text("PermissionsBoundary")
	var err error
	switch {
	case boundary != "":
		_, err = r.call(ctx, "iam", "PutRolePermissionsBoundary", with(map[string]any{"PermissionsBoundary": boundary}))
	case r.Old["PermissionsBoundary"] != nil:
		_, err = r.call(ctx, "iam", "DeleteRolePermissionsBoundary", name)
	}
	if err == nil {
		if keys := r.oldTagKeys(); len(keys) > 0 {
			_, err = r.call(ctx, "iam", "UntagRole", with(map[string]any{"TagKeys": keys}))
		}
	}
	if err == nil {
		_, err = r.call(ctx, "iam", "TagRole", with(map[string]any{"Tags": r.tagList()}))
	}
	if err != nil {
		return Made{}, err
	}
	return h.Complete(ctx, r)
}

func (role) Delete(ctx context.Context, r *Request) error {
	name := map[string]any{"RoleName": r.Physical}
	for policy := range inline(r.Properties) {
		_, err := r.call(ctx, "iam", "DeleteRolePolicy", map[string]any{"RoleName": r.Physical, "PolicyName": policy})
		if err := gone(err, "NoSuchEntity"); err != nil {
			return err
		}
	}
	for _, arn := range r.Texts("ManagedPolicyArns") {
		_, err := r.call(ctx, "iam", "DetachRolePolicy", map[string]any{"RoleName": r.Physical, "PolicyArn": arn})
		if err := gone(err, "NoSuchEntity"); err != nil {
			return err
		}
	}
	_, err := r.call(ctx, "iam", "DeleteRole", name)
	return gone(err, "NoSuchEntity")
}

func (h role) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "iam", "GetRole", map[string]any{"RoleName": r.Physical})
	return absent(h.made(out), err, "NoSuchEntity")
}

// rolePolicy acts for AWS::IAM::Policy: a policy of its own in each role, user and group.
type rolePolicy struct{ unfindable }

func (h rolePolicy) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Id": r.Physical}}
}

func (h rolePolicy) Create(ctx context.Context, r *Request) (Made, error) {
	if err := somebody(r); err != nil {
		return h.made(r), err
	}
	return h.made(r), eachHolder(ctx, r, "Put%Policy", r.Texts, map[string]any{"PolicyName": r.Text("PolicyName"), "PolicyDocument": r.Document("PolicyDocument")})
}

func (h rolePolicy) Update(ctx context.Context, r *Request) (Made, error) {
	if err := h.remove(ctx, r, noLonger(r)); err != nil {
		return Made{}, err
	}
	return h.Create(ctx, r)
}

func (rolePolicy) remove(ctx context.Context, r *Request, of func(string) []string) error {
	return eachHolder(ctx, r, "Delete%Policy", of, map[string]any{"PolicyName": r.Text("PolicyName")}, "NoSuchEntity")
}

func (h rolePolicy) Delete(ctx context.Context, r *Request) error {
	if err := somebody(r); err != nil {
		return err
	}
	return h.remove(ctx, r, r.Texts)
}
