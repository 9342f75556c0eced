package resource

import (
	"context"
	"slices"

	"showrunner/awsapi/wire"
)

// managedPolicy acts for AWS::IAM::ManagedPolicy. Its identifier is the ARN;
// before it is made, its name.
type managedPolicy struct{}

func (managedPolicy) arn(r *Request) string {
	name, path := r.Text("ManagedPolicyName"), r.Text("Path")
	if name == "" {
		name = r.Physical
	}
	if path == "" {
		path = "/"
	}
	return "arn:aws:iam::" + r.Account + ":policy" + path + name
}

func (managedPolicy) made(out map[string]any) Made {
	arn := textAt(out, "Policy", "Arn")
	return Made{Physical: arn, Attributes: map[string]any{"PolicyArn": arn, "PolicyId": textAt(out, "Policy", "PolicyId")}}
}

func (h managedPolicy) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"Path": "Path", "Description": "Description"})
	in["PolicyName"], in["PolicyDocument"] = r.Physical, r.Document("PolicyDocument")
	if name := r.Text("ManagedPolicyName"); name != "" {
		in["PolicyName"] = name
	}
	out, err := r.call(ctx, "iam", "CreatePolicy", in)
	if err != nil {
		return Made{}, err
	}
	m := h.made(out)
	return m, h.attach(ctx, r, m.Physical)
}

func (managedPolicy) attach(ctx context.Context, r *Request, arn string) error {
	return eachHolder(ctx, r, "Attach%Policy", r.Texts, map[string]any{"PolicyArn": arn})
}

func (managedPolicy) detach(ctx context.Context, r *Request, of func(string) []string) error {
	return eachHolder(ctx, r, "Detach%Policy", of, map[string]any{"PolicyArn": r.Physical}, "NoSuchEntity")
}

// Complete attaches a policy that is there.
func (h managedPolicy) Complete(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "iam", "GetPolicy", map[string]any{"PolicyArn": h.arn(r)})
	if err == nil {
		err = h.attach(ctx, r, h.arn(r))
	}
	return h.made(out), err
}

func (h managedPolicy) Update(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "iam", "ListPolicyVersions", map[string]any{"PolicyArn": r.Physical})
	if err != nil {
		return Made{}, err
	}
	if !Same(r.Old["PolicyDocument"], r.Properties["PolicyDocument"]) {
		// The oldest version that is not the default makes room.
		versions, _ := out["Versions"].([]any)
		for i := len(versions) - 1; i >= 0 && len(versions) >= 5; i-- {
			if at(versions[i], "IsDefaultVersion") == true {
				continue
			}
			if _, err := r.call(ctx, "iam", "DeletePolicyVersion", map[string]any{"PolicyArn": r.Physical, "VersionId": textAt(versions[i], "VersionId")}); err != nil {
				return Made{}, err
			}
			break
		}
		if _, err := r.call(ctx, "iam", "CreatePolicyVersion", map[string]any{"PolicyArn": r.Physical, "PolicyDocument": r.Document("PolicyDocument"), "SetAsDefault": true}); err != nil {
			return Made{}, err
		}
	}
	if err := h.detach(ctx, r, noLonger(r)); err != nil {
		return Made{}, err
	}
	if out, err = r.call(ctx, "iam", "GetPolicy", map[string]any{"PolicyArn": r.Physical}); err != nil {
		return Made{}, err
	}
	return h.made(out), h.attach(ctx, r, r.Physical)
}

func (h managedPolicy) Delete(ctx context.Context, r *Request) error {
	if err := h.detach(ctx, r, r.Texts); err != nil {
		return err
	}
	out, err := r.call(ctx, "iam", "ListPolicyVersions", map[string]any{"PolicyArn": r.Physical})
	if wire.CodeOf(err) == "NoSuchEntity" {
		return nil
	}
	if err != nil {
		return err
	}
	versions, _ := out["Versions"].([]any)
	for _, v := range versions {
		if at(v, "IsDefaultVersion") == true {
			continue
		}
		if _, err := r.call(ctx, "iam", "DeletePolicyVersion", map[string]any{"PolicyArn": r.Physical, "VersionId": textAt(v, "VersionId")}); err != nil {
			return err
		}
	}
	_, err = r.call(ctx, "iam", "DeletePolicy", map[string]any{"PolicyArn": r.Physical})
	return gone(err, "NoSuchEntity")
}

