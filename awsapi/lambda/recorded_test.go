package lambda_test

import (
	"maps"
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
)

// TestRecordedAnswers compares with what AWS was recorded to answer: the public project
// localstack/localstack, tests/aws/services/lambda_/test_lambda_api.py. The facts are stated
// here, with the runtime nodejs20.x in place of Python's.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	tests := map[string][]fact{}
	for _, group := range []map[string][]fact{recordedFunctions(), recordedVersions(), recordedEvents(), recordedURLs(), recordedPolicies(), recordedLayers(), recordedTags(), recordedErrors()} {
		maps.Copy(tests, group)
	}
	awstest.Facts(t, "lambda", "360 of 365", func(t *testing.T) *awstest.Client { return open(t, nil).Client }, tests)
}

type fact = awstest.Fact

const (
	atOnce   = "an update is done at once here"
	prefix   = "arn:aws:lambda:" + awstest.Region + ":000000000000:"
	fnARN    = prefix + "function:f"
	notFound = "ResourceNotFoundException"
	badValue = "InvalidParameterValueException"
	badInput = "ValidationException"
	conflict = "ResourceConflictException"
	outdated = "PreconditionFailedException"
	revision = "The Revision Id provided does not match the latest Revision Id. Call the GetFunction/GetAlias API to retrieve the latest Revision Id"
	nothing  = "The resource you requested does not exist."
	noMatch  = "The derived qualifier from the function name does not match the specified qualifier."
)

var fails = awstest.Fails

// call is a call whose answer is compared; in is names and values, in turn.
func call(name, operation string, want any, in ...any) fact {
	return fact{Name: name, Operation: operation, In: with(object{}, in...), Want: want}
}

// done is a call whose answer is not compared.
func done(operation string, in ...any) fact { return call("", operation, nil, in...) }

// differs is a call whose answer is not AWS's here.
func differs(why string, f fact) fact {
	f.Different = why
	return f
}

func with(o object, more ...any) object {
	o = maps.Clone(o)
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] == nil {
			delete(o, more[i].(string))
		} else {
			o[more[i].(string)] = more[i+1]
		}
	}
	return o
}

var code, otherCode = zipped("index.js", "exports.handler = 1"), zipped("index.js", "exports.handler = 2")

// made creates the function f.
func made(more ...any) fact {
	in := object{"FunctionName": "f", "Runtime": "nodejs20.x", "Role": role, "Handler": "index.handler", "Code": object{"ZipFile": code}}
	return fact{Operation: "CreateFunction", In: with(in, more...)}
}

// seen reads the function, which ends what was begun, as clients do before they go on.
func seen() fact { return done("GetFunction", "FunctionName", "f") }

