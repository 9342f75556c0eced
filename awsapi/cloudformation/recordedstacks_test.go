package cloudformation_test

import (
	"encoding/json"
	"strings"
)

const noEcho = `
Parameters:
  NormalParameter: {Type: String, Default: "Some default value here"}
  SecretParameter: {Type: String, NoEcho: %HIDDEN%}
  SecretParameterWithDefault: {Type: String, NoEcho: true, Default: "Default secret value here"}
Resources:
  LocalBucket:
    Type: AWS::S3::Bucket
    Properties: {BucketName: cfn-noecho-bucket, Tags: [{Key: SecretTag, Value: !Ref SecretParameter}]}
    Metadata: {SensitiveData: !Ref SecretParameter}
Outputs:
  SecretValue: {Description: Secret value from parameter, Value: !Ref SecretParameter}
`

func stacks() map[string]scenario {
	all := map[string]scenario{
		"test_stacks::test_stack_deletion_order[C]":                               deletionOrder("C"),
		"test_stacks::test_stack_deletion_order[B-C]":                             deletionOrder("B", "C"),
		"test_stacks::test_stack_deletion_order[A-B-C]":                           deletionOrder("A", "B", "C"),
		"test_stacks::TestStacksApi::test_stack_description_lifecycle[no-tags]":   described(nil),
		"test_stacks::TestStacksApi::test_stack_description_lifecycle[with-tags]": described([]any{object{"Key": "foo", "Value": "bar"}}),
		"test_stacks::test_name_conflicts": func(w *world, out recording) {
			id := w.call("CreateStack", object{"StackName": "s", "TemplateBody": minimal})["StackId"].(string)
			w.is("s", "CREATE_COMPLETE")
			out["create_stack_already_exists_exc"] = answered(w.try("CreateStack", object{"StackName": "s", "TemplateBody": minimal}))
			out["created_stack_desc"] = w.first("s").(object)["StackStatus"]
			w.call("DeleteStack", object{"StackName": "s"})
			w.is(id, "DELETE_COMPLETE")
			out["deleted_stack_not_found_exc"] = answered(w.try("DescribeStacks", object{"StackName": "s"}))
			out["deleted_stack_events_not_found_by_name"] = answered(w.try("DescribeStackEvents", object{"StackName": "s"}))
			out["deleted_stack_desc"] = w.call("DescribeStacks", object{"StackName": id})
			second := w.call("CreateStack", object{"StackName": "s", "TemplateBody": minimal})["StackId"].(string)
			w.is("s", "CREATE_COMPLETE")
			out["new_stack_desc"] = w.call("DescribeStacks", object{"StackName": "s"})
			out["stack_id_desc"] = w.call("DescribeStacks", object{"StackName": id})
			out["new_stack_id_desc"] = w.call("DescribeStacks", object{"StackName": second})
			w.call("DeleteStack", object{"StackName": "s"})
			w.is(second, "DELETE_COMPLETE")
			out["deleted_second_stack_desc"] = w.call("DescribeStacks", object{"StackName": second})
		},
		"test_stacks::TestStacksApi::test_update_stack_with_same_template_withoutchange": func(w *world, out recording) {
			_ = w.deploy("s", minimal, nil)
			out["no_change_exception"] = answered(w.try("UpdateStack", object{"StackName": "s", "TemplateBody": minimal}))
		},
		"test_stacks::test_stack_resource_not_found": func(w *world, out recording) {
			_ = w.deploy("s", minimal, nil)
			out["Error"] = answered(w.try("DescribeStackResource", object{"StackName": "s", "LogicalResourceId": "NonExistentResource"}))
		},
		"test_stacks::test_subnet_id_parameter_type": func(w *world, out recording) {
			_ = w.deploy("s", minimal+"\nParameters: {Subnets: {Type: 'List<AWS::EC2::Subnet::Id>'}}\nOutputs: {ParamValue: {Value: !Join ['|', !Ref Subnets]}}", map[string]string{"Subnets": "subnet-id-1,subnet-id-2"})
			out["outputs"] = w.outputsOf("s")
		},
		"test_stacks::test_blocked_stack_deletion": func(w *world, out recording) {
			const template = `{"Parameters": {"Name": {"Type": "String"}}, "Resources": {"BrokenPolicy": {"Type": "AWS::IAM::Policy", "Properties": {"PolicyName": {"Ref": "Name"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}}}}}`
			id := w.call("CreateStack", object{"StackName": "s", "TemplateBody": template, "Parameters": given(map[string]string{"Name": "test-broken-policy"}), "Capabilities": []any{"CAPABILITY_NAMED_IAM"}})["StackId"].(string)
			w.stack(id)
			out["stack_post_create"] = w.call("DescribeStacks", object{"StackName": id})
			w.call("DeleteStack", object{"StackName": id})
			w.stack(id)
			out["stack_post_fail_delete"] = w.call("DescribeStacks", object{"StackName": id})
			w.call("DeleteStack", object{"StackName": id, "RetainResources": []any{"BrokenPolicy"}})
			w.stack(id)
			out["stack_post_success_delete"] = w.call("DescribeStacks", object{"StackName": id})
			out["stack_events"] = w.call("DescribeStackEvents", object{"StackName": id})
		},
		"test_stacks::test_no_echo_parameter": hiddenParameters,
	}
	for _, order := range []string{"A-B-C", "A-C-B", "B-A-C", "B-C-A", "C-A-B", "C-B-A"} {
		all["test_stacks::test_stack_deploy_order["+order+"]"] = deployOrder(strings.Split(order, "-")...)
	}
	return all
}