func (h managedPolicy) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "iam", "GetPolicy", map[string]any{"PolicyArn": h.arn(r)})
	return absent(h.made(out), err, "NoSuchEntity")
}

// instanceProfile acts for AWS::IAM::InstanceProfile.
type instanceProfile struct{}

func (instanceProfile) made(out map[string]any) Made {
	return Made{Physical: textAt(out, "InstanceProfile", "InstanceProfileName"), Attributes: map[string]any{"Arn": textAt(out, "InstanceProfile", "Arn")}}
}

func (h instanceProfile) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(map[string]string{"Path": "Path"})
	in["InstanceProfileName"] = r.Physical
	out, err := r.call(ctx, "iam", "CreateInstanceProfile", in)
	if err != nil {
		return Made{}, err
	}
	return h.made(out), h.roles(ctx, r, out)
}

// roles makes the profile's roles what the properties say; it has those of an answer.
func (instanceProfile) roles(ctx context.Context, r *Request, has map[string]any) error {
	list, _ := at(has, "InstanceProfile", "Roles").([]any)
	var had []string
	for _, e := range list {
		had = append(had, textAt(e, "RoleName"))
	}
	for _, role := range had {
		if !slices.Contains(r.Texts("Roles"), role) {
			if _, err := r.call(ctx, "iam", "RemoveRoleFromInstanceProfile", map[string]any{"InstanceProfileName": r.Physical, "RoleName": role}); err != nil {
				return err
			}
		}
	}
	for _, role := range r.Texts("Roles") {
		if !slices.Contains(had, role) {
			if _, err := r.call(ctx, "iam", "AddRoleToInstanceProfile", map[string]any{"InstanceProfileName": r.Physical, "RoleName": role}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Complete sets the roles of a profile that is there.
func (h instanceProfile) Complete(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "iam", "GetInstanceProfile", map[string]any{"InstanceProfileName": r.Physical})
	if err == nil {
		err = h.roles(ctx, r, out)
	}
	return h.made(out), err
}

func (h instanceProfile) Update(ctx context.Context, r *Request) (Made, error) {
	return h.Complete(ctx, r)
}

func (h instanceProfile) Delete(ctx context.Context, r *Request) error {
	emptied := *r
	emptied.Properties = map[string]any{}
	if _, err := h.Complete(ctx, &emptied); err != nil {
		return gone(err, "NoSuchEntity")
	}
	_, err := r.call(ctx, "iam", "DeleteInstanceProfile", map[string]any{"InstanceProfileName": r.Physical})
	return gone(err, "NoSuchEntity")
}

func (h instanceProfile) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "iam", "GetInstanceProfile", map[string]any{"InstanceProfileName": r.Physical})
	return absent(h.made(out), err, "NoSuchEntity")
}

// serviceRole acts for AWS::IAM::ServiceLinkedRole.
type serviceRole struct{ unfindable }

func (serviceRole) Create(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "iam", "CreateServiceLinkedRole", r.pick(map[string]string{"AWSServiceName": "AWSServiceName", "CustomSuffix": "CustomSuffix", "Description": "Description"}))
	name := textAt(out, "Role", "RoleName")
	return Made{Physical: name, Attributes: map[string]any{"RoleName": name}}, err
}

func (serviceRole) Update(ctx context.Context, r *Request) (Made, error) {
	_, err := r.call(ctx, "iam", "UpdateRole", map[string]any{"RoleName": r.Physical, "Description": r.Text("Description")})
	return Made{Physical: r.Physical, Attributes: map[string]any{"RoleName": r.Physical}}, err
}

func (serviceRole) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "iam", "DeleteRole", map[string]any{"RoleName": r.Physical})
	return gone(err, "NoSuchEntity")
}
