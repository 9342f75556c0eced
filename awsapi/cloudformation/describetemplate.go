package cloudformation

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/template"
	"showrunner/awsapi/wire"
)

// metadataText is a resource's metadata as text.
func metadataText(m map[string]any) string {
	if len(m) == 0 {
		return "{}"
	}
	b, err := json.Marshal(m)
	if err != nil {
		return "{}"
	}
	return string(b)
}

type templateInput struct{ StackName, ChangeSetName, TemplateStage string }

type templateOutput struct {
	StagesAvailable []string
	TemplateBody    string
}

func (s *Stacks) getTemplate(ctx context.Context, c *wire.Call, in *templateInput) (*templateOutput, error) {
	out := &templateOutput{StagesAvailable: []string{"Original", "Processed"}}
	if in.ChangeSetName != "" {
		if in.StackName == "" && !strings.HasPrefix(in.ChangeSetName, "arn:") {
			return nil, invalid("StackName is a required parameter.")
		}
		d, err := s.findChangeSet(ctx, c, in.ChangeSetName, in.StackName)
		out.TemplateBody = d.Target.Template
		return out, err
	}
	if in.StackName == "" {
		return nil, invalid("StackName is required if ChangeSetName is not specified.")
	}
	d, err := s.need(ctx, c, in.StackName, noStack)
	if err != nil {
		return nil, err
	}
	if out.TemplateBody = d.Current.Template; out.TemplateBody == "" {
		out.TemplateBody = "{}" // under review: it has none yet
	}
	return out, nil
}

type summaryConfig struct{ TreatUnrecognizedResourceTypesAsWarnings bool }

type summaryInput struct {
	StackName, TemplateBody, TemplateURL string
	TemplateSummaryConfig                *summaryConfig
}

type constraints struct{ AllowedValues []string }

type declaredParameter struct {
	ParameterKey, ParameterType, Description string
	DefaultValue                             *string
	NoEcho                                   bool
	ParameterConstraints                     constraints
}

type identifiers struct {
	ResourceType                            string
	LogicalResourceIds, ResourceIdentifiers []string
}

type warnings struct{ UnrecognizedResourceTypes []string }

type summaryOutput struct {
	Capabilities, DeclaredTransforms, ResourceTypes    []string
	CapabilitiesReason, Description, Metadata, Version string
	Parameters                                         []declaredParameter
	ResourceIdentifierSummaries                        []identifiers
	Warnings                                           *warnings
}

// parsed is the template of a request.
func (s *Stacks) parsed(ctx context.Context, c *wire.Call, body, url, stackID string) (*template.Template, error) {
	if stackID != "" {
		d, err := s.need(ctx, c, stackID, noStack)
		if err != nil {
			return nil, err
		}
		body, url = "", ""
		t, err := template.Parse(d.Current.Template)
		return t, refusal(err)
	}
	text, err := s.templateText(ctx, c, body, url)
	if err != nil {
		return nil, err
	}
	t, err := template.Parse(text)
	return t, refusal(err)
}

