package cloudformation_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"showrunner/awsapi/wire"
)

const chain = `
Parameters: {Value: {Type: String, Default: root}}
Resources:
  C: {Type: "AWS::SSM::Parameter", Properties: {Type: String, Value: !Ref B}}
  A: {Type: "AWS::SSM::Parameter", Properties: {Type: String, Value: !Ref Value}}
  B: {Type: "AWS::SSM::Parameter", Properties: {Type: String, Value: !GetAtt A.Value}}
Outputs:
  Last: {Value: !GetAtt C.Value, Description: d}
`

func TestAStackLives(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.call("CreateStack", object{"StackName": "s", "TemplateBody": chain})["StackId"].(string)
	made := w.is("s", "CREATE_COMPLETE")
	if got, want := outputs(made)["Last"], w.physical("s", "B"); got != want {
		t.Errorf("the output is %q, want %q", got, want)
	}
	if !strings.HasPrefix(w.physical("s", "A"), "CFN-A-") {
		t.Errorf("the parameter is called %s", w.physical("s", "A"))
	}
	want := []string{"s CREATE_IN_PROGRESS User Initiated",
		"A CREATE_IN_PROGRESS", "A CREATE_IN_PROGRESS Resource creation Initiated", "A CREATE_COMPLETE",
		"B CREATE_IN_PROGRESS", "B CREATE_IN_PROGRESS Resource creation Initiated", "B CREATE_COMPLETE",
		"C CREATE_IN_PROGRESS", "C CREATE_IN_PROGRESS Resource creation Initiated", "C CREATE_COMPLETE",
		"s CREATE_COMPLETE"}
	if got := w.events("s"); !slices.Equal(got, want) {
		t.Errorf("the events are\n%s", strings.Join(got, "\n"))
	}
	w.refused("CreateStack", object{"StackName": "s", "TemplateBody": chain}, "AlreadyExistsException", "Stack [s] already exists")
	w.refused("UpdateStack", object{"StackName": "s", "TemplateBody": chain}, "ValidationError", "No updates are to be performed.")

	w.call("UpdateStack", object{"StackName": "s", "UsePreviousTemplate": true, "Parameters": []any{object{"ParameterKey": "Value", "ParameterValue": "new"}}})
	w.is("s", "UPDATE_COMPLETE")
	if got := w.call("ssm.GetParameter", object{"Name": w.physical("s", "B")})["Parameter"].(object); got["Value"] != "new" || got["Version"] != int64(2) {
		t.Errorf("the parameter is %v", got)
	}
	if got := w.resources("s"); !maps.Equal(got, map[string]string{"A": "UPDATE_COMPLETE", "B": "UPDATE_COMPLETE", "C": "CREATE_COMPLETE"}) {
		t.Errorf("the resources are %v", got)
	}
	w.call("DeleteStack", object{"StackName": "s"})
	w.is(id, "DELETE_COMPLETE")
	w.refused("DescribeStacks", object{"StackName": "s"}, "ValidationError", "Stack with id s does not exist")
	w.refused("DescribeStackEvents", object{"StackName": "s"}, "ValidationError", "Stack [s] does not exist")
	if list := w.call("ssm.DescribeParameters", object{})["Parameters"].([]any); len(list) != 0 {
		t.Errorf("parameters are left: %v", list)
	}
	var deleted []string
	for _, e := range w.events(id) {
		if strings.Contains(e, "DELETE_COMPLETE") {
			deleted = append(deleted, e[:1])
		}
	}
	if !slices.Equal(deleted, []string{"C", "B", "A", "s"}) {
		t.Errorf("deleted in the order %v", deleted)
	}
	w.call("CreateStack", object{"StackName": "s", "TemplateBody": chain})
	w.is("s", "CREATE_COMPLETE")
	w.is(id, "DELETE_COMPLETE")
}

// failing is a stack whose last resource cannot be made.
const failing = `
Resources:
  Bucket: {Type: "AWS::S3::Bucket"}
  Kept: {Type: "AWS::SSM::Parameter", DeletionPolicy: Retain, Properties: {Name: kept, Type: String, Value: a}}
  Bad: {Type: "AWS::SSM::Parameter", DependsOn: [Bucket, Kept], Properties: {Name: aws-bad, Type: String, Value: a}}
`

func TestAFailedCreationIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.call("CreateStack", object{"StackName": "s", "TemplateBody": failing})
	w.is("s", "ROLLBACK_COMPLETE")
	events := w.events("s")
	for _, want := range []string{"s ROLLBACK_IN_PROGRESS The following resource(s) failed to create: [Bad]. Rollback requested by user.", "Bucket DELETE_COMPLETE", "Kept DELETE_SKIPPED"} {
		if !slices.Contains(events, want) {
			t.Errorf("no event %q in\n%s", want, strings.Join(events, "\n"))
		}
	}
	if !slices.ContainsFunc(events, func(e string) bool {
		return strings.HasPrefix(e, "Bad CREATE_FAILED Resource handler returned message: \"Parameter name: can't be prefixed with \"aws\"")
	}) {
		t.Errorf("the reason is not told:\n%s", strings.Join(events, "\n"))
	}
	if len(w.objects.buckets) != 0 {
		t.Errorf("buckets are left: %v", w.objects.buckets)
	}
	w.refused("UpdateStack", object{"StackName": "s", "TemplateBody": chain}, "ValidationError", "Stack:arn:aws:cloudformation:us-west-2:000000000000:stack/s/")
	w.call("DeleteStack", object{"StackName": "s"})

	w.call("CreateStack", object{"StackName": "stays", "TemplateBody": strings.ReplaceAll(failing, "Name: kept", "Name: kept2"), "OnFailure": "DO_NOTHING"})
	w.is("stays", "CREATE_FAILED")
	if len(w.objects.buckets) != 1 {
		t.Errorf("the buckets are %v", w.objects.buckets)
	}
	w.call("RollbackStack", object{"StackName": "stays"})
	w.is("stays", "ROLLBACK_COMPLETE")

	id := w.call("CreateStack", object{"StackName": "goes", "TemplateBody": strings.ReplaceAll(failing, "Name: kept", "Name: kept3"), "OnFailure": "DELETE"})["StackId"].(string)
	w.is(id, "DELETE_COMPLETE")
}

func TestAFailedUpdateIsUndone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const template = `
Resources:
  A: {Type: "AWS::SSM::Parameter", Properties: {Name: %s, Type: String, Value: "%s"}}
  Role: {Type: "AWS::IAM::Role", Properties: {AssumeRolePolicyDocument: {Version: 2012-10-17, Statement: []}, Description: "%s"}}
  B: {Type: "AWS::SSM::Parameter", DependsOn: [A, Role], Properties: {Name: %s, Type: String, Value: x}}
`
	capable := func(in object) object { in["Capabilities"] = []any{"CAPABILITY_IAM"}; return in }
	w.call("CreateStack", capable(object{"StackName": "s", "TemplateBody": fmt.Sprintf(template, "a", "1", "one", "b")}))
	w.is("s", "CREATE_COMPLETE")
	role := w.physical("s", "Role")
	w.call("UpdateStack", capable(object{"StackName": "s", "TemplateBody": fmt.Sprintf(template, "a2", "2", "two", "aws-no")}))
	w.is("s", "UPDATE_ROLLBACK_COMPLETE")
	if got := w.call("ssm.GetParameter", object{"Name": "a"})["Parameter"].(object)["Value"]; got != "1" || w.physical("s", "A") != "a" {
		t.Errorf("the parameter is %v", got)
	}
	if got := w.call("iam.GetRole", object{"RoleName": role})["Role"].(object)["Description"]; got != "one" {
		t.Errorf("the role's description is %v", got)
	}
	_, err := w.try("ssm.GetParameter", object{"Name": "a2"})
	if wire.CodeOf(err) != "ParameterNotFound" {
		t.Errorf("the replacement is still there: %v", err)
	}
	events := w.events("s")
	for _, want := range []string{
		"A UPDATE_IN_PROGRESS Requested update requires the creation of a new physical resource; hence creating one.",
		"s UPDATE_ROLLBACK_IN_PROGRESS The following resource(s) failed to update: [B].", "s UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", "s UPDATE_ROLLBACK_COMPLETE",
	} {
		if !slices.Contains(events, want) {
			t.Errorf("no event %q in\n%s", want, strings.Join(events, "\n"))
		}
	}
	// The stack is as it was, and can be changed again.
	w.call("UpdateStack", capable(object{"StackName": "s", "TemplateBody": fmt.Sprintf(template, "a2", "2", "two", "b")}))
	w.is("s", "UPDATE_COMPLETE")
	if _, err := w.try("ssm.GetParameter", object{"Name": "a"}); wire.CodeOf(err) != "ParameterNotFound" {
		t.Errorf("what was replaced is still there: %v", err)
	}
	w.call("UpdateStack", capable(object{"StackName": "s", "DisableRollback": true, "TemplateBody": fmt.Sprintf(template, "a2", "3", "two", "aws-no")}))
	w.is("s", "UPDATE_FAILED")
	w.call("RollbackStack", object{"StackName": "s"})
	w.is("s", "UPDATE_ROLLBACK_COMPLETE")
	if got := w.call("ssm.GetParameter", object{"Name": "a2"})["Parameter"].(object)["Value"]; got != "2" {
		t.Errorf("the parameter is %v", got)
	}
}

