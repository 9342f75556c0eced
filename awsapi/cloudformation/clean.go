package cloudformation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/resource"
	"showrunner/problem"
)

// clean deletes what the operation does not want any more, and ends it.
func (r *run) clean(ctx context.Context) (time.Duration, error) {
	for at, one := range r.d.Operation.Clean {
		if one.State == stateDone || one.State == stateFailed {
			continue
		}
		if one.Retain {
			return 0, r.commit(ctx, func(d *stack) {
				r.deleted(d, d.Operation.Clean[at], deleteSkipped)
			})
		}
		if blocker := r.blocked(one); blocker != "" {
			return 0, r.notDeleted(ctx, at, invalid("The resource %s, which needs it, was not deleted", blocker))
		}
		return r.delete(ctx, at)
	}
	return 0, r.end(ctx)
}

// blocked is the resource that needs one that is to be deleted and that could not be.
func (r *run) blocked(one *deletion) string {
	for _, other := range r.d.Operation.Clean {
		if other.State == stateFailed && slices.Contains(other.Resource.Needs, one.Logical) {
			return other.Logical
		}
	}
	return ""
}

// delete deletes one resource.
func (r *run) delete(ctx context.Context, at int) (time.Duration, error) {
	one := r.d.Operation.Clean[at]
	if one.State == "" {
		err := r.commit(ctx, func(d *stack) {
			one := d.Operation.Clean[at]
			one.State = stateIntent
			d.set(r.Now(), one.Logical, &one.Resource, deleteInProgress, "", one.Resource.Physical)
			r.mirror(d, one)
		})
		if err != nil {
			return 0, err
		}
		one = r.d.Operation.Clean[at]
	}
	kind := r.types().Of(one.Resource.Type)
	if kind == nil {
		return 0, r.notDeleted(ctx, at, invalid("The type %s is not served here any more", one.Resource.Type))
	}
	tags := r.d.Operation.Before.Tags
	req := r.request(&r.d, r.account, r.d.Operation.caller(r.account), r.op+"/delete/"+one.Logical, one.Logical, nil, nil, tags)
	req.Physical, req.Attributes, req.Type = one.Resource.Physical, one.Resource.Attributes, one.Resource.Type
	if now := r.d.Resources[one.Logical]; one.Replaced && now != nil {
		req.Replaced = now.Physical // what the stack has is never found in the place of what is to go
	}
	var err error
	if req.Properties, err = r.resolve(ctx, r.callOf(), one.Resource.Properties); err != nil {
		req.Properties = one.Resource.Properties // a reference that leads nowhere any more does not keep anything alive
	}
	err = r.deleteAct(ctx, kind, req, one)
	var later *resource.Later
	switch {
	case err == nil:
		return 0, r.commit(ctx, func(d *stack) { r.deleted(d, d.Operation.Clean[at], deleteComplete) })
	case errors.As(err, &later):
		return r.SettleEvery, nil
	case ctx.Err() != nil:
		return 0, ctx.Err()
	case passing(err) && r.Now().Sub(one.Resource.Changed) < patience:
		return r.SettleEvery, nil
	}
	return 0, r.notDeleted(ctx, at, err)
}

// deleteAct deletes a resource, which is looked for first when nobody knows
// whether it was made.
func (r *run) deleteAct(ctx context.Context, kind *resource.Type, req *resource.Request, one *deletion) error {
	if one.Resource.Unsure {
		made, found, err := kind.Handler.Find(ctx, req)
		if err != nil {
			return err
		}
		if found {
			req.Physical, req.Attributes = made.Physical, made.Attributes
		}
	}
	if req.Physical == "" {
		return nil
	}
	return kind.Handler.Delete(ctx, req)
}

// mirror shows a deletion's status on the stack's resource.
func (r *run) mirror(d *stack, one *deletion) {
	if now := d.Resources[one.Logical]; now != nil && !one.Replaced {
		now.Status, now.Reason, now.Changed = one.Resource.Status, one.Resource.Reason, one.Resource.Changed
	}
}