func hiddenParameters(w *world, out recording) {
	hidden := strings.Replace(noEcho, "%HIDDEN%", "true", 1)
	with := func(value string) map[string]string { return map[string]string{"SecretParameter": value} }
	_ = w.deploy("s", hidden, with("SecretValue"))
	id := w.first("s").(object)["StackId"].(string)
	describe := func() object { return w.call("DescribeStacks", object{"StackName": id}) }
	change := func(key, name, template, value string) {
		w.call("CreateChangeSet", object{"StackName": "s", "ChangeSetName": name, "TemplateBody": template, "Parameters": given(with(value))})
		out[key] = w.call("DescribeChangeSet", object{"StackName": id, "ChangeSetName": name})
	}
	out["describe_stacks"] = describe()
	out["describe_stack_resource_details_LocalBucket"] = w.call("DescribeStackResource", object{"StackName": "s", "LogicalResourceId": "LocalBucket"})
	change("describe_change_set_on_create_complete", "before-update", hidden, "NewSecretValue1")
	out["describe_stack_on_create_complete"] = describe()
	w.call("UpdateStack", object{"StackName": "s", "TemplateBody": hidden, "Parameters": given(with("NewSecretValue1"))})
	w.is(id, "UPDATE_COMPLETE")
	out["describe_updated_stacks"] = describe()
	change("describe_updated_change_set", "value", hidden, "NewSecretValue2")
	out["describe_updated_stacks_change_set"] = describe()
	change("describe_updated_change_set_no_echo_true", "shown", strings.Replace(noEcho, "%HIDDEN%", "false", 1), "NewSecretValue2")
	out["describe_updated_stacks_no_echo_true"] = describe()
	change("describe_updated_change_set_no_echo_false", "hidden", hidden, "NewSecretValue2")
	out["describe_updated_stacks_no_echo_false"] = describe()
}

