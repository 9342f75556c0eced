package logs

import (
	"context"
	"encoding/json"

	"showrunner/awsapi/wire"
	"showrunner/problem"
)

// resourcePolicy is kept and returned, not enforced.
type resourcePolicy struct {
	Name, Document string
	Changed        int64
}

// mostPolicies is how many resource policies a region may have, as at AWS.
const mostPolicies = 10

func (p resourcePolicy) told() wire.Object {
	return wire.Object{"policyName": p.Name, "policyDocument": p.Document, "lastUpdatedTime": p.Changed, "policyScope": "ACCOUNT"}
}

func (l *Logs) putResourcePolicy(ctx context.Context, call *wire.Call, in wire.Object) (wire.Object, error) {
	p := resourcePolicy{in.Text("policyName"), in.Text("policyDocument"), l.now().UnixMilli()}
	if p.Name == "" || !json.Valid([]byte(p.Document)) {
		return nil, invalid("Policy document is malformed, or the policy has no name.")
	}
	others := 0
	for e, err := range l.policies.All(ctx, call.Region+"/") {
		if err != nil {
			return nil, err
		}
		if e.Doc.Name != p.Name {
			others++
		}
	}
	if others >= mostPolicies {
		return nil, wire.Errorf("LimitExceededException", "Resource limit exceeded.")
	}
	_, err := l.policies.Put(ctx, call.Region+"/"+p.Name, func(have *resourcePolicy) error { *have = p; return nil })
	return wire.Object{"resourcePolicy": p.told()}, err
}

func (l *Logs) describeResourcePolicies(ctx context.Context, call *wire.Call, _ wire.Object) (wire.Object, error) {
	all := []any{}
	for e, err := range l.policies.All(ctx, call.Region+"/") {
		if err != nil {
			return nil, err
		}
		all = append(all, e.Doc.told())
	}
	return wire.Object{"resourcePolicies": all}, nil
}

func (l *Logs) deleteResourcePolicy(ctx context.Context, call *wire.Call, in wire.Object) (wire.Object, error) {
	name := in.Text("policyName")
	err := l.policies.Delete(ctx, call.Region+"/"+name, nil)
	if problem.CodeOf(err) == problem.NotFound {
		err = wire.Errorf("ResourceNotFoundException", "Policy with name [%s] does not exist.", name)
	}
	return wire.Object{}, err
}
