package cloudformation

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/resource"
	"showrunner/awsapi/wire"
)

type toldOutput struct{ OutputKey, OutputValue, Description, ExportName string }

type drift struct{ StackDriftStatus string }

type toldStack struct {
	StackId, StackName, StackStatus, StackStatusReason, Description, ChangeSetId, RoleARN string
	CreationTime, LastUpdatedTime, DeletionTime                                           time.Time
	Capabilities, NotificationARNs                                                        []string
	Parameters                                                                            []givenBack
	Outputs                                                                               []toldOutput
	Tags                                                                                  []tag
	DisableRollback                                                                       bool
	EnableTerminationProtection                                                           *bool
	TimeoutInMinutes                                                                      *int64
	RollbackConfiguration                                                                 *rollbackRules
	DriftInformation                                                                      drift
}

// givenBack is a parameter as it is told: one without a value has an empty one.
type givenBack struct {
	ParameterKey   string
	ParameterValue *string
	ResolvedValue  string
}

func toldParameters(list []parameter) []givenBack {
	var out []givenBack
	for _, p := range list {
		value := p.Value
		if p.NoEcho {
			value = "****"
		}
		out = append(out, givenBack{ParameterKey: p.Key, ParameterValue: &value, ResolvedValue: p.Resolved})
	}
	return out
}

// told is a stack as clients read it.
func (s *Stacks) told(ctx context.Context, c *wire.Call, d *stack) (toldStack, error) {
	v := d.Current
	out := toldStack{
		StackId: d.arn(c.Account), StackName: d.Name, StackStatus: d.Status, StackStatusReason: d.Reason, Description: v.Description, RoleARN: v.RoleARN,
		CreationTime: d.Created, LastUpdatedTime: d.Updated, DeletionTime: d.Deleted, Capabilities: v.Capabilities, NotificationARNs: v.NotificationARNs,
		Parameters: toldParameters(v.Parameters), Tags: v.Tags, DisableRollback: d.DisableRollback, RollbackConfiguration: v.Rollback, DriftInformation: drift{"NOT_CHECKED"},
	}
	if out.NotificationARNs == nil {
		out.NotificationARNs = []string{}
	}
	if out.Tags == nil {
		out.Tags = []tag{}
	}
	if len(out.Capabilities) == 0 {
		out.Capabilities = nil
	}
	if out.RollbackConfiguration == nil {
		out.RollbackConfiguration = &rollbackRules{}
	}
	if d.Timeout > 0 {
		out.TimeoutInMinutes = &d.Timeout
	}
	if d.Status != deleteComplete {
		out.EnableTerminationProtection, out.ChangeSetId = &d.TerminationProtection, d.ChangeSet
	}
	for _, o := range d.Outputs {
		value, err := s.reveal(ctx, o.Value)
		if err != nil {
			return out, err
		}
		out.Outputs = append(out.Outputs, toldOutput{OutputKey: o.Key, OutputValue: value, Description: o.Description, ExportName: o.Export})
	}
	slices.SortFunc(out.Outputs, func(a, b toldOutput) int { return strings.Compare(a.OutputKey, b.OutputKey) })
	return out, nil
}

type describeInput struct{ StackName, NextToken string }

type stacksOutput struct {
	Stacks    []toldStack
	NextToken string
}

func (s *Stacks) describeStacks(ctx context.Context, c *wire.Call, in *describeInput) (*stacksOutput, error) {
	out := &stacksOutput{Stacks: []toldStack{}}
	if in.StackName != "" {
		d, err := s.need(ctx, c, in.StackName, noStack)
		if err != nil {
			return nil, err
		}
		one, err := s.told(ctx, c, &d)
		out.Stacks = append(out.Stacks, one)
		return out, err
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalid("The token is not valid.")
	}
	for e, err := range s.stacks.From(ctx, c.Region+"/", after) {
		if err != nil {
			return nil, err
		}
		if e.Doc.Status == deleteComplete {
			continue
		}
		if len(out.Stacks) == mostListed {
			out.NextToken = wire.Token(after)
			break
		}
		after = e.Key
		one, err := s.told(ctx, c, &e.Doc)
		if err != nil {
			return nil, err
		}
		out.Stacks = append(out.Stacks, one)
	}
	slices.SortStableFunc(out.Stacks, func(a, b toldStack) int { return b.CreationTime.Compare(a.CreationTime) })
	return out, nil
}

type listInput struct {
	NextToken         string
	StackStatusFilter []string
}

type stackSummary struct {
	StackId, StackName, StackStatus, StackStatusReason, TemplateDescription string
	CreationTime, LastUpdatedTime, DeletionTime                             time.Time
	DriftInformation                                                        drift
}

