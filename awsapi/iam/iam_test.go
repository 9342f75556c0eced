package iam_test

import (
	"log/slog"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi"
	"showrunner/awsapi/iam"
	"showrunner/awsapi/wire"
	"showrunner/store/record/recordtest"
)

type object = map[string]any

type client struct {
	t      *testing.T
	server *awsapi.Server
}

func open(t *testing.T, records *recordtest.Records) *client {
	t.Helper()
	keys, err := awsapi.NewKeys("AKIATEST", "secret")
	if err != nil {
		t.Fatal(err)
	}
	server, err := awsapi.New(awsapi.Config{Keys: keys, Regions: []string{"us-west-2"}, Log: slog.New(slog.DiscardHandler), Now: time.Now, Services: []wire.Service{iam.Service(records, nil, time.Now)}})
	if err != nil {
		t.Fatal(err)
	}
	return &client{t, server}
}

func (c *client) try(operation string, in object) (object, error) {
	return c.server.Call(c.t.Context(), wire.Call{Region: "us-west-2"}, "iam", operation, in)
}

func (c *client) call(operation string, in object) object {
	c.t.Helper()
	out, err := c.try(operation, in)
	if err != nil {
		c.t.Fatalf("%s(%v): %v", operation, in, err)
	}
	return out
}

func (c *client) refused(operation string, in object, code, message string) {
	c.t.Helper()
	if _, err := c.try(operation, in); err == nil || err.Error() != code+": "+message {
		c.t.Errorf("%s(%v): %v\nwant %s: %s", operation, in, err, code, message)
	}
}

const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

func TestARoleIsKeptAndReturned(t *testing.T) {
	t.Parallel()
	records := &recordtest.Records{}
	c := open(t, records)
	c.call("CreateRole", object{"RoleName": "r", "Path": "/a/b/", "AssumeRolePolicyDocument": trust, "Description": "d", "Tags": []any{object{"Key": "k", "Value": "v"}}})
	c.refused("CreateRole", object{"RoleName": "r", "AssumeRolePolicyDocument": trust}, "EntityAlreadyExists", "Role with name r already exists.")
	c.refused("CreateRole", object{"RoleName": "q", "AssumeRolePolicyDocument": "{"}, "MalformedPolicyDocument", "This policy contains invalid Json")
	c.refused("GetRole", object{"RoleName": "none"}, "NoSuchEntity", "The role with name none cannot be found.")
	c.call("PutRolePolicy", object{"RoleName": "r", "PolicyName": "p", "PolicyDocument": trust})
	c.call("AttachRolePolicy", object{"RoleName": "r", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"})
	c.refused("AttachRolePolicy", object{"RoleName": "r", "PolicyArn": "arn:aws:iam::000000000000:policy/none"}, "NoSuchEntity", "Policy arn:aws:iam::000000000000:policy/none does not exist or is not attachable.")

	c = open(t, records) // after a restart
	r := c.call("GetRole", object{"RoleName": "r"})["Role"].(object)
	if r["Arn"] != "arn:aws:iam::000000000000:role/a/b/r" || r["MaxSessionDuration"] != int64(3600) || r["Description"] != "d" || !strings.HasPrefix(r["RoleId"].(string), "AROA") {
		t.Errorf("the role is %v", r)
	}
	if text, err := url.PathUnescape(r["AssumeRolePolicyDocument"].(string)); err != nil || text != trust {
		t.Errorf("the trust policy is %q", r["AssumeRolePolicyDocument"])
	}
	if got := c.call("ListAttachedRolePolicies", object{"RoleName": "r"})["AttachedPolicies"]; !reflect.DeepEqual(got, []any{object{"PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess", "PolicyName": "AdministratorAccess"}}) {
		t.Errorf("attached are %v", got)
	}
	c.call("CreateInstanceProfile", object{"InstanceProfileName": "i"})
	c.call("AddRoleToInstanceProfile", object{"InstanceProfileName": "i", "RoleName": "r"})
	c.refused("DeleteRole", object{"RoleName": "r"}, "DeleteConflict", "Cannot delete entity, must remove roles from instance profile first.")
	c.call("RemoveRoleFromInstanceProfile", object{"InstanceProfileName": "i", "RoleName": "r"})
	c.refused("DeleteRole", object{"RoleName": "r"}, "DeleteConflict", "Cannot delete entity, must detach all policies first.")
	c.call("DetachRolePolicy", object{"RoleName": "r", "PolicyArn": "arn:aws:iam::aws:policy/AdministratorAccess"})
	c.refused("DeleteRole", object{"RoleName": "r"}, "DeleteConflict", "Cannot delete entity, must delete policies first.")
	c.call("DeleteRolePolicy", object{"RoleName": "r", "PolicyName": "p"})
	c.call("DeleteRole", object{"RoleName": "r"})
	c.refused("DeleteRole", object{"RoleName": "r"}, "NoSuchEntity", "The role with name r cannot be found.")
}

func TestPoliciesHaveVersions(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	arn := c.call("CreatePolicy", object{"PolicyName": "p", "PolicyDocument": trust})["Policy"].(object)["Arn"]
	for range 4 {
		c.call("CreatePolicyVersion", object{"PolicyArn": arn, "PolicyDocument": trust, "SetAsDefault": true})
	}
	c.refused("CreatePolicyVersion", object{"PolicyArn": arn, "PolicyDocument": trust}, "LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
	c.refused("DeletePolicyVersion", object{"PolicyArn": arn, "VersionId": "v5"}, "DeleteConflict", "Cannot delete the default version of a policy.")
	c.refused("DeletePolicy", object{"PolicyArn": arn}, "DeleteConflict", "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	c.call("DeletePolicyVersion", object{"PolicyArn": arn, "VersionId": "v2"})
	c.call("CreatePolicyVersion", object{"PolicyArn": arn, "PolicyDocument": trust})
	var ids []string
	for _, v := range c.call("ListPolicyVersions", object{"PolicyArn": arn})["Versions"].([]any) {
		ids = append(ids, v.(object)["VersionId"].(string))
	}
	if !reflect.DeepEqual(ids, []string{"v6", "v5", "v4", "v3", "v1"}) {
		t.Errorf("the versions are %v", ids)
	}
	c.call("CreateRole", object{"RoleName": "r", "AssumeRolePolicyDocument": trust})
	c.call("AttachRolePolicy", object{"RoleName": "r", "PolicyArn": arn})
	if got := c.call("GetPolicy", object{"PolicyArn": arn})["Policy"].(object); got["AttachmentCount"] != int64(1) || got["DefaultVersionId"] != "v5" {
		t.Errorf("the policy is %v", got)
	}
	c.refused("DeletePolicy", object{"PolicyArn": arn}, "DeleteConflict", "Cannot delete a policy attached to entities.")
}

func TestRolesAreListedInPages(t *testing.T) {
	t.Parallel()
	c := open(t, &recordtest.Records{})
	for _, name := range []string{"c", "a", "b"} {
		c.call("CreateRole", object{"RoleName": name, "AssumeRolePolicyDocument": trust})
	}
	var names []string
	in := object{"MaxItems": 2}
	for {
		out := c.call("ListRoles", in)
		for _, r := range out["Roles"].([]any) {
			names = append(names, r.(object)["RoleName"].(string))
		}
		if out["IsTruncated"] != true {
			break
		}
		in["Marker"] = out["Marker"]
	}
	if !reflect.DeepEqual(names, []string{"a", "b", "c"}) {
		t.Errorf("the roles are %v", names)
	}
}
