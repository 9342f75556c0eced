package cloudformation

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"showrunner/awsapi/cloudformation/resource"
	"showrunner/awsapi/cloudformation/template"
)

// prepared is the operation's target with what it is evaluated with now.
func (r *run) prepared(ctx context.Context) (*prepared, error) {
	if r.cached == nil || r.cachedOf != r.op {
		t, err := template.Parse(r.d.Operation.Target.Template)
		if err != nil {
			return nil, err
		}
		c := r.callOf()
		env, err := r.environment(ctx, &c, &r.d, t, r.d.Operation.Target)
		if err != nil {
			return nil, err
		}
		r.cached, r.cachedOf = &prepared{version: r.d.Operation.Target, template: t, env: env}, r.op
	}
	r.cached.env.Ref = func(name string) (any, error) {
		if one := r.d.Resources[name]; one.there() {
			return one.Physical, nil
		}
		return nil, invalid("Unresolved resource dependencies [%s]", name)
	}
	r.cached.env.Attribute = func(name, attribute string) (any, error) {
		one := r.d.Resources[name]
		if one.there() {
			if v, ok := one.Attributes[attribute]; ok {
				return v, nil
			}
		}
		return nil, invalid("Template error: resource %s does not have the attribute %s", name, attribute)
	}
	return r.cached, nil
}

// forward makes and changes resources, each after those that it needs.
func (r *run) forward(ctx context.Context) (time.Duration, error) {
	p, err := r.prepared(ctx)
	if err != nil {
		return 0, r.fails(ctx, "update", message(err))
	}
	order, err := p.template.Order(p.env.Conditions)
	if err != nil {
		return 0, r.fails(ctx, "update", message(err))
	}
	if r.d.Operation.Cancel {
		return 0, r.fails(ctx, "update", "User Cancelled")
	}
	waits := false
	for _, one := range order {
		st := r.d.Operation.Steps[one.Name]
		if st != nil && st.State == stateDone {
			continue
		}
		if st == nil && r.waitsFor(p, one) {
			continue
		}
		settled, err := r.step(ctx, p, one)
		if err != nil {
			return 0, err
		}
		if len(r.d.Operation.Failed) > 0 || r.d.Operation.Phase != phaseForward {
			return 0, r.fails(ctx, "", "")
		}
		waits = waits || !settled
	}
	switch {
	case !waits:
		return 0, r.complete(ctx, p)
	case r.late():
		return 0, r.fails(ctx, "create", "Stack creation time exceeded the specified timeout. Rollback requested by user.")
	}
	return r.SettleEvery, nil
}

// late says whether a stack had longer than it was given.
func (r *run) late() bool {
	return r.d.Operation.Kind == opCreate && r.d.Timeout > 0 && r.Now().Sub(r.d.Operation.Started) > time.Duration(r.d.Timeout)*time.Minute
}

// waitsFor says whether a resource that one needs is not done.
func (r *run) waitsFor(p *prepared, one *template.Resource) bool {
	return slices.ContainsFunc(p.template.Needs(one, p.env.Conditions), func(name string) bool {
		needed := p.template.Resource(name)
		st := r.d.Operation.Steps[name]
		return needed != nil && needed.Wanted(p.env.Conditions) && (st == nil || st.State != stateDone)
	})
}

// step carries one resource on. It says whether that is done.
func (r *run) step(ctx context.Context, p *prepared, one *template.Resource) (bool, error) {
	st, kind := r.d.Operation.Steps[one.Name], r.types().Of(one.Type)
	resumed := st != nil
	if st == nil {
		var err error
		if st, err = r.intend(ctx, p, one, kind); err != nil || st == nil || st.State != stateIntent {
			return true, err
		}
	}
	req := r.requestFor(one.Name, st)
	properties, err := r.resolve(ctx, r.callOf(), st.Properties)
	if err != nil {
		return true, r.failed(ctx, one.Name, err)
	}
	req.Properties = properties
	if st.State == stateSettling {
		made, err := kind.Handler.(resource.Settler).Settled(ctx, req)
		return r.outcome(ctx, one.Name, made, err)
	}
	if st.Action == actUpdate {
		if req.Old, err = r.resolve(ctx, r.callOf(), st.Old.Properties); err != nil {
			return true, r.failed(ctx, one.Name, err)
		}
		made, err := kind.Handler.Update(ctx, req)
		return r.outcome(ctx, one.Name, made, err)
	}
	if resumed && !kind.Repeatable || st.Adopt {
		made, found, err := kind.Handler.Find(ctx, req)
		if err != nil {
			return r.outcome(ctx, one.Name, made, err)
		}
		if completer, ok := kind.Handler.(resource.Completer); ok && found {
			if kind.Assigned {
				req.Physical = made.Physical
			}
			made, err = completer.Complete(ctx, req)
		}
		if found {
			return r.outcome(ctx, one.Name, made, err)
		}
	}
	made, err := kind.Handler.Create(ctx, req)
	return r.outcome(ctx, one.Name, made, err)
}

