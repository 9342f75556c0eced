package lambda_test

import (
	"fmt"
	"strings"
)

// recordedURLs are addresses.
func recordedURLs() map[string][]fact {
	address := func(qualifier, auth string, more ...any) object {
		return with(object{"AuthType": auth, "CreationTime": "date", "FunctionArn": fnARN + qualifier, "FunctionUrl": "date"}, more...)
	}
	tests := map[string][]fact{
		"test_url_config_lifecycle": {
			made(), call("url_creation", "CreateFunctionUrlConfig", address("", "NONE"), "FunctionName", "f", "AuthType", "NONE"),
			call("failed_duplication", "CreateFunctionUrlConfig", fails(conflict, "Failed to create function url config for [functionArn = "+fnARN+"]. Error message:  FunctionUrlConfig exists for this Lambda function"), "FunctionName", "f", "AuthType", "NONE"),
			call("get_url_config", "GetFunctionUrlConfig", address("", "NONE", "InvokeMode", "BUFFERED", "LastModifiedTime", "date"), "FunctionName", "f"),
			call("updated_url_config", "UpdateFunctionUrlConfig", address("", "AWS_IAM", "LastModifiedTime", "date"), "FunctionName", "f", "AuthType", "AWS_IAM"),
			done("DeleteFunctionUrlConfig", "FunctionName", "f"), call("failed_getter", "GetFunctionUrlConfig", fails(notFound, nothing), "FunctionName", "f"),
		},
		"test_url_config_list_paging": {
			made("Publish", true), done("CreateAlias", "FunctionName", "f", "Name", "urlalias", "FunctionVersion", "1"),
			call("list_function_notfound", "ListFunctionUrlConfigs", fails(notFound, "Function does not exist"), "FunctionName", "none"),
			call("list_all_empty", "ListFunctionUrlConfigs", object{"FunctionUrlConfigs": []any{}}, "FunctionName", "f"),
			call("url_config_fn", "CreateFunctionUrlConfig", address("", "NONE"), "FunctionName", "f", "AuthType", "NONE"),
			call("url_config_alias", "CreateFunctionUrlConfig", address(":urlalias", "NONE"), "FunctionName", "f:urlalias", "Qualifier", "urlalias", "AuthType", "NONE"),
			call("list_all", "ListFunctionUrlConfigs", object{"FunctionUrlConfigs": []any{address("", "NONE", "InvokeMode", "BUFFERED", "LastModifiedTime", "date"), address(":urlalias", "NONE", "InvokeMode", "BUFFERED", "LastModifiedTime", "date")}}, "FunctionName", "f"),
		},
	}
	list := []fact{made("Publish", true), done("CreateAlias", "FunctionName", "f", "Name", "urlalias", "FunctionVersion", "1")}
	for operation, gone := range map[string]string{"CreateFunctionUrlConfig": "Function does not exist", "GetFunctionUrlConfig": nothing, "DeleteFunctionUrlConfig": nothing, "UpdateFunctionUrlConfig": "Function does not exist"} {
		ask := func(name string, want any, in ...any) {
			if strings.HasPrefix(operation, "Create") {
				in = append(in, "AuthType", "NONE")
			}
			list = append(list, call(operation+"_"+name, operation, want, in...))
		}
		ask("name_doesnotexist", fails(notFound, gone), "FunctionName", "none")
		ask("arn_doesnotexist", fails(notFound, gone), "FunctionName", prefix+"function:none")
		for name, qualifier := range map[string]string{"name_doesnotexist_qualifier": "1", "qualifier_version": "1", "qualifier_version_doesnotexist": "2", "qualifier_latest": "$LATEST"} {
			ask(name, fails(badInput, "1 validation error detected: Value '"+qualifier+`' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: ((?!^\d+$)^[0-9a-zA-Z-_]+$)`), "FunctionName", "f", "Qualifier", qualifier)
		}
		ask("qualifier_alias_doesnotexist", fails(notFound, gone), "FunctionName", "f", "Qualifier", "v1")
		ask("qualifier_alias_doesnotmatch_arn", fails(badValue, noMatch), "FunctionName", "f:urlalias-doesnotmatch", "Qualifier", "urlalias")
		if operation != "CreateFunctionUrlConfig" {
			ask("config_doesnotexist", fails(notFound, nothing), "FunctionName", "f")
		}
	}
	tests["test_url_config_exceptions"] = list
	return tests
}

