package codepipeline

import (
	"encoding/json"

	"showrunner/pipeline"
)

// toldKinds say which action a stage of a pipeline file is like. What CodePipeline
// has no action for is told as a custom one.
var toldKinds = map[string]struct{ category, owner, provider string }{
	"git": {"Source", "Custom", "Git"}, "object": {"Source", "AWS", "S3"}, "build": {"Build", "AWS", "CodeBuild"}, "run": {"Test", "Custom", "Run"},
	"deploy-site": {"Deploy", "AWS", "S3"}, "deploy": {"Deploy", "Custom", "Deploy"}, "rollback": {"Deploy", "Custom", "Rollback"},
	"approval": {"Approval", "AWS", "Manual"}, "wait": {"Invoke", "Custom", "Wait"}, "chaos": {"Test", "Custom", "Chaos"}, "webhook": {"Invoke", "Custom", "Webhook"}, "pipeline": {"Invoke", "AWS", "CodePipeline"},
}

// told is what can be said in CodePipeline's terms of a pipeline file that a person
// wrote: a stage with one action for each of its stages.
func told(t target) object {
	stages := []any{}
	for _, st := range t.definition.Stages {
		kind := toldKinds[st.Kind]
		a := object{"name": st.Name, "runOrder": int64(1), "inputArtifacts": []any{}, "outputArtifacts": []any{}, "configuration": toldConfiguration(st),
			"actionTypeId": object{"category": kind.category, "owner": kind.owner, "provider": kind.provider, "version": "1"}}
		if k, ok := pipeline.FindKind(st.Kind); ok && k.Artifacts {
			a["outputArtifacts"] = []any{object{"name": st.Name}}
		}
		stages = append(stages, object{"name": st.Name, "actions": []any{a}})
	}
	mode := map[pipeline.Concurrency]string{pipeline.Supersede: "SUPERSEDED", pipeline.Parallel: "PARALLEL"}[t.definition.Concurrency]
	if mode == "" {
		mode = "QUEUED"
	}
	variables := []any{}
	for _, p := range t.definition.Parameters {
		v := object{"name": p.Name}
		if p.Description != "" {
			v["description"] = p.Description
		}
		if p.Default != nil && *p.Default != "" {
			v["defaultValue"] = *p.Default
		}
		variables = append(variables, v)
	}
	return object{"name": t.name, "roleArn": "arn:aws:iam::000000000000:role/showrunner", "version": t.version, "pipelineType": "V2", "executionMode": mode, "stages": stages, "variables": variables}
}

// toldConfiguration is the plain values of a stage's configuration, without secrets:
// those are references, which stay as they are.
func toldConfiguration(st pipeline.Stage) object {
	var with object
	out := object{}
	if json.Unmarshal(st.With, &with) != nil {
		return out
	}
	names := map[string]string{"site": "BucketName", "bucket": "S3Bucket", "key": "S3ObjectKey", "project": "ProjectName", "url": "Repository", "branch": "BranchName", "instructions": "CustomData", "pipeline": "PipelineName"}
	for from, to := range names {
		if text, is := with[from].(string); is && text != "" && len(text) <= 1000 {
			out[to] = text
		}
	}
	return out
}
