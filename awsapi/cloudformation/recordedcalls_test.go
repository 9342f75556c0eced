package cloudformation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

type scenario func(w *world, out recording)

const minimal = "Resources: {SimpleParam: {Type: 'AWS::SSM::Parameter', Properties: {Value: test, Type: String}}}"

// scenarios are the calls of the recorded tests, by the tests' names.
func scenarios() map[string]scenario {
	all := map[string]scenario{}
	for _, part := range []map[string]scenario{refusals(), changeSets(), stacks(), conditions(), others()} {
		maps.Copy(all, part)
	}
	return all
}

// refusedTemplate is a scenario whose change set is refused.
func refusedTemplate(key, template string, parameters map[string]string) scenario {
	return func(w *world, out recording) {
		out[key] = answered(w.try("CreateChangeSet", object{"StackName": "s", "ChangeSetName": "initial", "ChangeSetType": "CREATE", "TemplateBody": template, "Parameters": given(parameters)}))
	}
}

func refusals() map[string]scenario {
	const mappings = "test_mappings::TestCloudFormationMappings::"
	const topics = "Resources: {T: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: !FindInMap [TopicSuffixMap, !Ref Key, %s]}}}\nParameters: {Key: {Type: String}}\nMappings: {TopicSuffixMap: {A: {Suffix: a}}}"
	conditional := "Parameters: {Option: {Type: String}}\nConditions: {On: !Equals [!Ref Option, option-a]}\nResources: {MyTopic: {Type: 'AWS::SSM::Parameter', Condition: On, Properties: {Type: String, Value: a}}, P: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: %s}}}"
	off := map[string]string{"Option": "option-b"}
	printed := func(key, template string) scenario {
		return func(w *world, out recording) {
			_, err := w.try("CreateChangeSet", object{"StackName": "s", "ChangeSetName": "c", "ChangeSetType": "CREATE", "TemplateBody": template, "Parameters": given(map[string]string{"Key": strings.Split(key, "/")[1]})})
			out["error"] = said("CreateChangeSet", err)
		}
	}
	return map[string]scenario{
		mappings + "test_mapping_with_nonexisting_key":                                             refusedTemplate("mapping_nonexisting_key_exc", fmt.Sprintf(topics, "Suffix"), map[string]string{"Key": "C"}),
		mappings + "test_mapping_with_invalid_refs":                                                refusedTemplate("mapping_invalid_ref_exc", minimal+"\nMappings: {M: {A: {B: !Ref X}}}", nil),
		mappings + "test_mapping_maximum_nesting_depth":                                            refusedTemplate("mapping_maximum_level_exc", minimal+"\nMappings: {M: {A: {B: {C: d}}}}", nil),
		mappings + "test_mapping_minimum_nesting_depth":                                            refusedTemplate("mapping_minimum_level_exc", minimal+"\nMappings: {M: {A: b}}", nil),
		mappings + "test_async_mapping_error_first_level_v2":                                       printed("error/C", fmt.Sprintf(topics, "Suffix")),
		mappings + "test_async_mapping_error_second_level_v2":                                      printed("error/A", fmt.Sprintf(topics, "NotValid")),
		"test_references::TestDependsOn::test_depends_on_with_missing_reference":                   refusedTemplate("depends_on_nonexisting_exception", "Resources: {A: {Type: 'AWS::SSM::Parameter', DependsOn: NonExistingResource, Properties: {Type: String, Value: a}}}", nil),
		"test_references::test_useful_error_when_invalid_ref":                                      refusedTemplate("validation_error", "Resources: {A: {Type: 'AWS::SSM::Parameter', Properties: {Type: String, Value: !Ref InvalidRef}}}", nil),
		"test_conditions::TestValidateConditions::test_validate_equals_args_len":                   refusedTemplate("error", minimal+"\nConditions: {C: !Equals [a]}", nil),
		"test_conditions::TestCloudFormationConditions::test_dependent_ref":                        refusedTemplate("dependent_ref_exc", fmt.Sprintf(conditional, "!Ref MyTopic"), off),
		"test_conditions::TestCloudFormationConditions::test_dependent_get_att":                    refusedTemplate("dependent_ref_exc", fmt.Sprintf(conditional, "!GetAtt MyTopic.Value"), off),
		"test_conditions::TestCloudFormationConditions::test_output_reference_to_skipped_resource": refusedTemplate("unresolved_resource_reference_exception", fmt.Sprintf(conditional, "a")+"\nOutputs: {O: {Value: !Ref MyTopic}}", off),
		"test_changesets::test_using_pseudoparameters_in_places[resource]":                         refusedTemplate("error", "Resources: {'AWS::NoValue': {Type: 'AWS::SSM::Parameter'}}", nil),
		"test_changesets::test_using_pseudoparameters_in_places[parameter]":                        refusedTemplate("error", minimal+"\nParameters: {'AWS::NoValue': {Type: String}}", nil),
		"test_changesets::test_using_pseudoparameters_in_places[condition]":                        func(*world, recording) {},
		"test_stacks::test_linting_error_during_creation": func(w *world, out recording) {
			out["error"] = answered(w.try("CreateStack", object{"StackName": "s", "TemplateBody": `{"Resources": "", "Outputs": ""}`}))
		},
		"test_stacks::TestStacksApi::test_stack_name_creation": func(w *world, out recording) {
			out["stack_response"] = answered(w.try("CreateChangeSet", object{"StackName": "*@da591fa3_$", "ChangeSetName": "c", "ChangeSetType": "CREATE", "TemplateBody": minimal}))
		},
		"test_stacks::test_non_existing_stack_message": func(w *world, out recording) {
			out["Error"] = answered(w.try("DescribeStacks", object{"StackName": "non-existing"}))
		},
		"test_stacks::test_describe_stack_events_errors": func(w *world, out recording) {
			out["describe_stack_events_stack_not_found"] = answered(w.try("DescribeStackEvents", object{"StackName": "does-not-exist"}))
		},
		"test_stacks::test_no_parameters_given": func(w *world, out recording) {
			out["deploy-error"] = said("CreateChangeSet", w.deploy("s", minimal+"\nParameters: {Input: {Type: String}}", nil))
		},
		"test_stacks::TestStacksApi::test_create_stack_url_as_template": func(w *world, out recording) {
			_, err := w.try("CreateStack", object{"StackName": "s", "TemplateBody": "https://bucket.s3.amazonaws.com/template.json"})
			out["stack_create_ec2"] = said("CreateStack", err)
		},
		"test_changesets::test_describe_change_set_nonexisting": func(w *world, out recording) {
			_, err := w.try("DescribeChangeSet", object{"StackName": "somestack", "ChangeSetName": "DoesNotExist"})
			out["exception"] = said("DescribeChangeSet", err)
		},
		"test_changesets::test_delete_change_set_exception": func(w *world, out recording) {
			out["e1"] = answered(w.try("DeleteChangeSet", object{"StackName": "nostack", "ChangeSetName": "DoesNotExist"}))
			out["e2"] = answered(w.try("DeleteChangeSet", object{"ChangeSetName": "DoesNotExist"}))
		},
	}
}

