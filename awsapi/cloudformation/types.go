package cloudformation

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// listTypes lists the types of resources that stacks may have here.
func (s *Stacks) listTypes(_ context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	all := []wire.Object{}
	if in.Text("Visibility") == "PUBLIC" && (in.Text("Type") == "" || in.Text("Type") == "RESOURCE") {
		for name := range s.types() {
			if strings.HasPrefix(name, in.Inner("Filters").Text("TypeNamePrefix")) {
				all = append(all, wire.Object{"Type": "RESOURCE", "TypeName": name, "TypeArn": typeARN(c, name)})
			}
		}
	}
	slices.SortFunc(all, func(a, b wire.Object) int { return cmp.Compare(a.Text("TypeName"), b.Text("TypeName")) })
	p := wire.Paging{Token: "NextToken", Most: "MaxResults", Least: 1, Greatest: 100, Otherwise: 100,
		BadToken: func(string) error { return invalid("The token is invalid") },
		BadCount: func(string) error { return invalid("MaxResults must be between 1 and 100") }}
	out, next, err := wire.Cut(p, in, all, func(o wire.Object) string { return o.Text("TypeName") })
	return wire.Object{"TypeSummaries": wire.List(out)}.With(wire.Object{"NextToken": next}), err
}

func typeARN(c *wire.Call, name string) string {
	return "arn:aws:cloudformation:" + c.Region + "::type/resource/" + strings.ReplaceAll(name, "::", "-")
}

// describeType tells which properties a type has here.
func (s *Stacks) describeType(_ context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	name := in.Text("TypeName")
	if arn := in.Text("Arn"); arn != "" {
		_, rest, _ := strings.Cut(arn, ":type/resource/")
		name = strings.ReplaceAll(rest, "-", "::")
	}
	kind := s.types()[name]
	if kind == nil || in.Has("Type") && in.Text("Type") != "RESOURCE" {
		return nil, wire.Errorf("TypeNotFoundException", "The type '%s' cannot be found.", name)
	}
	properties, changes, attributes := map[string]any{}, []string{}, []string{}
	for _, p := range kind.Properties {
		properties[p] = map[string]any{}
	}
	for _, p := range kind.Replace {
		changes = append(changes, "/properties/"+p)
	}
	for _, a := range kind.Attributes {
		attributes = append(attributes, "/properties/"+a)
	}
	provisioning := "FULLY_MUTABLE"
	if len(kind.Replace) == len(kind.Properties) {
		provisioning = "IMMUTABLE"
	}
	schema, err := json.Marshal(map[string]any{"typeName": name, "properties": properties, "required": append([]string{}, kind.Required...), "createOnlyProperties": changes, "readOnlyProperties": attributes, "additionalProperties": false})
	return wire.Object{"Arn": typeARN(c, name), "Type": "RESOURCE", "TypeName": name, "ProvisioningType": provisioning, "DeprecatedStatus": "LIVE", "Visibility": "PUBLIC", "Schema": string(schema),
		"Description": "Resource type " + name + ", as it is served here."}, err
}

// listHookResults answers for what hooks have said: there are none here.
func listHookResults(_ context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	return in.Only("TargetType", "TargetId").With(wire.Object{"HookResults": []any{}}), nil
}

// describeOperations is a stack's events with the operation that each belongs to, or
// those alone that say what failed.
func (s *Stacks) describeOperations(ctx context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	stackID := in.Text("StackName")
	if in.Has("ChangeSetName") {
		// Why a change set failed is in its StatusReason: no resource was validated.
		_, err := s.findChangeSet(ctx, c, in.Text("ChangeSetName"), stackID)
		return wire.Object{"OperationEvents": []any{}}, err
	}
	if stackID == "" {
		return nil, invalid("StackName or ChangeSetName has to be given.")
	}
	answer, err := s.describeEvents(ctx, c, &describeInput{StackName: stackID, NextToken: in.Text("NextToken")})
	if err != nil {
		return nil, err
	}
	out := []any{}
	for _, e := range answer.StackEvents {
		failed := strings.HasSuffix(e.ResourceStatus, "_FAILED")
		if in.Inner("Filters").Is("FailedEvents") && !failed {
			continue
		}
		one := wire.Object{"EventId": e.EventId, "StackId": e.StackId, "EventType": "STACK_EVENT", "LogicalResourceId": e.LogicalResourceId, "ResourceType": e.ResourceType, "ResourceStatus": e.ResourceStatus, "Timestamp": e.Timestamp}
		if failed {
			one["EventType"] = "PROVISIONING_ERROR"
		}
		if e.PhysicalResourceId != nil && *e.PhysicalResourceId != "" {
			one["PhysicalResourceId"] = *e.PhysicalResourceId
		}
		for member, text := range map[string]string{"ResourceStatusReason": e.ResourceStatusReason, "ResourceProperties": e.ResourceProperties, "ClientRequestToken": e.ClientRequestToken} {
			if text != "" {
				one[member] = text
			}
		}
		out = append(out, one)
	}
	return wire.Object{"OperationEvents": out}.With(wire.Object{"NextToken": answer.NextToken}), nil
}
