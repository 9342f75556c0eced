package secretsmanager_test

import (
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
)

// differences are recorded answers that are not AWS's here, each with why.
var differences = map[string]string{
	"test_first_rotate_secret_with_missing_lambda_arn/*":      noRotation,
	"test_rotate_secret_invalid_lambda_arn/*":                 noRotation,
	"test_rotate_secret_multiple_times_with_lambda_success/*": noRotation,
	"test_rotate_secret_with_lambda_success[None]/*":          noRotation,
	"test_rotate_secret_with_lambda_success[True]/*":          noRotation,
}

const (
	noRotation = "the recorded tests need functions of their own; rotate_test.go rotates with one"
)

type steps = []awstest.Step

const (
	first  = "00000000-0000-4000-8000-000000000001"
	second = "00000000-0000-4000-8000-000000000002"
	third  = "00000000-0000-4000-8000-000000000003"
	fourth = "00000000-0000-4000-8000-000000000004"
	fifth  = "00000000-0000-4000-8000-000000000005"
)

// of is an input for the secret s.
func of(more ...any) object {
	out := object{"SecretId": "s"}
	for i := 0; i+1 < len(more); i += 2 {
		out[more[i].(string)] = more[i+1]
	}
	return out
}

func stages(names ...string) []any {
	out := []any{}
	for _, n := range names {
		out = append(out, n)
	}
	return out
}

// made is the call that makes the secret s.
func made(key, value string) awstest.Step {
	return awstest.Step{Key: key, Operation: "CreateSecret", In: object{"Name": "s", "SecretString": value, "ClientRequestToken": first}}
}

func deleted(key string) awstest.Step {
	return awstest.Step{Key: key, Operation: "DeleteSecret", In: of("ForceDeleteWithoutRecovery", true)}
}

func versions(key string) awstest.Step {
	return awstest.Step{Key: key, Operation: "ListSecretVersionIds", In: of()}
}

func value(key string, more ...any) awstest.Step {
	return awstest.Step{Key: key, Operation: "GetSecretValue", In: of(more...)}
}

func put(key, token, text string, names ...string) awstest.Step {
	in := of("ClientRequestToken", token, "SecretString", text)
	if len(names) > 0 {
		in["VersionStages"] = stages(names...)
	}
	return awstest.Step{Key: key, Operation: "PutSecretValue", In: in}
}

func move(key, stage, from, to string) awstest.Step {
	in := of("VersionStage", stage)
	if from != "" {
		in["RemoveFromVersionId"] = from
	}
	if to != "" {
		in["MoveToVersionId"] = to
	}
	return awstest.Step{Key: key, Operation: "UpdateSecretVersionStage", In: in}
}

func described(key string) awstest.Step {
	return awstest.Step{Key: key, Operation: "DescribeSecret", In: of()}
}

func updated(key, token string, more ...any) awstest.Step {
	return awstest.Step{Key: key, Operation: "UpdateSecret", In: of(append([]any{"ClientRequestToken", token}, more...)...)}
}