// recordedPolicies are permissions and their revisions.
func recordedPolicies() map[string][]fact {
	const bucket = "arn:aws:s3:::test-bucket"
	add := func(name string, want any, more ...any) fact {
		return call(name, "AddPermission", want, append([]any{"FunctionName", "f", "Action", "lambda:InvokeFunction", "StatementId", "s3", "Principal", "s3.amazonaws.com"}, more...)...)
	}
	statement := func(sid, qualifier string, who any, more ...any) object {
		return with(object{"Sid": sid, "Effect": "Allow", "Principal": who, "Action": "lambda:InvokeFunction", "Resource": fnARN + qualifier}, more...)
	}
	s3 := object{"Service": "s3.amazonaws.com"}
	from := object{"ArnLike": object{"AWS:SourceArn": bucket}}
	ofAccount := object{"StringEquals": object{"AWS:SourceAccount": "000000000000"}}
	policy := func(rev string, statements ...any) object {
		return object{"Policy": object{"Version": "2012-10-17", "Id": "default", "Statement": statements}, "RevisionId": "<uuid:" + rev + ">"}
	}
	remove := func(name string, want any, more ...any) fact {
		return call(name, "RemovePermission", want, append([]any{"FunctionName", "f", "StatementId", "s3"}, more...)...)
	}
	return map[string][]fact{
		"test_permission_exceptions": {
			made(), seen(),
			add("add_permission_invalid_statement_id", fails(badInput, "1 validation error detected: Value 'example.com' at 'statementId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)"), "StatementId", "example.com"),
			add("add_permission_fn_qualifier_mismatch", fails(badValue, noMatch), "FunctionName", "f:alias-not-42", "Qualifier", "42"),
			add("add_permission_fn_qualifier_latest", fails(badValue, "We currently do not support adding policies for $LATEST."), "FunctionName", "f:$LATEST", "Qualifier", "$LATEST"),
			add("add_permission_principal_invalid", fails(badValue, "The provided principal was invalid. Please check the principal and try again."), "Principal", "invalid.nonaws.com"),
			call("get_policy_fn_doesnotexist", "GetPolicy", fails(notFound, "Function not found: "+prefix+"function:none"), "FunctionName", "none"),
			call("get_policy_fn_version_doesnotexist", "GetPolicy", fails(notFound, nothing), "FunctionName", "f", "Qualifier", "77"),
			add("add_permission_fn_doesnotexist", fails(notFound, "Function not found: "+prefix+"function:none"), "FunctionName", "none"),
			remove("remove_permission_policy_doesnotexist", fails(notFound, "No policy is associated with the given resource.")),
			add("add_permission_fn_alias_doesnotexist", fails(notFound, "Cannot find alias arn: "+fnARN+":alias-none"), "FunctionName", "f:alias-none"),
			add("add_permission_fn_version_doesnotexist", fails(notFound, "Function not found: "+fnARN+":42"), "Qualifier", "42"),
			add("add_permission_fn_qualifier_invalid", fails(badInput, "1 validation error detected: Value 'invalid-qualifier-with-?-char' at 'qualifier' failed to satisfy constraint: Member must satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)"), "Qualifier", "invalid-qualifier-with-?-char"),
			add("add_permission_fn_qualifier_valid_doesnotexist", fails(notFound, "Function not found: "+fnARN+":valid-with-$-but-none"), "Qualifier", "valid-with-$-but-none"),
			add("", nil), add("add_permission_conflicting_statement_id", fails(conflict, "The statement id (s3) provided already exists. Please provide a new statement id, or remove the existing statement.")),
			remove("remove_permission_fn_doesnotexist", fails(notFound, "No policy found for: "+prefix+"function:none"), "FunctionName", "none"),
			remove("remove_permission_fn_alias_doesnotexist", fails(notFound, "Cannot find alias arn: "+fnARN+":alias-none"), "Qualifier", "alias-none"),
		},
		"test_add_lambda_permission_fields": {
			made(), add("add_permission_principal_wildcard", object{"Statement": statement("w", "", "*", "Condition", ofAccount)}, "StatementId", "w", "Principal", "*", "SourceAccount", "000000000000"),
			add("add_permission_principal_account", object{"Statement": statement("a", "", object{"AWS": "arn:aws:iam::000000000000:root"})}, "StatementId", "a", "Principal", "000000000000"),
			add("add_permission_principal_arn", object{"Statement": statement("u", "", object{"AWS": "arn:aws:iam::000000000000:user/u"}, "Condition", ofAccount)}, "StatementId", "u", "Principal", "arn:aws:iam::000000000000:user/u", "SourceAccount", "000000000000"),
			add("add_permission_optional_fields", object{"Statement": statement("url", "", "*", "Action", "lambda:InvokeFunctionUrl", "Condition", object{"StringEquals": object{"AWS:SourceAccount": "000000000000", "lambda:FunctionUrlAuthType": "NONE", "aws:PrincipalOrgID": "o-1234567890"}, "ArnLike": object{"AWS:SourceArn": bucket}})},
				"StatementId", "url", "Action", "lambda:InvokeFunctionUrl", "Principal", "*", "SourceArn", bucket, "SourceAccount", "000000000000", "PrincipalOrgID", "o-1234567890", "FunctionUrlAuthType", "NONE"),
			add("add_permission_alexa_skill", object{"Statement": statement("alexa", "", "*", "Condition", object{"StringEquals": object{"lambda:EventSourceToken": "amzn1.ask"}})}, "StatementId", "alexa", "Principal", "*", "EventSourceToken", "amzn1.ask"),
		},
		"test_lambda_permission_fn_versioning": {
			made(), seen(),
			add("add_permission", object{"Statement": statement("s3", "", s3, "Condition", from)}, "SourceArn", bucket),
			call("get_policy", "GetPolicy", policy("1", statement("s3", "", s3, "Condition", from)), "FunctionName", "f"),
			call("publish_version_result", "PublishVersion", config("2", "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f"),
			call("get_function_result_after_publishing", "GetFunctionConfiguration", config("3"), "FunctionName", "f"),
			call("get_policy_after_publishing_latest", "GetPolicy", policy("3", statement("s3", "", s3, "Condition", from)), "FunctionName", "f"),
			call("get_policy_after_publishing_new_version", "GetPolicy", fails(notFound, nothing), "FunctionName", "f", "Qualifier", "1"),
			add("", nil, "FunctionName", "f:1", "Qualifier", "1", "SourceArn", bucket),
			call("get_policy_version", "GetPolicy", policy("4", statement("s3", ":1", s3, "Condition", from)), "FunctionName", "f", "Qualifier", "1"),
			call("create_alias_response", "CreateAlias", object{"AliasArn": fnARN + ":live", "Description": "", "FunctionVersion": "1", "Name": "live", "RevisionId": "<uuid:5>"}, "FunctionName", "f", "Name", "live", "FunctionVersion", "1"),
			add("add_permission_alias_revision_exception", fails(outdated, revision), "Qualifier", "live", "RevisionId", "wrong"),
			add("", nil, "FunctionName", "f:live", "Qualifier", "live", "RevisionId", "<uuid:5>"),
			call("get_policy_alias", "GetPolicy", policy("6", statement("s3", ":live", s3)), "FunctionName", "f", "Qualifier", "live"),
			call("get_policy_after_adding_to_new_version", "GetPolicy", policy("3", statement("s3", "", s3, "Condition", from)), "FunctionName", "f"),
			add("", nil, "StatementId", "s3_2", "RevisionId", "<uuid:3>"),
			call("get_policy_after_adding_2", "GetPolicy", policy("7", statement("s3", "", s3, "Condition", from), statement("s3_2", "", s3)), "FunctionName", "f"),
		},
		"test_function_revisions_permissions": {
			made(), call("", "GetFunctionConfiguration", config("2"), "FunctionName", "f"),
			add("add_permission_revision_exception", fails(outdated, revision), "RevisionId", "wrong"),
			add("add_permission_response", object{"Statement": statement("s3", "", s3)}, "RevisionId", "<uuid:2>"),
			call("get_policy_response_rev3", "GetPolicy", policy("3", statement("s3", "", s3)), "FunctionName", "f"),
			call("", "GetFunctionConfiguration", config("3"), "FunctionName", "f"),
			remove("remove_permission_revision_exception", fails(outdated, revision), "RevisionId", "wrong"),
			remove("remove_permission_response", object{}, "RevisionId", "<uuid:3>"),
			call("", "GetFunctionConfiguration", config("4"), "FunctionName", "f"),
			call("get_policy_exception_removed_all", "GetPolicy", fails(notFound, nothing), "FunctionName", "f"),
		},
	}
}

// recordedTags are tags and concurrency.
func recordedTags() map[string][]fact {
	many := object{}
	for k := range 51 {
		many[fmt.Sprint(k)] = "v"
	}
	fifty := with(many, "50", nil)
	onVersion := fails(badValue, "Tags on function aliases and versions are not supported. Please specify a function ARN.")
	tooMany := fails(badValue, "Number of tags exceeds resource tag limit.")
	gone := fails(notFound, "Function not found: "+fnARN)
	return map[string][]fact{
		"test_tag_exceptions": {
			made(),
			call("tag_lambda_invalidarn", "TagResource", fails(badInput, `1 validation error detected: Value 'arn:aws:something' at 'resource' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*):lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:(function:[a-zA-Z0-9-_]+(:(\$LATEST|[a-zA-Z0-9-_]+))?|layer:([a-zA-Z0-9-_]+)|code-signing-config:csc-[a-z0-9]{17}|event-source-mapping:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})`), "Resource", "arn:aws:something", "Tags", object{"a": "b"}),
			call("tag_lambda_doesnotexist", "TagResource", fails(notFound, "Function not found: "+prefix+"function:none"), "Resource", prefix+"function:none", "Tags", object{"a": "b"}),
			call("tag_lambda_qualifier_doesnotexist", "TagResource", onVersion, "Resource", fnARN+":v1", "Tags", object{"a": "b"}),
			call("list_tag_lambda_empty", "ListTags", object{"Tags": object{}}, "Resource", fnARN),
			call("untag_nomatch", "UntagResource", object{}, "Resource", fnARN, "TagKeys", []any{"somekey"}),
			call("tag_empty_tags", "TagResource", fails(badValue, "An error occurred and the request cannot be processed."), "Resource", fnARN, "Tags", object{}),
		},
		"test_tag_limits": {
			made(), call("tag_lambda_too_many_tags", "TagResource", tooMany, "Resource", fnARN, "Tags", many), call("tag_response", "TagResource", object{}, "Resource", fnARN, "Tags", fifty),
			call("list_tags_response", "ListTags", object{"Tags": fifty}, "Resource", fnARN), call("tag_lambda_too_many_tags_additional", "TagResource", tooMany, "Resource", fnARN, "Tags", object{"a": "b"}),
		},
		"test_tag_versions": {made("Publish", true), call("tag_resource_exception", "TagResource", onVersion, "Resource", fnARN+":1", "Tags", object{"a": "b"}), call("tag_resource_latest_exception", "TagResource", onVersion, "Resource", fnARN+":$LATEST", "Tags", object{"a": "b"})},
		"test_tag_lifecycle": {
			made("Tags", object{"a": "1"}), call("get_fn_response_postfncreate", "GetFunction", whole(config("1"), "Tags", object{"a": "1"}), "FunctionName", "f"),
			call("tag_resource_response", "TagResource", object{}, "Resource", fnARN, "Tags", object{"b": "2"}),
			call("get_fn_response_postaddtags", "GetFunction", whole(config("2"), "Tags", object{"a": "1", "b": "2"}), "FunctionName", "f"),
			done("UntagResource", "Resource", fnARN, "TagKeys", []any{"a", "b"}), call("list_tags_response_postuntagall", "ListTags", object{"Tags": object{}}, "Resource", fnARN),
			call("get_fn_response_postuntagall", "GetFunction", whole(config("3")), "FunctionName", "f"),
			done("DeleteFunction", "FunctionName", "f"), call("list_tags_postdelete", "ListTags", gone, "Resource", fnARN),
			call("not_found_exception_tag", "TagResource", gone, "Resource", fnARN, "Tags", object{"a": "b"}), call("not_found_exception_untag", "UntagResource", gone, "Resource", fnARN, "TagKeys", []any{"a"}),
		},
		"test_function_concurrency": {
			call("put_function_concurrency_with_function_name_doesnotexist", "PutFunctionConcurrency", fails(notFound, "Function not found: "+prefix+"function:none:$LATEST"), "FunctionName", "none", "ReservedConcurrentExecutions", 1),
			made(), call("put_function_concurrency_with_qualified_arn", "PutFunctionConcurrency", fails(badValue, "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN."), "FunctionName", fnARN+":$LATEST", "ReservedConcurrentExecutions", 0),
			call("put_function_concurrency_account_limit_exceeded", "PutFunctionConcurrency", fails(badValue, "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [<min>]."), "FunctionName", "f", "ReservedConcurrentExecutions", 100000),
			call("put_function_concurrency_with_reserved_0", "PutFunctionConcurrency", object{"ReservedConcurrentExecutions": 0.0}, "FunctionName", "f", "ReservedConcurrentExecutions", 0),
			call("put_function_concurrency_with_reserved_1", "PutFunctionConcurrency", object{"ReservedConcurrentExecutions": 1.0}, "FunctionName", "f", "ReservedConcurrentExecutions", 1),
			call("get_function_concurrency", "GetFunctionConcurrency", object{"ReservedConcurrentExecutions": 1.0}, "FunctionName", "f"),
			call("delete_response", "DeleteFunctionConcurrency", object{}, "FunctionName", "f"), call("get_function_concurrency_after_delete", "GetFunctionConcurrency", object{}, "FunctionName", "f"),
		},
		"test_code_signing_not_found_excs": {made(), call("get_function_csc_fnwithoutcsc", "GetFunctionCodeSigningConfig", object{}, "FunctionName", "f"), call("get_function_csc_nonexistingfn", "GetFunctionCodeSigningConfig", fails(notFound, "Function not found: "+prefix+"function:none"), "FunctionName", "none")},
	}
}