type listOutput struct {
	StackSummaries []stackSummary
	NextToken      string
}

func (s *Stacks) listStacks(ctx context.Context, c *wire.Call, in *listInput) (*listOutput, error) {
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalid("The token is not valid.")
	}
	out := &listOutput{StackSummaries: []stackSummary{}}
	for e, err := range s.stacks.From(ctx, c.Region+"/", after) {
		if err != nil {
			return nil, err
		}
		d := &e.Doc
		if len(in.StackStatusFilter) > 0 && !slices.Contains(in.StackStatusFilter, d.Status) {
			continue
		}
		if len(out.StackSummaries) == mostListed {
			out.NextToken = wire.Token(after)
			break
		}
		after = e.Key
		out.StackSummaries = append(out.StackSummaries, stackSummary{StackId: d.arn(c.Account), StackName: d.Name, StackStatus: d.Status, StackStatusReason: d.Reason, TemplateDescription: d.Current.Description,
			CreationTime: d.Created, LastUpdatedTime: d.Updated, DeletionTime: d.Deleted, DriftInformation: drift{"NOT_CHECKED"}})
	}
	slices.SortStableFunc(out.StackSummaries, func(a, b stackSummary) int { return b.CreationTime.Compare(a.CreationTime) })
	return out, nil
}

// chunkKey is where events from a number on are kept.
func chunkKey(stack string, first int64) string {
	number := strconv.FormatInt(first, 10)
	return stack + "/" + strings.Repeat("0", 20-len(number)) + number
}

// events are all events of a stack, the oldest first.
func (s *Stacks) events(ctx context.Context, d *stack) ([]event, error) {
	var out []event
	last := int64(0)
	add := func(list []event) {
		for _, e := range list {
			if e.Number > last {
				out = append(out, e)
				last = e.Number
			}
		}
	}
	for e, err := range s.chunks.All(ctx, d.key()+"/") {
		if err != nil {
			return nil, err
		}
		add(e.Doc.Events)
	}
	add(d.Outbox)
	return out, nil
}

type toldEvent struct {
	StackId, StackName, EventId, LogicalResourceId, ResourceType, ResourceStatus, ResourceStatusReason, ResourceProperties, ClientRequestToken string
	PhysicalResourceId                                                                                                                         *string
	Timestamp                                                                                                                                  time.Time
}

type eventsOutput struct {
	StackEvents []toldEvent
	NextToken   string
}

func (s *Stacks) describeEvents(ctx context.Context, c *wire.Call, in *describeInput) (*eventsOutput, error) {
	d, err := s.need(ctx, c, in.StackName, func(id string) error { return invalid("Stack [%s] does not exist", id) })
	if err != nil {
		return nil, err
	}
	all, err := s.events(ctx, &d)
	if err != nil {
		return nil, err
	}
	text, ok := wire.OpenToken(in.NextToken)
	before, err := strconv.ParseInt("0"+text, 10, 64)
	if !ok || err != nil {
		return nil, invalid("The token is not valid.")
	}
	out := &eventsOutput{StackEvents: []toldEvent{}}
	for _, e := range slices.Backward(all) {
		if before > 0 && e.Number >= before {
			continue
		}
		if len(out.StackEvents) == mostListed {
			out.NextToken = wire.Token(strconv.FormatInt(e.Number+1, 10))
			break
		}
		one := toldEvent{StackId: d.arn(c.Account), StackName: d.Name, LogicalResourceId: e.Logical, PhysicalResourceId: &e.Physical, ResourceType: e.Type, ResourceStatus: e.Status,
			ResourceStatusReason: e.Reason, ResourceProperties: e.Properties, ClientRequestToken: e.Token, Timestamp: e.At}
		one.EventId = e.Logical + "-" + e.Status + "-" + e.At.Format("2006-01-02T15:04:05.000Z")
		if e.Type == stackType && e.Logical == d.Name {
			one.EventId = resource.UUID(d.ID, strconv.FormatInt(e.Number, 10))
		}
		out.StackEvents = append(out.StackEvents, one)
	}
	return out, nil
}

type resourceDrift struct{ StackResourceDriftStatus string }

type toldResource struct {
	StackId, StackName, LogicalResourceId, PhysicalResourceId, ResourceType, ResourceStatus, ResourceStatusReason string
	Timestamp                                                                                                     time.Time
	DriftInformation                                                                                              resourceDrift
}