// config is a configuration as AWS tells it; more are members that differ, nil for those that are not there.
func config(rev string, more ...any) object {
	return with(object{"Architectures": []any{"x86_64"}, "CodeSha256": "<code-sha256:1>", "CodeSize": "date", "Description": "", "EphemeralStorage": object{"Size": 512.0}, "FunctionArn": fnARN,
		"FunctionName": "f", "Handler": "index.handler", "LastModified": "date", "LastUpdateStatus": "Successful", "LoggingConfig": object{"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
		"MemorySize": 128.0, "PackageType": "Zip", "RevisionId": "<uuid:" + rev + ">", "Role": role, "Runtime": "nodejs20.x", "RuntimeVersionConfig": object{"RuntimeVersionArn": "<runtime>"},
		"SnapStart": object{"ApplyOn": "None", "OptimizationStatus": "Off"}, "State": "Active", "Timeout": 3.0, "TracingConfig": object{"Mode": "PassThrough"}, "Version": "$LATEST"}, more...)
}

func pending(rev string, more ...any) object {
	return config(rev, append([]any{"LastUpdateStatus", nil, "State", "Pending", "StateReason", "The function is being created.", "StateReasonCode", "Creating"}, more...)...)
}

func updating(rev string, more ...any) object {
	return config(rev, append([]any{"LastUpdateStatus", "InProgress", "LastUpdateStatusReason", "The function is being created.", "LastUpdateStatusReasonCode", "Creating"}, more...)...)
}

func listed(rev string, more ...any) object {
	return config(rev, append([]any{"LastUpdateStatus", nil, "State", nil, "RuntimeVersionConfig", nil}, more...)...)
}

func whole(configuration object, more ...any) object {
	return with(object{"Code": object{"Location": "date", "RepositoryType": "S3"}, "Configuration": configuration}, more...)
}

func recordedFunctions() map[string][]fact {
	tests := map[string][]fact{
		"test_function_lifecycle": {
			answered(made("MemorySize", 256, "Timeout", 5, "Environment", object{"Variables": object{}}), "create_response", pending("1", "MemorySize", 256.0, "Timeout", 5.0, "Environment", object{"Variables": object{}})),
			call("get_function_response", "GetFunction", whole(config("2", "MemorySize", 256.0, "Timeout", 5.0, "Environment", object{"Variables": object{}})), "FunctionName", "f"),
			call("update_func_conf_response", "UpdateFunctionConfiguration", updating("3", "MemorySize", 512.0, "Timeout", 10.0, "Description", "Changed-Description", "Environment", object{"Variables": object{"ENV_A": "a"}}),
				"FunctionName", "f", "Description", "Changed-Description", "MemorySize", 512, "Timeout", 10, "Environment", object{"Variables": object{"ENV_A": "a"}}),
			call("get_function_response_postupdate", "GetFunction", whole(config("4", "MemorySize", 512.0, "Timeout", 10.0, "Description", "Changed-Description", "Environment", object{"Variables": object{"ENV_A": "a"}})), "FunctionName", "f"),
			call("update_code_response", "UpdateFunctionCode", updating("5", "CodeSha256", "<code-sha256:2>", "MemorySize", 512.0, "Timeout", 10.0, "Description", "Changed-Description", "Environment", object{"Variables": object{"ENV_A": "a"}}), "FunctionName", "f", "ZipFile", otherCode),
			call("get_function_response_postcodeupdate", "GetFunction", whole(config("6", "CodeSha256", "<code-sha256:2>", "MemorySize", 512.0, "Timeout", 10.0, "Description", "Changed-Description", "Environment", object{"Variables": object{"ENV_A": "a"}})), "FunctionName", "f"),
			call("delete_response", "DeleteFunction", object{}, "FunctionName", "f"),
			call("delete_postdelete", "DeleteFunction", fails(notFound, "Function not found: "+fnARN), "FunctionName", "f"),
		},
		"test_lambda_code_location_zipfile": {
			answered(made(), "create-response-zip-file", pending("1")),
			call("get-function-response", "GetFunction", whole(config("2")), "FunctionName", "f"),
			call("update-function-response", "UpdateFunctionCode", updating("3", "CodeSha256", "<code-sha256:2>"), "FunctionName", "f", "ZipFile", otherCode),
			differs(atOnce, call("get-function-response-updated", "GetFunction", whole(updating("3", "CodeSha256", "<code-sha256:2>")), "FunctionName", "f")),
		},
		"test_lambda_concurrent_code_updates": {
			made(), done("UpdateFunctionCode", "FunctionName", "f", "ZipFile", otherCode),
			differs(atOnce, call("update-during-in-progress-update-exc", "UpdateFunctionCode", fails(conflict, "The operation cannot be performed at this time. An update is in progress for resource: "+fnARN), "FunctionName", "f", "ZipFile", code)),
		},
		"test_lambda_zip_file_to_image": {
			made(), call("zipfile-to-image-error", "UpdateFunctionCode", fails(badValue, "Please don't provide ImageUri when updating a function with packageType Zip."), "FunctionName", "f", "ImageUri", "alpine"),
		},
		"test_list_functions": {
			answered(made("FunctionName", "f1", "Publish", true), "create_response_1", pending("1", "Version", "1", "FunctionName", "f1", "FunctionArn", prefix+"function:f1", "LoggingConfig", object{"LogFormat": "Text", "LogGroup": "/aws/lambda/f1"})),
			made("FunctionName", "f2"), done("GetFunction", "FunctionName", "f1"), done("GetFunction", "FunctionName", "f2"),
			call("list_functions_invalid_functionversion", "ListFunctions", fails(badInput, "1 validation error detected: Value 'invalid' at 'functionVersion' failed to satisfy constraint: Member must satisfy enum value set: [ALL]"), "FunctionVersion", "invalid"),
			call("list_all", "ListFunctions", object{"Functions": []any{listedAs("3", "f1", ":$LATEST", "$LATEST"), listedAs("4", "f1", ":1", "1"), listedAs("5", "f2", ":$LATEST", "$LATEST")}}, "FunctionVersion", "ALL"),
			call("list_default", "ListFunctions", object{"Functions": []any{listedAs("3", "f1", "", "$LATEST"), listedAs("5", "f2", "", "$LATEST")}}),
		},
		"test_function_arns": {
			answered(made("FunctionName", fnARN), "create-function-arn-response", pending("1")),
			answered(made("FunctionName", "000000000000:function:g"), "create-function-partial-arn-response", pending("2", "FunctionName", "g", "FunctionArn", prefix+"function:g", "LoggingConfig", object{"LogFormat": "Text", "LogGroup": "/aws/lambda/g"})),
			answered(made("FunctionName", "invalid:function:name"), "invalid_function_name_exc", fails(badInput, `1 validation error detected: Value 'invalid:function:name' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: `+namePattern(""))),
			answered(made("FunctionName", strings.Repeat("a", 65)), "long_function_name_exc", fails(badValue, "1 validation error detected: Value '"+strings.Repeat("a", 65)+"' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 64")),
			answered(made("FunctionName", prefix+"function:"+strings.Repeat("a", 100)), "long_function_arn_exc", fails(badInput, "1 validation error detected: Value '"+prefix+"function:"+strings.Repeat("a", 100)+"' at 'functionName' failed to satisfy constraint: Member must have length less than or equal to 140")),
			answered(made("FunctionName", "arn:aws:lambda:ap-southeast-1:000000000000:function:f"), "function_arn_other_region_exc", fails(notFound, "Functions from 'ap-southeast-1' are not reachable in this region ('<region>')")),
			answered(made("FunctionName", "arn:aws:lambda:us-west-2:123456789012:function:f"), "function_arn_other_account_exc", fails("AccessDeniedException", "")),
		},
		"test_invalid_invoke": {call("invoke_function_name_pattern_exc", "Invoke", fails(badInput, "1 validation error detected: Value 'arn:aws:lambda:us-east-1:123400000000@function:myfn' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: "+namePattern(`\.`)), "FunctionName", "arn:aws:lambda:us-east-1:123400000000@function:myfn")},
	}
	for _, operation := range []string{"DeleteFunction", "GetFunction", "GetFunctionConfiguration"} {
		match := fails(notFound, "Function not found: "+prefix+"function:none:$LATEST")
		if operation == "DeleteFunction" {
			match = fails(badValue, "$LATEST version cannot be deleted without deleting the function.")
		}
		tests["test_ops_with_arn_qualifier_mismatch["+operation+"]"] = []fact{
			call("not_match_exception", operation, fails(badValue, noMatch), "FunctionName", prefix+"function:none:1", "Qualifier", "$LATEST"),
			call("match_exception", operation, match, "FunctionName", prefix+"function:none:$LATEST", "Qualifier", "$LATEST"),
		}
	}
	for _, operation := range []string{"GetFunction", "GetFunctionConfiguration", "GetFunctionUrlConfig", "GetFunctionCodeSigningConfig", "GetFunctionEventInvokeConfig", "GetFunctionConcurrency", "DeleteFunction", "Invoke"} {
		tests["test_get_function_wrong_region["+operation+"]"] = []fact{made(), call("wrong_region_exception", operation, fails(notFound, "Functions from 'us-east-1' are not reachable in this region ('<region>')"), "FunctionName", "arn:aws:lambda:us-east-1:000000000000:function:f")}
		want := fails(notFound, "Function not found: "+prefix+"function:none")
		switch operation {
		case "GetFunctionUrlConfig":
			want = fails(notFound, nothing)
		case "GetFunctionEventInvokeConfig":
			want = fails(notFound, "The function "+prefix+"function:none:$LATEST doesn't have an EventInvokeConfig")
		}
		tests["test_ops_on_nonexisting_fn["+operation+"]"] = []fact{call("not_found_exception", operation, want, "FunctionName", "none")}
	}
	for operation, message := range map[string]string{"GetFunction": "Function not found: " + fnARN + ":1221", "GetFunctionConfiguration": "Function not found: " + fnARN + ":1221", "GetFunctionEventInvokeConfig": "The function " + fnARN + ":1221 doesn't have an EventInvokeConfig"} {
		tests["test_ops_on_nonexisting_version["+operation+"]"] = []fact{made(), call("version_not_found_exception", operation, fails(notFound, message), "FunctionName", "f", "Qualifier", "1221")}
	}
	return tests
}

// answered makes a call one whose answer is compared.
func answered(f fact, name string, want any) fact {
	f.Name, f.Want = name, want
	return f
}

func listedAs(rev, name, qualifier, version string) object {
	return listed(rev, "FunctionName", name, "FunctionArn", prefix+"function:"+name+qualifier, "Version", version, "LoggingConfig", object{"LogFormat": "Text", "LogGroup": "/aws/lambda/" + name})
}

func namePattern(more string) string {
	return `(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:)?(\d{12}:)?(function:)?([a-zA-Z0-9-_` + more + `]+)(:(\$LATEST|[a-zA-Z0-9-_]+))?`
}
