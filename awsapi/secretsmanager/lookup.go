package secretsmanager

import (
	"context"

	"showrunner/awsapi/state"
)

// Lookup finds the present value of a region's secret whose name matches, for what
// runs here; false when there is none. Secrets that are marked for deletion are none.
func Lookup(ctx context.Context, records state.Records, values Values, region string, matches func(name string) bool) (string, bool, error) {
	for e, err := range state.New[document](records, collection).All(ctx, region+"/") {
		if err != nil {
			return "", false, err
		}
		v := e.Doc.staged(current)
		if !matches(e.Doc.Name) || !e.Doc.Deletes.IsZero() || v == nil {
			continue
		}
		value, err := values.Resolve(ctx, v.Value)
		return value, err == nil, err
	}
	return "", false, nil
}
