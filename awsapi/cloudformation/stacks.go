package cloudformation

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

type createInput struct {
	StackName, TemplateBody, TemplateURL, RoleARN, ClientRequestToken, StackPolicyBody string
	OnFailure                                                                          string
	DisableRollback                                                                    *bool
	EnableTerminationProtection, RetainExceptOnCreate                                  bool
	Parameters                                                                         []givenParameter
	Capabilities, NotificationARNs, ResourceTypes                                      []string
	Tags                                                                               []tag
	TimeoutInMinutes                                                                   *int64
	RollbackConfiguration                                                              *rollbackRules
}

type stackOutput struct{ StackId string }

var stackName = regexp.MustCompile(`^[a-zA-Z][-a-zA-Z0-9]{0,127}$`)

func checkName(name string) error {
	if !stackName.MatchString(name) {
		return invalid("1 validation error detected: Value '%s' at 'stackName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z][-a-zA-Z0-9]*", name)
	}
	return nil
}

func checkTags(tags []tag) error {
	for _, t := range tags {
		if strings.HasPrefix(t.Key, "aws:") {
			return invalid("aws: prefixed tag key names are not allowed for external use.")
		}
	}
	return nil
}

func (s *Stacks) createStack(ctx context.Context, c *wire.Call, in *createInput) (*stackOutput, error) {
	if err := checkName(in.StackName); err != nil {
		return nil, err
	}
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	if in.OnFailure != "" && in.DisableRollback != nil {
		return nil, invalid("You cannot specify both DisableRollback and OnFailure")
	}
	had, err := s.find(ctx, c, in.StackName)
	if err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	exists := wire.Errorf("AlreadyExistsException", "Stack [%s] already exists", in.StackName)
	if err == nil && had.Status != reviewInProgress {
		if in.ClientRequestToken != "" && had.Tokens[in.ClientRequestToken] == opCreate {
			return &stackOutput{had.arn(c.Account)}, nil
		}
		return nil, exists
	}
	d := stack{ID: newUUID(), Name: in.StackName, Region: c.Region, Created: s.Now().UTC().Truncate(time.Millisecond)}
	if err == nil {
		d = had
	}
	if err := checkStackPolicy(in.StackPolicyBody); err != nil {
		return nil, err
	}
	p, err := s.prepare(ctx, c, wanted{body: in.TemplateBody, url: in.TemplateURL, parameters: in.Parameters, capabilities: in.Capabilities, tags: in.Tags, notifications: in.NotificationARNs, role: in.RoleARN, rollback: in.RollbackConfiguration, types: in.ResourceTypes}, &d)
	if err != nil {
		return nil, err
	}
	if err := s.claimName(ctx, &d, exists); err != nil {
		return nil, err
	}
	o := s.operation(c, opCreate, p.version, in.ClientRequestToken)
	o.OnFailure, o.RetainOnCreate = in.OnFailure, in.RetainExceptOnCreate
	if in.DisableRollback != nil && *in.DisableRollback {
		o.OnFailure = "DO_NOTHING"
	}
	err = s.begins(ctx, c, d.key(), func(now *stack) error {
		if now.ID != "" && now.Status != reviewInProgress {
			return exists
		}
		if now.ID == "" {
			*now = d
		}
		now.TerminationProtection, now.Policy = in.EnableTerminationProtection, in.StackPolicyBody
		now.DisableRollback = o.OnFailure == "DO_NOTHING"
		if in.TimeoutInMinutes != nil {
			now.Timeout = *in.TimeoutInMinutes
		}
		now.Current = version{Template: p.Template, Description: p.Description, Parameters: p.Parameters, Tags: p.Tags, Capabilities: p.Capabilities, NotificationARNs: p.NotificationARNs, RoleARN: p.RoleARN, Rollback: p.Rollback}
		now.Operation = o
		now.become(s.Now(), c.Account, createInProgress, "User Initiated")
		return nil
	})
	if err == nil {
		err = s.obsolete(ctx, &d, "")
	}
	return &stackOutput{d.arn(c.Account)}, err
}

