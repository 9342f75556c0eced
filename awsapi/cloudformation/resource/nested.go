package resource

import (
	"context"
	"strings"

	"showrunner/awsapi/wire"
)

// nestedTypes are stacks that are resources of another one.
func nestedTypes() []*Type {
	return []*Type{{
		Name:       "AWS::CloudFormation::Stack",
		Properties: []string{"TemplateURL", "Parameters", "Tags", "NotificationARNs", "TimeoutInMinutes"},
		Required:   []string{"TemplateURL"},
		Kept:       []string{"NotificationARNs"},
		Attributes: []string{"Outputs"}, Identifiers: []string{"StackId"}, Tagged: true,
		Needs:   [2]string{"cloudformation", "CreateStack"},
		Handler: nested{},
	}}
}

// nested acts for AWS::CloudFormation::Stack. Its identifier is the stack's ARN;
// before it is made, its name.
type nested struct{}

func (nested) input(r *Request) map[string]any {
	in := r.pick(map[string]string{"TemplateURL": "TemplateURL", "NotificationARNs": "NotificationARNs"})
	in["StackName"] = r.Physical
	in["Capabilities"] = []any{"CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"} // the outer stack has asked for them
	var parameters, tags []any
	for name, v := range r.Object("Parameters") {
		parameters = append(parameters, map[string]any{"ParameterKey": name, "ParameterValue": commaText(v)})
	}
	for _, t := range r.AllTags() {
		if !strings.HasPrefix(t.Key, "aws:") {
			tags = append(tags, map[string]any{"Key": t.Key, "Value": t.Value})
		}
	}
	if parameters != nil {
		in["Parameters"] = parameters
	}
	if tags != nil {
		in["Tags"] = tags
	}
	return in
}

// commaText is a value as a parameter takes it: a list with commas.
func commaText(v any) any {
	if list, ok := v.([]any); ok {
		return strings.Join(texts(list), ",")
	}
	return v
}

// describe is the stack as it is. An error with the code ValidationError says that
// there is none.
func (nested) describe(ctx context.Context, r *Request, id string) (Made, string, error) {
	out, err := r.call(ctx, "cloudformation", "DescribeStacks", map[string]any{"StackName": id})
	if err != nil {
		return Made{}, "", err
	}
	d := first(out["Stacks"])
	status := textAt(d, "StackStatus")
	m := Made{Physical: textAt(d, "StackId"), Attributes: map[string]any{}, Settling: strings.HasSuffix(status, "_IN_PROGRESS")}
	outputs, _ := at(d, "Outputs").([]any)
	for _, o := range outputs {
		m.Attributes["Outputs."+textAt(o, "OutputKey")] = textAt(o, "OutputValue")
	}
	return m, status, nil
}

func (h nested) Create(ctx context.Context, r *Request) (Made, error) {
	in := h.input(r)
	in["ClientRequestToken"] = UUID(r.Token)
	if v, there := r.Properties["TimeoutInMinutes"]; there {
		in["TimeoutInMinutes"] = v
	}
	out, err := r.call(ctx, "cloudformation", "CreateStack", in)
	if err != nil {
		return Made{}, err
	}
	again := *r
	again.Physical = textAt(out, "StackId")
	return h.Settled(ctx, &again)
}

// Settled waits until nothing changes the stack any more.
func (h nested) Settled(ctx context.Context, r *Request) (Made, error) {
	m, status, err := h.describe(ctx, r, r.Physical)
	switch {
	case err != nil || m.Settling:
		return m, err
	case status != "CREATE_COMPLETE" && status != "UPDATE_COMPLETE":
		what := "created"
		if strings.HasPrefix(status, "UPDATE") {
			what = "updated"
		}
		return m, wire.Errorf("ValidationError", "Embedded stack %s was not successfully %s: it is %s", m.Physical, what, status)
	}
	return m, nil
}

func (h nested) Update(ctx context.Context, r *Request) (Made, error) {
	in := h.input(r)
	in["ClientRequestToken"] = UUID(r.Token)
	_, err := r.call(ctx, "cloudformation", "UpdateStack", in)
	if err != nil && message(err) != "No updates are to be performed." {
		return Made{}, err
	}
	return h.Settled(ctx, r)
}

// Delete deletes the stack, and asks for another call until it is gone.
func (h nested) Delete(ctx context.Context, r *Request) error {
	_, status, err := h.describe(ctx, r, r.Physical)
	if wire.CodeOf(err) == "ValidationError" || status == "DELETE_COMPLETE" {
		return nil
	}
	if err != nil {
		return err
	}
	if !strings.HasSuffix(status, "_IN_PROGRESS") {
		if _, err := r.call(ctx, "cloudformation", "DeleteStack", map[string]any{"StackName": r.Physical}); err != nil {
			return err
		}
		_, status, err = h.describe(ctx, r, r.Physical)
	}
	switch {
	case wire.CodeOf(err) == "ValidationError" || status == "DELETE_COMPLETE":
		return nil
	case err == nil && status == "DELETE_FAILED":
		return wire.Errorf("ValidationError", "Embedded stack %s was not successfully deleted", r.Physical)
	case err != nil:
		return err
	}
	return &Later{"the stack " + r.Physical + " is " + status}
}

func (h nested) Find(ctx context.Context, r *Request) (Made, bool, error) {
	m, status, err := h.describe(ctx, r, r.Physical)
	if status == "DELETE_COMPLETE" {
		return Made{}, false, nil
	}
	return absent(m, err, "ValidationError")
}
