package resource

import (
	"context"
)

// ec2Kind is a type whose identifier EC2 gives when it is made, and which is found
// again by the tags that CloudFormation gives everything.
type ec2Kind struct {
	resource       string // its name in specifications of tags
	create, remove string // operations
	describe, list string // the operation that lists them, and the member with the list
	id             string // the member with the identifier, in answers and in requests
	path           []string
	members        map[string]string // property → member of the request to create
	after          func(ctx context.Context, r *Request) error
	before         func(ctx context.Context, r *Request) error // deletion
	attributes     func(r *Request, found map[string]any) map[string]any
	missing        string // the code for one that is not there
	token          string // the member for an idempotency token, if there is one
	deleteBy       func(r *Request) map[string]any
	identifier     string // the member that Ref stands for, if it is not id
	named          string // the member that needs a name; one is made when the template gives none
}

// tagSpecification is how EC2 takes tags of what it makes.
func (k *ec2Kind) tagSpecification(r *Request) []any {
	return []any{map[string]any{"ResourceType": k.resource, "Tags": r.tagList()}}
}

// made is a resource as EC2 describes it.
func (k *ec2Kind) made(r *Request, found map[string]any) Made {
	name := k.id
	if k.identifier != "" {
		name = k.identifier
	}
	m := Made{Physical: textAt(found, name), Attributes: map[string]any{k.id: at(found, k.id)}}
	if k.attributes != nil {
		for name, v := range k.attributes(r, found) {
			m.Attributes[name] = v
		}
	}
	return m
}

func (k *ec2Kind) Create(ctx context.Context, r *Request) (Made, error) {
	in := r.pick(k.members)
	in["TagSpecifications"] = k.tagSpecification(r)
	if k.named != "" && in[k.named] == nil {
		in[k.named] = shortened(r, 64, Random(12, false, r.Token))
	}
	if k.token != "" {
		in[k.token] = UUID(r.Token)
	}
	out, err := r.call(ctx, "ec2", k.create, in)
	if err != nil {
		return Made{}, err
	}
	found := asObject(at(out, k.path...))
	if found == nil {
		found = out
	}
	m := k.made(r, found)
	if k.after == nil {
		return m, nil
	}
	again := *r
	again.Physical = m.Physical
	return k.Complete(ctx, &again)
}

// Complete sets what cannot be given when it is made.
func (k *ec2Kind) Complete(ctx context.Context, r *Request) (Made, error) {
	if k.after != nil {
		if err := k.after(ctx, r); err != nil {
			return Made{Physical: r.Physical}, err
		}
	}
	m, found, err := k.byID(ctx, r, r.Physical)
	if err == nil && !found {
		return Made{Physical: r.Physical, Attributes: r.Attributes}, nil
	}
	return m, err
}

func (k *ec2Kind) Update(ctx context.Context, r *Request) (Made, error) {
	id := r.Physical
	if k.identifier != "" {
		id = textAt(r.Attributes, k.id)
	}
	if keys := r.oldTagKeys(); len(keys) > 0 {
		var tags []any
		for _, key := range keys {
			tags = append(tags, map[string]any{"Key": key})
		}
		if _, err := r.call(ctx, "ec2", "DeleteTags", map[string]any{"Resources": []any{id}, "Tags": tags}); err != nil {
			return Made{}, err
		}
	}
	if _, err := r.call(ctx, "ec2", "CreateTags", map[string]any{"Resources": []any{id}, "Tags": r.tagList()}); err != nil {
		return Made{}, err
	}
	return k.Complete(ctx, r)
}

func (k *ec2Kind) Delete(ctx context.Context, r *Request) error {
	if k.before != nil {
		if err := k.before(ctx, r); err != nil {
			return gone(err, k.missing)
		}
	}
	in := map[string]any{k.id: r.Physical}
	if k.deleteBy != nil {
		in = k.deleteBy(r)
	}
	_, err := r.call(ctx, "ec2", k.remove, in)
	return gone(err, k.missing)
}

func (k *ec2Kind) Find(ctx context.Context, r *Request) (Made, bool, error) {
	filter := func(name, value string) map[string]any {
		return map[string]any{"Name": "tag:aws:cloudformation:" + name, "Values": []any{value}}
	}
	return k.search(ctx, r, []any{filter("stack-id", r.StackID), filter("logical-id", r.Logical)}, func(found map[string]any) bool {
		return r.Replaced == "" || k.made(r, found).Physical != r.Replaced
	})
}

func (k *ec2Kind) byID(ctx context.Context, r *Request, id string) (Made, bool, error) {
	return k.search(ctx, r, nil, func(found map[string]any) bool { return k.made(r, found).Physical == id })
}

// search finds the first that fits and that is not going.
func (k *ec2Kind) search(ctx context.Context, r *Request, filters []any, fits func(map[string]any) bool) (Made, bool, error) {
	in := map[string]any{}
	if filters != nil {
		in[k.filterName()] = filters
	}
	for {
		out, err := r.call(ctx, "ec2", k.describe, in)
		if err != nil {
			return Made{}, false, err
		}
		list, _ := out[k.list].([]any)
		for _, e := range list {
			found := asObject(e)
			if state := textAt(found, "State"); state != "deleted" && state != "deleting" && fits(found) {
				return k.made(r, found), true, nil
			}
		}
		if in["NextToken"] = out["NextToken"]; textAt(out, "NextToken") == "" {
			return Made{}, false, nil
		}
	}
}

// filterName is what the operation calls its filters.
func (k *ec2Kind) filterName() string {
	if k.describe == "DescribeNatGateways" {
		return "Filter"
	}
	return "Filters"
}

// flag sets one attribute of a VPC or subnet, if the template gives it.
func flag(ctx context.Context, r *Request, operation, id, property string) error {
	if _, there := r.Properties[property]; !there {
		return nil
	}
	_, err := r.call(ctx, "ec2", operation, map[string]any{id: r.Physical, property: map[string]any{"Value": r.Flag(property)}})
	return err
}
