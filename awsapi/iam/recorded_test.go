package iam_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"showrunner/awsapi/awstest"
	"showrunner/awsapi/iam"
	"showrunner/store/record/recordtest"
)

// TestRecordedAnswers compares with what AWS was recorded to answer: the public project
// localstack/localstack, tests/aws/services/iam. The facts are stated here.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	tests := map[string][]fact{}
	for _, group := range []map[string][]fact{recordedRoles(), recordedRoleTags(), recordedPolicies(), recordedProfiles(), recordedMembers()} {
		maps.Copy(tests, group)
	}
	awstest.Facts(t, "iam", "164 of 164", func(t *testing.T) *awstest.Client {
		return awstest.New(t, iam.Service(&recordtest.Records{}, nil, time.Now))
	}, tests)
}

type fact = awstest.Fact

var fails = awstest.Fails

// call is a call whose answer is compared, nil for one that is not; in is names and values, in turn.
func call(name, operation string, want any, in ...any) fact {
	return fact{Name: name, Operation: operation, In: with(object{}, in...), Want: want}
}

func with(o object, more ...any) object {
	o = maps.Clone(o)
	for i := 0; i+1 < len(more); i += 2 {
		o[more[i].(string)] = more[i+1]
	}
	return o
}

const (
	iamARN   = "arn:aws:iam::000000000000:"
	noEntity = "NoSuchEntity"
	badInput = "ValidationError"
	inUse    = "DeleteConflict"
	listing  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:ListBucket","Resource":"arn:aws:s3:::example_bucket"}}`
)