func (d *stack) resource(account, name string) toldResource {
	r := d.Resources[name]
	return toldResource{StackId: d.arn(account), StackName: d.Name, LogicalResourceId: name, PhysicalResourceId: r.Physical, ResourceType: r.Type, ResourceStatus: r.Status, ResourceStatusReason: r.Reason,
		Timestamp: r.Changed, DriftInformation: resourceDrift{"NOT_CHECKED"}}
}

type resourcesInput struct{ StackName, LogicalResourceId, PhysicalResourceId string }

type resourcesOutput struct{ StackResources []toldResource }

func (s *Stacks) describeResources(ctx context.Context, c *wire.Call, in *resourcesInput) (*resourcesOutput, error) {
	id := in.StackName
	if in.PhysicalResourceId != "" {
		found := false
		for e, err := range s.stacks.All(ctx, c.Region+"/") {
			if err != nil {
				return nil, err
			}
			for _, r := range e.Doc.Resources {
				if r.there() && r.Physical == in.PhysicalResourceId {
					id, found = e.Doc.arn(c.Account), true
				}
			}
		}
		if !found {
			return nil, invalid("Stack for %s does not exist", in.PhysicalResourceId)
		}
	}
	d, err := s.need(ctx, c, id, noStack)
	if err != nil {
		return nil, err
	}
	out := &resourcesOutput{StackResources: []toldResource{}}
	for _, name := range sortedNames(d.Resources) {
		if in.LogicalResourceId == "" || name == in.LogicalResourceId {
			out.StackResources = append(out.StackResources, d.resource(c.Account, name))
		}
	}
	return out, nil
}

func sortedNames(m map[string]*stackResource) []string {
	var out []string
	for name := range m {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

type resourceInput struct{ StackName, LogicalResourceId string }

type resourceDetail struct {
	StackId, StackName, LogicalResourceId, PhysicalResourceId, ResourceType, ResourceStatus, ResourceStatusReason, Metadata string
	LastUpdatedTimestamp                                                                                                    time.Time
	DriftInformation                                                                                                        resourceDrift
}

type resourceOutput struct{ StackResourceDetail resourceDetail }

func (s *Stacks) describeResource(ctx context.Context, c *wire.Call, in *resourceInput) (*resourceOutput, error) {
	d, err := s.need(ctx, c, in.StackName, func(id string) error { return invalid("Stack '%s' does not exist", id) })
	if err != nil {
		return nil, err
	}
	if d.Resources[in.LogicalResourceId] == nil {
		return nil, invalid("Resource %s does not exist for stack %s", in.LogicalResourceId, d.Name)
	}
	r := d.resource(c.Account, in.LogicalResourceId)
	metadata, err := s.reveal(ctx, metadataText(d.Resources[in.LogicalResourceId].Metadata))
	return &resourceOutput{resourceDetail{StackId: r.StackId, StackName: r.StackName, LogicalResourceId: r.LogicalResourceId, PhysicalResourceId: r.PhysicalResourceId, ResourceType: r.ResourceType,
		ResourceStatus: r.ResourceStatus, ResourceStatusReason: r.ResourceStatusReason, Metadata: metadata, LastUpdatedTimestamp: r.Timestamp, DriftInformation: r.DriftInformation}}, err
}

type resourceSummary struct {
	LogicalResourceId, PhysicalResourceId, ResourceType, ResourceStatus, ResourceStatusReason string
	LastUpdatedTimestamp                                                                      time.Time
	DriftInformation                                                                          resourceDrift
}

type summariesOutput struct {
	StackResourceSummaries []resourceSummary
	NextToken              string
}

func (s *Stacks) listResources(ctx context.Context, c *wire.Call, in *describeInput) (*summariesOutput, error) {
	d, err := s.need(ctx, c, in.StackName, noStack)
	if err != nil {
		return nil, err
	}
	after, ok := wire.OpenToken(in.NextToken)
	if !ok {
		return nil, invalid("The token is not valid.")
	}
	out := &summariesOutput{StackResourceSummaries: []resourceSummary{}}
	for _, name := range sortedNames(d.Resources) {
		if name <= after {
			continue
		}
		if len(out.StackResourceSummaries) == mostListed {
			out.NextToken = wire.Token(out.StackResourceSummaries[mostListed-1].LogicalResourceId)
			break
		}
		r := d.resource(c.Account, name)
		out.StackResourceSummaries = append(out.StackResourceSummaries, resourceSummary{LogicalResourceId: name, PhysicalResourceId: r.PhysicalResourceId, ResourceType: r.ResourceType,
			ResourceStatus: r.ResourceStatus, ResourceStatusReason: r.ResourceStatusReason, LastUpdatedTimestamp: r.Timestamp, DriftInformation: r.DriftInformation})
	}
	return out, nil
}
