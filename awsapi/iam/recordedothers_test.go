package iam_test

func toldPolicy(name string, more ...any) object {
	return with(object{"Arn": iamARN + "policy/" + name, "AttachmentCount": 0.0, "CreateDate": "<datetime>", "DefaultVersionId": "v1", "IsAttachable": true, "Path": "/", "PermissionsBoundaryUsageCount": 0.0, "PolicyId": "<policy-" + name + ">", "PolicyName": name, "UpdateDate": "<datetime>"}, more...)
}

func policyMade(name, policy string, want any, more ...any) fact {
	return call(name, "CreatePolicy", want, append([]any{"PolicyName", policy, "PolicyDocument", listing}, more...)...)
}

func recordedPolicies() map[string][]fact {
	const p, none = iamARN + "policy/p", iamARN + "policy/none"
	version := func(id string, isDefault bool) object {
		return object{"CreateDate": "<datetime>", "IsDefaultVersion": isDefault, "VersionId": id}
	}
	next := func(name string, want any, asDefault bool) fact {
		return call(name, "CreatePolicyVersion", want, "PolicyArn", p, "PolicyDocument", listing, "SetAsDefault", asDefault)
	}
	get := func(name string, want any, arn, version string) fact {
		return call(name, "GetPolicyVersion", want, "PolicyArn", arn, "VersionId", version)
	}
	set := func(name string, want any, arn, version string) fact {
		return call(name, "SetDefaultPolicyVersion", want, "PolicyArn", arn, "VersionId", version)
	}
	remove := func(name string, want any, version string) fact {
		return call(name, "DeletePolicyVersion", want, "PolicyArn", p, "VersionId", version)
	}
	versions := func(name string, want any) fact { return call(name, "ListPolicyVersions", want, "PolicyArn", p) }
	gone := func(arn, version string) any {
		return fails(noEntity, "Policy "+arn+" version "+version+" does not exist or is not attachable.")
	}
	form := fails(badInput, `1 validation error detected: Value at 'versionId' failed to satisfy constraint: Member must satisfy regular expression pattern: v[1-9][0-9]*(\.[A-Za-z0-9-]*)?`)
	twice := fails("InvalidInput", "Duplicate tag keys found.")
	return map[string][]fact{
		"test_policy_lifecycle": {
			policyMade("create-policy-response", "p", object{"Policy": toldPolicy("p", "Path", "/t/", "Arn", iamARN+"policy/t/p")}, "Path", "/t/"),
			call("get-policy-response", "GetPolicy", object{"Policy": toldPolicy("p", "Path", "/t/", "Arn", iamARN+"policy/t/p", "Tags", []any{})}, "PolicyArn", iamARN+"policy/t/p"),
			call("filtered-policy-list", "ListPolicies", list("Policies", toldPolicy("p", "Path", "/t/", "Arn", iamARN+"policy/t/p")), "Scope", "Local"),
			call("delete-policy-response", "DeletePolicy", done, "PolicyArn", iamARN+"policy/t/p"),
		},
		"test_policy_errors": {policyMade("create-policy-response", "p", object{"Policy": toldPolicy("p")}), policyMade("policy-already-exists", "p", fails("EntityAlreadyExists", "A policy called p already exists. Duplicate names are not allowed."))},
		"test_policy_version_lifecycle": {
			policyMade("", "p", nil), next("create-version-v2", object{"PolicyVersion": version("v2", true)}, true), get("get-version-v2", object{"PolicyVersion": with(version("v2", true), "Document", listRead)}, p, "v2"),
			next("create-version-v3", object{"PolicyVersion": version("v3", false)}, false), remove("", nil, "v1"), versions("list-versions", list("Versions", version("v3", false), version("v2", true))),
			set("set-default-v3", done, p, "v3"), versions("list-after-set-default", list("Versions", version("v3", true), version("v2", false))),
			next("", nil, false), next("", nil, false), next("", nil, false), next("err-version-limit-exceeded", fails("LimitExceeded", "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."), false),
			remove("", nil, "v2"), next("create-version-after-delete", object{"PolicyVersion": version("v7", false)}, false),
		},
		"test_policy_version_errors": {
			policyMade("create-policy", "p", object{"Policy": toldPolicy("p")}), get("err-get-version-nonexistent-policy", gone(none, "v1"), none, "v1"), get("err-get-nonexistent-version", gone(p, "v9"), p, "v9"),
			remove("err-delete-default-version", fails(inUse, "Cannot delete the default version of a policy."), "v1"), remove("err-delete-nonexistent-version", gone(p, "v9"), "v9"),
			set("err-set-default-nonexistent-policy", gone(none, "v1"), none, "v1"), set("err-set-default-invalid-version-format", form, p, "wrong"), set("err-set-default-nonexistent-version", gone(p, "v4"), p, "v4"),
		},
		"test_policy_tags": {
			policyMade("create-with-tags", "p", object{"Policy": toldPolicy("p", "Tags", tags("a", "lowercase", "A", "uppercase"))}, "Tags", tags("a", "lowercase", "A", "uppercase"), "Description", "testing"),
			call("get-with-tags", "GetPolicy", object{"Policy": toldPolicy("p", "Description", "testing", "Tags", tags("a", "lowercase", "A", "uppercase"))}, "PolicyArn", p),
			call("list-case-sensitive-tags", "ListPolicyTags", list("Tags", tags("A", "uppercase", "a", "lowercase")...), "PolicyArn", p),
			call("list-tags-page1", "ListPolicyTags", object{"Tags": tags("A", "uppercase"), "IsTruncated": true, "Marker": "<marker>"}, "PolicyArn", p, "MaxItems", 1), call("list-tags-page2", "ListPolicyTags", list("Tags", tags("a", "lowercase")...), "PolicyArn", p, "MaxItems", 1, "Marker", "<marker>"),
			call("", "UntagPolicy", nil, "PolicyArn", p, "TagKeys", []any{"a"}), call("list-after-untag-lowercase", "ListPolicyTags", list("Tags", tags("A", "uppercase")...), "PolicyArn", p),
			policyMade("err-duplicate-keys", "q", twice, "Tags", tags("a", "1", "a", "2")), call("err-tag-duplicate-keys", "TagPolicy", twice, "PolicyArn", p, "Tags", tags("a", "1", "a", "2")),
			call("err-tag-nonexistent-policy", "TagPolicy", fails(noEntity, "Policy "+none+" was not found."), "PolicyArn", none, "Tags", tags("a", "1")),
		},
	}
}