// requestFor is what a handler is told of a step.
func (r *run) requestFor(logical string, st *step) *resource.Request {
	req := r.request(&r.d, r.account, r.d.Operation.caller(r.account), r.op+"/"+logical, logical, st.Properties, nil, r.d.Operation.Target.Tags)
	req.Physical, req.Type = st.Physical, st.Type
	if st.Old != nil {
		req.Attributes = st.Old.Attributes
		if st.Action == actReplace {
			req.Replaced = st.Old.Physical
		}
	}
	return req
}

// decide says what an operation does with a resource: it is pure.
func decide(kind *resource.Type, had *stackResource, properties, metadata map[string]any, retagged bool) string {
	if had == nil || !had.there() || had.Status == createFailed {
		return actCreate
	}
	if had.Type != kind.Name {
		return actReplace
	}
	changed, replace := kind.Changed(had.Properties, properties)
	switch {
	case replace:
		return actReplace
	case len(changed) > 0 || retagged && kind.Tagged || !resource.Same(asAny(had.Metadata), asAny(metadata)):
		return actUpdate
	}
	return actKeep
}

func asAny(m map[string]any) any {
	if len(m) == 0 {
		return map[string]any{}
	}
	return m
}

// evaluated is a resource's declaration with all that is known.
type evaluated struct {
	properties, metadata map[string]any
	deletion, replace    string
}

func evaluate(env *template.Env, one *template.Resource) (out evaluated, err error) {
	for _, part := range []struct {
		v    map[string]any
		into *map[string]any
	}{{one.Properties, &out.properties}, {one.Metadata, &out.metadata}} {
		v, err := env.Eval(asMap(part.v))
		if err != nil {
			return out, err
		}
		*part.into, _ = v.(map[string]any)
	}
	for _, part := range []struct {
		v    any
		into *string
	}{{one.DeletionPolicy, &out.deletion}, {one.UpdateReplacePolicy, &out.replace}} {
		v, err := env.Eval(part.v)
		if err != nil {
			return out, err
		}
		*part.into, _ = template.Text(v)
	}
	return out, nil
}

func asMap(m map[string]any) map[string]any {
	if m == nil {
		return map[string]any{}
	}
	return m
}

// intend decides what is done with a resource and records it before the act. A
// resource that stays as it is is done with it.
func (r *run) intend(ctx context.Context, p *prepared, one *template.Resource, kind *resource.Type) (*step, error) {
	name, had := one.Name, r.d.Resources[one.Name]
	e, err := evaluate(p.env, one)
	if err != nil {
		return nil, r.failed(ctx, name, err)
	}
	retagged := !slices.Equal(r.d.Operation.Before.Tags, r.d.Operation.Target.Tags)
	st := &step{Action: decide(kind, had, e.properties, e.metadata, retagged), Type: kind.Name, State: stateIntent, Properties: e.properties, Since: r.Now().UTC()}
	if had.there() {
		st.Old = had
	}
	if st.Action == actUpdate {
		st.Physical = had.Physical
	}
	if st.Action == actCreate || st.Action == actReplace {
		req := r.requestFor(name, st)
		st.Physical = kind.Identifier(req)
		req.Physical = st.Physical
		if err := r.taken(ctx, kind, req, st); err != nil {
			return nil, r.failed(ctx, name, err)
		}
	}
	err = r.commit(ctx, func(d *stack) {
		if d.Operation.Steps == nil {
			d.Operation.Steps = map[string]*step{}
		}
		d.Operation.Steps[name] = st
		r.begun(d, name, one.Type, st, e, p.template.Needs(one, p.env.Conditions))
	})
	return r.d.Operation.Steps[name], err
}

