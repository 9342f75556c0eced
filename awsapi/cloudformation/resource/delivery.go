package resource

import (
	"context"

	"showrunner/awsapi/state"
)

// deliveryTypes are projects and pipelines.
func deliveryTypes(c Config) []*Type {
	return []*Type{{
		Name: "AWS::CodeBuild::Project",
		Properties: []string{"Name", "Description", "ServiceRole", "Source", "SourceVersion", "SecondarySources", "SecondarySourceVersions", "Artifacts", "SecondaryArtifacts", "Environment", "EncryptionKey",
			"TimeoutInMinutes", "QueuedTimeoutInMinutes", "Cache", "LogsConfig", "VpcConfig", "ConcurrentBuildLimit", "BadgeEnabled", "Tags", "Visibility"},
		Required:   []string{"Artifacts", "Environment", "ServiceRole", "Source"},
		Kept:       []string{"Visibility"},
		Replace:    []string{"Name"},
		Attributes: []string{"Arn"}, Named: "Name", Identifiers: []string{"Name"}, Tagged: true,
		Needs:   [2]string{"codebuild", "CreateProject"},
		Handler: project{},
	}, {
		Name: "AWS::CodePipeline::Pipeline",
		Properties: []string{"Name", "RoleArn", "Stages", "ArtifactStore", "ArtifactStores", "PipelineType", "ExecutionMode", "Variables", "Triggers", "DisableInboundStageTransitions",
			"RestartExecutionOnUpdate", "Tags"},
		Required:   []string{"RoleArn", "Stages"},
		Replace:    []string{"Name"},
		Attributes: []string{"Version"}, Named: "Name", Identifiers: []string{"Name"}, Tagged: true,
		Needs:   [2]string{"codepipeline", "CreatePipeline"},
		Handler: codePipeline{},
	}, {
		// A pipeline's own triggers start it: its repository is looked at. What GitHub
		// would call has nothing more to do.
		Name:       "AWS::CodePipeline::Webhook",
		Properties: []string{"Name", "Authentication", "AuthenticationConfiguration", "Filters", "RegisterWithThirdParty", "TargetAction", "TargetPipeline", "TargetPipelineVersion"},
		Required:   []string{"Authentication", "AuthenticationConfiguration", "Filters", "TargetAction", "TargetPipeline"},
		Replace:    []string{"Name"}, Named: "Name", Identifiers: []string{"Name"},
		Needs:   [2]string{"codepipeline", "CreatePipeline"},
		Handler: kept{state.New[keptDocument](c.Records, "aws.cloudformation.kept"), "AWS::CodePipeline::Webhook", func(*Request) map[string]any { return nil }},
	}}
}

// renamed is a value with other names for some of its members, however deep.
func renamed(v any, names map[string]string) any {
	switch x := v.(type) {
	case []any:
		out := make([]any, len(x))
		for i, e := range x {
			out[i] = renamed(e, names)
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k, e := range x {
			if other, ok := names[k]; ok {
				k = other
			}
			out[k] = renamed(e, names)
		}
		return out
	}
	return v
}

// without is properties without some of them.
func without(properties map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for k, v := range properties {
		out[k] = v
	}
	for _, n := range names {
		delete(out, n)
	}
	return out
}

// project acts for AWS::CodeBuild::Project.
type project struct{}

func (project) input(r *Request) map[string]any {
	in, _ := renamed(without(r.Properties, "Visibility", "Tags"), map[string]string{"BuildSpec": "buildspec"}).(map[string]any)
	in["Name"], in["Tags"] = r.Physical, r.tagList()
	return in
}

func (project) made(out map[string]any, path ...string) Made {
	p := at(out, path...)
	return Made{Physical: textAt(p, "name"), Attributes: map[string]any{"Arn": textAt(p, "arn")}}
}

func (h project) Create(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "codebuild", "CreateProject", h.input(r))
	return h.made(out, "project"), err
}

func (h project) Update(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "codebuild", "UpdateProject", h.input(r))
	return h.made(out, "project"), err
}

func (project) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "codebuild", "DeleteProject", map[string]any{"name": r.Physical})
	return gone(err, "ResourceNotFoundException")
}