func recordedProfiles() map[string][]fact {
	profile := func(name string, more ...any) object {
		return with(object{"Arn": iamARN + "instance-profile/" + name, "CreateDate": "<datetime>", "InstanceProfileId": "<profile-" + name + ">", "InstanceProfileName": name, "Path": "/", "Roles": []any{}}, more...)
	}
	create := func(name, profile string, want any, more ...any) fact {
		return call(name, "CreateInstanceProfile", want, append([]any{"InstanceProfileName", profile}, more...)...)
	}
	of := func(name, operation string, want any, profile, role string) fact {
		return call(name, operation, want, "InstanceProfileName", profile, "RoleName", role)
	}
	gone := func(name string) any { return fails(noEntity, "Instance Profile "+name+" cannot be found.") }
	noRole := fails(noEntity, "The role with name none cannot be found.")
	return map[string][]fact{
		"test_instance_profile_lifecycle": {
			create("create-instance-profile", "p", object{"InstanceProfile": profile("p", "Path", "/x/", "Arn", iamARN+"instance-profile/x/p")}, "Path", "/x/"), call("get-instance-profile", "GetInstanceProfile", object{"InstanceProfile": profile("p", "Path", "/x/", "Arn", iamARN+"instance-profile/x/p", "Tags", []any{})}, "InstanceProfileName", "p"),
			create("create-duplicate-error", "p", fails("EntityAlreadyExists", "Instance Profile p already exists.")), call("", "DeleteInstanceProfile", nil, "InstanceProfileName", "p"), call("get-deleted-error", "GetInstanceProfile", gone("p"), "InstanceProfileName", "p"), call("delete-nonexistent-error", "DeleteInstanceProfile", gone("p"), "InstanceProfileName", "p"),
			create("create-with-tags", "t", object{"InstanceProfile": profile("t", "Tags", tags("a", "b"))}, "Tags", tags("a", "b")), call("get-with-initial-tags", "GetInstanceProfile", object{"InstanceProfile": profile("t", "Tags", tags("a", "b"))}, "InstanceProfileName", "t"),
		},
		"test_instance_profile_roles": {
			create("", "p", nil), made("", "r", nil), made("", "s", nil), call("list-for-role-empty", "ListInstanceProfilesForRole", list("InstanceProfiles"), "RoleName", "r"),
			of("add-role-nonexistent-profile-error", "AddRoleToInstanceProfile", gone("none"), "none", "r"), of("add-nonexistent-role-error", "AddRoleToInstanceProfile", noRole, "p", "none"),
			of("remove-role-nonexistent-profile-error", "RemoveRoleFromInstanceProfile", gone("none"), "none", "r"), of("remove-nonexistent-role-error", "RemoveRoleFromInstanceProfile", noRole, "p", "none"),
			of("remove-unattached-role-error", "RemoveRoleFromInstanceProfile", fails(noEntity, "Role r in Instance Profile p cannot be found."), "p", "r"), of("", "AddRoleToInstanceProfile", nil, "p", "r"),
			call("get-with-role", "GetInstanceProfile", object{"InstanceProfile": profile("p", "Roles", []any{toldRole("r")}, "Tags", []any{})}, "InstanceProfileName", "p"),
			call("list-instance-profiles", "ListInstanceProfiles", list("InstanceProfiles", profile("p", "Roles", []any{toldRole("r")}))), call("list-for-role", "ListInstanceProfilesForRole", list("InstanceProfiles", profile("p", "Roles", []any{toldRole("r")})), "RoleName", "r"),
			of("add-second-role-error", "AddRoleToInstanceProfile", fails("LimitExceeded", "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1"), "p", "s"),
			call("delete-with-role-error", "DeleteInstanceProfile", fails(inUse, "Cannot delete entity, must remove roles from instance profile first."), "InstanceProfileName", "p"), call("delete-role-with-instance-profile-error", "DeleteRole", fails(inUse, "Cannot delete entity, must remove roles from instance profile first."), "RoleName", "r"),
			of("", "RemoveRoleFromInstanceProfile", nil, "p", "r"), call("get-without-role", "GetInstanceProfile", object{"InstanceProfile": profile("p", "Tags", []any{})}, "InstanceProfileName", "p"),
		},
	}
}

