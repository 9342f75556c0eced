package cloudformation

import (
	"context"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// changeSet is the document of a change set.
type changeSet struct {
	ID          string    `json:"id"`
	Name        string    `json:"name"`
	Stack       string    `json:"stack"` // its identifier
	StackName   string    `json:"stackName"`
	Region      string    `json:"region"`
	Kind        string    `json:"kind"` // CREATE or UPDATE
	Description string    `json:"description,omitempty"`
	Status      string    `json:"status"`
	Reason      string    `json:"reason,omitempty"`
	Execution   string    `json:"execution"`
	Created     time.Time `json:"created"`
	Target      version   `json:"target"`
	Changes     []change  `json:"changes,omitempty"`
	OnFailure   string    `json:"onFailure,omitempty"`
	Token       string    `json:"token,omitempty"`
	Nested      bool      `json:"nested,omitempty"`
	Import      bool      `json:"import,omitempty"`
}

func (d *changeSet) key() string { return d.Region + "/" + d.ID }

func (d *changeSet) arn(account string) string {
	return arnOf(d.Region, account, "changeSet", d.Name, d.ID)
}

func noChangeSet(id string) error {
	return wire.Errorf("ChangeSetNotFound", "ChangeSet [%s] does not exist", id)
}

// findChangeSet is the change set of an ARN, or of a name and a stack.
func (s *Stacks) findChangeSet(ctx context.Context, c *wire.Call, id, stackID string) (changeSet, error) {
	if strings.HasPrefix(id, "arn:") {
		parts := strings.Split(id, "/")
		if len(parts) == 3 && strings.HasPrefix(id, arnOf(c.Region, c.Account, "changeSet", parts[1], "")) {
			d, err := s.changeSets.Get(ctx, c.Region+"/"+parts[2])
			if problem.CodeOf(err) == problem.NotFound || err == nil && d.Name != parts[1] {
				err = noChangeSet(id)
			}
			return d, err
		}
		return changeSet{}, noChangeSet(id)
	}
	if stackID == "" {
		return changeSet{}, invalid("StackName must be specified if ChangeSetName is not specified as an ARN.")
	}
	st, err := s.need(ctx, c, stackID, func(id string) error { return invalid("Stack [%s] does not exist", id) })
	if err != nil {
		return changeSet{}, err
	}
	list, err := s.changeSetsOf(ctx, &st)
	if err != nil {
		return changeSet{}, err
	}
	for _, d := range slices.Backward(list) {
		if d.Name == id {
			return d, nil
		}
	}
	return changeSet{}, noChangeSet(id)
}

func (s *Stacks) changeSetsOf(ctx context.Context, st *stack) ([]changeSet, error) {
	var out []changeSet
	for e, err := range s.changeSets.All(ctx, st.Region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Stack == st.ID {
			out = append(out, e.Doc)
		}
	}
	slices.SortFunc(out, func(a, b changeSet) int { return a.Created.Compare(b.Created) })
	return out, nil
}

// obsolete marks the stack's other change sets: they were made for what it was.
func (s *Stacks) obsolete(ctx context.Context, st *stack, but string) error {
	list, err := s.changeSetsOf(ctx, st)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.ID == but || d.Execution != "AVAILABLE" {
			continue
		}
		_, err := s.changeSets.Update(ctx, d.key(), func(d *changeSet) error {
			if d.Execution == "AVAILABLE" {
				d.Execution = "OBSOLETE"
			}
			return nil
		})
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}

type changeSetInput struct {
	StackName, ChangeSetName, ChangeSetType, ClientToken, Description, TemplateBody, TemplateURL, RoleARN, OnStackFailure string
	UsePreviousTemplate, IncludeNestedStacks, ImportExistingResources                                                     bool
	Parameters                                                                                                            []givenParameter
	Capabilities, NotificationARNs, ResourceTypes                                                                         []string
	Tags                                                                                                                  []tag
	RollbackConfiguration                                                                                                 *rollbackRules
}

type changeSetOutput struct{ Id, StackId string }

const noChanges = "The submitted information didn't contain changes. Submit different information to create a change set."

func (s *Stacks) createChangeSet(ctx context.Context, c *wire.Call, in *changeSetInput) (*changeSetOutput, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	st, made, err := s.changed(ctx, c, in)
	if err != nil {
		return nil, err
	}
	list, err := s.changeSetsOf(ctx, &st)
	if err != nil {
		return nil, err
	}
	for _, d := range list {
		// The name of one that was executed, or that never can be, is free again.
		if d.Name == in.ChangeSetName && (d.Execution == "AVAILABLE" || d.Execution == "UNAVAILABLE" || d.Execution == "EXECUTE_IN_PROGRESS") {
			if in.ClientToken != "" && d.Token == in.ClientToken {
				return &changeSetOutput{d.arn(c.Account), st.arn(c.Account)}, nil
			}
			return nil, wire.Errorf("AlreadyExistsException", "ChangeSet %s already exists", in.ChangeSetName)
		}
	}
	update := updateInput{TemplateBody: in.TemplateBody, TemplateURL: in.TemplateURL, UsePreviousTemplate: in.UsePreviousTemplate, Parameters: in.Parameters, Capabilities: in.Capabilities,
		Tags: in.Tags, NotificationARNs: in.NotificationARNs, RoleARN: in.RoleARN, RollbackConfiguration: in.RollbackConfiguration, ResourceTypes: in.ResourceTypes}
	p, err := s.prepare(ctx, c, update.wanted(&st), &st)
	if err != nil {
		return nil, err
	}
	changes, err := s.plan(ctx, c, &st, p)
	if err != nil {
		return nil, refusal(err)
	}
	d := changeSet{ID: newUUID(), Name: in.ChangeSetName, Stack: st.ID, StackName: st.Name, Region: c.Region, Kind: in.ChangeSetType, Description: in.Description, Status: createComplete, Execution: "AVAILABLE",
		Created: s.Now().UTC().Truncate(time.Millisecond), Target: p.version, Changes: changes.list, OnFailure: in.OnStackFailure, Token: in.ClientToken, Nested: in.IncludeNestedStacks, Import: in.ImportExistingResources}
	if in.ChangeSetType != "CREATE" && !changes.any() {
		d.Status, d.Execution, d.Reason = "FAILED", "UNAVAILABLE", noChanges
	}
	if made {
		if err := s.reviewed(ctx, c, &st, d.Name); err != nil {
			return nil, err
		}
	}
	return &changeSetOutput{d.arn(c.Account), st.arn(c.Account)}, s.changeSets.Create(ctx, d.key(), d)
}

// changed is the stack that a change set is for; made says that it is not there yet.
func (s *Stacks) changed(ctx context.Context, c *wire.Call, in *changeSetInput) (st stack, made bool, err error) {
	st, err = s.find(ctx, c, in.StackName)
	missing := problem.CodeOf(err) == problem.NotFound
	if err != nil && !missing {
		return st, false, err
	}
	switch in.ChangeSetType {
	case "CREATE":
		if !missing && st.Status != reviewInProgress {
			return st, false, invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", in.StackName, in.ChangeSetName)
		}
		if missing {
			if err := checkName(in.StackName); err != nil {
				return st, false, invalid("%s|arn:[-a-zA-Z0-9:/._+]*", message(err))
			}
			st = stack{ID: newUUID(), Name: in.StackName, Region: c.Region, Created: s.Now().UTC().Truncate(time.Millisecond)}
		}
		return st, missing, nil
	case "", "UPDATE":
		switch {
		case missing:
			return st, false, invalid("Stack [%s] does not exist", in.StackName)
		case !slices.Contains(updatable, st.Status):
			return st, false, notUpdatable(&st, c.Account)
		}
		return st, false, nil
	}
	return st, false, invalid("The change set type %s is not served here: CREATE and UPDATE are.", in.ChangeSetType)
}

// reviewed makes the stack of a first change set.
func (s *Stacks) reviewed(ctx context.Context, c *wire.Call, st *stack, set string) error {
	taken := invalid("Stack [%s] already exists and cannot be created again with the changeSet [%s].", st.Name, set)
	if err := s.claimName(ctx, st, taken); err != nil {
		return err
	}
	st.become(s.Now(), c.Account, reviewInProgress, "User Initiated")
	return s.stacks.Create(ctx, st.key(), *st)
}

type changeSetName struct{ ChangeSetName, StackName string }

func (s *Stacks) deleteChangeSet(ctx context.Context, c *wire.Call, in *changeSetName) (*none, error) {
	d, err := s.findChangeSet(ctx, c, in.ChangeSetName, in.StackName)
	if wire.CodeOf(err) == "ChangeSetNotFound" {
		return &none{}, nil // as AWS does: it is gone
	}
	if err != nil {
		return nil, err
	}
	if d.Execution == "EXECUTE_IN_PROGRESS" {
		return nil, wire.Errorf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be deleted in its current status of [%s]", d.arn(c.Account), d.Execution)
	}
	if err := s.changeSets.Delete(ctx, d.key(), nil); err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	st, err := s.stacks.Get(ctx, d.Region+"/"+d.Stack)
	if err != nil && problem.CodeOf(err) != problem.NotFound {
		return nil, err
	}
	kept := []version{st.Current}
	if st.Operation != nil {
		kept = append(kept, st.Operation.Target)
	}
	return &none{}, s.forget(ctx, d.Target, kept...)
}

type executeInput struct {
	ChangeSetName, StackName, ClientRequestToken string
	DisableRollback, RetainExceptOnCreate        bool
}

func (s *Stacks) executeChangeSet(ctx context.Context, c *wire.Call, in *executeInput) (*none, error) {
	d, err := s.findChangeSet(ctx, c, in.ChangeSetName, in.StackName)
	if err != nil {
		return nil, err
	}
	refused := func(status string) error {
		return wire.Errorf("InvalidChangeSetStatus", "ChangeSet [%s] cannot be executed in its current status of [%s]", d.arn(c.Account), status)
	}
	if d.Status != createComplete {
		return nil, refused(d.Status)
	}
	if in.ClientRequestToken != "" && d.Execution != "AVAILABLE" {
		if st, err := s.stacks.Get(ctx, d.Region+"/"+d.Stack); err == nil && st.Tokens[in.ClientRequestToken] != "" {
			return &none{}, nil
		}
	}
	d, err = s.changeSets.Update(ctx, d.key(), func(d *changeSet) error {
		if d.Execution != "AVAILABLE" {
			return refused(d.Execution)
		}
		d.Execution = "EXECUTE_IN_PROGRESS"
		return nil
	})
	if err != nil {
		return nil, err
	}
	o := s.operation(c, opUpdate, d.Target, in.ClientRequestToken)
	o.ChangeSet, o.OnFailure, o.RetainOnCreate, o.Import = d.arn(c.Account), d.OnFailure, in.RetainExceptOnCreate, d.Import
	if in.DisableRollback {
		o.OnFailure = "DO_NOTHING"
	}
	err = s.begins(ctx, c, d.Region+"/"+d.Stack, func(now *stack) error {
		switch {
		case now.Status == reviewInProgress:
			o.Kind = opCreate
			now.Operation, now.Current = o, d.Target
			now.DisableRollback = o.OnFailure == "DO_NOTHING"
			now.become(s.Now(), c.Account, createInProgress, "User Initiated")
			now.Updated = now.LastEvent
		case !slices.Contains(updatable, now.Status):
			return notUpdatable(now, c.Account)
		default:
			s.updates(now, c, o)
		}
		return nil
	})
	if err != nil {
		_, back := s.changeSets.Update(ctx, d.key(), func(d *changeSet) error { d.Execution = "AVAILABLE"; return nil })
		if back != nil {
			s.Log.Warn("a change set stays in execution", "changeSet", d.Name, "error", back)
		}
		return nil, err
	}
	return &none{}, s.obsolete(ctx, &stack{ID: d.Stack, Region: d.Region}, d.ID)
}

// executed records what became of the change set that an operation executes.
func (r *run) executed(ctx context.Context, o *operation, execution string) error {
	if o.ChangeSet == "" {
		return nil
	}
	id := o.ChangeSet[strings.LastIndexByte(o.ChangeSet, '/')+1:]
	_, err := r.changeSets.Update(ctx, r.d.Region+"/"+id, func(d *changeSet) error { d.Execution = execution; return nil })
	if problem.CodeOf(err) == problem.NotFound {
		return nil
	}
	return err
}