func conditions() map[string]scenario {
	const nested = `{"Parameters": {"BucketName": {"Type": "String", "Default": ""}, "EnvType": {"Type": "String", "Default": "test", "AllowedValues": ["prod", "test"]}},
		"Conditions": {"IsProduction": {"Fn::Equals": [{"Ref": "EnvType"}, "prod"]}, "CreateBucket": {"Fn::Not": [{"Fn::Equals": [{"Ref": "BucketName"}, ""]}]}, "CreateBucketPolicy": {"Fn::And": [{"Condition": "IsProduction"}, {"Condition": "CreateBucket"}]}},
		"Resources": {
			"Bucket": {"Type": "AWS::S3::Bucket", "Condition": "CreateBucket", "Properties": {"BucketName": {"Ref": "BucketName"}}},
			"Policy": {"Type": "AWS::S3::BucketPolicy", "Condition": "CreateBucketPolicy", "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [{"Action": ["s3:GetObject"], "Effect": "Allow", "Resource": [{"Fn::Join": ["", ["arn:aws:s3:::", {"Ref": "Bucket"}, "/*"]]}], "Principal": {"Service": "lambda.amazonaws.com"}}]}}}}}`
	run := func(env, bucket string) scenario {
		return func(w *world, out recording) {
			set := w.call("CreateChangeSet", object{"StackName": "s", "ChangeSetName": "initial", "ChangeSetType": "CREATE", "TemplateBody": nested, "Parameters": []any{
				object{"ParameterKey": "EnvType", "ParameterValue": env}, object{"ParameterKey": "BucketName", "ParameterValue": bucket}}})
			out["create_cs_result"] = set
			out["describe_changeset_result"] = w.call("DescribeChangeSet", object{"StackName": "s", "ChangeSetName": "initial"})
			w.call("ExecuteChangeSet", object{"StackName": "s", "ChangeSetName": "initial"})
			w.is("s", "CREATE_COMPLETE")
			out["stack_resources"] = w.call("DescribeStackResources", object{"StackName": "s"})
			out["stack_events"] = w.call("DescribeStackEvents", object{"StackName": "s"})
			out["describe_stack_result"] = w.call("DescribeStacks", object{"StackName": "s"})
		}
	}
	disabled := func(toggle string) scenario {
		const template = `{"Parameters": {"ParameterValue": {"Type": "String"}, "Toggle": {"Type": "String"}}, "Conditions": {"On": {"Fn::Equals": [{"Ref": "Toggle"}, "yes"]}},
			"Resources": {"BaseParameter": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "ParameterValue"}}},
				"ConditionalParameter": {"Type": "AWS::SSM::Parameter", "Condition": "On", "Properties": {"Type": "String", "Value": {"Ref": "ParameterValue"}}},
				"AnotherResource": {"Type": "AWS::SSM::Parameter", "Condition": "On", "Properties": {"Type": "String", "Value": {"Fn::GetAtt": ["ConditionalParameter", "Value"]}}}},
			"Outputs": {"ConditionalParameterValue": {"Condition": "On", "Value": {"Fn::GetAtt": ["AnotherResource", "Value"]}}}}`
		return func(w *world, out recording) {
			_ = w.deploy("s", template, map[string]string{"ParameterValue": "value-of-it", "Toggle": toggle})
			out["stack-description"] = w.call("DescribeStacks", object{"StackName": "s"})
			out["resources-description"] = w.call("DescribeStackResources", object{"StackName": "s"})
		}
	}
	const prefix = "test_conditions::TestCloudFormationConditions::"
	return map[string]scenario{
		prefix + "test_nested_conditions[test-nobucket-nopolicy]": run("test", ""),
		prefix + "test_nested_conditions[test-bucket-nopolicy]":   run("test", "ls-test-bucket"),
		prefix + "test_nested_conditions[prod-nobucket-nopolicy]": run("prod", ""),
		prefix + "test_nested_conditions[prod-bucket-policy]":     run("prod", "ls-test-bucket"),
		prefix + "test_references_to_disabled_resources[yes]":     disabled("yes"),
		prefix + "test_references_to_disabled_resources[no]":      disabled("no"),
	}
}

// secretOf makes a secret of properties, and answers how it is described.
func secretOf(stack, properties string) scenario {
	return func(w *world, out recording) {
		_ = w.deploy(stack, `{"Resources": {"Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": `+properties+`}}}`, nil)
		id := w.physical(stack, "Secret")
		out["secret"] = w.call("secretsmanager.DescribeSecret", object{"SecretId": id})
		w.call("DeleteStack", object{"StackName": stack})
		out["exception"] = answeredJSON(w.try("secretsmanager.DescribeSecret", object{"SecretId": id}))
	}
}

