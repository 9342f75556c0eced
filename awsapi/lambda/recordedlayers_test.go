package lambda_test

import (
	"strings"
	"testing"

	"showrunner/awsapi/wire"
)

// recordedLayers are layers and their policies.
func recordedLayers() map[string][]fact {
	const layer = prefix + "layer:l"
	publish := func(name string, want any, more ...any) fact {
		return call(name, "PublishLayerVersion", want, append([]any{"LayerName", "l", "Content", object{"ZipFile": code}}, more...)...)
	}
	told := func(version string, number float64, more ...any) object {
		return with(object{"Content": object{"CodeSha256": "<code-sha256:1>", "CodeSize": "date", "Location": "date"}, "CreatedDate": "date", "Description": "", "LayerArn": layer, "LayerVersionArn": layer + ":" + version, "Version": number}, more...)
	}
	short := func(o object) object { return with(o, "Content", nil, "LayerArn", nil) }
	get := func(name string, want any, number int, layer string) fact {
		return call(name, "GetLayerVersion", want, "LayerName", layer, "VersionNumber", number)
	}
	x86 := []any{"x86_64"}
	layers := func(name string, want any, arns ...any) fact {
		return call(name, "UpdateFunctionConfiguration", want, "FunctionName", "f", "Layers", arns)
	}
	twice := func(a, b string) any {
		return fails(badValue, "Two different versions of the same layer are not allowed to be referenced in the same function. "+layer+":"+a+" and "+layer+":"+b+" are versions of the same layer.")
	}
	tooLow := fails(badValue, "Layer Version Cannot be less than 1")
	six := []any{}
	for _, n := range strings.Split("abcdef", "") {
		six = append(six, prefix+"layer:"+n+":1")
	}
	statement := func(sid string) object {
		return object{"Sid": sid, "Effect": "Allow", "Principal": "*", "Action": "lambda:GetLayerVersion", "Resource": layer + ":1"}
	}
	permit := func(name string, want any, more ...any) fact {
		return call(name, "AddLayerVersionPermission", want, append([]any{"LayerName", "l", "VersionNumber", 1, "Action", "lambda:GetLayerVersion", "Principal", "*", "StatementId", "s1"}, more...)...)
	}
	policy := func(name string, want any, more ...any) fact {
		return call(name, "GetLayerVersionPolicy", want, append([]any{"LayerName", "l", "VersionNumber", 1}, more...)...)
	}
	forbid := func(name string, want any, more ...any) fact {
		return call(name, "RemoveLayerVersionPermission", want, append([]any{"LayerName", "l", "VersionNumber", 1, "StatementId", "s1"}, more...)...)
	}
	const oldPolicy = "The Revision Id provided does not match the latest Revision Id. Call the GetLayerPolicy API to retrieve the latest Revision Id"
	gone := func(arn string) any { return fails(notFound, "Layer version "+arn+" does not exist.") }
	runtimes := "[" + strings.Join(wire.LambdaRuntimes, ", ") + "]"
	machines := "; Value '[invalidarch]' at 'compatibleArchitectures' failed to satisfy constraint: Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]"
	return map[string][]fact{
		"test_layer_exceptions": {
			publish("publish_result", told("1", 1, "CompatibleArchitectures", x86, "CompatibleRuntimes", []any{"python3.12"}), "CompatibleRuntimes", []any{"python3.12"}, "CompatibleArchitectures", x86),
			call("list_layers_exc_compatiblearchitecture_invalid", "ListLayers", fails(badInput, "1 validation error detected: Value 'none' at 'compatibleArchitecture' failed to satisfy constraint: Member must satisfy enum value set: [x86_64, arm64]"), "CompatibleArchitecture", "none"),
			call("list_nonexistent_layer", "ListLayerVersions", object{"LayerVersions": []any{}}, "LayerName", "none"),
			get("get_layer_version_exc_layer_doesnotexist", fails(notFound, nothing), 1, "none"), get("negative", tooLow, -1, "l"), get("zero", tooLow, 0, "l"), get("get_layer_version_exc_layer_version_doesnotexist_2", fails(notFound, nothing), 2, "l"),
			call("get_layer_version_by_arn_exc_invalidarn", "GetLayerVersionByArn", fails(badInput, "1 validation error detected: Value '"+layer+`' at 'arn' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+`), "Arn", layer),
			call("get_layer_version_by_arn_exc_nonexistentversion", "GetLayerVersionByArn", fails(notFound, nothing), "Arn", layer+":2"),
			call("delete_nonexistent_response", "DeleteLayerVersion", object{}, "LayerName", "none", "VersionNumber", 1), call("delete_layer_response", "DeleteLayerVersion", object{}, "LayerName", "l", "VersionNumber", 1),
			call("delete_layer_again_response", "DeleteLayerVersion", object{}, "LayerName", "l", "VersionNumber", 1), call("delete_layer_version_exc_layerversion_invalid_version", "DeleteLayerVersion", tooLow, "LayerName", "l", "VersionNumber", -1),
			publish("publish_empty_result", told("1", 1, "LayerArn", prefix+"layer:m", "LayerVersionArn", prefix+"layer:m:1", "CompatibleArchitectures", []any{}, "CompatibleRuntimes", []any{}), "LayerName", "m", "CompatibleRuntimes", []any{}, "CompatibleArchitectures", []any{}),
			differs("violations come in the order of the model's members", publish("publish_layer_version_exc_invalid_runtime_arch", fails(badInput, "2 validation errors detected: Value '[invalidruntime]' at 'compatibleRuntimes' failed to satisfy constraint: Member must satisfy enum value set: "+runtimes+machines), "CompatibleRuntimes", []any{"invalidruntime"}, "CompatibleArchitectures", []any{"invalidarch"})),
		},
		"test_layer_lifecycle": {
			made(), seen(), publish("publish_result", told("1", 1, "Description", "d", "LicenseInfo", "i", "CompatibleArchitectures", x86), "Description", "d", "LicenseInfo", "i", "CompatibleArchitectures", x86), publish("publish_result_2", told("2", 2)),
			layers("update_fn_config", updating("2", "Layers", []any{object{"Arn": layer + ":1", "CodeSize": "date"}}), layer+":1"),
			call("get_fn_config", "GetFunctionConfiguration", config("3", "Layers", []any{object{"Arn": layer + ":1", "CodeSize": "date"}}), "FunctionName", "f"),
			get("get_layer_ver_result", told("2", 2), 2, "l"), call("get_layer_by_arn_version", "GetLayerVersionByArn", told("2", 2), "Arn", layer+":2"),
			call("list_layer_versions_predelete", "ListLayerVersions", object{"LayerVersions": []any{short(told("2", 2)), short(told("1", 1, "Description", "d", "LicenseInfo", "i", "CompatibleArchitectures", x86))}}, "LayerName", "l"),
			call("delete_layer_1", "DeleteLayerVersion", object{}, "LayerName", "l", "VersionNumber", 1),
			call("get_fn_config_postdelete", "GetFunctionConfiguration", config("3", "Layers", []any{object{"Arn": layer + ":1", "CodeSize": "date"}}), "FunctionName", "f"),
			call("delete_layer_2", "DeleteLayerVersion", object{}, "LayerName", "l", "VersionNumber", 2), call("list_layer_versions_postdelete", "ListLayerVersions", object{"LayerVersions": []any{}}, "LayerName", "l"), publish("publish_result_3", told("3", 3)),
		},
		"test_layer_function_exceptions": {
			made(), seen(), publish("", nil), publish("", nil), publish("", nil),
			layers("two_layer_versions_single_function_exc", twice("1", "2"), layer+":1", layer+":2"), layers("three_layer_versions_single_function_exc", twice("1", "2"), layer+":1", layer+":2", layer+":3"), layers("two_identical_layer_versions_single_function_exc", twice("1", "1"), layer+":1", layer+":1"),
			layers("add_nonexistent_layer_exc", fails(badValue, "Layer version "+prefix+"layer:none:1 does not exist."), prefix+"layer:none:1"), layers("add_nonexistent_layer_version_exc", fails(badValue, "Layer version "+layer+":9 does not exist."), layer+":9"),
			layers("add_layer_arn_without_version_exc", fails(badInput, "1 validation error detected: Value '["+layer+`]' at 'layers' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than or equal to 140, Member must have length greater than or equal to 1, Member must satisfy regular expression pattern: (arn:[a-zA-Z0-9-]+:lambda:[a-z]{2}((-gov)|(-iso(b?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+), Member must not be null]`), layer),
			layers("create_function_with_layer_in_different_region", fails(badValue, "Layers are not in the same region as the function. Layers are expected to be in region <region>."), "arn:aws:lambda:us-east-1:000000000000:layer:l:1"),
			layers("create_function_with_six_layers", fails(badValue, "Cannot reference more than 5 layers."), six...),
		},
		"test_layer_policy_exceptions": {
			publish("", nil), policy("layer_permission_nopolicy_get", fails(notFound, "No policy is associated with the given resource.")),
			permit("add_layer_permission_result", object{"RevisionId": "<uuid:1>", "Statement": statement("s1")}),
			permit("layer_permission_action_invalid", fails(badInput, "1 validation error detected: Value '*' at 'action' failed to satisfy constraint: Member must satisfy regular expression pattern: lambda:GetLayerVersion"), "Action", "*"),
			permit("layer_permission_duplicate_statement", fails(conflict, "The statement id (s1) provided already exists. Please provide a new statement id, or remove the existing statement.")),
			permit("layer_permission_wrong_revision", fails(outdated, oldPolicy), "StatementId", "s2", "RevisionId", "wrong"),
			permit("layer_permission_layername_doesnotexist_add", gone(layer+"-none:1"), "LayerName", "l-none"), policy("layer_permission_layername_doesnotexist_get", gone(layer+"-none:1"), "LayerName", "l-none"), forbid("layer_permission_layername_doesnotexist_remove", gone(layer+"-none:1"), "LayerName", "l-none"),
			permit("layer_permission_layerversion_doesnotexist_add", gone(layer+":2"), "VersionNumber", 2), policy("layer_permission_layerversion_doesnotexist_get", gone(layer+":2"), "VersionNumber", 2), forbid("layer_permission_layerversion_doesnotexist_remove", gone(layer+":2"), "VersionNumber", 2),
			forbid("layer_permission_statementid_doesnotexist_remove", fails(notFound, "Statement none is not found in resource policy."), "StatementId", "none"), forbid("layer_permission_wrong_revision_remove", fails(outdated, oldPolicy), "RevisionId", "wrong"),
		},
		"test_layer_policy_lifecycle": {
			publish("", nil), permit("add_policy_s1", object{"RevisionId": "<uuid:1>", "Statement": statement("s1")}), policy("get_layer_version_policy", object{"Policy": object{"Version": "2012-10-17", "Id": "default", "Statement": []any{statement("s1")}}, "RevisionId": "<uuid:1>"}),
			permit("add_policy_s2", object{"RevisionId": "<uuid:2>", "Statement": statement("s2")}, "StatementId", "s2", "RevisionId", "<uuid:1>"),
			forbid("remove_s2", object{}, "StatementId", "s2", "RevisionId", "<uuid:2>"), policy("get_layer_version_policy_postdeletes2", object{"Policy": object{"Version": "2012-10-17", "Id": "default", "Statement": []any{statement("s1")}}, "RevisionId": "<uuid:3>"}),
		},
	}
}

