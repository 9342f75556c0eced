package cloudformation_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"showrunner/awsapi/awstest"
)

const (
	named     = "Parameters: {N: {Type: String}}\nResources: {A: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Name: !Ref N, Value: x}}}"
	allows    = `{"Statement": [{"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}`
	denies    = `{"Statement": [{"Effect": "Deny", "Action": "Update:*", "Principal": "*", "Resource": "*"}]}`
	noMembers = "Template format error: At least one Resources member must be defined."
	noPolicy  = "Error validating stack policy: Invalid stack policy"
)

// set is a call that makes a change set for a new stack.
func set(template string) object {
	return object{"StackName": "made", "ChangeSetName": "set", "ChangeSetType": "CREATE", "TemplateBody": template}
}

// update is an update of the stack s, which is of named.
func update(more ...any) object {
	in := object{"StackName": "s", "UsePreviousTemplate": true, "Parameters": given(map[string]string{"N": "another"})}
	for i := 0; i+1 < len(more); i += 2 {
		if more[i+1] == nil {
			delete(in, more[i].(string))
			continue
		}
		in[more[i].(string)] = more[i+1]
	}
	return in
}

// invalid is the answer to what cannot be done.
func invalid(message string) object { return awstest.Fails("ValidationError", message) }

// stated are the calls of further recorded tests, each test with a stack s of its own,
// and what AWS answered. The topics of the tests are parameters here.
func stated() map[string][]awstest.Fact {
	output := func(name, value, want string) awstest.Fact {
		return awstest.Fact{Name: name, Operation: "CreateChangeSet", In: set(`{"Resources": {"Foo": {"Type": "AWS::SSM::Parameter"}}, "Outputs": {"MyOutput": ` + value + `}}`), Want: invalid(want)}
	}
	resource := func(name, template, want string) awstest.Fact {
		return awstest.Fact{Name: name, Operation: "CreateChangeSet", In: set(template), Want: invalid(want)}
	}
	trigger := func(arn, kind string) object {
		return object{"RollbackTriggers": []any{object{"Arn": arn, "Type": kind}}}
	}
	policy := func(name, text string, want any) awstest.Fact {
		return awstest.Fact{Name: name, Operation: "SetStackPolicy", In: object{"StackName": "s", "StackPolicyBody": text}, Want: want}
	}
	has := func(name string, want object) awstest.Fact {
		return awstest.Fact{Name: name, Operation: "GetStackPolicy", In: object{"StackName": "s"}, Want: want}
	}
	body := func(text string) object { return object{"StackPolicyBody": text} }
	null := "[/Outputs/MyOutput/Value] 'null' values are not allowed in templates"
	gone := "arn:aws:cloudformation:us-east-1:000000000000:changeSet/change-set-926829fe/d065e78c"
	listed := object{"StackId": "<stack:1>", "StackName": "s", "CreationTime": "datetime", "LastUpdatedTime": "datetime", "StackStatus": "CREATE_COMPLETE", "DriftInformation": object{"StackDriftStatus": "NOT_CHECKED"}}
	after := "\nResources:\n    SimpleParam1:\n        Type: AWS::SSM::Parameter\n        Properties:\n            Value: after-stack-update\n            Type: String\n"
	return map[string][]awstest.Fact{
		"test_validations::test_invalid_output_structure": {
			output("none-value", `{"Value": null}`, null),
			output("missing-def", `{"Value": null, "AnotherValue": null}`, null),
			output("multiple-nones", `{}`, "Template format error: Every Outputs member must contain a Value object"),
		},
		"test_validations::test_missing_resources_block": {resource("validation-error", "{}", noMembers)},
		"test_validations::test_resources_blocks": {
			resource("missing-type", `{"Resources": {"A": {"Properties": {}}}}`, "Template format error: [/Resources/A] Every Resources object must contain a Type member."),
			resource("invalid-key", `{"Resources": {"A": {"Type": "AWS::SSM::Parameter", "Invalid": 10}}}`, "Invalid template resource property 'Invalid'"),
		},
		"test_update_stack::test_update_with_resource_types": {
			{Name: "invalid_type_error", Operation: "UpdateStack", In: update("ResourceTypes", []any{"AWS::EC2:*"}), Want: invalid("Resource type AWS::SSM::Parameter is not allowed by parameter ResourceTypes [AWS::EC2:*]")},
			{Name: "resource_not_allowed", Operation: "UpdateStack", In: update("ResourceTypes", []any{"AWS::EC2::*"}), Want: invalid("Resource type AWS::SSM::Parameter is not allowed by parameter ResourceTypes [AWS::EC2::*]")},
			{Operation: "UpdateStack", In: update("ResourceTypes", []any{"AWS::SSM::*"})},
		},
		"test_update_stack::test_basic_update":      {{Name: "update_response", Operation: "UpdateStack", In: update("TemplateBody", named, "UsePreviousTemplate", nil), Want: object{"StackId": "<stack:1>"}}},
		"test_update_stack::test_no_template_error": {{Name: "error", Operation: "UpdateStack", In: object{"StackName": "s"}, Want: invalid("Either Template URL or Template Body must be specified.")}},
		"test_update_stack::test_update_with_role_without_permissions": {
			{Operation: "iam.CreateRole", In: object{"RoleName": "role", "AssumeRolePolicyDocument": `{"Version": "2012-10-17", "Statement": [{"Action": "sts:AssumeRole", "Principal": {"AWS": "arn:aws:iam::000000000000:root"}, "Effect": "Deny"}]}`}},
			{Name: "error", Operation: "UpdateStack", In: update("RoleARN", "arn:aws:iam::000000000000:role/role"), Want: invalid("Role arn:aws:iam::000000000000:role/role is invalid or cannot be assumed"), Different: "any role is taken"},
		},
		"test_update_stack::test_update_with_invalid_rollback_configuration_errors": {
			{Name: "type_error", Operation: "UpdateStack", In: update("RollbackConfiguration", trigger("8b7f4c1e", "Another")), Want: invalid("Rollback Trigger Type not supported")},
			{Name: "arn_error", Operation: "UpdateStack", In: update("RollbackConfiguration", trigger("arn:aws:cloudwatch:us-east-1:123456789012:example-name", "AWS::CloudWatch::Alarm")), Want: invalid("RelativeId of a Rollback Trigger's ARN is incorrect")},
		},
		"test_update_stack::test_diff_after_update": {
			{Operation: "UpdateStack", In: object{"StackName": "s", "TemplateBody": after}},
			{Name: "get-template-response", Operation: "GetTemplate", In: object{"StackName": "s"}, Want: object{"StagesAvailable": []any{"Original", "Processed"}, "TemplateBody": after}},
			{Name: "update-error", Operation: "UpdateStack", In: object{"StackName": "s", "TemplateBody": after}, Want: invalid("No updates are to be performed.")},
		},
		"test_stack_policies::test_policy_lifecycle": {
			has("initial_policy", object{}),
			policy("", allows, nil), has("policy", body(allows)),
			policy("", denies, nil), has("policy_updated", body(denies)),
			policy("", "{}", nil), has("policy_deleted", body("{}")),
		},
		"test_stack_policies::test_empty_policy":                  {policy("", "{}", nil), has("policy", body("{}"))},
		"test_stack_policies::test_not_json_policy":               {policy("error", "8b7f4c1e", invalid(noPolicy))},
		"test_stack_policies::test_different_principal_attribute": {policy("error", strings.Replace(denies, `"Principal": "*"`, `"Principal": "8b7f4c1e"`, 1), invalid(noPolicy))},
		"test_stack_policies::test_different_action_attribute":    {policy("error", strings.Replace(denies, `"Update:*"`, `"Delete:*"`, 1), invalid(noPolicy))},
		"test_stack_policies::test_set_policy_both_policy_and_url": {
			{Name: "error", Operation: "SetStackPolicy", In: object{"StackName": "s", "StackPolicyBody": allows, "StackPolicyURL": "https://bucket.s3.amazonaws.com/policy.json"}, Want: invalid("You cannot specify both StackPolicyURL and StackPolicyBody")},
		},
		"test_stack_policies::test_create_stack_with_policy": {
			{Operation: "CreateStack", In: object{"StackName": "made", "TemplateBody": named, "Parameters": given(map[string]string{"N": "two"}), "StackPolicyBody": allows}},
			{Name: "policy", Operation: "GetStackPolicy", In: object{"StackName": "made"}, Want: body(allows)},
		},
		"test_templates::test_get_template_summary_non_executed_change_set": {
			{Operation: "CreateChangeSet", In: set(after)},
			{Name: "error", Operation: "GetTemplateSummary", In: object{"StackName": "made"}, Want: invalid("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")},
		},
		"test_templates::test_get_template_summary_no_resources": {{Name: "error", Operation: "GetTemplateSummary", In: object{"TemplateBody": "{}"}, Want: invalid(noMembers)}},
		"test_templates::test_create_stack_from_s3_template_url": {
			{Name: "s3_url", Operation: "CreateStack", In: object{"StackName": "made", "TemplateURL": "s3://bucket/test/template.yml"}, Want: invalid("S3 error: Domain name specified in bucket is not a valid S3 domain")},
			{Name: "http_invalid", Operation: "CreateStack", In: object{"StackName": "made", "TemplateURL": "https://example.com/dummy.yml"}, Want: invalid("TemplateURL must be a supported URL.")},
		},
		"test_templates::test_validate_template": {
			{Name: "validate-template", Operation: "ValidateTemplate", In: object{"TemplateBody": `{"Parameters": {"KeyExample": {"Description": "The EC2 Key Pair to allow SSH access to the instance", "Type": "AWS::EC2::KeyPair::KeyName"}}, "Resources": {"A": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x"}}}}`},
				Want: object{"Parameters": []any{object{"Description": "The EC2 Key Pair to allow SSH access to the instance", "NoEcho": false, "ParameterKey": "KeyExample"}}}},
		},
		"test_templates::test_validate_invalid_json_template_should_fail": {
			{Name: "validate-invalid-json", Operation: "ValidateTemplate", In: object{"TemplateBody": `{"this is invalid JSON"="bobbins"}`}, Want: invalid("Template format error: JSON not well-formed. (line 1, column 25)")},
		},
		"test_templates::test_get_template_missing_resources_stack":      {{Name: "stack-error", Operation: "GetTemplate", In: object{"StackName": "does-not-exist"}, Want: invalid("Stack with id does-not-exist does not exist")}},
		"test_templates::test_get_template_missing_resources_change_set": {{Name: "change-set-error", Operation: "GetTemplate", In: object{"ChangeSetName": "does-not-exist"}, Want: invalid("StackName is a required parameter.")}},
		"test_templates::test_get_template_missing_resources_change_set_id": {
			{Name: "change-set-error", Operation: "GetTemplate", In: object{"ChangeSetName": gone}, Want: awstest.Fails("ChangeSetNotFound", "ChangeSet ["+gone+"] does not exist")},
		},
		"test_list_stacks::test_listing_stacks": {{Name: "stacks", Operation: "ListStacks", In: object{}, Want: object{"StackSummaries": []any{listed}}}},
	}
}

