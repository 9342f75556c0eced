package cloudformation

import (
	"context"
	"encoding/json"
	"reflect"
	"slices"

	"showrunner/awsapi/wire"
)

type nameInput struct{ StackName, ClientRequestToken string }

func (s *Stacks) cancelUpdate(ctx context.Context, c *wire.Call, in *nameInput) (*none, error) {
	d, err := s.need(ctx, c, in.StackName, noStack)
	if err != nil {
		return nil, err
	}
	return &none{}, s.begins(ctx, c, d.key(), func(now *stack) error {
		if now.Status != updateInProgress || now.Operation == nil {
			return invalid("CancelUpdateStack cannot be called from current stack status")
		}
		now.Operation.Cancel = true
		return nil
	})
}

type continueInput struct {
	StackName, RoleARN, ClientRequestToken string
	ResourcesToSkip                        []string
}

func (s *Stacks) continueRollback(ctx context.Context, c *wire.Call, in *continueInput) (*none, error) {
	d, err := s.need(ctx, c, in.StackName, noStack)
	if err != nil {
		return nil, err
	}
	return &none{}, s.begins(ctx, c, d.key(), func(now *stack) error {
		if now.Status != updateRollbackFailed || now.Held == nil {
			return invalid("Stack:%s is in %s state and can not continue rollback.", now.arn(c.Account), now.Status)
		}
		o := now.Held
		o.ID, o.Skip, o.Token, o.Caller = newUUID(), in.ResourcesToSkip, in.ClientRequestToken, c.Caller
		for _, st := range o.Steps {
			if st.State == stateFailed {
				st.State, st.Since = stateIntent, s.Now().UTC()
			}
		}
		now.Operation, now.Held = o, nil
		now.become(s.Now(), c.Account, updateRollbackInProgress, "User Initiated")
		return nil
	})
}

type rollbackInput struct {
	StackName, RoleARN, ClientRequestToken string
	RetainExceptOnCreate                   bool
}

func (s *Stacks) rollbackStack(ctx context.Context, c *wire.Call, in *rollbackInput) (*stackOutput, error) {
	d, err := s.need(ctx, c, in.StackName, noStack)
	if err != nil {
		return nil, err
	}
	return &stackOutput{d.arn(c.Account)}, s.begins(ctx, c, d.key(), func(now *stack) error {
		if now.Held == nil || now.Status != createFailed && now.Status != updateFailed {
			return invalid("RollbackStack cannot be called from current stack status: %s", now.Status)
		}
		o := now.Held
		o.ID, o.OnFailure, o.Token, o.Caller, o.RetainOnCreate = newUUID(), "", in.ClientRequestToken, c.Caller, in.RetainExceptOnCreate
		now.Operation, now.Held = o, nil
		(&run{Stacks: s, account: c.Account}).rollBack(now, o, "User Initiated. ")
		return nil
	})
}

type protectInput struct {
	StackName                   string
	EnableTerminationProtection bool
}

func (s *Stacks) protect(ctx context.Context, c *wire.Call, in *protectInput) (*stackOutput, error) {
	d, err := s.change(ctx, c, in.StackName, func(d *stack) error {
		if d.Status == deleteComplete || d.Status == deleteInProgress {
			return invalid("Stack [%s] is in %s state and its termination protection can not be updated", d.Name, d.Status)
		}
		d.TerminationProtection = in.EnableTerminationProtection
		return nil
	})
	return &stackOutput{d.arn(c.Account)}, err
}

type policyInput struct{ StackName, StackPolicyBody, StackPolicyURL string }

func (s *Stacks) setPolicy(ctx context.Context, c *wire.Call, in *policyInput) (*none, error) {
	if in.StackPolicyBody != "" && in.StackPolicyURL != "" {
		return nil, invalid("You cannot specify both StackPolicyURL and StackPolicyBody")
	}
	text, err := s.templateText(ctx, c, in.StackPolicyBody, in.StackPolicyURL)
	if err != nil {
		return nil, err
	}
	if err := checkStackPolicy(text); err != nil {
		return nil, err
	}
	_, err = s.change(ctx, c, in.StackName, func(d *stack) error { d.Policy = text; return nil })
	return &none{}, err
}

// checkStackPolicy refuses a policy of a stack that says nothing about updates.
func checkStackPolicy(text string) error {
	if text == "" {
		return nil
	}
	wrong := invalid("Error validating stack policy: Invalid stack policy")
	var policy struct {
		Statement []struct {
			Effect    string
			Action    any
			NotAction any
			Principal any
		}
	}
	if json.Unmarshal([]byte(text), &policy) != nil {
		return wrong
	}
	for _, one := range policy.Statement {
		if one.Effect != "Allow" && one.Effect != "Deny" || one.Principal != "*" && !reflect.DeepEqual(one.Principal, map[string]any{"AWS": "*"}) {
			return wrong
		}
		actions := append(listOf(one.Action), listOf(one.NotAction)...)
		if len(actions) == 0 || slices.ContainsFunc(actions, func(a any) bool {
			return !slices.Contains([]any{"Update:*", "Update:Modify", "Update:Replace", "Update:Delete"}, a)
		}) {
			return wrong
		}
	}
	return nil
}

// listOf is a value that may be one or several.
func listOf(v any) []any {
	if list, ok := v.([]any); ok || v == nil {
		return list
	}
	return []any{v}
}

type policyOutput struct{ StackPolicyBody string }

type onlyName struct{ StackName string }

func (s *Stacks) getPolicy(ctx context.Context, c *wire.Call, in *onlyName) (*policyOutput, error) {
	d, err := s.need(ctx, c, in.StackName, noStack)
	return &policyOutput{d.Policy}, err
}
