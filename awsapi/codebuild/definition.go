package codebuild

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"regexp"
	"strings"

	"showrunner/awsapi/delivery"
	"showrunner/pipeline"
	"showrunner/problem"
)

// Application is the application whose executions are the builds that are started
// by themselves, each project a pipeline of it.
const Application = "aws-codebuild"

// buildAction is the action that is the build, and buildID stands for its identifier
// until the definition is whole.
const (
	buildAction = "build"
	buildID     = "SHOWRUNNER-BUILD-ID"
	primary     = "source"
)

// definition is a project's build as a pipeline: it fetches the sources, builds,
// and uploads the artifacts. The structure is read as a pipeline's is.
func (s *Service) definition(ctx context.Context, region string, b startedBuild) (pipeline.Pipeline, error) {
	none := pipeline.Pipeline{}
	build := action("Build/CodeBuild", buildAction, object{"ProjectName": b.Settings.Name})
	var sources []any
	for _, one := range append([]source{b.Settings.Source.named(primary)}, b.Settings.SecondarySources...) {
		a, err := one.action()
		if err != nil {
			return none, err
		}
		if a == nil {
			continue
		}
		sources = append(sources, a)
		build["inputArtifacts"] = append(build["inputArtifacts"].([]any), object{"name": one.SourceIdentifier})
	}
	stages := []any{}
	if len(sources) > 0 {
		build["configuration"].(object)["PrimarySource"] = primary
		stages = append(stages, object{"name": "Source", "actions": sources})
	}
	stages = append(stages, object{"name": "Build", "actions": []any{build}})
	if a := b.Settings.Artifacts; a.Type == "S3" {
		build["outputArtifacts"] = []any{object{"name": "built"}}
		upload := action("Deploy/S3", "upload", a.configuration())
		upload["inputArtifacts"] = []any{object{"name": "built"}}
		stages = append(stages, object{"name": "Upload", "actions": []any{upload}})
	}
	r := s.Renderer
	r.Projects = fixed{b.Settings}
	rendered, err := r.Render(ctx, region, Application, "Builds of the CodeBuild project "+b.Settings.Name+" of "+region, object{"name": b.Settings.Name, "pipelineType": "V2", "executionMode": "PARALLEL", "stages": stages})
	var refusal *delivery.Refusal
	if errors.As(err, &refusal) {
		return none, invalid("The build cannot run here: %s", refusal.Why)
	}
	if err != nil {
		return none, err
	}
	def := rendered.Pipeline()
	def.Triggers = nil
	return def, b.pin(&def)
}

// fixed is the one project of a build, as it was when it was started.
type fixed struct{ settings settings }

func (f fixed) Project(context.Context, string, string) (delivery.Object, error) {
	return members(f.settings), nil
}

func action(kind, name string, configuration object) object {
	category, provider, _ := strings.Cut(kind, "/")
	return object{"name": name, "actionTypeId": object{"category": category, "owner": "AWS", "provider": provider, "version": "1"},
		"configuration": configuration, "inputArtifacts": []any{}, "outputArtifacts": []any{}}
}

func (s source) named(identifier string) source {
	s.SourceIdentifier = identifier
	return s
}

// action is the source action of a source; nil for a build without one.
func (s source) action() (object, error) {
	var a object
	switch s.Type {
	case "NO_SOURCE":
		return nil, nil
	case "S3":
		bucket, key, _ := bucketAndKey(s.Location)
		a = action("Source/S3", s.SourceIdentifier, object{"S3Bucket": bucket, "S3ObjectKey": key, "PollForSourceChanges": "false"})
	case "GITHUB":
		name, _ := repositoryOf(s.Location)
		a = action("Source/CodeStarSourceConnection", s.SourceIdentifier, object{"FullRepositoryId": name, "ConnectionArn": "arn:aws:codestar-connections:::connection", "DetectChanges": "false"})
	default:
		return nil, invalid("A project whose source is of type %s is built by a pipeline: start the pipeline, or give sourceTypeOverride", s.Type)
	}
	a["outputArtifacts"] = []any{object{"name": s.SourceIdentifier}}
	return a, nil
}

// configuration is the upload of artifacts as a deploy action.
func (a artifacts) configuration() object {
	folder := a.Path
	if a.NamespaceType == "BUILD_ID" {
		folder = path.Join(folder, buildID)
	}
	key := path.Join(folder, a.Name)
	bucket := strings.TrimPrefix(a.Location, "arn:aws:s3:::")
	if a.Packaging == "ZIP" {
		return object{"BucketName": bucket, "Extract": "false", "ObjectKey": key}
	}
	return object{"BucketName": bucket, "Extract": "true", "ObjectKey": key}
}

var commitID = regexp.MustCompile(`^[0-9a-f]{40}$`)

// pin sets which version of each source is built, and where the artifacts of this
// build go.
func (b startedBuild) pin(def *pipeline.Pipeline) error {
	versions := map[string]string{primary: b.SourceVersion}
	for _, v := range b.Settings.SecondarySourceVersions {
		versions[v.SourceIdentifier] = v.SourceVersion
	}
	for i := range def.Stages {
		st := &def.Stages[i]
		version := versions[st.Name]
		var with object
		if err := json.Unmarshal(st.With, &with); err != nil {
			return problem.Wrap(err, problem.Internal, "codebuild.definition", "reading the stage %s", st.Name)
		}
		switch {
		case st.Kind == "git" && version != "":
			if strings.HasPrefix(version, "pr/") {
				return invalid("The source version %s is a pull request, which is not served here: name a branch, a tag as refs/tags/NAME, or a commit", version)
			}
			delete(with, "branch")
			branch := strings.TrimPrefix(version, "refs/heads/")
			if commitID.MatchString(version) {
				with["commit"] = version
			} else if tag, is := strings.CutPrefix(version, "refs/tags/"); is {
				with["tag"] = tag
			} else {
				with["branch"] = branch
			}
		case st.Kind == "object" && version != "":
			with["version"] = version
		case st.Kind == "deploy-site":
			for key, v := range with {
				if text, is := v.(string); is && strings.Contains(text, buildID) {
					with[key] = strings.ReplaceAll(text, buildID, `${{ split(stages.build.outputs.buildId, ":")[1] }}`)
				}
			}
		}
		data, err := json.Marshal(with)
		if err != nil {
			return problem.Wrap(err, problem.Internal, "codebuild.definition", "writing the stage %s", st.Name)
		}
		st.With = data
	}
	return nil
}