// recordedCalls are the calls of the recorded tests.
func recordedCalls(test string) steps {
	name, _, _ := strings.Cut(test, "[")
	switch name {
	case "test_can_recreate_delete_secret":
		return steps{made("create_secret_res_0", "a"), deleted("delete_res_1"), made("create_secret_res_1", "b")}
	case "test_exp_raised_on_creation_of_secret_scheduled_for_deletion":
		return steps{made("", "a"), {Key: "delete_res", Operation: "DeleteSecret", In: of()}, made("invalid_req_ex", "b")}
	case "test_call_lists_secrets_multiple_times", "test_call_lists_secrets_multiple_times_snapshots":
		list := func(key string) awstest.Step { return awstest.Step{Key: key, Operation: "ListSecrets"} }
		return steps{{Key: "create_secret_rs_1", Operation: "CreateSecret", In: object{"Name": "s", "SecretString": "a", "Description": "testing creation of secrets", "ClientRequestToken": first}},
			list("list_secrets_res_0"), list("list_secrets_res_1"), list("list_secrets_res_2"), deleted("delete_secret_res_1")}
	case "test_create_multi_secrets", "test_create_multi_secrets_snapshot":
		var out steps
		for i, n := range []string{"a", "b", "c"} {
			out = append(out, awstest.Step{Operation: "CreateSecret", In: object{"Name": n, "SecretString": "a", "Description": "Testing secrets creation.", "ClientRequestToken": []string{first, second, third}[i]}})
		}
		out = append(out, awstest.Step{Key: "list_secrets_res", Operation: "ListSecrets", In: object{"SortOrder": "asc"}})
		for i, n := range []string{"a", "b", "c"} {
			out = append(out, awstest.Step{Key: "delete_secret_res" + string(rune('0'+i)), Operation: "DeleteSecret", In: object{"SecretId": n, "ForceDeleteWithoutRecovery": true}})
		}
		return out
	case "test_put_secret_value_with_version_stages":
		return steps{made("create_secret_rs_0", "secret_string_v0"), value("get_secret_value_res_0"),
			put("put_secret_value_res_1", second, "secret_string_v1", "SAMPLESTAGE1", "SAMPLESTAGE0"), value("get_secret_value_res_1"),
			put("put_secret_value_res_2", third, "secret_string_v2", "SAMPLESTAGE1", "SAMPLESTAGE0"), value("get_secret_value_res_2"),
			put("put_secret_value_res_3", fourth, "secret_string_v3", "AWSPENDING"), value("get_secret_value_res_3"),
			put("put_secret_value_res_4", fifth, "secret_string_v4"), value("get_secret_value_res_4"), deleted("delete_secret_res_1")}
	case "test_invalid_secret_name":
		in := test[len(name)+1 : len(test)-1]
		of := func(more ...any) object { o := of(more...); o["SecretId"] = in; return o }
		return steps{
			{Key: "ex_log_1", Operation: "CreateSecret", In: object{"Name": in, "SecretString": "a", "ClientRequestToken": first}},
			{Key: "ex_log_2", Operation: "DeleteSecret", In: of()}, {Key: "ex_log_3", Operation: "DescribeSecret", In: of()}, {Key: "ex_log_4", Operation: "GetSecretValue", In: of()},
			{Key: "ex_log_5", Operation: "ListSecretVersionIds", In: of()}, {Key: "ex_log_6", Operation: "PutSecretValue", In: of("SecretString", "a", "ClientRequestToken", first)},
			{Key: "ex_log_7", Operation: "TagResource", In: of("Tags", []any{})}, {Key: "ex_log_8", Operation: "UntagResource", In: of("TagKeys", []any{})},
			{Key: "ex_log_9", Operation: "UpdateSecret", In: of("ClientRequestToken", first)}, {Key: "ex_log_10", Operation: "ValidateResourcePolicy", In: of("ResourcePolicy", "{}")}}
	case "test_update_secret_description":
		return steps{made("create_secret_rs_0", "a"), described("describe_secret_res_0"), updated("update_secret_res_0", fifth, "Description", "MyDescription"), described("describe_secret_res_1"),
			updated("update_secret_res_1", second, "SecretString", "b", "Description", "MyNewDescription"), described("describe_secret_res_2"),
			updated("update_secret_res_2", third, "SecretString", "c"), described("describe_secret_res_3"), updated("update_secret_res_3", fifth), described("describe_secret_res_4"), deleted("delete_secret_res_0")}
	case "test_secret_not_found":
		return steps{value("get_secret_value_not_found_ex"), versions("list_secret_version_ids_not_found_ex")}
	case "test_secret_exists_snapshots":
		again := made("ex_log", "b")
		again.In["ClientRequestToken"] = second
		return steps{made("", "a"), again, deleted("delete_secret_res")}
	case "test_create_secret_version_from_empty_secret":
		return steps{{Key: "create-empty-secret", Operation: "CreateSecret", In: object{"Name": "s", "ClientRequestToken": first}}, described("describe-secret"), put("put-secret-value", second, "a")}
	case "test_resource_policy":
		return steps{made("", "a"), {Key: "put_resource_policy", Operation: "PutResourcePolicy", In: of("ResourcePolicy", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"secretsmanager:GetSecretValue","Resource":"*"}]}`)},
			{Key: "get_resource_policy", Operation: "GetResourcePolicy", In: of()}}
	case "test_secret_restore":
		return steps{made("", "a"), {Key: "delete_secret_res", Operation: "DeleteSecret", In: of()}, {Key: "restore_secret_res", Operation: "RestoreSecret", In: of()}}
	case "test_get_secret_value_errors":
		return steps{made("", "a"), value("error_get_secret_value_non_existing", "VersionStage", "AWSPREVIOUS"), put("", second, "b"),
			value("mismatch_version_id_and_stage", "VersionId", first, "VersionStage", "AWSCURRENT")}
	case "test_force_delete_deleted_secret":
		return steps{made("create_secret_response", "a"), {Key: "delete_secret_response", Operation: "DeleteSecret", In: of()}, described("describe_secret_response"), deleted("force_delete_secret_response")}
	case "test_tag_untag_resource_on_deleted_secret":
		return steps{made("create_secret", "a"), {Key: "delete_secret", Operation: "DeleteSecret", In: of()}, {Key: "tag_deleted_secret_error", Operation: "TagResource", In: of("Tags", []any{object{"Key": "a", "Value": "b"}})},
			{Key: "untag_deleted_secret_error", Operation: "UntagResource", In: of("TagKeys", []any{"a"})}}
	case "test_secret_tags":
		tag := func(key string, tags ...string) awstest.Step {
			list := []any{}
			for _, n := range tags {
				list = append(list, object{"Key": "tag" + n, "Value": "value" + n})
			}
			return awstest.Step{Key: key, Operation: "TagResource", In: of("Tags", list)}
		}
		untag := func(key string, names ...string) awstest.Step {
			return awstest.Step{Key: key, Operation: "UntagResource", In: of("TagKeys", stages(names...))}
		}
		return steps{{Key: "create_secret", Operation: "CreateSecret", In: object{"Name": "s", "ClientRequestToken": first}}, described("describe_secret"), tag("tag_resource_1", "1"), described("describe_secret_1"),
			tag("tag_resource_2", "2"), described("describe_secret_2"), untag("untag_resource_1", "tag1"), described("describe_secret_3"), untag("untag_resource_2", "tag2"), described("describe_secret_4"),
			tag("", "3", "4"), described("describe_secret_5"), untag("", "tag3", "tag4"), described("describe_secret_6")}
	case "test_deprecated_secret_version_stage":
		all := func(key string) awstest.Step {
			return awstest.Step{Key: key, Operation: "ListSecretVersionIds", In: of("IncludeDeprecated", true)}
		}
		return steps{made("create_secret", "a"), versions("list_secret_version_ids"), put("put_secret_value_1", second, "b"), versions("list_secret_version_ids_1"), put("put_secret_value_2", third, "c"),
			versions("list_secret_version_ids_2"), all("list_secret_version_ids_3"), put("put_secret_value_3", fourth, "d"), versions("list_secret_version_ids_4"), all("list_secret_version_ids_5")}
	case "test_change_secret_value_after_creation":
		values := map[string][2]string{"footest-updated1": {"footest", "updated1"}, "tops3cret-updated2": {"tops3cret", "updated2"}, `\x00\x01\x02\xff-\xfe\xfd`: {"\x00\x01\x02\xff", "\xfe\xfd"}}[test[len(name)+1:len(test)-1]]
		return steps{{Operation: "CreateSecret", In: object{"Name": "s", "SecretBinary": []byte("initial"), "ClientRequestToken": first}}, value("put_secret_value_secret_response"),
			{Operation: "PutSecretValue", In: of("SecretBinary", []byte(values[0]), "ClientRequestToken", second)}, value("put_secret_binary_response_updated"),
			{Operation: "UpdateSecret", In: of("SecretBinary", []byte(values[1]), "ClientRequestToken", third)}, value("update_secret_binary_response_updated")}
	}
	return stageCalls(name)
}

// namedCalls are the calls for a secret that is found by its name, its whole ARN and
// its ARN without the random end.
func namedCalls(test string) steps {
	name := test[strings.IndexByte(test, '[')+1 : len(test)-1]
	name = strings.TrimSuffix(strings.TrimSuffix(name, "-True"), "-False")
	of := func(more ...any) object { o := of(more...); o["SecretId"] = name; return o }
	partial := of("SecretId", "")
	partial["SecretId"] = "arn:aws:secretsmanager:" + awstest.Region + ":000000000000:secret:" + name
	return steps{{Key: "create_secret_rs_1", Operation: "CreateSecret", In: object{"Name": name, "SecretString": "my_secret", "Description": "Testing secret creation.", "ClientRequestToken": first}},
		{Key: "get_secret_value_rs_1", Operation: "GetSecretValue", In: of()}, {Key: "describe_secret_rs_1", Operation: "DescribeSecret", In: of()},
		{Key: "get_secret_value_rs_2", Operation: "GetSecretValue", In: object{"SecretId": "$1"}}, {Key: "get_secret_value_rs_3", Operation: "GetSecretValue", In: partial}, {Key: "resource_not_found_dict_1", Operation: "GetSecretValue", In: partial},
		{Key: "put_secret_value_rs_1", Operation: "PutSecretValue", In: of("SecretString", "new_secret", "ClientRequestToken", second)}, {Key: "get_secret_value_rs_4", Operation: "GetSecretValue", In: of()},
		{Key: "update_secret_res_1", Operation: "UpdateSecret", In: of("SecretString", "b", "ClientRequestToken", third)}, {Key: "delete_secret_res_1", Operation: "DeleteSecret", In: of("ForceDeleteWithoutRecovery", true)}}
}

// withoutToken are the calls of a client that gives no token, as it reads the answer.
func withoutToken(t *testing.T, operation string) func() awstest.Answers {
	return func() awstest.Answers {
		c := open(t)
		c.Call(service, "CreateSecret", object{"Name": "s", "SecretString": "a", "ClientRequestToken": first})
		in := object{"SecretId": "s", "SecretString": "b"}
		if operation == "CreateSecret" {
			in = object{"Name": "t", "SecretString": "a"}
		}
		_, code, message := c.Try(service, operation, in)
		return awstest.Answers{"no-client-request-exc": object{"Error": object{"Message": message, "__type": code}, "Metadata": object{"StatusCode": 400}}}
	}
}

// printedErrors are errors as a client of Python prints them.
func printedErrors(t *testing.T) func() awstest.Answers {
	return func() awstest.Answers {
		c := open(t)
		c.Call(service, "CreateSecret", object{"Name": "s", "ClientRequestToken": first})
		ask := func(more ...any) string {
			_, code, message := c.Try(service, "GetSecretValue", of(more...))
			return "An error occurred (" + code + ") when calling the GetSecretValue operation: " + message
		}
		return awstest.Answers{"get_secret_value_no_version_ex": ask(), "get_secret_value_version_not_found_ex": ask("VersionId", second), "get_secret_value_stage_not_found_ex": ask("VersionStage", "AWSPENDING")}
	}
}

// stageCalls are the calls of the recorded tests about staging labels.
func stageCalls(name string) steps {
	const current, pending = "AWSCURRENT", "AWSPENDING"
	switch name {
	case "test_update_secret_version_stages_return_type":
		return steps{made("create_secret_rs_0", "S1"), put("put_secret_value_res_0", second, "S2", pending), move("update_secret_version_stage_res_0", current, first, second), deleted("delete_secret_res_0")}
	case "test_update_secret_version_stages_current_previous":
		return steps{made("create_secret_rs_0", "S1"), versions("list_secret_version_ids_res_0"), updated("update_secret_res_0", second, "SecretString", "S2"), versions("list_secret_version_ids_res_1"), deleted("delete_secret_res_0")}
	case "test_update_secret_version_stages_current_pending":
		return steps{made("create_secret_rs_0", "S1"), put("put_secret_value_res_0", second, "S2", pending), versions("list_secret_version_ids_res_0"), move("update_secret_version_stage_res_0", current, first, second), versions("list_secret_version_ids_res_1"),
			put("put_secret_value_res_1", third, "S3"), versions("list_secret_version_ids_res_2"), deleted("delete_secret_res_0")}
	case "test_update_secret_version_stages_current_pending_cycle":
		return steps{made("create_secret_rs_0", "S1"), put("put_secret_value_res_0", second, "S2", pending), versions("list_secret_version_ids_res_0"), value("get_secret_value_res_0"),
			move("update_secret_version_stage_res_0", current, first, second), versions("list_secret_version_ids_res_1"), value("get_secret_value_res_1"),
			put("put_secret_value_res_1", third, "S3", pending), versions("list_secret_version_ids_res_2"), value("get_secret_value_res_2"),
			move("put_secret_value_res_2", current, second, third), versions("list_secret_version_ids_res_3"), value("get_secret_value_res_3"), deleted("delete_secret_res_0")}
	case "test_update_secret_version_stages_current_pending_cycle_custom_stages_1":
		return steps{made("create_secret_rs_0", "S1"), put("put_secret_value_res_0", second, "S2", pending, "PUT1", "AWSSOMETHING"), versions("list_secret_version_ids_res_0"), value("get_secret_value_res_0"),
			move("update_secret_version_stage_res_0", current, first, second), versions("list_secret_version_ids_res_1"), value("get_secret_value_res_1"),
			put("put_secret_value_res_1", third, "S3", pending, "PUT2"), versions("list_secret_version_ids_res_2"), value("get_secret_value_res_2"),
			move("update_secret_version_stage_res_1", current, second, third), versions("list_secret_version_ids_res_3"), value("get_secret_value_res_3"), deleted("delete_secret_res_0")}
	case "test_update_secret_version_stages_current_pending_cycle_custom_stages_2":
		return steps{made("create_secret_rs_0", "SS"), put("put_secret_value_res_0", second, "S1", current, "PUT0"), versions("list_secret_version_ids_res_0"),
			put("put_secret_value_res_1", third, "S2", pending, "PUT1"), versions("list_secret_version_ids_res_1"), value("get_secret_value_res_0"),
			move("update_secret_version_stage_res_0", current, second, third), versions("list_secret_version_ids_res_2"), value("get_secret_value_res_1"),
			put("put_secret_value_res_2", fourth, "S3", pending, "PUT2"), versions("list_secret_version_ids_res_3"), value("get_secret_value_res_2"),
			move("update_secret_version_stage_res_1", current, third, fourth), versions("list_secret_version_ids_res_4"), value("get_secret_value_res_3"), deleted("delete_secret_res_0")}
	case "test_update_secret_version_stages_current_pending_cycle_custom_stages_3":
		byID := func(key, id string) awstest.Step { return value(key, "VersionId", id) }
		return steps{made("create_secret_rs", "SS"), put("put_secret_value_res_0", second, "S1", "PENDING"), versions("list_secret_version_ids_rs"), byID("get_secret_value_v1_rs", first), byID("get_secret_value_v2_rs", second),
			move("update_secret_version_stage_res_1", current, first, second), byID("get_secret_value_v1_rs_1", first), byID("get_secret_value_v2_rs_1", second),
			move("update_secret_version_stage_res_2", "PENDING", second, ""), byID("get_secret_value_v1_rs_2", first), byID("get_secret_value_v2_rs_2", second), deleted("delete_secret_res_0")}
	case "test_non_versioning_version_stages_replacement":
		return steps{made("create_secret_rs_0", "S1"), put("put_secret_value_res_0", second, "S2", "one", "two", "three"), versions("list_secret_version_ids_res_0"),
			put("put_secret_value_res_1", third, "S3", "one", "two", "three", "four"), versions("list_secret_version_ids_res_1"), deleted("delete_secret_res_0")}
	case "test_non_versioning_version_stages_no_replacement":
		return steps{made("create_secret_rs_0", "S1"), put("put_secret_value_res_0", second, "S2", "one", "two", "three"), versions("list_secret_version_ids_res_0"),
			put("put_secret_value_res_1", third, "S3", "one", "two", "four"), versions("list_secret_version_ids_res_1"), deleted("delete_secret_res_0")}
	}
	return nil
}

// TestRecordedAnswers compares what is answered here with what AWS answered.
func TestRecordedAnswers(t *testing.T) {
	t.Parallel()
	awstest.Recorded{File: "testdata/recorded.json", Region: awstest.Region, Different: differences, Share: "321 of 321"}.Compare(t, func(test string) func() awstest.Answers {
		name, argument, _ := strings.Cut(strings.TrimSuffix(test, "]"), "[")
		switch name {
		case "test_create_and_update_secret":
			return open(t).Steps(service, "ARN", namedCalls(test))
		case "test_no_client_request_token":
			return withoutToken(t, argument)
		case "test_secret_version_not_found":
			return printedErrors(t)
		case "test_get_secret_value":
			return func() awstest.Answers {
				c := open(t)
				c.Inside(service, "CreateSecret", object{"Name": "s", "SecretBinary": []byte("footest"), "ClientRequestToken": first})
				sent := c.Call(service, "GetSecretValue", of())
				sent["CreatedDate"] = "datetime" // a number, when it is sent
				return awstest.Answers{"secret_value_response": c.Inside(service, "GetSecretValue", of()), "secret_value_http_response": sent}
			}
		}
		calls := recordedCalls(test)
		if calls == nil {
			return nil
		}
		return open(t).Steps(service, "VersionId", calls)
	})
}