// recordedMembers are users and groups.
func recordedMembers() map[string][]fact {
	user := func(name string, more ...any) object {
		return with(object{"Arn": iamARN + "user/" + name, "CreateDate": "<datetime>", "Path": "/", "UserId": "<user-id>", "UserName": name}, more...)
	}
	group := func(name string, more ...any) object {
		return with(object{"Arn": iamARN + "group/" + name, "CreateDate": "<datetime>", "GroupId": "<group-id>", "GroupName": name, "Path": "/"}, more...)
	}
	missing := func(kind, name string) any {
		return fails(noEntity, "The "+kind+" with name "+name+" cannot be found.")
	}
	newUser := func(name string, want any, more ...any) fact {
		return call(name, "CreateUser", want, append([]any{"UserName", "u"}, more...)...)
	}
	newGroup := func(name string, want any, more ...any) fact {
		return call(name, "CreateGroup", want, append([]any{"GroupName", "g"}, more...)...)
	}
	both := func(name, operation string, want any, user, group string) fact {
		return call(name, operation, want, "UserName", user, "GroupName", group)
	}
	const p = iamARN + "policy/p"
	return map[string][]fact{
		"test_user_lifecycle": {
			newUser("create-user", object{"User": user("u", "Path", "/x/", "Arn", iamARN+"user/x/u")}, "Path", "/x/"), call("get-user", "GetUser", object{"User": user("u", "Path", "/x/", "Arn", iamARN+"user/x/u")}, "UserName", "u"),
			call("list-users", "ListUsers", list("Users", user("u", "Path", "/x/", "Arn", iamARN+"user/x/u"))), call("list-filtered-users-partial-path", "ListUsers", list("Users", user("u", "Path", "/x/", "Arn", iamARN+"user/x/u")), "PathPrefix", "/x"),
			newUser("create-duplicate-user-error", fails("EntityAlreadyExists", "User with name u already exists.")),
			call("update-user", "UpdateUser", done, "UserName", "u", "NewUserName", "v", "NewPath", "/y/"), call("get-updated-user", "GetUser", object{"User": user("v", "Path", "/y/", "Arn", iamARN+"user/y/v")}, "UserName", "v"), call("get-old-user-error", "GetUser", missing("user", "u"), "UserName", "u"),
			call("delete-user", "DeleteUser", done, "UserName", "v"), call("get-deleted-user-error", "GetUser", missing("user", "v"), "UserName", "v"), call("update-nonexistent-user-error", "UpdateUser", missing("user", "none"), "UserName", "none", "NewUserName", "x"), call("delete-nonexistent-user-error", "DeleteUser", missing("user", "none"), "UserName", "none"),
		},
		"test_delete_user_with_policies": {
			newUser("", nil), policyMade("", "p", nil), call("", "AttachUserPolicy", nil, "UserName", "u", "PolicyArn", p), call("delete-user-with-attached-policy-error", "DeleteUser", fails(inUse, "Cannot delete entity, must detach all policies first."), "UserName", "u"),
			call("", "DetachUserPolicy", nil, "UserName", "u", "PolicyArn", p), call("", "PutUserPolicy", nil, "UserName", "u", "PolicyName", "i", "PolicyDocument", listing), call("delete-user-with-inline-policy-error", "DeleteUser", fails(inUse, "Cannot delete entity, must delete policies first."), "UserName", "u"),
		},
		"test_user_tags": {
			newUser("", nil, "Tags", tags("Team", "Platform")), call("tag-user", "TagUser", done, "UserName", "u", "Tags", tags("Environment", "Test")), call("list-user-tags", "ListUserTags", list("Tags", tags("Environment", "Test", "Team", "Platform")...), "UserName", "u"),
			call("untag-user", "UntagUser", done, "UserName", "u", "TagKeys", []any{"Team"}), call("list-user-tags-after-untag", "ListUserTags", list("Tags", tags("Environment", "Test")...), "UserName", "u"),
			call("tag-nonexistent-user-error", "TagUser", missing("user", "none"), "UserName", "none", "Tags", tags("a", "b")), call("list-tags-nonexistent-user-error", "ListUserTags", missing("user", "none"), "UserName", "none"),
		},
		"test_groups": {
			newGroup("create-group", object{"Group": group("g")}), newGroup("create-group-duplicate", fails("EntityAlreadyExists", "Group with name g already exists.")), call("get-group-default-path", "GetGroup", with(list("Users"), "Group", group("g")), "GroupName", "g"),
			call("get-group-not-found", "GetGroup", missing("group", "none"), "GroupName", "none"), call("list-groups", "ListGroups", list("Groups", group("g"))), call("delete-unknown-group", "DeleteGroup", missing("group", "none"), "GroupName", "none"),
			call("update-nonexistent-group", "UpdateGroup", missing("group", "none"), "GroupName", "none", "NewGroupName", "x"), call("", "CreateGroup", nil, "GroupName", "h"), call("update-duplicate-name", "UpdateGroup", fails("EntityAlreadyExists", "Group with name h already exists."), "GroupName", "g", "NewGroupName", "h"),
			call("", "UpdateGroup", nil, "GroupName", "g", "NewGroupName", "i", "NewPath", "/new/"), call("updated-group", "GetGroup", with(list("Users"), "Group", group("i", "Path", "/new/", "Arn", iamARN+"group/new/i")), "GroupName", "i"), call("old-group-not-found", "GetGroup", missing("group", "g"), "GroupName", "g"),
			call("delete-response", "DeleteGroup", done, "GroupName", "i"),
		},
		"test_memberships": {
			newUser("", nil), newGroup("", nil), call("list-groups-for-user-empty", "ListGroupsForUser", list("Groups"), "UserName", "u"), both("add-user-to-group", "AddUserToGroup", done, "u", "g"), both("again", "AddUserToGroup", done, "u", "g"),
			call("list-groups-for-user", "ListGroupsForUser", list("Groups", group("g")), "UserName", "u"), call("group-with-user", "GetGroup", with(list("Users", user("u")), "Group", group("g")), "GroupName", "g"),
			both("remove-user-from-group", "RemoveUserFromGroup", done, "u", "g"), both("remove-nonmember-user-from-group", "RemoveUserFromGroup", done, "u", "g"), call("group-after-remove", "GetGroup", with(list("Users"), "Group", group("g")), "GroupName", "g"),
			both("add-nonexistent-user-to-group-error", "AddUserToGroup", missing("user", "none"), "none", "g"), both("add-user-to-nonexistent-group-error", "AddUserToGroup", missing("group", "none"), "u", "none"),
			both("remove-from-unknown-group", "RemoveUserFromGroup", missing("user", "any"), "any", "none"), both("remove-user-from-nonexistent-group-error", "RemoveUserFromGroup", missing("group", "none"), "u", "none"),
		},
		"test_group_policies": {
			newGroup("", nil), policyMade("", "p", nil), call("get-nonexistent-policy", "GetGroupPolicy", fails(noEntity, "The group policy with name i cannot be found."), "GroupName", "g", "PolicyName", "i"), call("list-empty-policies", "ListGroupPolicies", list("PolicyNames"), "GroupName", "g"),
			call("put-group-policy", "PutGroupPolicy", done, "GroupName", "g", "PolicyName", "i", "PolicyDocument", listing), call("get-group-policy", "GetGroupPolicy", object{"GroupName": "g", "PolicyName": "i", "PolicyDocument": listRead}, "GroupName", "g", "PolicyName", "i"), call("list-policies-with-one", "ListGroupPolicies", list("PolicyNames", "i"), "GroupName", "g"),
			call("detach-unattached-error", "DetachGroupPolicy", fails(noEntity, "Policy "+p+" was not found."), "GroupName", "g", "PolicyArn", p), call("", "AttachGroupPolicy", nil, "GroupName", "g", "PolicyArn", p),
			call("one-attached-policy", "ListAttachedGroupPolicies", list("AttachedPolicies", object{"PolicyArn": p, "PolicyName": "p"}), "GroupName", "g"), call("no-attached-policies", "ListAttachedGroupPolicies", list("AttachedPolicies"), "GroupName", "g", "PathPrefix", "/none/"),
		},
	}
}