// recordedErrors are functions and mappings that cannot be made.
func recordedErrors() map[string][]fact {
	large := func(n int) object { return object{"Variables": object{"LARGE_VAR": strings.Repeat("x", n)}} }
	const rolePattern = `failed to satisfy constraint: Member must satisfy regular expression pattern: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+`
	runtime := func(name string) any {
		return fails(badValue, "Value "+name+" at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java17, nodejs16.x, java25, dotnet8, python3.10, java11, python3.11, dotnet6, java21, nodejs18.x, provided.al2, ruby3.3, ruby3.4, java8.al2, ruby3.2, python3.8, python3.9] or be a valid ARN")
	}
	update := func(name string, want any, more ...any) fact {
		return call(name, "UpdateFunctionConfiguration", want, append([]any{"FunctionName", "f"}, more...)...)
	}
	architectures := func(shown, must string) any {
		return fails(badInput, "1 validation error detected: Value '"+shown+"' at 'architectures' failed to satisfy constraint: Member must "+must)
	}
	tests := map[string][]fact{
		"test_create_lambda_exceptions": {
			answered(made("Role", "r1"), "invalid_role_arn_exc", fails(badInput, "1 validation error detected: Value 'r1' at 'role' "+rolePattern)),
			answered(made("Runtime", "non-existent-runtime"), "invalid_runtime_exc", runtime("non-existent-runtime")), answered(made("Runtime", "PYTHON3.9"), "uppercase_runtime_exc", runtime("PYTHON3.9")),
			answered(made("Architectures", []any{"x86_64", "arm64"}), "multiple_architectures", architectures("[x86_64, arm64]", "have length less than or equal to 1")),
			answered(made("Architectures", []any{"X86_64"}), "uppercase_architecture", architectures("[X86_64]", "satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be null]")),
			answered(made("Code", object{"ZipFile": []byte("no zip")}), "invalid_zip_exc", fails(badValue, "Could not unzip uploaded file. Please check your file, then try to upload again.")),
		},
		"test_update_lambda_exceptions": {
			made(), seen(), update("invalid_role_arn_exc", fails(badInput, "1 validation error detected: Value 'r1' at 'role' "+rolePattern), "Role", "r1"), update("invalid_runtime_exc", runtime("non-existent-runtime"), "Runtime", "non-existent-runtime"), update("uppercase_runtime_exc", runtime("PYTHON3.9"), "Runtime", "PYTHON3.9"),
		},
		"test_snapstart_exceptions": {
			answered(made("SnapStart", object{"ApplyOn": "PublishedVersions"}), "create_function_unsupported_snapstart_runtime", fails(badValue, "nodejs20.x is not supported for SnapStart enabled functions.")),
			answered(made("SnapStart", object{"ApplyOn": "invalidOption"}), "create_function_invalid_snapstart_apply", fails(badInput, "1 validation error detected: Value 'invalidOption' at 'snapStart.applyOn' failed to satisfy constraint: Member must satisfy enum value set: [PublishedVersions, None]")),
		},
		"test_large_environment": {
			answered(made("Environment", large(4096-6-9)), "failed_create_fn_result", fails(badValue, `Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: {"LARGE_VAR":"`+strings.Repeat("x", 4096-6-9)+`"}`)),
			answered(made("Environment", large(4096-7-9)), "successful_create_fn_result", pending("1", "Environment", large(4096-7-9))),
		},
		"test_event_source_mapping_exceptions": {
			call("get_unknown_uuid", "GetEventSourceMapping", fails(notFound, nothing), "UUID", "00000000-0000-4000-8000-000000000001"), call("delete_unknown_uuid", "DeleteEventSourceMapping", fails(notFound, nothing), "UUID", "00000000-0000-4000-8000-000000000001"),
			call("update_unknown_uuid", "UpdateEventSourceMapping", fails(notFound, nothing), "UUID", "00000000-0000-4000-8000-000000000001", "Enabled", false),
			call("create_no_event_source_arn", "CreateEventSourceMapping", fails(badValue, "Unrecognized event source."), "FunctionName", "none"),
			call("create_unknown_params", "CreateEventSourceMapping", fails(badValue, "Function does not exist"), "FunctionName", "none", "EventSourceArn", "arn:aws:sqs:us-east-1:111111111111:somequeue"),
		},
		"test_delete_on_nonexisting_version": {
			made(), done("DeleteFunction", "FunctionName", "f", "Qualifier", "1233"), done("DeleteFunction", "FunctionName", "f"), call("delete_function_response_non_existent", "DeleteFunction", fails(notFound, "Function not found: "+fnARN), "FunctionName", "f"),
			call("delete_function_response_non_existent_with_qualifier", "DeleteFunction", fails(notFound, "Function not found: "+fnARN), "FunctionName", "f", "Qualifier", "1233"),
		},
	}
	for old, instead := range map[string]string{"java8": "java21", "go1.x": "provided.al2023", "provided": "provided.al2023", "ruby2.7": "ruby3.2", "nodejs14.x": "nodejs20.x", "python3.7": "python3.12", "dotnetcore3.1": "dotnet6", "nodejs12.x": "nodejs18.x"} {
		tests["test_create_deprecated_function_runtime_with_validation_enabled["+old+"]"] = []fact{answered(made("Runtime", old), "deprecation_error", fails(badValue, "The runtime parameter of "+old+" is no longer supported for creating or updating AWS Lambda functions. We recommend you use the new runtime ("+instead+") while creating or updating functions."))}
	}
	return tests
}