func (s *Stacks) summary(ctx context.Context, c *wire.Call, in *summaryInput) (*summaryOutput, error) {
	if in.StackName != "" {
		d, err := s.need(ctx, c, in.StackName, noStack)
		if err != nil {
			return nil, err
		}
		if d.Status == reviewInProgress {
			return nil, invalid("GetTemplateSummary cannot be called on REVIEW_IN_PROGRESS stacks.")
		}
	}
	t, err := s.parsed(ctx, c, in.TemplateBody, in.TemplateURL, in.StackName)
	if err != nil {
		return nil, err
	}
	out := &summaryOutput{Description: t.Description, Version: t.Version, DeclaredTransforms: t.Transforms, Parameters: []declaredParameter{}}
	if t.Metadata != nil {
		out.Metadata = metadataText(t.Metadata)
	}
	for _, p := range t.Parameters {
		out.Parameters = append(out.Parameters, declaredParameter{ParameterKey: p.Name, ParameterType: p.Type, Description: p.Description, DefaultValue: p.Default, NoEcho: p.NoEcho, ParameterConstraints: constraints{p.AllowedValues}})
	}
	var unknown []string
	for _, r := range t.Resources {
		if !slices.Contains(out.ResourceTypes, r.Type) {
			out.ResourceTypes = append(out.ResourceTypes, r.Type)
		}
		kind := s.types().Of(r.Type)
		switch {
		case kind == nil && !slices.Contains(unknown, r.Type):
			unknown = append(unknown, r.Type)
		case kind != nil && len(kind.Identifiers) > 0:
			at := slices.IndexFunc(out.ResourceIdentifierSummaries, func(i identifiers) bool { return i.ResourceType == r.Type })
			if at < 0 {
				out.ResourceIdentifierSummaries = append(out.ResourceIdentifierSummaries, identifiers{ResourceType: r.Type, ResourceIdentifiers: kind.Identifiers})
				at = len(out.ResourceIdentifierSummaries) - 1
			}
			out.ResourceIdentifierSummaries[at].LogicalResourceIds = append(out.ResourceIdentifierSummaries[at].LogicalResourceIds, r.Name)
		}
	}
	if len(unknown) > 0 {
		if in.TemplateSummaryConfig == nil || !in.TemplateSummaryConfig.TreatUnrecognizedResourceTypesAsWarnings {
			return nil, s.served(t)
		}
		out.Warnings = &warnings{unknown}
	}
	out.Capabilities, out.CapabilitiesReason = s.toldCapabilities(t)
	return out, nil
}

// toldCapabilities is what a template needs, and why.
func (s *Stacks) toldCapabilities(t *template.Template) ([]string, string) {
	need, types := s.capabilities(t)
	if need == "" {
		return nil, ""
	}
	return []string{need}, "The following resource(s) require capabilities: [" + strings.Join(types, ", ") + "]"
}

type validateInput struct{ TemplateBody, TemplateURL string }

type templateParameter struct {
	ParameterKey, Description string
	DefaultValue              *string
	NoEcho                    bool
}

type validateOutput struct {
	Capabilities, DeclaredTransforms []string
	CapabilitiesReason, Description  string
	Parameters                       []templateParameter
}

func (s *Stacks) validate(ctx context.Context, c *wire.Call, in *validateInput) (*validateOutput, error) {
	t, err := s.parsed(ctx, c, in.TemplateBody, in.TemplateURL, "")
	if err == nil {
		err = s.served(t)
	}
	if err != nil {
		return nil, err
	}
	out := &validateOutput{Description: t.Description, Parameters: []templateParameter{}}
	for _, p := range t.Parameters {
		out.Parameters = append(out.Parameters, templateParameter{ParameterKey: p.Name, Description: p.Description, DefaultValue: p.Default, NoEcho: p.NoEcho})
	}
	out.Capabilities, out.CapabilitiesReason = s.toldCapabilities(t)
	return out, nil
}

type limit struct {
	Name  string
	Value int
}

type limitsOutput struct{ AccountLimits []limit }

// limits are those of AWS that hold here too.
func (s *Stacks) limits(context.Context, *wire.Call, *tokenInput) (*limitsOutput, error) {
	return &limitsOutput{[]limit{{"ResourceLimit", mostNamed}}}, nil
}

type describeChangeSetInput struct {
	ChangeSetName, StackName, NextToken string
	IncludePropertyValues               bool
}

type target struct{ Attribute, Name, RequiresRecreation string }

type toldDetail struct {
	Target                                  target
	Evaluation, ChangeSource, CausingEntity string
}

type resourceChange struct {
	Action, LogicalResourceId, PhysicalResourceId, ResourceType, Replacement, PolicyAction, BeforeContext, AfterContext string
	Scope                                                                                                               []string
	Details                                                                                                             []toldDetail
}

type toldChange struct {
	Type           string
	ResourceChange resourceChange
}

type describeChangeSetOutput struct {
	ChangeSetName, ChangeSetId, StackId, StackName, Description, Status, StatusReason, ExecutionStatus, OnStackFailure, NextToken string
	CreationTime                                                                                                                  time.Time
	Parameters                                                                                                                    []givenBack
	Capabilities, NotificationARNs                                                                                                []string
	Tags                                                                                                                          []tag
	Changes                                                                                                                       []toldChange
	IncludeNestedStacks                                                                                                           bool
	ImportExistingResources                                                                                                       *bool
	RollbackConfiguration                                                                                                         *rollbackRules
}