func (h project) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "codebuild", "BatchGetProjects", map[string]any{"names": []any{r.Physical}})
	one := first(out["projects"])
	return Made{Physical: textAt(one, "name"), Attributes: map[string]any{"Arn": textAt(one, "arn")}}, one != nil, err
}

// codePipeline acts for AWS::CodePipeline::Pipeline.
type codePipeline struct{}

func (codePipeline) made(out map[string]any) Made {
	return Made{Physical: textAt(out, "pipeline", "name"), Attributes: map[string]any{"Version": at(out, "pipeline", "version")}}
}

// input is the pipeline's structure.
func (codePipeline) input(r *Request) map[string]any {
	structure := without(r.Properties, "DisableInboundStageTransitions", "RestartExecutionOnUpdate", "Tags", "ArtifactStores")
	structure["Name"] = r.Physical
	if list, ok := r.Properties["ArtifactStores"].([]any); ok { // the API has them by their region
		stores := map[string]any{}
		for _, s := range list {
			stores[textAt(s, "Region")] = at(s, "ArtifactStore")
		}
		structure["ArtifactStores"] = stores
	}
	return structure
}

func (h codePipeline) Create(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "codepipeline", "CreatePipeline", map[string]any{"pipeline": h.input(r), "tags": r.tagList()})
	if err != nil {
		return Made{}, err
	}
	return h.made(out), h.transitions(ctx, r)
}

// Complete sets the transitions of a pipeline that is there.
func (h codePipeline) Complete(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "codepipeline", "GetPipeline", map[string]any{"name": r.Physical})
	if err == nil {
		err = h.transitions(ctx, r)
	}
	return h.made(out), err
}

// transitions disables and enables the ways into stages.
func (codePipeline) transitions(ctx context.Context, r *Request) error {
	disabled := map[string]bool{}
	list, _ := r.Properties["DisableInboundStageTransitions"].([]any)
	for _, t := range list {
		disabled[textAt(t, "StageName")] = true
		in := map[string]any{"pipelineName": r.Physical, "stageName": at(t, "StageName"), "transitionType": "Inbound", "reason": at(t, "Reason")}
		if _, err := r.call(ctx, "codepipeline", "DisableStageTransition", in); err != nil {
			return err
		}
	}
	old, _ := r.Old["DisableInboundStageTransitions"].([]any)
	for _, t := range old {
		if disabled[textAt(t, "StageName")] {
			continue
		}
		in := map[string]any{"pipelineName": r.Physical, "stageName": at(t, "StageName"), "transitionType": "Inbound"}
		if _, err := r.call(ctx, "codepipeline", "EnableStageTransition", in); err != nil {
			return err
		}
	}
	return nil
}

func (h codePipeline) Update(ctx context.Context, r *Request) (Made, error) {
	out, err := r.call(ctx, "codepipeline", "UpdatePipeline", map[string]any{"pipeline": h.input(r)})
	if err != nil {
		return Made{}, err
	}
	arn := "arn:aws:codepipeline:" + r.Region + ":" + r.Account + ":" + r.Physical
	if keys := r.oldTagKeys(); len(keys) > 0 {
		if _, err := r.call(ctx, "codepipeline", "UntagResource", map[string]any{"resourceArn": arn, "tagKeys": keys}); err != nil {
			return Made{}, err
		}
	}
	if _, err := r.call(ctx, "codepipeline", "TagResource", map[string]any{"resourceArn": arn, "tags": r.tagList()}); err != nil {
		return Made{}, err
	}
	if r.Flag("RestartExecutionOnUpdate") {
		in := map[string]any{"name": r.Physical, "clientRequestToken": UUID(r.Token)}
		if _, err := r.call(ctx, "codepipeline", "StartPipelineExecution", in); err != nil {
			return Made{}, err
		}
	}
	return h.made(out), h.transitions(ctx, r)
}

func (codePipeline) Delete(ctx context.Context, r *Request) error {
	_, err := r.call(ctx, "codepipeline", "DeletePipeline", map[string]any{"name": r.Physical})
	return gone(err, "PipelineNotFoundException")
}

func (h codePipeline) Find(ctx context.Context, r *Request) (Made, bool, error) {
	out, err := r.call(ctx, "codepipeline", "GetPipeline", map[string]any{"name": r.Physical})
	return absent(h.made(out), err, "PipelineNotFoundException")
}