// operation is a new operation of a caller.
func (s *Stacks) operation(c *wire.Call, kind string, target version, token string) *operation {
	return &operation{ID: newUUID(), Kind: kind, Phase: phaseForward, Caller: c.Caller, Token: token, Target: target, Started: s.Now().UTC()}
}

// begins writes a stack with a new operation, has it carried on and waits for its
// end, but not for long. The work is recorded before the stack, for later, so that
// a crash between the two leaves nothing that nobody carries on.
func (s *Stacks) begins(ctx context.Context, c *wire.Call, key string, how func(*stack) error) error {
	const soon = time.Second
	_, err := s.work.Put(ctx, key, func(w *work) error {
		if w.Due = s.Now().Add(soon); w.Owner != "" {
			w.Due = time.Time{}
		}
		return nil
	})
	if err != nil {
		return err
	}
	ended := s.finished(key)
	_, err = s.stacks.Put(ctx, key, func(d *stack) error {
		if err := how(d); err != nil {
			return err
		}
		if d.Operation != nil && d.Operation.Token != "" {
			if d.Tokens == nil || len(d.Tokens) > mostTokens {
				d.Tokens = map[string]string{} // old ones are not sent again
			}
			d.Tokens[d.Operation.Token] = d.Operation.Kind
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := s.start(ctx, key); err != nil {
		return err
	}
	s.await(ctx, ended)
	return nil
}

// mostTokens bounds the clients' tokens that a stack remembers.
const mostTokens = 100

type updateInput struct {
	StackName, TemplateBody, TemplateURL, RoleARN, ClientRequestToken, StackPolicyBody string
	UsePreviousTemplate, DisableRollback, RetainExceptOnCreate                         bool
	Parameters                                                                         []givenParameter
	Capabilities, NotificationARNs, ResourceTypes                                      []string
	Tags                                                                               []tag
	RollbackConfiguration                                                              *rollbackRules
}

// updatable are the statuses in which a stack can be changed.
var updatable = []string{createComplete, updateComplete, updateRollbackComplete, createFailed, updateFailed, "IMPORT_COMPLETE"}

func notUpdatable(d *stack, account string) error {
	return invalid("Stack:%s is in %s state and can not be updated.", d.arn(account), d.Status)
}

// wantedUpdate is what an update wants, with what it leaves as it is.
func (in *updateInput) wanted(d *stack) wanted {
	w := wanted{body: in.TemplateBody, url: in.TemplateURL, previousTemplate: in.UsePreviousTemplate, parameters: in.Parameters, capabilities: in.Capabilities,
		tags: in.Tags, notifications: in.NotificationARNs, role: in.RoleARN, rollback: in.RollbackConfiguration, types: in.ResourceTypes}
	if w.tags == nil {
		w.tags = d.Current.Tags
	}
	if w.notifications == nil {
		w.notifications = d.Current.NotificationARNs
	}
	if w.role == "" {
		w.role = d.Current.RoleARN
	}
	if w.rollback == nil {
		w.rollback = d.Current.Rollback
	}
	return w
}

func (s *Stacks) updateStack(ctx context.Context, c *wire.Call, in *updateInput) (*stackOutput, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	d, err := s.need(ctx, c, in.StackName, func(id string) error { return invalid("Stack [%s] does not exist", id) })
	if err != nil {
		return nil, err
	}
	out := &stackOutput{d.arn(c.Account)}
	if in.ClientRequestToken != "" && d.Tokens[in.ClientRequestToken] == opUpdate {
		return out, nil
	}
	if !slices.Contains(updatable, d.Status) {
		return nil, notUpdatable(&d, c.Account)
	}
	if err := checkStackPolicy(in.StackPolicyBody); err != nil {
		return nil, err
	}
	p, err := s.prepare(ctx, c, in.wanted(&d), &d)
	if err != nil {
		return nil, err
	}
	if p.Capabilities == nil {
		p.Capabilities = d.Current.Capabilities
	}
	changes, err := s.plan(ctx, c, &d, p)
	if err != nil {
		return nil, refusal(err)
	}
	if !changes.any() && d.Held == nil {
		return nil, invalid("No updates are to be performed.")
	}
	o := s.operation(c, opUpdate, p.version, in.ClientRequestToken)
	o.RetainOnCreate = in.RetainExceptOnCreate
	if in.DisableRollback {
		o.OnFailure = "DO_NOTHING"
	}
	err = s.begins(ctx, c, d.key(), func(now *stack) error {
		if !slices.Contains(updatable, now.Status) {
			return notUpdatable(now, c.Account)
		}
		if in.StackPolicyBody != "" {
			now.Policy = in.StackPolicyBody
		}
		s.updates(now, c, o)
		return nil
	})
	if err == nil {
		err = s.obsolete(ctx, &d, "")
	}
	return out, err
}

// updates writes an update into the stack.
func (s *Stacks) updates(now *stack, c *wire.Call, o *operation) {
	o.Before, o.Outputs = now.Current, now.Outputs
	now.Operation = o
	now.DisableRollback = o.OnFailure == "DO_NOTHING"
	now.become(s.Now(), c.Account, updateInProgress, "User Initiated")
	now.Updated = now.LastEvent
}

type deleteInput struct {
	StackName, RoleARN, ClientRequestToken, DeletionMode string
	RetainResources                                      []string
}

func (s *Stacks) deleteStack(ctx context.Context, c *wire.Call, in *deleteInput) (*none, error) {
	d, err := s.find(ctx, c, in.StackName)
	if problem.CodeOf(err) == problem.NotFound {
		return &none{}, nil // as AWS does: it is gone
	}
	if err != nil {
		return nil, err
	}
	if d.Status == deleteComplete || d.Operation != nil && d.Operation.Kind == opDelete {
		return &none{}, nil
	}
	inUse := ""
	for _, o := range d.Outputs {
		if o.Export == "" || inUse != "" {
			continue
		}
		users, err := s.importers(ctx, c.Region, o.Export)
		if err != nil {
			return nil, err
		}
		if len(users) > 0 {
			inUse = "Export " + o.Export + " cannot be deleted as it is in use by " + strings.Join(users, ", ")
		}
	}
	err = s.begins(ctx, c, d.key(), func(now *stack) error { return s.deletes(now, c, in, inUse) })
	return &none{}, err
}

// deletes writes a deletion into the stack.
func (s *Stacks) deletes(now *stack, c *wire.Call, in *deleteInput, inUse string) error {
	switch {
	case now.TerminationProtection:
		return invalid("Stack [%s] cannot be deleted while TerminationProtection is enabled", now.Name)
	case now.Operation != nil && now.Operation.Kind == opUpdate:
		return invalid("Stack [%s] cannot be deleted while in status %s", now.Name, now.Status)
	case len(in.RetainResources) > 0 && now.Status != deleteFailed:
		return invalid("Invalid operation on stack [%s]. Specify resources to retain only if the stack is in the DELETE_FAILED state.", now.arn(c.Account))
	}
	for _, name := range in.RetainResources {
		if now.Resources[name] == nil {
			return invalid("The following resources to retain do not exist on stack [%s]: [%s]", now.Name, name)
		}
	}
	if inUse != "" {
		now.become(s.Now(), c.Account, deleteFailed, inUse)
		return nil
	}
	o := s.operation(c, opDelete, version{RoleARN: in.RoleARN}, in.ClientRequestToken)
	if o.Target.RoleARN == "" {
		o.Target.RoleARN = now.Current.RoleARN
	}
	o.Phase, o.Before = phaseClean, now.Current
	o.Force = in.DeletionMode == "FORCE_DELETE_STACK" && now.Status == deleteFailed
	for _, name := range deletionOrder(now.Resources) {
		one := now.Resources[name]
		keep := (one.Deletion == "Retain" || one.Deletion == "RetainExceptOnCreate") && !one.Unsure
		o.Clean = append(o.Clean, &deletion{Logical: name, Resource: *one, Retain: keep || slices.Contains(in.RetainResources, name)})
	}
	now.Operation = o
	now.become(s.Now(), c.Account, deleteInProgress, "User Initiated")
	return nil
}
