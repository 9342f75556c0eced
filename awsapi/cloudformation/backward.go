package cloudformation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/resource"
	"showrunner/awsapi/wire"
)

// passing says whether an act failed because what it needs does not answer now.
func passing(err error) bool {
	code := wire.CodeOf(err)
	return slices.Contains([]string{"ServiceUnavailable", "Throttling", "ThrottlingException", "SlowDown", "InternalFailure"}, code)
}

// reasonOf is an error as the events of AWS tell it.
func reasonOf(err error, token string) string {
	var e *wire.Error
	if !errors.As(err, &e) || e.Code == "ValidationError" {
		return message(err)
	}
	code := "GeneralServiceException"
	switch {
	case strings.Contains(e.Code, "NotFound") || strings.HasPrefix(e.Code, "NoSuch"):
		code = "NotFound"
	case strings.Contains(e.Code, "Exists"):
		code = "AlreadyExists"
	case strings.Contains(e.Code, "Denied"):
		code = "AccessDenied"
	case strings.Contains(e.Code, "Validation") || strings.HasPrefix(e.Code, "Invalid") || strings.HasPrefix(e.Code, "Malformed"):
		code = "InvalidRequest"
	}
	return fmt.Sprintf("Resource handler returned message: \"%s\" (RequestToken: %s, HandlerErrorCode: %s)", strings.TrimSpace(message(err)), token, code)
}

// failed records that an act on a resource failed.
func (r *run) failed(ctx context.Context, name string, cause error, physical ...string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	kind := ""
	if one := r.cached.template.Resource(name); one != nil {
		kind = one.Type
	}
	reason := r.masked(reasonOf(refusal(cause), resource.UUID(r.op, name)))
	return r.commit(ctx, func(d *stack) {
		st := d.Operation.Steps[name]
		one := d.Resources[name]
		if st == nil { // it had not begun
			if d.Operation.Steps == nil {
				d.Operation.Steps = map[string]*step{}
			}
			st = &step{Action: actUpdate, Type: kind, Since: r.Now().UTC()}
			if !one.there() {
				st.Action = actCreate
				one = &stackResource{Type: kind}
				if d.Resources == nil {
					d.Resources = map[string]*stackResource{}
				}
				d.Resources[name] = one
			} else {
				copied := *one
				st.Old, st.Physical, st.Properties = &copied, one.Physical, one.Properties
			}
			d.Operation.Steps[name] = st
			status := updateInProgress
			if st.Action == actCreate {
				status = createInProgress
			}
			d.set(r.Now(), name, one, status, "", one.Physical)
		}
		st.State = stateFailed
		if st.Action == actCreate {
			if len(physical) > 0 && physical[0] != "" {
				st.Physical = physical[0]
			}
			if one.Unsure {
				one.Physical = st.Physical
			}
		}
		status := updateFailed
		d.Operation.FailedTo = "update"
		if st.Action == actCreate {
			status, d.Operation.FailedTo = createFailed, "create"
		}
		d.Operation.Failed = append(d.Operation.Failed, name)
		d.set(r.Now(), name, one, status, reason, one.Physical)
	})
}

// fails ends an operation's way forward: it is rolled back, or held as it is.
func (r *run) fails(ctx context.Context, to, why string) error {
	if err := r.executed(ctx, r.d.Operation, "EXECUTE_FAILED"); err != nil {
		return err
	}
	return r.commit(ctx, func(d *stack) {
		o := d.Operation
		if to != "" {
			o.FailedTo, o.Why = to, why
		}
		for _, name := range slices.Sorted(maps.Keys(o.Steps)) {
			if st := o.Steps[name]; st.State == stateSettling || st.State == stateIntent {
				st.State = stateFailed
				status, reason := updateFailed, "Resource update cancelled"
				if st.Action == actCreate {
					status, reason = createFailed, "Resource creation cancelled"
				}
				d.set(r.Now(), name, d.Resources[name], status, reason, d.Resources[name].Physical)
			}
		}
		reason := o.Why
		if len(o.Failed) > 0 {
			reason = fmt.Sprintf("The following resource(s) failed to %s: [%s]. ", o.FailedTo, strings.Join(o.Failed, ", "))
		}
		switch {
		case o.Kind == opCreate && o.OnFailure == "DO_NOTHING":
			d.become(r.Now(), r.account, createFailed, reason)
			d.Held, d.Operation = o, nil
		case o.OnFailure == "DO_NOTHING":
			d.become(r.Now(), r.account, updateFailed, reason)
			d.Held, d.Operation = o, nil
		default:
			r.rollBack(d, o, reason)
		}
	})
}