func (w *world) set(stack, name, kind, template string) object {
	w.t.Helper()
	return w.call("CreateChangeSet", object{"StackName": stack, "ChangeSetName": name, "ChangeSetType": kind, "TemplateBody": template})
}

func changeSets() map[string]scenario {
	const metadata = "Resources: {CDKMetadata: {Type: 'AWS::CDK::Metadata', Properties: {Analytics: 'v2:deflate64:x'}}}"
	capable := []any{"CAPABILITY_AUTO_EXPAND", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"}
	return map[string]scenario{
		"test_changesets::test_empty_changeset": func(w *world, out recording) {
			create := func(name, kind string) object {
				return w.call("CreateChangeSet", object{"StackName": "s", "ChangeSetName": name, "ChangeSetType": kind, "TemplateBody": metadata, "Capabilities": capable})
			}
			describe := func(id any) object { return w.call("DescribeChangeSet", object{"StackName": "s", "ChangeSetName": id}) }
			first := create("first", "CREATE")
			out["first_changeset"], out["describe_first_cs"] = first, describe(first["Id"])
			w.call("ExecuteChangeSet", object{"StackName": "s", "ChangeSetName": first["Id"]})
			w.is("s", "CREATE_COMPLETE")
			second := create("second", "UPDATE")
			out["nochange_changeset"], out["describe_nochange"] = second, describe(second["Id"])
			_, err := w.try("ExecuteChangeSet", object{"StackName": "s", "ChangeSetName": second["Id"]})
			out["error_execute_failed"] = strings.Replace(said("ExecuteChangeSet", err), "(InvalidChangeSetStatusException)", "(InvalidChangeSetStatus)", 1)
		},
		"test_changesets::test_deleted_changeset": func(w *world, out recording) {
			out["create"] = w.set("s", "c", "CREATE", metadata)
			id := out["create"].(object)["Id"]
			w.call("DeleteChangeSet", object{"StackName": "s", "ChangeSetName": id})
			_, err := w.try("DescribeChangeSet", object{"StackName": "s", "ChangeSetName": id})
			out["postdelete_changeset_notfound"] = said("DescribeChangeSet", err)
		},
		"test_changesets::test_name_conflicts": func(w *world, out recording) {
			first := w.set("s", "initial", "CREATE", minimal)
			w.call("ExecuteChangeSet", object{"StackName": "s", "ChangeSetName": "initial"})
			w.is("s", "CREATE_COMPLETE")
			out["create_changeset_existingstack_exc"] = answered(w.try("CreateChangeSet", object{"StackName": "s", "ChangeSetName": "initial", "ChangeSetType": "CREATE", "TemplateBody": minimal}))
			w.call("DeleteStack", object{"StackName": "s"})
			second := w.set("s", "initial", "CREATE", minimal)
			out["new_stack_desc"] = w.call("DescribeStacks", object{"StackName": "s"})
			out["stack_id_desc"] = w.call("DescribeStacks", object{"StackName": first["StackId"]})
			out["new_stack_id_desc"] = w.call("DescribeStacks", object{"StackName": second["StackId"]})
			out["initial_changeset_id_desc"] = w.call("DescribeChangeSet", object{"ChangeSetName": first["Id"]})
			out["second_initial_changeset_id_desc"] = w.call("DescribeChangeSet", object{"ChangeSetName": second["Id"]})
		},
		"test_changesets::test_create_while_in_review": func(w *world, out recording) {
			set := w.set("s", "c", "CREATE", minimal)
			out["create_stack_while_in_review"] = w.call("CreateStack", object{"StackName": "s", "TemplateBody": minimal})
			w.is("s", "CREATE_COMPLETE")
			out["describe_stack"] = w.call("DescribeStacks", object{"StackName": set["StackId"]})
			out["describe_change_set"] = w.call("DescribeChangeSet", object{"ChangeSetName": set["Id"]})
		},
		"test_changesets::test_create_changeset_with_stack_id": func(w *world, out recording) {
			id := w.set("s", "initial", "CREATE", minimal)["StackId"].(string)
			w.set(id, "additional", "CREATE", minimal)
			out["describe_stack"] = w.call("DescribeStacks", object{"StackName": id})
			w.call("DeleteStack", object{"StackName": "s"})
			w.is(id, "DELETE_COMPLETE")
			out["recreate_deleted_with_id_exception"] = answered(w.try("CreateChangeSet", object{"StackName": id, "ChangeSetName": "revived-stack-changeset", "ChangeSetType": "CREATE", "TemplateBody": minimal}))
		},
		"test_changesets::test_multiple_create_changeset": func(w *world, out recording) {
			out["initial_changeset"] = w.call("DescribeChangeSet", object{"ChangeSetName": w.set("s", "one", "CREATE", minimal)["Id"]})
			out["additional_changeset"] = w.set("s", "two", "CREATE", minimal)
		},
		"test_changesets::TestUpdates::test_deleting_resource": func(w *world, out recording) {
			both := minimal[:len(minimal)-1] + ", Two: {Type: 'AWS::SSM::Parameter', Properties: {Name: my-parameter, Type: String, Value: !GetAtt SimpleParam.Value}}}"
			_ = w.deploy("s", both, nil)
			_ = w.deploy("s", minimal, nil)
			out["get-parameter-error"] = answeredJSON(w.try("ssm.GetParameter", object{"Name": "my-parameter"}))
		},
		"test_changesets::test_create_change_set_no_changes": func(w *world, out recording) {
			_ = w.deploy("s", minimal, nil)
			out["change-set-description"] = w.call("DescribeChangeSet", object{"ChangeSetName": w.set("s", "none", "UPDATE", minimal)["Id"]})
		},
		"test_changesets::test_create_changeset_for_deleted_stack": func(w *world, out recording) {
			id := w.call("CreateStack", object{"StackName": "s", "TemplateBody": minimal})["StackId"].(string)
			w.is("s", "CREATE_COMPLETE")
			w.call("DeleteStack", object{"StackName": "s"})
			w.is(id, "DELETE_COMPLETE")
			out["ErrorForCreate"] = answered(w.try("CreateChangeSet", object{"StackName": id, "ChangeSetName": "test", "ChangeSetType": "CREATE", "TemplateBody": minimal}))
			out["ErrorForUpdate"] = answered(w.try("CreateChangeSet", object{"StackName": id, "ChangeSetName": "test", "ChangeSetType": "UPDATE", "TemplateBody": minimal}))
		},
		"test_changesets::test_changeset_for_deleted_stack": func(w *world, out recording) {
			id := w.call("CreateStack", object{"StackName": "s", "TemplateBody": minimal})["StackId"].(string)
			w.is("s", "CREATE_COMPLETE")
			w.call("DeleteStack", object{"StackName": "s"})
			w.is(id, "DELETE_COMPLETE")
			out["ErrorForComplete"] = answered(w.try("CreateChangeSet", object{"StackName": id, "ChangeSetName": "test", "ChangeSetType": "UPDATE", "TemplateBody": minimal}))
		},
	}
}

// ordered is three parameters, each with the name of the one before.
func ordered(order []string, but []string, first string) string {
	texts := map[string]string{
		"Dummy": `"Dummy": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "dummy"}}`,
		"A":     `"A": {"Type": "AWS::SSM::Parameter", ` + first + `"Properties": {"Type": "String", "Value": "root"}}`,
		"B":     `"B": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "A"}}}`,
		"C":     `"C": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": {"Ref": "B"}}}`,
	}
	var parts []string
	for _, name := range order {
		if !slices.Contains(but, name) {
			parts = append(parts, texts[name])
		}
	}
	return `{"Resources": {` + strings.Join(parts, ", ") + "}}"
}

// told are a stack's events, the oldest first.
func (w *world) told(id string) []object {
	w.t.Helper()
	var out []object
	for _, e := range w.call("DescribeStackEvents", object{"StackName": id})["StackEvents"].([]any) {
		out = append(out, e.(object))
	}
	slices.Reverse(out)
	return out
}

func deployOrder(order ...string) scenario {
	return func(w *world, out recording) {
		_ = w.deploy("s", ordered(order, nil, ""), nil)
		id := w.first("s").(object)["StackId"].(string)
		w.call("DeleteStack", object{"StackName": "s"})
		w.is(id, "DELETE_COMPLETE")
		var list []any
		for _, e := range w.told(id) {
			if strings.HasSuffix(e["ResourceStatus"].(string), "_COMPLETE") && slices.Contains(order, e["LogicalResourceId"].(string)) {
				list = append(list, e)
			}
		}
		out["events"] = list
	}
}

func deletionOrder(gone ...string) scenario {
	return func(w *world, out recording) {
		all := []string{"Dummy", "A", "B", "C"}
		const after = `"DependsOn": ["Dummy"], `
		describe := func(key string, id any) {
			out[key] = w.call("DescribeChangeSet", object{"ChangeSetName": id})
			out[key+"-prop-values"] = w.call("DescribeChangeSet", object{"ChangeSetName": id, "IncludePropertyValues": true})
		}
		first := w.set("s", "change-set", "CREATE", ordered(all, nil, after))
		id := first["StackId"].(string)
		out["create-change-set-1"] = first
		describe("describe-change-set-1", first["Id"])
		out["execute-change-set-1"] = w.call("ExecuteChangeSet", object{"ChangeSetName": first["Id"]})
		w.is(id, "CREATE_COMPLETE")
		out["post-create-1-describe"] = w.first(id)
		second := w.call("CreateChangeSet", object{"StackName": id, "ChangeSetName": "change-set", "ChangeSetType": "UPDATE", "TemplateBody": ordered(all, gone, after)})
		out["create-change-set-2"] = second
		describe("describe-change-set-2", second["Id"])
		out["execute-change-set-2"] = w.call("ExecuteChangeSet", object{"ChangeSetName": second["Id"]})
		w.is(id, "UPDATE_COMPLETE")
		out["post-create-2-describe"] = w.first(id)
		w.call("DeleteStack", object{"StackName": id})
		w.is(id, "DELETE_COMPLETE")
		out["delete-describe"] = w.first(id)
		each, order, last := object{}, []any{}, map[string]string{}
		for _, e := range w.told(id) {
			name, status := e["LogicalResourceId"].(string), e["ResourceStatus"].(string)
			if last[name] == status || status == "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS" {
				continue // the recorded test leaves these out
			}
			last[name] = status
			order = append(order, []any{name, status})
			if e["PhysicalResourceId"] == "" {
				e["PhysicalResourceId"] = w.physicalOf(id, name)
			}
			short := object{}
			for _, k := range []string{"LogicalResourceId", "PhysicalResourceId", "ResourceStatus", "ResourceType", "Timestamp"} {
				short[k] = e[k]
			}
			if name == "s" {
				name = "Stack"
			}
			list, _ := each[name].([]any)
			each[name] = append(list, short)
		}
		out["all-events"], out["per-resource-events"] = order, each
	}
}

// physicalOf is the identifier that a resource of a stack had.
func (w *world) physicalOf(id, logical string) string {
	w.t.Helper()
	for _, e := range w.told(id) {
		if text, _ := e["PhysicalResourceId"].(string); e["LogicalResourceId"] == logical && text != "" {
			return text
		}
	}
	return ""
}

func described(tags []any) scenario {
	return func(w *world, out recording) {
		in := object{"StackName": "s", "ChangeSetName": "c", "ChangeSetType": "CREATE",
			"TemplateBody": `{"AWSTemplateFormatVersion": "2010-09-09", "Description": "test <env>.test.net", "Resources": {"TestResource": {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "DummyValue"}}}}`}
		if tags != nil {
			in["Tags"] = tags
		}
		set := w.call("CreateChangeSet", in)
		out["change-set-pre-execute"] = w.call("DescribeChangeSet", object{"ChangeSetName": set["Id"]})
		out["stack-pre-execute"] = w.first(set["StackId"].(string))
		w.call("ExecuteChangeSet", object{"ChangeSetName": set["Id"]})
		out["stack-post-execute"] = w.is(set["StackId"].(string), "CREATE_COMPLETE")
	}
}

// outputsOf are a stack's outputs as the recorded tests have them.
func (w *world) outputsOf(id string) object {
	out := object{}
	for k, v := range outputs(w.stack(id)) {
		out[k] = v
	}
	return out
}