// TestStatedAnswers makes the calls of stated and compares every answer.
func TestStatedAnswers(t *testing.T) {
	t.Parallel()
	const share = "34 of 35"
	agree, total := 0, 0
	for test, facts := range stated() {
		w, c := newWorld(t), awstest.Comparer{Region: region}
		if err := w.deploy("s", named, map[string]string{"N": "one"}); err != nil {
			t.Fatal(err)
		}
		for _, fact := range facts {
			out, err := w.try(fact.Operation, fact.In)
			if fact.Operation == "CreateStack" && err == nil || fact.Operation == "UpdateStack" && err == nil {
				w.stack(fact.In["StackName"].(string))
			}
			if fact.Want == nil {
				if err != nil {
					t.Errorf("%s: %s: %v", test, fact.Operation, err)
				}
				continue
			}
			total++
			got := answered(out, err)
			if e, failed := got.(object)["Error"].(object); failed {
				delete(e, "Type")
			}
			switch found := c.Compare(fact.Want, got); {
			case len(found) == 0 && fact.Different == "":
				agree++
			case (len(found) == 0) != (fact.Different == ""):
				t.Errorf("%s/%s, listed as different %q, differs:\n  %s", test, fact.Name, fact.Different, strings.Join(found, "\n  "))
			}
		}
	}
	page, err := os.ReadFile("../../docs/aws.md")
	if got := fmt.Sprintf("%d of %d", agree, total); err != nil || got != share || !strings.Contains(string(page), "| "+share+" |") {
		t.Errorf("%s stated answers agree; say so here and in docs/aws.md (%v)", got, err)
	}
}