func others() map[string]scenario {
	policy := func(block string) scenario {
		return func(w *world, out recording) {
			_ = w.deploy("s", `{"Resources": {"Secret": {"Type": "AWS::SecretsManager::Secret", "Properties": {"Name": "the-secret", "SecretString": "x"}}, "Policy": {"Type": "AWS::SecretsManager::ResourcePolicy", "Properties": {"SecretId": {"Ref": "Secret"}, `+block+`"ResourcePolicy": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Action": "secretsmanager:ReplicateSecretToRegions", "Resource": "*"}]}}}},
				"Outputs": {"SecretId": {"Value": {"Fn::GetAtt": ["Secret", "Id"]}}, "SecretPolicyArn": {"Value": {"Ref": "Policy"}}}}`, nil)
			out["outputs"] = w.outputsOf("s")
			out["resource_policy"] = w.call("secretsmanager.GetResourcePolicy", object{"SecretId": "the-secret"})
		}
	}
	return map[string]scenario{
		"test_references::TestFnSub::test_fn_sub_cases": func(w *world, out recording) {
			const list = ": {Value: !Sub ['%s', {somekey: somevalue}]}\n  "
			_ = w.deploy("s", "Parameters: {Param1: {Type: String, Default: Param1Value}}\nResources: {MyResource: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: unimportant, Name: !Ref Param1}}}\nOutputs:\n  "+
				"StringStatic: {Value: !Sub 'this is a static string'}\n  StringRefParam: {Value: !Sub '${Param1}'}\n  StringRefResource: {Value: !Sub '${MyResource}'}\n  StringRefPseudoParam: {Value: !Sub '${AWS::Region}'}\n  "+
				"StringRefMultiple: {Value: !Sub '${Param1} - ${MyResource}'}\n  StringRefGetAtt: {Value: !Sub '${MyResource.Value}'}\n  "+
				"ListStatic"+strings.Replace(list, "%s", "this is a static string", 1)+"ListRefParam"+strings.Replace(list, "%s", "${Param1}", 1)+"ListRefResourceDirect"+strings.Replace(list, "%s", "${MyResource}", 1)+
				"ListRefPseudoParam"+strings.Replace(list, "%s", "${AWS::Region}", 1)+"ListRefGetAtt"+strings.Replace(list, "%s", "${MyResource.Value}", 1)+
				"ListRefResourceMappingRef: {Value: !Sub ['${R}', {R: !Ref MyResource}]}\n  ListRefMultipleMix: {Value: !Sub ['${R}-${AWS::Region}-${Param1}', {R: !Ref MyResource}]}\n  "+
				"ListRefGetAttMapping: {Value: !Sub ['${V}', {V: !GetAtt MyResource.Value}]}\n  UrlSuffixPseudoParam: {Value: {'Fn::Sub': '${AWS::URLSuffix}'}}", nil)
			out["outputs"] = w.outputsOf("s")
		},
		"test_references::TestFnSub::test_non_string_parameter_in_sub": func(w *world, out recording) {
			_ = w.deploy("s", "Parameters: {N: {Type: Number, Default: 3}}\nResources: {P: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Name: the-name, Value: !Sub 'my number is ${N}'}}}", nil)
			out["get-parameter-result"] = w.call("ssm.GetParameter", object{"Name": "the-name"})["Parameter"]
		},
		"test_references::TestPseudoParameters::test_stack_id": func(w *world, out recording) {
			_ = w.deploy("s", "Resources: {P: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: !Join ['-', [!Ref 'AWS::StackName', s3logs, !Select [4, !Split ['-', !Select [2, !Split ['/', !Ref 'AWS::StackId']]]]]]}}}", nil)
			out["parameter-value"] = w.call("ssm.GetParameter", object{"Name": w.physical("s", "P")})["Parameter"].(object)["Value"]
			out["stack-id"] = w.first("s").(object)["StackId"]
		},
		"test_kinesis::test_default_parameters_kinesis": func(w *world, out recording) {
			_ = w.deploy("s", "Resources: {S: {Type: 'AWS::Kinesis::Stream', Properties: {}}}", nil)
			out["describe_stream"] = w.call("kinesis.DescribeStream", object{"StreamName": w.physical("s", "S")})
		},
		"test_kinesis::test_stream_creation": func(w *world, out recording) {
			_ = w.deploy("s", "Resources: {TestStream: {Type: 'AWS::Kinesis::Stream', Properties: {ShardCount: 1}}}\nOutputs: {StreamNameFromRef: {Value: !Ref TestStream}, StreamArnFromAtt: {Value: !GetAtt TestStream.Arn}}", nil)
			out["stack_output"] = w.outputsOf("s")
			out["resource_description"] = w.call("DescribeStackResources", object{"StackName": "s"})
			out["stream_description"] = w.call("kinesis.DescribeStream", object{"StreamName": w.physical("s", "TestStream")})
		},
		"test_secretsmanager::test_cfn_secret_policy[true]":          policy(`"BlockPublicPolicy": true, `),
		"test_secretsmanager::test_cfn_secret_policy[default]":       policy(""),
		"test_secretsmanager::test_cfn_secretsmanager_gen_secret":    secretOf("stack-63e3fdc5", `{"Name": "named", "Description": "Aurora Password", "GenerateSecretString": {"SecretStringTemplate": "{\"username\": \"admin\"}", "GenerateStringKey": "password", "PasswordLength": 16}}`),
		"test_secretsmanager::test_cfn_handle_secretsmanager_secret": secretOf("stack-ab33fda4", `{"Name": "named", "Description": "Aurora Password", "GenerateSecretString": {"PasswordLength": 16}}`),
		"test_secretsmanager::test_cdk_deployment_generates_secret_value_if_no_value_is_provided": func(w *world, out recording) {
			_ = w.deploy("s", "Resources: {Secret: {Type: 'AWS::SecretsManager::Secret', Properties: {GenerateSecretString: {}}}}", nil)
			out["generated_key"] = w.call("secretsmanager.GetSecretValue", object{"SecretId": w.physical("s", "Secret")})
		},
		"test_ssm::test_parameter_defaults": func(w *world, out recording) {
			_ = w.deploy("s", "Resources: {P: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: a-value}}}", nil)
			name := w.physical("s", "P")
			out["ssm_parameter"] = w.call("ssm.GetParameter", object{"Name": name})
			w.call("DeleteStack", object{"StackName": "s"})
			out["ssm_parameter_not_found"] = answeredJSON(w.try("ssm.GetParameter", object{"Name": name}))
		},
		"test_s3::test_bucketpolicy": func(w *world, out recording) {
			const bucket = `"Bucket": {"Type": "AWS::S3::Bucket"}`
			_ = w.deploy("s", `{"Resources": {`+bucket+`, "Policy": {"Type": "AWS::S3::BucketPolicy", "Properties": {"Bucket": {"Ref": "Bucket"}, "PolicyDocument": {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": ["s3:GetObject*", "s3:GetBucket*", "s3:List*"], "Resource": [{"Fn::GetAtt": ["Bucket", "Arn"]}, {"Fn::Join": ["", [{"Fn::GetAtt": ["Bucket", "Arn"]}, "/*"]]}]}]}}}}}`, nil)
			name := w.physical("s", "Bucket")
			out["bucket"] = object{"BucketName": name}
			var document any
			_ = json.Unmarshal([]byte(w.objects.buckets[name]["policy"]), &document)
			out["get-policy-true"] = document
			_ = w.deploy("s", `{"Resources": {`+bucket+`}}`, nil)
			if w.objects.buckets[name]["policy"] == "" { // the object storage itself answers, which is another test's
				out["no-policy"] = object{"Error": object{"BucketName": name, "Code": "NoSuchBucketPolicy", "Message": "The bucket policy does not exist"}}
			}
		},
	}
}