var (
	trustRead = object{"Version": "2012-10-17", "Statement": []any{object{"Effect": "Allow", "Principal": object{"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}}}
	listRead  = object{"Version": "2012-10-17", "Statement": object{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::example_bucket"}}
	done      = object{}
)

// list is a whole list.
func list(member string, elements ...any) object {
	if elements == nil {
		elements = []any{}
	}
	return object{member: elements, "IsTruncated": false}
}

func tags(pairs ...string) []any {
	out := []any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, object{"Key": pairs[i], "Value": pairs[i+1]})
	}
	return out
}

func toldRole(name string, more ...any) object {
	return with(object{"Arn": iamARN + "role/" + name, "AssumeRolePolicyDocument": trustRead, "CreateDate": "<datetime>", "Path": "/", "RoleId": "<role-" + name + ">", "RoleName": name}, more...)
}

// readRole is a role as reading it tells it.
func readRole(name string, more ...any) object {
	return toldRole(name, append([]any{"MaxSessionDuration", 3600.0, "RoleLastUsed", object{}}, more...)...)
}

func made(name, role string, want any, more ...any) fact {
	return call(name, "CreateRole", want, append([]any{"RoleName", role, "AssumeRolePolicyDocument", trust}, more...)...)
}

func recordedRoles() map[string][]fact {
	noRole := fails(noEntity, "The role with name none cannot be found.")
	gone := fails(noEntity, "The role with name r cannot be found.")
	malformed := func(message string) any { return fails("MalformedPolicyDocument", message) }
	statement := func(more string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},` + more + `}]}`
	}
	policy := iamARN + "policy/p"
	attached := object{"PolicyArn": policy, "PolicyName": "p"}
	return map[string][]fact{
		"test_role_errors": {
			call("get-role-error", "GetRole", noRole, "RoleName", "none"), call("update-role-error", "UpdateRole", noRole, "RoleName", "none", "Description", "x"), call("delete-role-error", "DeleteRole", noRole, "RoleName", "none"),
			made("create-role-for-duplicate-test", "r", object{"Role": toldRole("r")}), made("create-role-already-exists-error", "r", fails("EntityAlreadyExists", "Role with name r already exists.")),
		},
		"test_create_role_defaults":             {made("create-role-response", "r", object{"Role": toldRole("r")}), call("get-role-response", "GetRole", object{"Role": readRole("r")}, "RoleName", "r")},
		"test_delete_role_with_attached_policy": {made("", "r", nil), call("", "CreatePolicy", nil, "PolicyName", "p", "PolicyDocument", listing), call("", "AttachRolePolicy", nil, "RoleName", "r", "PolicyArn", policy), call("delete-role-with-policy-error", "DeleteRole", fails(inUse, "Cannot delete entity, must detach all policies first."), "RoleName", "r"), call("", "DetachRolePolicy", nil, "RoleName", "r", "PolicyArn", policy), call("", "DeleteRole", nil, "RoleName", "r"), call("get-role-after-deletion-error", "GetRole", gone, "RoleName", "r")},
		"test_delete_role_with_inline_policy":   {made("", "r", nil), call("", "PutRolePolicy", nil, "RoleName", "r", "PolicyName", "p", "PolicyDocument", listing), call("delete-role-with-inline-policy-error", "DeleteRole", fails(inUse, "Cannot delete entity, must delete policies first."), "RoleName", "r")},
		"test_update_role": {
			made("", "r", nil, "Description", "initial"), call("get-role-initial", "GetRole", object{"Role": readRole("r", "Description", "initial")}, "RoleName", "r"),
			call("update-role-response", "UpdateRole", done, "RoleName", "r", "Description", "updated", "MaxSessionDuration", 7200),
			call("get-role-after-update", "GetRole", object{"Role": readRole("r", "Description", "updated", "MaxSessionDuration", 7200.0)}, "RoleName", "r"),
			call("update-role-description-response", "UpdateRoleDescription", object{"Role": toldRole("r", "Description", "again")}, "RoleName", "r", "Description", "again"),
			call("update-role-defaults-response", "UpdateRole", done, "RoleName", "r"), call("get-role-after-defaults", "GetRole", object{"Role": readRole("r", "Description", "again", "MaxSessionDuration", 7200.0)}, "RoleName", "r"),
		},
		"test_update_assume_role_policy_errors": {
			made("", "r", nil), call("invalid-json-error", "UpdateAssumeRolePolicy", malformed("This policy contains invalid Json"), "RoleName", "r", "PolicyDocument", "not valid json"),
			call("invalid-action-error", "UpdateAssumeRolePolicy", malformed("AssumeRole policy may only specify STS AssumeRole actions."), "RoleName", "r", "PolicyDocument", statement(`"Action":"sts:InvalidAction"`)),
			call("resource-field-error", "UpdateAssumeRolePolicy", malformed("Has prohibited field Resource"), "RoleName", "r", "PolicyDocument", statement(`"Action":"sts:AssumeRole","Resource":"arn:aws:s3:::example_bucket"`)),
		},
		"test_role_inline_policy_lifecycle": {
			made("", "r", nil), call("", "PutRolePolicy", nil, "RoleName", "r", "PolicyName", "p1", "PolicyDocument", listing), call("get-role-policy-1", "GetRolePolicy", object{"PolicyDocument": listRead, "PolicyName": "p1", "RoleName": "r"}, "RoleName", "r", "PolicyName", "p1"),
			call("list-role-policies-1", "ListRolePolicies", list("PolicyNames", "p1"), "RoleName", "r"), call("", "DeleteRolePolicy", nil, "RoleName", "r", "PolicyName", "p1"),
			call("get-deleted-policy-error", "GetRolePolicy", fails(noEntity, "The role policy with name p1 cannot be found."), "RoleName", "r", "PolicyName", "p1"), call("delete-nonexistent-policy-error", "DeleteRolePolicy", fails(noEntity, "The role policy with name p1 cannot be found."), "RoleName", "r", "PolicyName", "p1"),
		},
		"test_role_managed_policies": {
			made("", "r", nil), call("list-attached-policies-empty", "ListAttachedRolePolicies", list("AttachedPolicies"), "RoleName", "r"), call("", "CreatePolicy", nil, "PolicyName", "p", "PolicyDocument", listing),
			call("detach-not-attached-policy-error", "DetachRolePolicy", fails(noEntity, "Policy "+policy+" was not found."), "RoleName", "r", "PolicyArn", policy),
			call("non-existent-malformed-policy-arn", "AttachRolePolicy", fails(badInput, "ARN longpolicynamebutnoarn is not valid."), "RoleName", "r", "PolicyArn", "longpolicynamebutnoarn"),
			call("attach-nonexistent-policy-error", "AttachRolePolicy", fails(noEntity, "Policy "+iamARN+"policy/none does not exist or is not attachable."), "RoleName", "r", "PolicyArn", iamARN+"policy/none"),
			call("", "AttachRolePolicy", nil, "RoleName", "r", "PolicyArn", policy), call("list-attached-policies-1", "ListAttachedRolePolicies", list("AttachedPolicies", attached), "RoleName", "r"),
		},
		"test_role_permissions_boundary_lifecycle": {
			call("", "CreatePolicy", nil, "PolicyName", "p", "PolicyDocument", listing),
			made("create-role-with-boundary", "r", object{"Role": toldRole("r", "PermissionsBoundary", object{"PermissionsBoundaryArn": policy, "PermissionsBoundaryType": "Policy"})}, "PermissionsBoundary", policy, "Description", "bounded"),
			call("get-role-with-boundary", "GetRole", object{"Role": readRole("r", "Description", "bounded", "PermissionsBoundary", object{"PermissionsBoundaryArn": policy, "PermissionsBoundaryType": "Policy"})}, "RoleName", "r"),
			call("", "DeleteRolePermissionsBoundary", nil, "RoleName", "r"), call("get-role-no-boundary", "GetRole", object{"Role": readRole("r", "Description", "bounded")}, "RoleName", "r"),
		},
		"test_list_roles_pagination": {
			made("create-role-0", "r0", object{"Role": toldRole("r0", "Path", "/x/", "Arn", iamARN+"role/x/r0")}, "Path", "/x/", "Description", "Role 0"), made("", "r1", nil, "Path", "/x/"),
			call("list-roles-with-path", "ListRoles", list("Roles", toldRole("r0", "Path", "/x/", "Arn", iamARN+"role/x/r0", "Description", "Role 0", "MaxSessionDuration", 3600.0), toldRole("r1", "Path", "/x/", "Arn", iamARN+"role/x/r1", "MaxSessionDuration", 3600.0)), "PathPrefix", "/x/"),
			call("list-roles-max-items", "ListRoles", object{"Roles": []any{toldRole("r0", "Path", "/x/", "Arn", iamARN+"role/x/r0", "Description", "Role 0", "MaxSessionDuration", 3600.0)}, "IsTruncated": true, "Marker": "<marker>"}, "PathPrefix", "/x/", "MaxItems", 1),
			call("list-roles-with-marker", "ListRoles", list("Roles", toldRole("r1", "Path", "/x/", "Arn", iamARN+"role/x/r1", "MaxSessionDuration", 3600.0)), "PathPrefix", "/x/", "MaxItems", 1, "Marker", "<marker>"), call("list-roles-empty", "ListRoles", list("Roles"), "PathPrefix", "/none/"),
		},
	}
}

// recordedRoleTags are tags of roles, and what no tag can be.
func recordedRoleTags() map[string][]fact {
	many, keys := []any{}, []any{}
	for i := range 51 {
		many, keys = append(many, object{"Key": fmt.Sprint(i), "Value": ""}), append(keys, fmt.Sprint(i))
	}
	atTags := func(at, must string) any {
		return fails(badInput, "1 validation error detected: Value at '"+at+"' failed to satisfy constraint: Member must "+must)
	}
	const pattern = `satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`
	keyed := atTags("tagKeys", "satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1, Member must "+pattern+", Member must not be null]")
	twice := fails("InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
	long := strings.Repeat("k", 129)
	noRole := fails(noEntity, "The role with name none cannot be found.")
	facts := []fact{made("", "r", nil), call("tag-nonexistent-role-error", "TagRole", noRole, "RoleName", "none", "Tags", tags("a", "b")), call("untag-nonexistent-role-error", "UntagRole", noRole, "RoleName", "none", "TagKeys", []any{"a"}), call("list-tags-nonexistent-role-error", "ListRoleTags", noRole, "RoleName", "none")}
	for name, one := range map[string]struct {
		tags []any
		want any
	}{
		"too-many-tags":  {many, atTags("tags", "have length less than or equal to 50")},
		"duplicate-tags": {tags("a", "1", "a", "2"), twice}, "duplicate-tags-different-case": {tags("a", "1", "A", "2"), twice},
		"tag-key-too-long":   {tags(long, "v"), atTags("tags.1.member.key", "have length less than or equal to 128")},
		"tag-value-too-long": {tags("k", long+long), atTags("tags.1.member.value", "have length less than or equal to 256")},
		"tag-invalid-char":   {tags("&", "v"), atTags("tags.1.member.key", pattern)},
	} {
		facts = append(facts, made("create-role-"+name, "s", one.want, "Tags", one.tags), call("tag-role-"+name, "TagRole", one.want, "RoleName", "r", "Tags", one.tags))
	}
	facts = append(facts, call("untag-role-too-many-keys", "UntagRole", atTags("tagKeys", "have length less than or equal to 50"), "RoleName", "r", "TagKeys", keys), call("untag-role-key-too-long", "UntagRole", keyed, "RoleName", "r", "TagKeys", []any{long}), call("untag-role-invalid-char", "UntagRole", keyed, "RoleName", "r", "TagKeys", []any{"&"}))
	return map[string][]fact{
		"test_role_tag_errors": facts,
		"test_role_with_tags": {
			made("create-role-response", "r", object{"Role": toldRole("r", "Path", "/t/", "Arn", iamARN+"role/t/r", "Tags", tags("test", "value"))}, "Path", "/t/", "Tags", tags("test", "value")),
			call("get-role-response", "GetRole", object{"Role": readRole("r", "Path", "/t/", "Arn", iamARN+"role/t/r", "Tags", tags("test", "value"))}, "RoleName", "r"),
			call("list-role-response", "ListRoles", list("Roles", toldRole("r", "Path", "/t/", "Arn", iamARN+"role/t/r", "MaxSessionDuration", 3600.0)), "PathPrefix", "/t/"),
			made("create-role-empty-tag-value", "e", object{"Role": toldRole("e", "Tags", tags("emptykey", ""))}, "Tags", tags("emptykey", "")), call("list-role-tags-empty-value", "ListRoleTags", list("Tags", tags("emptykey", "")...), "RoleName", "e"),
		},
		"test_role_tag_operations": {
			made("", "r", nil), call("", "TagRole", nil, "RoleName", "r", "Tags", tags("somekey", "1", "someotherkey", "2")), call("get-role-with-tags", "GetRole", object{"Role": readRole("r", "Tags", tags("somekey", "1", "someotherkey", "2"))}, "RoleName", "r"),
			call("", "TagRole", nil, "RoleName", "r", "Tags", tags("somekey", "")), call("list-role-tags-after-update", "ListRoleTags", list("Tags", tags("somekey", "", "someotherkey", "2")...), "RoleName", "r"),
			call("", "UntagRole", nil, "RoleName", "r", "TagKeys", []any{"somekey", "someotherkey"}), call("list-role-tags-empty", "ListRoleTags", list("Tags"), "RoleName", "r"),
		},
	}
}