func TestWhatCannotBeMadeIsRefusedBeforeAnythingIs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, c := range map[string]struct {
		template string
		more     object
		code     string
		message  string
	}{
		"types":         {"Resources: {A: {Type: 'AWS::SNS::Topic'}, B: {Type: 'AWS::SSM::Parameter'}, C: {Type: 'AWS::DynamoDB::Table'}}", nil, "ValidationError", "Template format error: Unrecognized resource types: [AWS::DynamoDB::Table, AWS::SNS::Topic]"},
		"transforms":    {"Transform: [AWS::Serverless-2016-10-31, Own]\nResources: {A: {Type: 'AWS::SSM::Parameter'}}", nil, "ValidationError", "Transforms are not served here: [AWS::Serverless-2016-10-31, Own]"},
		"properties":    {"Resources: {A: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Nonsense: 1}}, B: {Type: 'AWS::S3::Bucket', Properties: {ReplicationConfiguration: {}}}}", nil, "ValidationError", "Encountered unsupported properties: [/Resources/A/Properties/Nonsense is not supported for AWS::SSM::Parameter, /Resources/A/Properties/Value is required for AWS::SSM::Parameter, /Resources/B/Properties/ReplicationConfiguration is not supported for AWS::S3::Bucket]"},
		"attributes":    {"Resources: {A: {Type: 'AWS::S3::Bucket'}}\nOutputs: {O: {Value: !GetAtt A.Nonsense}}", nil, "ValidationError", "Template error: resource A does not support attribute type Nonsense in Fn::GetAtt"},
		"capability":    {"Resources: {A: {Type: 'AWS::IAM::Role', Properties: {AssumeRolePolicyDocument: {Statement: []}}}}", nil, "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_IAM]"},
		"named":         {"Resources: {A: {Type: 'AWS::IAM::Role', Properties: {RoleName: x, AssumeRolePolicyDocument: {Statement: []}}}}", object{"Capabilities": []any{"CAPABILITY_IAM"}}, "InsufficientCapabilitiesException", "Requires capabilities : [CAPABILITY_NAMED_IAM]"},
		"parameters":    {"Parameters: {A: {Type: String}, B: {Type: String}}\nResources: {A: {Type: 'AWS::S3::Bucket'}}", nil, "ValidationError", "Parameters: [A, B] must have values"},
		"unknown":       {chain, object{"Parameters": []any{object{"ParameterKey": "X", "ParameterValue": "1"}}}, "ValidationError", "Parameters: [X] do not exist in the template"},
		"from SSM":      {"Parameters: {A: {Type: 'AWS::SSM::Parameter::Value<String>', Default: /none}}\nResources: {A: {Type: 'AWS::S3::Bucket'}}", nil, "ValidationError", "Unable to fetch parameters [/none] from parameter store for this account."},
		"snapshots":     {"Resources: {A: {Type: 'AWS::S3::Bucket', DeletionPolicy: Snapshot}}", nil, "ValidationError", "Template error: resource type of A does not support deletion policy Snapshot"},
		"a foreign URL": {"", object{"TemplateURL": "http://example.com/x"}, "ValidationError", "TemplateURL must be a supported URL."},
		"nothing":       {"", nil, "ValidationError", "Either Template URL or Template Body must be specified."},
	} {
		in := object{"StackName": "s", "ChangeSetName": "c", "ChangeSetType": "CREATE"}
		if c.template != "" {
			in["TemplateBody"] = c.template
		}
		maps.Copy(in, c.more)
		w.refused("CreateChangeSet", in, c.code, c.message)
		delete(in, "ChangeSetName")
		delete(in, "ChangeSetType")
		w.refused("CreateStack", in, c.code, c.message)
		if list := w.call("ListStacks", object{})["StackSummaries"].([]any); len(list) != 0 {
			t.Fatalf("%s: there is a stack: %v", name, list)
		}
	}
}

func TestHiddenParametersAreNowhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const template = `
Parameters: {Secret: {Type: String, NoEcho: true}}
Conditions: {Long: !Not [!Equals [!Ref Secret, !Join ["-", [the, first, secret]]]]}
Resources:
  S: {Type: "AWS::SecretsManager::Secret", Properties: {Name: s, SecretString: !Sub "is ${Secret}"}}
  P: {Type: "AWS::SSM::Parameter", Condition: Long, Properties: {Type: String, Value: "{{resolve:secretsmanager:s}}"}, DependsOn: S}
Outputs: {O: {Value: !Ref Secret}}
`
	with := func(value string) object {
		return object{"StackName": "s", "TemplateBody": template, "Parameters": []any{object{"ParameterKey": "Secret", "ParameterValue": value}}}
	}
	w.call("CreateStack", with("the-first-secret"))
	made := w.is("s", "CREATE_COMPLETE")
	if got := outputs(made)["O"]; got != "the-first-secret" {
		t.Errorf("the output is %q", got)
	}
	if got := made["Parameters"].([]any)[0].(object)["ParameterValue"]; got != "****" {
		t.Errorf("the parameter is told: %v", got)
	}
	value := func() any { return w.call("secretsmanager.GetSecretValue", object{"SecretId": "s"})["SecretString"] }
	if value() != "is the-first-secret" {
		t.Errorf("the secret is %v", value())
	}
	w.refused("UpdateStack", with("the-first-secret"), "ValidationError", "No updates are to be performed.")
	w.call("UpdateStack", with("the-longer-secret"))
	w.is("s", "UPDATE_COMPLETE")
	if value() != "is the-longer-secret" {
		t.Errorf("the secret is %v", value())
	}
	if got := w.call("ssm.GetParameter", object{"Name": w.physical("s", "P")})["Parameter"].(object)["Value"]; got != "is the-longer-secret" {
		t.Errorf("the reference became %v", got)
	}
	for _, collection := range []string{"aws.cloudformation.stacks", "aws.cloudformation.events", "aws.cloudformation.changesets"} {
		list, err := w.records.ListRecords(t.Context(), collection, "", "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if strings.Contains(string(r.Data), "-secret") {
				t.Errorf("%s %s holds a secret: %s", r.Collection, r.Key, r.Data)
			}
		}
	}
	w.call("DeleteStack", object{"StackName": "s"})
	list, err := w.records.ListRecords(t.Context(), "secrets", "aws/", "", 1000)
	if err != nil || len(list) > 0 {
		t.Errorf("values are left: %v, %v", list, err)
	}
}

