package lambda_test

// recordedVersions are versions, aliases and revisions.
func recordedVersions() map[string][]fact {
	staging, prod := object{"Variables": object{"testenv": "staging"}}, object{"Variables": object{"testenv": "prod"}}
	alias := func(rev, name, version, description string, more ...any) object {
		return with(object{"AliasArn": fnARN + ":" + name, "Description": description, "FunctionVersion": version, "Name": name, "RevisionId": "<uuid:" + rev + ">"}, more...)
	}
	weights := func(version string, weight float64) object {
		return object{"AdditionalVersionWeights": object{version: weight}}
	}
	createAlias := func(name string, want any, more ...any) fact {
		return call(name, "CreateAlias", want, append([]any{"FunctionName", "f", "Name", "custom", "FunctionVersion", "1"}, more...)...)
	}
	weight := func(shown, constraint string) any {
		return fails(badInput, "1 validation error detected: Value '"+shown+"' at 'routingConfig.additionalVersionWeights' failed to satisfy constraint: "+constraint)
	}
	const between = "Map value must satisfy constraint: [Member must have value less than or equal to 1.0, Member must have value greater than or equal to 0.0, Member must not be null]"
	first, second := alias("4", "a1", "1", "custom-alias", "RoutingConfig", weights("2", 0.2)), alias("5", "a2", "2", "custom-alias")
	return map[string][]fact{
		"test_publish_version_on_create": {
			answered(made("Publish", true), "create_response", pending("1", "Version", "1")),
			call("get_function_result", "GetFunction", whole(config("2")), "FunctionName", "f"),
			call("get_function_version_result", "GetFunction", whole(config("3", "Version", "1", "FunctionArn", fnARN+":1")), "FunctionName", "f", "Qualifier", "1"),
			call("get_function_latest_result", "GetFunction", whole(config("2", "FunctionArn", fnARN+":$LATEST")), "FunctionName", "f", "Qualifier", "$LATEST"),
			call("list_versions_result", "ListVersionsByFunction", object{"Versions": []any{listed("2", "FunctionArn", fnARN+":$LATEST"), listed("3", "Version", "1", "FunctionArn", fnARN+":1")}}, "FunctionName", "f"),
			call("repeated_publish_response", "PublishVersion", config("3", "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f", "Description", "Repeated"),
			call("list_versions_result_after_publish", "ListVersionsByFunction", object{"Versions": []any{listed("2", "FunctionArn", fnARN+":$LATEST"), listed("3", "Version", "1", "FunctionArn", fnARN+":1")}}, "FunctionName", "f"),
		},
		"test_version_lifecycle": {
			answered(made("Description", "none"), "create_response", pending("1", "Description", "none")),
			call("get_function_result", "GetFunction", whole(config("2", "Description", "none")), "FunctionName", "f"),
			call("list_versions_result", "ListVersionsByFunction", object{"Versions": []any{listed("2", "Description", "none", "FunctionArn", fnARN+":$LATEST")}}, "FunctionName", "f"),
			call("first_update_response", "UpdateFunctionConfiguration", updating("3", "Description", "first"), "FunctionName", "f", "Description", "first"),
			call("first_update_get_function", "GetFunction", whole(config("4", "Description", "first")), "FunctionName", "f"),
			call("first_publish_response", "PublishVersion", config("5", "Description", "one", "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f", "Description", "one"),
			call("first_publish_get_function", "GetFunction", whole(config("5", "Description", "one", "Version", "1", "FunctionArn", fnARN+":1")), "FunctionName", "f", "Qualifier", "1"),
			call("first_publish_get_function_config", "GetFunctionConfiguration", config("5", "Description", "one", "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f", "Qualifier", "1"),
			call("second_update_response", "UpdateFunctionConfiguration", updating("6", "Description", "second"), "FunctionName", "f", "Description", "second"),
			call("first_publish_get_function_after_update", "GetFunction", whole(config("5", "Description", "one", "Version", "1", "FunctionArn", fnARN+":1")), "FunctionName", "f", "Qualifier", "1"),
			call("second_publish_response", "PublishVersion", config("7", "Description", "second", "Version", "2", "FunctionArn", fnARN+":2"), "FunctionName", "f"),
			call("third_publish_response", "PublishVersion", config("7", "Description", "second", "Version", "2", "FunctionArn", fnARN+":2"), "FunctionName", "f", "Description", "third"),
			call("list_versions_result_end", "ListVersionsByFunction", object{"Versions": []any{listed("8", "Description", "second", "FunctionArn", fnARN+":$LATEST"), listed("5", "Description", "one", "Version", "1", "FunctionArn", fnARN+":1"), listed("7", "Description", "second", "Version", "2", "FunctionArn", fnARN+":2")}}, "FunctionName", "f"),
		},
		"test_publish_with_wrong_sha256": {
			made(), call("get_fn_response", "GetFunction", whole(config("2")), "FunctionName", "f"),
			call("publish_wrong_sha256_exc", "PublishVersion", fails(badValue, "CodeSHA256 (somenonexistentsha256) is different from current CodeSHA256 in $LATEST (<code-sha256:1>). Please try again with the CodeSHA256 in $LATEST."), "FunctionName", "f", "CodeSha256", "somenonexistentsha256"),
			call("publish_result", "PublishVersion", config("3", "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f", "CodeSha256", "<code-sha256:1>"),
		},
		"test_publish_with_update": {
			made(), seen(),
			call("update_function_code_result", "UpdateFunctionCode", pending("3", "CodeSha256", "<code-sha256:2>", "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f", "ZipFile", otherCode, "Publish", true),
			differs(atOnce, call("get_function_version_result", "GetFunction", whole(pending("3", "CodeSha256", "<code-sha256:2>", "Version", "1", "FunctionArn", fnARN+":1")), "FunctionName", "f", "Qualifier", "1")),
			differs(atOnce, call("get_function_latest_result", "GetFunction", whole(updating("4", "CodeSha256", "<code-sha256:2>", "FunctionArn", fnARN+":$LATEST")), "FunctionName", "f", "Qualifier", "$LATEST")),
		},
		"test_alias_lifecycle": {
			answered(made("Environment", staging), "create_response", pending("1", "Environment", staging)), seen(),
			call("publish_v1", "PublishVersion", config("2", "Environment", staging, "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f"),
			done("UpdateFunctionConfiguration", "FunctionName", "f", "Environment", prod), seen(),
			call("publish_v2", "PublishVersion", config("3", "Environment", prod, "Version", "2", "FunctionArn", fnARN+":2"), "FunctionName", "f"),
			call("create_alias_1_1", "CreateAlias", first, "FunctionName", "f", "Name", "a1", "FunctionVersion", "1", "Description", "custom-alias", "RoutingConfig", weights("2", 0.2)),
			call("get_alias_1_1", "GetAlias", first, "FunctionName", "f", "Name", "a1"),
			call("get_function_alias_1_1", "GetFunction", whole(config("2", "Environment", staging, "Version", "1", "FunctionArn", fnARN+":a1")), "FunctionName", "f", "Qualifier", "a1"),
			call("get_function_byarn_alias_1_1", "GetFunction", whole(config("2", "Environment", staging, "Version", "1", "FunctionArn", fnARN+":a1")), "FunctionName", fnARN+":a1"),
			call("get_function_alias_notfound_exc", "GetFunction", fails(notFound, "Function not found: "+fnARN+":none"), "FunctionName", "f", "Qualifier", "none"),
			call("get_function_alias_byarn_notfound_exc", "GetFunction", fails(notFound, "Function not found: "+fnARN+":none"), "FunctionName", fnARN+":none"),
			call("create_alias_2", "CreateAlias", second, "FunctionName", "f", "Name", "a2", "FunctionVersion", "2", "Description", "custom-alias"),
			call("list_aliases_for_fnname", "ListAliases", object{"Aliases": []any{first, second}}, "FunctionName", "f"),
			call("update_alias_1_1", "UpdateAlias", alias("8", "a1", "1", "custom-alias"), "FunctionName", "f", "Name", "a1", "RoutingConfig", object{"AdditionalVersionWeights": object{}}),
			call("get_alias_1_1_after_update", "GetAlias", alias("8", "a1", "1", "custom-alias"), "FunctionName", "f", "Name", "a1"),
			call("update_alias_1_2", "UpdateAlias", alias("9", "a2", "2", "custom-alias"), "FunctionName", "f", "Name", "a2"),
			call("list_aliases_for_version", "ListAliases", object{"Aliases": []any{alias("8", "a1", "1", "custom-alias")}}, "FunctionName", "f", "FunctionVersion", "1"),
			call("delete_alias_response", "DeleteAlias", object{}, "FunctionName", "f", "Name", "a1"),
			call("list_aliases_for_fnname_afterdelete", "ListAliases", object{"Aliases": []any{alias("9", "a2", "2", "custom-alias")}}, "FunctionName", "f"),
		},
		"test_notfound_and_invalid_routingconfigs": {
			made("Publish", true, "Environment", staging), done("UpdateFunctionConfiguration", "FunctionName", "f", "Environment", prod), done("PublishVersion", "FunctionName", "f"),
			createAlias("routing_config_exc_toomany", fails(badValue, "Number of items in AdditionalVersionWeights cannot be greater than 1"), "RoutingConfig", object{"AdditionalVersionWeights": object{"1": 0.8, "2": 0.2}}),
			createAlias("routing_config_exc_toohigh", weight("{2=2.0}", between), "RoutingConfig", weights("2", 2)),
			createAlias("routing_config_exc_subzero", weight("{2=-1.0}", between), "RoutingConfig", weights("2", -1)),
			createAlias("routing_config_exc_sameversion", fails(badValue, "Invalid function version 1. Function version 1 is already included in routing configuration."), "RoutingConfig", weights("1", 0.5)),
			createAlias("target_version_doesnotexist", fails(notFound, "Function not found: "+fnARN+":10"), "FunctionVersion", "10", "RoutingConfig", weights("2", 0.5)),
			createAlias("routing_config_exc_version_doesnotexist", fails(notFound, "Function not found: "+fnARN+":10"), "RoutingConfig", weights("10", 0.5)),
			createAlias("target_version_exc_version_latest", fails(badValue, "$LATEST is not supported for an alias pointing to more than 1 version"), "FunctionVersion", "$LATEST", "RoutingConfig", weights("1", 0.5)),
			createAlias("routing_config_exc_version_latest", weight("{$LATEST=0.5}", "Map keys must satisfy constraint: [Member must have length less than or equal to 1024, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: [0-9]+, Member must not be null]"), "RoutingConfig", weights("$LATEST", 0.5)),
			createAlias("create-alias-latest", alias("4", "custom-latest", "$LATEST", ""), "Name", "custom-latest", "FunctionVersion", "$LATEST"),
			createAlias("routing_config_exc_fn_doesnotexist", fails(notFound, "Function not found: "+prefix+"function:unknown:1"), "FunctionName", "unknown", "RoutingConfig", weights("2", 0.5)),
			createAlias("create_alias_empty_routingconfig", alias("5", "custom-empty", "1", ""), "Name", "custom-empty", "RoutingConfig", object{"AdditionalVersionWeights": object{}}),
			createAlias("create_alias_response", alias("6", "custom", "1", "", "RoutingConfig", weights("2", 0.5)), "RoutingConfig", weights("2", 0.5)),
			createAlias("routing_config_exc_already_exist", fails(conflict, "Alias already exists: "+fnARN+":custom"), "RoutingConfig", weights("2", 0.5)),
			call("alias_does_not_exist_esc", "GetAlias", fails(notFound, "Cannot find alias arn: "+fnARN+":non-existent"), "FunctionName", "f", "Name", "non-existent"),
		},
		"test_alias_naming": {
			made("Publish", true), seen(),
			createAlias("create_alias_date", alias("3", "2024-01-02", "1", ""), "Name", "2024-01-02"),
			createAlias("create_alias_number_exception", fails(badInput, "1 validation error detected: Value '2024' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)"), "Name", "2024"),
		},
		"test_function_revisions_version_and_alias": {
			answered(made(), "create_function_response_rev1", pending("1")),
			call("get_function_active_rev2", "GetFunctionConfiguration", config("2"), "FunctionName", "f"),
			call("publish_version_revision_exception", "PublishVersion", fails(outdated, revision), "FunctionName", "f", "RevisionId", "wrong"),
			call("publish_version_response_rev_v1", "PublishVersion", config("3", "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f", "RevisionId", "<uuid:2>"),
			call("get_function_published_version_rev_v2", "GetFunctionConfiguration", config("3", "Version", "1", "FunctionArn", fnARN+":1"), "FunctionName", "f", "Qualifier", "1"),
			call("get_function_latest_rev3", "GetFunctionConfiguration", config("4"), "FunctionName", "f"),
			createAlias("create_alias_response_rev_a1", alias("5", "custom", "1", "")),
			call("get_function_latest_rev4", "GetFunctionConfiguration", config("4"), "FunctionName", "f"),
			call("update_alias_revision_exception", "UpdateAlias", fails(outdated, revision), "FunctionName", "f", "Name", "custom", "RevisionId", "wrong"),
			call("update_alias_response_rev_a2", "UpdateAlias", alias("6", "custom", "1", "changed"), "FunctionName", "f", "Name", "custom", "Description", "changed", "RevisionId", "<uuid:5>"),
		},
		"test_function_revisions_basic": {
			made(), call("get_function_response_rev2", "GetFunctionConfiguration", config("2"), "FunctionName", "f"),
			call("update_function_revision_exception", "UpdateFunctionCode", fails(outdated, revision), "FunctionName", "f", "ZipFile", code, "RevisionId", "wrong"),
			call("update_function_code_response_rev3", "UpdateFunctionCode", updating("3"), "FunctionName", "f", "ZipFile", code, "RevisionId", "<uuid:2>"),
			call("get_function_response_rev4", "GetFunctionConfiguration", config("4"), "FunctionName", "f"),
			call("update_function_configuration_revision_exception", "UpdateFunctionConfiguration", fails(outdated, revision), "FunctionName", "f", "Timeout", 4, "RevisionId", "wrong"),
			call("update_function_configuration_response_rev5", "UpdateFunctionConfiguration", updating("5", "Timeout", 4.0), "FunctionName", "f", "Timeout", 4, "RevisionId", "<uuid:4>"),
			call("get_function_response_rev6", "GetFunctionConfiguration", config("6", "Timeout", 4.0), "FunctionName", "f"),
		},
	}
}

// recordedEvents are the settings for requests that nobody waits for.
func recordedEvents() map[string][]fact {
	settings := func(qualifier string, more ...any) object {
		return with(object{"DestinationConfig": object{"OnFailure": object{}, "OnSuccess": object{}}, "FunctionArn": fnARN + ":" + qualifier, "LastModified": "datetime"}, more...)
	}
	put := func(name string, want any, more ...any) fact {
		return call(name, "PutFunctionEventInvokeConfig", want, append([]any{"FunctionName", "f"}, more...)...)
	}
	change := func(name string, want any, more ...any) fact {
		return call(name, "UpdateFunctionEventInvokeConfig", want, append([]any{"FunctionName", "f"}, more...)...)
	}
	to := func(arn string) object { return object{"OnSuccess": object{"Destination": arn}} }
	none := func(qualifier string) any {
		return fails(notFound, "The function "+fnARN+":"+qualifier+" doesn't have an EventInvokeConfig")
	}
	gone := fails(notFound, "The function doesn't exist.")
	iam := "arn:aws:iam:us-west-2:000000000000:function:f"
	return map[string][]fact{
		"test_lambda_eventinvokeconfig_lifecycle": {
			made(), put("put_invokeconfig_retries_0", settings("$LATEST", "MaximumRetryAttempts", 0.0), "MaximumRetryAttempts", 0),
			put("put_invokeconfig_eventage_60", settings("$LATEST", "MaximumEventAgeInSeconds", 60.0), "MaximumEventAgeInSeconds", 60),
			change("update_invokeconfig_eventage_nochange", settings("$LATEST", "MaximumEventAgeInSeconds", 60.0), "MaximumEventAgeInSeconds", 60),
			change("update_invokeconfig_retries", settings("$LATEST", "MaximumEventAgeInSeconds", 60.0, "MaximumRetryAttempts", 1.0), "MaximumRetryAttempts", 1),
			call("get_invokeconfig", "GetFunctionEventInvokeConfig", settings("$LATEST", "MaximumEventAgeInSeconds", 60.0, "MaximumRetryAttempts", 1.0), "FunctionName", "f"),
			call("get_invokeconfig_latest", "GetFunctionEventInvokeConfig", settings("$LATEST", "MaximumEventAgeInSeconds", 60.0, "MaximumRetryAttempts", 1.0), "FunctionName", "f", "Qualifier", "$LATEST"),
			call("list_single_invokeconfig", "ListFunctionEventInvokeConfigs", object{"FunctionEventInvokeConfigs": []any{settings("$LATEST", "MaximumEventAgeInSeconds", 60.0, "MaximumRetryAttempts", 1.0)}}, "FunctionName", "f"),
			done("PublishVersion", "FunctionName", "f"),
			call("get_invokeconfig_postpublish", "GetFunctionEventInvokeConfig", none("1"), "FunctionName", "f", "Qualifier", "1"),
			put("put_published_invokeconfig", settings("1", "MaximumEventAgeInSeconds", 120.0), "Qualifier", "1", "MaximumEventAgeInSeconds", 120),
			done("DeleteFunctionEventInvokeConfig", "FunctionName", "f"),
			call("list_paging_nolimit_postdelete", "ListFunctionEventInvokeConfigs", object{"FunctionEventInvokeConfigs": []any{settings("1", "MaximumEventAgeInSeconds", 120.0)}}, "FunctionName", "f"),
		},
		"test_lambda_eventinvokeconfig_exceptions": {
			made("Publish", true), made("FunctionName", "g"), done("CreateAlias", "FunctionName", "f", "Name", "live", "FunctionVersion", "1"),
			put("put_functionname_name_notfound", gone, "FunctionName", "none", "MaximumRetryAttempts", 1),
			put("put_functionname_arn_notfound", gone, "FunctionName", prefix+"function:none", "MaximumRetryAttempts", 1),
			put("put_functionname_nootherargs", fails(badValue, "You must specify at least one of error handling or destination setting."), "FunctionName", "none"),
			put("put_destination_lambda_doesntexist", fails(badValue, "The destination ARN "+prefix+"function:none is invalid."), "DestinationConfig", to(prefix+"function:none")),
			put("put_destination_recursive", fails(badValue, "You can't specify the function as a destination for itself."), "DestinationConfig", to(fnARN)),
			put("put_destination_other_lambda", settings("$LATEST", "DestinationConfig", object{"OnFailure": object{}, "OnSuccess": object{"Destination": prefix + "function:g"}}), "DestinationConfig", to(prefix+"function:g")),
			put("put_destination_invalid_service_arn", fails(badValue, "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination="+iam+"), onFailure=null) is invalid."), "DestinationConfig", to(iam)),
			put("put_destination_success_no_destination_arn", settings("$LATEST"), "DestinationConfig", object{"OnSuccess": object{}}),
			put("put_destination_failure_no_destination_arn", settings("$LATEST"), "DestinationConfig", object{"OnFailure": object{}}),
			put("put_destination_invalid_arn_pattern", fails(badInput, `1 validation error detected: Value 'arn:aws:_-/!lambda:us-west-2:000000000000:function:f' at 'destinationConfig.onFailure.destination' failed to satisfy constraint: Member must satisfy regular expression pattern: ^$|arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\-])+:([a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1})?:(\d{12})?:(.*)`),
				"DestinationConfig", object{"OnFailure": object{"Destination": "arn:aws:_-/!lambda:us-west-2:000000000000:function:f"}}),
			put("put_destination_latest_explicit_qualifier", settings("$LATEST", "MaximumRetryAttempts", 1.0), "Qualifier", "$LATEST", "MaximumRetryAttempts", 1),
			put("put_destination_version", settings("1", "MaximumRetryAttempts", 1.0), "Qualifier", "1", "MaximumRetryAttempts", 1),
			put("put_alias_functionname_qualifier", settings("live", "MaximumRetryAttempts", 1.0), "Qualifier", "live", "MaximumRetryAttempts", 1),
			put("put_alias_doesnotexist", gone, "Qualifier", "livenot", "MaximumRetryAttempts", 1),
			put("put_alias_qualifiedarn_qualifierconflict", fails(badValue, noMatch), "FunctionName", fnARN+":live", "Qualifier", "livenot", "MaximumRetryAttempts", 1),
			put("put_alias_shorthand", settings("live", "MaximumRetryAttempts", 1.0), "FunctionName", "f:live", "MaximumRetryAttempts", 1),
			put("put_shorthand_qualifier_match", settings("$LATEST", "MaximumRetryAttempts", 1.0), "FunctionName", "f:$LATEST", "Qualifier", "$LATEST", "MaximumRetryAttempts", 1),
			put("put_shorthand_qualifier_mismatch_1", fails(badValue, noMatch), "FunctionName", "f:1", "Qualifier", "$LATEST", "MaximumRetryAttempts", 1),
			put("put_pre_overwrite", settings("$LATEST", "MaximumRetryAttempts", 2.0, "MaximumEventAgeInSeconds", 60.0), "MaximumRetryAttempts", 2, "MaximumEventAgeInSeconds", 60),
			put("put_post_overwrite", settings("$LATEST", "MaximumRetryAttempts", 0.0), "MaximumRetryAttempts", 0),
			call("list_configs", "ListFunctionEventInvokeConfigs", object{"FunctionEventInvokeConfigs": []any{settings("$LATEST", "MaximumRetryAttempts", 0.0), settings("1", "MaximumRetryAttempts", 1.0), settings("live", "MaximumRetryAttempts", 1.0)}}, "FunctionName", "f"),
			call("delete_latest", "DeleteFunctionEventInvokeConfig", object{}, "FunctionName", "f", "Qualifier", "$LATEST"),
			call("delete_alias", "DeleteFunctionEventInvokeConfig", object{}, "FunctionName", "f", "Qualifier", "live"),
			call("delete_function_not_found", "DeleteFunctionEventInvokeConfig", none("$LATEST"), "FunctionName", "f"),
			call("delete_function_doesnotexist", "DeleteFunctionEventInvokeConfig", fails(notFound, "The function "+prefix+"function:none:$LATEST doesn't have an EventInvokeConfig"), "FunctionName", "none"),
			call("list_function_doesnotexist", "ListFunctionEventInvokeConfigs", gone, "FunctionName", "none"),
			call("get_function_doesnotexist", "GetFunctionEventInvokeConfig", fails(notFound, "The function "+prefix+"function:none:$LATEST doesn't have an EventInvokeConfig"), "FunctionName", "none"),
			call("get_qualifier_doesnotexist", "GetFunctionEventInvokeConfig", none("none"), "FunctionName", "f", "Qualifier", "none"),
			change("update_eventinvokeconfig_function_doesnotexist", gone, "FunctionName", "none", "MaximumRetryAttempts", 0),
			change("update_eventinvokeconfig_config_doesnotexist_with_qualifier", none("live"), "FunctionName", fnARN+":live", "MaximumRetryAttempts", 0),
			change("update_eventinvokeconfig_config_doesnotexist_without_qualifier", none("$LATEST"), "FunctionName", fnARN, "MaximumRetryAttempts", 0),
		},
	}
}
