package codepipeline_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"showrunner/control"
)

// odd are values that a structure should not have, and some that it may.
var odd = []any{"", "x", "über", "a b", "../x", "#{S.CommitId}", "#{variables.v}", "${{ secrets.X }}", "{{resolve:secretsmanager:x}}", "{{resolve:ssm:", "****", "true", "9", "\x01y\x02", "site", "artifacts",
	"Source", "Deploy", "Compute", "Approval", "Manual", "S3", "ECS", "V2", "PARALLEL", "acme/shop", 0.0, -1.0, 1e9, true, nil, []any{}, []any{"x"}, object{}, object{"name": "src"}, []any{object{"name": "out"}}}

// mutate puts odd values into the places of a value, each with a small chance.
func mutate(t *rapid.T, v any) any {
	if rapid.IntRange(0, 39).Draw(t, "change") == 0 {
		return rapid.SampledFrom(odd).Draw(t, "value")
	}
	switch x := v.(type) {
	case object:
		for _, k := range slices.Sorted(maps.Keys(x)) {
			x[k] = mutate(t, x[k])
		}
	case []any:
		for i := range x {
			x[i] = mutate(t, x[i])
		}
	}
	return v
}

// Whatever a client sends, it is answered: made whole, or refused with a code of
// AWS's and nothing made.
func TestHostileStructures(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		w := open(t)
		p, ok := mutate(r, shop(nil)).(object)
		if !ok {
			return
		}
		_, code, message := w.Try("codepipeline", "CreatePipeline", object{"pipeline": p})
		apps, err := w.control.Applications(t.Context(), control.Principal{})
		if err != nil {
			r.Fatal(err)
		}
		listed := len(w.Call("codepipeline", "ListPipelines", object{})["pipelines"].([]any))
		switch {
		case code == "InternalFailure":
			r.Fatalf("%s for %s", message, jsonOf(p))
		case code == "" && (len(apps) != 1 || listed != 1), code != "" && (len(apps) != 0 || listed != 0 || len(w.control.Secrets) != 0):
			r.Fatalf("%q left %d applications, %d pipelines and %v for %s", code, len(apps), listed, w.control.Secrets, jsonOf(p))
		case code == "":
			name := p["name"]
			w.Call("codepipeline", "GetPipeline", object{"name": name})
			w.Call("codepipeline", "GetPipelineState", object{"name": name})
			w.Call("codepipeline", "DeletePipeline", object{"name": name})
		}
	})
}