// begun writes into the stack that a step begins, or that it has nothing to do.
func (r *run) begun(d *stack, name, kind string, st *step, e evaluated, needs []string) {
	if d.Resources == nil {
		d.Resources = map[string]*stackResource{}
	}
	one := d.Resources[name]
	if st.Action == actKeep {
		st.State = stateDone
		one.Deletion, one.Replace, one.Needs = e.deletion, e.replace, needs
		return
	}
	if st.Action == actCreate {
		one = &stackResource{Type: kind}
		d.Resources[name] = one
	} else {
		copied := *one
		one = &copied
		d.Resources[name] = one
	}
	shown := *one
	shown.Type, shown.Properties = kind, st.Properties
	one.Deletion, one.Replace, one.Needs, one.Metadata, one.Unsure = e.deletion, e.replace, needs, e.metadata, true
	status, reason := updateInProgress, ""
	switch st.Action {
	case actCreate:
		status = createInProgress
		one.Properties = st.Properties
	case actReplace:
		reason = "Requested update requires the creation of a new physical resource; hence creating one."
	}
	d.set(r.Now(), name, &shown, status, reason, one.Physical)
	one.Status, one.Reason, one.Changed = status, reason, shown.Changed
}

// taken refuses an identifier that the template chose and that is there already.
func (r *run) taken(ctx context.Context, kind *resource.Type, req *resource.Request, st *step) error {
	resolved, err := r.resolve(ctx, r.callOf(), st.Properties)
	if err != nil {
		return err
	}
	req.Properties = resolved
	if kind.Named != "" {
		st.Physical = kind.Identifier(req)
		req.Physical = st.Physical
	}
	if st.Action == actReplace && kind.Chosen(resolved) && st.Old != nil && st.Old.Type == kind.Name && st.Old.Physical == req.Physical {
		return invalid("CloudFormation cannot update a stack when a custom-named resource requires replacing. Rename %s and update the stack again.", st.Physical)
	}
	if kind.Assigned {
		return nil
	}
	_, found, err := kind.Handler.Find(ctx, req)
	if had := st.Old; err == nil && found && had != nil && had.Status == createFailed && had.Physical == req.Physical {
		st.Adopt = true // the stack's own, which was not finished
		return nil
	}
	if err == nil && found && r.d.Operation.Import && st.Action == actCreate {
		st.Adopt = true
		return nil
	}
	if err == nil && found {
		err = invalid("Resource of type '%s' with identifier '%s' already exists.", kind.Name, req.Physical)
	}
	return err
}

// outcome records what became of an act. It says whether the step is done.
func (r *run) outcome(ctx context.Context, name string, made resource.Made, err error) (bool, error) {
	var later *resource.Later
	switch {
	case errors.As(err, &later):
		return false, nil
	case err != nil && ctx.Err() != nil:
		return true, ctx.Err() // it is not known: the intent stays
	case err != nil && passing(err) && r.Now().Sub(r.d.Operation.Steps[name].Since) < patience:
		return false, nil
	case err != nil:
		return true, r.failed(ctx, name, err, made.Physical)
	}
	return !made.Settling, r.commit(ctx, func(d *stack) {
		st := d.Operation.Steps[name]
		one := d.Resources[name]
		initiated := st.State == stateIntent
		status, physical := updateComplete, made.Physical
		switch st.Action {
		case actCreate:
			status = createComplete
			if initiated {
				d.set(r.Now(), name, one, createInProgress, "Resource creation Initiated", physical)
			}
		case actReplace:
			one.Type = st.Type
			if initiated {
				shown := *one
				shown.Properties = st.Properties
				d.set(r.Now(), name, &shown, updateInProgress, "Resource creation Initiated", physical)
			}
		}
		one.Physical, one.Properties, one.Unsure = physical, st.Properties, false
		one.Attributes = withReferences(made.Attributes, st.Properties)
		st.Physical = physical
		if made.Settling {
			st.State = stateSettling
			return
		}
		st.State = stateDone
		d.set(r.Now(), name, one, status, "", physical)
	})
}

// withReferences keeps references in attributes that only repeat a property: what
// they stand for is never kept.
func withReferences(attributes, properties map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range attributes {
		if text, ok := properties[name].(string); ok && strings.Contains(text, "{{resolve:") {
			v = text
		}
		out[name] = v
	}
	return out
}

// patience is how long an act is tried again while what it needs does not answer.
const patience = 2 * time.Minute