func TestExportsHoldStacksTogether(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	producer := func(name, value string) string {
		return fmt.Sprintf("Resources: {A: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: %s}}}\nOutputs: {O: {Value: !GetAtt A.Value, Export: {Name: %s}}}", value, name)
	}
	consumer := "Resources: {B: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: !ImportValue shared}}}"
	w.refused("CreateStack", object{"StackName": "c", "TemplateBody": consumer}, "ValidationError", "No export named shared found.")
	p := w.call("CreateStack", object{"StackName": "p", "TemplateBody": producer("shared", "one")})["StackId"].(string)
	w.is("p", "CREATE_COMPLETE")
	c := w.call("CreateStack", object{"StackName": "c", "TemplateBody": consumer})["StackId"].(string)
	w.is("c", "CREATE_COMPLETE")
	if got := w.call("ssm.GetParameter", object{"Name": w.physical("c", "B")})["Parameter"].(object)["Value"]; got != "one" {
		t.Errorf("imported %v", got)
	}
	if got := w.call("ListExports", object{})["Exports"]; !reflect.DeepEqual(got, []any{object{"ExportingStackId": p, "Name": "shared", "Value": "one"}}) {
		t.Errorf("the exports are %v", got)
	}
	if got := w.call("ListImports", object{"ExportName": "shared"})["Imports"]; !reflect.DeepEqual(got, []any{"c"}) {
		t.Errorf("the imports are %v", got)
	}
	w.call("CreateStack", object{"StackName": "again", "TemplateBody": producer("shared", "two")})
	if reason := w.is("again", "ROLLBACK_COMPLETE"); reason == nil || !slices.ContainsFunc(w.events("again"), func(e string) bool {
		return strings.Contains(e, "Export with name shared is already exported by stack p.")
	}) {
		t.Errorf("the events are %v", w.events("again"))
	}
	for text, want := range map[string]string{producer("shared", "two"): "update", producer("other", "one"): "delete"} {
		w.call("UpdateStack", object{"StackName": "p", "TemplateBody": text})
		w.is("p", "UPDATE_ROLLBACK_COMPLETE")
		if !slices.Contains(w.events("p"), "p UPDATE_ROLLBACK_IN_PROGRESS Cannot "+want+" export shared as it is in use by c") {
			t.Errorf("the events are %v", w.events("p"))
		}
	}
	w.call("DeleteStack", object{"StackName": "p"})
	w.is("p", "DELETE_FAILED")
	w.call("DeleteStack", object{"StackName": "c"})
	w.is(c, "DELETE_COMPLETE")
	w.call("DeleteStack", object{"StackName": "p"})
	w.is(p, "DELETE_COMPLETE")
	w.refused("DescribeStacks", object{"StackName": "p"}, "ValidationError", "Stack with id p does not exist")
	if got := w.call("ListExports", object{})["Exports"].([]any); len(got) != 0 {
		t.Errorf("the exports are %v", got)
	}
}

func TestDeletionPoliciesAndProtection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.call("CreateStack", object{"StackName": "s", "EnableTerminationProtection": true, "StackPolicyBody": `{"Statement":[]}`, "TemplateBody": "Resources: {Full: {Type: 'AWS::S3::Bucket', Properties: {BucketName: full}}, Kept: {Type: 'AWS::S3::Bucket', DeletionPolicy: Retain, Properties: {BucketName: kept}}}"})["StackId"].(string)
	w.is("s", "CREATE_COMPLETE")
	w.refused("DeleteStack", object{"StackName": "s"}, "ValidationError", "Stack [s] cannot be deleted while TerminationProtection is enabled")
	w.call("UpdateTerminationProtection", object{"StackName": "s", "EnableTerminationProtection": false})
	if got := w.call("GetStackPolicy", object{"StackName": "s"})["StackPolicyBody"]; got != `{"Statement":[]}` {
		t.Errorf("the policy is %v", got)
	}
	w.objects.buckets["full"]["key/index.html"] = "x"
	w.refused("DeleteStack", object{"StackName": "s", "RetainResources": []any{"Full"}}, "ValidationError", "Invalid operation on stack")
	w.call("DeleteStack", object{"StackName": "s"})
	if got := w.is("s", "DELETE_FAILED")["StackStatusReason"]; got != "The following resource(s) failed to delete: [Full]. " {
		t.Errorf("the reason is %v", got)
	}
	w.call("DeleteStack", object{"StackName": "s", "RetainResources": []any{"Full"}})
	w.is(id, "DELETE_COMPLETE")
	if len(w.objects.buckets) != 2 {
		t.Errorf("the buckets are %v", w.objects.buckets)
	}
}