// rollBack turns an operation around.
func (r *run) rollBack(d *stack, o *operation, reason string) {
	o.RolledBack = true
	if o.Kind == opUpdate {
		o.Phase, o.Undo = phaseUndo, undoOrder(d, o)
		d.become(r.Now(), r.account, updateRollbackInProgress, reason)
		return
	}
	o.Phase = phaseClean
	for _, name := range deletionOrder(d.Resources) {
		one := d.Resources[name]
		keep := one.Deletion == "Retain" && !o.RetainOnCreate && one.Status == createComplete
		o.Clean = append(o.Clean, &deletion{Logical: name, Resource: *one, Retain: keep})
	}
	if o.OnFailure == "DELETE" {
		o.Kind = opDelete
		d.become(r.Now(), r.account, deleteInProgress, reason+"Delete requested by user.")
		return
	}
	d.become(r.Now(), r.account, rollbackInProgress, reason+"Rollback requested by user.")
}

// deletionOrder is what is there, each before those that it needs.
func deletionOrder(all map[string]*stackResource) []string {
	left := map[string]*stackResource{}
	for name, one := range all {
		if one.there() {
			left[name] = one
		}
	}
	newest := slices.SortedFunc(maps.Keys(left), func(a, b string) int {
		if n := left[b].Changed.Compare(left[a].Changed); n != 0 {
			return n
		}
		return strings.Compare(a, b)
	})
	var out []string
	for len(left) > 0 {
		before := len(left)
		for _, name := range newest {
			if left[name] == nil {
				continue
			}
			needed := false
			for other, one := range left {
				needed = needed || other != name && slices.Contains(one.Needs, name)
			}
			if !needed {
				out = append(out, name)
				delete(left, name)
			}
		}
		if len(left) == before { // no template makes a circle, but old ones together may
			for _, name := range newest {
				if left[name] != nil {
					out = append(out, name)
				}
			}
			return out
		}
	}
	return out
}