// TestCodeSizeOfAnAccount counts functions, their versions and layers, as recorded.
func TestCodeSizeOfAnAccount(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	size := func() int64 {
		return w.call("GetAccountSettings", object{})["AccountUsage"].(object)["TotalCodeSize"].(int64)
	}
	one := int64(len(code))
	w.create("f", "Code", object{"ZipFile": code})
	w.call("UpdateFunctionCode", object{"FunctionName": "f", "ZipFile": code, "Publish": true})
	w.call("PublishLayerVersion", object{"LayerName": "l", "Content": object{"ZipFile": code}})
	w.call("PublishLayerVersion", object{"LayerName": "l", "Content": object{"ZipFile": code}})
	if got := size(); got != 4*one {
		t.Errorf("%d bytes, want %d", got, 4*one)
	}
	w.call("DeleteLayerVersion", object{"LayerName": "l", "VersionNumber": 1})
	if got := size(); got != 3*one {
		t.Errorf("after a deletion: %d bytes, want %d", got, 3*one)
	}
}

// TestNoTagKeys: a list that is not in the query is not there.
func TestNoTagKeys(t *testing.T) {
	t.Parallel()
	w := open(t, nil)
	w.create("f")
	a := w.REST("lambda", "DELETE", "/2017-03-31/tags/"+strings.ReplaceAll(fnARN, ":", "%3A"), "")
	if want := "1 validation error detected: Value null at 'tagKeys' failed to satisfy constraint: Member must not be null"; a.Status != 400 || a.Object()["message"] != want {
		t.Errorf("%d %s\nwant %s", a.Status, a.Body, want)
	}
}
