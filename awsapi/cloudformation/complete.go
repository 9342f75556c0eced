package cloudformation

import (
	"context"

	"showrunner/awsapi/cloudformation/template"
)

// complete ends an operation's way forward: every resource is as it is wanted.
func (r *run) complete(ctx context.Context, p *prepared) error {
	outputs, imports, err := r.outputs(p)
	if err == nil {
		err = r.canExport(ctx, &r.d, outputs)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return r.fails(ctx, "update", message(refusal(err)))
	}
	o := r.d.Operation
	if o.Kind == opCreate {
		if err := r.export(ctx, &r.d, outputs); err != nil {
			return err
		}
	}
	if err := r.executed(ctx, o, "EXECUTE_COMPLETE"); err != nil {
		return err
	}
	return r.commit(ctx, func(d *stack) {
		o := d.Operation
		d.Current, d.Outputs, d.Imports, d.Held = o.Target, outputs, imports, nil
		d.ChangeSet = o.ChangeSet
		if o.Kind == opCreate {
			d.become(r.Now(), r.account, createComplete, "")
			d.Operation = nil
			return
		}
		o.Phase = phaseClean
		o.Clean = r.unwanted(d, p)
		d.become(r.Now(), r.account, updateCleanup, "")
	})
}

// unwanted is what an update leaves behind: resources that were replaced and
// resources that the template does not have any more.
func (r *run) unwanted(d *stack, p *prepared) []*deletion {
	old := map[string]*stackResource{}
	replaced := map[string]bool{}
	for name, st := range d.Operation.Steps {
		again := st.Action == actCreate && st.Old.there() && d.Resources[name].Physical == st.Old.Physical
		moved := st.Action == actUpdate && st.Old.there() && d.Resources[name].Physical != st.Old.Physical // as a custom resource may
		if st.Old.there() && !again && (st.Action == actReplace || st.Action == actCreate) || moved {
			old[name], replaced[name] = st.Old, true
		}
	}
	for name, one := range d.Resources {
		declared := p.template.Resource(name)
		if declared != nil && declared.Wanted(p.env.Conditions) {
			continue
		}
		if !one.there() {
			delete(d.Resources, name)
			continue
		}
		old[name] = one
	}
	var out []*deletion
	for _, name := range deletionOrder(old) {
		policy := old[name].Deletion
		if replaced[name] {
			policy = d.Resources[name].Replace
		}
		out = append(out, &deletion{Logical: name, Resource: *old[name], Retain: policy == "Retain" || policy == "RetainExceptOnCreate", Replaced: replaced[name]})
	}
	return out
}

// outputs evaluates the template's outputs, and says which exports the stack uses.
func (r *run) outputs(p *prepared) ([]output, []string, error) {
	return evaluateOutputs(p)
}

func evaluateOutputs(p *prepared) (out []output, imports []string, err error) {
	plain := p.env.Import
	used := map[string]bool{}
	p.env.Import = func(name string) (string, error) {
		if !used[name] {
			used[name] = true
			imports = append(imports, name)
		}
		return plain(name)
	}
	defer func() { p.env.Import = plain }()
	for _, o := range p.template.Outputs {
		if o.Condition != "" && !p.env.Conditions[o.Condition] {
			continue
		}
		one := output{Key: o.Name, Description: o.Description}
		for _, part := range []struct {
			v    any
			into *string
		}{{o.Value, &one.Value}, {o.Export, &one.Export}} {
			if part.v == nil {
				continue
			}
			v, err := p.env.Eval(part.v)
			if err != nil {
				return nil, nil, err
			}
			if template.IsUnknown(v) {
				v = template.KnownAfterApply
			}
			text, ok := template.Text(v)
			if !ok {
				return nil, nil, invalid("Template format error: Output %s is malformed. The Value field of every Outputs member must evaluate to a String.", o.Name)
			}
			*part.into = text
		}
		out = append(out, one)
	}
	for _, one := range p.template.Resources {
		if one.Wanted(p.env.Conditions) {
			if _, err := p.env.Eval(one.Properties); err != nil {
				return nil, nil, err
			}
		}
	}
	return out, imports, nil
}
