package ssm

import (
	"context"

	"showrunner/awsapi/state"
)

// Lookup finds the present value of a region's parameter whose name matches, for
// what runs here; false when there is none.
func Lookup(ctx context.Context, records state.Records, values Values, region string, matches func(name string) bool) (string, bool, error) {
	for e, err := range state.New[document](records, collection).All(ctx, region+"/") {
		if err != nil {
			return "", false, err
		}
		if !matches(e.Doc.Name) {
			continue
		}
		v := e.Doc.current()
		if v.Type != secure {
			return v.Value, true, nil
		}
		value, err := values.Resolve(ctx, v.Value)
		return value, err == nil, err
	}
	return "", false, nil
}