func (c change) told(values bool) toldChange {
	r := resourceChange{Action: c.Action, LogicalResourceId: c.Logical, PhysicalResourceId: c.Physical, ResourceType: c.Type, Replacement: c.Replacement, PolicyAction: c.Policy, Scope: c.Scope, Details: []toldDetail{}}
	if r.Scope == nil {
		r.Scope = []string{}
	}
	for _, d := range c.Details {
		r.Details = append(r.Details, toldDetail{Target: target{d.Attribute, d.Name, d.Recreation}, Evaluation: d.Evaluation, ChangeSource: d.Source, CausingEntity: d.Cause})
	}
	if values {
		r.BeforeContext, r.AfterContext = c.Before, c.After
	}
	return toldChange{"Resource", r}
}

func (s *Stacks) describeChangeSet(ctx context.Context, c *wire.Call, in *describeChangeSetInput) (*describeChangeSetOutput, error) {
	d, err := s.findChangeSet(ctx, c, in.ChangeSetName, in.StackName)
	if err != nil {
		return nil, err
	}
	out := &describeChangeSetOutput{
		ChangeSetName: d.Name, ChangeSetId: d.arn(c.Account), StackId: arnOf(d.Region, c.Account, "stack", d.StackName, d.Stack), StackName: d.StackName, Description: d.Description,
		Status: d.Status, StatusReason: d.Reason, ExecutionStatus: d.Execution, OnStackFailure: d.OnFailure, CreationTime: d.Created, Parameters: toldParameters(d.Target.Parameters),
		Capabilities: d.Target.Capabilities, NotificationARNs: d.Target.NotificationARNs, Tags: d.Target.Tags, Changes: []toldChange{}, IncludeNestedStacks: d.Nested, RollbackConfiguration: d.Target.Rollback,
	}
	if out.Capabilities == nil {
		out.Capabilities = []string{}
	}
	if out.NotificationARNs == nil {
		out.NotificationARNs = []string{}
	}
	if len(out.Tags) == 0 {
		out.Tags = nil
	}
	if out.RollbackConfiguration == nil {
		out.RollbackConfiguration = &rollbackRules{}
	}
	if d.Import {
		out.ImportExistingResources = &d.Import
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalid("The token is not valid.")
	}
	for _, one := range d.Changes {
		if one.Logical <= after {
			continue
		}
		if len(out.Changes) == mostListed {
			out.NextToken = wire.Token(out.Changes[mostListed-1].ResourceChange.LogicalResourceId)
			break
		}
		out.Changes = append(out.Changes, one.told(in.IncludePropertyValues))
	}
	return out, nil
}

type changeSetSummary struct {
	ChangeSetName, ChangeSetId, StackId, StackName, Description, Status, StatusReason, ExecutionStatus string
	CreationTime                                                                                       time.Time
	IncludeNestedStacks                                                                                bool
}

type changeSetsOutput struct{ Summaries []changeSetSummary }

func (s *Stacks) listChangeSets(ctx context.Context, c *wire.Call, in *describeInput) (*changeSetsOutput, error) {
	st, err := s.need(ctx, c, in.StackName, func(id string) error { return invalid("Stack [%s] does not exist", id) })
	if err != nil {
		return nil, err
	}
	list, err := s.changeSetsOf(ctx, &st)
	out := &changeSetsOutput{Summaries: []changeSetSummary{}}
	for _, d := range slices.Backward(list) {
		if d.Execution == "EXECUTE_COMPLETE" {
			continue // AWS lists those that can still be executed, and those that failed
		}
		out.Summaries = append(out.Summaries, changeSetSummary{ChangeSetName: d.Name, ChangeSetId: d.arn(c.Account), StackId: st.arn(c.Account), StackName: st.Name, Description: d.Description, Status: d.Status,
			StatusReason: d.Reason, ExecutionStatus: d.Execution, CreationTime: d.Created, IncludeNestedStacks: d.Nested})
	}
	return out, err
}
