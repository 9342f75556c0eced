package codepipeline

import (
	"context"

	"showrunner/awsapi/wire"
)

// listActionTypes lists the actions that pipelines may have here.
func listActionTypes(_ context.Context, _ *wire.Call, in wire.Object) (wire.Object, error) {
	out := []any{}
	for _, t := range []struct {
		category, owner, provider   string
		inputs, outputs, mostInputs int
	}{
		{"Source", "AWS", "S3", 0, 1, 0},
		{"Source", "AWS", "CodeStarSourceConnection", 0, 1, 0},
		{"Source", "ThirdParty", "GitHub", 0, 1, 0},
		{"Build", "AWS", "CodeBuild", 1, 5, 5},
		{"Test", "AWS", "CodeBuild", 1, 5, 5},
		{"Deploy", "AWS", "S3", 1, 0, 1},
		{"Approval", "AWS", "Manual", 0, 0, 0},
	} {
		if owner := in.Text("actionOwnerFilter"); owner != "" && owner != t.owner {
			continue
		}
		least := t.outputs
		if t.category == "Build" || t.category == "Test" {
			least = 0
		}
		out = append(out, wire.Object{
			"id":                    wire.Object{"category": t.category, "owner": t.owner, "provider": t.provider, "version": "1"},
			"inputArtifactDetails":  wire.Object{"minimumCount": t.inputs, "maximumCount": t.mostInputs},
			"outputArtifactDetails": wire.Object{"minimumCount": least, "maximumCount": t.outputs},
		})
	}
	return wire.Object{"actionTypes": out}, nil
}
