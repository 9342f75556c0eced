package cloudformation

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"showrunner/awsapi/wire"
)

// listTypes lists the types of resources that stacks may have here.
func (s *Stacks) listTypes(_ context.Context, c *wire.Call, in wire.Object) (wire.Object, error) {
	all := []wire.Object{}
	if in.Text("Visibility") == "PUBLIC" && (in.Text("Type") == "" || in.Text("Type") == "RESOURCE") {
		for name := range s.types() {
			all = append(all, wire.Object{"Type": "RESOURCE", "TypeName": name, "TypeArn": "arn:aws:cloudformation:" + c.Region + "::type/resource/" + strings.ReplaceAll(name, "::", "-")})
		}
	}
	slices.SortFunc(all, func(a, b wire.Object) int { return cmp.Compare(a.Text("TypeName"), b.Text("TypeName")) })
	p := wire.Paging{Token: "NextToken", Most: "MaxResults", Least: 1, Greatest: 100, Otherwise: 100,
		BadToken: func(string) error { return invalid("The token is invalid") },
		BadCount: func(string) error { return invalid("MaxResults must be between 1 and 100") }}
	out, next, err := wire.Cut(p, in, all, func(o wire.Object) string { return o.Text("TypeName") })
	return wire.Object{"TypeSummaries": wire.List(out)}.With(wire.Object{"NextToken": next}), err
}
