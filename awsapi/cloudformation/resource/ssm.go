package resource

import (
	"context"
)

func parameterTypes() []*Type {
	return []*Type{{
		Name:        "AWS::SSM::Parameter",
		Properties:  []string{"Name", "Type", "Value", "Description", "AllowedPattern", "Tier", "DataType", "Policies", "Tags"},
		Required:    []string{"Type", "Value"},
		Kept:        []string{"Policies"},
		Replace:     []string{"Name", "DataType"},
		Attributes:  []string{"Type", "Value"},
		Named:       "Name",
		Identify:    func(r *Request, random string) string { return "CFN-" + r.Logical + "-" + random },
		Identifiers: []string{"Name"}, Tagged: true,
		Needs:   [2]string{"ssm", "PutParameter"},
		Handler: parameter{},
	}}
}

// parameter acts for AWS::SSM::Parameter.
type parameter struct{}

var parameterMembers = map[string]string{"Type": "Type", "Value": "Value", "Description": "Description", "AllowedPattern": "AllowedPattern", "Tier": "Tier", "DataType": "DataType"}

func (parameter) made(r *Request) Made {
	return Made{Physical: r.Physical, Attributes: map[string]any{"Type": r.Text("Type"), "Value": r.Text("Value")}}
}

func (p parameter) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(parameterMembers)
	in["Name"], in["Tags"] = r.Physical, r.tagList()
	_, err := r.call(ctx, "ssm", "PutParameter", in)
	return p.made(r), err
}

func (p parameter) Update(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(parameterMembers)
	same, err := p.has(ctx, r, in)
	if err != nil {
		return Made{}, err
	}
	in["Name"], in["Overwrite"] = r.Physical, true
	if !same { // every put makes another version
		if _, err := r.call(ctx, "ssm", "PutParameter", in); err != nil {
			return Made{}, err
		}
	}
	target := map[string]any{"ResourceType": "Parameter", "ResourceId": r.Physical}
	if keys := r.oldTagKeys(); len(keys) > 0 {
		target["TagKeys"] = keys
		if _, err := r.call(ctx, "ssm", "RemoveTagsFromResource", target); err != nil {
			return Made{}, err
		}
		delete(target, "TagKeys")
	}
	target["Tags"] = r.tagList()
	_, err = r.call(ctx, "ssm", "AddTagsToResource", target)
	return p.made(r), err
}

// has says whether the parameter is what it is to become.
func (parameter) has(ctx context.Context, r *Request, want map[string]any) (bool, error) {
	value, err := r.call(ctx, "ssm", "GetParameter", map[string]any{"Name": r.Physical, "WithDecryption": true})
	if err != nil {
		return false, err
	}
	filter := map[string]any{"Key": "Name", "Option": "Equals", "Values": []any{r.Physical}}
	out, err := r.call(ctx, "ssm", "DescribeParameters", map[string]any{"ParameterFilters": []any{filter}})
	if err != nil {
		return false, err
	}
	described := first(out["Parameters"])
	for _, member := range []string{"Type", "Description", "AllowedPattern"} {
		if text, _ := want[member].(string); text != textAt(described, member) {
			return false, nil
		}
	}
	for _, member := range []string{"Tier", "DataType"} {
		if want[member] != nil && !Same(want[member], at(described, member)) {
			return false, nil
		}
	}
	return Same(want["Value"], at(value, "Parameter", "Value")), nil
}

func (parameter) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "ssm", "DeleteParameter", map[string]any{"Name": r.Physical})
	return gone(err, "ParameterNotFound")
}

func (parameter) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "ssm", "GetParameter", map[string]any{"Name": r.Physical, "WithDecryption": true})
	return absent(Made{Physical: r.Physical, Attributes: map[string]any{"Type": at(out, "Parameter", "Type"), "Value": at(out, "Parameter", "Value")}}, err, "ParameterNotFound")
}