// undoOrder is what an operation changed, the last first.
func undoOrder(d *stack, o *operation) []string {
	var out []string
	for _, name := range deletionOrder(d.Resources) {
		if st := o.Steps[name]; st != nil && st.Action != actKeep {
			out = append(out, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Steps)) {
		if o.Steps[name].Action != actKeep && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// undo restores what an update changed, one resource after the other.
func (r *run) undo(ctx context.Context) (time.Duration, error) {
	o := r.d.Operation
	if len(o.Undo) == 0 {
		return 0, r.commit(ctx, func(d *stack) {
			d.Operation.Phase = phaseClean
			d.become(r.Now(), r.account, updateRollbackCleanup, "")
		})
	}
	name := o.Undo[0]
	st := o.Steps[name]
	if st.Action == actUpdate && !slices.Contains(o.Skip, name) && st.Old != nil {
		return r.restore(ctx, name, st)
	}
	return 0, r.commit(ctx, func(d *stack) {
		d.Operation.Undo = d.Operation.Undo[1:]
		one := d.Resources[name]
		if st.Action == actUpdate {
			return
		}
		made := *one
		made.Physical = st.Physical
		if st.Action == actReplace && (st.State == stateFailed || st.State == stateIntent) {
			made.Unsure = one.Unsure
		}
		if st.Action == actReplace {
			made.Type, made.Properties = st.Type, st.Properties
			if made.Unsure || one.Physical == st.Physical {
				d.Operation.Clean = append(d.Operation.Clean, &deletion{Logical: name, Resource: made, Replaced: true})
			}
			restored := *st.Old
			d.Resources[name] = &restored
			d.set(r.Now(), name, &restored, updateComplete, "", restored.Physical)
			return
		}
		if one.there() {
			d.Operation.Clean = append(d.Operation.Clean, &deletion{Logical: name, Resource: *one, Retain: one.Deletion == "Retain" && one.Status == createComplete && !o.RetainOnCreate})
			return
		}
		delete(d.Resources, name)
	})
}

// restore gives a resource the properties that it had before.
func (r *run) restore(ctx context.Context, name string, st *step) (time.Duration, error) {
	const restoring = "restoring"
	settling := st.State == restoring+stateSettling
	if st.State != restoring && !settling {
		err := r.commit(ctx, func(d *stack) {
			d.Operation.Steps[name].State = restoring
			d.set(r.Now(), name, d.Resources[name], updateInProgress, "", d.Resources[name].Physical)
		})
		if err != nil {
			return 0, err
		}
		st = r.d.Operation.Steps[name]
	}
	req := r.request(&r.d, r.account, r.d.Operation.caller(r.account), r.op+"/undo/"+name, name, nil, nil, r.d.Operation.Before.Tags)
	req.Physical, req.Attributes, req.Type = st.Physical, st.Old.Attributes, st.Old.Type
	var err error
	if req.Properties, err = r.resolve(ctx, r.callOf(), st.Old.Properties); err != nil {
		return 0, r.notRestored(ctx, name, err)
	}
	if req.Old, err = r.resolve(ctx, r.callOf(), st.Properties); err != nil {
		req.Old = st.Properties // what could not be resolved was never made
	}
	handler := r.types().Of(st.Old.Type).Handler
	var made resource.Made
	if settling {
		made, err = handler.(resource.Settler).Settled(ctx, req)
	} else {
		made, err = handler.Update(ctx, req)
	}
	var later *resource.Later
	switch {
	case errors.As(err, &later):
		return r.SettleEvery, nil
	case err != nil && ctx.Err() != nil:
		return 0, ctx.Err()
	case err != nil && passing(err) && r.Now().Sub(st.Since) < 2*patience:
		return r.SettleEvery, nil
	case err != nil:
		return 0, r.notRestored(ctx, name, err)
	case made.Settling:
		return r.SettleEvery, r.commit(ctx, func(d *stack) { d.Operation.Steps[name].State = restoring + stateSettling })
	}
	return 0, r.commit(ctx, func(d *stack) {
		d.Operation.Undo = d.Operation.Undo[1:]
		restored := *st.Old
		restored.Attributes = withReferences(made.Attributes, st.Old.Properties)
		if made.Physical != "" { // a custom resource may have another one by now
			restored.Physical = made.Physical
		}
		if st.Physical != restored.Physical {
			other := *d.Resources[name]
			other.Physical = st.Physical
			d.Operation.Clean = append(d.Operation.Clean, &deletion{Logical: name, Resource: other, Replaced: true})
		}
		d.Resources[name] = &restored
		d.set(r.Now(), name, &restored, updateComplete, "", restored.Physical)
	})
}

// notRestored holds an operation whose rollback failed: it may be continued.
func (r *run) notRestored(ctx context.Context, name string, cause error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return r.commit(ctx, func(d *stack) {
		o := d.Operation
		o.Steps[name].State = stateFailed
		d.set(r.Now(), name, d.Resources[name], updateFailed, r.masked(reasonOf(cause, resource.UUID(r.op, name))), d.Resources[name].Physical)
		d.become(r.Now(), r.account, updateRollbackFailed, fmt.Sprintf("The following resource(s) failed to update: [%s]. ", name))
		d.Held, d.Operation = o, nil
	})
}