// deleted records a resource that is gone, or that is let go.
func (r *run) deleted(d *stack, one *deletion, status string) {
	one.State = stateDone
	d.set(r.Now(), one.Logical, &one.Resource, status, "", one.Resource.Physical)
	r.mirror(d, one)
	if !one.Replaced && d.Operation.Kind == opUpdate {
		delete(d.Resources, one.Logical)
	}
}

func (r *run) notDeleted(ctx context.Context, at int, cause error) error {
	return r.commit(ctx, func(d *stack) {
		one := d.Operation.Clean[at]
		one.State = stateFailed
		d.set(r.Now(), one.Logical, &one.Resource, deleteFailed, r.masked(reasonOf(cause, resource.UUID(r.op, one.Logical))), one.Resource.Physical)
		r.mirror(d, one)
		if !one.Replaced && d.Operation.Kind == opUpdate {
			delete(d.Resources, one.Logical) // it is not the stack's any more, and stays
		}
	})
}

// ending is what a stack is at the end of an operation.
type ending struct {
	status     string
	outputs    []output
	gone, kept version // the version whose hidden values go, but for those of another
}

// ending says how an operation ends; stuck says that something could not be deleted.
func (r *run) ending(o *operation, stuck bool) ending {
	e := ending{updateComplete, r.d.Outputs, o.Before, r.d.Current}
	switch {
	case o.Kind == opDelete && stuck && !o.Force:
		e.status, e.gone = deleteFailed, version{}
	case o.Kind == opDelete:
		e = ending{deleteComplete, nil, r.d.Current, version{}}
		if len(e.gone.Parameters) == 0 {
			e.gone = o.Before
		}
	case o.Kind == opCreate && stuck:
		e.status, e.outputs = rollbackFailed, nil
	case o.Kind == opCreate:
		e.status, e.outputs = rollbackComplete, nil
	case o.RolledBack:
		e.status, e.gone = updateRollbackComplete, o.Target
	}
	return e
}

// end ends an operation.
func (r *run) end(ctx context.Context) error {
	o := r.d.Operation
	var stuck []string
	for _, one := range o.Clean {
		if one.State == stateFailed {
			stuck = append(stuck, one.Logical)
		}
	}
	slices.Sort(stuck)
	e := r.ending(o, len(stuck) > 0)
	status, outputs := e.status, e.outputs
	if err := r.export(ctx, &r.d, outputs); err != nil {
		return err
	}
	reason := ""
	if len(stuck) > 0 && status != deleteComplete && status != updateComplete && status != updateRollbackComplete {
		reason = fmt.Sprintf("The following resource(s) failed to delete: [%s]. ", strings.Join(stuck, ", "))
	}
	err := r.commit(ctx, func(d *stack) {
		d.become(r.Now(), r.account, status, reason)
		d.Operation, d.Held, d.Outputs = nil, nil, outputs
		switch status {
		case deleteComplete:
			d.Deleted, d.Imports = d.LastEvent, nil
		case rollbackComplete, rollbackFailed:
			d.Deleted = d.LastEvent
		}
	})
	if err != nil {
		return err
	}
	if err := r.forget(ctx, e.gone, e.kept); err != nil {
		r.Log.Warn("removing the values of hidden parameters", "stack", r.d.Name, "error", err)
	}
	if status == deleteComplete {
		err := r.names.Delete(ctx, r.d.Region+"/"+r.d.Name, func(n name) error {
			if n.ID != r.d.ID {
				return problem.New(problem.NotFound, "cloudformation", "another stack has the name")
			}
			return nil
		})
		if err != nil && problem.CodeOf(err) != problem.NotFound {
			r.Log.Warn("freeing the name of a stack", "stack", r.d.Name, "error", err)
		}
	}
	return nil
}
